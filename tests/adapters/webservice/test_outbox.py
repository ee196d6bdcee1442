from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from adapters.base import RefusedRow
from adapters.errors import Malformed
from adapters.spool import Spool, short
from adapters.webservice.outbox import Entry, Outbox, Stage


class Shelf(Spool):
    """A spool of this process."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def write(self, name: str, content: bytes) -> None:
        self.files[name] = content

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def remove(self, name: str) -> None:
        self.files.pop(name, None)

    def names(self, beginning: str) -> tuple[str, ...]:
        return tuple(sorted(name for name in self.files if name.startswith(beginning)))

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        yield


STAGE = Stage(epoch=3, name="ab")
ENTRY = Entry(
    key="k", exchange="e", epoch=3, manifest="m", head="h", stage=STAGE, place="Push", rows=2, written=1,
    refused=((1, "target", "no"),), at=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip


def test_entries_are_found_by_their_keys() -> None:
    outbox = Outbox(Shelf())
    assert outbox.entry("k") is None
    outbox.put(ENTRY)
    assert outbox.entry("k") == ENTRY
    assert outbox.entry("other") is None
    outbox.withdraw(ENTRY)
    assert outbox.entry("k") is None


def test_the_answer_of_an_entry() -> None:
    answer = ENTRY.acknowledgement()
    assert (answer.key, answer.manifest, answer.written, answer.head, answer.place) == ("k", "m", 1, "h", "Push")
    assert answer.refused == (RefusedRow(1, "target", "no"),)


def test_epochs_of_exchanges() -> None:
    outbox = Outbox(Shelf())
    assert outbox.epoch("e") == 0
    outbox.advance("e", 4)
    assert (outbox.epoch("e"), outbox.epoch("f")) == (4, 0)


def test_stages_lie_apart_by_key_and_epoch() -> None:
    outbox = Outbox(Shelf())
    batches = [pa.record_batch({"a": [f"{number}"]}) for number in range(12)]
    outbox.begin("k", STAGE)
    outbox.begin("k", Stage(epoch=12, name="cd"))
    outbox.begin("other", STAGE)
    for number, batch in enumerate(batches):
        outbox.add("k", 3, number, batch)
    outbox.add("k", 12, 0, batches[0])
    assert outbox.epochs("k") == (3, 12)
    assert [batch.column(0)[0].as_py() for batch in outbox.batches("k", 3)] == [str(number) for number in range(12)]
    outbox.drop("k", 3)
    assert outbox.stage("k", 3) is None
    assert list(outbox.batches("k", 3)) == []
    assert outbox.epochs("k") == (12,)
    assert outbox.stage("other", 3) == STAGE


def test_what_cannot_be_read_is_told() -> None:
    shelf = Shelf()
    shelf.write(f"delivery-{short('k')}", b"{}")
    with pytest.raises(Malformed):
        Outbox(shelf).entry("k")
