"""The bundle that Airflow reads the hub's exchanges from (排班文件包): the snapshot, spread over a few files.

The processor asks every few seconds whether there is anything new. Only files whose exchanges changed are written, and
Airflow reads again what was written; an endpoint's pool is there before the file that names it. A snapshot that
cannot be read leaves everything as it is, and the reason stands among the import errors until there is a good one.
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow.dag_processing.bundles.base import BaseDagBundle

from exchange.errors import HubError
from exchange.scheduling.batches import BATCH
from exchange.scheduling.factory import fault, parts, pool, snapshot_file, unschedulable
from exchange.scheduling.keeping import HOUSEKEEPERS
from exchange.snapshot import Pool, Snapshot, read, write

UNREADABLE = "unreadable_snapshot.py"
"""Stands there while the snapshot cannot be read."""
HOUSEKEEPING = "housekeeping.py"
BATCHES = "batches.py"
KEPT_FOR = timedelta(days=2)
"""How long a delivery waits for all of its resources to be refreshed on one day, after the first of them was."""
TIDY_EVERY = 10.0
"""Seconds between two looks for what waits in vain."""

_EXCHANGES = '''"""DAGs of some of the hub's exchanges, for Airflow. Content {digest}."""

from exchange.scheduling.factory import planned

globals().update(planned({part!r}))
'''
_HOUSEKEEPING = '''"""DAGs of the hub's housekeeping, for Airflow."""

from exchange.scheduling.keeping import dags

globals().update(dags())
'''
_BATCHES = '''"""The DAG of the exchanges that have none of their own, for Airflow."""

from exchange.scheduling.batches import dags

globals().update(dags({snapshot!r}))
'''
_REFUSED = '''"""In place of a DAG, for Airflow to show."""

from exchange.errors import Invalid

