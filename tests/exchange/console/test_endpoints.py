"""Endpoints on pages: registered, changed, tested, looked into, paused; by whom, and with whatever names."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.console.endpoints import LABELS, moment_of
from exchange.db.tables import EventRow
from exchange.engine import endpoint_kinds, option_fields
from exchange.errors import Invalid
from exchange.settings import Role
from tests.adapters.webservice.conftest import Place
from tests.exchange.console.stories import EVIL, field_of, harmless, officer, text_of
from tests.exchange.engine.town import HUB, POLICE, SYNC, TAX, Town
from tests.exchange.site.people import People


def given(path: Path, **changes: str) -> dict[str, str]:
    return {
        "kind": "database",
        "name": "drop",
        "department": HUB,
        "zone": "Asia/Shanghai",
        "mark": "",
        "option-product": "sqlite",
        "option-path": str(path),
        **changes,
    }


def test_one_is_registered_tested_looked_into_and_changed(people: People, tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    with closing(sa.create_engine(f"sqlite:///{path}").connect()) as connection:
        connection.exec_driver_sql("CREATE TABLE licence (code VARCHAR(20) PRIMARY KEY, holder VARCHAR(64))")
        connection.commit()
    browser = people.browser("integrator")
    assert browser.get("/endpoints/new", kind="database").status_code == 200
    answer = browser.post("/endpoints", **given(path))
    assert (answer.status_code, answer.headers["location"]) == (303, "/endpoints/drop")
    shown = browser.get("/endpoints/drop")
    assert str(path) in shown.text
    tested = browser.post("/endpoints/drop/test")
    assert tested.status_code == 200
    assert "全部通过" in tested.text
    looked = browser.get("/endpoints/drop/inspect")
    assert "/endpoints/drop/inspect?object=licence" in looked.text
    columns = text_of(browser.get("/endpoints/drop/inspect", object="licence"))
    assert "holder" in columns
    assert "主键" in columns
    form = browser.get("/endpoints/drop/edit")
    mark = field_of(form, "mark")
    assert field_of(form, "option-path") == str(path)
    changed = browser.post("/endpoints/drop", **given(path, mark=mark, zone="UTC"))
    assert changed.status_code == 303
    assert people.hub.directory.endpoint("drop", by=people.actor("integrator")).zone == "UTC"


def test_of_two_who_change_one_at_the_same_time_the_second_is_told(people: People) -> None:
    browser = people.browser("integrator")
    form = browser.get("/endpoints/police/edit")
    mark, path = field_of(form, "mark"), Path(field_of(form, "option-path"))
    fields = given(path, name="police", department=POLICE, mark=mark)
    assert browser.post("/endpoints/police", **{**fields, "zone": "UTC"}).status_code == 303
    second = browser.post("/endpoints/police", **{**fields, "zone": "Asia/Tokyo"})
    assert second.status_code == 409
    assert "已被他人改动" in second.text
    assert field_of(second, "zone") == "Asia/Tokyo"  # nothing of what was written is lost
    assert people.hub.directory.endpoint("police", by=people.actor("integrator")).zone == "UTC"


def test_a_name_that_is_taken_takes_nothing_over(people: People, tmp_path: Path) -> None:
    answer = people.browser("integrator").post("/endpoints", **given(tmp_path / "x.db", name="police"))
    assert answer.status_code == 409
    assert "已经有端点 police" in answer.text


def test_a_secret_is_a_reference_and_is_shown_as_one(people: People) -> None:
    browser = people.browser("integrator")
    fields = {
        "kind": "database", "name": "server", "department": HUB, "zone": "Asia/Shanghai", "mark": "",
        "option-product": "mariadb", "option-host": "db.example", "option-database": "front", "option-user": "u",
    }  # fmt: skip
    refused = browser.post("/endpoints", **fields, **{"option-password": "hunter2-in-clear"})
    assert refused.status_code == 422
    assert "口令和密钥只登记引用，不登记原文" in refused.text
    assert 'aria-describedby="h-option-password p-option-password"' in refused.text
    kept = browser.post("/endpoints", **fields, **{"option-password": "env:NO_SUCH_SECRET"})
    assert kept.status_code == 303
    shown = browser.get("/endpoints/server")
    assert "env:NO_SUCH_SECRET" in shown.text
    assert "引用" in shown.text


@pytest.mark.parametrize("path", ["hub.db", "keys/master.key"])
def test_none_leads_into_the_hub_itself(people: People, path: str) -> None:
    answer = people.browser("integrator").post("/endpoints", **given(people.hub.settings.home / path))
    assert answer.status_code == 422
    assert "指向平台自己的文件" in answer.text


@pytest.mark.parametrize("fields", [{"name": ""}, {"name": "a b"}, {"option-product": "abacus"}, {"zone": "Mars"}])
def test_what_is_wrong_is_said_and_what_was_written_is_kept(
    people: People, tmp_path: Path, fields: dict[str, str]
) -> None:
    answer = people.browser("integrator").post("/endpoints", **given(tmp_path / "kept.db", **fields))
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert field_of(answer, "option-path") == str(tmp_path / "kept.db")


def test_an_unknown_kind_is_none(people: People) -> None:
    assert people.browser("integrator").get("/endpoints/new", kind="carrier pigeon").status_code == 404


def test_others_departments_are_out_of_reach(people: People, town: Town, tmp_path: Path) -> None:
    """By the address, by the form's fields, and by a name that is theirs."""
    foreign = officer(people, "taxman", TAX, Role.INTEGRATOR)
    assert "police" in foreign.get("/endpoints").text
    for path in ("/endpoints/police", "/endpoints/police/edit", "/endpoints/police/inspect"):
        answer = foreign.get(path)
        assert answer.status_code == 403
        assert str(town.urls["police"]).rpartition("/")[2] not in answer.text
    mine = given(tmp_path / "mine.db", department=TAX)
    for path, fields in (
        ("/endpoints", {**mine, "department": POLICE}),
        ("/endpoints/police", {**mine, "department": POLICE}),
        ("/endpoints/police/test", {}),
        ("/endpoints/police/pause", {"reason": "x"}),
    ):
        assert foreign.post(path, **fields).status_code == 403, path
    taken = foreign.post("/endpoints/police", **{**mine, "mark": "0"})
    assert taken.status_code == 409
    with people.hub.database.reading() as session:
        refused = sa.select(sa.func.count()).where(EventRow.type == "AccessDenied", EventRow.actor == "新taxman")
        assert session.scalar(refused) == 7


