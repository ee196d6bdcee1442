"""A department's database of each product, its own people's hands, and a table of persons to move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from adapters.base import OPERATION, PUT, Acknowledgement, Binding, Claim, Manifest
from adapters.database import DatabaseEndpoint
from schemas import Item, arrow_schema
from tests.support.servers import Server

ITEMS = (
    Item(name="id", label="编号", type="C", length=20, mandatory=True),
    Item(name="name", label="姓名", type="C", length=50),
    Item(name="amount", label="金额", type="Y", length=12),
    Item(name="born", label="出生日期", type="D"),
    Item(name="seen", label="更新时间", type="T"),
    Item(name="valid", label="有效", type="L"),
    Item(name="photo", label="照片", type="G"),
    Item(name="score", label="评分", type="B"),
    Item(name="version", label="版本", type="I"),
)
SCHEMA = arrow_schema(ITEMS)
NAMES = tuple(item.name for item in ITEMS)
PERSON = Binding(object="person", columns={name: name for name in NAMES}, key=("id",), version="version")
WITHOUT_VERSION = replace(PERSON, version=None)


def options_of(url: str) -> dict[str, Any]:
    """The options of an endpoint at a URL of SQLAlchemy."""
    parts = sa.make_url(url)
    product = parts.get_backend_name()
    if product == "sqlite":
        return {"product": product, "path": parts.database}
    return {
        "product": product,
        "host": parts.host,
        "port": parts.port,
        "database": parts.database,
        "user": parts.username,
        "password": parts.password,
    }


class Hands:
    """The department's own people, at their database without us."""

    def __init__(self, url: str) -> None:
        self.product = sa.make_url(url).get_backend_name()
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)

    def run(self, *statements: str, **values: Any) -> None:
        """Run statements and commit."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement), values)

    def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """Ask."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(query), values)]

    def tables(self) -> set[str]:
        """Names of all tables."""
        return set(sa.inspect(self.engine).get_table_names())

    def persons(self, *columns: str) -> list[tuple[Any, ...]]:
        """The table of persons by id."""
        return self.rows(f"SELECT {', '.join(columns or ('id', 'name', 'version'))} FROM person ORDER BY id")


@pytest.fixture
def hands(database_url: str) -> Iterator[Hands]:
    made = Hands(database_url)
    yield made
    made.engine.dispose()


@pytest.fixture
def endpoint(database_url: str) -> DatabaseEndpoint:
    return DatabaseEndpoint(options_of(database_url))


@pytest.fixture
def installed(endpoint: DatabaseEndpoint) -> DatabaseEndpoint:
    endpoint.install(PERSON, SCHEMA)
    return endpoint


def person(
    id: str, version: int | None = 1, name: str | None = "张𠮷", operation: int = PUT, **other: Any
) -> dict[str, Any]:
    """A row; a deletion carries its key and version only."""
    row = {"id": id, "version": version, OPERATION: operation}
    if operation == PUT:
        row |= {
            "name": name,
            "amount": Decimal("12.50"),
            "born": date(1960, 2, 29),
            "seen": datetime(2024, 1, 1, 0, 0, 0, 123456, tzinfo=UTC),
            "valid": True,
            "photo": b"\x00\xff\n,\"'\\",
            "score": 0.1,
        }
    return row | other


def batch(rows: list[dict[str, Any]], schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    """Rows as they are staged."""
    return pa.RecordBatch.from_pylist(rows, schema=schema.append(pa.field(OPERATION, pa.int8(), nullable=False)))


@dataclass(frozen=True)
class Deliverer:
    """Delivers rows to a binding, one delivery after the other."""

    endpoint: DatabaseEndpoint
    binding: Binding = PERSON
    schema: pa.Schema = SCHEMA
    exchange: str = "exchange"

    def __call__(
        self,
        *rows: dict[str, Any],
        key: str = "key",
        epoch: int = 1,
        overwrite: bool = False,
        previous: str | None = None,
    ) -> Acknowledgement:
        claim = Claim(key=key, exchange=self.exchange, epoch=epoch)
        with self.endpoint.sink(self.binding) as sink:
            delivery = sink.begin(claim, self.schema)
            delivery.stage(batch(list(rows), self.schema))
            manifest = self.manifest(claim, len(rows), overwrite=overwrite, previous=previous)
            answer = delivery.commit(manifest)
            delivery.abort()
        return answer

    @staticmethod
    def manifest(claim: Claim, rows: int, **more: Any) -> Manifest:
        return Manifest(claim=claim, digest=f"digest-{claim.key}", rows=rows, head="7:abc", **more)


@pytest.fixture
def deliver(installed: DatabaseEndpoint) -> Deliverer:
    return Deliverer(installed)


def counts(answer: Acknowledgement) -> tuple[int, int, int, int, int]:
    """Written, deleted, unchanged, superseded, refused."""
    return (answer.written, answer.deleted, answer.unchanged, answer.superseded, len(answer.refused))


@pytest.fixture(scope="module")
def sides(
    postgresql_server: Server, mariadb_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """A database of each product at once, for a module's tests."""
    from tests.adapters.database.pairs import Side

    with ExitStack() as stack:
        made = {"sqlite": Side("sqlite", f"sqlite:///{tmp_path_factory.mktemp('pairs') / 'front.db'}")}
        made["sqlite"].run("CREATE TABLE empty_one (x)")
        for server in (postgresql_server, mariadb_server):
            url = server.new_database()
            stack.callback(server.drop_database, url)
            made[server.product] = Side(server.product, url)
        yield made
