from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pytest
from openlineage.client.naming.dataset import MySQL, Postgres

import adapters.database
from adapters.base import Capture, FoundColumn
from adapters.database import DatabaseEndpoint, DatabaseOptions
from adapters.errors import Misconfigured, Unsupported
from adapters.registry import open_endpoint, secret_fields
from schemas import profile
from tests.adapters.database.conftest import PERSON, SCHEMA, Deliverer, Hands, counts, options_of, person


def test_the_registry_knows_it() -> None:
    assert isinstance(open_endpoint("database", {"product": "sqlite", "path": "x.db"}), DatabaseEndpoint)
    assert secret_fields("database") == {"password"}
    with pytest.raises(Misconfigured, match="paht"):
        DatabaseEndpoint({"product": "sqlite", "paht": "x.db"})
    for heading in ("What", "Endpoint", "Capabilities", "Failure"):
        assert f"\n{heading}\n" in (adapters.database.__doc__ or "")


def test_nothing_is_opened_before_it_is_asked_for(tmp_path: Any) -> None:
    endpoint = DatabaseEndpoint(DatabaseOptions(product="sqlite", path=tmp_path / "x.db"))
    assert endpoint.capabilities.captures == set(get_args(Capture)) - {"pushed"}
    endpoint.source(PERSON).close()
    endpoint.sink(PERSON).close()
    assert list(tmp_path.iterdir()) == []


