"""A town of two departments and a hub, on one database product: what the engine's tests run through.

The police reports people in a front-end table with Jiangsu's state columns; the hub collects them in
its base library; the tax office is granted those of one district, with names masked.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from catalog import Department, EndpointSpec, Resource
from exchange.authorisation import Application
from exchange.checks import identity_number_check
from exchange.db.tables import EventRow, LeaseRow, OwedRow, QuarantineRow, ReceiptRow, RunRow
from exchange.engine import RunResult
from exchange.hub import Hub, create_home, open_hub
from exchange.hub.oversight import ExchangeStatus
from exchange.identity import Actor, current_actor
from exchange.settings import ActorEntry, Role, Settings, load_settings, write_default

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
HERE, AWAY = "321202", "321283"
"""The district that is granted, and another."""

PEOPLE = {
    "integrator": ActorEntry(name="集成员", department=HUB, roles=frozenset({Role.INTEGRATOR, Role.SYSTEM})),
    "auditor": ActorEntry(name="审计员", department=HUB, roles=frozenset({Role.AUDIT})),
    "security": ActorEntry(name="安全员", department=HUB, roles=frozenset({Role.SECURITY})),
    "centre": ActorEntry(name="中心审核员", department=HUB, roles=frozenset({Role.REVIEWER})),
    "police": ActorEntry(name="公安经办", department=POLICE, roles=frozenset({Role.CLERK})),
    "chief": ActorEntry(name="公安审核", department=POLICE, roles=frozenset({Role.REVIEWER})),
    "tax": ActorEntry(name="税务经办", department=TAX, roles=frozenset({Role.CLERK})),
}


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
        "district": district or (HERE if number % 3 else AWAY),
        "born": date(int(code[6:10]), int(code[10:12]), int(code[12:14])),
        "ver": version,
    }


def wrong(number: int, *, version: int = 1) -> dict[str, Any]:
    """A made-up person with a wrong check digit."""
    row = person(number, version=version)
    last = row["id_no"][-1]
    return {**row, "id_no": row["id_no"][:-1] + ("0" if last != "0" else "1")}


def endpoint_options(url: str, folder: Path) -> dict[str, Any]:
    """Options of a database endpoint for a SQLAlchemy address; the password goes into a file."""
    parsed = sa.make_url(url)
    product = parsed.get_backend_name()
    if product == "sqlite":
        return {"product": product, "path": parsed.database}
    secret = folder / f"{product}-{parsed.database}.password"
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


Observer = Callable[[str, dict[str, Any]], None]


def at(step: str, action: Callable[[], Any]) -> Observer:
    """Do something once, when the engine comes by a step."""
    waiting = [action]

    def observe(name: str, _figures: dict[str, Any]) -> None:
        if name == step and waiting:
            waiting.pop()()

    return observe


def counts(**given: int) -> dict[str, int]:
    """The books of a run, without what is nought."""
    names = ("read", "filtered", "refused", "unchanged", "superseded", "written", "deleted")
    return {**dict.fromkeys(names, 0), **given}


@dataclass
class Town:
    """The town, with direct hands on its three databases."""

    home: Path
    urls: Mapping[str, str]
    grant: str = ""
    capture: str = "outbox"
    """How the hub reads the police's table; only of an outbox do the rows know whether they were read."""
    reported: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the police last reported of each person, by identity number."""

    def __post_init__(self) -> None:
        self._idle: Hub | None = None
        self._opened_at: tuple[Any, ...] = ()
        self._settings: Settings | None = None
        self._read_at: tuple[Any, ...] = ()
        self.databases = {name: sa.create_engine(url) for name, url in self.urls.items()}
        batches = self.capture == "batches"
        self.front = sa.Table(
            "inf_person",
            sa.MetaData(),
            sa.Column("id_no", sa.String(18), primary_key=not batches),
            sa.Column("name", sa.String(64)),
            sa.Column("district", sa.String(6)),
            sa.Column("born", sa.Date),
            sa.Column("ver", sa.BigInteger),
            sa.Column("sync_sign", sa.String(1)),
            sa.Column("sync_date", sa.DateTime),
            sa.Column("update_date", sa.DateTime, index=True),
            sa.Column("sync_error_desc", sa.String(1000)),
            *([sa.Column(name, sa.String(40)) for name in ("cd_operation", "cd_time", "cd_batch")] if batches else []),
            mysql_charset="utf8mb4",
        )

    @property
    def share(self) -> str:
        """Id of the sharing exchange."""
        return f"share-{self.grant}"

    @contextmanager
    def hub(self) -> Iterator[Hub]:
        """The hub as whoever comes by turn finds it; opened anew where it may have changed, or somebody is at it."""
        hub, self._idle = self._idle, None
        if hub is not None and self._opened_at != self._state():
            hub.database.close()
            hub = None
        if hub is None:
            self._opened_at = self._state()
            hub = open_hub(self.home)
        try:
            yield hub
        except BaseException:
            hub.close()
            raise
        hub.audit.seal()
        if self._idle is None:
            self._idle = hub
        else:
            hub.database.close()

    def _state(self) -> tuple[Any, ...]:
        """What a hub that stays open would not notice."""
        files = [(self.home / name).stat() for name in ("shutong.toml", "hub.db") if (self.home / name).exists()]
        given = {name: value for name, value in os.environ.items() if name.startswith("SHUTONG_")}
        return files[0].st_mtime_ns, files[0].st_size, *(each.st_ino for each in files), given

    def actor(self, name: str) -> Actor:
        """One of the town's people, by the user name he works under."""
        if self._settings is None or self._read_at != self._state():
            self._read_at = self._state()
            self._settings = load_settings(self.home)
        return current_actor(self._settings, name)

    def let_go(self) -> None:
        """Open the hub anew the next time."""
        hub, self._idle = self._idle, None
        if hub is not None:
            hub.database.close()

    def close(self) -> None:
        """Let go of the databases."""
        self.let_go()
        for database in self.databases.values():
            database.dispose()

    # --- the police's side ---------------------------------------------------------------------

    def report(self, *rows: Mapping[str, Any]) -> None:
        """Write rows into the front-end table as its department does: replaced, and marked unread."""
        now = datetime.now(ZoneInfo("Asia/Shanghai")).replace(tzinfo=None)
        with self.databases["police"].begin() as connection:
            for row in rows:
                marks: dict[str, Any] = {"sync_sign": "0", "update_date": now}
                if self.capture == "batches":
                    marks = {"cd_operation": "I", "cd_time": now.isoformat(" "), "cd_batch": now.isoformat()}
                else:
                    connection.execute(sa.delete(self.front).where(self.front.c.id_no == row["id_no"]))
                connection.execute(sa.insert(self.front), {**row, **marks})
                self.reported[row["id_no"]] = dict(row)

    def remove(self, *numbers: int) -> None:
        """Take people out of the front-end table, as if they had never been reported."""
        with self.databases["police"].begin() as connection:
            for number in numbers:
                connection.execute(sa.delete(self.front).where(self.front.c.id_no == identity_number(number)))
                del self.reported[identity_number(number)]

    def flags(self) -> dict[str, str | None]:
        """State of each row of the front-end table."""
        return {name: state for name, (state, _) in self.told().items()}

    def told(self) -> dict[str, tuple[str | None, str | None]]:
        """State and error text of each row of the front-end table."""
        columns = self.front.c
        with self.databases["police"].connect() as connection:
            rows = connection.execute(sa.select(columns.id_no, columns.sync_sign, columns.sync_error_desc))
            return {row[0]: (row[1], row[2]) for row in rows}

    # --- what should lie where -----------------------------------------------------------------

    def good(self) -> dict[str, dict[str, Any]]:
        """What the library should hold: everything reported whose identity number is right."""
        rows = self.reported.values()
        return {
            row["id_no"]: {**row, "born": str(row["born"])}
            for row in rows
            if identity_number_check(row["id_no"][:17]) == row["id_no"][17]
        }

    def granted(self) -> dict[str, dict[str, Any]]:
        """What the tax office may hold: one district, names masked."""
        return {
            name: {**row, "name": row["name"][:1] + "*" * (len(row["name"]) - 1)}
            for name, row in self.good().items()
            if row["district"] == HERE
        }

    # --- what lies where -----------------------------------------------------------------------

    def rows(self, place: str) -> dict[str, dict[str, Any]]:
        """What a place holds now, by identity number."""
        table = "person" if place == "tax" else "r_101001001_0001"
        query = sa.select(*(sa.column(name) for name in COLUMNS)).select_from(sa.table(table))
        found = [dict(zip(COLUMNS, row, strict=True)) for row in self.query(place, query)]
        assert len({row["id_no"] for row in found}) == len(found), "a row twice"
        return {row["id_no"]: {**row, "born": str(row["born"])[:10]} for row in found}

    def query(self, place: str, query: sa.Select[Any] | str) -> Sequence[sa.Row[Any]]:
        """Rows of a query at a place."""
        with self.databases[place].connect() as connection:
            return connection.execute(sa.text(query) if isinstance(query, str) else query).all()

    def execute(self, place: str, statement: str) -> None:
        """Change something at a place, behind everybody's back."""
        with self.databases[place].begin() as connection:
            connection.execute(sa.text(statement))

    def stages(self, place: str) -> list[str]:
        """Stages left behind at a place."""
        return [n for n in sa.inspect(self.databases[place]).get_table_names() if n.startswith("shutong_stage")]

    def ledger(self, exchange: str) -> list[str]:
        """Delivery keys that were committed at the exchange's target."""
        place = "library" if exchange == SYNC else "tax"
        rows = self.query(place, "SELECT delivery_key, exchange FROM shutong_ledger")
        return sorted(key for key, owner in rows if owner == exchange)

    @contextmanager
    def away(self, place: str) -> Iterator[None]:
        """A side that is a file and cannot be reached for a while."""
        path = Path(sa.make_url(self.urls[place]).database or "")
        self.databases[place].dispose()
        hidden = path.with_name(f"{path.name}.away")
        path.rename(hidden)
        try:
            yield
        finally:
            hidden.rename(path)

    # --- what the hub knows --------------------------------------------------------------------

    def all(self, query: sa.Select[Any]) -> list[Any]:
        """First column of a query of the hub's database."""
        with self.hub() as hub, hub.database.reading() as session:
            return list(session.scalars(query))

    def status(self) -> list[ExchangeStatus]:
        """How every exchange stands."""
        with self.hub() as hub:
            return hub.oversight.status()

    def runs(self, exchange: str) -> list[RunRow]:
        """Runs of an exchange, oldest first."""
        query = sa.select(RunRow).where(RunRow.exchange == exchange)
        return self.all(query.order_by(RunRow.started_at, RunRow.id))

    def receipts(self, exchange: str) -> list[ReceiptRow]:
        """Receipts of an exchange, oldest first."""
        return self.all(sa.select(ReceiptRow).where(ReceiptRow.exchange == exchange).order_by(ReceiptRow.issued_at))

    def events(self, run: str) -> list[str]:
        """What the log says of a run, oldest first."""
        return self.all(sa.select(EventRow.type).where(EventRow.run == run).order_by(EventRow.id))

    def owed(self) -> list[str]:
        """What is still owed after any run."""
        return self.all(sa.select(OwedRow.kind).where(OwedRow.done_at.is_(None)))

    def epoch(self, exchange: str) -> int:
        """Epoch of the exchange's lease."""
        return self.all(sa.select(LeaseRow.epoch).where(LeaseRow.exchange == exchange))[0]  # type: ignore[no-any-return]

    def quarantined(self, exchange: str) -> list[QuarantineRow]:
        """Refused rows of an exchange."""
        return self.all(sa.select(QuarantineRow).where(QuarantineRow.exchange == exchange).order_by(QuarantineRow.id))

    def change(self, action: str, reason: str = "测试") -> None:
        """Suspend, resume or revoke the grant."""
        with self.hub() as hub:
            hub.sharing.change(self.grant, action, reason=reason, by=self.actor("chief"))

    def faults(self) -> list[str]:
        """Everything that is wrong with the log."""
        with self.hub() as hub:
            verification = hub.oversight.verify(by=self.actor("auditor"))
            return [str(fault) for fault in verification.faults]

    # --- running -------------------------------------------------------------------------------

    def hold_leases_for(self, seconds: float) -> None:
        """From now on a dead worker keeps its lease for so long."""
        file = self.home / "shutong.toml"
        file.write_text(re.sub(r"(?m)^lease_seconds = .*$", f"lease_seconds = {seconds}", file.read_text()))

    def run(self, exchange: str, **options: Any) -> RunResult:
        """Run an exchange in this process."""
        with self.hub() as hub:
            return hub.oversight.run(exchange, by=self.actor("integrator"), **options)

    def run_both(self) -> tuple[RunResult, RunResult]:
        """Collect, then share."""
        return self.run(SYNC), self.run(self.share)


