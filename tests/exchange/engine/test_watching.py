"""What waits in drops, looked for often and for little."""

from __future__ import annotations

import shutil
import time
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.db.tables import ExchangeRow, FileRow
from exchange.engine import watching
from exchange.engine.files import FileBooks
from exchange.hub import Hub
from tests.exchange.engine.test_files import Desk
from tests.exchange.engine.town import SYNC, Town, person


def waiting(hub: Hub) -> dict[str, str]:
    """What waits, however long a busy machine takes to look."""
    return hub.engine.watching.waiting(patience=60)


@pytest.fixture
def desk(town: Town, tmp_path: Path) -> Desk:
    (tmp_path / "desk").mkdir()
    desk = Desk(town, tmp_path / "desk")
    desk.offer()
    return desk


def test_a_file_at_rest_waits_until_it_is_taken(desk: Desk) -> None:
    with desk.town.hub() as hub:
        look = partial(waiting, hub)
        assert look() == {}
        desk.put("people_1.csv", person(1))
        (first,) = look().values()
        assert look() == {SYNC: first}
        desk.put("people_2.csv", person(2))
        (second,) = look().values()
        assert second != first
        desk.town.run(SYNC)
        assert look() == {}
        desk.put("people_2.csv", person(2, version=2), person(3))
        assert look() == {SYNC: look()[SYNC]}
        desk.town.run(SYNC)
        assert look() == {}


def test_what_is_not_complete_or_was_refused_does_not_wait(desk: Desk) -> None:
    with desk.town.hub() as hub:
        look = partial(waiting, hub)
        desk.put("people_1.csv", person(1))
        manifest = desk.root / "people_1.csv.manifest.json"
        manifest.rename(desk.root / "aside")
        assert look() == {}
        (desk.root / "aside").rename(manifest)
        assert list(look()) == [SYNC]
        desk.put("people_0.csv", person(5), broken=True)
        desk.town.run(SYNC)
        assert desk.town.all(sa.select(FileRow.state).order_by(FileRow.name)) == [
            "refused", "taken",
        ]  # fmt: skip
        assert look() == {}
        # Somebody wants it tried once more.
        hub.files.retry(SYNC, "people_0.csv", by=desk.town.actor("integrator"))
        assert list(look()) == [SYNC]


def test_a_file_comes_to_rest_by_its_age_alone(town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "AGAIN", 0.1)
    (tmp_path / "desk").mkdir()
    desk = Desk(town, tmp_path / "desk")
    desk.offer(complete="age", age=1.0)
    with town.hub() as hub:
        desk.put("people_1.csv", person(1), aged=False)
        (desk.root / "people_1.csv.manifest.json").unlink()
        assert waiting(hub) == {}
        time.sleep(1.3)
        assert list(waiting(hub)) == [SYNC]


def test_a_drop_that_has_not_changed_is_not_compared_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = FileBooks.waiting
    monkeypatch.setattr(FileBooks, "waiting", lambda self, exchange: asked.append(exchange) or real(self, exchange))
    desk.put("people_1.csv", person(1))
    with desk.town.hub() as hub:
        for _ in range(5):
            assert list(waiting(hub)) == [SYNC]
        assert asked == [SYNC]
        desk.put("people_2.csv", person(2))
        waiting(hub)
        assert asked == [SYNC, SYNC]


def test_a_drop_that_is_away_tells_nothing_and_is_looked_at_when_it_is_back(desk: Desk) -> None:
    desk.put("people_1.csv", person(1))
    with desk.town.hub() as hub:
        assert list(waiting(hub)) == [SYNC]
        desk.root.rename(desk.root.with_name("elsewhere"))
        assert waiting(hub) == {}
        desk.root.with_name("elsewhere").rename(desk.root)
        assert list(waiting(hub)) == [SYNC]
        shutil.rmtree(desk.root)
        assert waiting(hub) == {}


def test_one_that_hangs_keeps_nobody_waiting(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put("people_1.csv", person(1))
    with desk.town.hub() as hub:
        real = watching.Watching._look_into

        def hanging(self: watching.Watching, *about: object) -> None:
            time.sleep(1.5)
            real(self, *about)  # type: ignore[arg-type]

        monkeypatch.setattr(watching.Watching, "_look_into", hanging)
        began = time.monotonic()
        assert hub.engine.watching.waiting(patience=0.1) == {}
        assert hub.engine.watching.waiting(patience=0.1) == {}
        assert time.monotonic() - began < 1.0
        time.sleep(1.6)
        assert list(waiting(hub)) == [SYNC]


def test_a_drop_on_a_server_is_looked_at_less_often(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put("people_1.csv", person(1))
    with desk.town.hub() as hub:
        assert list(waiting(hub)) == [SYNC]
        real = watching.Watching._candidates

        def far(self: watching.Watching) -> object:
            rows = real(self)
            for place in self._places.values():
                place.far = True
            return rows

        monkeypatch.setattr(watching.Watching, "_candidates", far)
        before = waiting(hub)
        desk.put("people_2.csv", person(2))
        for _ in range(3):
            assert waiting(hub) == before
            time.sleep(0.1)
        monkeypatch.setattr(watching, "FAR", 0.05)
        until = time.monotonic() + 60
        while waiting(hub) == before:
            assert time.monotonic() < until
            time.sleep(0.1)


def test_what_somebody_is_at_or_that_rests_is_left_out(desk: Desk) -> None:
    desk.put("people_1.csv", person(1))
    seen: dict[str, dict[str, str]] = {}
    with desk.town.hub() as hub:
        look = partial(waiting, hub)
        desk.town.run(SYNC, observe=lambda step, _: seen.setdefault(step, look()))
        assert list(seen["1.planned"]) == [SYNC]
        assert seen["2.leased"] == seen["6.gated"] == {}
        desk.put("people_2.csv", person(2))
        assert list(look()) == [SYNC]
        with hub.database.transaction() as session:
            session.get_one(ExchangeRow, SYNC).state = "paused"
        assert look() == {}
