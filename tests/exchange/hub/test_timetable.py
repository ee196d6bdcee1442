"""The snapshot follows the commits that change it; what dies between the two is healed."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from catalog import Department
from exchange.db.tables import ExchangeRow, GrantRow
from exchange.errors import Busy, Failed
from exchange.hub import open_hub
from exchange.hub.timetable import Timetable
from exchange.identity import current_actor
from exchange.snapshot import Scheduled, read
from tests.exchange.engine.test_files import Desk
from tests.exchange.engine.town import CODE, POLICE, SYNC, Town, build, person
from tests.exchange.engine.worker import Workers

HERE = "tests.exchange.hub.test_timetable"


def scheduled(town: Town) -> dict[str, Scheduled]:
    return {each.id: each for each in read(town.home / "airflow" / "snapshot.json").exchanges}


def test_nothing_is_written_where_nobody_schedules(town: Town) -> None:
    town.report(person(1))
    town.run_both()
    town.change("suspend")
    with town.hub() as hub:
        assert "snapshot" not in hub.timetable.keep().done
    assert not (town.home / "airflow").exists()


def test_a_change_of_the_directory_is_in_the_snapshot_when_the_command_ends(town: Town) -> None:
    with town.hub() as hub:
        published = hub.timetable.publish()
        assert (published.changed, published.exchanges, published.broken) == (True, 2, {})
        assert hub.timetable.publish().changed is False
    assert set(scheduled(town)) == {SYNC, town.share}
    town.change("suspend")
    assert scheduled(town)[town.share].paused is True
    town.change("resume")
    assert scheduled(town)[town.share].paused is None
    with town.hub() as hub:
        department = Department(code=POLICE, name="市公安局", division="321200")
        hub.registration.put_department(department, by=town.actor("integrator"))
    assert scheduled(town)[SYNC].owner == "市公安局"
    town.change("revoke")
    assert set(scheduled(town)) == {SYNC}


def test_what_every_run_moves_writes_nothing(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    with town.hub() as hub:
        hub.timetable.publish()
    looks: list[int] = []
    monkeypatch.setattr(Timetable, "publish", lambda _self: looks.append(1))
    town.report(person(1), person(2))
    town.run_both()
    with town.hub() as hub:
        hub.oversight.status()
        hub.directory.resources(by=town.actor("integrator"))
    assert looks == []
    town.change("suspend")
    assert looks == [1]


def test_a_comparison_that_is_rolled_back_writes_nothing(town: Town, tmp_path: Path) -> None:
    with town.hub() as hub:
        hub.timetable.publish()
        before = hub.timetable.path.read_bytes()
        file = tmp_path / "exchanges.yaml"
        file.write_text(f"exchanges:\n  - id: {SYNC}\n    schedule: 30 3 * * *\n", encoding="utf-8")
        hub.configuration.plan([file], by=town.actor("integrator"))
        assert hub.timetable.path.read_bytes() == before
        hub.configuration.apply([file], by=town.actor("integrator"))
    assert scheduled(town)[SYNC].cron == "30 3 * * *"


def test_a_folder_that_cannot_be_written_to_undoes_nothing_and_is_told(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with town.hub() as hub:
        hub.timetable.publish()

    def full(*_: Any) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("exchange.hub.timetable.write", full)
    town.change("suspend")
    assert "housekeeping" in caplog.text
    with town.hub() as hub:
        with pytest.raises(Failed, match="不能写排班快照"):
            hub.timetable.publish()
        kept = hub.timetable.keep()
        assert "snapshot" in kept.failed
        assert "grants" in kept.done
        monkeypatch.undo()
        assert scheduled(town)[town.share].paused is None
        assert hub.timetable.keep().done["snapshot"] == 1
    assert scheduled(town)[town.share].paused is True


def dying_before_it_is_written(order: dict[str, Any]) -> None:
    """Change a grant and die once that is committed."""
    hub = open_hub(Path(order["home"]))
    hub.timetable._changed = lambda: None  # type: ignore[method-assign]
    hub.database.changes._followers = [
        (watched, lambda: os.kill(os.getpid(), signal.SIGKILL)) for watched, _ in hub.database.changes._followers
    ]
    by = current_actor(hub.settings, "chief")
    hub.sharing.change(order["grant"], "revoke", reason="测试", by=by)


def test_a_death_between_the_commit_and_the_writing_is_healed_by_housekeeping(town: Town, workers: Workers) -> None:
    with town.hub() as hub:
        hub.timetable.publish()
    status, _ = workers.do(f"{HERE}:dying_before_it_is_written", home=str(town.home), grant=town.grant)
    assert status == -signal.SIGKILL, workers.said
    with town.hub() as hub:
        with hub.database.reading() as session:
            assert session.get_one(GrantRow, town.grant).state == "revoked"
        assert set(scheduled(town)) == {SYNC, town.share}
        assert hub.timetable.keep().done["snapshot"] == 1
        assert hub.timetable.keep().done["snapshot"] == 0
    assert set(scheduled(town)) == {SYNC}


def test_of_several_who_publish_the_last_one_has_seen_everything(town: Town) -> None:
    with town.hub() as hub:
        hub.timetable.publish()
        lock = hub.timetable.path.with_name(".snapshot.json.lock")
        with lock.open("a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            first = threading.Thread(target=hub.timetable.publish)
            first.start()  # waits, and has not looked yet
            with hub.database.transaction() as session:
                hub.timetable._changed = lambda: None  # type: ignore[method-assign]
                hub.database.changes._followers.clear()
                session.get_one(ExchangeRow, SYNC).settings = {"priority": 7}
        first.join()
    assert scheduled(town)[SYNC].priority == 7


def test_who_stands_still_over_it_keeps_no_command_for_long(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("exchange.hub.timetable.PATIENCE", 0.1)
    with town.hub() as hub:
        hub.timetable.publish()
        lock = hub.timetable.path.with_name(".snapshot.json.lock")
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        town.change("revoke")
        assert "正由其他进程书写" in caplog.text
        with town.hub() as hub, pytest.raises(Busy):
            hub.timetable.publish()
    assert set(scheduled(town)) == {SYNC, town.share}
    with town.hub() as hub:
        assert hub.timetable.keep().done["snapshot"] == 1
    assert set(scheduled(town)) == {SYNC}


def test_a_hub_on_a_server_tells_the_same(tmp_path: Path, postgresql_server: Any) -> None:
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls, hub_url=postgresql_server.new_database())) as town, town.hub() as hub:
        by = town.actor("integrator")
        assert hub.timetable.publish().exchanges == 2
        assert hub.timetable.lost(0) == [SYNC, town.share]
        assert hub.timetable.waiting() == {}
        assert [each.exchange for each in hub.timetable.freshness()] == [SYNC]
        with hub.database.transaction() as session:
            session.get_one(ExchangeRow, SYNC).created_at -= timedelta(days=9)
        assert hub.timetable.keep().done["freshness"] == 1
        (tmp_path / "desk").mkdir()
        desk = Desk(town, tmp_path / "desk")
        desk.offer()
        desk.put("people_1.csv", person(1))
        assert set(hub.timetable.waiting()) == {SYNC}
        assert hub.pausing.pause("endpoint", "desk", reason="检修", by=by) == (SYNC,)
        assert hub.timetable.waiting() == {}
        assert scheduled(town)[SYNC].paused is True
        assert hub.timetable.lost(0) == [town.share]
        assert hub.pausing.resume("endpoint", "desk", reason="好了", by=by) == (SYNC,)
    assert scheduled(town)[SYNC].paused is None


def test_it_is_the_resources_code_that_is_refreshed_and_read(town: Town) -> None:
    with town.hub() as hub:
        found = {each.id: each for each in hub.timetable.snapshot().exchanges}
    assert (found[SYNC].refreshes, found[SYNC].reads) == ((CODE,), ())
    assert (found[town.share].refreshes, found[town.share].reads) == ((), (CODE,))
