"""What the conformance suite does not ask of a box: pages, foreign options, and a box without its keeping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import OPERATION, Binding, Claim, Manifest
from adapters.errors import Malformed, Misconfigured, Unsupported
from adapters.mailbox import PART_ROWS, Letter, MailboxEndpoint, Post, pages
from adapters.registry import open_endpoint

SCHEMA = pa.schema([pa.field("number", pa.int64()), pa.field(OPERATION, pa.int8(), nullable=False)])
BINDING = Binding(object="inbox", columns={"number": "number"}, key=("number",))
CLAIM = Claim(key="k", exchange="E", epoch=1)


class Shelf(Post):
    """Keeping in memory."""

    def __init__(self) -> None:
        self.files: dict[str, list[bytes]] = {}
        self.letters: dict[str, Letter] = {}

    @contextmanager
    def write(self, name: str) -> Iterator[Any]:
        chunks: list[bytes] = []
        yield chunks
        self.files[name] = chunks

    def read(self, name: str) -> Iterator[bytes]:
        return iter(self.files[name])

    def exists(self, name: str) -> bool:
        return name in self.files

    def names(self, prefix: str) -> Sequence[str]:
        return [name for name in self.files if name.startswith(prefix)]

    def remove(self, name: str) -> None:
        self.files.pop(name, None)

    def letter(self, key: str) -> Letter | None:
        return self.letters.get(key)

    def epoch(self, exchange: str) -> int:
        return max((letter.epoch for letter in self.letters.values() if letter.exchange == exchange), default=0)

    def enter(self, letter: Letter, previous: str | None) -> Letter:
        return self.letters.setdefault(letter.key, letter)

    def filed(self, object: str | None) -> Mapping[str, str]:
        return {}


def batch(*numbers: int) -> pa.RecordBatch:
    return pa.record_batch([pa.array(numbers, pa.int64()), pa.array([0] * len(numbers), pa.int8())], schema=SCHEMA)


def delivered(shelf: Shelf, *batches: pa.RecordBatch) -> Letter:
    endpoint = open_endpoint("mailbox", {})
    assert isinstance(endpoint, MailboxEndpoint)
    endpoint.keep(shelf)
    delivery = endpoint.sink(BINDING).begin(CLAIM, SCHEMA)
    for each in batches:
        delivery.stage(each)
    delivery.commit(Manifest(claim=CLAIM, digest="d", rows=sum(each.num_rows for each in batches)))
    return shelf.letters["k"]


def test_any_page_of_a_letter() -> None:
    shelf, total = Shelf(), PART_ROWS + 10
    letter = delivered(shelf, batch(*range(total)), batch(), batch(*range(total, total + 5)))
    assert letter.parts == (PART_ROWS, 10, 5)
    for start, rows in ((0, 3), (PART_ROWS - 1, 3), (PART_ROWS, 10), (PART_ROWS + 9, 100), (total + 5, 1), (0, 10**9)):
        found = [number for page in pages(shelf, letter, start, rows) for number in page.column(0).to_pylist()]
        assert found == list(range(total + 5))[start : start + rows]


def test_a_page_reads_the_files_it_needs_and_no_others() -> None:
    shelf = Shelf()
    letter = delivered(shelf, batch(1, 2), batch(3, 4), batch(5, 6))
    for number in (1, 3):
        shelf.remove(letter.part(number))
    assert [page.column(0).to_pylist() for page in pages(shelf, letter, 2, 2)] == [[3, 4]]
    with pytest.raises(Malformed):
        list(pages(shelf, letter, 2, 3))


def test_what_is_in_the_books_is_not_written_again() -> None:
    shelf = Shelf()
    letter = delivered(shelf, batch(1, 2))
    assert delivered(shelf, batch(7, 8)) == letter
    assert [page.column(0).to_pylist() for page in pages(shelf, letter, 0, 9)] == [[1, 2]]
    assert letter.at <= datetime.now(UTC)


def test_a_message_that_is_gone() -> None:
    endpoint = open_endpoint("mailbox", {})
    assert isinstance(endpoint, MailboxEndpoint)
    endpoint.keep(Shelf())
    binding = Binding(object="x", columns={}, key=(), capture="pushed", options={"message": "m"})
    with endpoint.source(binding) as source, pytest.raises(Malformed):
        list(source.batches(type("S", (), {"batch_rows": 3})()))  # type: ignore[arg-type]


def test_without_its_keeping_nothing_moves() -> None:
    endpoint = open_endpoint("mailbox", {})
    assert [probe.passed for probe in endpoint.test()] == [True]
    for use in (endpoint.sink, endpoint.source):
        with pytest.raises(Unsupported):
            use(Binding(object="x", columns={}, key=(), capture="pushed"))


def test_foreign_options() -> None:
    with pytest.raises(Misconfigured):
        open_endpoint("mailbox", {"path": "/etc"})
    endpoint = open_endpoint("mailbox", {})
    wrong = Binding(object="x", columns={}, key=(), capture="pushed", options={"folder": "/etc"})
    assert "folder" in endpoint.check(wrong, pa.schema([]), sink=False)[0]
    with pytest.raises(Misconfigured, match="folder"):
        endpoint.source(wrong)


def test_a_box_is_no_place_that_the_rules_of_lineage_know() -> None:
    assert open_endpoint("mailbox", {}).dataset("inbox") == ("", "inbox")
