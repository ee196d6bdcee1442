"""What is shown before a delivery is what is delivered, and nothing comes of looking."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from exchange.engine import Preview
from exchange.engine.previewing import AT_ONCE, FINDINGS, MOST_READ
from exchange.errors import Busy, Denied, Failed, HubError, Unknown
from tests.exchange.engine.town import AWAY, COLUMNS, SYNC, Town, identity_number, person, wrong


def look(town: Town, exchange: str, *, rows: int = 100, clear: bool = True, seconds: float = 60.0) -> Preview:
    with town.hub() as hub:
        return hub.engine.previews.look(exchange, rows=rows, clear=clear, seconds=seconds)


def shown(found: Preview) -> dict[str, dict[str, str | None]]:
    """Rows by business key, each by its items."""
    names = [item.name for item in found.items]
    rows = [dict(zip(names, row.values, strict=True)) for row in found.rows]
    return {str(row["id_no"]): row for row in rows}


def test_it_is_what_is_delivered(town: Town) -> None:
    town.report(*map(person, range(1, 30)), wrong(31))
    collected = look(town, SYNC)
    town.run(SYNC)
    told = look(town, town.share)
    assert town.rows("tax") == {}, "nothing was delivered by looking"
    town.run(town.share)
    delivered = town.rows("tax")
    assert shown(told) == {
        key: {name: None if row[name] is None else str(row[name]) for name in COLUMNS} for key, row in delivered.items()
    }
    assert {row["name"] for row in shown(told).values()}.isdisjoint(person(number)["name"] for number in range(30))
    assert (told.read, told.filtered, told.whole) == (29, 29 - len(delivered), True)
    assert (collected.read, collected.refused, len(collected.rows)) == (30, 1, 29)
    assert [(each.item, each.rule, each.refused) for each in collected.findings] == [("id_no", "identity_number", True)]
    assert wrong(31)["id_no"] not in str(vars(collected.findings[0]))


def test_nothing_comes_of_it(town: Town) -> None:
    town.report(person(1), wrong(2))
    before = town.flags(), sorted(path for path in town.home.rglob("*") if "payload" in path.parts)
    look(town, SYNC)
    look(town, town.share)
    assert (town.flags(), sorted(path for path in town.home.rglob("*") if "payload" in path.parts)) == before
    assert town.runs(SYNC) == town.runs(town.share) == []
    assert town.quarantined(SYNC) == []
    assert town.run(SYNC).counts["read"] == 2, "what was looked at is still to be read"


def test_what_is_read_is_bounded(town: Town) -> None:
    town.report(*(person(number, district=AWAY) for number in range(MOST_READ + 500)))
    few = look(town, SYNC, rows=5)
    assert (len(few.rows), few.whole) == (5, False)
    assert few.read <= 100
    town.run(SYNC)
    none = look(town, town.share, rows=5)
    assert (none.read, none.filtered, len(none.rows), none.whole) == (MOST_READ, MOST_READ, 0, False)


def test_findings_are_bounded(town: Town) -> None:
    town.report(*map(wrong, range(FINDINGS + 40)))
    found = look(town, SYNC)
    assert (len(found.findings), found.refused) == (FINDINGS, FINDINGS + 40)


def test_who_is_neither_party_sees_what_is_personal_by_its_grade(town: Town) -> None:
    town.report(person(1))
    (row,) = look(town, SYNC, clear=False).rows
    clear = shown(look(town, SYNC))[identity_number(1)]
    assert row.values[2] == clear["district"]
    assert not {clear["id_no"], clear["name"], clear["born"]} & set(row.values)
    assert [item.name for item in look(town, SYNC, clear=False).items if item.obscured] == ["id_no", "name", "born"]
    assert clear["name"] not in repr(look(town, SYNC)), "no log of it can hold a value"


def test_a_grant_that_does_not_hold_shows_nothing(town: Town) -> None:
    town.report(person(1))
    town.run(SYNC)
    town.change("suspend")
    with pytest.raises(Denied):
        look(town, town.share)
    with pytest.raises(Unknown):
        look(town, "share-none")


def test_a_source_that_is_gone_or_does_not_answer_is_told(town: Town) -> None:
    town.report(person(1))
    with town.away("police"), pytest.raises(HubError, match="police"):
        look(town, SYNC)
    with town.hub() as hub, closing(town.databases["police"].raw_connection()) as connection:
        connection.cursor().execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        for _each in range(AT_ONCE):
            with pytest.raises(Failed, match="秒内没有给出数据"):
                hub.engine.previews.look(SYNC, rows=5, clear=True, seconds=0.3)
        with pytest.raises(Busy):
            hub.engine.previews.look(SYNC, rows=5, clear=True, seconds=0.3)
        assert time.monotonic() - begun < 20
        connection.cursor().execute("ROLLBACK")
        while any(each.name == "shutong-preview" for each in threading.enumerate()):
            assert time.monotonic() - begun < 80
            time.sleep(0.05)
        assert len(hub.engine.previews.look(SYNC, rows=5, clear=True).rows) == 1
