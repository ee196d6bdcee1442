"""Files from a provider's drop through whole runs: seen once, refused by themselves, entered in the books."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from catalog import EndpointSpec
from exchange.db.tables import EventRow, FileRow, NoticeRow
from exchange.engine import RunResult
from exchange.errors import HubError
from tests.exchange.engine.town import COLUMNS, POLICE, SYNC, Town, at, build, counts, person, publish, resource, wrong
from tests.exchange.engine.witness import STEPS, Witness
from tests.exchange.engine.worker import Workers


class Desk:
    """The police's drop, and their hands."""

    def __init__(self, town: Town, root: Path) -> None:
        self.town = town
        self.root = root

    def offer(self, *, version: str | None = "ver", **options: Any) -> None:
        """Register the drop and let the resource be read from it."""
        with self.town.hub() as hub:
            spec = EndpointSpec(name="desk", department=POLICE, kind="files", options={"root": str(self.root)})
            hub.registration.put_endpoint(spec, by=self.town.actor("integrator"))
            offer = {
                "endpoint": "desk",
                "object": "people_*.csv",
                "columns": {name: name for name in COLUMNS},
                "capture": "batches",
                "options": {"after": "leave", **options},
            }
            publish(self.town, hub, resource(offer=offer, version_item=version))

    def put(self, name: str, *rows: dict[str, Any], broken: bool = False, aged: bool = True) -> None:
        """Drop a file and its manifest; what was reported is what should arrive."""
        text = ",".join(COLUMNS) + "\n" + "".join(",".join(str(row[each]) for each in COLUMNS) + "\n" for row in rows)
        content = (text + '"' * broken).encode()
        about = {"rows": len(rows), "sha256": hashlib.sha256(content).hexdigest()}
        (self.root / name).write_bytes(content)
        (self.root / f"{name}.manifest.json").write_text(json.dumps(about))
        if aged:
            for path in (self.root / name, self.root / f"{name}.manifest.json"):
                os.utime(path, (time.time() - 60, time.time() - 60))
        if not broken:
            for row in rows:
                self.town.reported[row["id_no"]] = dict(row)

    def books(self, *columns: str) -> list[tuple[Any, ...]]:
        """What the hub entered of files, in order."""
        with self.town.hub() as hub, hub.database.reading() as session:
            rows = session.scalars(sa.select(FileRow).order_by(FileRow.id)).all()
            return [tuple(getattr(row, name) for name in columns) for row in rows]

    def told(self, run: str, name: str) -> list[dict[str, Any]]:
        """What events of a type the log has of a run."""
        query = sa.select(EventRow.body).where(EventRow.run == run, EventRow.type == name)
        return self.town.all(query.order_by(EventRow.id))

    def notices(self, run: str) -> list[str]:
        """What the police were told of a run."""
        return self.town.all(sa.select(NoticeRow.text).where(NoticeRow.department == POLICE, NoticeRow.run == run))

    def run(self, **options: Any) -> RunResult:
        """Collect."""
        return self.town.run(SYNC, **options)


@pytest.fixture
def desk(town: Town, tmp_path: Path) -> Desk:
    root = tmp_path / "desk"
    root.mkdir()
    found = Desk(town, root)
    found.offer()
    return found


def test_each_file_once_and_in_the_books(desk: Desk, town: Town) -> None:
    desk.put("people_1.csv", person(1), person(2))
    desk.put("people_2.csv", person(3), wrong(4))
    first = desk.run()
    assert first.counts == counts(read=4, written=3, refused=1)
    assert first.files == {"taken": 2}
    assert desk.books("name", "rows", "state", "kind", "run", "provider") == [
        ("people_1.csv", 2, "taken", "data", first.id, POLICE),
        ("people_2.csv", 2, "taken", "data", first.id, POLICE),
    ]
    assert desk.told(first.id, "FilesCollected") == [{"taken": 2, "again": 0, "refused": 0, "standing": 0}]
    second = desk.run()
    assert (second.counts, second.files) == (counts(), {})
    assert desk.told(second.id, "FilesCollected") == []
    position = town.all(sa.text(f"SELECT position FROM exchange WHERE id = '{SYNC}'"))[0]
    assert len(str(position)) < 300
    desk.put("people_3.csv", person(1), person(2))
    third = desk.run()
    assert third.counts == counts(read=2, unchanged=2)
    assert desk.told(third.id, "FilesCollected") == [{"taken": 1, "again": 1, "refused": 0, "standing": 0}]
    assert town.rows("library") == town.good()
    assert town.faults() == []


