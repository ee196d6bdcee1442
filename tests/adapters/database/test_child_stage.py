from __future__ import annotations

import pyarrow as pa
import pytest
import sqlalchemy as sa

from adapters.base import Claim
from adapters.database import DatabaseEndpoint
from adapters.database.binding import children_of, without_children
from adapters.database.child_stage import ChildStage
from adapters.database.children import Child
from adapters.database.dialects import DatabaseOptions
from adapters.database.fit import fields_of
from adapters.database.layout import ROW, Layout, Stage, drop_stages
from adapters.database.place import Place
from adapters.options import read_options
from tests.adapters.database.conftest import Hands, batch, options_of
from tests.adapters.database.test_children import BINDING, SCHEMA, SON, WIFE, person

CLAIM = Claim(key="key", exchange="exchange", epoch=3)


@pytest.fixture
def place(database_url: str, endpoint: DatabaseEndpoint) -> Place:
    endpoint.install(BINDING, SCHEMA)
    return Place(read_options(DatabaseOptions, options_of(database_url), "端点"), "Asia/Shanghai")


def made(place: Place, connection: sa.Connection) -> tuple[Stage, ChildStage]:
    own = SCHEMA.remove(SCHEMA.get_field_index("family"))
    layout = Layout(without_children(BINDING), place.shape(connection, "person"), fields_of(own))
    stage = Stage(place.dialect, layout, CLAIM)
    child = Child("family", children_of(BINDING)["family"], place.shape(connection, "person_family"))
    stage.children = (ChildStage(place.dialect, child, SCHEMA.field("family"), stage, 0),)
    return stage, stage.children[0]


def test_child_rows_are_staged_by_the_number_of_their_parent(place: Place, hands: Hands) -> None:
    with place.transaction() as connection:
        stage, children = made(place, connection)
        stage.create(connection)
        stage.load(connection, batch([person("1", SON, WIFE), person("2")], SCHEMA), pa.array([0, 1]), place.zone)
        stage.load(connection, batch([person("3", SON)], SCHEMA), pa.array([2]), place.zone)
        numbers = sa.select(children.copy.table.c[ROW]).order_by(ROW)
        assert connection.execute(numbers).scalars().all() == [0, 0, 2]
        stage.cut(connection, 2)
        assert connection.execute(numbers).scalars().all() == [0, 0]
    assert {name for name in hands.tables() if "stage" in name} == {stage.name, f"{stage.name}_0"}
    with place.transaction() as connection:
        drop_stages(connection, place.namespace, Claim(key="key", exchange="exchange", epoch=2))
        drop_stages(connection, place.namespace, Claim(key="other", exchange="exchange", epoch=3))
    assert f"{stage.name}_0" in hands.tables()
    with place.transaction() as connection:
        drop_stages(connection, place.namespace, CLAIM)
    assert {name for name in hands.tables() if "stage" in name} == set()


def test_what_is_no_child_row_refuses_its_parent(place: Place) -> None:
    rows = [person("1", SON), person("2") | {"family": "{}"}, person("3", SON, SON | {"relation": "\x00"})]
    with place.transaction() as connection:
        stage, children = made(place, connection)
        stage.create(connection)
        refused = children.load(connection, batch(rows, SCHEMA).column("family"), pa.array([10, 11, 12]), place.zone)
        numbers = sa.select(children.copy.table.c[ROW])
        left = set(connection.execute(numbers).scalars())
    assert refused.keys() == {1, 2}
    assert refused[1][0] == "type"
    assert "family[" in refused[2][1]
    assert 10 in left
    assert 11 not in left


def test_the_same_child_rows_are_the_same_whatever_their_order(place: Place, hands: Hands) -> None:
    with place.transaction() as connection:
        stage, children = made(place, connection)
        stage.create(connection)
        people = batch([person("1", SON, WIFE), person("2", SON), person("3")], SCHEMA)
        stage.load(connection, people, pa.array([0, 1, 2]), place.zone)
        children.put(connection, [], sa.true())
    hands.run("UPDATE person_family SET rel = 'x' WHERE person_id = '2'")
    with place.transaction() as connection:
        same = sa.select(stage.item("id"), children.same(stage.table)).order_by(stage.item("id"))
        found = {row[0]: bool(row[1]) for row in connection.execute(same)}
        drop_stages(connection, place.namespace, CLAIM)
    assert found == {"1": True, "2": False, "3": True}
