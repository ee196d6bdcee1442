from __future__ import annotations

import sqlite3
from dataclasses import replace

import pyarrow as pa
import pytest
import sqlalchemy as sa

from adapters.base import Binding
from adapters.database import DatabaseEndpoint
from adapters.database.script import error_table_name
from adapters.errors import Misconfigured
from schemas import Item, arrow_schema, profile, profiles
from tests.adapters.database import test_children as children
from tests.adapters.database.conftest import PERSON, SCHEMA, Hands, options_of


def by_hand(hands: Hands, text: str) -> None:
    """Run a script as an administrator would, with the product's own client where it is a statement a line."""
    if hands.product == "sqlite":
        with sqlite3.connect(str(hands.engine.url.database)) as connection:
            connection.executescript(text)
        connection.close()
        return
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    with hands.engine.begin() as connection:
        for statement in "\n".join(lines).split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement.replace("%", "%%"))


@pytest.mark.parametrize("family", [None, "jiangsu", "guangdong", "shandong"])
def test_the_script_is_all_that_is_needed(endpoint: DatabaseEndpoint, hands: Hands, family: str | None) -> None:
    binding = replace(PERSON, profile=profile(family) if family else None, fixed={"area": "3212"})
    text = endpoint.prepare(binding, SCHEMA)
    assert hands.tables() == set()
    by_hand(hands, text)
    assert endpoint.check(binding, SCHEMA, sink=True) == []
    by_hand(hands, endpoint.prepare(binding, SCHEMA))
    endpoint.install(binding, SCHEMA)
    assert endpoint.check(binding, SCHEMA, sink=True) == []


def test_a_place_that_is_a_file_need_not_be_there(tmp_path: object) -> None:
    endpoint = DatabaseEndpoint({"product": "sqlite", "path": f"{tmp_path}/new.db"})
    assert "CREATE TABLE IF NOT EXISTS person" in endpoint.prepare(PERSON, SCHEMA)
    assert endpoint.test()[0].passed is False
    endpoint.install(PERSON, SCHEMA)
    assert all(probe.passed for probe in endpoint.test())
    with sqlite3.connect(f"{tmp_path}/new.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_labels_become_comments(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    items = [
        Item(name="id", label="编'号 100%; --", type="C", length=9),
        Item(name="x", label="a\\b", type="C", length=9),
    ]
    schema = arrow_schema(items)
    binding = Binding(object="t", columns={"id": "id", "x": "x"}, key=("id",))
    by_hand(hands, endpoint.prepare(binding, schema))
    endpoint.install(replace(binding, object="u"), schema)
    [found] = endpoint.inspect("u")
    if endpoint._place.dialect.comments:
        assert [column.label for column in found.columns] == [item.label for item in items]


def test_a_table_that_is_there_gets_what_it_lacks(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE person (id VARCHAR(20), extra VARCHAR(5))", "INSERT INTO person VALUES ('1', 'mine')")
    binding = replace(PERSON, options={"journal": True})
    before = endpoint.check(binding, SCHEMA, sink=True)
    assert any("shutong_serial" in text for text in before)
    by_hand(hands, endpoint.prepare(binding, SCHEMA))
    assert endpoint.check(binding, SCHEMA, sink=True) == []
    endpoint.install(binding, SCHEMA)
    assert hands.rows("SELECT id, extra, shutong_serial FROM person") == [("1", "mine", 0)]


def test_two_providers_share_a_library_table(endpoint: DatabaseEndpoint) -> None:
    """The second one's resource has an item more."""
    binding = replace(PERSON, fixed={"provider": "a"}, options={"journal": True})
    endpoint.install(binding, SCHEMA)
    more = SCHEMA.append(pa.field("extra", pa.string(), metadata={"type": "C", "length": "7", "label": "另"}))
    wider = replace(binding, columns={**binding.columns, "extra": "extra"}, fixed={"provider": "b"})
    endpoint.install(wider, more)
    assert endpoint.check(wider, more, sink=True) == endpoint.check(binding, SCHEMA, sink=True) == []


def test_names_that_are_too_long_are_told(endpoint: DatabaseEndpoint) -> None:
    long = "表" * 70
    with pytest.raises(Misconfigured, match=long):
        endpoint.prepare(replace(PERSON, object=long), SCHEMA)
    bytes_count = endpoint._place.options.product == "postgresql"
    assert endpoint._place.dialect.fits("表" * 22) != bytes_count


def test_names_of_error_tables() -> None:
    binding = replace(PERSON, object="up_lic_data")
    names = {name: error_table_name(replace(binding, profile=family)) for name, family in profiles().items()}
    assert names["national"] == "dn_lic_data_error"
    assert names["guangdong"] == "up_lic_data_ERROR"
    assert names["jiangsu"] is None
    assert error_table_name(binding) is None


def test_a_source_gets_its_error_table_and_nothing_else(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE up_person (id VARCHAR(20) NOT NULL PRIMARY KEY, cd_batch VARCHAR(5), cd_time DATE)")
    binding = Binding(
        object="up_person", columns={"id": "id"}, key=("id",), capture="batches", profile=profile("national")
    )
    by_hand(hands, endpoint.prepare(binding, SCHEMA))
    assert hands.tables() == {"up_person", "dn_person_error"}
    columns = {each["name"]: each for each in sa.inspect(hands.engine).get_columns("dn_person_error")}
    assert list(columns) == ["id", "cd_batch", "cd_time", "error_remark"]
    assert endpoint.prepare(replace(binding, object="absent"), SCHEMA).count("CREATE") == 0
    assert "CREATE" not in endpoint.prepare(replace(binding, profile=None), SCHEMA)


@pytest.mark.parametrize("length", [1, 500, 501, 4000, 20_000, None])
def test_texts_of_every_length_have_a_column(endpoint: DatabaseEndpoint, length: int | None) -> None:
    items = [Item(name="id", label="编号", type="C", length=64), Item(name="no", label="号", type="C")]
    items += [Item(name=f"t{number}", label="文", type="C", length=length) for number in range(40)]
    schema = arrow_schema(items)
    binding = Binding(object="t", columns={name: name for name in schema.names}, key=("id", "no"))
    endpoint.install(binding, schema)
    assert endpoint.check(binding, schema, sink=True) == []


def test_the_zone_is_not_in_the_script(database_url: str) -> None:
    one, other = (DatabaseEndpoint(options_of(database_url), zone=zone) for zone in ("Asia/Shanghai", "UTC"))
    assert one.prepare(PERSON, SCHEMA) == other.prepare(PERSON, SCHEMA)


def test_a_child_table_is_made_with_its_index(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    text = endpoint.prepare(children.BINDING, children.SCHEMA)
    assert hands.tables() == set()
    by_hand(hands, text)
    assert endpoint.check(children.BINDING, children.SCHEMA, sink=True) == []
    assert endpoint.advise(children.BINDING) == []
    by_hand(hands, "DROP TABLE person_family;\n")
    again = endpoint.prepare(children.BINDING, children.SCHEMA)
    assert "person_family" in again
    by_hand(hands, again)
    assert "person_family" not in endpoint.prepare(children.BINDING, children.SCHEMA)
    assert endpoint.check(children.BINDING, children.SCHEMA, sink=True) == []
