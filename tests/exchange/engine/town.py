"""A town of two departments and a hub, on one database product: what the engine's tests run through.

The police reports people in a front-end table with Jiangsu's state columns; the hub collects them in
its base library; the tax office is granted those of one district, with names masked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from catalog import Department, EndpointSpec, Resource
from exchange.authorisation import Application
from exchange.checks import identity_number_check
from exchange.engine import RunResult
from exchange.hub import Hub, create_home, open_hub
from exchange.identity import Actor, current_actor
from exchange.settings import ActorEntry, load_settings, write_default

HUB = "11321200TE00000104"
POLICE = "11321200TE00000291"
TAX = "11321200TE0000037U"
CODE = "101001001/0001"
SYNC = "sync-101001001-0001"
ITEMS = (
    {"name": "id_no", "label": "公民身份号码", "type": "C", "length": 18, "mandatory": True,
     "check": "identity_number", "grade": "personal"},
    {"name": "name", "label": "姓名", "type": "C", "length": 64, "mandatory": True, "grade": "personal"},
    {"name": "district", "label": "所在区", "type": "C", "length": 6, "mandatory": True},
    {"name": "born", "label": "出生日期", "type": "D", "grade": "personal"},
    {"name": "ver", "label": "数据版本", "type": "I", "mandatory": True},
)  # fmt: skip
COLUMNS = ("id_no", "name", "district", "born", "ver")


def identity_number(number: int) -> str:
    """The identity number of the nth made-up person, born in the 1800s as in the standard's own sample."""
    born = date(1850, 1, 1) + timedelta(days=number % 15000)
    first = f"321202{born:%Y%m%d}{number % 1000:03d}"
    return first + identity_number_check(first)


def person(number: int, *, version: int = 1, district: str | None = None, name: str | None = None) -> dict[str, Any]:
    """A made-up person as the police report him."""
    code = identity_number(number)
    return {
        "id_no": code,
        "name": name or f"测{'𠮷' if number % 7 == 0 else '试'}{number}",
        "district": district or ("321202" if number % 3 else "321283"),
        "born": date(int(code[6:10]), int(code[10:12]), int(code[12:14])),
        "ver": version,
    }


def endpoint_options(url: str, folder: Path) -> dict[str, Any]:
    """Options of a database endpoint for a SQLAlchemy address; the password goes into a file."""
    parsed = sa.make_url(url)
    product = parsed.get_backend_name()
    if product == "sqlite":
        return {"product": product, "path": parsed.database}
    secret = folder / f"{parsed.database}.password"
    secret.write_text(parsed.password or "")
    secret.chmod(0o600)
    return {
        "product": product,
        "host": parsed.host,
        "port": parsed.port,
        "database": parsed.database,
        "user": parsed.username,
        "password": f"file:{secret}",
    }