def test_it_rests_for_a_reason_and_wakes(people: People) -> None:
    browser = people.browser("integrator")
    refused = browser.post("/endpoints/police/pause", reason="", until="")
    assert refused.status_code == 422
    assert "须说明理由" in refused.text
    assert browser.post("/endpoints/police/pause", reason=EVIL, until="tomorrow").status_code == 422
    assert browser.post("/endpoints/police/pause", reason=EVIL, until="2099-01-01T08:00").status_code == 303
    shown = browser.get("/endpoints/police")
    assert "2099-01-01 08:00:00" in shown.text
    harmless(shown)
    harmless(browser.get(f"/exchanges/{SYNC}"))
    assert browser.post("/endpoints/police/resume", reason="好了").status_code == 303
    assert browser.post("/endpoints/police/resume", reason="好了").status_code == 409


def test_names_from_outside_are_only_text(people: People, town: Town) -> None:
    column, table = "<script>alert('x')</script>", "<img src=x onerror=alert(1)>"
    town.execute("police", f'CREATE TABLE "{table}" ("{column}" VARCHAR(20) PRIMARY KEY)')
    browser = people.browser("integrator")
    listed = browser.get("/endpoints/police/inspect")
    assert "&lt;img src=x onerror=alert(1)&gt;" in listed.text
    harmless(listed)
    shown = browser.get("/endpoints/police/inspect", object=table)
    assert "&lt;script&gt;" in shown.text
    harmless(shown)
    harmless(browser.get("/endpoints/police/inspect", object=EVIL))
    harmless(browser.get("/endpoints", department=EVIL))
    harmless(browser.post("/endpoints", **given(Path("/nowhere"), name=EVIL, **{"option-host": EVIL})))


def test_an_endpoint_that_is_away_is_a_finding(people: People, town: Town) -> None:
    with town.away("police"):
        tested = people.browser("integrator").post("/endpoints/police/test")
        looked = people.browser("integrator").get("/endpoints/police/inspect")
    assert tested.status_code == 200
    assert "未通过" in tested.text
    assert looked.status_code == 422
    assert "不存在" in looked.text or "没有" in looked.text


def test_every_option_has_a_label() -> None:
    known = {each.name for kind in endpoint_kinds() for each in option_fields(kind)}
    assert known == set(LABELS)


def test_times_are_beijing_s() -> None:
    at = moment_of("2026-12-01T08:00")
    assert at is not None
    assert at.isoformat() == "2026-12-01T08:00:00+08:00"
    assert moment_of("") is None
    with pytest.raises(Invalid):
        moment_of("8 o'clock")


def test_a_service_is_a_tree_of_operations_and_elements(people: People, place: Place) -> None:
    """And what its contract calls things is only text."""
    browser = people.browser("integrator")
    fields = {"kind": "webservice", "name": "archive", "department": HUB, "zone": "Asia/Shanghai", "mark": ""}
    assert browser.post("/endpoints", **fields, **{"option-url": place.url}).status_code == 303
    assert "操作：getRecords" in browser.post("/endpoints/archive/test").text
    shown = browser.get("/endpoints/archive/inspect", object="getRecords")
    text = text_of(shown)
    assert (
        text.index("请求") < text.index("changedSince") < text.index("应答") < text.index("record") < text.index("no")
    )
    assert "可重复" in text
    assert "首选" in text
    place.archive.wsdl = place.archive.wsdl.replace("getRecords", "get.--Records").replace(
        '"owner"', '"o&lt;script&gt;"'
    )
    harmless(browser.get("/endpoints/archive/inspect"))
    place.archive.wsdl = "<html><script>alert(1)</script></html>"
    answer = browser.post("/endpoints/archive/test")
    assert "未通过" in answer.text
    harmless(answer)
