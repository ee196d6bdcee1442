from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
import yaml

from exchange.authorisation.application import end_of, first_moment, parse
from exchange.errors import Invalid
from tests.exchange.authorisation.conftest import MARKET, OPEN, application

WHOLE = application(
    id="shop-2026",
    until="2026-12-31",
    since="2026-01-01",
    filter={"all": [{"item": "district", "starts_with": "3212"}, {"not": {"item": "version", "is": 0}}]},
    masks={"name": {"mask": "name"}, "id_no": {"mask": "clear", "justification": "核对"}},
    quota_rows=1000,
    target={"endpoint": "e", "object": "t", "columns": {"name": "XM"}, "profile": "jiangsu", "options": {"a": [1]}},
)


def test_limits_that_nobody_asked_for_are_not_in_the_body() -> None:
    # So that an application from before there were any is the same when it comes again.
    assert not {"calls_per_minute", "rows_per_minute"} & parse(WHOLE).body().keys()
    limited = parse({**WHOLE, "calls_per_minute": 60, "rows_per_minute": 5000})
    assert (limited.body()["calls_per_minute"], limited.body()["rows_per_minute"]) == (60, 5000)
    assert parse(limited.body()).body() == limited.body()


def test_a_body_is_read_back() -> None:
    whole = parse(WHOLE)
    body = json.loads(json.dumps(whole.body()))
    assert body["until"] == "2026-12-31"
    assert "id" not in body
    assert body["filter"]["all"][1] == {"not": {"item": "version", "is": 0}}
    assert parse({**body, "id": "shop-2026"}) == whole


def test_yaml_is_read_as_json_is() -> None:
    assert parse(yaml.safe_load(yaml.safe_dump(WHOLE, allow_unicode=True))) == parse(WHOLE)
    assert parse({**WHOLE, "until": date(2026, 12, 31)}) == parse(WHOLE)


def test_missing_material_is_left_to_the_policy() -> None:
    bare = parse({"resource": OPEN, "department": MARKET})
    assert (bare.basis, bare.items, bare.until, bare.filter) == ("", (), None, None)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"sql": "1 = 1"}, "sql"),
        ({"id": "../../etc"}, "id"),
        ({"id": "x" * 41}, "id"),
        ({"resource": ""}, "resource"),
        ({"department": "1" * 19}, "department"),
        ({"basis": "见\u202e附件"}, "basis"),
        ({"basis": "长" * 2001}, "basis"),
        ({"items": "name"}, "items"),
        ({"items": [""]}, "items › 1"),
        ({"until": "31.12.2026"}, "until"),
        ({"quota_rows": 0}, "quota_rows"),
        ({"quota_rows": 1.5}, "quota_rows"),
        ({"calls_per_minute": 2**31}, "calls_per_minute"),
        ({"rows_per_minute": 0}, "rows_per_minute"),
        ({"filter": {"sql": "1 = 1"}}, "filter"),
        ({"filter": "1 = 1"}, "filter"),
        ({"masks": {"name": {"mask": "rot13"}}}, "masks › name"),
        ({"target": {"endpoint": "e"}}, "target › object"),
        ({"target": {"endpoint": "e", "object": "t", "table": "u"}}, "target › table"),
    ],
)
def test_wrong_forms_are_named(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse({**WHOLE, **changes})
    assert [problem.where for problem in caught.value.problems] == [f"共享申请 › {where}"]


def test_a_filter_too_deep_is_refused_before_it_is_read() -> None:
    deep: Any = {"item": "name", "is": "x"}
    for _ in range(50_000):
        deep = {"not": deep}
    with pytest.raises(Invalid) as caught:
        parse({**WHOLE, "filter": deep})
    assert "嵌套" in caught.value.problems[0].message


def test_days_begin_and_end_in_beijing() -> None:
    assert first_moment(date(2026, 1, 1)) == datetime(2025, 12, 31, 16, tzinfo=UTC)
    assert end_of(date(2026, 12, 31)) == datetime(2026, 12, 31, 16, tzinfo=UTC)
