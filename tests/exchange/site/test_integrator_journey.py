"""The integrator's ways, in a real browser: an endpoint, a run that is followed, refused rows, a changed table."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa
from playwright.sync_api import expect

from tests.exchange.engine.test_structures import redefined
from tests.exchange.engine.town import HUB, SYNC, person, wrong
from tests.exchange.site.lived import archive
from tests.exchange.site.test_clerk_journey import enter
from tests.exchange.site.visited import Visit


def test_an_endpoint_is_made_tested_and_looked_into(site: Visit, tmp_path: Path) -> None:
    path = tmp_path / "licences.db"
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE licence (code VARCHAR(20) PRIMARY KEY, holder VARCHAR(64), issued DATE)"
        )
        connection.exec_driver_sql("CREATE TABLE holder (id_no VARCHAR(18) PRIMARY KEY, name VARCHAR(64))")
    engine.dispose()
    page = site.page("integrator")
    enter(page, "端点")
    page.get_by_role("link", name="登记前置库").click()
    page.get_by_label("端点名称").fill("licences")
    page.get_by_label("所属部门").select_option(HUB)
    page.get_by_label("数据库产品").select_option("sqlite")
    page.get_by_label("口令").fill("hunter2")
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_label("口令")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("口令").fill("")
    page.get_by_label("数据库文件").fill(str(path))
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_role("status")).to_have_text("端点已登记")
    page.get_by_role("button", name="测试").click()
    expect(page.get_by_role("heading", name="测试结果")).to_contain_text("全部通过")

    page.get_by_role("link", name="探查").click()
    page.get_by_label("在列表中查找").fill("licen")
    expect(page.get_by_role("link", name="holder")).to_be_hidden()
    page.get_by_role("link", name="licence", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="code")).to_contain_text("主键")
    expect(page.get_by_role("row").filter(has_text="holder")).to_contain_text("64")
    expect(page.locator("main")).to_contain_text("首选")


def test_a_service_s_contract_is_a_tree(site: Visit) -> None:
    page = site.page("integrator")
    with archive(site.town) as name:
        page.goto(f"/endpoints/{name}")
        page.get_by_role("button", name="测试").click()
        expect(page.get_by_role("heading", name="测试结果")).to_contain_text("全部通过")
        page.get_by_role("link", name="探查").click()
        page.get_by_role("link", name="getRecords").click()
        record = page.locator("summary", has=page.get_by_text("record", exact=True))
        owner = page.locator("ul.tree").get_by_text("owner")
        expect(owner).to_be_visible()
        expect(record).to_contain_text("可重复")
        record.click()
        expect(owner).to_be_hidden()


def test_an_exchange_is_run_followed_mended_and_approved(site: Visit) -> None:
    town = site.town
    town.report(*map(person, range(1, 9)), wrong(7))
    page, clerk = site.page("integrator"), site.page("police")
    enter(page, "交换")
    page.get_by_role("link", name=SYNC).click()

    # How the items are mapped, what the next run would do, and when it is.
    expect(
        page.get_by_role("table", name="信息项对应").get_by_role("row").filter(has_text="公民身份号码")
    ).to_contain_text("id_no")
    page.get_by_role("link", name="设定", exact=True).click()
    page.get_by_label("执行时间").fill("每天两点")
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_label("执行时间")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("执行时间").fill("30 2 * * *")
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_role("status")).to_have_text("设定已保存")
    expect(page.locator("main")).to_contain_text("30 2 * * *")
    page.get_by_role("link", name="试运行").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("可以执行")
    page.get_by_role("link", name="返回交换").click()

    # Run, and followed live: the library is held, so that there is something to follow.
    with town.databases["library"].connect() as connection:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        page.get_by_role("button", name="立即执行").click()
        expect(page.get_by_role("heading", name="正在执行")).to_be_visible()
        step = page.locator("[data-line]")
        expect(step).not_to_have_text("准备")
        expect(page.get_by_role("progressbar")).to_have_attribute("value", re.compile(r"0\.\d+"))
        connection.rollback()
    expect(page.get_by_role("heading", name="刚才的执行")).to_contain_text("已办结")
    expect(page.get_by_role("heading", name="正在执行")).to_have_count(0)
    (run,) = town.runs(SYNC)
    expect(page.get_by_role("table", name="最近的批次")).to_contain_text(town.receipts(SYNC)[0].id)

    # What was refused: seen without what it holds; mended by the provider's clerk, and sent again.
    page.get_by_role("link", name="查看隔离清单").click()
    expect(page.get_by_role("table", name="被拒收的行")).to_contain_text("校验码不符")
    enter(clerk, "隔离")
    clerk.get_by_role("table").get_by_role("link", name=re.compile(r"^\d+$")).first.click()
    number = clerk.get_by_label("公民身份号码", exact=False).first
    expect(number).to_have_value(wrong(7)["id_no"])
    number.fill("1")
    clerk.get_by_role("button", name="更正").click()
    expect(number).to_have_attribute("aria-invalid", "true")
    number.fill(person(7)["id_no"])
    clerk.get_by_label("更正理由").fill("已核对档案")
    clerk.get_by_role("button", name="更正").click()
    expect(clerk.get_by_role("status")).to_contain_text("已更正")
    clerk.get_by_role("button", name="重送").click()
    expect(clerk.get_by_role("heading", name="刚才的执行")).to_contain_text("已办结")
    enter(clerk, "隔离")
    expect(clerk.get_by_role("table")).to_contain_text("已重送")

    # The table changes: the exchange is held until somebody answers for the difference.
    redefined("police", "inf_person", "name VARCHAR(64)", "name VARCHAR(20)")(town)
    town.report(person(20))
    page.goto(f"/exchanges/{SYNC}")
    page.get_by_role("button", name="立即执行").click()
    page.get_by_role("link", name="查看差异").click()
    change = page.get_by_role("row").filter(has_text="name")
    expect(change.get_by_role("deletion")).to_have_text("varchar(64)")
    expect(change.get_by_role("insertion")).to_have_text("varchar(20)")
    page.get_by_label("理由").fill("已与公安局核实，旧值没有超长的")
    page.get_by_role("button", name="批准").click()
    expect(page.get_by_role("status")).to_contain_text("已批准")
    page.get_by_role("button", name="立即执行").click()
    expect(page.get_by_role("heading", name="刚才的执行")).to_contain_text("已办结")
    assert town.rows("library").keys() == town.good().keys() | {person(7)["id_no"]}
    page.get_by_role("link", name=run.id).click()
    expect(page.get_by_role("heading", name="账目")).to_contain_text("平衡")
