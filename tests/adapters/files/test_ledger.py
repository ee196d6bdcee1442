from __future__ import annotations

import hashlib
import json
import tracemalloc
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from adapters.errors import Malformed
from adapters.files.ledger import Entry, Ledger, Progress, manifest_name
from adapters.files.pickup import Pickup, PickupOptions
from adapters.files.stage import frame
from adapters.files.transports.base import SMALL
from adapters.files.transports.local import LocalDirectory
from adapters.spool import short

AT = datetime(2026, 1, 1, tzinfo=UTC)


def _entry(**changes: Any) -> Entry:
    given = {
        "key": "101001001/0001:run", "exchange": "E1", "epoch": 1, "manifest": "d" * 64, "head": "1:a", "name": "a.csv",
        "part": ".a.part", "rows": 3, "deleted": 1, "sha256": "0" * 64, "at": AT,
    }  # fmt: skip
    return Entry(**(given | changes))


@pytest.fixture
def directory(tmp_path: Path) -> LocalDirectory:
    return LocalDirectory(tmp_path)


def test_entries_are_kept_by_key_however_it_is_written(directory: LocalDirectory) -> None:
    ledger = Ledger(directory)
    assert ledger.entry("101001001/0001:run") is None
    ledger.put(_entry())
    ledger.put(_entry(key="../x" * 100))
    assert Ledger(directory).entry("101001001/0001:run") == _entry()
    assert Ledger(directory).entry("../x" * 100) == _entry(key="../x" * 100)
    ledger.withdraw(_entry())
    ledger.withdraw(_entry())
    assert ledger.entry("101001001/0001:run") is None


def test_progress_of_an_exchange(directory: LocalDirectory) -> None:
    ledger = Ledger(directory)
    assert ledger.progress("E1") == Progress(exchange="E1", epoch=0, files=0)
    ledger.advance(Progress(exchange="E1", epoch=4, files=2))
    assert Ledger(directory).progress("E1").epoch == 4
    assert ledger.progress("E2").epoch == 0


def test_pending_until_the_staged_file_has_its_name(directory: LocalDirectory) -> None:
    ledger = Ledger(directory)
    directory.begin(".a.part", b"x")
    ledger.put(_entry())
    assert ledger.pending(_entry())
    answer = ledger.carry_out(_entry())
    assert (answer.written, answer.deleted, answer.place, answer.at) == (3, 1, "a.csv", AT)
    assert not ledger.pending(_entry())
    kept = ledger.entry(_entry().key)
    assert kept is not None
    assert kept.closed
    directory.begin(".a.part", b"y")
    assert not ledger.pending(kept)
    assert ledger.carry_out(kept) == answer
    assert directory.read("a.csv") == b"x"


def test_nothing_is_published_beside_a_file_that_was_taken(directory: LocalDirectory) -> None:
    ledger = Ledger(directory)
    ledger.put(_entry())
    ledger.carry_out(_entry())
    assert not directory.exists(manifest_name("a.csv"))


@pytest.mark.parametrize("content", ["", "{", "{}", '{"exchange": "E1", "epoch": "x"}'])
def test_a_spoiled_ledger_is_told(directory: LocalDirectory, tmp_path: Path, content: str) -> None:
    ledger = Ledger(directory)
    (tmp_path / ".shutong" / f"exchange-{short('E1')}.json").write_text(content)
    with pytest.raises(Malformed, match="台账") as caught:
        ledger.progress("E1")
    assert caught.value.remedy


def test_a_manifest_of_many_documents_is_written_and_read_in_little_memory(tmp_path: Path) -> None:
    """A delivery of ours with a hundred thousand documents is a drop that can be picked up again."""
    directory = LocalDirectory(tmp_path)
    schema = pa.schema([pa.field("文件", pa.string(), metadata={"type": "G", "document": "true"})])
    directory.begin(".rows", b"")
    for start in range(0, 100_000, 5_000):
        texts = [
            f"sha256:{'a' * 64}:7:32010219900101{each:06d}_中华人民共和国营业执照正本.pdf"
            for each in range(start, start + 5_000)
        ]
        directory.append(".rows", frame(pa.record_batch([pa.array(texts)], schema=schema)))
    directory.begin("lic_1.csv", b"number\n")
    digest = hashlib.sha256(b"number\n").hexdigest()
    entry = Entry(
        key="k", exchange="E1", epoch=1, manifest="d", head="", name="lic_1.csv", part=".gone", stage=".rows", rows=0,
        deleted=0, sha256=digest, size=7, hidden=".folder", folder="lic_1", at=datetime.now(UTC),
    )  # fmt: skip
    tracemalloc.start()
    Ledger(directory).carry_out(entry)
    assert tracemalloc.get_traced_memory()[1] < 30 << 20
    tracemalloc.stop()
    written = tmp_path / "lic_1.csv.manifest.json"
    assert written.stat().st_size > SMALL
    told = json.loads(written.read_text())["documents"]
    assert (len(told), told[0]["name"]) == (100_000, "lic_1/32010219900101000000_中华人民共和国营业执照正本.pdf")
    pickup = Pickup(directory, "lic_*.csv", PickupOptions(), in_order=True, scratch=None)
    look = pickup.look()
    with closing(pickup.take(look.entries[0], look)) as taken:
        assert (taken.digest, taken.rows) == (digest, 0)
