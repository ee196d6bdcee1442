from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import stat
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import DELETE, OPERATION, PUT, Acknowledgement, Claim, Manifest, Selection, Sink
from adapters.errors import Misconfigured, Overtaken, Restored, Unbalanced
from adapters.files.transports.local import LocalDirectory
from adapters.spool import short
from tests.adapters.files.conftest import Drop, binding

SCHEMA = pa.schema([pa.field("number", pa.string()), pa.field("holder", pa.string()), pa.field(OPERATION, pa.int8())])
CLAIM = Claim(key="plan/1:run-1", exchange="E1", epoch=1)


def _batch(*rows: tuple[str | None, str | None, int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA)


BATCH = _batch(("1", "𠮷䶮", PUT), ("2", "", PUT), ("3", None, DELETE))


def _manifest(claim: Claim = CLAIM, rows: int = 3, **changes: Any) -> Manifest:
    return replace(Manifest(claim=claim, digest="d" * 64, rows=rows, head="7:abc"), **changes)


def _deliver(sink: Sink, claim: Claim = CLAIM, **changes: Any) -> Acknowledgement:
    delivery = sink.begin(claim, SCHEMA)
    delivery.stage(BATCH)
    return delivery.commit(_manifest(claim, **changes))


def _published(drop: Drop) -> list[str]:
    return [name for name in drop.names() if not name.endswith(".manifest.json")]


def test_a_file_of_changes_and_its_manifest(drop: Drop) -> None:
    sink = drop.endpoint.sink(binding(fixed={"来源": "甲局"}))
    delivery = sink.begin(CLAIM, SCHEMA)
    delivery.stage(BATCH)
    assert drop.names() == []
    answer = delivery.commit(_manifest(schema_version=7))
    [name] = _published(drop)
    assert (answer.written, answer.deleted, answer.unchanged, answer.superseded, answer.refused) == (3, 1, 0, 0, ())
    assert (answer.place, answer.key, answer.manifest) == (name, CLAIM.key, "d" * 64)
    content = (drop.root / name).read_bytes()
    assert content.decode().splitlines() == [
        '"_operation","证照编号","持证人","来源"',
        '"U","1","𠮷䶮","甲局"',
        '"U","2","","甲局"',
        '"D","3",,"甲局"',
    ]
    assert json.loads((drop.root / f"{name}.manifest.json").read_text()) == {
        "file": name,
        "rows": 3,
        "sha256": hashlib.sha256(content).hexdigest(),
        "key": CLAIM.key,
        "size": len(content),
        "schema": [{"name": name, "type": "C", "label": ""} for name in ("_operation", "证照编号", "持证人", "来源")],
        "schema_version": 7,
    }
    for path in drop.root.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o750 if path.is_dir() else 0o640)


def test_what_was_delivered_is_read_by_our_own_source(drop: Drop) -> None:
    given = binding(options={"encoding": "gb18030", "delimiter": ";"})
    _deliver(drop.endpoint.sink(given))
    reading = binding(options={"encoding": "gb18030", "delimiter": ";", "operation": "_operation"})
    rows = [row for batch in drop.endpoint.source(reading).batches(Selection()) for row in batch.to_pylist()]
    assert [(row["number"], row["holder"], row[OPERATION]) for row in rows] == [
        ("1", "𠮷䶮", PUT),
        ("2", "", PUT),
        ("3", None, DELETE),
    ]


def test_values_are_written_as_text(drop: Drop) -> None:
    schema = pa.schema([("number", pa.decimal128(38, 10)), ("at", pa.timestamp("us", "UTC")), (OPERATION, pa.int8())])
    sink = drop.endpoint.sink(binding(columns={"number": "n", "at": "t"}, options={"operation": "op"}))
    delivery = sink.begin(CLAIM, schema)
    values = [[Decimal("0.0000000001")], [datetime(2026, 1, 1, tzinfo=UTC)], [PUT]]
    delivery.stage(pa.record_batch([pa.array(v, t) for v, t in zip(values, schema.types, strict=True)], schema=schema))
    name = delivery.commit(_manifest(rows=1)).place
    assert (drop.root / name).read_text().splitlines() == ['"op","n","t"', '"U","0.0000000001","2026-01-01T00:00:00Z"']


