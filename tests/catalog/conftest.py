"""A directory on each database it may live in, and a department with data to register in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import Session

from catalog.directory import Catalog
from catalog.entries import Entry
from catalog.tables import Base
from tests.support.servers import Server

POLICE = "11321200TE00000291"
APPROVAL = "11321200TE00000104"
MARKET = "11321200TE0000037U"
CODE = "101001001/0001"

LI, WANG, ZHAO = "李经办", "王审核", "赵发布"


@pytest.fixture(scope="session")
def postgresql_engine(postgresql_server: Server) -> Iterator[Engine]:
    engine = create_engine(postgresql_server.new_database())
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog_session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """A session on an empty directory."""
    if request.param == "postgresql":
        engine: Engine = request.getfixturevalue("postgresql_engine")
        with engine.connect() as connection:
            outer = connection.begin()
            with Session(connection, join_transaction_mode="create_savepoint") as session:
                yield session
            outer.rollback()
        return
    engine = create_engine("sqlite://")
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON").close())
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


class Clock:
    """A clock that goes a second further every time it is read."""

    def __init__(self) -> None:
        # In China the next day has begun.
        self.now = datetime(2026, 3, 1, 17, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def catalog() -> Catalog:
    return Catalog(clock=Clock())


@pytest.fixture
def city(catalog: Catalog, catalog_session: Session) -> Session:
    """Three departments and an endpoint."""
    for code, name, short in (
        (POLICE, "泰州市公安局", "市公安局"),
        (APPROVAL, "泰州市行政审批局", "市审批局"),
        (MARKET, "泰州市市场监督管理局", "市市监局"),
    ):
        catalog.put_department(catalog_session, {"code": code, "name": name, "short_name": short, "division": "321200"})
    catalog.put_endpoint(
        catalog_session,
        {"name": "police-front", "department": POLICE, "kind": "database", "options": {"url": "env:POLICE_URL"}},
    )
    return catalog_session


def person(**changes: Any) -> dict[str, Any]:
    """What a clerk writes about a table of persons; ``None`` leaves a field out."""
    written: dict[str, Any] = {
        "code": CODE,
        "name": "户籍人口基本信息",
        "provider_code": POLICE,
        "abstract": "本市户籍人口的姓名、公民身份号码和出生日期",
        "formats": ["数据库/PostgreSQL"],
        "items": [
            {"name": "id_number", "label": "公民身份号码", "type": "C", "length": 18, "mandatory": True,
             "check": "identity_number", "grade": "sensitive"},
            {"name": "name", "label": "姓名", "type": "C", "length": 64, "mandatory": True, "grade": "personal"},
            {"name": "birth_date", "label": "出生日期", "type": "D", "grade": "personal"},
            {"name": "updated", "label": "更新时间", "type": "T", "mandatory": True},
        ],
        "share_type": 2,
        "share_condition": "用于行政审批中核对申请人身份",
        "share_ways": ["database"],
        "update_cycle": "daily",
        "key": ["id_number"],
        "version_item": "updated",
        "offer": {"endpoint": "police-front", "object": "person"},
    }  # fmt: skip
    return {name: value for name, value in (written | changes).items() if value is not None}


@pytest.fixture
def publish(catalog: Catalog, city: Session) -> Callable[..., Entry]:
    """Register a resource and bring it to publication, by three people."""

    def published(**changes: Any) -> Entry:
        code = catalog.register(city, person(**changes), LI).entry.code
        catalog.move(city, code, "submit_registration", LI)
        catalog.move(city, code, "agree_registration", WANG)
        catalog.move(city, code, "submit_publication", LI)
        return catalog.move(city, code, "agree_publication", ZHAO)

    return published
