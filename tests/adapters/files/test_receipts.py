"""Receipts beside files: what recipients say, however they say it, and what the hub says to providers."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import (
    DELETE,
    OPERATION,
    PUT,
    REFERENCE,
    Acknowledgement,
    Answers,
    Claim,
    Endpoint,
    FailedDocument,
    FailedRow,
    Manifest,
    Outcome,
    Selection,
    Settled,
)
from adapters.errors import AdapterError, Malformed, Refused
from adapters.files import receipts
from adapters.files.receipts import is_told, receipt_name
from adapters.files.transports.local import LocalDirectory
from adapters.registry import open_endpoint
from tests.adapters.files.conftest import Drop, binding
from tests.support.openssh import OpenSSHServer

SCHEMA = pa.schema([pa.field("number", pa.string()), pa.field("holder", pa.string()), pa.field(OPERATION, pa.int8())])
ROWS = [["1", "2", "3"], ["甲", "乙", None], pa.array([PUT, PUT, DELETE], pa.int8())]
SECRET = "320102198001011234"


class Delivered:
    """A drop with one delivery in it, and its recipient's hands."""

    def __init__(self, root: Path, endpoint: Endpoint) -> None:
        self.root = root
        self.endpoint = endpoint
        self.sink = endpoint.sink(binding())
        claim = Claim(key="plan-run", exchange="E1", epoch=1)
        delivery = self.sink.begin(claim, SCHEMA)
        delivery.stage(pa.record_batch(ROWS, schema=SCHEMA))
        self.answer: Acknowledgement = delivery.commit(Manifest(claim=claim, rows=3, digest="d" * 64))
        self.file = root / self.answer.place
        self.receipt = root / receipt_name(self.answer.place)

    def write(self, receipt: Any) -> None:
        self.receipt.write_text(receipt if isinstance(receipt, str) else json.dumps(receipt), encoding="utf-8")

    def answers(self, rows: int = 9) -> Answers:
        found = self.sink.answers(self.answer.stamp, rows=rows)
        assert found is not None
        return found


@pytest.fixture(params=["local", "sftp"])
def delivered(request: pytest.FixtureRequest, tmp_path: Path) -> Delivered:
    if request.param == "local":
        return Delivered(tmp_path, open_endpoint("files", {"root": str(tmp_path)}))
    server: OpenSSHServer = request.getfixturevalue("openssh_server")
    root = server.new_folder()
    return Delivered(root, open_endpoint("files", server.options(root)))


@pytest.fixture
def here(tmp_path: Path) -> Delivered:
    return Delivered(tmp_path, open_endpoint("files", {"root": str(tmp_path)}))


def test_each_state(delivered: Delivered) -> None:
    answer = delivered.answer
    assert (answer.stamped, len(answer.stamp)) == (3, 16)
    unread = delivered.answers()
    assert (unread.new, unread.done, unread.failed, unread.more) == (3, 0, 0, False)
    assert "receipt.json" in unread.advice[0]
    delivered.write({"state": "received", "at": "2026-11-22T10:00:00+08:00"})
    got = delivered.answers()
    assert (got.new, got.done, got.other, got.more) == (0, 0, 3, True)
    delivered.write({"state": "stored"})
    assert delivered.answers() == Answers(new=0, done=3, failed=0, other=0)
    refused = [{"key": {"证照编号": 3}, "reason": "查无此证"}, {"key": {"证照编号": "2"}}]
    delivered.write(
        {"state": "stored", "rows": refused, "documents": [{"name": "licence_1/甲.pdf", "reason": "打不开"}]}
    )
    partly = delivered.answers()
    assert (partly.done, partly.failed) == (1, 2)
    assert partly.rows == (FailedRow(("2",), None), FailedRow(("3",), "查无此证"))
    assert partly.documents == (FailedDocument("licence_1/甲.pdf", "打不开"),)
    assert [row.key for row in delivered.answers(rows=1).rows] == [("2",)]
    delivered.write({"state": "refused", "reason": "编码不对"})
    assert delivered.answers() == Answers(new=0, done=0, failed=3, other=0, rows=(FailedRow((None,), "编码不对"),))


def test_a_look_changes_nothing(delivered: Delivered) -> None:
    delivered.write({"state": "stored"})
    before = sorted((path.name, path.read_bytes()) for path in delivered.root.rglob("*") if path.is_file())
    delivered.answers()
    assert sorted((path.name, path.read_bytes()) for path in delivered.root.rglob("*") if path.is_file()) == before


def test_a_file_taken_away_in_silence_was_read(here: Delivered) -> None:
    here.file.unlink()
    assert here.answers() == Answers(new=0, done=3, failed=None, other=0)
    here.write({"state": "refused", "reason": "后来才说"})
    assert here.answers().failed == 3


