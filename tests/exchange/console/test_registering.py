from __future__ import annotations

import io
import zipfile
from datetime import date, timedelta
from typing import Any

import pytest
import xlsxwriter
from httpx import Response

from catalog import Resource, write_sheet
from tests.exchange.console.reading import VILE, follow, form, harmless, text
from tests.exchange.engine.town import CODE, POLICE, TAX, Town, resource
from tests.exchange.site.people import Browser, People

NEW = "/resources/new/form"
SECOND = "101001001/0002"
BASIC = {
    "name": "户籍地址",
    "code": SECOND,
    "abstract": "公民身份号码和户籍地址",
    "formats": "数据库/MySQL",
    "share_type": "2",
    "share_condition": "依法履职需要",
    "share_ways": ["database"],
    "update_cycle": "daily",
    "item-0-label": "公民身份号码",
    "item-0-name": "id_no",
    "item-0-type": "C",
    "item-0-length": "18",
    "item-0-mandatory": "是",
    "item-0-key": "是",
    "item-0-grade": "personal",
    "item-1-label": "户籍地址",
    "item-1-name": "address",
    "item-1-type": "C",
    "item-1-length": "200",
    "item-1-grade": "personal",
    "item-2-type": "C",
    "item-2-grade": "none",
}


def send(browser: Browser, path: str, **changes: Any) -> Response:
    """Open a form, change some of it, and send it."""
    page = browser.get(path)
    assert page.status_code == 200, text(page)
    return browser.post(path, **form(page, path) | changes)


def register(browser: Browser, **changes: Any) -> Response:
    return send(browser, NEW, **BASIC | changes)


