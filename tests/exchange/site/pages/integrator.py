"""The integrator's pages: endpoints, exchanges, quarantine, structures, messages, files, credentials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from playwright.sync_api import Page

from exchange.db.tables import LeaseRow
from tests.exchange.engine.town import SYNC, Town
from tests.exchange.site.lived import VEHICLE_SYNC, archive, lived
from tests.exchange.site.pages.base import Shown


@contextmanager
def _elsewhere(town: Town) -> Iterator[None]:
    """Another process runs the exchange."""

    def held(owner: str | None) -> None:
        with town.hub() as hub, hub.database.transaction() as session:
            session.execute(sa.update(LeaseRow).where(LeaseRow.exchange == SYNC).values(owner=owner, expires=1e12))

    held("elsewhere")
    try:
        yield
    finally:
        held(None)


def _register_wrongly(page: Page) -> None:
    page.get_by_label("端点名称").fill("tax/front")
    page.get_by_label("数据库产品").select_option("mariadb")
    page.get_by_label("口令").fill("hunter2")
    page.get_by_role("button", name="保存").click()


def _test(page: Page) -> None:
    page.get_by_role("button", name="测试").click()


def _repair_wrongly(page: Page) -> None:
    page.locator("#f-item-id_no").fill("32120219500101001")
    page.get_by_role("button", name="更正").click()


def _settle_wrongly(page: Page) -> None:
    page.get_by_label("执行时间").fill("每天两点")
    page.get_by_role("button", name="保存").click()


def _compare(page: Page) -> None:
    page.get_by_role("button", name="对账").click()


def _issue(page: Page) -> None:
    page.get_by_label("用途").fill("征管系统取用")
    page.get_by_role("button", name="签发").click()


HERE = f"/exchanges/{SYNC}"
PAGES = (
    Shown("endpoints", "integrator", "/endpoints", made=lived),
    Shown("endpoint-new", "integrator", "/endpoints/new", made=lived),
    Shown("endpoint-new-service", "integrator", "/endpoints/new?kind=webservice", made=lived),
    Shown("endpoint-new-problems", "integrator", "/endpoints/new", made=lived, then=_register_wrongly),
    Shown("endpoint", "integrator", "/endpoints/police", made=lived, then=_test),
    Shown("endpoint-edit", "integrator", "/endpoints/police/edit", made=lived),
    Shown("inspection", "integrator", "/endpoints/police/inspect", made=lived),
    Shown("inspection-table", "integrator", "/endpoints/police/inspect?object=inf_person", made=lived),
    Shown(
        "inspection-service",
        "integrator",
        "/endpoints/archive/inspect?object=getRecords",
        made=lived,
        meanwhile=archive,
    ),
    Shown("exchanges", "integrator", "/exchanges", made=lived),
    Shown("exchange", "integrator", HERE, made=lived),
    Shown("exchange-running", "integrator", HERE, made=lived, meanwhile=_elsewhere),
    Shown("exchange-held", "integrator", f"/exchanges/{VEHICLE_SYNC}", made=lived),
    Shown("exchange-plan", "integrator", "/exchanges/{share}/plan", made=lived),
    Shown("exchange-script", "integrator", "/exchanges/{share}/script", made=lived),
    Shown("exchange-settings", "integrator", f"{HERE}/settings", made=lived),
    Shown("exchange-settings-problems", "integrator", f"{HERE}/settings", made=lived, then=_settle_wrongly),
    Shown("reconciliation", "integrator", "/exchanges/{share}", made=lived, then=_compare),
    Shown("quarantine", "police", "/quarantine", made=lived),
    Shown("quarantine-row", "police", "/quarantine/{row}", made=lived),
    Shown("quarantine-row-problems", "police", "/quarantine/{row}", made=lived, then=_repair_wrongly),
    Shown("quarantine-row-repaired", "police", "/quarantine/{repaired}", made=lived),
    Shown("structures", "integrator", "/structures", made=lived),
    Shown("structure", "integrator", f"/structures/{VEHICLE_SYNC}", made=lived),
    Shown("messages", "integrator", "/messages", made=lived),
    Shown("message", "integrator", "/messages/{message}", made=lived),
    Shown("files", "police", "/files", made=lived),
    Shown("files-waiting", "police", "/files/waiting?name=desk", made=lived),
    Shown("file", "police", "/files/{file}", made=lived),
    Shown("file-refused", "police", "/files/{refused_file}", made=lived),
    Shown("access", "integrator", "/access", made=lived),
    Shown("access-issued", "integrator", "/access", made=lived, then=_issue),
)