def test_a_delivery_that_is_not_in_the_ledger_is_not_known(here: Delivered) -> None:
    assert here.sink.answers("0" * 16, rows=9) is None
    for path in (here.root / ".shutong").glob("delivery-*"):
        path.unlink()
    assert here.sink.answers(here.answer.stamp, rows=9) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", '"stored"', "\x00", "{}", '{"state": "ok"}', '{"state": 1}',
        '{"state": "stored", "x": 1}',
        '{"state": "refused"}', '{"state": "refused", "reason": "  "}', '{"state": "stored", "rows": {}}',
        '{"state": "stored", "rows": [{"reason": "x"}]}', '{"state": "stored", "rows": [{"key": {}}]}',
        '{"state": "stored", "rows": [{"key": {"证照编号": "1", "x": "2"}}]}',
        '{"state": "stored", "rows": [{"key": {"证照编号": {"a": 1}}}]}',
        '{"state": "stored", "rows": [{"key": {"证照编号": true}}]}',
        '{"state": "received", "rows": [{"key": {"证照编号": "1"}}]}',
        '{"state": "stored", "rows": [{"key": {"number": "1"}}]}',
        '{"state": "stored", "sha256": "' + "0" * 64 + '"}',
        '{"state": "stored", "counts": {"read": 9, "accepted": 0, "refused": 9}}',
        '{"state": "stored", "counts": {"read": 9, "accepted": 0, "refused": -1}}',
        '{"state": "stored", "counts": {"read": 9, "accepted": 0, "refused": ' + "9" * 4000 + "}}",
        '{"state": "stored", "rows": [{"key": {"证照编号": ' + "9" * 4000 + "}}]}",
        '{"state": "stored", "documents": [{"name": ""}]}',
        "[" * 200_000,
        '{"state": "' + SECRET + '"}',
        '{"' + SECRET + '": 1}',
    ],
)  # fmt: skip
def test_nonsense_is_told_without_being_repeated(here: Delivered, text: str) -> None:
    here.write(text)
    with pytest.raises(Malformed) as told:
        here.answers()
    assert "receipt.json" in told.value.message
    assert told.value.remedy
    assert SECRET not in told.value.message + told.value.remedy
    assert told.value.__cause__ is None


def test_more_refused_rows_than_there_are_is_another_file(here: Delivered) -> None:
    here.write({"state": "stored", "rows": [{"key": {"证照编号": str(number)}} for number in range(4)]})
    with pytest.raises(Malformed, match="拒收 4 行，文件只有 3 行"):
        here.answers()


def test_the_same_row_twice_is_one(here: Delivered) -> None:
    here.write(
        {"state": "stored", "rows": [{"key": {"证照编号": "1"}, "reason": each} for each in ("甲", "乙", "丙", "丁")]}
    )
    assert here.answers().rows == (FailedRow(("1",), "丁"),)


def test_huge_receipts_are_not_read(here: Delivered, monkeypatch: pytest.MonkeyPatch) -> None:
    with here.receipt.open("wb") as file:
        file.truncate(50 << 30)
    with pytest.raises(Malformed, match="不予读取"):
        here.answers()
    here.write({"state": "stored", "rows": [{"key": {"证照编号": "1"}}] * (receipts.MOST_ROWS + 1)})
    with pytest.raises(Malformed, match="rows 有误"):
        here.answers()
    here.write({"state": "refused", "reason": "错" * 90_000})
    assert here.answers().rows == (FailedRow((None,), "错" * 1000),)
    here.write({"state": "stored", "rows": [{"key": {"证照编号": "1" * 1001}}]})
    with pytest.raises(Malformed):
        here.answers()