class TestByForm:
    def test_from_form_to_publication_application_and_grant(self, people: People, town: Town) -> None:
        police, chief, tax, centre = (people.browser(name) for name in ("police", "chief", "tax", "centre"))
        page = follow(police, register(police))
        assert "已登记，是草稿" in text(page)
        path = f"/resources/{SECOND.replace('/', '%2F')}"
        assert "等待提交的资源" in text(police.get("/"))
        for browser, action, after in (
            (police, "submit_registration", "待注册审核"),
            (chief, "agree_registration", "已注册"),
            (police, "submit_publication", "待发布审核"),
            (centre, "agree_publication", "发布"),
        ):
            assert "户籍地址" in text(browser.get("/"))
            shown = browser.get(path)
            fields = form(shown, f"{path}/move")
            page = follow(browser, browser.post(f"{path}/move", **fields, action=action))
            assert f"现在是“{after}”" in text(page)
        assert "户籍地址" in text(tax.get("/directory", q="户籍"))
        public = f"/directory/{SECOND.replace('/', '%2F')}"
        assert "申请使用" in text(tax.get(public))
        until = (date.today() + timedelta(days=30)).isoformat()  # noqa: DTZ011
        sent = send(
            tax, f"{public}/apply", basis="《税收征收管理法》", scene="核验", scope="本区纳税人", until=until,
            items=["id_no", "address"], **{"mask-id_no": "clear", "why-id_no": "按号码办理"},
        )  # fmt: skip
        asked = follow(tax, sent)
        assert "等待提供部门答复" in text(asked)
        name = sent.headers["location"]
        assert "税务局申请户籍地址" in text(chief.get("/"))
        answered = chief.post(f"{name}/decide", **form(chief.get(name), f"{name}/decide"), answer="approve")
        assert "已答复：同意" in text(follow(chief, answered))
        with town.hub() as hub:
            grant = hub.directory.grants(by=town.actor("tax"), resource=SECOND, kind="sharing")[0]
        assert "现在可以放行" in text(tax.get(f"/grants/{grant.id}"))
        assert grant.granted["items"] == ["id_no", "address"]

    def test_everything_wrong_stands_beside_its_field_and_what_was_typed_is_kept(self, people: People) -> None:
        answer = register(
            people.browser("police"),
            **{
                "share_type": "",
                "code": "x",
                "formats": "纸",
                "item-1-length": "长",
                "item-1-name": "1a",
                "name": "甲",
            },
        )
        assert answer.status_code == 422
        for place in ("share_type", "code", "formats", "item-1-length"):
            assert f'id="p-{place}"' in answer.text
            assert f'href="#f-{place}"' in answer.text
            assert f'id="f-{place}"' in answer.text
        kept = form(answer, NEW)
        assert (kept["name"], kept["code"], kept["item-1-length"]) == ("甲", "x", "长")

    def test_lines_are_ended_as_browsers_end_them(self, people: People, town: Town) -> None:
        police = people.browser("police")
        follow(police, register(police, abstract="第一行\r\n第二行"))
        base = f"/resources/{SECOND.replace('/', '%2F')}"
        fields = form(police.get(base), f"{base}/move") | {"opinion": "一\r\n二", "action": "submit_registration"}
        follow(police, police.post(f"{base}/move", **fields))
        with town.hub() as hub:
            assert hub.directory.resource(SECOND, by=town.actor("police")).resource.abstract == "第一行\n第二行"

    def test_rows_come_and_go_without_script(self, people: People) -> None:
        police = people.browser("police")
        page = register(police, do="add")
        assert page.status_code == 200
        fields = form(page, NEW)
        assert fields["item-4-type"] == "C"
        assert fields["item-1-name"] == "address"
        page = police.post(NEW, **fields | {"do": "remove-0", "version_item": "1"})
        left = form(page, NEW)
        assert (left["item-0-name"], left["version_item"]) == ("address", "0")
        assert police.post(NEW, **fields | {"do": "remove-0", "version_item": "0"}).status_code == 200
        assert police.post(NEW, **fields | {"do": "dance"}).status_code == 404

    def test_there_is_always_room_for_an_item(self, people: People) -> None:
        police = people.browser("police")
        fields = form(police.get(NEW), NEW) | {"classes": "101001001", "do": "code"}
        assert form(police.post(NEW, **fields), NEW)["item-2-type"] == "C"

    def test_items_of_a_class_and_the_next_code(self, people: People) -> None:
        police = people.browser("police")
        page = register(police, of="licence/", do="fill")
        assert form(page, NEW)["item-18-name"]
        assert "没有选择" in text(register(police, of="", do="fill"))
        assert form(register(police, classes="101001001", code="", do="code"), NEW)["code"] == SECOND
        assert "没有填写" in text(register(police, classes="", code="", do="code"))
        assert form(police.get(f"{NEW}?of=licence/"), NEW)["item-0-name"]
        assert police.get(f"{NEW}?of=nothing/").status_code == 404

    def test_what_is_worth_a_second_look_is_asked_first(self, people: People, town: Town) -> None:
        police = people.browser("police")
        answer = register(police, **{"item-1-grade": "none"})
        assert answer.status_code == 422
        assert "请再看一眼" in text(answer)
        with town.hub() as hub:
            assert [each.code for each in hub.directory.resources(by=town.actor("police"))] == [CODE]
        accepted = answer.text.partition('name="accepted" value="')[2].partition('"')[0]
        other = police.post(NEW, **form(answer, NEW) | {"accepted": "0" * 32})
        assert other.status_code == 422
        follow(police, police.post(NEW, **form(answer, NEW) | {"accepted": accepted}))

    def test_a_vile_stranger_is_quoted(self, people: People) -> None:
        fields = {name: VILE for name, value in BASIC.items() if isinstance(value, str)}
        answer = register(people.browser("police"), **fields | {"related": VILE, "offer-object": VILE, "options": VILE})
        assert answer.status_code == 422
        harmless(answer)
        assert "&lt;script&gt;alert(1)" in answer.text

    def test_nobody_registers_for_others(self, people: People, town: Town) -> None:
        police, tax = people.browser("police"), people.browser("tax")
        assert register(tax, provider_code=POLICE, code="101001001/0009").status_code == 303
        with town.hub() as hub:
            assert hub.directory.resource("101001001/0009", by=town.actor("tax")).resource.provider_code == TAX
        theirs = "/resources/101001001%2F0009"
        assert police.get(theirs).status_code == 404
        for path in (f"{theirs}/edit", f"{theirs}/history", f"{theirs}/sheet.csv"):
            assert police.get(path).status_code in (403, 404), path
        police.get(NEW)
        assert police.post(f"{theirs}/edit", **BASIC).status_code == 404
        mine = f"/resources/{CODE.replace('/', '%2F')}"
        assert tax.get(f"{mine}/edit").status_code == 403
        tax.get("/resources/new")
        assert tax.post(f"{mine}/edit", **BASIC).status_code == 403
        # A code of theirs in a form of one's own.
        assert register(tax, code=CODE).status_code == 422


