"""What the port says of a delivery, at every place."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from adapters.base import DELETE, OPERATION, PUT, Binding
from adapters.errors import Overtaken, Restored, StageLost, Unbalanced
from tests.conformance.cases import NUMBER, REMARK, Case
from tests.conformance.places import Place, Run

pytestmark = pytest.mark.needs("delivers")

THREE = Case("three", (NUMBER, REMARK), tuple({"number": str(n), "remark": "x"} for n in range(1, 4)))


def _begun(place: Place, case: Case = THREE) -> tuple[Binding, Run]:
    binding = place.target(case.items, case)
    return binding, Run(place.endpoint.sink(binding), case.schema)


def _numbers(place: Place, binding: Binding) -> list[str]:
    return [row["number"] for row in place.rows(binding, THREE.items)]


def test_what_is_delivered_is_what_is_read(place: Place, case: Case) -> None:
    binding, run = _begun(place, case)
    assert place.endpoint.check(binding, case.schema, sink=True) == []
    answer = run.deliver(*(case.batch.slice(start, 2) for start in range(0, len(case.rows), 2)))
    assert (answer.written, answer.deleted, answer.refused) == (len(case.rows), 0, ())
    expected = case.batch.drop_columns([OPERATION]).to_pylist()
    assert place.rows(binding, case.items) == sorted(expected, key=lambda row: str(row["number"]))


def test_nothing_is_seen_before_the_commit(place: Place) -> None:
    binding, run = _begun(place)
    delivery = run.sink.begin(run.claim, run.schema)
    delivery.stage(THREE.batch)
    assert _numbers(place, binding) == []
    assert run.sink.settled(run.claim.key) is None
    assert run.sink.epoch(run.claim.exchange) == 0
    delivery.commit(run.manifest(3))
    assert _numbers(place, binding) == ["1", "2", "3"]


def test_the_answer_says_what_was_committed(place: Place) -> None:
    _, run = _begun(place)
    answer = run.deliver(THREE.batch)
    assert (answer.key, answer.manifest) == (run.claim.key, run.manifest(3).digest)
    assert answer.written + answer.unchanged + answer.superseded + len(answer.refused) == 3
    assert answer.place
    assert answer.at.tzinfo is not None


def test_the_same_key_the_same_answer(place: Place) -> None:
    binding, run = _begun(place)
    answer = run.deliver(THREE.batch)
    assert run.sink.settled(run.claim.key) == answer
    assert place.endpoint.sink(binding).settled(run.claim.key) == answer
    assert place.endpoint.sink(binding).resume(run.claim, run.schema).commit(run.manifest(3)) == answer
    assert place.endpoint.sink(binding).resume(run.claim, run.schema).commit(run.manifest(3, epoch=9)) == answer
    assert run.deliver(THREE.batch) == answer
    assert _numbers(place, binding) == ["1", "2", "3"]


def test_the_same_key_under_another_manifest(place: Place) -> None:
    _, run = _begun(place)
    run.deliver(THREE.batch)
    with pytest.raises(Unbalanced):
        run.sink.resume(run.claim, run.schema).commit(run.manifest(3, digest="f" * 64))


def test_a_successor_commits_what_was_staged(place: Place) -> None:
    binding, run = _begun(place)
    run.sink.begin(run.claim, run.schema).stage(THREE.batch)
    successor = place.endpoint.sink(binding)
    answer = successor.resume(run.claim, run.schema).commit(run.manifest(3, epoch=4))
    assert answer.written == 3
    assert successor.epoch(run.claim.exchange) == 4
    assert _numbers(place, binding) == ["1", "2", "3"]


def test_a_paused_owner_cannot_commit(place: Place) -> None:
    binding, paused = _begun(place)
    delivery = paused.sink.begin(paused.claim, paused.schema)
    delivery.stage(THREE.batch)
    owner = Run(place.endpoint.sink(binding), paused.schema, paused.claim.exchange)
    owner.claim = replace(owner.claim, epoch=2)
    owner.deliver(THREE.batch.slice(0, 1))
    with pytest.raises(Overtaken):
        delivery.commit(paused.manifest(3))
    assert _numbers(place, binding) == ["1"]
    assert paused.sink.settled(paused.claim.key) is None
    assert paused.sink.epoch(paused.claim.exchange) == 2


def test_a_paused_owner_cannot_stage(place: Place) -> None:
    binding, paused = _begun(place)
    delivery = paused.sink.begin(paused.claim, paused.schema)
    delivery.stage(THREE.batch)
    later = replace(paused.claim, epoch=2)
    owner = place.endpoint.sink(binding).begin(later, paused.schema)
    with pytest.raises(Overtaken):
        delivery.stage(THREE.batch)
    owner.stage(THREE.batch.slice(0, 1))
    owner.commit(paused.manifest(1, epoch=2))
    assert _numbers(place, binding) == ["1"]


def test_an_epoch_is_the_exchanges_own(place: Place) -> None:
    binding, run = _begun(place)
    run.claim = replace(run.claim, epoch=7)
    run.deliver(THREE.batch)
    other = Run(place.endpoint.sink(binding), run.schema)
    assert other.sink.epoch(other.claim.exchange) == 0
    other.deliver(THREE.batch)
    assert other.sink.epoch(other.claim.exchange) == 1


def test_a_target_that_forgot_the_previous_delivery(place: Place) -> None:
    binding, run = _begun(place)
    delivery = run.sink.begin(run.claim, run.schema)
    delivery.stage(THREE.batch)
    with pytest.raises(Restored):
        delivery.commit(run.manifest(3, previous="plan/gone"))
    assert _numbers(place, binding) == []
    assert run.sink.settled(run.claim.key) is None
    delivery.commit(run.manifest(3))
    following = Run(run.sink, run.schema, run.claim.exchange)
    following.deliver(THREE.batch, previous=run.claim.key)


def test_a_stolen_row_stops_the_commit(place: Place) -> None:
    binding, run = _begun(place)
    delivery = run.sink.begin(run.claim, run.schema)
    delivery.stage(THREE.batch)
    place.steal(run.claim)
    with pytest.raises(Unbalanced):
        delivery.commit(run.manifest(3))
    with pytest.raises(Unbalanced):
        place.endpoint.sink(binding).resume(run.claim, run.schema).commit(run.manifest(3))
    assert _numbers(place, binding) == []
    assert run.sink.settled(run.claim.key) is None
    delivery.abort()
    assert run.deliver(THREE.batch).written == 3


@pytest.mark.parametrize("rows", [0, 2, 4])
def test_a_manifest_with_another_count(place: Place, rows: int) -> None:
    binding, run = _begun(place)
    delivery = run.sink.begin(run.claim, run.schema)
    delivery.stage(THREE.batch)
    with pytest.raises(Unbalanced):
        delivery.commit(run.manifest(rows))
    assert _numbers(place, binding) == []


def test_nothing_was_staged_under_the_claim(place: Place) -> None:
    _, run = _begun(place)
    with pytest.raises(StageLost):
        run.sink.resume(run.claim, run.schema).commit(run.manifest(3))


def test_abort_leaves_nothing(place: Place) -> None:
    binding, run = _begun(place)
    delivery = run.sink.begin(run.claim, run.schema)
    delivery.stage(THREE.batch)
    delivery.abort()
    delivery.abort()
    assert run.sink.settled(run.claim.key) is None
    with pytest.raises(StageLost):
        run.sink.resume(run.claim, run.schema).commit(run.manifest(3))
    answer = run.deliver(THREE.batch)
    place.endpoint.sink(binding).resume(run.claim, run.schema).abort()
    assert run.sink.settled(run.claim.key) == answer
    assert _numbers(place, binding) == ["1", "2", "3"]


def test_to_begin_is_to_begin_from_nothing(place: Place) -> None:
    binding, run = _begun(place)
    run.sink.begin(run.claim, run.schema).stage(THREE.batch)
    run.deliver(THREE.batch.slice(2))
    assert _numbers(place, binding) == ["3"]


def test_nothing_to_deliver(place: Place) -> None:
    binding, run = _begun(place)
    answer = run.deliver()
    assert (answer.written, answer.unchanged, answer.superseded, answer.refused) == (0, 0, 0, ())
    assert run.sink.settled(run.claim.key) == answer
    assert _numbers(place, binding) == []
    Run(run.sink, run.schema, run.claim.exchange).deliver(THREE.batch, previous=run.claim.key)


def test_an_empty_batch_is_no_row(place: Place) -> None:
    binding, run = _begun(place)
    run.deliver(THREE.batch.slice(0, 0), THREE.batch, THREE.batch.slice(3))
    assert _numbers(place, binding) == ["1", "2", "3"]


def test_a_deletion_takes_a_row_away(place: Place) -> None:
    binding, run = _begun(place)
    run.deliver(THREE.batch)
    column = pa.array([PUT, DELETE, PUT], pa.int8())
    changed = THREE.batch.set_column(THREE.batch.num_columns - 1, THREE.schema.field(OPERATION), column)
    answer = Run(run.sink, run.schema, run.claim.exchange).deliver(changed.slice(1, 1), previous=run.claim.key)
    assert (answer.written, answer.deleted) == (1, 1)
    assert _numbers(place, binding) == ["1", "3"]


def test_a_sink_without_its_column_is_told(place: Place) -> None:
    binding, _ = _begun(place)
    more = Case("more", (NUMBER, REMARK, NUMBER.model_copy(update={"name": "missing"})), ())
    problems = place.endpoint.check(binding, more.schema, sink=True)
    assert any("missing" in problem for problem in problems)
