"""What a single row plainly is, it is by the rules of whole columns too."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas
from exchange.checks.check_digits import credit_code_check, identity_number_check
from exchange.checks.examination import examine
from exchange.checks.normalise import normalise
from exchange.checks.plainly import plain_values
from exchange.checks.rules import check
from schemas import Item
from tests.exchange.checks.rows import SHANGHAI, TODAY, batch, code_lists, item

LISTS = code_lists(sex=["1", "2", "未知"])
ITEMS = (
    item("key", length=6, mandatory=True),
    item("id", length=18, check="identity_number"),
    item("org", length=18, check="credit_code"),
    item("project", check="project_code"),
    item("sex", code_list="sex"),
    item("name", length=4),
    item("note", "M", length=8),
    item("count", "I"),
    item("whole", "N", length=5),
    item("amount", "Y", length=6),
    item("share", "N", length=3, scale=3),
    item("birth", "D"),
    item("moment", "T"),
    item("alive", "L"),
    item("ratio", "B"),
    item("file", "G"),
    item("version", "I"),
)

figures = st.text("0123456789", min_size=1, max_size=19)
numbers = st.from_regex(r"[+-]?[0-9]{0,7}\.?[0-9]{0,4}", fullmatch=True)
days = st.dates(date(1, 1, 1)).map(date.isoformat) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", fullmatch=True)
clocks = st.from_regex(
    r"[T ](0[0-9]|1[0-9]|2[0-9]):[0-6][0-9]:[0-6][0-9](\.[0-9]{1,7})?(Z|[+-](0[0-9]|1[0-9]):[0-9]{2})?", fullmatch=True
)
bodies = st.dates(date(1900, 1, 1), date(2040, 1, 1)).map(lambda day: f"110105{day:%Y%m%d}002")
identities = bodies.map(lambda body: body + identity_number_check(body)) | bodies.map(lambda body: body + "1")
organisations = st.from_regex(r"9135010[0-9A-HJ-NPQRTUWXY]{10}", fullmatch=True).map(
    lambda body: body + credit_code_check(body)
)
strange = st.sampled_from(
    ["", " ", " a", "a ", "\u3000a", "无", "-", "NULL", "１２", "a\nb", "\x00", "是", "Y", "1e5", "-0"]
)
values = st.one_of(
    st.none(), strange, figures, numbers, days, st.tuples(days, clocks).map("".join), identities, organisations,
    st.text(max_size=9), st.sampled_from(["1", "0", "true", "false", "TRUE", "未知", "3"]),
)  # fmt: skip


def vectorised(row: pa.RecordBatch, items: tuple[Item, ...]) -> Any:
    """The row by the rules of columns alone."""
    typed = normalise(row, items, SHANGHAI, key=["key"], version="version", code_lists=LISTS)
    found = check(
        typed.batch, items, key=["key"], version="version", today=TODAY, code_lists=LISTS, found=typed.findings
    )
    return typed.batch, typed.findings + found.findings


def single(given_: dict[str, str | None]) -> pa.RecordBatch:
    return batch([0], **{each.name: pa.array([given_.get(each.name)], pa.string()) for each in ITEMS})


@settings(max_examples=150)
@given(st.fixed_dictionaries({each.name: values for each in ITEMS}))
def test_what_is_plain_is_so_by_the_rules_of_columns(given_: dict[str, str | None]) -> None:
    row = single(given_)
    plain = plain_values(row, ITEMS, key=["key"], version="version", today=TODAY, code_lists=LISTS)
    typed, findings = vectorised(row, ITEMS)
    wrong = {finding.item for finding in findings}
    for name, column in plain.items():
        assert name not in wrong
        assert column.equals(typed.column(name)), name
        assert column.type == typed.column(name).type


@settings(max_examples=80)
@given(st.fixed_dictionaries({each.name: values for each in ITEMS}))
def test_a_single_row_is_parted_as_one_among_others(given_: dict[str, str | None]) -> None:
    row = single(given_)
    alone = examine(row, ITEMS, key=["key"], version="version", zone=SHANGHAI, today=TODAY, code_lists=LISTS)
    two = pa.Table.from_batches([row, row]).combine_chunks().to_batches()[0]
    among = examine(two, ITEMS, key=["key"], version="version", zone=SHANGHAI, today=TODAY, code_lists=LISTS)
    assert alone.accepted.equals(among.accepted.slice(0, alone.accepted.num_rows))
    assert alone.refused.equals(among.refused.slice(0, alone.refused.num_rows))
    assert (alone.accepted.num_rows * 2, alone.refused.num_rows * 2) == (
        among.accepted.num_rows, among.refused.num_rows,
    )  # fmt: skip
    assert alone.findings == [finding for finding in among.findings if finding.row == 0]
    assert (alone.accepted_rows.to_pylist(), alone.refused_rows.to_pylist()) in (([0], []), ([], [0]))


PLAIN = {
    "key": "1", "id": "11010519491231002X", "org": "91350100M000100Y43", "sex": "未知", "name": "张𠮷 丰",
    "note": " 备注 ".strip(), "count": "-7", "whole": "12345", "amount": "-1234.50", "birth": "1949-12-31",
    "moment": "2025-01-02T13:05:00.5+08:00", "alive": "true", "version": "3",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_the_usual_forms_are_plain(name: str) -> None:
    plain = plain_values(single(PLAIN), ITEMS, key=["key"], version="version", today=TODAY, code_lists=LISTS)
    assert name in plain


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("key", None), ("version", None), ("key", "1234567"), ("id", "110105194912310021"),
        ("id", "11010520991231002X"),
        ("org", "91350100M000100Y44"), ("sex", "3"), ("project", "2602-411102-04-04-398932"), ("count", "12.00"),
        ("whole", "123456"), ("amount", "1.234"), ("birth", "1949-02-30"), ("birth", "19491231"),
        ("moment", "2025-01-02 13:05:00"), ("alive", "是"), ("ratio", "0.5"), ("file", "QUJD"), ("name", " a"),
    ],
)  # fmt: skip
def test_of_everything_else_nothing_is_said(name: str, text: str | None) -> None:
    given_ = {**PLAIN, name: text}
    assert name not in plain_values(
        single(given_), ITEMS, key=["key"], version="version", today=TODAY, code_lists=LISTS
    )


def test_of_rows_inside_a_row_nothing_is_said() -> None:
    items = (*ITEMS, item("members", "M", rows=[{"name": "n", "label": "人数", "type": "I"}]))
    row = single(PLAIN).append_column("members", pa.array(['[{"n":"x"}]']))
    assert "members" not in plain_values(row, items, key=["key"], version="version", today=TODAY, code_lists=LISTS)
    seen = examine(row, items, key=["key"], version="version", zone=SHANGHAI, today=TODAY, code_lists=LISTS)
    assert ["members[1].n" in finding.reason for finding in seen.findings] == [True]


def test_of_several_rows_nothing_is_said() -> None:
    row = single(PLAIN)
    two = pa.Table.from_batches([row, row]).combine_chunks().to_batches()[0]
    assert plain_values(two, ITEMS, key=["key"], version="version", today=TODAY, code_lists=LISTS) == {}


def test_numbers_that_the_source_typed_are_taken_as_they_are() -> None:
    columns = {each.name: pa.array([PLAIN.get(each.name)], pa.string()) for each in ITEMS}
    row = batch([0], **{**columns, "count": pa.array([7]), "version": pa.array([None], pa.int64())})
    plain = plain_values(row, ITEMS, key=["key"], version="version", today=TODAY, code_lists=LISTS)
    assert plain["count"].to_pylist() == [7]
    assert "version" not in plain


def test_a_barred_code_is_looked_at_closely() -> None:
    given = item(code_list="licence_trust_level")
    lists = {"licence_trust_level": schemas.code_list("licence_trust_level")}
    for code, plain in (("A", True), ("C", False)):
        options = {"key": (), "version": None, "today": TODAY, "code_lists": lists}
        assert (plain_values(batch(value=[code]), [given], **options) != {}) == plain