class TestChanging:
    path = f"/resources/{CODE.replace('/', '%2F')}/edit"

    def test_nothing_is_lost_of_what_the_form_does_not_show(self, people: People, town: Town) -> None:
        police = people.browser("police")
        page = follow(police, send(police, self.path))
        assert "内容没有变化" in text(page)

    def test_the_next_version_and_what_it_differs_in(self, people: People) -> None:
        police = people.browser("police")
        page = follow(police, send(police, self.path, abstract="改过的摘要"))
        assert "已登记第 2 版" in text(page)
        base = self.path.removesuffix("/edit")
        assert "改过的摘要" in text(police.get(f"{base}/difference"))
        assert "改了 1 处" in text(police.get(f"{base}/history"))
        others = text(follow(people.browser("tax"), people.browser("tax").get(base)))
        assert "改过的摘要" not in others
        assert "姓名、公民身份号码、所在区、出生日期" in others

    def test_the_second_of_two_is_shown_the_first_and_keeps_what_he_wrote(self, people: People, town: Town) -> None:
        police, other = people.browser("police"), people.fresh("police")
        page = other.get(self.path)
        follow(police, send(police, self.path, abstract="先写的"))
        late = other.post(self.path, **form(page, self.path) | {"name": "后写的"})
        assert late.status_code == 409
        assert "已由他人办理" in text(late)
        assert "先写的" in text(late)
        kept = form(late, self.path)
        assert (kept["name"], kept["abstract"]) == ("后写的", "姓名、公民身份号码、所在区、出生日期")
        follow(other, other.post(self.path, **kept))
        with town.hub() as hub:
            entry = hub.directory.resource(CODE, by=town.actor("police"))
        assert (entry.version, entry.resource.name) == (2, "后写的")

    def test_a_code_somebody_just_took_is_not_written_over(self, people: People, town: Town) -> None:
        police, other = people.browser("police"), people.fresh("police")
        page = other.get(NEW)
        follow(police, register(police))
        for _again in range(2):
            late = other.post(NEW, **form(page, NEW) | BASIC | {"name": "另一个"})
            assert late.status_code == 409
            assert "换一个代码" in text(late)
            page = late
        with town.hub() as hub:
            assert hub.directory.resource(SECOND, by=town.actor("police")).resource.name == "户籍地址"

    def test_what_was_submitted_meanwhile_is_not_changed(self, people: People) -> None:
        police, other = people.browser("police"), people.fresh("police")
        follow(police, register(police))
        base = f"/resources/{SECOND.replace('/', '%2F')}"
        page = other.get(f"{base}/edit")
        police.post(f"{base}/move", **form(police.get(base), f"{base}/move"), action="submit_registration")
        late = other.post(f"{base}/edit", **form(page, f"{base}/edit") | {"name": "后写的"})
        assert late.status_code == 409
        again = other.post(f"{base}/edit", **form(late, f"{base}/edit"))
        assert again.status_code == 409
        assert form(again, f"{base}/edit")["name"] == "后写的"
        assert other.get(f"{base}/edit").status_code == 409


