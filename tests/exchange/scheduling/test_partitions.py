"""What Airflow makes of events with keys: what the schedules of deliveries rest on, asked of its scheduler itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.assets.manager import asset_manager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.asset import AssetModel, AssetPartitionDagRun, PartitionedAssetKeyLog
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import delete, select, update

from exchange.scheduling.assets import call, resource
from exchange.scheduling.bundle import KEPT_FOR, HubBundle, close_runs, forget_unmet, retire
from exchange.scheduling.keeping import HOUSEKEEPERS
from exchange.snapshot import Scheduled, Snapshot, write
from tests.exchange.scheduling.test_factory import SHARE, SYNC

FIRST, SECOND = "101001001/0001", "101001001/0002"
DELIVERY = replace(SHARE, reads=(FIRST,), pool="")
BOTH = replace(SHARE, id="share-G2", reads=(FIRST, SECOND), all_of=True, pool="")
TIMED = replace(SYNC, id="sync-timed", refreshes=(FIRST, SECOND), pool="")


class Scheduler:
    """Airflow's scheduler in this process, as far as events start runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runner = SchedulerJobRunner(job=Job())

    def refreshed(self, code: str, key: str | None) -> None:
        """A resource was refreshed."""
        self._event(resource(code).name, resource(code).uri, key)

    def called(self, exchange: str, key: str | None) -> None:
        """An exchange is called."""
        self._event(call(exchange).name, call(exchange).uri, key)

    def _event(self, name: str, uri: str, key: str | None) -> None:
        with create_session() as session:
            asset = session.scalars(select(AssetModel).where(AssetModel.name == name)).one()
            assert asset.uri == uri
            asset_manager.register_asset_change(asset=asset, partition_key=key, session=session)

    def tick(self) -> list[tuple[str, str | None]]:
        """Let it look once; every run that it made since the beginning, with its key."""
        with create_session() as session:
            self.runner._create_dagruns_for_partitioned_asset_dags(session)
        return self.runs()

    def runs(self) -> list[tuple[str, str | None]]:
        with create_session() as session:
            return [(run.dag_id, run.partition_key) for run in session.scalars(select(DagRun).order_by(DagRun.id))]

    def pending(self) -> list[str]:
        """Keys for which there is no run yet."""
        with create_session() as session:
            query = select(AssetPartitionDagRun.partition_key).where(AssetPartitionDagRun.created_dag_run_id.is_(None))
            return sorted(session.scalars(query))


@pytest.fixture
def scheduler(tmp_path_factory: pytest.TempPathFactory, airflow_database: None) -> Iterator[Scheduler]:
    folder = tmp_path_factory.mktemp("known")
    know(folder, DELIVERY, BOTH, TIMED)
    yield Scheduler(folder)
    with create_session() as session:
        for model in (PartitionedAssetKeyLog, AssetPartitionDagRun, DagRun):
            session.execute(delete(model))


def know(folder: Path, *exchanges: Scheduled) -> None:
    """Make Airflow know exchanges, by the way of the bundle."""
    bundle = HubBundle(name="hub", snapshot=str(folder / "snapshot.json"))
    write(bundle.snapshot, Snapshot(exchanges))
    bundle.refresh()
    bag = DagBag(str(bundle.path), bundle_path=bundle.path, bundle_name=bundle.name)
    with create_session() as session:
        session.merge(DagBundleModel(name="hub"))
        session.flush()
        sync_bag_to_db(bag, "hub", None, session=session)


def test_refreshes_of_one_minute_are_one_run_while_nobody_has_begun_it(scheduler: Scheduler) -> None:
    for _ in range(3):
        scheduler.refreshed(FIRST, "2026-11-22T16:21")
    assert scheduler.pending().count("2026-11-22T16:21") == 1
    assert scheduler.tick() == [(DELIVERY.id, "2026-11-22T16:21")]
    assert scheduler.tick() == [(DELIVERY.id, "2026-11-22T16:21")]


def test_a_refresh_of_the_same_minute_after_that_is_another_run(scheduler: Scheduler) -> None:
    scheduler.refreshed(FIRST, "2026-11-22T16:21")
    scheduler.tick()
    scheduler.refreshed(FIRST, "2026-11-22T16:21")
    assert scheduler.tick() == [(DELIVERY.id, "2026-11-22T16:21")] * 2


def test_every_minute_is_a_run_of_its_own(scheduler: Scheduler) -> None:
    keys = [f"2026-11-22T16:{minute}" for minute in range(21, 26)]
    for key in keys:
        scheduler.refreshed(FIRST, key)
    assert scheduler.tick() == [(DELIVERY.id, key) for key in keys]


def test_a_delivery_is_called_by_a_key_and_only_by_one(scheduler: Scheduler) -> None:
    scheduler.called(DELIVERY.id, None)
    assert scheduler.tick() == []
    scheduler.called(DELIVERY.id, "2026-11-22T16:21")
    assert scheduler.tick() == [(DELIVERY.id, "2026-11-22T16:21")]


