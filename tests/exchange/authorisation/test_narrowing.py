from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from catalog import Resource
from exchange.authorisation import expression, masks
from exchange.authorisation.application import parse as application_of
from exchange.authorisation.narrowing import Terms, narrowed, parse, terms_of
from exchange.authorisation.policy import assess
from exchange.errors import Invalid
from tests.exchange.authorisation.conftest import application, resource

NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)
RESOURCE = Resource.model_validate(resource())
APPLICATION = application_of(
    application(
        items=["id_no", "name", "district", "marital", "version"],
        masks={
            "id_no": {"mask": "clear", "justification": "核对身份"},
            "district": {"mask": "truncate", "length": 4},
        },
        filter={"item": "district", "starts_with": "3212"},
        quota_rows=1000,
        since="2026-03-10",
        until="2026-12-31",
    )
)
ASKED = terms_of(assess(RESOURCE, APPLICATION, NOW), APPLICATION)


def after(**less: Any) -> tuple[Terms, list[str]]:
    return narrowed(ASKED, parse(less), RESOURCE, date(2026, 3, 1))


def test_nothing_said_is_what_was_asked() -> None:
    assert after() == (ASKED, [])


def test_everything_can_be_less() -> None:
    terms, against = after(
        items=["name", "district"],
        filter={"item": "district", "is": "321202"},
        masks={"district": {"mask": "truncate", "length": 2}, "name": {"mask": "null"}},
        quota=10,
        until=date(2026, 6, 30),
    )
    assert against == []
    assert terms.items == ("id_no", "name", "district", "version")
    assert terms.masks == {"id_no": masks.Hmac(), "name": masks.Null(), "district": masks.Truncate(length=2)}
    assert (terms.quota, terms.until) == (10, date(2026, 6, 30))
    assert terms.filter is not None
    assert expression.describe(terms.filter) == "district 以 “3212” 开头 且 district 为 “321202”"


def test_a_filter_of_the_reviewer_never_lets_more_through() -> None:
    terms, against = after(filter={"item": "version", "is_null": False})
    assert against == []
    assert terms.filter == expression.both(ASKED.filter, expression.parse({"item": "version", "is_null": False}))


@pytest.mark.parametrize(
    ("less", "words"),
    [
        ({"items": ["name", "income"]}, "“income” 不在可以授权的范围内"),
        ({"items": ["name", "note"]}, "“note” 不在可以授权的范围内"),
        ({"items": ["nmae"]}, "是否指 name"),
        ({"masks": {"name": {"mask": "clear", "justification": "x"}}}, "不是收窄"),
        ({"masks": {"marital": {"mask": "truncate", "length": 1}}}, "不是收窄"),
        ({"masks": {"district": {"mask": "truncate", "length": 6}}}, "不是收窄"),
        ({"masks": {"income": {"mask": "null"}}}, "不在授权信息项内"),
        ({"masks": {"id_no": {"mask": "null"}}}, "业务主键"),
        ({"masks": {"version": {"mask": "hmac"}}}, "版本项"),
        ({"filter": {"item": "absent", "is": 1}}, "没有信息项"),
        ({"quota": 1001}, "大于所申请的 1000"),
        ({"until": date(2027, 1, 1)}, "不在所申请的 2026-03-10 至 2026-12-31 之内"),
        ({"until": date(2026, 3, 9)}, "不在所申请的"),
    ],
)
def test_nothing_can_be_more(less: dict[str, Any], words: str) -> None:
    _, against = after(**less)
    assert any(words in reason for reason in against)


def test_every_reason_is_told_at_once() -> None:
    _, against = after(items=["income"], quota=2000, until=date(2030, 1, 1))
    assert len(against) == 3


def test_limits_of_a_minute_are_asked_for_and_narrowed() -> None:
    asked = APPLICATION.model_copy(update={"calls_per_minute": 60, "rows_per_minute": None})
    terms = terms_of(assess(RESOURCE, asked, NOW), asked)
    assert (terms.calls_per_minute, terms.rows_per_minute) == (60, None)
    assert "rows_per_minute" not in terms.body(asked)
    less, against = narrowed(terms, parse({"calls_per_minute": 30, "rows_per_minute": 500}), RESOURCE, date(2026, 3, 1))
    assert against == []
    body = less.body(asked)
    assert (body["calls_per_minute"], body["rows_per_minute"]) == (30, 500)
    _, against = narrowed(terms, parse({"calls_per_minute": 61}), RESOURCE, date(2026, 3, 1))
    assert against == ["每分钟调用次数上限 61 大于所申请的 60"]
    assert not {"calls_per_minute", "rows_per_minute"} & ASKED.body(APPLICATION).keys()


def test_a_mask_already_hiding_a_key_stays() -> None:
    hidden = narrowed(ASKED, parse({"masks": {"id_no": {"mask": "hmac", "digest": "sm3"}}}), RESOURCE, date(2026, 3, 1))
    terms, against = narrowed(hidden[0], parse({"items": ["name"]}), RESOURCE, date(2026, 3, 1))
    assert against == []
    assert terms.masks["id_no"] == masks.Hmac(digest="sm3")


def test_the_body_of_the_grant() -> None:
    body = ASKED.body(APPLICATION)
    assert set(body) == {"items", "filter", "masks", "purpose", "way", "target"}
    assert body["items"] == ["id_no", "name", "district", "marital", "version"]
    assert body["filter"] == {"item": "district", "starts_with": "3212"}
    assert body["masks"]["id_no"] == {"mask": "clear", "justification": "核对身份"}
    assert body["masks"]["marital"] == {"mask": "null"}
    assert body["purpose"] == {
        "basis": "《电子商务法》第十条", "scene": "网店登记核对", "scope": "本市登记窗口"
    }  # fmt: skip
    assert (body["way"], body["target"]) == ("database", None)


def test_the_period_lasts_to_the_end_of_its_last_day_in_beijing() -> None:
    assert ASKED.period(NOW) == (datetime(2026, 3, 9, 16, tzinfo=UTC), datetime(2026, 12, 31, 16, tzinfo=UTC))
    late = datetime(2026, 4, 1, tzinfo=UTC)
    assert ASKED.period(late)[0] == late


@pytest.mark.parametrize(
    "less",
    [
        {"sql": "1=1"},
        {"quota": 0},
        {"calls_per_minute": 0},
        {"rows_per_minute": 2**63},
        {"filter": {"sql": "1"}},
        {"items": "name"},
        {"masks": {"a": {}}},
    ],
)
def test_what_cannot_be_read_is_refused(less: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        parse(less)


def test_a_use_without_an_end_is_never_granted() -> None:
    endless = application_of(application(until=None))
    with pytest.raises(ValueError, match="without an end"):
        terms_of(assess(RESOURCE, endless, NOW), endless)
