from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from exchange.db.tables import CredentialRow, EventRow
from exchange.errors import Denied, Invalid, Misplaced, Unknown
from exchange.hub.access import credential_key, token_name
from exchange.secrets import unseal
from tests.exchange.engine.town import POLICE, TAX, Town


def test_a_secret_is_kept_as_it_must_be_and_no_clearer(town: Town) -> None:
    by = town.actor("integrator")
    with town.hub() as hub:
        token = hub.access.issue(TAX, "token", by=by)
        password = hub.access.issue(TAX, "password", name="tax-app", purpose="个税核验", by=by)
        certificate = hub.access.issue(TAX, "certificate", name="CN=tax", by=by)
        assert token.secret is not None
        assert password.secret is not None
        assert certificate.secret is None
        with hub.database.reading() as session:
            rows = {row.id: row for row in session.scalars(sa.select(CredentialRow))}
        assert rows[token.id].name == token_name(hub.keyring, token.secret.get_secret_value())
        assert rows[token.id].secret is None
        sealed = rows[password.id].secret or ""
        assert unseal(sealed, credential_key(hub.keyring, password.id)) == password.secret
        assert password.secret.get_secret_value() not in repr(password)
        assert {each.id: each.name for each in hub.access.credentials(by=by)} == {
            token.id: None, password.id: "tax-app", certificate.id: "CN=tax",
        }  # fmt: skip
    events = town.all(sa.select(EventRow).where(EventRow.type == "CredentialIssued"))
    assert {event.department for event in events} == {TAX}


def test_a_name_is_never_given_again(town: Town) -> None:
    by = town.actor("integrator")
    with town.hub() as hub:
        made = hub.access.issue(TAX, "password", name="app", by=by)
        hub.access.revoke(made.id, reason="换人", by=by)
        with pytest.raises(Invalid):
            hub.access.issue(POLICE, "password", name="app", by=by)
        hub.access.issue(POLICE, "gateway", name="app", by=by)
        with pytest.raises(Misplaced):
            hub.access.revoke(made.id, reason="换人", by=by)
        with pytest.raises(Invalid):
            hub.access.revoke(hub.access.credentials(by=by)[0].id, reason=" ", by=by)
        with pytest.raises(Unknown):
            hub.access.issue("11321200TE0000000X", "token", by=by)


def test_what_has_ended_says_so(town: Town) -> None:
    by = town.actor("integrator")
    with town.hub() as hub:
        hub.access.issue(TAX, "token", by=by, until=datetime.now(UTC) + timedelta(days=1))
        assert [each.state for each in hub.access.credentials(by=by)] == ["active"]
        with hub.database.transaction() as session:
            session.scalars(sa.select(CredentialRow)).one().expires_at = datetime.now(UTC) - timedelta(days=1)
        assert [each.state for each in hub.access.credentials(by=by)] == ["expired"]
        with pytest.raises(Invalid):
            hub.access.issue(TAX, "token", by=by, until=datetime.now(UTC) - timedelta(days=1))


def test_a_department_sees_and_takes_back_its_own_alone(town: Town) -> None:
    whole = town.actor("integrator")
    own = replace(whole, department=TAX)
    other = replace(whole, department=POLICE)
    with town.hub() as hub:
        made = hub.access.issue(TAX, "token", by=own)
        assert [each.id for each in hub.access.credentials(by=own, department=POLICE)] == [made.id]
        assert hub.access.credentials(by=other) == []
        assert hub.access.credentials(by=whole, department=POLICE) == []
        for who in (other, town.actor("tax")):
            with pytest.raises(Denied):
                hub.access.issue(TAX, "token", by=who)
            with pytest.raises(Denied):
                hub.access.revoke(made.id, reason="测试", by=who)
        hub.access.revoke(made.id, reason="测试", by=town.actor("security"))
    assert len(town.all(sa.select(EventRow).where(EventRow.type == "AccessDenied"))) == 4


def test_there_are_no_other_kinds(town: Town) -> None:
    with town.hub() as hub, pytest.raises(Invalid) as told:
        hub.access.issue(POLICE, "talisman", by=town.actor("integrator"))  # type: ignore[arg-type]  # as a form sends it
    assert [problem.where for problem in told.value.problems] == ["种类"]
