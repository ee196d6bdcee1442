"""The administrators' ways, in a real browser: figures and the log, files of them, accounts by two hands, tokens."""

from __future__ import annotations

import csv
import re
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import expect
from python_calamine import load_workbook

from tests.exchange.engine.town import TAX
from tests.exchange.site.lived import lived
from tests.exchange.site.people import PASSWORD
from tests.exchange.site.test_clerk_journey import enter
from tests.exchange.site.visited import Visit


@pytest.fixture(autouse=True)
def _lived(site: Visit) -> None:
    lived(site.town)


def test_from_the_figures_to_the_log_and_its_proof(site: Visit, tmp_path: Path) -> None:
    page = site.page("auditadmin")
    enter(page, "统计")
    page.wait_for_load_state("load")
    for picture in page.get_by_role("img").all():
        assert picture.evaluate("(each) => each.complete && each.naturalWidth > 0")
    expect(page.get_by_role("table", name="谁给谁")).to_contain_text("税务局")
    page.get_by_role("link", name="7 天").click()
    expect(page.get_by_role("link", name="7 天")).to_have_attribute("aria-current", "true")

    # Three filters at once, each of which alone finds more.
    enter(page, "日志")
    page.get_by_label("部门").select_option("税务局")
    page.wait_for_url(re.compile("department="))
    page.get_by_label("结果").select_option("成功")
    page.wait_for_url(re.compile("outcome="))
    page.get_by_label("起", exact=True).fill(date.today().isoformat())  # noqa: DTZ011
    page.get_by_role("button", name="检索").click()
    page.wait_for_url(re.compile("since="))
    rows = page.get_by_role("table").locator("tbody tr")
    assert 0 < rows.count() < 50
    for row in rows.all():
        expect(row).to_contain_text("税务局")
    shown = rows.count()

    # What was found, as files.
    with page.expect_download() as waited:
        page.get_by_role("link", name="导出 CSV").click()
    waited.value.save_as(tmp_path / "log.csv")
    found = list(csv.DictReader((tmp_path / "log.csv").read_text("utf-8-sig").splitlines()))
    with page.expect_download() as waited:
        page.get_by_role("link", name="导出 XLSX").click()
    assert waited.value.suggested_filename.endswith(".xlsx")
    waited.value.save_as(tmp_path / "log.xlsx")
    lines = load_workbook(tmp_path / "log.xlsx").get_sheet_by_index(0).to_python()
    assert len(found) == shown
    assert len(lines) == shown + 1
    assert {row["department"] for row in found} == {TAX}

    # A run from the log: what became of every row, and what the target says of it.
    page.get_by_role("table").get_by_role("link", name=re.compile("^[0-9a-f]{16}$")).first.click()
    expect(page.get_by_role("heading", name="账目")).to_contain_text("平衡")
    expect(page.get_by_role("heading", name="回执")).to_contain_text("与签发时一致")
    page.get_by_role("link", name="现在核对").click()
    expect(page.get_by_role("heading", name="目标端台账")).to_contain_text("一致")

    enter(page, "日志")
    page.get_by_role("link", name="核验日志").click()
    page.get_by_role("button", name="现在核验").click()
    expect(page.get_by_role("status")).to_contain_text("日志完整")
    page.get_by_role("button", name="再核验一次").click()
    expect(page.get_by_role("status")).to_contain_text("日志完整")


def test_an_account_takes_two_administrators(site: Visit) -> None:
    system, security = site.page("sysadmin"), site.page("secadmin")
    enter(system, "账号")
    system.get_by_text("建立账号", exact=True).click()
    form = system.locator("form", has=system.get_by_role("button", name="建立", exact=True))
    form.get_by_label("登录名").fill("li.shen")
    form.get_by_label("姓名").fill("李审")
    form.get_by_label("部门").select_option(TAX)
    form.get_by_role("button", name="建立", exact=True).click()
    expect(system.locator("main")).to_contain_text("只显示这一次")
    given = system.locator(".secret").inner_text()
    system.get_by_role("link", name="记下了").click()
    expect(system.locator("main")).to_contain_text("角色由安全管理员授予")
    expect(system.get_by_role("button", name="授予")).to_have_count(0)

    enter(security, "账号")
    expect(security.get_by_text("建立账号", exact=True)).to_have_count(0)
    security.get_by_role("link", name="li.shen").click()
    security.get_by_label("系统管理员").check()
    security.get_by_label("审计管理员").check()
    security.get_by_label("理由").fill("新任审核员")
    security.get_by_role("button", name="授予").click()
    expect(security.get_by_role("alert")).to_be_visible()
    security.go_back()
    security.get_by_label("系统管理员").uncheck()
    security.get_by_label("审计管理员").uncheck()
    security.get_by_label("审核员", exact=True).check()
    security.get_by_label("理由").fill("新任审核员")
    security.get_by_role("button", name="授予").click()
    expect(security.get_by_role("status")).to_contain_text("已授予")

    newcomer = site.context().new_page()
    newcomer.goto("/sign-in")
    newcomer.get_by_label("账号").fill("li.shen")
    newcomer.get_by_label("口令").fill(given)
    newcomer.get_by_role("button", name="登录").click()
    newcomer.get_by_label("现在的口令").fill(given)
    newcomer.get_by_label("新口令", exact=False).first.fill(PASSWORD)
    newcomer.get_by_label("再写一次新口令").fill(PASSWORD)
    newcomer.get_by_role("button", name="修改口令").click()
    expect(newcomer.get_by_role("heading", level=1)).to_have_text("首页")
    expect(newcomer.get_by_role("banner")).to_contain_text("审核员")
    newcomer.context.close()


def test_a_token_holds_until_it_is_revoked(site: Visit) -> None:
    clerk, security = site.page("police"), site.page("secadmin")
    clerk.goto("/me")
    clerk.get_by_role("link", name="我的令牌").click()
    clerk.get_by_label("用途").fill("夜间统计程序")
    clerk.get_by_role("button", name="签发").click()
    token = clerk.locator(".secret").inner_text()
    headers = {"Authorization": f"Bearer {token}"}
    stranger = site.context()
    assert stranger.request.get("/api/v1/me", headers=headers).status == 200

    enter(security, "账号")
    security.get_by_role("link", name="全部令牌").click()
    row = security.get_by_role("row").filter(has_text="夜间统计程序")
    row.get_by_label(re.compile("理由")).fill("程序已停用")
    row.get_by_role("button", name="吊销").click()
    expect(security.get_by_role("status")).to_have_text("令牌已吊销")
    expect(security.get_by_role("row").filter(has_text="夜间统计程序")).to_contain_text("已吊销")
    assert stranger.request.get("/api/v1/me", headers=headers).status == 401
    stranger.close()