def build(
    home: Path,
    urls: Mapping[str, str],
    *,
    lease_seconds: float = 30.0,
    hub_url: str | None = None,
    capture: str = "outbox",
    served: str = "library",
    **changes: Any,
) -> Town:
    """Set the town up: everything registered, approved, granted and prepared; nothing has moved.

    Args:
        home: Where the hub lives.
        urls: Addresses of the databases ``police``, ``library`` and ``tax``.
        lease_seconds: How long a dead worker keeps its lease.
        hub_url: Address of the hub's own database, if it is not to be a file.
        capture: How the hub reads the police's table.
        served: Where the grant is served from.
        changes: To the application.
    """
    file = write_default(home, hub_department=HUB, actors=PEOPLE, demo=True)
    settings = file.read_text()
    for name, value in (
        ("lease_seconds = 30.0", lease_seconds),
        ("batch_rows = 65536", 2),
        ("tolerance_share = 0.05", 0.5),
    ):
        assert f"# {name}" in settings
        settings = settings.replace(f"# {name}", f"{name.partition(' ')[0]} = {value}")
    file.write_text(_own_database(home, hub_url) + settings)
    town = Town(home, urls, capture=capture)
    create_home(home, Department(code=HUB, name="行政审批局", division="321200"), by=town.actor("integrator")).close()
    with town.hub() as hub:
        for code, name in ((POLICE, "公安局"), (TAX, "税务局")):
            department = Department(code=code, name=name, division="321200")
            hub.registration.put_department(department, by=town.actor("integrator"))
        _put_endpoints(town, hub)
        with town.databases["police"].begin() as connection:
            town.front.create(connection)
            if capture == "batches":
                columns = ("id_no", "name", "cd_operation", "cd_time", "cd_batch", "error_remark")
                returned = (sa.Column(name, sa.String(512)) for name in columns)
                sa.Table("dn_inf_person_error", sa.MetaData(), *returned, mysql_charset="utf8mb4").create(connection)
        publish(town, hub, resource(**offered(capture, served)))
        town.grant = grant(town, hub, **changes)
        prepare(town, hub)
    return town