@dataclass
class Town:
    """The town, with direct hands on its three databases."""

    home: Path
    urls: Mapping[str, str]
    grant: str = ""

    def __post_init__(self) -> None:
        self.databases = {name: sa.create_engine(url) for name, url in self.urls.items()}
        self.front = sa.Table(
            "inf_person",
            sa.MetaData(),
            sa.Column("id_no", sa.String(18), primary_key=True),
            sa.Column("name", sa.String(64)),
            sa.Column("district", sa.String(6)),
            sa.Column("born", sa.Date),
            sa.Column("ver", sa.BigInteger),
            sa.Column("sync_sign", sa.String(1)),
            sa.Column("sync_date", sa.DateTime),
            sa.Column("update_date", sa.DateTime),
            sa.Column("sync_error_desc", sa.String(1000)),
            mysql_charset="utf8mb4",
        )

    @property
    def share(self) -> str:
        """Id of the sharing exchange."""
        return f"share-{self.grant}"

    def hub(self) -> Hub:
        """The hub, opened anew."""
        return open_hub(self.home)

    def actor(self, name: str) -> Actor:
        """One of the town's people, by the user name he works under."""
        return current_actor(load_settings(self.home), name)

    def close(self) -> None:
        """Let go of the databases."""
        for database in self.databases.values():
            database.dispose()

    # --- the police's side ---------------------------------------------------------------------

    def report(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows into the front-end table as its department does: replaced, and marked unread."""
        with self.databases["police"].begin() as connection:
            for row in rows:
                connection.execute(sa.delete(self.front).where(self.front.c.id_no == row["id_no"]))
                connection.execute(sa.insert(self.front), {**row, "sync_sign": "0"})

    def flags(self) -> dict[str, str | None]:
        """State of each row of the front-end table."""
        with self.databases["police"].connect() as connection:
            return dict(connection.execute(sa.select(self.front.c.id_no, self.front.c.sync_sign)).all())

    # --- what lies where -----------------------------------------------------------------------

    def rows(self, place: str) -> dict[str, dict[str, Any]]:
        """What a place holds now, by identity number."""
        table = "person" if place == "tax" else "r_101001001_0001"
        with self.databases[place].connect() as connection:
            query = sa.select(*(sa.column(name) for name in COLUMNS)).select_from(sa.table(table))
            found = [dict(row._mapping) for row in connection.execute(query)]
        assert len({row["id_no"] for row in found}) == len(found)
        return {row["id_no"]: {**row, "born": str(row["born"])[:10]} for row in found}

    def count(self, place: str, table: str) -> int:
        """Rows of a table at a place."""
        with self.databases[place].connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(sa.table(table))) or 0

    def stages(self, place: str) -> list[str]:
        """Stages left behind at a place."""
        return [n for n in sa.inspect(self.databases[place]).get_table_names() if n.startswith("shutong_stage")]

    # --- running -------------------------------------------------------------------------------

    def run(self, exchange: str, **options: Any) -> RunResult:
        """Run an exchange in this process."""
        hub = self.hub()
        try:
            return hub.oversight.run(exchange, by=self.actor("integrator"), **options)
        finally:
            hub.close()

    def worker(self, exchange: str, point: str, occurrence: int = 1) -> list[str]:
        """Command line of a worker process that kills itself at a point of the run."""
        return [sys.executable, "-m", "tests.exchange.engine.worker", str(self.home), exchange, point, str(occurrence)]


def granted(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the tax office may hold of these people: one district, names masked."""
    return {
        row["id_no"]: {**row, "name": row["name"][:1] + "*" * (len(row["name"]) - 1), "born": str(row["born"])}
        for row in rows
        if row["district"] == "321202"
    }


def build(home: Path, urls: Mapping[str, str], *, lease_seconds: float = 1.0) -> Town:
    """Set the town up: everything registered, approved, granted and prepared; nothing has moved.

    Args:
        home: Where the hub lives.
        urls: Addresses of the databases ``police``, ``library`` and ``tax``.
        lease_seconds: How long a dead worker keeps its lease.
    """
    people = {
        "integrator": ActorEntry(name="集成员", department=HUB, roles={"integrator", "system"}),
        "auditor": ActorEntry(name="审计员", department=HUB, roles={"audit"}),
        "centre": ActorEntry(name="中心审核员", department=HUB, roles={"reviewer"}),
        "police": ActorEntry(name="公安经办", department=POLICE, roles={"clerk"}),
        "chief": ActorEntry(name="公安审核", department=POLICE, roles={"reviewer"}),
        "tax": ActorEntry(name="税务经办", department=TAX, roles={"clerk"}),
    }
    file = write_default(home, hub_department=HUB, actors=people, demo=True)
    file.write_text(file.read_text().replace("# lease_seconds = 30.0", f"lease_seconds = {lease_seconds}"))
    town = Town(home, urls)
    integrator = town.actor("integrator")
    hub = create_home(home, Department(code=HUB, name="行政审批局", division="321200"), by=integrator)
    register = hub.registration
    for code, name in ((POLICE, "公安局"), (TAX, "税务局")):
        register.put_department(Department(code=code, name=name, division="321200"), by=integrator)
    for name, department in (("police", POLICE), ("tax", TAX), ("library", HUB)):
        spec = EndpointSpec(
            name=name, department=department, kind="database", options=endpoint_options(urls[name], home)
        )
        register.put_endpoint(spec, by=integrator)
    with town.databases["police"].begin() as connection:
        town.front.create(connection)
    register.register(Resource.model_validate(resource()), by=town.actor("police"))
    for action, who in (
        ("submit_registration", "police"), ("agree_registration", "chief"),
        ("submit_publication", "police"), ("agree_publication", "centre"),
    ):  # fmt: skip
        register.move(CODE, action, by=town.actor(who))
    name = hub.sharing.apply(Application.model_validate(application()), by=town.actor("tax"))
    grant = hub.sharing.decide(name, approved=True, reasons=["依法履职所需"], by=town.actor("chief"))
    assert grant is not None
    town.grant = grant
    script = hub.sharing.prepare(town.share)
    with town.databases["tax"].begin() as connection:
        for statement in filter(str.strip, script.split(";\n")):
            connection.exec_driver_sql(statement.strip().rstrip(";"))
    assert hub.sharing.check(town.share) == []
    hub.close()
    return town


def resource(**changes: Any) -> dict[str, Any]:
    """The police's resource as a clerk writes it."""
    return json.loads(
        json.dumps(
            {
                "classes": ["101001001"],
                "name": "人口基本信息",
                "code": CODE,
                "provider_code": POLICE,
                "abstract": "姓名、公民身份号码、所在区、出生日期",
                "formats": ["数据库/MySQL"],
                "items": ITEMS,
                "share_type": 2,
                "share_condition": "依法履职需要，限本区数据",
                "share_ways": ["database"],
                "update_cycle": "daily",
                "key": ["id_no"],
                "version_item": "ver",
                "offer": {
                    "endpoint": "police",
                    "object": "inf_person",
                    "columns": {name: name for name in COLUMNS},
                    "capture": "outbox",
                    "profile": "jiangsu",
                },
                **changes,
            }
        )
    )


def application(**changes: Any) -> dict[str, Any]:
    """The tax office's application."""
    clear = {"mask": "clear", "justification": "按公民身份号码办理涉税事项"}
    return {
        "resource": CODE,
        "department": TAX,
        "basis": "《税收征收管理法》",
        "scene": "个人所得税核验",
        "scope": "本区纳税人",
        "way": "database",
        "items": list(COLUMNS),
        "filter": {"item": "district", "is": "321202"},
        "masks": {"id_no": clear, "name": {"mask": "name"}, "born": clear},
        "until": (date.today() + timedelta(days=300)).isoformat(),  # noqa: DTZ011
        "target": {"endpoint": "tax", "object": "person", "columns": {name: name for name in COLUMNS}},
        **changes,
    }
