from __future__ import annotations

import numpy as np
import pytest

from exchange.checks.findings import RULES, Fault, Finding, Sheet
from tests.exchange.checks.rows import item


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def sheet(count: int = 3, spared: tuple[int, ...] = (), kept: tuple[str, ...] = ()) -> Sheet:
    flags = np.zeros(count, np.bool_)
    flags[list(spared)] = True
    return Sheet(count, flags, kept)


def test_every_rule_tells_the_clerk_what_to_do() -> None:
    for code, rule in RULES.items():
        assert rule.code == code
        assert rule.title
        assert rule.remedy
    assert [code for code, rule in RULES.items() if not rule.refuses] == ["reference"]


def test_the_catalogue_is_closed() -> None:
    with pytest.raises(TypeError):
        RULES["other"] = RULES["type"]  # type: ignore[index]
    with pytest.raises(KeyError):
        sheet().add(item(), Fault("other", rows(0), "…"))


def test_a_finding_names_row_item_rule_and_label() -> None:
    found = sheet()
    found.add(item("a"), Fault("type", rows(2, 1), ["甲", "乙"]))
    assert found.findings() == [
        Finding(1, "a", "type", "标签a：乙"),
        Finding(2, "a", "type", "标签a：甲"),
    ]
    assert found.accepted.tolist() == [True, False, False]


def test_a_cell_is_found_once_but_a_row_as_often_as_it_has_faulty_items() -> None:
    found = sheet()
    found.add(item("a"), Fault("type", rows(0), "一"))
    found.add(item("a"), Fault("mandatory", rows(0, 1), "二"))
    found.add(item("b"), Fault("length", rows(0), "三"))
    assert [(f.row, f.item, f.rule) for f in found.findings()] == [
        (0, "a", "type"),
        (0, "b", "length"),
        (1, "a", "mandatory"),
    ]


def test_what_was_found_before_counts_and_is_not_found_again() -> None:
    found = sheet()
    found.recall([Finding(0, "a", "type", "…"), Finding(1, "a", "reference", "…")])
    found.add(item("a"), Fault("mandatory", rows(0), "…"))
    assert found.findings() == []
    assert found.accepted.tolist() == [False, True, True]


def test_of_a_deletion_only_key_and_version_are_looked_at() -> None:
    found = sheet(spared=(0,), kept=("k",))
    found.add(item("a"), Fault("type", rows(0, 1), "…"))
    assert found.accepted.tolist() == [True, False, True]
    found.add(item("k"), Fault("key", rows(0), "…"))
    assert found.accepted.tolist() == [False, False, True]
    assert [(f.row, f.item) for f in found.findings()] == [(0, "k"), (1, "a")]


def test_a_finding_that_does_not_refuse_leaves_the_row_accepted() -> None:
    found = sheet()
    found.add(item("a"), Fault("reference", rows(0), "…"))
    assert found.accepted.all()
    assert [f.rule for f in found.findings()] == ["reference"]
