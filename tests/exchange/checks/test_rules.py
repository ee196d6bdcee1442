from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from exchange.checks.findings import Finding
from exchange.checks.rules import check, reference_states
from exchange.errors import Unknown
from schemas import Item, arrow_type
from tests.exchange.checks.rows import TODAY, batch, code_lists, item

ID = "11010519491231002X"


def broken(given: Item, values: list[Any], **options: Any) -> list[str | None]:
    """For each row the rule it breaks, None if none."""
    options = {"key": (), "version": None, "today": TODAY} | options
    checked = check(batch(value=pa.array(values, arrow_type(given))), [given], **options)
    rules: list[str | None] = [None] * len(values)
    for finding in checked.findings:
        assert rules[finding.row] is None
        rules[finding.row] = finding.rule
    assert checked.accepted.to_pylist() == [rule is None for rule in rules]
    return rules


def reasons(given: Item, values: list[Any]) -> list[str]:
    source = batch(value=pa.array(values, arrow_type(given)))
    return [f.reason for f in check(source, [given], key=(), version=None, today=TODAY).findings]


def test_mandatory() -> None:
    assert broken(item(), [None, ""]) == [None, None]
    assert broken(item(mandatory=True), ["a", None, "", " "]) == [None, "mandatory", "mandatory", "mandatory"]
    assert broken(item(type="M", mandatory=True), ["a", None, "　 \n"]) == [None, "mandatory", "mandatory"]
    assert broken(item(type="I", mandatory=True), [0, None]) == [None, "mandatory"]
    assert broken(item(type="G", mandatory=True), [b"", None]) == [None, "mandatory"]


def test_key_and_version() -> None:
    assert broken(item(), ["a", None, ""], key=("value",)) == [None, "key", "key"]
    assert broken(item(mandatory=True), ["a", None], key=("value",)) == [None, "key"]
    assert broken(item(type="I"), [0, None], version="value") == [None, "version"]


def test_length_is_counted_in_characters() -> None:
    assert broken(item(length=2), ["二字", "𠮷𠮷", "ab", "", None, "三个字", "abc"]) == [None] * 5 + ["length"] * 2
    assert broken(item(type="M", length=2), ["   "]) == ["length"]
    assert reasons(item(length=2), ["𠮷𠮷𠮷"]) == ["标签value：3 个字符，最多 2 个"]


def test_code_lists() -> None:
    lists = code_lists(sex=["1", "2"])
    given = item(code_list="sex")
    assert broken(given, ["1", "2", None, "3", "１"], code_lists=lists) == [None, None, None, "code_list", "code_list"]
    assert broken(item(type="I", code_list="sex"), [1, 3, None], code_lists=lists) == [None, "code_list", None]
    with pytest.raises(Unknown):
        broken(given, ["1"], code_lists={})


@pytest.mark.parametrize("rule", ["identity_number", "credit_code", "project_code", "licence_identifier"])
def test_every_check_has_a_reason_for_every_verdict(rule: str) -> None:
    values = [
        None,
        "短",
        "1" * 17 + "二",
        "32010519490230002X",
        "110105204912310022",
        "110105194912310021",
        "91350100M000100Y44",
        "2602-411102-04-04-398933",
        "2613-411102-04-04-398933",
        "2602-411102-04-04-39893X",
        "1.2.156.3005.2.11100000MB03271699022.340100.000000016.001.A",
        "1.2.156.3005.2.11100000MB03271699022.34010a.000000016.001.A",
    ]
    found = broken(item(check=rule), values)
    assert found == [None] + [rule] * (len(values) - 1)
    assert all(reason.startswith("标签value：") for reason in reasons(item(check=rule), values))


def test_a_wrong_length_is_told() -> None:
    assert reasons(item(check="identity_number"), ["1234567"]) == ["标签value：应为 18 位，现为 7 个字符"]


def test_a_cell_is_found_for_one_reason_only() -> None:
    given = item(length=18, check="identity_number", code_list="sex", mandatory=True)
    assert broken(given, [ID + "X", None], code_lists=code_lists(sex=[ID])) == ["length", "mandatory"]


def test_what_was_found_before_counts() -> None:
    source = batch(value=pa.array([None, "a", "b"]))
    given = [item(mandatory=True)]
    found = [Finding(0, "value", "type", "…"), Finding(2, "other", "type", "…")]
    checked = check(source, given, key=(), version=None, today=TODAY, found=found)
    assert checked.findings == []
    assert checked.accepted.to_pylist() == [False, True, False]


def test_of_a_deletion_only_key_and_version_are_looked_at() -> None:
    items = [item("k"), item("v", "I"), item("a", mandatory=True)]
    source = batch([1, 1, 1, 0], k=["x", None, "x", "x"], v=pa.array([1, 1, None, 1]), a=pa.nulls(4, pa.string()))
    checked = check(source, items, key=("k",), version="v", today=TODAY)
    assert [(f.row, f.rule) for f in checked.findings] == [(1, "key"), (2, "version"), (3, "mandatory")]
    assert checked.accepted.to_pylist() == [True, False, False, False]


def test_references_are_kept_with_a_state() -> None:
    asked: list[tuple[str, list[str]]] = []

    def known(name: str, values: pa.Array) -> pa.BooleanArray:
        asked.append((name, values.to_pylist()))
        return pc.starts_with(values, "1")

    items = [item("k"), item("task", reference="service_item"), item("none", reference="service_item")]
    source = batch(
        [0, 0, 0, 0, 1],
        k=["a"] * 5,
        task=["11", "22", None, "22", "33"],
        none=pa.nulls(5, pa.string()),
    )
    found = reference_states(source, items, known)
    assert asked == [("task", ["11", "22", "33"])]
    assert [(f.row, f.item, f.rule) for f in found] == [(1, "task", "reference"), (3, "task", "reference")]
    assert reference_states(source.slice(0, 1), items, known) == []
    checked = check(source, items, key=("k",), version=None, today=TODAY, found=found)
    assert checked.accepted.to_pylist() == [True] * 5


def test_a_licence_whose_original_nobody_has_seen_is_refused() -> None:
    given = item(code_list="licence_trust_level")
    assert broken(given, ["A", "B", "C", "D", None]) == [None, None, "original", None, None]
    assert "须核对原件" in reasons(given, ["C"])[0]