def test_a_bad_file_stops_nobody_else(desk: Desk, town: Town) -> None:
    desk.put("people_1.csv", person(1))
    desk.put("people_2.csv", person(2), broken=True)
    desk.put("people_3.csv", person(3))
    (desk.root / "people_link.csv").symlink_to("/etc/hostname")
    first = desk.run()
    assert first.state == "settled"
    assert first.files == {"taken": 2, "refused": 2}
    assert town.rows("library") == town.good()
    assert sorted(desk.books("name", "state")) == [
        ("people_1.csv", "taken"),
        ("people_2.csv", "refused"),
        ("people_3.csv", "taken"),
        ("people_link.csv", "refused"),
    ]
    listed = (desk.root / "people_2.csv.refused.csv").read_text("utf-8-sig")
    assert listed.splitlines()[1].startswith('"0","文件 people_2.csv')
    assert not (desk.root / "people_link.csv.refused.csv").exists()
    assert len(desk.told(first.id, "FileRefused")) == 2
    assert all(set(body) == {"file", "size"} for body in desk.told(first.id, "FileRefused"))
    [notice] = desk.notices(first.id)
    assert "2 个文件整份退回" in notice
    assert "people_" not in notice, "the recipient reads it too, where he follows the run"
    with town.hub() as hub:
        assert {file.name for file in hub.engine.files.waiting(SYNC)} == {"people_2.csv", "people_link.csv"}
    second = desk.run()
    assert second.counts == counts()
    assert desk.told(second.id, "FileRefused") == []
    assert desk.notices(second.id) == [], "told once"
    desk.put("people_2.csv", person(2), person(5))
    third = desk.run()
    assert third.counts == counts(read=2, written=2)
    assert [state for name, state in desk.books("name", "state") if name == "people_2.csv"] == ["again", "taken"]
    assert town.rows("library") == town.good()
    assert town.faults() == []