def test_the_same_key_the_same_answer_and_one_file(drop: Drop) -> None:
    first = _deliver(drop.endpoint.sink(binding()))
    assert drop.endpoint.sink(binding()).settled(CLAIM.key) == first
    assert _deliver(drop.endpoint.sink(binding())) == first
    assert drop.endpoint.sink(binding()).resume(CLAIM, SCHEMA).commit(_manifest()) == first
    assert len(_published(drop)) == 1
    with pytest.raises(Unbalanced):
        drop.endpoint.sink(binding()).resume(CLAIM, SCHEMA).commit(_manifest(digest="e" * 64))


def test_files_are_numbered_in_the_order_of_delivery(drop: Drop) -> None:
    sink = drop.endpoint.sink(binding())
    previous = None
    places = []
    for number in range(12):
        claim = Claim(key=f"{'fedcba'[number % 6]}{number}", exchange="E1", epoch=1)
        places.append(_deliver(sink, claim, previous=previous).place)
        previous = claim.key
    assert places == sorted(places) == _published(drop)


def test_nothing_to_deliver_makes_no_file(drop: Drop) -> None:
    sink = drop.endpoint.sink(binding())
    answer = sink.begin(CLAIM, SCHEMA).commit(_manifest(rows=0))
    assert (answer.written, answer.place) == (0, "")
    assert drop.names() == []
    assert sink.settled(CLAIM.key) == answer
    _deliver(sink, Claim(key="next", exchange="E1", epoch=1), previous=CLAIM.key)


