from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models.pool import Pool as PoolModel
from airflow.utils.session import create_session

from exchange.scheduling.bundle import HOUSEKEEPING, UNREADABLE, HubBundle
from exchange.scheduling.factory import pool, shard
from exchange.snapshot import FORMAT, Pool, Scheduled, Snapshot, write
from tests.exchange.scheduling.test_factory import SHARE, SYNC, many

HERE = ("shutong-keep", "shutong-verify")


@pytest.fixture
def bundle(tmp_path: Path, airflow_database: None) -> Iterator[HubBundle]:
    """A bundle of a snapshot that is not there yet."""
    made = HubBundle(name=f"b{tmp_path.name}", snapshot=str(tmp_path / "snapshot.json"))
    yield made
    with create_session() as session:
        for each in session.query(PoolModel).where(PoolModel.pool.like("shutong:%")):
            session.delete(each)


def found(bundle: HubBundle) -> DagBag:
    """What Airflow reads there."""
    return DagBag(str(bundle.path), bundle_path=bundle.path, bundle_name=bundle.name)


def files(bundle: HubBundle) -> dict[str, int]:
    """Names of the files with DAGs, and when each was written."""
    return {path.name: path.stat().st_mtime_ns for path in bundle.path.glob("*.py")}


def refresh(bundle: HubBundle, *exchanges: Scheduled, pools: tuple[Pool, ...] = (), **broken: str) -> DagBag:
    write(bundle.snapshot, Snapshot(exchanges, pools, broken))
    bundle.refresh()
    return found(bundle)


def test_every_exchange_is_read_from_one_of_few_files(bundle: HubBundle) -> None:
    write(bundle.snapshot, many(60))
    bundle.initialize()
    bundle.refresh()
    bag = found(bundle)
    assert bag.import_errors == {}
    assert len(bag.dags) == 60 + len(HERE)
    assert set(HERE) < set(bag.dags)
    assert {Path(bag.dags["share-G00001"].fileloc).name} == {f"exchanges_{shard('share-G00001'):02}.py"}


def test_only_what_changed_is_written_again(bundle: HubBundle) -> None:
    everything = many(60).exchanges
    refresh(bundle, *everything)
    before = files(bundle)
    bundle.refresh()
    assert files(bundle) == before
    changed = replace(everything[7], title="改了名称")
    refresh(bundle, *(changed if each.id == changed.id else each for each in everything))
    after = files(bundle)
    assert [name for name in after if after[name] != before[name]] == [f"exchanges_{shard(changed.id):02}.py"]


def test_a_file_whose_last_exchange_went_goes_with_it(bundle: HubBundle) -> None:
    assert shard(SYNC.id) != shard(SHARE.id)
    refresh(bundle, SYNC, SHARE)
    bag = refresh(bundle, SYNC)
    assert sorted(files(bundle)) == sorted([f"exchanges_{shard(SYNC.id):02}.py", HOUSEKEEPING])
    assert sorted(bag.dags) == sorted([SYNC.id, *HERE])
    assert len(list(bundle.path.glob("*.json"))) == 1


