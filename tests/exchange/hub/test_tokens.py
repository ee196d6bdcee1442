"""Tokens: whose they are, what they are good for, and when they end."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from exchange.db.tables import TokenRow
from exchange.errors import Denied, Invalid, Misplaced, Unknown
from exchange.hub.tokens import MARK, WRITTEN
from exchange.identity import TOKEN, through_scheduler
from exchange.settings import Role
from tests.exchange.engine.town import TAX, Town
from tests.exchange.hub.people import HERE, People, logged


def test_a_token_acts_in_the_name_of_its_account(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        tax = people.actor("tax")
        made = hub.tokens.issue(by=tax, purpose="看板取数", days=30)
        present = hub.tokens.bearer(made.secret, address=HERE)
        assert present is not None
        assert (present.account, present.token, present.session, present.csrf) == ("tax", made.id, None, None)
        assert (present.actor.name, present.actor.established) == (tax.name, TOKEN)
        assert present.actor.roles == {Role.CLERK}
        assert present.scopes == {"read"}
        assert not present.may_write
        writing = hub.tokens.issue(by=tax, purpose="编目", scopes=["write"])
        found = hub.tokens.bearer(writing.secret)
        assert found is not None
        assert found.scopes == {"read", "write"}
        # Roles are those of the moment.
        hub.accounts.assign("tax", [Role.REVIEWER], by=people.security, reason="调岗")
        found = hub.tokens.bearer(writing.secret)
        assert found is not None
        assert found.actor.roles == {Role.REVIEWER}
        with hub.database.reading() as session:
            rows = {row.id: row for row in session.scalars(sa.select(TokenRow))}
        assert made.secret.get_secret_value().startswith(MARK)
        assert made.secret.get_secret_value() not in repr([vars(row) for row in rows.values()])
        assert rows[made.id].used_at is not None
        assert rows[made.id].expires_at - rows[made.id].issued_at == timedelta(days=30)


def test_a_token_that_has_ended_is_nobodys(town: Town) -> None:
    with town.hub() as hub:
        tax = People(hub).actor("tax")
        made = hub.tokens.issue(by=tax, purpose="取数")
        revoked = hub.tokens.issue(by=tax, purpose="取数")
        hub.tokens.revoke(revoked.id, reason="下线", by=tax)
        with pytest.raises(Misplaced):
            hub.tokens.revoke(revoked.id, reason="下线", by=tax)
        with hub.database.transaction() as session:
            row = session.get_one(TokenRow, made.id)
            row.expires_at = row.issued_at
        text = revoked.secret.get_secret_value()
        for shown in (made.secret, text, text[:-1], MARK, "", "\x00", MARK + "\ud800", MARK + "x" * 10_000, made.id):
            assert hub.tokens.bearer(shown, address=HERE) is None
        assert {each.id: each.state for each in hub.tokens.tokens(by=tax)} == {
            made.id: "expired", revoked.id: "revoked",
        }  # fmt: skip
    refused = logged(town, "SignInRefused")
    assert [event.body["reason"] for event in refused[:3]] == ["expired", "revoked", "unknown"]
    assert [event.body["credential"] for event in refused[:3]] == [made.id, revoked.id, None]


def test_a_storm_of_wrong_tokens_is_counted_and_not_written(town: Town) -> None:
    with town.hub() as hub:
        for number in range(WRITTEN + 20):
            assert hub.tokens.bearer(f"{MARK}{number}") is None
    assert len(logged(town, "SignInRefused")) <= 2 * WRITTEN


def test_who_may_issue_one_for_whom(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        tax, system, security = people.actor("tax"), people.system, people.security
        hub.accounts.create("sync", "同步程序", TAX, by=system, programme=True)
        hub.accounts.assign("sync", [Role.CLERK], by=security, reason="上线")
        made = hub.tokens.issue(by=system, login="sync", purpose="编目同步", scopes=["write"])
        present = hub.tokens.bearer(made.secret)
        assert present is not None
        assert (present.actor.name, present.actor.department) == ("同步程序", TAX)
        own = hub.tokens.bearer(hub.tokens.issue(by=tax, login="tax", purpose="取数").secret)
        assert own is not None
        bare = people.join("bare")
        for by, login in [
            (system, "tax"),  # in a person's name, only he himself
            (tax, "sync"),
            (security, "sync"),
            (own.actor, None),  # a token begets none
            (bare, None),
            (through_scheduler(tax.name), None),
        ]:
            with pytest.raises(Denied):
                hub.tokens.issue(by=by, login=login, purpose="取数")
        with pytest.raises(Unknown):
            hub.tokens.issue(by=system, login="nobody", purpose="取数")
        hub.accounts.disable("sync", reason="下线", by=system)
        assert hub.tokens.bearer(made.secret) is None
        with pytest.raises(Misplaced):
            hub.tokens.issue(by=system, login="sync", purpose="取数")
    assert len(logged(town, "AccessDenied")) == 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"purpose": " "}, {"purpose": "x" * 300}, {"purpose": "a\nb"}, {"scopes": []}, {"scopes": ["root"]},
        {"days": 0}, {"days": 366},
    ],
)  # fmt: skip
def test_what_cannot_be_issued(town: Town, wrong: dict[str, object]) -> None:
    with town.hub() as hub:
        tax = People(hub).actor("tax")
        with pytest.raises(Invalid):
            hub.tokens.issue(by=tax, **{"purpose": "取数", **wrong})  # type: ignore[arg-type]
        assert hub.tokens.tokens(by=tax) == []


def test_who_has_yet_to_change_his_password_issues_none(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        reset = hub.accounts.reset("tax", by=people.system)
        made = hub.signing.sign_in("tax", reset.password or "", address=HERE)
        present = hub.signing.present(made.secret)
        assert present is not None
        with pytest.raises(Denied):
            hub.tokens.issue(by=present.actor, purpose="取数")


def test_one_sees_and_takes_back_his_own_and_administrators_all(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        tax, police = people.actor("tax"), people.actor("police")
        one, other = (hub.tokens.issue(by=each, purpose="取数") for each in (tax, police))
        assert [each.id for each in hub.tokens.tokens(by=tax)] == [one.id]
        with pytest.raises(Denied):
            hub.tokens.tokens(by=tax, login="police")
        for by in (people.system, people.security, people.audit):
            assert {each.id for each in hub.tokens.tokens(by=by)} == {one.id, other.id}
        assert [each.id for each in hub.tokens.tokens(by=people.audit, login="tax")] == [one.id]
        for by in (tax, people.audit):
            with pytest.raises(Denied):
                hub.tokens.revoke(other.id, reason="下线", by=by)
            with pytest.raises(Denied):
                # What there is, he does not learn.
                hub.tokens.revoke("T0", reason="下线", by=by)
        with pytest.raises(Unknown):
            hub.tokens.revoke("T0", reason="下线", by=people.security)
        with pytest.raises(Invalid):
            hub.tokens.revoke(other.id, reason="", by=people.security)
        hub.tokens.revoke(other.id, reason="下线", by=people.security)
        assert hub.tokens.bearer(other.secret) is None