class TestBySpreadsheet:
    path = "/resources/new/sheet"

    def upload(self, browser: Browser, content: bytes, name: str = "form.csv") -> Response:
        browser.get("/resources/new")
        return browser.post(self.path, files={"sheet": (name, content)})

    def test_a_filled_form_becomes_a_form_and_then_a_resource(self, people: People) -> None:
        police = people.browser("police")
        sheet = write_sheet(Resource.model_validate(resource(code=SECOND)))
        page = self.upload(police, sheet)
        assert page.status_code == 200
        assert "登记表已读入" in text(page)
        fields = form(page, NEW)
        assert (fields["item-0-key"], fields["offer-endpoint"], fields["version_item"]) == ("是", "police", "4")
        assert "已登记" in text(follow(police, police.post(NEW, **fields)))

    def test_a_workbook_too(self, people: People) -> None:
        out = io.BytesIO()
        with xlsxwriter.Workbook(out) as book:
            page = book.add_worksheet()
            page.write_row(0, 0, ["信息资源名称", "户籍地址"])
            page.write_row(1, 0, ["信息资源代码", SECOND])
            page.write_row(3, 0, ["信息项名称", "长度", "数据类型"])
            page.write_row(4, 0, ["地址", 200, "字符型"])
        answer = self.upload(people.browser("police"), out.getvalue(), "表.xlsx")
        assert answer.status_code == 422
        fields = form(answer, NEW)
        assert (fields["name"], fields["item-0-label"], fields["item-0-length"]) == ("户籍地址", "地址", "200")
        assert 'id="p-abstract"' in answer.text

    def test_a_form_of_another_department_is_told_so(self, people: People) -> None:
        sheet = write_sheet(Resource.model_validate(resource(code=SECOND, provider_code=TAX, offer=None)))
        answer = self.upload(people.browser("police"), sheet)
        assert answer.status_code == 422
        assert "不是本部门的代码" in text(answer)

    def test_a_change_by_spreadsheet_begins_from_what_stands(self, people: People) -> None:
        police = people.browser("police")
        sheet = police.get(f"/resources/{CODE.replace('/', '%2F')}/sheet.csv").content
        page = self.upload(police, sheet.replace("姓名、公民".encode(), "新的摘要：公民".encode()))
        assert "已登记第 2 版" in text(follow(police, police.post(NEW, **form(page, NEW))))

    def test_what_is_no_form_is_told_so(self, people: People) -> None:
        police = people.browser("police")
        for content in (b"", b"\xd0\xcf\x11\xe0", b"PK\x03\x04", "甲,乙".encode()):
            assert self.upload(police, content).status_code == 422
        assert police.post(self.path).status_code == 422

    def test_bombs_and_giants_are_refused_in_no_time(self, people: People) -> None:
        police = people.browser("police")
        bomb = io.BytesIO()
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("xl/workbook.xml", "<a/>")
            archive.writestr("xl/sharedStrings.xml", b" " * 200_000_000)
        answer = self.upload(police, bomb.getvalue(), "bomb.xlsx")
        assert (answer.status_code, "展开后过大" in text(answer)) == (422, True)
        assert self.upload(police, b"x" * 6_000_000).status_code in (413, 422)

    def test_a_vile_sheet_is_quoted(self, people: People) -> None:
        rows = [
            f'信息资源名称,"{VILE}"'.replace("'\"", "'"),
            "=cmd|' /C calc'!A0,x",
            "信息项名称",
            VILE.replace('"', ""),
        ]
        answer = self.upload(people.browser("police"), "\n".join(rows).encode(), "../../etc/passwd")
        assert answer.status_code == 422
        harmless(answer)

    def test_empty_and_filled_forms_are_downloaded(self, people: People) -> None:
        police = people.browser("police")
        empty = police.get("/resources/new/sheet.csv")
        assert empty.headers["content-disposition"].startswith("attachment")
        assert "信息资源名称" in empty.text
        assert "证照" in police.get("/resources/new/sheet.csv", of="licence/").text
        assert police.get("/resources/new/sheet.csv", of="nothing/").status_code == 404


class TestFromTable:
    path = "/resources/new/table"

    def test_tables_are_shown_and_one_becomes_a_form(self, people: People) -> None:
        police = people.browser("police")
        assert "inf_person" in text(police.get(self.path, endpoint="police"))
        page = police.get(self.path, endpoint="police", object="inf_person", under="101001001", name="户籍")
        fields = form(page, NEW)
        assert (fields["code"], fields["name"], fields["offer-object"]) == (SECOND, "户籍", "inf_person")
        assert "id_no" in (fields["item-0-name"], fields["item-0-column"])

    @pytest.mark.parametrize(
        ("given", "status"),
        [
            ({"endpoint": "police", "object": "inf_person"}, 422),
            ({"endpoint": "police", "object": "nothing", "under": "101001001"}, 422),
            ({"endpoint": "nowhere"}, 404),
            ({"endpoint": "tax"}, 403),
            ({}, 200),
        ],
    )
    def test_what_is_missing_or_not_ours_is_told(self, people: People, given: dict[str, str], status: int) -> None:
        assert people.browser("police").get(self.path, **given).status_code == status
