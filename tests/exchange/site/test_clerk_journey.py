"""The clerk's ways, in a real browser: a resource to its second version; an application from the directory on."""

from __future__ import annotations

import re
from datetime import date, timedelta

from playwright.sync_api import Page, expect

from tests.exchange.site.visited import Visit

SECOND = "101001001/0002"
MAIN = "主导航"


def enter(page: Page, title: str) -> None:
    """Go where the main navigation leads."""
    page.goto("/")
    page.get_by_role("navigation", name=MAIN).get_by_role("link", name=title, exact=True).click()
    expect(page.get_by_role("navigation", name=MAIN).get_by_role("link", name=title, exact=True)).to_have_attribute(
        "aria-current", "page"
    )


def open_due(page: Page, title: str, name: str) -> None:
    """Take up what waits on the front page."""
    page.goto("/")
    card = page.locator("section", has=page.get_by_role("heading", name=title))
    card.get_by_role("link", name=re.compile(name)).first.click()


def make(page: Page, action: str, state: str, opinion: str = "") -> None:
    """Make a move with a resource."""
    if opinion:
        page.get_by_label("意见").fill(opinion)
    page.get_by_role("button", name=action, exact=True).click()
    expect(page.get_by_role("status")).to_contain_text(f"现在是“{state}”")


def ask(page: Page) -> None:
    """Fill in an application for those of one district."""
    page.get_by_label("使用依据").fill("《社会保险法》")
    page.get_by_label("使用场景").fill("社会保险费征缴核对")
    page.get_by_label("使用范围").fill("本区参保人员")
    page.get_by_label("截止日期").fill((date.today() + timedelta(days=90)).isoformat())  # noqa: DTZ011
    for label in ("公民身份号码", "姓名", "所在区"):
        page.get_by_label(label, exact=True).check()
    page.get_by_label("公民身份号码 怎样提供").select_option("clear")
    page.get_by_label("公民身份号码 需要原值的理由").fill("按号码比对参保人员")
    page.get_by_role("button", name="增加一个条件").click()
    page.get_by_label("第 1 个条件 信息项").select_option("district")
    page.get_by_label("第 1 个条件 取值").fill("321202")


def test_a_resource_from_a_form_to_its_second_version(site: Visit) -> None:
    clerk, chief, centre = (site.page(login) for login in ("police", "chief", "centre"))
    enter(clerk, "我的资源")
    clerk.get_by_role("link", name="登记资源").click()
    clerk.get_by_role("button", name="打开表单").click()

    # The form: what is wrong stands beside the field, and the list above leads there.
    clerk.get_by_label("信息资源名称").fill("户籍地址")
    clerk.get_by_label("信息资源分类").fill("101001001")
    clerk.get_by_role("button", name="取下一个代码").click()
    expect(clerk.get_by_label("信息资源代码")).to_have_value(SECOND)
    clerk.get_by_label("信息资源摘要").fill("公民身份号码和户籍地址")
    clerk.get_by_label("信息资源格式").fill("数据库/MySQL")
    clerk.get_by_label("更新周期").select_option("每日")
    clerk.locator("select[name=share_type]").select_option("有条件共享")
    clerk.get_by_label("共享条件").fill("依法履职需要")
    clerk.get_by_label("数据库", exact=True).check()
    for row, (label, name, length) in enumerate((("公民身份号码", "id_no", "18"), ("户籍地址", "address", "长")), 1):
        clerk.get_by_label(f"第 {row} 项 信息项名称").fill(label)
        clerk.get_by_label(f"第 {row} 项 英文名称").fill(name)
        clerk.get_by_label(f"第 {row} 项 长度").fill(length)
        clerk.get_by_label(f"第 {row} 项 个人信息等级").select_option("个人信息")
    clerk.get_by_label("第 1 项 必填").check()
    clerk.get_by_label("第 1 项 主键").check()
    clerk.get_by_role("button", name="登记", exact=True).click()
    alert = clerk.get_by_role("alert")
    expect(alert).to_be_visible()
    wrong = clerk.get_by_label("第 2 项 长度")
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(wrong).to_have_accessible_description(re.compile("."))
    alert.get_by_role("link").first.click()
    expect(wrong).to_be_in_viewport()
    expect(wrong).to_have_value("长")
    wrong.fill("200")
    clerk.get_by_role("button", name="登记", exact=True).click()
    expect(clerk.get_by_role("status")).to_contain_text("已登记，是草稿")

    # Submitted, taken back, mended, submitted again.
    make(clerk, "提交注册", "待注册审核")
    make(clerk, "撤回", "草稿")
    clerk.get_by_role("link", name="修改", exact=True).click()
    clerk.get_by_label("信息资源摘要").fill("公民身份号码、户籍地址")
    clerk.get_by_role("button", name="登记", exact=True).click()
    make(clerk, "提交注册", "待注册审核")

    # The reviewers: one sends it back, then agrees; the hub's publishes it.
    open_due(chief, "注册", "户籍地址")
    chief.get_by_role("button", name="注册退回修改").click()
    expect(chief.get_by_role("alert")).to_contain_text("理由")
    make(chief, "注册退回修改", "退回修改", "更新周期是否每日？")
    clerk.reload()
    expect(clerk.get_by_role("heading", level=1)).to_contain_text("退回修改")
    clerk.get_by_role("link", name="流转记录").click()
    expect(clerk.locator("main")).to_contain_text("更新周期是否每日？")
    clerk.get_by_role("link", name="概况").click()
    make(clerk, "提交注册", "待注册审核")
    open_due(chief, "注册", "户籍地址")
    make(chief, "注册审核通过", "已注册")
    clerk.reload()
    make(clerk, "提交发布", "待发布审核")
    open_due(centre, "发布", "户籍地址")
    make(centre, "发布审核通过", "发布")

    # A second version, compared with the first.
    clerk.reload()
    clerk.get_by_role("link", name="登记新版本").click()
    clerk.get_by_label("更新周期").select_option("每周")
    clerk.get_by_role("button", name="登记", exact=True).click()
    expect(clerk.get_by_role("heading", level=1)).to_contain_text("第 2 版")
    expect(clerk.locator("main")).to_contain_text("第 1 版继续有效")
    clerk.get_by_role("link", name="版本比较").click()
    changed = clerk.get_by_role("row").filter(has_text="更新周期")
    expect(changed.get_by_role("deletion")).to_contain_text("每日")
    expect(changed.get_by_role("insertion")).to_contain_text("每周")
    enter(clerk, "我的资源")
    expect(clerk.get_by_role("row").filter(has_text=SECOND)).to_contain_text("第 1 版发布中")


