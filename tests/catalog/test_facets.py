from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from sqlalchemy.orm import Session

from catalog import facets
from catalog.directory import Catalog
from catalog.entries import Entry
from catalog.facets import FACETS, Facets
from tests.catalog.conftest import POLICE

Publish = Callable[..., Entry]


@pytest.fixture
def shelf(publish: Publish) -> None:
    """Seven published resources of several kinds."""
    for number, (share, cycle, ways) in enumerate(
        [
            (1, "daily", ["database"]), (1, "weekly", ["file", "webservice"]), (2, "daily", ["file"]),
            (2, "daily", ["database", "file"]), (1, "daily", ["webservice"]), (2, "weekly", ["database"]),
        ],
        1,
    ):  # fmt: skip
        publish(
            code=f"101001001/000{number}", name=f"户籍人口信息{number}", share_type=share,
            share_condition="无条件" if share == 1 else "依法履职需要",
            share_ways=ways, update_cycle=cycle,
        )  # fmt: skip
    publish(
        code="102001001/0001", name="法人基本信息", abstract="企业登记", record_class="legal_person",
        table="up_uc_gov_org", items=None, key=None, version_item=None, share_type=1, share_condition="无条件",
    )  # fmt: skip


def looked_at(catalog: Catalog, session: Session, text: str, asked: dict[str, Any]) -> dict[str, Counter[Any]]:
    """The same by looking at every resource."""
    counts: dict[str, Counter[Any]] = {}
    for name in FACETS:
        others = {key: value for key, value in asked.items() if key != name}
        counts[name] = Counter()
        for hit in catalog.search(session, text, limit=200, **others).hits:
            one = hit.entry.resource
            values = {
                "record_class": [one.record_class], "provider": [one.provider_code], "share_type": [one.share_type],
                "way": one.share_ways, "cycle": [one.update_cycle],
            }  # fmt: skip
            counts[name].update(value for value in values[name] if value is not None)
    return counts


def plain(found: Facets) -> dict[str, dict[Any, int]]:
    return {name: {value: many for value, many in counts.items() if many} for name, counts in found.counts.items()}


@pytest.mark.parametrize("text", ["", "人口", "信息", "没有的"])
def test_numbers_are_those_of_the_resources(shelf: None, catalog: Catalog, city: Session, text: str) -> None:
    for share, way, cycle in product((None, 1, 2), (None, "file", "database"), (None, "daily", "monthly")):
        given: dict[str, Any] = {"share_type": share, "way": way, "cycle": cycle, "provider": POLICE}
        asked = {key: value for key, value in given.items() if value is not None}
        found = catalog.facets(city, text, **asked)
        assert found.complete
        assert plain(found) == looked_at(catalog, city, text, asked), asked


def test_a_cube_is_the_same_until_a_resource_moves(
    shelf: None, catalog: Catalog, city: Session, publish: Publish
) -> None:
    cube = catalog.cube(city)
    assert catalog.cube(city, cube) is cube
    assert catalog.facets(city, cube=cube, way="file") is catalog.facets(city, cube=cube, way="file")
    publish(code="101001001/0009", name="户籍人口信息9", update_cycle="yearly")
    fresh = catalog.cube(city, cube)
    assert fresh is not cube
    assert fresh.facets(facets.search.Wanted()).counts["cycle"]["yearly"] == 1
    assert "yearly" not in cube.facets(facets.search.Wanted()).counts["cycle"]


def test_of_many_found_by_words_the_first_are_counted(
    shelf: None, catalog: Catalog, city: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facets, "SAMPLE", 3)
    found = catalog.facets(city, "人口")
    assert not found.complete
    assert sum(found.counts["share_type"].values()) == 3
    few = catalog.facets(city, "法人")
    assert few.complete


def test_a_withdrawn_resource_is_not_counted(shelf: None, catalog: Catalog, city: Session) -> None:
    before = catalog.facets(city).counts["record_class"]["legal_person"]
    catalog.move(city, "102001001/0001", "withdraw", "赵", POLICE, "停用")
    assert (before, catalog.facets(city).counts["record_class"]["legal_person"]) == (1, 0)
