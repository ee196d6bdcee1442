from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from catalog.directory import Catalog
from catalog.entries import Entry
from tests.catalog.conftest import CODE, LI, POLICE, person


def test_an_entry_says_what_it_is_and_what_can_be_done(catalog: Catalog, city: Session) -> None:
    entry = catalog.register(city, person(), LI).entry
    assert (entry.code, entry.label, entry.version, entry.in_force) == (CODE, "草稿", 1, False)
    assert entry.actions == ("update", "discard", "submit_registration")


def test_an_entry_in_force_says_so(publish: Callable[..., Entry]) -> None:
    entry = publish()
    assert (entry.label, entry.in_force, entry.version_in_force) == ("发布", True, 1)
    assert entry.actions == ("withdraw", "revise")


def test_a_demand_is_put_in_words(catalog: Catalog, city: Session) -> None:
    asked = {"department": POLICE, "title": "企业登记", "basis": "《公司法》", "scene": "核对"}
    assert catalog.put_demand(city, asked, LI).label == "待响应"
