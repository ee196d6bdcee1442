"""A hub's database with a directory, on both products, and the people who act in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from catalog import Catalog, Entry
from exchange.audit import AuditLog
from exchange.authorisation import Application, Authorisation
from exchange.authorisation.application import parse
from exchange.db import HubDatabase
from exchange.db.tables import EventRow
from exchange.identity import Actor
from exchange.secrets import Keyring, create_keys
from exchange.settings import Role, Settings

CENTRE = "11321200TE00000104"
POLICE = "11321200TE00000291"
MARKET = "11321200TE0000037U"
DEPARTMENTS = {CENTRE: "行政审批局", POLICE: "公安局", MARKET: "市场监管局"}

OPEN = "101001001/0001"
CONDITIONAL = "101001001/0002"
WITHHELD = "307001001/0001"
LAW = "《某某法》第九条"

ITEMS: list[dict[str, Any]] = [
    {"name": "id_no", "label": "公民身份号码", "type": "C", "length": 18, "mandatory": True,
     "check": "identity_number", "grade": "sensitive"},
    {"name": "name", "label": "姓名", "type": "C", "length": 64, "grade": "personal"},
    {"name": "district", "label": "所在区", "type": "C", "length": 6},
    {"name": "marital", "label": "婚姻状况", "type": "C", "length": 2, "grade": "sensitive"},
    {"name": "income", "label": "月收入", "type": "Y", "length": 12, "grade": "personal", "share_type": 2},
    {"name": "note", "label": "侦查备注", "type": "M", "share_type": 3},
    {"name": "version", "label": "数据版本", "type": "I", "mandatory": True},
]  # fmt: skip


def resource(code: str = OPEN, **changes: Any) -> dict[str, Any]:
    """A resource as the police write it."""
    return {
        "classes": [code.partition("/")[0]],
        "name": f"人口信息{code[-4:]}",
        "code": code,
        "provider_code": POLICE,
        "abstract": "姓名、所在区等",
        "formats": ["数据库/SQLite"],
        "items": ITEMS,
        "share_type": 1,
        "legal_basis": LAW,
        "share_ways": ["database", "file"],
        "update_cycle": "daily",
        "key": ["id_no"],
        "version_item": "version",
        **changes,
    }


def application(**changes: Any) -> dict[str, Any]:
    """An application of the market regulator that the rules grant at once."""
    return {
        "resource": OPEN,
        "department": MARKET,
        "basis": "《电子商务法》第十条",
        "scene": "网店登记核对",
        "scope": "本市登记窗口",
        "way": "database",
        "items": ["name", "district"],
        "until": (date.today() + timedelta(days=100)).isoformat(),  # noqa: DTZ011
        **changes,
    }


def person(name: str, department: str, *roles: Role) -> Actor:
    return Actor(name=name, established="os-user", department=department, roles=frozenset(roles))


CLERK = person("市监经办", MARKET, Role.CLERK)
MARKET_REVIEWER = person("市监审核", MARKET, Role.REVIEWER)
POLICE_CLERK = person("公安经办", POLICE, Role.CLERK)
REVIEWER = person("公安审核", POLICE, Role.REVIEWER)
PUBLISHER = person("中心审核", CENTRE, Role.REVIEWER)
SECURITY = person("安全员", CENTRE, Role.SECURITY)
SYSTEM = person("系统员", CENTRE, Role.SYSTEM)


@dataclass
class City:
    """The hub's database with what stands in it."""

    database: HubDatabase
    audit: AuditLog
    catalog: Catalog
    authorisation: Authorisation

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def publish(self, given: dict[str, Any]) -> Entry:
        """Take a resource, or its next version, through the whole workflow."""
        with self.database.transaction() as session:
            self.catalog.register(session, given, POLICE_CLERK.name, POLICE)
            for action, actor in (
                ("submit_registration", POLICE_CLERK),
                ("agree_registration", REVIEWER),
                ("submit_publication", POLICE_CLERK),
                ("agree_publication", PUBLISHER),
            ):
                entry = self.catalog.move(session, given["code"], action, actor.name, actor.department, "同意")
        return entry

    def apply(self, by: Actor = CLERK, **changes: Any) -> str:
        """Apply, and return the id."""
        asked: Application = parse(application(**changes))
        with self.database.transaction() as session:
            return self.authorisation.apply(session, by, asked)

    def decide(self, name: str, by: Actor = REVIEWER, *, approved: bool = True, **more: Any) -> str | None:
        """Answer an application."""
        with self.database.transaction() as session:
            return self.authorisation.decide(session, by, name, approved=approved, **more)

    def granted(self, **changes: Any) -> str:
        """Id of a grant that the rules give at once."""
        with self.database.reading() as session:
            grant = self.authorisation.explain(session, self.apply(**changes)).grant
        assert grant is not None
        return grant

    def events(self, type: str) -> list[EventRow]:
        """The events of a type, oldest first."""
        with self.database.reading() as session:
            return list(session.scalars(select(EventRow).where(EventRow.type == type).order_by(EventRow.id)))

    def rows(self, table: Any) -> list[Any]:
        """All rows of a table."""
        with self.database.reading() as session:
            return list(session.scalars(select(table)))


@pytest.fixture(scope="session")
def city_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a city on SQLite, built once and copied for each test."""
    home = tmp_path_factory.mktemp("city")
    with closing(_opened(home, f"sqlite:///{home / 'hub.db'}")) as city:
        _build(city)
    return home


@pytest.fixture
def city(city_built: Path, tmp_path: Path) -> Iterator[City]:
    """A city with three resources: unconditional, conditional and withheld."""
    home = tmp_path / "home"
    shutil.copytree(city_built, home)
    with closing(_opened(home, f"sqlite:///{home / 'hub.db'}")) as city:
        yield city


@pytest.fixture(params=["sqlite", "postgresql"])
def city_on_each(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[City]:
    """The city on each product a hub runs on, in turn."""
    if request.param == "sqlite":
        yield request.getfixturevalue("city")
        return
    server = request.getfixturevalue("postgresql_server")
    url = server.new_database()
    with closing(_opened(tmp_path, url)) as city:
        _build(city)
        yield city
    server.drop_database(url)


def _opened(home: Path, url: str) -> City:
    settings = Settings(home=home, hub_department=CENTRE)
    create_keys(settings)
    database = HubDatabase(url)
    audit = AuditLog(database, Keyring(settings), settings)
    catalog = Catalog(code_pattern=settings.code_pattern)
    return City(database, audit, catalog, Authorisation(audit, settings, catalog))


def _build(city: City) -> None:
    city.database.migrate()
    with city.database.transaction() as session:
        for code, name in DEPARTMENTS.items():
            city.catalog.put_department(session, {"code": code, "name": name, "division": "321200"})
    for given in (
        resource(OPEN),
        resource(CONDITIONAL, share_type=2, share_condition="限本市窗口"),
        resource(WITHHELD, share_type=3, share_ways=[], items=[{**i, "share_type": None} for i in ITEMS]),
    ):
        city.publish(given)
