from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from tests.exchange.cli.county import CODE, TAX, County, application

SOON = (date.today() + timedelta(days=30)).isoformat()  # noqa: DTZ011


def asked(county: County, **changes: Any) -> str:
    """A further application, waiting for its answer."""
    file = county.file("more.yaml", application(**changes))
    return str(county.ask("application", "submit", file, by="tax")["applications"][0]["id"])


def test_an_application_waits_for_the_provider(changing_county: County) -> None:
    outcome = changing_county.run("application", "submit", changing_county.file("a.yaml", application()), by="tax")
    assert outcome.status == 0
    assert "待提供部门答复" in outcome.out
    pending = changing_county.ask("application", "list", "--state", "pending", by="chief")["applications"]
    assert [each["resource"] for each in pending] == [CODE]
    assert f"shutong application show {pending[0]['id']}" in outcome.out
    assert any(pending[0]["id"] in note["text"] for note in changing_county.ask("notices", by="police")["notices"])


def test_what_is_missing_is_said_at_once(changing_county: County) -> None:
    file = changing_county.file("a.yaml", application(basis="", scene="", until=None))
    outcome = changing_county.run("application", "submit", file, by="tax")
    told = changing_county.ask("application", "list", "--state", "refused", by="tax")["applications"]
    assert outcome.status == 3
    assert "未同意" in outcome.out
    assert all(word in told[0]["decisions"][0]["reasons"][0] for word in ("使用依据", "使用场景", "使用期限"))


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"resource": "999999999/0001"}, 4, "999999999/0001"),
        ({"colour": "红"}, 2, "colour"),
        ({"items": "name"}, 2, "items"),
        ({"until": "某日"}, 2, "until"),
        ({"target": {"endpoint": "police", "object": "people"}}, 3, "police"),
    ],
)
def test_what_is_wrong(county: County, changes: dict[str, Any], status: int, message: str) -> None:
    outcome = county.run("application", "submit", county.file("wrong.yaml", application(**changes)), by="tax")
    assert outcome.status == status
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_for_ones_own_department(county: County) -> None:
    file = county.file("a.yaml", application())
    assert county.run("application", "submit", file, by="police").status == 3
    assert county.run("application", "submit", file, by="chief").status == 3


def test_agreed_for_less(changing_county: County) -> None:
    name = asked(changing_county, rows_per_minute=5000)
    words = [
        "--items",
        "id_no，name",
        "--until",
        SOON,
        "--quota",
        "100",
        "--calls-per-minute",
        "60",
        "--rows-per-minute",
        "500",
        "--reason",
        "只需姓名",
        "--reason",
        "期限缩短",
    ]
    outcome = changing_county.run("application", "decide", name, "--approve", *words, by="chief")
    assert outcome.status == 0
    assert "只需姓名" in outcome.out
    entry = changing_county.ask("application", "show", name, by="tax")
    assert entry["state"] == "granted"
    assert f"shutong run share-{entry['grant']}" in outcome.out
    grant = changing_county.ask("grant", "show", entry["grant"], by="tax")
    assert grant["granted"]["items"] == ["id_no", "name", "ver"]
    assert grant["quota_rows"] == 100
    assert (grant["granted"]["calls_per_minute"], grant["granted"]["rows_per_minute"]) == (60, 500)
    assert "5000" in changing_county.run("application", "show", name, by="tax").out
    explained = changing_county.run("explain", entry["grant"], by="tax").out
    assert all(text in explained for text in ("每分钟调用次数上限", "60", "每分钟行数上限", "500"))
    assert grant["valid_until"] < (date.today() + timedelta(days=32)).isoformat()  # noqa: DTZ011


def test_never_for_more(changing_county: County) -> None:
    name = asked(changing_county, items=["id_no", "name", "ver"], masks={"name": {"mask": "name"}})
    outcome = changing_county.run("application", "decide", name, "--approve", "--items", "district", by="chief")
    assert outcome.status == 3
    assert "district" in outcome.err
    outcome = changing_county.run("application", "decide", name, "--approve", "--until", "某日", by="chief")
    assert outcome.status == 2


def test_refused_with_reasons(changing_county: County) -> None:
    name = asked(changing_county)
    assert changing_county.run("application", "decide", name, "--refuse", by="chief").status == 2
    assert changing_county.run("application", "decide", name, "--refuse", "--reason", "够了", by="tax").status == 3
    told = changing_county.ask("application", "decide", name, "--refuse", "--reason", "使用依据不足", by="chief")
    assert (told["state"], told["grant"]) == ("refused", None)
    shown = changing_county.run("application", "show", name, by="tax").out
    assert "未同意" in shown
    assert "  • 使用依据不足" in shown
    assert changing_county.run("application", "decide", name, "--approve", by="chief").status == 5
    assert changing_county.run("application", "decide", "A-none", "--approve", by="chief").status == 4


def test_taken_back(changing_county: County) -> None:
    name = asked(changing_county)
    assert changing_county.run("application", "withdraw", name, by="police").status == 3
    outcome = changing_county.run("application", "withdraw", name, "--reason", "暂不需要", by="tax")
    assert outcome.status == 0
    assert "已撤回" in outcome.out
    assert changing_county.run("application", "withdraw", name, by="tax").status == 5


def test_only_the_parties_see_it(county: County) -> None:
    (entry,) = county.ask("application", "list", by="tax")["applications"]
    assert entry["department"] == TAX
    assert entry["asked"]["basis"] == "《税收征收管理法》"
    for by in ("police", "chief", "auditor"):
        assert county.ask("application", "show", entry["id"], by=by) == county.ask(
            "application", "show", entry["id"], by="tax"
        )
    assert county.ask("application", "list", by="centre")["applications"] == []
    assert county.run("application", "show", entry["id"], by="centre").status == 3
    assert county.run("application", "show", "A-none", by="centre").status == 4
    assert county.ask("application", "list", "--resource", "1/1", by="tax")["applications"] == []
    assert entry["id"] in county.run("application", "list", by="tax").out