def test_what_is_no_file_is_not_followed(here: Delivered, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text('{"state": "stored"}')
    here.receipt.symlink_to(elsewhere)
    with pytest.raises(Refused):
        here.answers()
    here.receipt.unlink()
    os.mkfifo(here.receipt)
    with pytest.raises(AdapterError):
        here.answers()


def test_a_mark_of_utf_8_is_no_nonsense(here: Delivered) -> None:
    here.receipt.write_bytes(b"\xef\xbb\xbf" + '{"state": "refused", "reason": "不对"}'.encode())
    assert here.answers().failed == 3


# --- what the hub says -------------------------------------------------------------------------

SETTLED = Settled(run="r1", receipt="R1", at=datetime(2026, 11, 22, 2, tzinfo=UTC))


def _read(drop: Drop, **options: Any) -> tuple[Any, list[Outcome]]:
    source = drop.endpoint.source(binding(**options))
    rows = [row for batch in source.batches(Selection()) for row in batch.to_pylist()]
    return source, [Outcome(row[REFERENCE], "错" if row["number"] == "2" else None) for row in rows]


def _told(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def test_the_provider_finds_a_receipt_where_the_file_went(drop: Drop) -> None:
    drop.put("licence_1.csv", "证照编号,持证人\n1,甲\n2,乙\n")
    source, outcomes = _read(drop)
    for _ in range(2):
        source.settle(outcomes, SETTLED)
    assert drop.names() == [
        "licence_1.csv.refused.csv", "taken/licence_1.csv", "taken/licence_1.csv.manifest.json",
        "taken/licence_1.csv.receipt.json",
    ]  # fmt: skip
    told = _told(drop.root / "taken" / "licence_1.csv.receipt.json")
    assert told.pop("sha256") == _told(drop.root / "taken" / "licence_1.csv.manifest.json")["sha256"]
    assert told == {
        "state": "stored", "file": "licence_1.csv", "counts": {"read": 2, "accepted": 1, "refused": 1},
        "refusals": "licence_1.csv.refused.csv", "run": "r1", "receipt": "R1", "at": "2026-11-22T02:00:00+00:00",
    }  # fmt: skip


@pytest.mark.parametrize("options", [{"options": {"after": "leave"}}, {"capture": "snapshot"}])
def test_in_place_it_lies_beside_the_file_and_is_none(drop: Drop, options: dict[str, Any]) -> None:
    drop.put("licence_1.csv", "证照编号,持证人\n1,甲\n")
    source, outcomes = _read(drop, **options)
    source.settle(outcomes, SETTLED)
    place = drop.root / "licence_1.csv.receipt.json"
    assert "refusals" not in _told(place)
    before = place.stat().st_mtime_ns
    source.settle(outcomes, SETTLED)
    assert place.stat().st_mtime_ns == before
    again, _ = _read(drop, object="licence_*", options={"format": "csv", "after": "leave"})
    assert again.header() == ("证照编号", "持证人")


def test_a_file_that_changed_since_gets_none(drop: Drop) -> None:
    drop.put("licence_1.csv", "证照编号,持证人\n1,甲\n")
    source, outcomes = _read(drop)
    drop.put("licence_1.csv", "证照编号,持证人\n1,别的\n")
    source.settle(outcomes, SETTLED)
    assert not list(drop.root.rglob("*.receipt.json"))
    again, outcomes = _read(drop)
    again.settle(outcomes)
    assert not list(drop.root.rglob("*.receipt.json")), "nobody is told of a run that is not to be told of"


def test_a_file_refused_whole_is_told_so(drop: Drop) -> None:
    about = {"told": 0, "refused": 0, "refusals": "", "settled": SETTLED, "reason": "表头缺少列 证照编号"}
    directory = LocalDirectory(drop.root)
    receipt = receipts.hub_receipt("licence_1.csv", "a" * 64, **about)
    assert receipts.hand_back(directory, "licence_1.csv", receipt)
    assert not receipts.hand_back(directory, "licence_1.csv", receipt)
    told = _told(drop.root / "licence_1.csv.receipt.json")
    assert (told["state"], told["reason"], "counts" in told) == ("refused", "表头缺少列 证照编号", False)


def test_what_lies_there_of_somebody_else_is_replaced(drop: Drop) -> None:
    drop.put("licence_1.csv", "证照编号,持证人\n1,甲\n")
    with (drop.root / "licence_1.csv.receipt.json").open("wb") as file:
        file.truncate(50 << 30)
    source, outcomes = _read(drop, options={"after": "leave"})
    source.settle(outcomes, SETTLED)
    assert _told(drop.root / "licence_1.csv.receipt.json")["run"] == "r1"


def test_the_hubs_receipt_answers_the_hub_that_delivered(here: Delivered) -> None:
    """A recipient that is a hub itself takes the file, and says so by the same means."""
    source = here.endpoint.source(binding(options={"operation": OPERATION}))
    rows = [row for batch in source.batches(Selection()) for row in batch.to_pylist()]
    source.settle([Outcome(row[REFERENCE], "错" if row["number"] == "2" else None) for row in rows], SETTLED)
    assert not here.file.exists()
    found = here.answers()
    assert (found.new, found.done, found.failed, found.rows) == (0, 2, 1, ())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.csv.receipt.json", True), ("RECALL-20261122-0a.json", True), ("RECALL-20261122-0a.answer.json", True),
        ("RECALL.json", False), ("a.json", False), ("receipt.json.csv", False), ("RECALL-甲.json", False),
    ],
)  # fmt: skip
def test_names_that_are_never_data(name: str, told: bool) -> None:
    assert is_told(name) is told