def test_all_of_waits_until_all_were_refreshed_on_one_day(scheduler: Scheduler) -> None:
    scheduler.refreshed(FIRST, "2026-11-22T23:59")
    scheduler.refreshed(SECOND, "2026-11-23T00:01")
    assert BOTH.id not in dict(scheduler.tick())
    scheduler.refreshed(FIRST, "2026-11-23T08:00")
    assert (BOTH.id, "2026-11-23") in scheduler.tick()
    # One of them again: the day begins anew, for both.
    scheduler.refreshed(FIRST, "2026-11-23T09:00")
    before = scheduler.tick()
    scheduler.refreshed(SECOND, "2026-11-23T09:30")
    assert scheduler.tick().count((BOTH.id, "2026-11-23")) == before.count((BOTH.id, "2026-11-23")) + 1 == 2


def test_all_of_is_called_without_any_of_them(scheduler: Scheduler) -> None:
    scheduler.called(BOTH.id, "2026-11-22T16:21")
    assert scheduler.tick() == [(BOTH.id, "2026-11-22")]


def test_what_waits_in_vain_for_its_day_is_forgotten(scheduler: Scheduler) -> None:
    scheduler.refreshed(FIRST, "2026-11-20T10:00")
    scheduler.tick()
    old = datetime.now(UTC) - KEPT_FOR - timedelta(hours=1)
    with create_session() as session:
        session.execute(update(AssetPartitionDagRun).values(created_at=old))
    scheduler.refreshed(FIRST, "2026-11-22T10:00")
    scheduler.tick()
    assert scheduler.pending() == ["2026-11-20", "2026-11-22"]
    forget_unmet("another")
    assert scheduler.pending() == ["2026-11-20", "2026-11-22"]
    forget_unmet("hub")
    assert scheduler.pending() == ["2026-11-22"]
    with create_session() as session:
        keys = set(session.scalars(select(PartitionedAssetKeyLog.target_partition_key)))
    # What ran is left to Airflow's own cleaning.
    assert keys == {"2026-11-20T10:00", "2026-11-22T10:00", "2026-11-22"}


def test_a_change_of_the_condition_drops_what_was_pending(scheduler: Scheduler) -> None:
    """Why housekeeping looks: this is one of Airflow's ways to lose an event."""
    scheduler.refreshed(FIRST, "2026-11-22T10:00")
    scheduler.tick()
    assert scheduler.pending() == ["2026-11-22"]
    know(scheduler.folder, DELIVERY, replace(BOTH, all_of=False), TIMED)
    scheduler.tick()
    assert scheduler.pending() == []
    assert BOTH.id not in dict(scheduler.runs())


def test_runs_of_an_exchange_that_is_over_are_ended_when_nothing_of_them_is_at_work(scheduler: Scheduler) -> None:
    scheduler.refreshed(FIRST, "2026-11-22T16:21")
    scheduler.refreshed(FIRST, "2026-11-22T16:22")
    scheduler.tick()

    def states() -> list[tuple[str, str | None]]:
        with create_session() as session:
            query = select(DagRun.state, TaskInstance.state).join(TaskInstance, TaskInstance.run_id == DagRun.run_id)
            return [(str(run), task) for run, task in session.execute(query.order_by(DagRun.id))]

    with create_session() as session:
        tasks = session.scalars(select(TaskInstance).join(DagRun, TaskInstance.run_id == DagRun.run_id)).all()
        tasks[0].state = "running"
    before = states()
    close_runs("hub")
    assert states() == before  # the exchange is not over
    with create_session() as session:
        session.execute(update(DagModel).where(DagModel.dag_id == DELIVERY.id).values(is_stale=True))
    close_runs("another")
    assert states() == before
    close_runs("hub")
    assert sorted(states(), key=str) == sorted([("queued", "running"), ("success", "skipped")], key=str)
    with create_session() as session:
        session.execute(update(TaskInstance).values(state="skipped"))
    close_runs("hub")
    assert states() == [("success", "skipped")] * 2


def test_what_is_over_is_taken_out_of_sight_at_once(scheduler: Scheduler) -> None:
    def seen() -> set[str]:
        with create_session() as session:
            query = select(DagModel.dag_id).where(DagModel.bundle_name == "hub", ~DagModel.is_stale)
            return set(session.scalars(query))

    everything = {DELIVERY.id, BOTH.id, TIMED.id, *HOUSEKEEPERS}
    assert seen() == everything
    retire("another", set())
    retire("hub", everything)
    assert seen() == everything
    retire("hub", everything - {BOTH.id})
    assert seen() == everything - {BOTH.id}
    know(scheduler.folder, DELIVERY, BOTH, TIMED)
    assert seen() == everything
