"""The administrator's pages: figures, the log, runs, verification, accounts, tokens."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

from tests.exchange.engine.town import TAX
from tests.exchange.site.lived import lived
from tests.exchange.site.pages.base import Shown


def _verify(page: Page) -> None:
    page.get_by_role("button", name="现在核验").click()


def _create(login: str) -> Callable[[Page], None]:
    def then(page: Page) -> None:
        page.get_by_text("建立账号", exact=True).click()
        page.get_by_label("登录名").fill(login)
        page.get_by_label("姓名").fill("王审核")
        page.locator("form.side").get_by_label("部门").select_option(TAX)
        page.get_by_role("button", name="建立", exact=True).click()

    return then


def _issue(page: Page) -> None:
    page.get_by_label("用途").fill("夜间统计程序")
    page.get_by_role("button", name="签发").click()


PAGES = (
    Shown("dashboard", "auditadmin", "/dashboard", made=lived),
    Shown("dashboard-of-a-department", "tax", "/dashboard", made=lived),
    Shown("dashboard-empty", "tax", "/dashboard?since=2020-01-01&until=2020-01-31", made=lived),
    Shown("runs", "auditor", "/runs", made=lived),
    Shown("run", "auditor", "/runs/{run}", made=lived),
    Shown("run-ledger", "auditor", "/runs/{run}/ledger", made=lived),
    Shown("log", "auditadmin", "/log", made=lived),
    Shown("log-filtered", "auditadmin", f"/log?department={TAX}&outcome=succeeded&type=RunCommitted", made=lived),
    Shown("log-nothing-found", "auditadmin", "/log?actor=nobody", made=lived),
    Shown("log-print", "auditadmin", "/log?print=1&outcome=refused", made=lived),
    Shown("verification", "auditadmin", "/log/verification", made=lived),
    Shown("verification-done", "auditadmin", "/log/verification", made=lived, then=_verify),
    Shown("accounts", "sysadmin", "/accounts", made=lived),
    Shown("accounts-problems", "sysadmin", "/accounts", made=lived, then=_create("王")),
    Shown("account-made", "sysadmin", "/accounts", made=lived, then=_create("wang.shen")),
    Shown("account-system", "sysadmin", "/accounts/tax", made=lived),
    Shown("account-security", "secadmin", "/accounts/tax", made=lived),
    Shown("sign-ins", "secadmin", "/sign-ins", made=lived),
    Shown("tokens", "sysadmin", "/tokens?all=1", made=lived),
    Shown("tokens-own", "police", "/tokens", made=lived),
    Shown("token-made", "police", "/tokens", made=lived, then=_issue),
)
