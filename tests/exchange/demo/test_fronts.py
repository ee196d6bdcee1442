"""The departments' own machines do as their family does."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exchange.demo.fronts import Drop, FrontTable, Service, run_script, take
from schemas import profile
from tests.exchange.demo.eyes import query

ITEMS = ("no", "name", "data_version", "update_time")
Front = Callable[..., FrontTable]


def row(number: int, name: str = "𠮷", version: int = 1) -> dict[str, Any]:
    return {"no": str(number), "name": name, "data_version": version, "update_time": f"2026-01-0{version} 09:00:00"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "front.db"


@pytest.fixture
def front(file: Path) -> Front:
    def made(family: str, table: str = "t", **columns: str) -> FrontTable:
        return FrontTable(file, table, {name: columns.get(name, name) for name in ITEMS}, ["no"], profile(family))

    return made


@pytest.mark.parametrize(
    ("family", "states"),
    [
        ("jiangsu", {"sync_sign": "0", "update_date": "2026-01-01 09:00:00", "sync_date": None}),
        ("guangdong", {"REC_FLAG": "0", "INSERTTIME": "2026-01-01 09:00:00", "RESPONSETIME": None}),
        ("shandong", {"SIGNSTATE": "0", "DATASTATE": "1", "MAKETIME": "2026-01-01 09:00:00", "STDVER": "1"}),
        ("national", {"cd_operation": "I", "cd_batch": "B000001", "data_source": "001"}),
    ],
)
def test_what_is_reported_is_marked_unread(front: Front, file: Path, family: str, states: dict[str, Any]) -> None:
    front(family, row_guid="row_guid").report([row(1), row(2, "䶮")])
    found = query(file, "SELECT * FROM t ORDER BY no")
    assert [each["name"] for each in found] == ["𠮷", "䶮"]
    assert [{name: each[name] for name in states} for each in found] == [states, states]


@pytest.mark.parametrize("family", ["jiangsu", "guangdong", "shandong"])
def test_a_row_reported_again_takes_the_place_of_the_old_one(front: Front, file: Path, family: str) -> None:
    state = profile(family).state
    assert state is not None
    table = front(family)
    table.report([row(1), row(2)])
    assert take(file, "t", profile(family)) == 2
    table.report([row(1, "新", 2)])
    found = {each["no"]: each for each in query(file, "SELECT * FROM t")}
    assert {no: each[state.column] for no, each in found.items()} == {"1": state.fresh, "2": state.done}
    assert (found["1"]["name"], found["1"]["data_version"]) == ("新", "2")


def test_a_version_column_of_the_family_s_own_is_the_row_s_version(front: Front, file: Path) -> None:
    front("shandong", data_version="DATAVER").report([row(1, version=3)])
    (found,) = query(file, "SELECT * FROM t")
    assert found["DATAVER"] == "3"
    assert "data_version" not in found


def test_operations_are_only_added(front: Front, file: Path) -> None:
    table = front("national", no="row_guid")
    table.report([row(1)])
    table.report([row(1, "新", 2)])
    table.delete([row(1, "新", 2)])
    found = query(file, "SELECT * FROM t ORDER BY cd_batch")
    assert [(each["name"], each["cd_operation"]) for each in found] == [("𠮷", "I"), ("新", "I"), ("新", "D")]
    times = [each["cd_time"] for each in found]
    assert times == sorted(set(times)), "later batches bear later times"


@pytest.mark.parametrize(
    ("family", "left"),
    [
        ("shandong", [("1", "0", "0"), ("2", "1", "0")]),
        ("jiangsu", [("2", None, "0")]),
        ("guangdong", [("2", None, "0")]),
    ],
)
def test_a_deletion_is_marked_or_the_row_is_just_gone(front: Front, file: Path, family: str, left: Any) -> None:
    kept = profile(family)
    table = front(family)
    table.report([row(1), row(2)])
    table.delete([row(1, version=2)])
    assert kept.state is not None
    found = query(file, "SELECT * FROM t ORDER BY no")
    marks = [(each["no"], each[kept.delete.column] if kept.delete else None, each[kept.state.column]) for each in found]
    assert marks == left


@pytest.mark.parametrize(
    ("family", "table", "errors"),
    [
        ("national", "up_thing", "dn_thing_error"),
        ("guangdong", "EX_GDBS_FR", "EX_GDBS_FR_ERROR"),
        ("jiangsu", "inf_thing", None),
        ("shandong", "EA_JC_STEP_THING", None),
    ],
)
def test_the_error_table_is_there_where_the_family_has_one(
    front: Front, file: Path, family: str, table: str, errors: str | None
) -> None:
    front(family, table, no="row_guid" if family == "national" else "no")
    found = {each["name"] for each in query(file, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert found == {table, *([errors] if errors else [])}
    if errors:
        columns = [each["name"] for each in query(file, f'PRAGMA table_info("{errors}")')]
        assert columns[-1] == profile(family).error_column
        assert columns[:-1] == [each["name"] for each in query(file, f'PRAGMA table_info("{table}")')]


def test_what_is_taken_is_taken_once(front: Front, file: Path) -> None:
    table = front("jiangsu")
    table.report([row(1), row(2)])
    assert [take(file, "t", profile("jiangsu")) for _ in range(2)] == [2, 0]
    table.report([row(3)])
    assert take(file, "t", profile("jiangsu")) == 1
    with pytest.raises(ValueError, match="没有同步标志"):
        take(file, "t", profile("national"))


def test_a_drop_has_a_manifest_beside_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "drop"
    Drop(folder).put("x_1.csv", [row(1, '𠮷,"\n'), {"no": "2"}], ITEMS)
    content = (folder / "x_1.csv").read_bytes()
    lines = list(csv.reader(content.decode("gb18030").splitlines(keepends=True)))
    assert lines == [list(ITEMS), ["1", '𠮷,"\n', "1", "2026-01-01 09:00:00"], ["2", "", "", ""]]
    manifest = json.loads((folder / "x_1.csv.manifest.json").read_text())
    assert manifest == {"rows": 2, "sha256": hashlib.sha256(content).hexdigest()}


def test_a_service_gives_its_rows_page_after_page(tmp_path: Path) -> None:
    made = Service(tmp_path / "things.db", ["no", "name", "amount"])
    # The process that serves opens what the department has made.
    service = Service(tmp_path / "things.db")
    assert service.items == made.items == ["no", "name", "amount"]
    assert service.read(None, 2) == ([], None)
    made.report([{"no": "1", "amount": 7}, {"no": "2", "name": None}])
    made.report([{"no": "1", "amount": 8, "other": "x"}])
    rows, cursor = service.read(None, 2)
    assert rows == [{"no": "1", "name": None, "amount": "7"}, {"no": "2", "name": None, "amount": None}]
    rows, cursor = service.read(cursor, 2)
    assert rows == [{"no": "1", "name": None, "amount": "8"}]
    assert service.read(cursor, 2) == ([], None)
    made.report([{"no": "3"}])
    assert service.read(cursor, 2)[0] == [{"no": "3", "name": None, "amount": None}]


def test_a_script_is_run_as_it_is(tmp_path: Path) -> None:
    run_script(tmp_path / "new" / "x.db", "CREATE TABLE a (b);\nINSERT INTO a VALUES ('c;d');")
    assert query(tmp_path / "new" / "x.db", "SELECT * FROM a") == [{"b": "c;d"}]
