"""A new table in the place of an old one: everything it had, or a reason why not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.base import Acknowledgement
from adapters.database import DatabaseEndpoint
from adapters.database.dialects.swapping import noted, obstacles
from adapters.database.shapes import TableShape
from tests.adapters.database.conftest import PERSON, SCHEMA, Deliverer, Hands, options_of
from tests.adapters.database.test_refresh import persons, refresh
from tests.support.servers import Server

NUMBER = "SELECT CAST(CAST('person' AS regclass) AS oid)"
KEY = f"{'0' * 64}-{'1' * 16}"


@pytest.fixture(scope="module")
def server_url(postgresql_server: Server) -> Iterator[str]:
    url = postgresql_server.new_database()
    yield url
    postgresql_server.drop_database(url)


@pytest.fixture
def database_url(server_url: str) -> Iterator[str]:
    """One database for all tests, which each of them leaves empty."""
    yield server_url
    engine = sa.create_engine(server_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()


@pytest.fixture
def endpoint(database_url: str) -> DatabaseEndpoint:
    made = DatabaseEndpoint(options_of(database_url))
    made.install(PERSON, SCHEMA)
    return made


@pytest.fixture
def hands(database_url: str, endpoint: DatabaseEndpoint) -> Iterator[Hands]:
    """At a table with five rows."""
    made = Hands(database_url)
    Deliverer(endpoint)(*persons(*range(5)), key="a")
    yield made
    made.engine.dispose()


def how(answer: Acknowledgement) -> tuple[str, tuple[str, ...]]:
    assert answer.refreshing is not None
    return answer.refreshing.how, answer.refreshing.why


def ids(hands: Hands) -> list[str]:
    return [row[0] for row in hands.persons("id")]


def definition(hands: Hands) -> list[Any]:
    inspector = sa.inspect(hands.engine)
    columns = [{**each, "type": str(each["type"])} for each in inspector.get_columns("person")]
    indexes = "SELECT indexname, indexdef, obj_description(to_regclass(indexname), 'pg_class') FROM pg_indexes "
    about = "SELECT tableowner FROM pg_tables WHERE tablename = 'person'"
    acl = "SELECT relacl::text, reloptions::text FROM pg_class WHERE relname = 'person'"
    of_columns = "SELECT attname, attacl::text FROM pg_attribute WHERE NOT attisdropped AND attnum > 0 "
    of_columns += "AND attrelid = 'person'::regclass "
    return [
        columns,
        inspector.get_pk_constraint("person"),
        inspector.get_unique_constraints("person"),
        inspector.get_check_constraints("person"),
        hands.rows(indexes.replace("::", "\\:\\:") + "WHERE tablename = 'person' ORDER BY 1"),
        *(hands.rows(query.replace("::", "\\:\\:")) for query in (about, acl, of_columns + "ORDER BY attnum")),
    ]


def test_everything_about_the_table_is_kept(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    long = "x" * 60
    role = f"reader_{abs(hash(hands.engine.url.database)) % 10**8}"
    hands.run(
        f"CREATE ROLE {role}",
        f"GRANT SELECT ON person TO {role} WITH GRANT OPTION",
        f"GRANT UPDATE (name) ON person TO {role}",
        "GRANT SELECT (id) ON person TO PUBLIC",
        f"ALTER DEFAULT PRIVILEGES GRANT DELETE ON TABLES TO {role}",
        "ALTER TABLE person ALTER COLUMN score SET DEFAULT 0.5",
        "ALTER TABLE person ALTER COLUMN name SET STORAGE EXTERNAL",
        "ALTER TABLE person ADD COLUMN gone int",
        "ALTER TABLE person DROP COLUMN gone",
        "ALTER TABLE person ADD COLUMN double_score double precision GENERATED ALWAYS AS (score * 2) STORED",
        "ALTER TABLE person SET (fillfactor = 70, autovacuum_enabled = false)",
        f"CREATE INDEX \"{long} 甲\" ON person (name DESC NULLS LAST) INCLUDE (version) WHERE name <> '%s using'",
        'CREATE INDEX "odd""one%" ON person USING hash (id)',
        "CREATE INDEX person_lower ON person (lower(name))",
        "ALTER TABLE person ADD CONSTRAINT late UNIQUE (seen, id) DEFERRABLE INITIALLY DEFERRED",
        "ALTER TABLE person ADD CONSTRAINT positive CHECK (version > 0)",
        "COMMENT ON TABLE person IS '人口 100% ''真'' \\ 表'",
        "COMMENT ON COLUMN person.name IS '姓名'",
        "COMMENT ON INDEX person_lower IS '按小写'",
        "COMMENT ON CONSTRAINT late ON person IS '迟'",
        "COMMENT ON CONSTRAINT positive ON person IS '正'",
    )
    before, old = definition(hands), hands.rows(NUMBER)
    assert how(refresh(endpoint, *persons(3, 4, 5, 6), key=KEY)) == ("swap", ())
    assert definition(hands) == before
    assert hands.rows(NUMBER) != old
    assert ids(hands) == ["003", "004", "005", "006"]
    comment = sa.inspect(hands.engine).get_table_comment("person")["text"]
    assert comment == f"人口 100% '真' \\ 表 [数通交付 {KEY}]"
    another = KEY.replace("1", "2")
    assert how(refresh(endpoint, *persons(1, 2, 3, 5), key=another)) == ("swap", ())
    assert sa.inspect(hands.engine).get_table_comment("person")["text"] == comment.replace(KEY, another)
    assert definition(hands) == before
    assert hands.rows("SELECT last_analyze IS NOT NULL FROM pg_stat_user_tables WHERE relname = 'person'") == [(True,)]
    hands.run(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_the_owner_stays(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    role = f"owner_{abs(hash(hands.engine.url.database)) % 10**8}"
    hands.run(f"CREATE ROLE {role}", f"GRANT CREATE ON SCHEMA public TO {role}", f"ALTER TABLE person OWNER TO {role}")
    before = definition(hands)
    assert how(refresh(endpoint, *persons(3, 9), key=KEY)) == ("swap", ())
    assert definition(hands) == before
    assert hands.rows("SELECT tableowner FROM pg_tables WHERE tablename = 'person'") == [(role,)]
    hands.run(f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


DEPENDENT, STORED, REPLICATED = "有视图等对象依赖它", "表的存储方式特别", "表在逻辑复制的发布中"
TRIGGER = """CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'
CREATE TRIGGER t AFTER INSERT ON person FOR EACH ROW EXECUTE FUNCTION f()"""
AGAINST = (
    ("CREATE VIEW v AS SELECT id FROM person", DEPENDENT),
    ("CREATE MATERIALIZED VIEW v AS SELECT id FROM person", DEPENDENT),
    ("CREATE TABLE v (one person)", DEPENDENT),
    ("CREATE TABLE v (many person[])", DEPENDENT),
    ("CREATE FUNCTION v(person) RETURNS int LANGUAGE sql AS 'SELECT 1'", DEPENDENT),
    ("CREATE TABLE child (id varchar(20) REFERENCES person)", "有外键"),
    ("CREATE TABLE v (n varchar(50) PRIMARY KEY)\nALTER TABLE person ADD FOREIGN KEY (name) REFERENCES v NOT VALID",
     "有外键"),
    (TRIGGER, "有触发器"),
    ("CREATE RULE r AS ON DELETE TO person DO ALSO SELECT 1", "有规则"),
    ("CREATE PUBLICATION p FOR TABLE person", REPLICATED),
    ("CREATE PUBLICATION p FOR ALL TABLES", REPLICATED),
    ("ALTER TABLE person ENABLE ROW LEVEL SECURITY", "有行级安全策略"),
    ("CREATE POLICY p ON person USING (true)", "有行级安全策略"),
    ("CREATE STATISTICS s ON id, name FROM person", "有扩展统计信息"),
    ("ALTER TABLE person ALTER COLUMN name SET STATISTICS 500", "列的设置特别"),
    ("ALTER TABLE person CLUSTER ON person_pkey", "索引的设置特别"),
    ("ALTER TABLE person SET UNLOGGED", STORED),
    ("ALTER TABLE person REPLICA IDENTITY FULL", STORED),
    ("ALTER TABLE person SET (toast.autovacuum_enabled = false)", STORED),
    ("CREATE TABLE child () INHERITS (person)", "表有继承关系"),
    ("ALTER TABLE person ADD EXCLUDE USING btree (id WITH =)", "有排他约束或约束触发器"),
    ("CREATE SEQUENCE s OWNED BY person.version", "有自增列"),
    ("ALTER TABLE person ADD COLUMN n int GENERATED ALWAYS AS IDENTITY", "有自增列"),
)  # fmt: skip


def test_whatever_would_not_come_along_is_a_reason(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    shape = TableShape(name="person", namespace=None, columns={})
    found = []
    for statements, why in AGAINST:
        with hands.engine.connect() as connection:
            assert obstacles(connection, shape) == (), "nothing is left of the one before"
            for statement in statements.splitlines():
                connection.execute(sa.text(statement))
            found.append((statements, why in obstacles(connection, shape)))
    assert [statements for statements, told in found if not told] == []


@pytest.mark.parametrize(
    ("statement", "why", "foreseen"),
    [
        ("CREATE VIEW v AS SELECT id FROM person", DEPENDENT, True),
        ("ALTER TABLE person ADD CHECK (version > 0) NOT VALID", "新表与原表的定义不完全相同", False),
    ],
)
def test_then_the_rows_are_changed_in_the_table_that_is_there(
    endpoint: DatabaseEndpoint, hands: Hands, statement: str, why: str, foreseen: bool
) -> None:
    hands.run(statement)
    before, old = definition(hands), hands.rows(NUMBER)
    assert how(refresh(endpoint, *persons(3, 4, 5, 6), key=KEY)) == ("reload", (why,))
    assert (definition(hands), hands.rows(NUMBER)) == (before, old)
    assert ids(hands) == ["003", "004", "005", "006"]
    told = endpoint.refreshing(PERSON)
    assert told is not None
    assert (told.how == "reload") is foreseen


def test_who_does_not_own_the_table_changes_its_rows(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    role = f"poor_{abs(hash(hands.engine.url.database)) % 10**8}"
    hands.run(
        f"CREATE ROLE {role} LOGIN PASSWORD 'poor'",
        f"GRANT CREATE, USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    )
    options = options_of(hands.engine.url.render_as_string(hide_password=False))
    poor = DatabaseEndpoint({**options, "user": role, "password": "poor"})
    assert how(refresh(poor, *persons(3, 9), key=KEY)) == ("reload", ("账号不是表的属主",))
    assert ids(hands) == ["003", "009"]
    hands.run(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_table_that_is_read_for_long_is_left_where_it_is(
    endpoint: DatabaseEndpoint, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.database.dialects.swapping._WAIT", "200ms")
    with hands.engine.connect() as reader:
        assert len(reader.execute(sa.text("SELECT * FROM person")).all()) == 5
        assert how(refresh(endpoint, *persons(3, 9), key=KEY)) == ("reload", ("换表时被其他事务占用",))
    assert ids(hands) == ["003", "009"]


def test_a_writer_waits_and_finds_the_new_table(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    """Begun before the swap is over, a rival's row is in the table that is there afterwards."""
    from adapters.database import refresh as module

    swapping = threading.Event()
    swap = module.Refreshment._swap

    def slow(self: module.Refreshment, connection: sa.Connection) -> tuple[str, ...]:
        swapping.set()
        found = swap(self, connection)
        time.sleep(0.5)
        return found

    def write() -> None:
        assert swapping.wait(20)
        hands.run("INSERT INTO person (id, version) VALUES ('rival', 1)")

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(module.Refreshment, "_swap", slow)
        writing = pool.submit(write)
        assert how(refresh(endpoint, *persons(3, 9), key=KEY)) == ("swap", ())
        writing.result(20)
    assert ids(hands) == ["003", "009", "rival"]


