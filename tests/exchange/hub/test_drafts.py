from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog import EndpointSpec, read_sheet
from exchange.errors import Denied, HubError, Invalid, Unknown
from exchange.hub import Hub, open_hub
from exchange.hub.drafts import (
    asked,
    checked,
    class_table,
    described_department,
    empty_sheet,
    examined,
    next_code,
    proposed,
)
from exchange.identity import Actor, current_actor
from tests.exchange.cli.county import CODE, HUB, POLICE, RESOURCE, TAX, County, application, founded


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> County:
    """Departments and endpoints; nothing is registered."""
    return founded(tmp_path_factory.mktemp("founded"))


@pytest.fixture
def hub(county: County) -> Iterator[Hub]:
    hub = open_hub(county.home)
    yield hub
    hub.close()


def actor(hub: Hub, name: str) -> Actor:
    return current_actor(hub.settings, name)


def test_a_registration_looked_at_before_it_is_made(hub: Hub) -> None:
    resource = checked(hub, {**RESOURCE, "code": "101001001/0010"})
    assert resource.share_type == 2
    assert resource.offer is not None
    assert resource.offer.columns["id_no"] == "id_no"
    with pytest.raises(Invalid) as error:
        checked(hub, {**RESOURCE, "code": "x", "key": ["nothing"], "update_cycle": "有空"})
    assert len(error.value.problems) >= 3
    with pytest.raises(Invalid):
        checked(hub, read_sheet("甲,乙\n".encode()))


def test_an_application_as_written() -> None:
    assert asked(application()).department == TAX
    with pytest.raises(Invalid) as error:
        asked({**application(), "colour": "红", "quota_rows": 0})
    assert len(error.value.problems) == 2


def test_forms() -> None:
    assert "政务信息资源目录登记表" in empty_sheet().decode("utf-8-sig")
    assert empty_sheet("natural_person", "population") != empty_sheet()
    problems: list[type[HubError]] = [Unknown, Invalid, Unknown]
    for words, kind in zip((["person"], ["case"], ["case", "none"]), problems, strict=True):
        with pytest.raises(kind):
            empty_sheet(*words)


def test_a_draft_over_a_table(hub: Hub) -> None:
    by = actor(hub, "police")
    draft = proposed(hub, "police", "people", by=by, under="101001002", name="人口")
    assert (draft.code, draft.name, draft.provider_code, draft.key) == ("101001002/0001", "人口", POLICE, ("id_no",))
    assert draft.formats == ("数据库/SQLite",)
    with pytest.raises(Invalid, match="缺少资源代码"):
        proposed(hub, "police", "people", by=by)
    with pytest.raises(Denied):
        proposed(hub, "police", "people", by=actor(hub, "chief"), code=CODE)


def test_a_draft_over_files(hub: Hub, tmp_path: Path) -> None:
    spec = EndpointSpec(name="drop", department=POLICE, kind="files", options={"root": str(tmp_path)})
    hub.registration.put_endpoint(spec, by=actor(hub, "integrator"))
    by = actor(hub, "police")
    with pytest.raises(Unknown, match="端点 drop 没有"):
        proposed(hub, "drop", "people-*.csv", by=by, code="101001003/0001")
    for day in (1, 2):
        (tmp_path / f"people-{day}.csv").write_text("id_no,name\n", encoding="utf-8")
    draft = proposed(hub, "drop", "people-*.csv", by=by, code="101001003/0001", name="人口")
    assert draft.offer is not None
    assert draft.offer.object == "people-*.csv"
    assert [item.name for item in draft.items] == ["id_no", "name"]


def test_a_department_before_there_is_a_hub() -> None:
    given = {"code": HUB, "name": "某市行政审批局", "division": "321200"}
    assert described_department(given).code == HUB
    with pytest.raises(Invalid) as error:
        described_department({**given, "code": "1", "colour": "红"})
    assert len(error.value.problems) == 2


def test_errors_and_warnings_are_told_apart_before_anything_is_made(hub: Hub) -> None:
    found = examined(hub, {**RESOURCE, "code": "101001001/0011", "related": ["101001001/0999"], "update_cycle": "有空"})
    assert found.here == "资源 101001001/0011"
    assert [each.where.rpartition(" › ")[2] for each in found.errors] == ["更新周期"]
    assert "目录中没有 101001001/0999" in [each.message for each in found.warnings]


def test_the_next_code_and_a_table_of_a_class(hub: Hub) -> None:
    assert next_code(hub, "101001077") == "101001077/0001"
    with pytest.raises(Invalid):
        next_code(hub, "x")
    assert class_table("licence").items
    with pytest.raises(Invalid, match="有多张数据表"):
        class_table("case")
    with pytest.raises(Unknown):
        class_table("case", "nothing")
