from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import parties
from catalog.directory import Catalog
from catalog.errors import Rejected, UnknownEntry
from catalog.tables import DepartmentRow, EndpointRow
from tests.catalog.conftest import APPROVAL, MARKET, POLICE


def test_a_department_is_found_by_code_name_or_short_name(catalog: Catalog, city: Session) -> None:
    for name in (POLICE, "泰州市公安局", "市公安局"):
        assert catalog.department(city, name).code == POLICE


def test_a_short_name_two_departments_bear_finds_neither(catalog: Catalog, city: Session) -> None:
    catalog.put_department(
        city, {"code": "12321200TE0000AB6N", "name": "海陵区公安局", "short_name": "市公安局", "division": "321202"}
    )
    with pytest.raises(UnknownEntry):
        catalog.department(city, "市公安局")


def test_an_unknown_department_is_answered_with_what_is_near(catalog: Catalog, city: Session) -> None:
    with pytest.raises(UnknownEntry) as caught:
        catalog.department(city, "泰州公安局")
    assert caught.value.near == ("泰州市公安局",)


def test_departments_come_in_the_order_of_their_codes(catalog: Catalog, city: Session) -> None:
    assert [department.code for department in catalog.departments(city)] == [APPROVAL, POLICE, MARKET]


def test_a_department_is_changed_in_place(catalog: Catalog, city: Session) -> None:
    contacts = [{"name": "值班室", "phone": "0523-86000000"}]
    new = {"code": POLICE, "name": "泰州市公安局", "short_name": "公安", "division": "321200", "contacts": contacts}
    catalog.put_department(city, new)
    city.expire_all()
    assert catalog.department(city, "公安").contacts[0].phone == "0523-86000000"
    assert len(catalog.departments(city)) == 3
    names = catalog.department_names(city)
    assert names[POLICE] == "公安"
    assert list(names) == [department.code for department in catalog.departments(city)]
    assert names[MARKET] == catalog.department(city, MARKET).short_name


def test_the_same_again_is_no_change(catalog: Catalog, city: Session) -> None:
    before = city.scalar(select(DepartmentRow.changed_at).where(DepartmentRow.code == POLICE))
    catalog.put_department(city, catalog.department(city, POLICE))
    catalog.put_endpoint(city, catalog.endpoint(city, "police-front"))
    assert city.scalar(select(DepartmentRow.changed_at).where(DepartmentRow.code == POLICE)) == before


def test_two_departments_do_not_share_a_name(catalog: Catalog, city: Session) -> None:
    with pytest.raises(Rejected) as caught:
        catalog.put_department(city, {"code": "12321200TE0000AB6N", "name": "泰州市公安局", "division": "321200"})
    assert POLICE in caught.value.problems[0].message


def test_an_endpoint_belongs_to_a_registered_department(catalog: Catalog, city: Session) -> None:
    with pytest.raises(Rejected, match="没有登记"):
        catalog.put_endpoint(city, {"name": "e", "department": "12321200TE0000AB6N", "kind": "database"})


def test_an_endpoint_does_not_change_hands(catalog: Catalog, city: Session) -> None:
    with pytest.raises(Rejected, match="另一部门"):
        catalog.put_endpoint(city, {"name": "police-front", "department": MARKET, "kind": "database"})
    assert catalog.endpoint(city, "police-front").department == POLICE


def test_an_endpoint_is_changed_in_place(catalog: Catalog, city: Session) -> None:
    options = {"url": "env:NEW", "tables": ["a", {"b": None}], "limit": 5, "on": True}
    spec = {"name": "police-front", "department": POLICE, "kind": "database", "zone": "UTC", "options": options}
    catalog.put_endpoint(city, spec)
    city.expire_all()
    found = catalog.endpoint(city, "police-front")
    assert (found.zone, found.options) == ("UTC", options)
    assert city.scalars(select(EndpointRow.name)).all() == ["police-front"]


def test_endpoints_are_listed_by_department(catalog: Catalog, city: Session) -> None:
    catalog.put_endpoint(city, {"name": "approval-front", "department": APPROVAL, "kind": "database"})
    assert [endpoint.name for endpoint in catalog.endpoints(city)] == ["approval-front", "police-front"]
    assert [endpoint.name for endpoint in catalog.endpoints(city, POLICE)] == ["police-front"]


@pytest.mark.parametrize("name", ["", "a\x00", "\ud800", "x" * 200, "'; DROP TABLE endpoint; --", "police%"])
def test_a_strange_name_is_unknown_and_nothing_worse(catalog: Catalog, city: Session, name: str) -> None:
    for find in (catalog.department, catalog.endpoint):
        with pytest.raises(UnknownEntry):
            find(city, name)
    assert parties.find_department(city, name) is None
    assert parties.find_endpoint(city, name) is None
    assert len(catalog.endpoints(city)) == 1