def test_names_as_long_as_they_may_be(database_url: str) -> None:
    name = "名" * 20 + "xyz"
    assert len(name.encode()) == 63
    long = replace(PERSON, object=name)
    endpoint = DatabaseEndpoint(options_of(database_url))
    endpoint.install(long, SCHEMA)
    hands = Hands(database_url)
    hands.run(f'CREATE INDEX "{name[:-1]}i" ON "{name}" (name)')
    for number, key in enumerate((KEY, "another"), 1):
        answer = refresh(endpoint, *persons(number, number + 1), key=key, binding=long)
        assert how(answer) == ("swap", ())
    assert hands.rows(f'SELECT id FROM "{name}" ORDER BY id') == [("002",), ("003",)]
    assert {each["name"] for each in sa.inspect(hands.engine).get_indexes(name)} == {f"{name[:-1]}i"}
    hands.engine.dispose()


def test_a_row_that_breaks_a_unique_index_is_refused_in_the_old_table(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("UPDATE person SET name = id", "CREATE UNIQUE INDEX person_name ON person (name)")
    rows = [*persons(7, name="一"), *persons(8, name="二"), *persons(9, name="一")]
    answer = refresh(endpoint, *rows, key=KEY)
    assert how(answer) == ("reload", ("换表时违反唯一约束",))
    assert [row.row for row in answer.refused] == [2]
    assert ids(hands) == ["007", "008"]


def test_a_comment_has_the_last_key_only() -> None:
    assert noted(None, "k1") == "[数通交付 k1]"
    assert noted(noted("人口", "k1"), "k2") == "人口 [数通交付 k2]"
