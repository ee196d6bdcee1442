"""The clerk's pages: the directory, registration, reviews, applications and grants."""

from __future__ import annotations

from playwright.sync_api import Page

from exchange.web.paths import quoted
from tests.exchange.engine.town import CODE
from tests.exchange.site.lived import VEHICLES, WRITTEN, lived
from tests.exchange.site.pages.base import Shown

PLACE, OTHER = quoted(CODE), quoted(VEHICLES)
WAITING, RETURNED, _PUBLISHING, DRAFT = map(quoted, WRITTEN)


def _register_wrongly(page: Page) -> None:
    page.get_by_label("信息资源名称").fill("居住地址信息")
    page.get_by_label("信息资源代码").fill("101001001-9")
    page.get_by_label("第 1 项 信息项名称").fill("居住地址")
    page.get_by_label("第 1 项 英文名称").fill("1address")
    page.get_by_label("第 1 项 长度").fill("长")
    page.get_by_role("button", name="登记", exact=True).last.click()


def _apply_wrongly(page: Page) -> None:
    page.get_by_label("使用依据").fill("《社会保险法》")
    page.get_by_role("button", name="先看规则怎样答复").click()


def _add_a_condition(page: Page) -> None:
    page.get_by_role("button", name="增加一个条件").click()


PAGES = (
    Shown("directory", "tax", "/directory", made=lived),
    Shown("directory-found", "tax", "/directory?q=机动车&cycle=weekly", made=lived),
    Shown("directory-nothing-found", "tax", "/directory?q=不动产登记", made=lived),
    Shown("directory-resource", "tax", f"/directory/{PLACE}", made=lived),
    Shown("apply", "tax", f"/directory/{PLACE}/apply", made=lived, then=_add_a_condition),
    Shown("apply-problems", "tax", f"/directory/{PLACE}/apply", made=lived, then=_apply_wrongly),
    Shown("resources", "police", "/resources", made=lived),
    Shown("resources-all-departments", "centre", "/resources", made=lived),
    Shown("register", "police", "/resources/new", made=lived),
    Shown("register-form", "police", "/resources/new/form?of=licence/", made=lived),
    Shown("register-form-problems", "police", "/resources/new/form", made=lived, then=_register_wrongly),
    Shown("register-table", "police", "/resources/new/table?endpoint=police", made=lived),
    Shown("resource", "police", f"/resources/{PLACE}", made=lived),
    Shown("resource-returned", "police", f"/resources/{RETURNED}", made=lived),
    Shown("resource-to-review", "chief", f"/resources/{WAITING}", made=lived),
    Shown("resource-edit", "police", f"/resources/{DRAFT}/edit", made=lived),
    Shown("resource-history", "police", f"/resources/{PLACE}/history", made=lived),
    Shown("resource-difference", "police", f"/resources/{PLACE}/difference?old=1&new=2", made=lived),
    Shown("applications", "chief", "/applications", made=lived),
    Shown("application-to-decide", "chief", "/applications/{application}", made=lived),
    Shown("application-granted", "tax", "/applications/{granted}", made=lived),
    Shown("grants", "tax", "/grants", made=lived),
    Shown("grant", "chief", "/grants/{grant}", made=lived),
)