def _own_database(home: Path, url: str | None) -> str:
    """Settings of a hub whose own database lies on a server."""
    if url is None:
        return ""
    parsed = sa.make_url(url)
    password = home / "hub.password"
    password.write_text(parsed.password or "")
    password.chmod(0o600)
    address = f"{parsed.get_backend_name()}://{parsed.username}@{parsed.host}:{parsed.port}/{parsed.database}"
    return f'database_url = "{address}"\ndatabase_password = "file:hub.password"\n'


def clone(town: Town, folder: Path) -> Town:
    """A copy of a town whose databases are files."""
    home = folder / "home"
    shutil.copytree(town.home, home)
    urls = {}
    for name, url in town.urls.items():
        urls[name] = f"sqlite:///{folder / name}.db"
        copy_file(url, urls[name])
    other = Town(home, urls, town.grant, town.capture, {name: dict(row) for name, row in town.reported.items()})
    with other.hub() as hub:
        _put_endpoints(other, hub)
    return other


def copy_file(url: str, to: str) -> None:
    """Copy a database that is a file, with what is not written back into it yet."""
    old, new = (sqlite3.connect(sa.make_url(each).database or "") for each in (url, to))
    with closing(old), closing(new):
        old.backup(new)


def _put_endpoints(town: Town, hub: Hub) -> None:
    for name, department in (("police", POLICE), ("tax", TAX), ("library", HUB)):
        options = endpoint_options(town.urls[name], town.home)
        spec = EndpointSpec(name=name, department=department, kind="database", options=options)
        hub.registration.put_endpoint(spec, by=town.actor("integrator"))