def test_a_stolen_row_is_noticed(drop: Drop) -> None:
    sink = drop.endpoint.sink(binding())
    delivery = sink.begin(CLAIM, SCHEMA)
    delivery.stage(BATCH)
    [part] = drop.root.glob(".*.part")
    part.write_bytes(b"".join(part.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(Unbalanced, match="暂存 2 行，清单记 3 行"):
        delivery.commit(_manifest())
    assert drop.names() == []
    part.unlink()
    with pytest.raises(Unbalanced):
        delivery.commit(_manifest())


def test_a_target_that_was_restored(drop: Drop) -> None:
    sink = drop.endpoint.sink(binding())
    with pytest.raises(Restored):
        _deliver(sink, previous="gone")
    _deliver(sink)
    _deliver(sink, Claim(key="next", exchange="E1", epoch=1), previous=CLAIM.key)


def test_a_higher_epoch_stops_the_former_owner(drop: Drop) -> None:
    paused = drop.endpoint.sink(binding()).begin(CLAIM, SCHEMA)
    paused.stage(BATCH)
    owner = replace(CLAIM, epoch=2)
    sink = drop.endpoint.sink(binding())
    assert sink.epoch("E1") == 0
    delivery = sink.begin(owner, SCHEMA)
    with pytest.raises(Overtaken):
        paused.stage(BATCH)
    delivery.stage(BATCH)
    other = replace(owner, key="other", epoch=3)
    _deliver(sink, other)
    assert sink.epoch("E1") == 3
    assert sink.epoch("E2") == 0
    with pytest.raises(Overtaken):
        delivery.commit(_manifest(owner))
    assert len(_published(drop)) == 1


def test_a_successor_commits_what_was_staged_before(drop: Drop) -> None:
    delivery = drop.endpoint.sink(binding()).begin(CLAIM, SCHEMA)
    delivery.stage(BATCH)
    successor = drop.endpoint.sink(binding()).resume(CLAIM, SCHEMA)
    answer = successor.commit(_manifest(replace(CLAIM, epoch=5)))
    assert answer.written == 3
    assert drop.endpoint.sink(binding()).epoch("E1") == 5
    assert delivery.commit(_manifest()) == answer


def test_abort_leaves_nothing_and_may_be_repeated(drop: Drop) -> None:
    sink = drop.endpoint.sink(binding())
    delivery = sink.begin(CLAIM, SCHEMA)
    delivery.stage(BATCH)
    delivery.abort()
    delivery.abort()
    assert list(drop.root.glob(".*.part")) == []
    assert sink.settled(CLAIM.key) is None
    answer = _deliver(sink)
    sink.resume(CLAIM, SCHEMA).abort()
    assert sink.settled(CLAIM.key) == answer
    assert len(_published(drop)) == 1


def test_another_manifest_is_refused(drop: Drop) -> None:
    delivery = drop.endpoint.sink(binding()).begin(CLAIM, SCHEMA)
    delivery.stage(BATCH)
    with pytest.raises(Unbalanced):
        delivery.commit(_manifest(replace(CLAIM, key="other")))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"object": "licence.csv"}, "一个 *"),
        ({"object": "*_*.csv"}, "一个 *"),
        ({"object": "../*.csv"}, "一个 *"),
        ({"object": ".x*.csv"}, "一个 *"),
        ({"columns": {"number": "a", "holder": "a"}}, "列名 a"),
        ({"fixed": {"证照编号": "x"}}, "证照编号"),
        ({"options": {"operation": "持证人"}}, "持证人"),
        ({"options": {"encoding": "gbk"}}, "生僻字"),
        ({"options": {"null": "NULL"}}, "null"),
    ],
)
def test_bindings_that_cannot_be(drop: Drop, changes: dict[str, Any], word: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        drop.endpoint.sink(binding(**changes))
    assert word in caught.value.message


def test_an_item_without_a_column(drop: Drop) -> None:
    given = binding(columns={"number": "证照编号"})
    assert drop.endpoint.check(given, SCHEMA, sink=True) == ["信息项 holder 没有挂接到列"]
    with pytest.raises(Misconfigured, match="holder"):
        drop.endpoint.sink(given).begin(CLAIM, SCHEMA)


def test_nothing_is_ever_held(drop: Drop) -> None:
    keys = pa.record_batch([pa.array(["1", "2"])], names=["number"])
    assert drop.endpoint.sink(binding()).holds(keys).to_pylist() == [False, False]


STEPS = ("begin", "append", "rename", "remove")


def _dying(patch: pytest.MonkeyPatch, allowed: int) -> None:
    """Die before or after the n-th change of the directory: odd numbers die after it."""
    made = [0]
    for name in STEPS:
        original = getattr(LocalDirectory, name)

        def step(self: LocalDirectory, *arguments: Any, original: Any = original, **named: Any) -> None:
            made[0] += 1
            if made[0] * 2 - 1 == allowed:
                raise KeyboardInterrupt
            original(self, *arguments, **named)
            if made[0] * 2 == allowed:
                raise KeyboardInterrupt

        patch.setattr(LocalDirectory, name, step)


@pytest.mark.parametrize("receiver", [False, True], ids=["nobody", "receiver takes"])
@pytest.mark.parametrize("asks", [False, True], ids=["commits", "asks first"])
def test_death_at_every_step_of_a_commit(
    drop: Drop, receiver: bool, asks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever resumes, under a higher epoch, comes to one file, one manifest and the same answer."""
    deaths = 0
    taken: set[str] = set()
    previous = None
    for allowed in range(1, 100):
        claim = Claim(key=f"run-{allowed}", exchange="E1", epoch=2 * allowed)
        delivery = drop.endpoint.sink(binding()).begin(claim, SCHEMA)
        delivery.stage(BATCH)
        with monkeypatch.context() as patch:
            _dying(patch, allowed)
            try:
                delivery.commit(_manifest(claim, previous=previous))
                died = False
            except KeyboardInterrupt:
                died = True
                deaths += 1
        if receiver:
            for name in _published(drop):
                (drop.root / name).unlink()
                taken.add(name)
        later = drop.endpoint.sink(binding())
        manifest = _manifest(replace(claim, epoch=claim.epoch + 1), previous=previous)
        answer = later.settled(claim.key) if asks else None
        if answer is None:
            answer = later.resume(claim, SCHEMA).commit(manifest)
        assert later.resume(claim, SCHEMA).commit(manifest) == answer == later.settled(claim.key)
        if not receiver:
            assert len(_published(drop)) == allowed
            assert drop.names().count(f"{answer.place}.manifest.json") == 1
        taken.update(_published(drop))
        assert len(taken) == allowed
        assert not list(drop.root.glob(".*.part"))
        previous = claim.key
        if not died:
            break
    assert deaths >= 12


@pytest.mark.parametrize("renewed", [False, True], ids=["aborts", "begins anew"])
def test_death_and_then_no_more_of_it(drop: Drop, renewed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An intent that was not carried out may be given up; its staged file never counts as delivered."""
    for allowed in range(1, 100):
        claim = Claim(key=f"run-{allowed}", exchange="E1", epoch=allowed)
        delivery = drop.endpoint.sink(binding()).begin(claim, SCHEMA)
        delivery.stage(BATCH)
        with monkeypatch.context() as patch:
            _dying(patch, allowed)
            try:
                delivery.commit(_manifest(claim))
                break
            except KeyboardInterrupt:
                pass
        before = len(_published(drop))
        later = drop.endpoint.sink(binding())
        if renewed:
            later.begin(replace(claim, epoch=claim.epoch), SCHEMA)
        else:
            later.resume(claim, SCHEMA).abort()
        if later.settled(claim.key) is None:
            assert len(_published(drop)) == before
        else:
            assert (drop.root / (later.settled(claim.key) or _none()).place).exists()
    assert allowed > 12


def _none() -> Acknowledgement:
    raise AssertionError


def test_a_former_owner_does_not_take_the_intent_of_its_successor(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    former = drop.endpoint.sink(binding()).begin(CLAIM, SCHEMA)
    former.stage(BATCH)
    successor = _manifest(replace(CLAIM, epoch=2))
    with monkeypatch.context() as patch:
        patch.setattr(LocalDirectory, "exists", _until_intent(drop.root, LocalDirectory.exists))
        with pytest.raises(KeyboardInterrupt):
            drop.endpoint.sink(binding()).resume(CLAIM, SCHEMA).commit(successor)
    former.abort()
    assert drop.endpoint.sink(binding()).resume(CLAIM, SCHEMA).commit(successor).written == 3
    with pytest.raises(Overtaken):
        _deliver(drop.endpoint.sink(binding()), Claim(key="x", exchange="E1", epoch=1))


def _until_intent(root: Path, original: Any) -> Any:
    def exists(self: LocalDirectory, name: str) -> bool:
        if name.endswith(".part") and list((root / ".shutong").glob("delivery-*.json")):
            raise KeyboardInterrupt
        return bool(original(self, name))

    return exists


def _race(root: str, start: Any, answers: Any) -> None:
    sink = Drop(Path(root)).endpoint.sink(binding())
    delivery = sink.resume(CLAIM, SCHEMA)
    start.wait()
    answers.put(delivery.commit(_manifest()))


def test_two_workers_commit_at_once(drop: Drop) -> None:
    drop.endpoint.sink(binding()).begin(CLAIM, SCHEMA).stage(BATCH)
    context = multiprocessing.get_context("spawn")
    start, answers = context.Event(), context.Queue()
    workers = [context.Process(target=_race, args=(str(drop.root), start, answers)) for _ in range(2)]
    for worker in workers:
        worker.start()
    start.set()
    found = [answers.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(30)
    assert found[0] == found[1]
    assert len(_published(drop)) == 1


def _killed(root: str, ready: Any) -> None:
    sink = Drop(Path(root)).endpoint.sink(binding())
    sink.begin(CLAIM, SCHEMA).stage(BATCH)
    LocalDirectory.rename = lambda *arguments, **named: (ready.set(), signal.pause())  # type: ignore[assignment]
    sink.resume(CLAIM, SCHEMA).commit(_manifest())


def test_a_killed_worker_holds_no_lock(drop: Drop) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    worker = context.Process(target=_killed, args=(str(drop.root), ready))
    worker.start()
    assert ready.wait(60)
    os.kill(worker.pid or 0, signal.SIGKILL)
    worker.join(30)
    answer = drop.endpoint.sink(binding()).resume(CLAIM, SCHEMA).commit(_manifest(replace(CLAIM, epoch=2)))
    assert answer.written == 3
    assert len(_published(drop)) == 1


def test_what_is_given_up_leaves_no_stage_of_any_owner_before(drop: Drop) -> None:
    """The grant is no more, and the owner that staged is dead: nothing of the rows stays in the recipient's drop."""
    sink = drop.endpoint.sink(binding())
    for epoch in (1, 2, 3):
        delivery = sink.resume(replace(CLAIM, epoch=epoch), SCHEMA)
        drop.root.joinpath(f".{short(CLAIM.key)}.{epoch}.part").write_bytes(b"")
        delivery.stage(BATCH)
    sink.resume(replace(CLAIM, epoch=2), SCHEMA).abort()
    assert [path.name for path in drop.root.glob(".*.part")] == [f".{short(CLAIM.key)}.3.part"]
    sink.resume(replace(CLAIM, epoch=3), SCHEMA).abort()
    assert list(drop.root.glob(".*.part")) == []