def test_an_application_from_the_directory_to_its_answers(site: Visit) -> None:
    tax, chief = site.page("tax"), site.page("chief")
    enter(tax, "资源目录")

    # Chinese words, then facets; a facet takes effect when it is chosen.
    tax.get_by_label("检索词").fill("出生日期 公安")
    tax.get_by_role("button", name="检索").click()
    found = tax.get_by_role("link", name="人口基本信息")
    expect(found).to_be_visible()
    tax.get_by_label("更新周期").select_option("每年")
    expect(tax.locator("main")).to_contain_text("没有找到")
    tax.get_by_label("更新周期").select_option("每日")
    expect(found).to_be_visible()
    tax.get_by_label("共享类型").select_option("有条件共享")
    tax.wait_for_url(re.compile("share=2"))
    expect(tax.get_by_label("检索词")).to_have_value("出生日期 公安")
    found.click()
    tax.get_by_role("link", name="申请使用").click()

    # The form: what is missing, what the rules would say, then the application.
    tax.get_by_role("button", name="提交申请").click()
    expect(tax.get_by_label("使用依据")).to_have_attribute("aria-invalid", "true")
    ask(tax)
    tax.get_by_role("button", name="先看规则怎样答复").click()
    expect(tax.get_by_role("status")).to_contain_text("提交后由提供部门答复")
    tax.get_by_role("button", name="提交申请").click()
    expect(tax.get_by_role("status")).to_contain_text("等待提供部门答复")
    name = tax.url.rpartition("/")[2]

    # The provider's reviewer: no without a reason is none; then no, with one.
    open_due(chief, "申请", "人口基本信息")
    expect(chief).to_have_url(re.compile(name))
    chief.get_by_role("button", name="不同意", exact=True).click()
    expect(chief.get_by_role("alert")).to_contain_text("理由")
    chief.get_by_label("意见").fill("请先商定比对的频次")
    chief.get_by_role("button", name="不同意", exact=True).click()
    expect(chief.get_by_role("status")).to_contain_text("已答复：不同意")
    tax.reload()
    expect(tax.locator("main")).to_contain_text("请先商定比对的频次")

    # Asked once more: yes, without the names.
    tax.get_by_role("link", name="人口基本信息").click()
    tax.get_by_role("link", name="申请使用").click()
    ask(tax)
    tax.get_by_role("button", name="提交申请").click()
    expect(tax.get_by_role("status")).to_contain_text("等待提供部门答复")
    open_due(chief, "申请", "人口基本信息")
    chief.get_by_text("同意，但给得比申请的少").click()
    chief.get_by_label("姓名").uncheck()
    chief.get_by_label("意见").fill("依法履职所需，姓名不必提供")
    chief.get_by_role("button", name="同意", exact=True).click()
    expect(chief.get_by_role("status")).to_contain_text("已答复：同意")
    tax.reload()
    tax.get_by_role("link", name="查看授权").click()
    items = tax.get_by_role("table", name="信息项")
    expect(items).to_contain_text("公民身份号码")
    expect(items).not_to_contain_text("姓名")