def test_what_is_known_late_is_read_anew_without_it(desk: Desk, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bad files than a run stages anew for a lost stage, each found out after its rows were handed over."""
    monkeypatch.setattr("adapters.files.source.HELD", 0)
    monkeypatch.setattr("adapters.files.pickup.IN_MEMORY", 10_000)
    number = 0
    for name in range(6):
        rows = [person(number := number + 1) for _ in range(40_000 if name % 2 else 1)]
        desk.put(f"people_{name}.csv", *rows, broken=bool(name % 2))
    town.home.joinpath("shutong.toml").write_text(
        town.home.joinpath("shutong.toml").read_text().replace("batch_rows = 2", "batch_rows = 20000")
    )
    found = desk.run()
    assert found.files == {"taken": 3, "refused": 3}
    assert found.counts == counts(read=3, written=3)
    [restaged] = desk.told(found.id, "RunRestaged")
    assert "people_" not in restaged["reason"]
    assert town.rows("library") == town.good()
    assert town.stages("library") == []


def test_where_the_last_read_wins_the_others_wait(desk: Desk, town: Town) -> None:
    desk.offer(version=None)
    desk.put("people_1.csv", person(1))
    desk.put("people_2.csv", person(2), broken=True)
    desk.put("people_3.csv", person(1, name="后来"))
    assert desk.run().files == {"taken": 1, "refused": 1}
    again = desk.run()
    assert again.counts == counts()
    assert desk.told(again.id, "FilesCollected") == [{"taken": 0, "again": 0, "refused": 0, "standing": 1}]
    assert "其后 1 个文件须等它" in desk.books("reason")[1][0]
    desk.put("people_2.csv", person(2))
    assert desk.run().files == {"taken": 2}
    assert town.rows("library") == town.good()


def test_a_run_that_is_stopped_tells_of_the_bad_files_alone(desk: Desk, town: Town) -> None:
    desk.put("people_1.csv", *(wrong(number) for number in range(5)))
    desk.put("people_2.csv", person(2), broken=True)
    stopped = desk.run()
    assert stopped.state == "stopped"
    assert desk.books("name", "state") == [("people_2.csv", "refused")]
    desk.put("people_1.csv", person(1))
    assert desk.run().files == {"taken": 1, "refused": 1}
    assert sorted(desk.books("name", "state")) == [("people_1.csv", "taken"), ("people_2.csv", "refused")]


def test_a_directory_that_is_away_fails_the_run_and_loses_nothing(desk: Desk, town: Town) -> None:
    desk.put("people_1.csv", person(1))
    hidden = desk.root.with_name("away")
    desk.root.rename(hidden)
    with pytest.raises(HubError):
        desk.run()
    hidden.rename(desk.root)
    assert desk.run().counts == counts(read=1, written=1)


@pytest.mark.long_with("leave", "delete")
@pytest.mark.parametrize("after", ["leave", "move", "delete"])
def test_whoever_dies_wherever_every_file_is_taken_once(
    town: Town, tmp_path: Path, workers: Workers, after: str
) -> None:
    """SIGKILL once at every step, and after every change while settling: nothing lost, nothing twice."""
    root = tmp_path / "desk"
    root.mkdir()
    desk = Desk(town, root)
    desk.offer(after=after)
    witness = Witness(town, workers)
    number = 0
    points = [(step, 1) for step in STEPS] + [(f"settle:{each}", 1) for each in range(1, 4)]
    if after != "move":
        points = [point for point in points if point[0] in ("3.read", "5.manifest", "8.promoted", "settle:1")]
    for point in points:
        number += 1
        desk.put(f"people_{number:02}.csv", person(10 * number), person(10 * number + 1))
        desk.put(f"people_{number:02}_bad.csv", person(5000 + number), broken=True)
        # The same file with other content, where it still lies there.
        desk.put("people_00.csv", person(1, version=number))
        status = workers.run(town.home, SYNC, *point)
        assert status in (-signal.SIGKILL, 0), workers.said
        witness.lapse(SYNC)
        witness.finish(SYNC, str(point))
        assert witness.faults == []
        assert town.rows("library") == town.good(), point
        books = [(name, state, rows) for name, state, rows in desk.books("name", "state", "rows")]
        taken = [name for name, state, _ in books if state == "taken"]
        assert taken.count("people_00.csv") == number, point
        assert [taken.count(f"people_{each:02}.csv") for each in range(1, number + 1)] == [1] * number, point
        bad = [name for name, state, _ in books if state == "refused"]
        assert sorted(bad) == [f"people_{each:02}_bad.csv" for each in range(1, number + 1)], point
        # The list of what was seen is true: the next run reads nothing.
        assert desk.run().counts == counts(), point
        assert witness.files() == witness.manifests(), "notes of the dead are swept up"
    assert all((root / f"people_{each:02}_bad.csv.refused.csv").exists() for each in range(1, number + 1))
    left = {path.name for path in root.glob("people_*.csv") if "refused" not in path.name and "bad" not in path.name}
    kept = {"people_00.csv", *(f"people_{each:02}.csv" for each in range(1, number + 1))}
    assert left == (kept if after == "leave" else set())
    if after == "move":
        moved = {path.name for path in (root / "taken").iterdir() if "manifest" not in path.name}
        assert kept <= moved
    assert town.faults() == []


def test_the_books_on_a_server(postgresql_server: Any, tmp_path: Path) -> None:
    """The hub's own database is not always a file."""
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library", "tax")}
    root = tmp_path / "desk"
    root.mkdir()
    with closing(build(tmp_path / "home", urls, hub_url=postgresql_server.new_database())) as town:
        desk = Desk(town, root)
        desk.offer()
        desk.put("people_1.csv", person(1))
        desk.put("people_2.csv", person(2), broken=True)
        assert desk.run().files == {"taken": 1, "refused": 1}
        desk.put("people_2.csv", person(2))
        assert desk.run().files == {"taken": 1}
        assert desk.books("state") == [("taken",), ("again",), ("taken",)]
        assert town.faults() == []


def test_two_workers_on_one_directory(desk: Desk, town: Town, workers: Workers) -> None:
    desk.put("people_1.csv", person(1), person(2))
    desk.put("people_2.csv", person(3), broken=True)
    ended = workers.together(town.home, SYNC, "meet", "meet", "meet")
    assert 0 in ended
    assert desk.run().counts == counts()
    assert sorted(desk.books("name", "state")) == [("people_1.csv", "taken"), ("people_2.csv", "refused")]
    assert town.rows("library") == town.good()


def test_a_file_that_is_still_written_comes_with_the_next_run(desk: Desk, town: Town) -> None:
    desk.put("people_1.csv", person(1))
    desk.put("people_2.csv", person(2))
    grow = at("2.leased", lambda: desk.put("people_2.csv", person(2), person(3)))
    desk.run(observe=grow)
    desk.run()
    assert town.rows("library") == town.good()
    assert [name for name, state in desk.books("name", "state") if state != "taken"] == []
    assert town.runs(SYNC)[-1].state == "settled"
