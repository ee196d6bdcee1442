"""Somebody's way through the site, in a real browser, with script and without."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.exchange.site.people import PASSWORD
from tests.exchange.site.visited import Visit


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_in_a_new_password_around_and_out(site: Visit, *, script: bool) -> None:
    handed = site.people.hub.accounts.reset("secadmin", by=site.people.actor("sysadmin"))
    assert handed.password is not None
    given = handed.password.get_secret_value()
    page = site.context(script=script).new_page()
    page.set_default_timeout(10_000)
    page.goto("/me")
    expect(page).to_have_url(f"{site.address}/sign-in?next=%2Fme")

    page.get_by_label("账号").fill("secadmin")
    page.get_by_label("口令").fill("wrong")
    page.get_by_role("button", name="登录").click()
    expect(page.get_by_role("alert")).to_contain_text("登录没有成功")
    expect(page.get_by_label("账号")).to_have_value("secadmin")
    page.get_by_label("口令").fill(given)
    # The keyboard is enough.
    page.get_by_label("口令").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("我的账号")
    expect(page.get_by_role("navigation", name="主导航")).to_have_count(0)

    page.get_by_label("现在的口令").fill(given)
    page.locator("[name=new]").fill(PASSWORD)
    page.locator("[name=again]").fill(f"{PASSWORD}!")
    page.get_by_role("button", name="修改口令").click()
    expect(page.get_by_role("alert")).to_contain_text("两次写的不一样")
    page.get_by_label("现在的口令").fill(given)
    page.locator("[name=new]").fill(PASSWORD)
    page.locator("[name=again]").fill(PASSWORD)
    page.get_by_role("button", name="修改口令").click()
    expect(page.get_by_role("status")).to_have_text("口令已修改")
    expect(page.get_by_role("heading", level=1)).to_have_text("首页")
    page.reload()
    expect(page.get_by_role("status")).to_have_count(0)

    page.get_by_role("link", name="我的账号").click()
    expect(page.locator("main")).to_contain_text("secadmin")
    page.get_by_role("button", name="退出").click()
    expect(page.get_by_role("status")).to_have_text("已退出")
    page.go_back()
    page.reload()
    expect(page.get_by_role("button", name="登录")).to_be_visible()