raise Invalid({reason!r})
'''


class HubBundle(BaseDagBundle):
    """The exchanges of one hub, as Airflow reads DAGs.

    Args:
        snapshot: The hub's snapshot file; by default that of the hub that ``SHUTONG_HOME`` names.
        options: What every bundle may be told.
    """

    supports_versioning = False

    def __init__(self, *, snapshot: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.snapshot = Path(snapshot).expanduser() if snapshot else snapshot_file()
        self._seen: object = None
        self._wanted: frozenset[str] | None = None
        self._tidied = -TIDY_EVERY

    @property
    def path(self) -> Path:
        """Where the files are."""
        return self.base_dir / "files"

    def get_current_version(self) -> None:
        """There are no versions: a run always goes by what holds now."""
        return

    def initialize(self) -> None:
        """Write the files, for whoever needs them here."""
        with self.lock():
            self._render()
        super().initialize()

    def refresh(self) -> None:
        """Make the pools, then the files, from the snapshot as it is now; asked by the processor alone."""
        with self.lock():
            self._render(pools=True)
        if time.monotonic() - self._tidied > TIDY_EVERY:
            self._tidied = time.monotonic()
            if self._wanted is not None:
                retire(self.name, self._wanted)
            forget_unmet(self.name)
            close_runs(self.name)

    def _render(self, *, pools: bool = False) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        seen = (_mark(self.snapshot), pools)
        if seen == self._seen and (self.path / HOUSEKEEPING).exists():
            return
        _put(self.path / HOUSEKEEPING, _HOUSEKEEPING)
        try:
            snapshot = read(self.snapshot)
        except HubError as error:
            reason = f"{error.message}；仍按上一份有效的排班执行（{error.remedy}）"
            _put(self.path / UNREADABLE, _REFUSED.format(reason=reason))
            return
        if pools:
            make_pools(snapshot)
        render(self.path, snapshot, self.snapshot)
        alone = [each.id for each in snapshot.exchanges if not each.batched]
        batch = [BATCH] if len(alone) < len(snapshot.exchanges) else []
        self._wanted = frozenset([*alone, *batch, *HOUSEKEEPERS])
        (self.path / UNREADABLE).unlink(missing_ok=True)
        self._seen = seen


def render(folder: Path, snapshot: Snapshot, source: Path) -> None:
    """Write what changed of a snapshot into a folder of files, and take away what is over.

    Args:
        folder: Where Airflow looks for DAGs.
        snapshot: What is to be scheduled.
        source: The file it was read from.
    """
    kept = {HOUSEKEEPING, UNREADABLE}
    if any(each.batched for each in snapshot.exchanges):
        _put(folder / BATCHES, _BATCHES.format(snapshot=str(source)))
        kept.add(BATCHES)
    for number, part in parts(snapshot).items():
        kept |= _render_part(folder, number, part)
    for exchange, reason in snapshot.broken.items():
        kept.add(_refuse(folder, f"refused_{_safe(exchange)}.py", exchange, reason))
    for stale in folder.glob("*.py"):
        if stale.name not in kept:
            stale.unlink(missing_ok=True)
            stale.with_suffix(".json").unlink(missing_ok=True)


def _render_part(folder: Path, number: int, part: Snapshot) -> set[str]:
    """Write one file of exchanges, and one for each of them that cannot be scheduled; the names of all of them."""
    file, data, mark = folder / f"exchanges_{number:02}.py", folder / f"exchanges_{number:02}.json", f"_{number:02}_"
    digest = sha256(part.written().encode()).hexdigest()[:16]
    text = _EXCHANGES.format(digest=digest, part=str(data))
    if data.exists() and _text(file) == text:
        return {file.name, *(each.name for each in folder.glob(f"refused{mark}*.py"))}
    faults = {each.id: reason for each in part.exchanges if (reason := fault(each)) is not None}
    kept = {
        _refuse(folder, f"refused{mark}{_safe(exchange)}.py", exchange, reason) for exchange, reason in faults.items()
    }
    # A task reads whichever part it finds: the one before and this one are both whole.
    write(data, Snapshot(exchanges=tuple(each for each in part.exchanges if each.id not in faults)))
    _put(file, text)
    return kept | {file.name}


def _refuse(folder: Path, name: str, exchange: str, reason: str) -> str:
    _put(folder / name, _REFUSED.format(reason=unschedulable(exchange, reason)))
    return name


def make_pools(snapshot: Snapshot) -> None:
    """Make and update the endpoints' pools in Airflow (端点并发池)."""
    from airflow.models.pool import Pool as PoolModel
    from airflow.utils.session import create_session

    named = {each.name: each for each in snapshot.pools}
    # A task that names a pool which is not there would wait for ever, and nobody would say so.
    bare = {each.pool for each in snapshot.exchanges if each.pool} - named.keys()
    with create_session() as session:
        for each in (*named.values(), *(Pool(name, 1) for name in sorted(bare))):
            PoolModel.create_or_update_pool(
                pool(each.name), each.slots, each.description, include_deferred=False, session=session
            )


def retire(bundle: str, wanted: Collection[str]) -> None:
    """Take DAGs of exchanges that are over out of sight (交换下架).

    Airflow itself does so at the next reading of their file but one, minutes later.

    Args:
        bundle: Name of the bundle whose DAGs are meant.
        wanted: Ids of those that are to stay.
    """
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select, update

    with create_session() as session:
        ours = select(DagModel.dag_id).where(DagModel.bundle_name == bundle, ~DagModel.is_stale)
        over = [dag for dag in session.scalars(ours) if dag not in wanted]
        if over:
            session.execute(update(DagModel).where(DagModel.dag_id.in_(over)).values(is_stale=True))


def forget_unmet(bundle: str) -> None:
    """Forget deliveries that waited in vain for a day on which all of their resources were refreshed.

    Airflow keeps them for ever, and looks at no more than the oldest five hundred: those would keep all others.

    Args:
        bundle: Name of the bundle whose DAGs are meant.
    """
    from airflow.models.asset import AssetPartitionDagRun, PartitionedAssetKeyLog
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete, select

    with create_session() as session:
        unmet = (
            select(AssetPartitionDagRun.id)
            .join(DagModel, DagModel.dag_id == AssetPartitionDagRun.target_dag_id)
            .where(
                AssetPartitionDagRun.created_dag_run_id.is_(None),
                AssetPartitionDagRun.created_at < datetime.now(UTC) - KEPT_FOR,
                DagModel.bundle_name == bundle,
            )
        )
        found = session.scalars(unmet).all()
        for model, column in (
            (PartitionedAssetKeyLog, PartitionedAssetKeyLog.asset_partition_dag_run_id),
            (AssetPartitionDagRun, AssetPartitionDagRun.id),
        ):
            session.execute(delete(model).where(column.in_(found)))


def close_runs(bundle: str) -> None:
    """End runs of exchanges that are over (交换已结束): Airflow itself never looks at them again.

    Nothing is owed by them any more: what was begun, the hub ends by its own books. One that is at work ends first.

    Args:
        bundle: Name of the bundle whose DAGs are meant.
    """
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState, State, TaskInstanceState
    from sqlalchemy import select

    with create_session() as session:
        over = (
            select(DagRun)
            .join(DagModel, DagModel.dag_id == DagRun.dag_id)
            .where(
                DagModel.bundle_name == bundle,
                DagModel.is_stale,
                DagRun.state.in_((DagRunState.QUEUED, DagRunState.RUNNING)),
            )
        )
        for run in session.scalars(over).all():
            of_run = TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.run_id
            tasks = session.scalars(select(TaskInstance).where(*of_run)).all()
            if any(task.state == TaskInstanceState.RUNNING for task in tasks):
                continue
            for task in tasks:
                if task.state not in State.finished:
                    task.state = TaskInstanceState.SKIPPED
                    task.end_date = datetime.now(UTC)
            run.set_state(DagRunState.SUCCESS)


def _safe(exchange: str) -> str:
    """An id as part of a file name; two ids never share one."""
    return f"{re.sub(r'[^A-Za-z0-9]', '_', exchange)[:80]}_{zlib.crc32(exchange.encode()):08x}"


def _mark(path: Path) -> object:
    """What changes when a file does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


def _put(path: Path, text: str) -> None:
    """Write a file whole, and only if it says anything new: its time tells Airflow to read it again."""
    if _text(path) == text:
        return
    new = path.with_name(f".{path.name}.{uuid4().hex}")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