def test_every_step_is_tried(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (a integer)")
    probes = {probe.name: probe for probe in endpoint.test()}
    assert all(probe.passed for probe in probes.values())
    assert "shutong_ledger" in probes["台账"].detail
    assert "endpoint prepare --sql" in probes["台账"].remedy
    assert probes["读取"].detail == "1 张表"
    assert probes["版本"].detail.lower().startswith(hands.product)
    endpoint.install(PERSON, SCHEMA)
    assert {probe.name: probe.remedy for probe in endpoint.test() if probe.remedy} == {}
    assert not [name for name in hands.tables() if "probe" in name]


def test_a_place_that_does_not_answer(database_url: str, hands: Hands) -> None:
    options = options_of(database_url)
    wrong = {"path": "/nowhere/x.db"} if hands.product == "sqlite" else {"password": "wrong"}
    [probe] = DatabaseEndpoint(options | wrong).test()
    assert not probe.passed
    assert probe.remedy
    assert "wrong" not in probe.detail


def test_an_account_that_may_only_read(endpoint: DatabaseEndpoint, hands: Hands, database_url: str) -> None:
    if hands.product == "sqlite":
        return
    endpoint.install(PERSON, SCHEMA)
    options = options_of(database_url)
    name, database = f"reader_{options['database']}", options["database"]
    if hands.product == "postgresql":
        hands.run(f"CREATE ROLE {name} LOGIN PASSWORD 'x'", f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
    else:
        hands.run(
            f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY 'x'", f"GRANT SELECT ON {database}.* TO {name}@'127.0.0.1'"
        )
    reader = DatabaseEndpoint(options | {"user": name, "password": "x"})
    probes = {probe.name: probe for probe in reader.test()}
    assert [name for name, probe in probes.items() if not probe.passed] == ["暂存"]
    assert "权限" in probes["暂存"].detail
    with reader.source(PERSON) as source:
        assert source.schema().names[0] == "id"
    if hands.product == "postgresql":
        hands.run(f"DROP OWNED BY {name}", f"DROP ROLE {name}")
    else:
        hands.run(f"DROP USER {name}@'127.0.0.1'")


def test_inspect_proposes_items(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run(
        "CREATE TABLE t (id varchar(18) NOT NULL PRIMARY KEY, n decimal(10,2), i integer, d date, "
        "x text, f double precision, c varchar(5) DEFAULT 'a' NOT NULL)",
        "CREATE VIEW v AS SELECT id FROM t",
    )
    endpoint.install(PERSON, SCHEMA)
    assert [found.name for found in endpoint.inspect()] == ["person", "t", "v"]
    [found] = endpoint.inspect("t")
    assert found.key == ("id",)
    assert found.columns == (
        FoundColumn("id", "C", length=18, nullable=False),
        FoundColumn("n", "N", length=10, scale=2),
        FoundColumn("i", "I"),
        FoundColumn("d", "D"),
        FoundColumn("x", "M"),
        FoundColumn("f", "B"),
        FoundColumn("c", "C", length=5, nullable=False),
    )
    assert [column.name for column in endpoint.inspect("v")[0].columns] == ["id"]
    with pytest.raises(Misconfigured, match="absent"):
        endpoint.inspect("absent")


def test_a_key_may_be_a_unique_index(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (a varchar(5) NOT NULL, b integer NOT NULL)", "CREATE UNIQUE INDEX k ON t (b, a)")
    assert endpoint.inspect("t")[0].key == ("b", "a")


def test_check_tells_everything(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    assert endpoint.check(replace(PERSON, key=("x",)), SCHEMA, sink=True) == [
        "表 person 的挂接有误：信息项 x 没有挂接到列"
    ]
    hands.run("CREATE TABLE other (a integer)")
    assert endpoint.check(PERSON, SCHEMA, sink=False) == ["没有表 person"]
    told = endpoint.check(PERSON, SCHEMA, sink=True)
    assert "shutong_ledger" in told[0]
    assert told[1] == "没有表 person"
    endpoint.install(PERSON, SCHEMA)
    assert endpoint.check(PERSON, SCHEMA, sink=True) == endpoint.check(PERSON, SCHEMA, sink=False) == []
    journal = replace(PERSON, capture="journal", options={"journal": True, "text": ["no"]})
    assert len(endpoint.check(journal, SCHEMA, sink=True)) == 1
    assert len(endpoint.check(journal, SCHEMA, sink=False)) == 2
    hands.run("DROP TABLE shutong_serial")
    assert "shutong_serial" in endpoint.check(journal, SCHEMA, sink=False)[-1]
    family = replace(PERSON, capture="outbox", profile=profile("guangdong"))
    assert "没有错误回传表 person_ERROR" in endpoint.check(family, SCHEMA, sink=False)
    hands.run(
        "CREATE TABLE " + ("`person_ERROR`" if hands.product == "mariadb" else '"person_ERROR"') + " (id varchar(9))"
    )
    assert any("没有异常说明列 ERROR_REMARK" in text for text in endpoint.check(family, SCHEMA, sink=False))


def test_an_unknown_capture_is_unsupported(endpoint: DatabaseEndpoint) -> None:
    with pytest.raises(Unsupported, match="guess"):
        endpoint.source(replace(PERSON, capture="guess"))  # type: ignore[arg-type]
    with pytest.raises(Misconfigured):
        endpoint.source(replace(PERSON, options={"unknown": 1}))
    with pytest.raises(Misconfigured):
        endpoint.sink(replace(PERSON, key=()))


def test_one_endpoint_serves_several_threads(installed: DatabaseEndpoint) -> None:
    found: list[int] = []

    def look() -> None:
        with installed.source(PERSON) as source:
            found.append(len(source.schema()))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [11] * 4


def test_a_schema_of_its_own(database_url: str, hands: Hands) -> None:
    if hands.product != "postgresql":
        with pytest.raises(Misconfigured, match="schema"):
            DatabaseEndpoint(options_of(database_url) | {"schema": "x"})
        return
    hands.run('CREATE SCHEMA "前 置"')
    endpoint = DatabaseEndpoint(options_of(database_url) | {"schema": "前 置"})
    endpoint.install(PERSON, SCHEMA)
    assert endpoint.check(PERSON, SCHEMA, sink=True) == []
    assert [found.name for found in endpoint.inspect()] == ["person"]
    assert hands.tables() == set()
    deliver = Deliverer(endpoint)
    assert counts(deliver(person("1"), person("2"), key="1")) == (2, 0, 0, 0, 0)
    assert counts(deliver(person("1", 2), person("2", 2, operation=1), key="2")) == (2, 1, 0, 0, 0)
    with endpoint.sink(PERSON) as sink:
        assert sink.holds(pa.RecordBatch.from_pydict({"id": ["1", "2"]})).to_pylist() == [True, False]


def test_one_place_has_one_identity(tmp_path: Path) -> None:
    """However it is written, so that two names of one table do not get two readers."""
    (tmp_path / "link.db").symlink_to(tmp_path / "x.db")
    files = [
        DatabaseEndpoint({"product": "sqlite", "path": str(tmp_path / name)}) for name in ("x.db", "link.db", "y.db")
    ]
    one, same, other = (each.identity() for each in files)
    assert one == same != other
    server = {"product": "postgresql", "host": "LOCALHOST", "database": "Front", "user": "a", "password": "s3cret"}
    ways = [{}, {"host": "127.0.0.1"}, {"host": "localhost."}, {"host": "::1", "port": 5432}, {"user": "b"}]
    told = {DatabaseEndpoint(server | way).identity() for way in ways}
    assert len(told) == 1
    assert "s3cret" not in told.pop()
    others = [{"host": "10.0.0.1"}, {"host": "db.example"}, {"port": 5433}, {"database": "b"}, {"schema": "s"}]
    assert len({DatabaseEndpoint(server | way).identity() for way in [{}, *others]}) == len(others) + 1
    assert files[0].object_identity("Person") == files[0].object_identity("PERSON")


_SERVER = {"host": "db.example", "database": "front", "user": "a", "password": "s3cret"}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"product": "postgresql"} | _SERVER, Postgres("db.example", "5432", "front", "public", "person")),
        (
            {"product": "postgresql", "port": 5433, "schema": "work"} | _SERVER,
            Postgres("db.example", "5433", "front", "work", "person"),
        ),
        ({"product": "postgresql"} | _SERVER | {"host": "::1"}, Postgres("[::1]", "5432", "front", "public", "person")),
        ({"product": "mariadb"} | _SERVER, MySQL("db.example", "3306", "front", "person")),
        ({"product": "mariadb", "port": 3307} | _SERVER, MySQL("db.example", "3307", "front", "person")),
    ],
)
def test_tables_are_data_sets_as_the_rules_of_openlineage_name_them(options: dict[str, Any], named: Any) -> None:
    told = DatabaseEndpoint(options).dataset("person")
    assert told == (named.get_namespace(), named.get_name())


def test_a_table_of_a_file_is_a_data_set_of_that_file(tmp_path: Path) -> None:
    endpoint = DatabaseEndpoint({"product": "sqlite", "path": str(tmp_path / "x.db")})
    assert endpoint.dataset("person") == (f"sqlite://{tmp_path}/x.db", "person")


def test_tables_of_the_product_are_not_for_exchange(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (a integer)")
    reserved = endpoint._place.dialect.reserved
    if not reserved:
        return
    name = f"{reserved.upper()}stat1"
    with pytest.raises(Misconfigured, match="保留名"):
        endpoint.inspect(name)
    with pytest.raises(Misconfigured, match="保留名"):
        endpoint.prepare(replace(PERSON, object=name), SCHEMA)
