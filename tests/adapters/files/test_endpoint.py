from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import FoundColumn
from adapters.errors import Misconfigured
from adapters.registry import open_endpoint
from tests.adapters.files.conftest import Drop, binding

SCHEMA = pa.schema([pa.field("number", pa.string()), pa.field("holder", pa.string())])


@pytest.mark.parametrize("options", [{}, {"root": "relative"}, {"root": 3}, {"root": "/tmp", "rot": 1}])
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured, match=r"root|rot"):
        open_endpoint("files", options)


def test_what_it_can(drop: Drop) -> None:
    capabilities = drop.endpoint.capabilities
    assert (capabilities.way, capabilities.captures) == ("file", {"snapshot", "batches"})
    assert (capabilities.delivers, capabilities.transactional, capabilities.merges, capabilities.settles) == (
        True, True, False, True,
    )  # fmt: skip
    assert drop.endpoint.prepare(binding(), SCHEMA) == ""


def test_test(drop: Drop, tmp_path: Path) -> None:
    drop.put("a.csv", "a\n")
    assert [probe.passed for probe in drop.endpoint.test()] == [True, True]
    [probe] = open_endpoint("files", {"root": str(tmp_path / "none")}).test()
    assert not probe.passed
    assert probe.remedy


def test_a_directory_that_may_only_be_read(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write everywhere, so rights alone would not show it.
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    probes = drop.endpoint.test()
    assert [probe.passed for probe in probes] == [True, False]
    assert probes[1].remedy


def test_inspect(drop: Drop) -> None:
    drop.put("licence_1.csv", "a\n1\n")
    drop.put("licence_2.csv", "证照\n编号 ,b\n", encoding="gb18030")
    drop.put("licence_2.csv", '"证照\n编号 ",b\n1,2\n', encoding="gb18030")
    drop.put("empty.csv", "")
    found = drop.endpoint.inspect()
    assert [(one.name, one.label) for one in found] == [
        ("empty.csv", "empty.csv"),
        ("licence_1.csv", "licence_1.csv"),
        ("licence_2.csv", "licence_2.csv"),
    ]
    assert found[0].columns == ()
    assert found[2].columns == (FoundColumn("证照编号", "C"), FoundColumn("b", "C"))
    [one] = drop.endpoint.inspect("licence_*.csv")
    assert (one.name, one.label, one.columns) == ("licence_*.csv", "licence_2.csv", found[2].columns)
    assert drop.endpoint.inspect("none*") == []


def test_check(drop: Drop) -> None:
    assert drop.endpoint.check(binding(), SCHEMA, sink=False) == []
    assert drop.endpoint.check(binding(), SCHEMA, sink=True) == []
    drop.put("licence_1.csv", "a,b\n")
    assert "缺少列 证照编号" in drop.endpoint.check(binding(), SCHEMA, sink=False)[0]
    assert "outbox" in drop.endpoint.check(binding(capture="outbox"), SCHEMA, sink=False)[0]
    assert "一个 *" in drop.endpoint.check(binding(object="x.csv"), SCHEMA, sink=True)[0]
    gone = open_endpoint("files", {"root": str(drop.root / "none")})
    assert "不存在" in gone.check(binding(), SCHEMA, sink=True)[0]
    assert "不存在" in gone.check(binding(), SCHEMA, sink=False)[0]
