"""Who may know what a recipient made of delivered rows: counts for both sides, its words for its own integrator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.db.tables import EventRow
from exchange.errors import Denied, Misplaced, Unknown
from exchange.identity import Actor
from exchange.settings import Role
from tests.exchange.engine.town import COLUMNS, HERE, HUB, POLICE, SYNC, TAX, Town, build, identity_number, person

HEALTH = "11321200TE0000045P"


def somebody(department: str, *roles: Role) -> Actor:
    return Actor(name="某人", established="demo", department=department, roles=frozenset(roles))


@contextmanager
def answered(folder: Path) -> Iterator[Town]:
    """A town whose tax office could not use one row and did not read another."""
    urls = {name: f"sqlite:///{folder / name}.db" for name in ("police", "library", "tax")}
    target = {"endpoint": "tax", "object": "person", "columns": {n: n for n in COLUMNS}, "profile": "jiangsu"}
    with closing(build(folder / "home", urls, target=target)) as town:
        town.report(*(person(number, district=HERE) for number in range(2)))
        town.run_both()
        text = f"证件号 {identity_number(1)} 查无此人"
        with town.databases["tax"].begin() as connection:
            query = sa.text("UPDATE person SET sync_sign = '2', sync_error_desc = :text WHERE id_no = :id")
            connection.execute(query, {"text": text, "id": identity_number(1)})
        with town.hub() as hub:
            assert hub.answers.ask(town.share, by=somebody(TAX, Role.INTEGRATOR))
        yield town


@pytest.fixture(scope="module")
def answered_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with answered(tmp_path_factory.mktemp("answered")) as town:
        yield town


def told(town: Town, type: str) -> list[dict[str, Any]]:
    return town.all(sa.select(EventRow.body).where(EventRow.type == type).order_by(EventRow.id))


@pytest.mark.parametrize(
    ("department", "roles", "may"),
    [
        (TAX, (Role.INTEGRATOR,), True),
        (TAX, (Role.SYSTEM,), True),
        (HUB, (Role.INTEGRATOR,), True),
        (TAX, (Role.CLERK, Role.REVIEWER, Role.AUDIT, Role.SECURITY), False),
        (POLICE, (Role.INTEGRATOR,), False),
        (HEALTH, (Role.INTEGRATOR,), False),
    ],
)
def test_who_may_have_the_recipients_table_looked_at(
    answered_town: Town, department: str, roles: tuple[Role, ...], may: bool
) -> None:
    town = answered_town
    refusals = len(told(town, "AccessDenied"))
    with town.hub() as hub:
        if may:
            assert hub.answers.ask(town.share, by=somebody(department, *roles)) is False
            return
        with pytest.raises(Denied):
            hub.answers.ask(town.share, by=somebody(department, *roles))
    assert len(told(town, "AccessDenied")) == refusals + 1


@pytest.mark.parametrize(
    ("department", "roles", "may"),
    [
        (TAX, (Role.CLERK,), True),
        (POLICE, (Role.CLERK,), True),
        (HUB, (Role.INTEGRATOR,), True),
        (HUB, (Role.AUDIT,), True),
        (HUB, (Role.SYSTEM,), False),
        (HEALTH, (Role.INTEGRATOR,), False),
    ],
)
def test_who_may_see_the_counts(answered_town: Town, department: str, roles: tuple[Role, ...], may: bool) -> None:
    town, by = answered_town, somebody(department, *roles)
    looks, refusals = len(told(town, "AnswersRead")), len(told(town, "AccessDenied"))
    with town.hub() as hub:
        if may:
            shown = hub.answers.show(town.share, by=by)
            assert shown.addenda[-1].counts == {"new": 1, "done": 0, "failed": 1, "other": 0, "gone": 0}
            assert shown.failures == ()
            assert identity_number(1) not in str(shown)
        else:
            with pytest.raises(Denied):
                hub.answers.show(town.share, by=by)
    assert len(told(town, "AnswersRead")) == looks + may
    assert len(told(town, "AccessDenied")) == refusals + (not may)


@pytest.mark.parametrize("asked", [{"rows": True}, {"keys": True}])
@pytest.mark.parametrize(
    ("department", "roles"),
    [
        (POLICE, (Role.INTEGRATOR, Role.CLERK)),
        (HUB, (Role.INTEGRATOR, Role.SYSTEM)),
        (HUB, (Role.AUDIT,)),
        (TAX, (Role.CLERK, Role.REVIEWER)),
    ],
)
def test_nobody_else_sees_the_failed_rows(
    answered_town: Town, department: str, roles: tuple[Role, ...], asked: dict[str, bool]
) -> None:
    town = answered_town
    refusals = len(told(town, "AccessDenied"))
    with town.hub() as hub, pytest.raises(Denied) as denied:
        hub.answers.show(town.share, by=somebody(department, *roles), **asked)
    assert identity_number(1) not in str(denied.value)
    assert len(told(town, "AccessDenied")) == refusals + 1


def test_the_recipients_integrator_sees_them_and_every_look_is_an_event(answered_town: Town) -> None:
    town, by = answered_town, somebody(TAX, Role.INTEGRATOR)
    with town.hub() as hub:
        (row,) = hub.answers.show(town.share, by=by, rows=True).failures
        revealed = len(told(town, "KeysRevealed"))
        assert (row.number, row.key, row.text) == (1, None, f"证件号 {identity_number(1)} 查无此人")
        (clear,) = hub.answers.show(town.share, by=by, keys=True).failures
    assert clear.key == {"id_no": identity_number(1)}
    assert clear.key_hash == row.key_hash
    assert identity_number(1) not in row.key_hash
    assert told(town, "AnswersRead")[-1]["rows"] == 1
    assert len(told(town, "KeysRevealed")) == revealed + 1
    assert identity_number(1) not in str(town.all(sa.select(EventRow.body)))


def test_a_delivery_is_named_by_receipt_run_or_exchange(answered_town: Town) -> None:
    town, by = answered_town, somebody(TAX, Role.INTEGRATOR)
    (receipt,) = town.receipts(town.share)
    with town.hub() as hub:
        for name in (receipt.id, receipt.run, town.share):
            assert hub.answers.show(name, by=by).receipt == receipt.id
        with pytest.raises(Unknown):
            hub.answers.show("nothing", by=by)
        with pytest.raises(Unknown):
            hub.answers.ask("nothing", by=by)


def test_a_library_is_not_asked(answered_town: Town) -> None:
    with answered_town.hub() as hub:
        with pytest.raises(Misplaced, match="无从得知"):
            hub.answers.ask(SYNC, by=somebody(HUB, Role.INTEGRATOR))
        assert hub.answers.show(SYNC, by=somebody(POLICE, Role.CLERK)).why
