"""What goes wrong at a department's database, and that nothing is lost by it or there twice."""

from __future__ import annotations

import resource
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from adapters.base import Binding, Claim, Selection
from adapters.database import DatabaseEndpoint
from adapters.errors import AdapterError, Misconfigured, Refused, StageLost, Unavailable
from schemas import Item, arrow_schema
from tests.adapters.database.conftest import (
    PERSON,
    SCHEMA,
    Deliverer,
    Hands,
    batch,
    counts,
    options_of,
    person,
)
from tests.adapters.database.pairs import PAIRS, PRODUCTS, Sides, bind, move
from tests.support.proxy import CuttingProxy
from tests.support.servers import MariaDBServer, PostgreSQLServer, Server

CLAIM = Claim(key="key", exchange="exchange", epoch=1)
ID = Item(name="id", label="编号", type="C", length=20, mandatory=True)
NAME = Item(name="name", label="姓名", type="C", length=50)

NAMES = {
    "quotes": "a\"b'c`d",
    "blanks": "  a  b ",
    "Chinese": "人口信息（常住）",
    "reserved": "select",
    "signs": "100%_:x;--?{y}$z\\",
    "digits": "1234",
    "63": "n" * 63,
    "63 bytes of Chinese": "人" * 21,
    "64": "n" * 64,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("product", PRODUCTS)
def test_names_are_names(sides: Sides, product: str, name: str) -> None:
    """Of tables and of columns, where they are written to and where they are read."""
    side = sides[product]
    if product == "mariadb" and name != name.rstrip():
        name = name.rstrip()  # it takes no blank at the end of a name
    there = Binding(object=name, columns={"id": name, "name": f"{name[:-1]}2"}, key=("id",))
    schema = arrow_schema((ID, NAME))
    if len(name) > side.endpoint._place.dialect.longest_name:
        for act in (side.endpoint.install, side.endpoint.prepare):
            with pytest.raises(Misconfigured, match="名称过长"):
                act(there, schema)
        return
    source = sides["sqlite"].fill([{"id": "1", "name": "甲"}, {"id": "2", "name": None}], (ID, NAME))
    side.endpoint.install(there, schema)
    assert side.endpoint.check(there, schema, sink=True) == []
    assert move(sides["sqlite"], side, source, (ID, NAME), there).answer.written == 2
    assert move(sides["sqlite"], side, source, (ID, NAME), there).answer.unchanged == 2
    assert [found.name for found in side.endpoint.inspect() if found.name == name] == [name]
    assert set(side.endpoint.inspect(name)[0].columns[0:2]) != set()
    back = move(side, sides["sqlite"], there, (ID, NAME))
    assert sorted(sides["sqlite"].rows(f"SELECT id, name FROM {back.table}")) == [("1", "甲"), ("2", None)]


def test_a_table_without_a_key_is_refused_by_name(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    endpoint.install(PERSON, SCHEMA)
    hands.run("DROP TABLE person", "CREATE TABLE person (id varchar(20), name varchar(50))")
    binding = bind((ID, NAME), "person")
    [problem] = endpoint.check(binding, arrow_schema((ID, NAME)), sink=True)
    assert "person 没有恰在业务主键（id）上的唯一索引" in problem
    with endpoint.sink(binding) as sink, pytest.raises(Misconfigured, match="唯一索引"):
        sink.begin(CLAIM, arrow_schema((ID, NAME)))
    keyless = replace(binding, key=())
    for act in (endpoint.source, endpoint.sink):
        with pytest.raises(Misconfigured, match="没有业务主键"):
            act(keyless)


EQUAL = ["a", "A", "a ", "Ａ", "b"]
"""Texts that one collation or another takes for one."""


@pytest.mark.parametrize(
    ("product", "declared"),
    [
        ("mariadb", "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
        ("mariadb", "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"),
        ("mariadb", "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
        ("postgresql", "varchar(20) COLLATE folded"),
        ("sqlite", "varchar(20) COLLATE NOCASE"),
        ("sqlite", "varchar(20) COLLATE RTRIM"),
    ],
)
def test_keys_that_the_target_takes_for_one_do_not_become_one(sides: Sides, product: str, declared: str) -> None:
    side, binding = sides[product], bind((ID, NAME), f"folded{secrets.token_hex(4)}")
    if product == "postgresql":
        side.run("CREATE COLLATION IF NOT EXISTS folded (provider = icu, locale = 'und-u-ks-level1', "
                 "deterministic = false)")  # fmt: skip
    side.run(f"CREATE TABLE {binding.object} (id {declared} PRIMARY KEY, name varchar(50))")
    side.endpoint.install(binding, arrow_schema((ID, NAME)))
    deliver = Deliverer(side.endpoint, binding, arrow_schema((ID, NAME)), exchange=binding.object)
    written, answer = {}, None
    for number, first in enumerate(EQUAL):
        key = f"{binding.object}-{number}"
        try:
            answer = deliver({"id": first, "name": first, "_operation": 0}, key=key)
        except Refused:
            continue
        if answer.written:
            written[first] = first
    # Each is there as it was sent, or was refused aloud: none has taken another's place.
    assert dict(side.rows(f"SELECT id, name FROM {binding.object}")) == written  # type: ignore[arg-type]
    assert {"a", "b"} <= set(written)
    assert len(written) < len(EQUAL) or "bin" in declared
    with side.endpoint.sink(binding) as sink:
        held = sink.holds(pa.RecordBatch.from_pydict({"id": EQUAL})).to_pylist()
    assert [text for text, there in zip(EQUAL, held, strict=True) if there] == list(written)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_composite_keys_and_empty_tables(sides: Sides, source: str, target: str) -> None:
    items = (ID, Item(name="part", label="序号", type="I", mandatory=True), NAME)
    two = {"key": ("id", "part")}
    rows = [{"id": text, "part": part, "name": f"{text}{part}"} for text in ("a", "A", "甲,1") for part in (1, 11)]
    name = f"both{secrets.token_hex(4)}"
    exact = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if source == "mariadb" else ""
    sides[source].run(
        f"CREATE TABLE {name} (id varchar(20){exact} NOT NULL, part integer NOT NULL, name varchar(50){exact}, "
        "PRIMARY KEY (id, part))"
    )
    into = bind(items, f"{name}_to", **two)
    sides[target].endpoint.install(into, arrow_schema(items))
    reading = bind(items, name, **two)
    assert counts(move(sides[source], sides[target], reading, items, into).answer) == (0, 0, 0, 0, 0)
    for row in rows:
        sides[source].run(f"INSERT INTO {name} VALUES ('{row['id']}', {row['part']}, '{row['name']}')")
    assert counts(move(sides[source], sides[target], reading, items, into).answer) == (6, 0, 0, 0, 0)
    found = sides[target].rows(f"SELECT id, part, name FROM {into.object}")
    assert sorted(found) == sorted(tuple(row.values()) for row in rows)
    sides[source].run(f"DELETE FROM {name}")
    assert counts(move(sides[source], sides[target], reading, items, into).answer) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_target_without_transactions_is_refused_at_planning(installed: DatabaseEndpoint, hands: Hands) -> None:
    for engine in ("MyISAM", "Aria"):
        hands.run(f"ALTER TABLE person ENGINE={engine}")
        assert [each for each in installed.check(PERSON, SCHEMA, sink=True) if "person 的存储引擎没有事务" in each]
        with installed.sink(PERSON) as sink, pytest.raises(Misconfigured, match="没有事务"):
            sink.begin(CLAIM, SCHEMA)
        # To read from it is another matter.
        assert installed.check(PERSON, SCHEMA, sink=False) == []
    hands.run("ALTER TABLE person ENGINE=InnoDB")
    assert installed.check(PERSON, SCHEMA, sink=True) == []


# Locks


def _impatient(endpoint: DatabaseEndpoint, product: str) -> None:
    """Let its sessions wait a second, not a minute, for somebody else's lock."""
    says = {
        "sqlite": "PRAGMA busy_timeout = 1000",
        "postgresql": "SET lock_timeout = '1s'",
        "mariadb": "SET SESSION innodb_lock_wait_timeout = 1",
    }[product]

    def connected(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(says)
        cursor.close()
        if product == "postgresql":
            connection.commit()

    sa.event.listen(endpoint._place.engine, "connect", connected)


def test_a_lock_that_is_held_too_long(deliver: Deliverer, hands: Hands) -> None:
    deliver(person("1"), person("2"), key="first")
    _impatient(deliver.endpoint, hands.product)
    with deliver.endpoint.sink(PERSON) as sink:
        delivery = sink.begin(CLAIM, SCHEMA)
        delivery.stage(batch([person("1", 2), person("3")]))
        manifest = Deliverer.manifest(CLAIM, 2, previous="first")
        with hands.engine.connect() as other:
            other.execute(sa.text("UPDATE person SET name = 'theirs' WHERE id = '1'"))
            with pytest.raises(Unavailable, match=r"占用|锁住") as caught:
                delivery.commit(manifest)
            other.rollback()
        assert caught.value.retry
        assert sink.settled("key") is None
        assert hands.persons("id", "version") == [("1", 1), ("2", 1)]
        assert counts(delivery.commit(manifest)) == (2, 0, 0, 0, 0)
    assert hands.persons("id", "version") == [("1", 2), ("2", 1), ("3", 1)]


def waits_for_a_lock(hands: Hands) -> None:
    """Return as soon as a session waits for another's lock."""
    queries = {
        "postgresql": "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        "mariadb": "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
    }
    deadline = time.monotonic() + 20
    while not hands.rows(queries[hands.product]):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_deadlock_loses_nothing(deliver: Deliverer, hands: Hands) -> None:
    deliver(person("1"), person("2"), key="first")
    hands.run("CREATE TABLE weight (x integer)")
    with deliver.endpoint.sink(PERSON) as sink, hands.engine.connect() as other:
        delivery = sink.begin(CLAIM, SCHEMA)
        delivery.stage(batch([person("1", 2), person("2", 2)]))
        manifest = Deliverer.manifest(CLAIM, 2, previous="first")
        if hands.product == "postgresql":
            other.execute(sa.text("SET deadlock_timeout = '1min'"))  # so that it is ours that finds out
        else:
            # The one that has written less is given up.
            other.execute(sa.text("INSERT INTO weight VALUES " + ", ".join(["(1)"] * 2000)))
        other.execute(sa.text("UPDATE person SET name = 'theirs' WHERE id = '2'"))
        failed: list[AdapterError] = []

        def commit() -> None:
            try:
                delivery.commit(manifest)
            except AdapterError as error:
                failed.append(error)

        ours = threading.Thread(target=commit)
        ours.start()
        _wait_for_a_lock(hands)
        other.execute(sa.text("UPDATE person SET name = 'theirs' WHERE id = '1'"))
        other.commit()
        ours.join(30)
        [error] = failed
        assert isinstance(error, Unavailable)
        assert error.retry
        assert "互相等待" in error.message
        assert hands.persons("name", "version") == [("theirs", 1), ("theirs", 1)]
        assert counts(delivery.commit(manifest)) == (2, 0, 0, 0, 0)
    assert hands.persons("version") == [(2,), (2,)]


# Connections


def _wait_for_a_lock(hands: Hands) -> None:
    """Until somebody waits for a row that another has changed."""
    if hands.product != "postgresql":
        time.sleep(1.5)  # this one shows it to administrators only
        return
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    deadline = time.monotonic() + 30
    while not hands.rows(waiting):
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.02)


def _ours(hands: Hands) -> list[int]:
    if hands.product == "postgresql":
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'shutong' AND datname = current_database()"
    else:
        # The driver's own name for the program is not listed; the database is nobody else's.
        query = "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
    return [number for (number,) in hands.rows(query)]


def _cut(hands: Hands) -> None:
    for number in _ours(hands):
        if hands.product == "postgresql":
            hands.rows(f"SELECT pg_terminate_backend({number})")
        else:
            hands.run(f"KILL {number}")


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_connection_cut_while_reading(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (id integer PRIMARY KEY, x text)")
    with hands.engine.begin() as connection:
        rows = [{"id": number, "x": secrets.token_hex(1000)} for number in range(10_000)]
        connection.execute(sa.text("INSERT INTO t VALUES (:id, :x)"), rows)
    binding = Binding(object="t", columns={"id": "id", "x": "x"}, key=("id",))
    with endpoint.source(binding) as source:
        batches = source.batches(Selection(batch_rows=500))
        next(batches)
        _cut(hands)
        with pytest.raises(Unavailable) as caught:
            list(batches)
        assert caught.value.retry
        assert sum(each.num_rows for each in source.batches(Selection(batch_rows=5000))) == 10_000


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_connection_cut_while_staging_and_while_merging(deliver: Deliverer, hands: Hands) -> None:
    def at(word: str) -> Callable[..., None]:
        waiting = [word]

        def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if waiting and waiting[0] in statement:
                waiting.clear()
                _cut(hands)

        return before

    engine = deliver.endpoint._place.engine
    with deliver.endpoint.sink(PERSON) as sink:
        delivery = sink.begin(CLAIM, SCHEMA)
        delivery.stage(batch([person("1")]))
        sa.event.listen(
            engine, "before_cursor_execute", at("pg_attribute" if hands.product == "postgresql" else "INSERT INTO")
        )
        with pytest.raises(Unavailable) as caught:
            delivery.stage(batch([person("2"), person("3")]))
        assert caught.value.retry
        delivery.stage(batch([person("2"), person("3")]))
        for word in ("INSERT INTO shutong_ledger", "shutong_verdict"):
            sa.event.listen(engine, "before_cursor_execute", at(word))
            with pytest.raises(Unavailable):
                delivery.commit(Deliverer.manifest(CLAIM, 3))
            assert sink.settled("key") is None
            assert hands.persons() == []
        assert counts(delivery.commit(Deliverer.manifest(CLAIM, 3))) == (3, 0, 0, 0, 0)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_connection_cut_in_the_middle_of_a_copy(deliver: Deliverer, hands: Hands) -> None:
    """The server has taken the beginning of the rows and never gets their end."""
    address = hands.engine.url
    assert address.port is not None
    with CuttingProxy(address.port) as proxy:
        endpoint = DatabaseEndpoint(options_of(address.render_as_string(hide_password=False)) | {"port": proxy.port})
        with endpoint.sink(PERSON) as sink:
            delivery = sink.begin(CLAIM, SCHEMA)
            delivery.stage(batch([person("1")]))
            many = [person(str(number), photo=secrets.token_bytes(2000)) for number in range(2, 400)]
            proxy.cut(b"PGCOPY\n\xff\r\n\x00", "before")
            with pytest.raises(Unavailable) as caught:
                delivery.stage(batch(many))
            assert caught.value.retry
            assert proxy.cuts == 1
            delivery.stage(batch(many))
            assert counts(delivery.commit(Deliverer.manifest(CLAIM, 399))) == (399, 0, 0, 0, 0)
        # A first delivery's stage is the transaction that was cut: all of it is read again.
        other = replace(PERSON, object="person2")
        endpoint.install(other, SCHEMA)
        with endpoint.sink(other) as sink:
            claim = replace(CLAIM, key="first")
            first = sink.direct(claim, SCHEMA)
            assert first is not None
            first.stage(batch([person("1")]))
            proxy.cut(b"PGCOPY\n\xff\r\n\x00", "before")
            with pytest.raises((Unavailable, StageLost)):
                first.stage(batch(many))
            with pytest.raises(StageLost):
                first.commit(Deliverer.manifest(claim, 399))
            assert sink.settled("first") is None
            assert hands.rows("SELECT count(*) FROM person2") == [(0,)]


@pytest.fixture(scope="module", params=[PostgreSQLServer, MariaDBServer], ids=["postgresql", "mariadb"])
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that nobody else uses, to be stopped and starved."""
    with request.param() as server:
        yield server


def _stop(server: Server) -> None:
    assert server._process is not None
    server._process.send_signal(signal.SIGINT if server.product == "postgresql" else signal.SIGTERM)
    server._process.wait(30)


def test_a_server_restarted_between_stage_and_commit(own_server: Server) -> None:
    url = own_server.new_database()
    before = DatabaseEndpoint(options_of(url) | {"port": own_server.port})
    before.install(PERSON, SCHEMA)
    with before.sink(PERSON) as sink:
        delivery = sink.begin(CLAIM, SCHEMA)
        delivery.stage(batch([person("1"), person("2")]))
        _stop(own_server)
        with pytest.raises(Unavailable) as caught:
            delivery.commit(Deliverer.manifest(CLAIM, 2))
        assert caught.value.retry
    own_server._serve()
    after = DatabaseEndpoint(options_of(url) | {"port": own_server.port})
    with after.sink(PERSON) as sink:
        assert sink.settled("key") is None
        assert counts(sink.resume(CLAIM, SCHEMA).commit(Deliverer.manifest(CLAIM, 2))) == (2, 0, 0, 0, 0)


# Disks


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_full_disk_at_a_target_that_is_a_file(deliver: Deliverer, hands: Hands) -> None:
    deliver(person("1"), key="first")
    most = [hands.rows("PRAGMA page_count")[0][0] + 20]
    sa.event.listen(
        deliver.endpoint._place.engine,
        "connect",
        lambda connection, _record: connection.execute(f"PRAGMA max_page_count = {most[0]}").close(),
    )
    big = [person(str(number), 2, photo=secrets.token_bytes(10_000)) for number in range(20)]
    with deliver.endpoint.sink(PERSON) as sink:
        delivery = sink.begin(CLAIM, SCHEMA)
        with pytest.raises(Unavailable, match="磁盘已满") as caught:
            delivery.stage(batch(big))
        assert caught.value.retry
        most[0] = 100_000
        delivery.stage(batch(big))
        most[0] = hands.rows("PRAGMA page_count")[0][0]
        manifest = Deliverer.manifest(CLAIM, 20, previous="first")
        with pytest.raises(Unavailable, match="磁盘已满"):
            delivery.commit(manifest)
        assert hands.persons("id", "version") == [("1", 1)]
        assert sink.settled("key") is None
        most[0] = 100_000
        assert counts(delivery.commit(manifest)) == (20, 0, 0, 0, 0)


def test_a_full_disk_at_a_target_that_is_a_server(own_server: Server) -> None:
    """Its processes may write no file longer than so much: what they meet is what a full disk gives."""
    if own_server.product != "postgresql":
        return
    url = own_server.new_database()
    big = [person(str(number), 2, photo=secrets.token_bytes(1 << 20)) for number in range(20)]
    _stop(own_server)
    none, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (17 << 20, hard))  # the longest file it needs has sixteen
    try:
        own_server._serve()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (none, hard))
    starved = Deliverer(DatabaseEndpoint(options_of(url) | {"port": own_server.port}))
    starved.endpoint.install(PERSON, SCHEMA)
    starved(person("1"), key="first")
    with starved.endpoint.sink(PERSON) as sink:
        delivery = sink.begin(CLAIM, SCHEMA)
        with pytest.raises(Unavailable) as caught:
            delivery.stage(batch(big))
    assert caught.value.retry
    _stop(own_server)
    own_server._serve()
    with DatabaseEndpoint(options_of(url) | {"port": own_server.port}).sink(PERSON) as sink:
        delivery = sink.resume(CLAIM, SCHEMA)
        delivery.stage(batch(big))
        assert counts(delivery.commit(Deliverer.manifest(CLAIM, 20, previous="first"))) == (20, 0, 0, 0, 0)
