"""From a clerk's document to a published entry, and back."""

from __future__ import annotations

from typing import Any

import pytest

from catalog import Resource, read_sheet, write_sheet
from exchange.web.paths import quoted
from tests.exchange.api.programmes import Programmes
from tests.exchange.engine.town import CODE, POLICE, resource

HERE = f"/resources/{quoted(CODE)}"
OTHER = "101001001/0002"


def written(**changes: Any) -> dict[str, Any]:
    document = resource(**{"code": OTHER, "name": "户籍信息", **changes})
    del document["offer"]
    return document


def test_found_and_looked_up_by_a_code_with_a_slash(calls: Programmes) -> None:
    assert [each["code"] for each in calls.get("tax", "/directory", text="人口")["items"]] == [CODE]
    found = calls.get("tax", HERE)
    assert (found["code"], found["state"], found["resource"]["key"]) == (CODE, "published", ["id_no"])
    assert calls.get("police", f"{HERE}/history")[0]["action"] == "add"
    assert calls.get("police", f"{HERE}/difference")["changes"] == []
    assert calls.get("police", "/resources", state="published")["items"][0]["code"] == CODE


def test_warnings_come_first_and_nothing_is_done(calls: Programmes) -> None:
    given = written(related=["101001001/0099"])
    told = calls.post("police", "/resources/checks", **given)
    assert told["problems"] == []
    assert told["warnings"], "the test needs something to warn of"
    warned = calls.ask("police", "POST", "/resources", json=given)
    assert warned.status_code == 409
    assert warned.json()["warnings"] == told["warnings"]
    assert "ignore_warnings" in warned.json()["remedy"]
    assert calls.ask("police", "GET", f"/resources/{quoted(OTHER)}").status_code == 404
    done = calls.ask("police", "POST", "/resources?ignore_warnings=true", json=given)
    assert done.status_code == 201
    assert done.json()["action"] == "add"


def test_everything_wrong_is_told_at_once(calls: Programmes) -> None:
    answer = calls.ask("police", "POST", "/resources", json=written(share_type=9, update_cycle="sometimes"))
    assert answer.status_code == 422
    assert len(answer.json()["problems"]) >= 2


def test_revised_by_who_has_seen_it_and_reviewed(calls: Programmes) -> None:
    document = written()
    made = calls.ask("police", "POST", "/resources?ignore_warnings=true", json=document)
    assert made.status_code == 201, made.text
    path = f"/resources/{quoted(OTHER)}"
    again = calls.ask("police", "POST", "/resources?ignore_warnings=true", json={**document, "name": "另一个资源"})
    assert again.status_code == 409, "who was given the same code takes nothing over"
    assert calls.get("police", path)["resource"]["name"] == document["name"]
    tag = calls.ask("police", "GET", path).headers["etag"]
    changed = {**document, "abstract": "另一个摘要"}
    change = f"{path}?ignore_warnings=true"
    assert calls.ask("police", "PUT", change, json=changed).status_code == 428
    done = calls.ask("police", "PUT", change, json=changed, headers={"If-Match": tag})
    assert done.status_code == 200, done.text
    assert done.json()["action"] == "update"
    assert calls.ask("police", "PUT", change, json=document, headers={"If-Match": tag}).status_code == 412
    moves = [("police", "submit"), ("chief", "agree"), ("police", "submit"), ("centre", "agree")]
    states = [calls.post(who, f"{path}/moves", action=verb)["after"] for who, verb in moves]
    assert states == ["registering", "registered", "publishing", "published"]
    stale = calls.ask(
        "centre", "POST", f"{path}/moves", json={"action": "withdraw", "opinion": "停"}, headers={"If-Match": tag}
    )
    assert stale.status_code == 412
    assert calls.post("centre", f"{path}/moves", action="withdraw", opinion="停止更新")["after"] == "withdrawn"


def test_facets_count_what_a_search_finds(calls: Programmes) -> None:
    told = calls.get("tax", "/directory/facets", text="人口", cycle="yearly")
    assert told["complete"] is True
    assert told["counts"]["cycle"] == {"daily": 1}, "a facet is not held to itself"
    assert told["counts"]["provider"] == {}
    assert calls.get("tax", "/directory/facets")["counts"]["provider"] == {POLICE: 1}


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_the_form_goes_down_and_up_as_a_spreadsheet(calls: Programmes, format: str) -> None:
    down = calls.ask("police", "GET", f"{HERE}/sheet", params={"format": format})
    assert down.headers["content-disposition"].startswith(f'attachment; filename="101001001-0001.{format}"')
    kind = {"Content-Type": down.headers["content-type"]}
    path = "/resources/sheets?ignore_warnings=true"
    taken = calls.ask("police", "POST", path, content=down.content, headers=kind)
    assert taken.status_code == 409, "nobody's resource is changed by a form that says nothing of it"
    seen = {"If-Match": calls.ask("police", "GET", HERE).headers["etag"]}
    assert (
        calls.ask("police", "POST", path, content=down.content, headers=kind | {"If-Match": '"x"'}).status_code == 412
    )
    again = calls.ask("police", "POST", path, content=down.content, headers=kind | seen)
    assert again.status_code == 201, again.text
    assert again.json()["action"] is None, "it says what is registered"
    sheet = write_sheet(Resource.model_validate(written(related=["101001001/0099"])), format=format)  # type: ignore[arg-type]
    told = calls.ask("police", "POST", "/resources/sheets/checks", content=sheet, headers=kind).json()
    assert (told["problems"], len(told["warnings"])) == ([], 1)
    warned = calls.ask("police", "POST", "/resources/sheets", content=sheet, headers=kind)
    assert (warned.status_code, warned.json()["warnings"]) == (409, told["warnings"])
    assert calls.ask("tax", "POST", "/resources/sheets", content=sheet, headers=kind).status_code == 403
    assert calls.ask("police", "GET", f"/resources/{quoted(OTHER)}").status_code == 404
    done = calls.ask("police", "POST", "/resources/sheets?ignore_warnings=true", content=sheet, headers=kind)
    assert (done.status_code, done.json()["action"]) == (201, "add")


def test_a_sheet_that_is_none_is_told_so(calls: Programmes) -> None:
    kind = {"Content-Type": "text/csv"}
    answer = calls.ask("police", "POST", "/resources/sheets/checks", content=b"PK\x03\x04rest", headers=kind)
    assert answer.json()["problems"][0]["message"] == "不是可读的 XLSX 工作簿"
    blank = calls.ask("tax", "GET", "/resources/sheets/blank", params={"record_class": "natural_person"})
    assert "数据表" in blank.json()["title"]
    blank = calls.ask("tax", "GET", "/resources/sheets/blank", params={"format": "xlsx"})
    assert read_sheet(blank.content).problems == ()


def test_the_next_free_code(calls: Programmes) -> None:
    assert calls.get("police", "/resources/codes/next", under="101001001") == {"code": OTHER}
