from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import Malformed
from adapters.files.ledger import Entry, Ledger, Progress, manifest_name
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