def publish(town: Town, hub: Hub, written: Mapping[str, Any]) -> None:
    """Take a resource, or its next version, through registration and both approvals."""
    hub.registration.register(Resource.model_validate(written), by=town.actor("police"))
    for action, who in (
        ("submit_registration", "police"), ("agree_registration", "chief"),
        ("submit_publication", "police"), ("agree_publication", "centre"),
    ):  # fmt: skip
        hub.registration.move(written["code"], action, by=town.actor(who))


def grant(town: Town, hub: Hub, **changes: Any) -> str:
    """Apply for the resource and be granted it."""
    name = hub.sharing.apply(Application.model_validate(application(**changes)), by=town.actor("tax"))
    granted = hub.sharing.decide(name, approved=True, reasons=["依法履职所需"], by=town.actor("chief"))
    assert granted is not None
    return granted


def prepare(town: Town, hub: Hub) -> None:
    """Do what the recipient's administrator does before the first delivery."""
    script = hub.sharing.prepare(town.share)
    with town.databases["tax"].begin() as connection:
        for statement in filter(str.strip, script.split(";\n")):
            connection.exec_driver_sql(statement.strip().rstrip(";"))
    assert hub.sharing.check(town.share) == []


def resource(**changes: Any) -> dict[str, Any]:
    """The police's resource as a clerk writes it."""
    written: dict[str, Any] = {
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
    plain: dict[str, Any] = json.loads(json.dumps(written))
    return plain


def offered(capture: str, served: str = "library", **options: Any) -> dict[str, Any]:
    """What a clerk writes of a resource that is read in this way."""
    offer: dict[str, Any] = {
        "endpoint": "police",
        "object": "inf_person",
        "columns": {name: name for name in COLUMNS},
        "capture": capture,
    }
    if capture == "watermark":
        offer["options"] = {"watermark": "update_date", "overlap": 1, **options}
    families = {"outbox": "jiangsu", "batches": "national"}
    if capture in families:
        offer["profile"] = families[capture]
    if served != "library":
        offer["served"] = served
    return {"offer": offer, "version_item": None if capture == "diff" else "ver"}


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
        "filter": {"item": "district", "is": HERE},
        "masks": {"id_no": clear, "name": {"mask": "name"}, "born": clear},
        "until": (date.today() + timedelta(days=300)).isoformat(),  # noqa: DTZ011
        "target": {"endpoint": "tax", "object": "person", "columns": {name: name for name in COLUMNS}},
        **changes,
    }
