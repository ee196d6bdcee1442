"""Promotion: position, receipt, event, quarantine and debts become true together, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from adapters import RefusedRow
from exchange.db.tables import ExchangeRow, OwedRow, QuarantineRow, ReceiptRow, UsageRow
from exchange.engine import RunState
from exchange.engine import promotion as promoting
from exchange.engine.manifest import ROWS, Header, Manifest, ManifestWriter
from exchange.engine.promotion import conflicts
from exchange.errors import Failed
from exchange.secrets import Vault
from tests.exchange.engine.town import SYNC, Town, counts, person, wrong


def test_rows_the_target_refused_are_found_again_by_their_place_in_the_stage(tmp_path: Path) -> None:
    vault = Vault(tmp_path, b"k" * 32)
    with vault.write("run.1") as writer:
        manifest = ManifestWriter(writer)
        for numbers in ((1, 0), (2, None), (3, 1)), ((4, 2), (5, 3)):
            rows = [{"number": n, "staged": staged, "reference": f"r{n}"} for n, staged in numbers]
            manifest.rows(pa.RecordBatch.from_pylist(rows, schema=ROWS))
        manifest.seal(Header(delivery="d"))
    sealed = Manifest(vault, "run.1", vault.digest("run.1"))

    assert conflicts(sealed, []) == {}
    assert conflicts(sealed, [RefusedRow(1, "conflict", "不同"), RefusedRow(3, "conflict", "也不同")]) == {
        1: ("r3", 3, "conflict", "不同"),
        3: ("r5", 5, "conflict", "也不同"),
    }


def test_all_of_it_or_nothing(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)
    issue = promoting.issue

    def failing(*arguments: Any, **more: Any) -> ReceiptRow:
        issue(*arguments, **more)
        raise Failed("磁盘已满")

    with monkeypatch.context() as patch:
        patch.setattr(promoting, "issue", failing)
        with pytest.raises(Failed):
            town.run(town.share)
    (run,) = town.runs(town.share)
    assert run.state == RunState.COMMITTING
    assert town.rows("tax") == town.granted()
    assert town.receipts(town.share) == []
    (row,) = town.all(sa.select(ExchangeRow).where(ExchangeRow.id == town.share))
    assert (row.position, row.shape, row.last_delivery) == (None, None, None)
    assert town.all(sa.select(OwedRow).where(OwedRow.run == run.id)) == []
    assert town.all(sa.select(UsageRow.rows).where(UsageRow.delivery == run.delivery)) == [6]
    assert "RunCommitted" not in town.events(run.id)
    result = town.run(town.share)
    assert result.id == run.id
    assert result.counts == counts(read=9, filtered=3, written=6)
    (row,) = town.all(sa.select(ExchangeRow).where(ExchangeRow.id == town.share))
    assert row.position is not None
    assert row.last_delivery == run.delivery


def test_refused_rows_are_listed_without_their_content(town: Town) -> None:
    town.report(*(person(number) for number in range(5)), wrong(7), {**wrong(8), "born": None, "ver": 1, "name": ""})
    town.run(SYNC)
    rows = town.quarantined(SYNC)
    assert {row.rule for row in rows} == {"identity_number", "mandatory"}
    assert len({row.number for row in rows}) == 2
    assert len({row.key_hash for row in rows}) == 2
    for row in rows:
        said = f"{row.item}{row.rule}{row.reason}{row.key_hash}{row.file}"
        assert wrong(7)["id_no"] not in said
        assert wrong(7)["name"] not in said
    (receipt,) = town.receipts(SYNC)
    assert receipt.body["report"] == {"identity_number": 2, "mandatory": 1}
    assert receipt.body["counts"]["refused"] == 2
    town.report(wrong(7, version=2))
    town.run(SYNC)
    again = town.quarantined(SYNC)[-1]
    assert again.key_hash in {row.key_hash for row in rows}
    assert len(town.all(sa.select(QuarantineRow.run).distinct())) == 2