@pytest.mark.parametrize("harm", ["missing", "torn", "newer"])
def test_a_snapshot_that_cannot_be_read_leaves_what_was_and_says_so_once(bundle: HubBundle, harm: str) -> None:
    refresh(bundle, SYNC, SHARE)
    good = bundle.snapshot.read_text()
    if harm == "missing":
        bundle.snapshot.unlink()
    else:
        newer = json.dumps(json.loads(good) | {"format": FORMAT + 1})
        bundle.snapshot.write_text(good[: len(good) // 2] if harm == "torn" else newer)
    bundle.refresh()
    bag = found(bundle)
    assert sorted(bag.dags) == sorted([SYNC.id, SHARE.id, *HERE])
    [(file, told)] = bag.import_errors.items()
    assert Path(file).name == UNREADABLE
    assert {"missing": "没有排班快照", "torn": "不完整", "newer": "其他版本"}[harm] in told
    assert "上一份" in told
    bundle.snapshot.write_text(good)
    bundle.refresh()
    assert found(bundle).import_errors == {}
    assert UNREADABLE not in files(bundle)


def test_without_any_snapshot_housekeeping_still_runs(bundle: HubBundle) -> None:
    bundle.refresh()
    bag = found(bundle)
    assert sorted(bag.dags) == sorted(HERE)
    assert [Path(each).name for each in bag.import_errors] == [UNREADABLE]


@pytest.mark.parametrize("who", ["the hub", "the factory"])
def test_a_broken_exchange_is_exactly_one_import_error(bundle: HubBundle, who: str) -> None:
    def told() -> DagBag:
        if who == "the hub":
            return refresh(bundle, SYNC, **{SHARE.id: "端点没有登记"})
        return refresh(bundle, SYNC, replace(SHARE, cron="61 * * * *"))

    for _again in range(2):
        bag = told()
        assert sorted(bag.dags) == sorted([SYNC.id, *HERE])
        [error] = bag.import_errors.values()
        assert SHARE.id in error
        assert ("端点没有登记" if who == "the hub" else "时间表") in error
    bag = refresh(bundle, SYNC, SHARE)
    assert bag.import_errors == {}
    assert sorted(bag.dags) == sorted([SYNC.id, SHARE.id, *HERE])


def test_one_broken_among_the_neighbours_of_a_file_stays_told(bundle: HubBundle) -> None:
    near = [each for each in many(300).exchanges if shard(each.id) == 3][:3]
    broken = replace(near[0], cron="61 * * * *")
    for other in ("甲", "乙"):  # the second time that file does not change
        bag = refresh(bundle, broken, *near[1:], replace(SHARE, title=other))
        assert len(bag.import_errors) == 1
        assert set(bag.dags) == {near[1].id, near[2].id, SHARE.id, *HERE}


def test_names_cannot_lead_out_of_the_folder(bundle: HubBundle) -> None:
    bag = refresh(bundle, SYNC, **{"../../etc/passwd": "不成"})
    assert len(bag.import_errors) == 1
    assert not list(bundle.path.parent.glob("*.py"))


def test_pools_are_there_before_the_files_that_name_them(bundle: HubBundle) -> None:
    refresh(bundle, SYNC, pools=(Pool("police", 3, "公安局的端点"),))

    def slots() -> dict[str, int]:
        with create_session() as session:
            return {each.pool: each.slots for each in session.query(PoolModel) if str(each.pool).startswith("shutong:")}

    assert slots() == {"shutong:police": 3}
    refresh(bundle, SYNC, pools=(Pool("police", 0),))
    assert slots() == {"shutong:police": 0}
    # One that no endpoint has would be waited for in vain.
    refresh(bundle, SYNC, SHARE, pools=(Pool("police", 2),))
    assert slots() == {"shutong:police": 2, "shutong:tax": 1}


def test_a_worker_writes_the_files_and_makes_no_pools(bundle: HubBundle) -> None:
    write(bundle.snapshot, Snapshot((SYNC,), (Pool("police", 3),)))
    bundle.initialize()
    assert sorted(found(bundle).dags) == sorted([SYNC.id, *HERE])
    with create_session() as session:
        assert PoolModel.get_pool(pool("police"), session=session) is None


def test_a_death_while_files_are_written_leaves_whole_ones(bundle: HubBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    refresh(bundle, SYNC)
    replaced, left = Path.replace, [0]

    def dies(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise OSError("dead")
        return replaced(self, target)

    for steps in range(4):
        write(bundle.snapshot, Snapshot((replace(SYNC, title=f"第 {steps} 次"), SHARE)))
        left[0] = steps
        monkeypatch.setattr(Path, "replace", dies)
        try:
            bundle.refresh()
        except OSError:
            bag = found(bundle)
            assert bag.import_errors == {}
            assert SYNC.id in bag.dags
        monkeypatch.undo()
    bundle.refresh()
    assert sorted(found(bundle).dags) == sorted([SYNC.id, SHARE.id, *HERE])
