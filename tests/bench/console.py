"""``shutong bench console``: what the pages people look at cost, on a hub that has been at work for years.

The data are made straight in the hub's tables, with the skew of a real city: a few exchanges run every hour, most once
a day or less; most of the log is of runs, some of registration, a little of what goes wrong. Nothing in it was ever
moved, and its seals are not real: :data:`QUERIES` asks what pages ask, and verification is no page.

``--scale 1`` is 100,000 resources, 10,000,000 events of the log and 1,000 exchanges on PostgreSQL; on SQLite it is a
tenth of that.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from catalog import Department, Resource
from catalog.search import weighed
from catalog.tables import Base as CatalogBase
from exchange.audit import Sealer
from exchange.audit.contexts import Facets
from exchange.audit.outcomes import outcome
from exchange.db.tables import Base as ExchangeBase
from exchange.db.tables import RunRow
from exchange.engine.tallying import ZONE, Tally
from exchange.hub import Hub, create_home, open_hub
from exchange.identity import Actor, current_actor
from exchange.plan import Plan
from exchange.receipts import receipt_body, seal_of
from exchange.settings import ActorEntry, Role, load_settings, write_default
from tests.bench import pages
from tests.bench.county import HUB, ITEMS, POLICE, employers
from tests.bench.report import Result, told
from tests.exchange.engine.town import _own_database
from tests.support.servers import PostgreSQLServer

RESOURCES, EVENTS, EXCHANGES = 100_000, 10_000_000, 1_000
PARTS = ("postgresql", "sqlite")
ROUNDS = 60
DEPARTMENTS = 120
CLASSES = ("natural_person", "legal_person", "licence", "investment_project", "service_item", "case")
AUDITOR = Actor(name="周审", established="account", department=HUB, roles=frozenset({Role.AUDIT}))
RARE = "罕见操作员"
"""Who did something only once, long ago."""
_TERMS = {
    "items": [each["name"] for each in ITEMS], "filter": None, "masks": {}, "target": None,
    "purpose": {"basis": "资源目录发布", "scene": "业务核验", "scope": "按授权共享"},
}  # fmt: skip
_TABLES = {**CatalogBase.metadata.tables, **ExchangeBase.metadata.tables}
_SLICE = 20_000
_SUBJECTS = (
    "人口",
    "企业",
    "车辆",
    "房产",
    "社保",
    "医保",
    "税务",
    "婚姻",
    "户籍",
    "学籍",
    "不动产",
    "环评",
    "招标",
    "信用",
)
_KINDS = ("基本信息", "登记信息", "变更信息", "许可信息", "处罚信息", "年报信息", "证照信息", "统计信息")
_PLACES = ("海陵", "高港", "姜堰", "靖江", "泰兴", "兴化", "医药高新区", "全市")


@dataclass(frozen=True)
class Size:
    """How much is made.

    Attributes:
        days: Over how long the log is spread.
    """

    resources: int = RESOURCES
    events: int = EVENTS
    exchanges: int = EXCHANGES
    days: int = 1095

    def scaled(self, scale: float) -> Size:
        """The same city with less in it."""
        resources, events = round(self.resources * scale), round(self.events * scale)
        return replace(self, resources=resources, events=events, exchanges=max(10, round(self.exchanges * scale)))


@dataclass(frozen=True)
class _Exchange:
    """An exchange with what its runs have in common: the plan, its digest, and all of a receipt that no run changes."""

    id: str
    resource: str
    record_class: str
    provider: str
    recipient: str
    way: str
    plan: dict[str, Any]
    digest: str
    receipt: dict[str, Any]

    @property
    def kind(self) -> str:
        """Whether it fills the library."""
        return str(self.plan["kind"])


class Builder:
    """Fills the tables of an empty hub.

    Args:
        url: Of the hub's migrated database.
        size: How much.
        key: Of the hub's receipts.
        seed: The same again makes the same.
    """

    def __init__(self, url: str, size: Size, *, key: bytes, seed: int = 7) -> None:
        self._key = key
        self.url = sa.make_url(url)
        self.size = size
        self.end = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        self._random = random.Random(seed)
        self._contexts: dict[Facets, list[Any]] = {}
        with _connected(self.url) as connection:
            tables = (_TABLES["event"], _TABLES["context"])
            self._before = [connection.scalar(sa.select(sa.func.max(each.c.id))) or 0 for each in tables]

    def build(self) -> float:
        """Make everything; how many seconds that took."""
        begun = time.perf_counter()
        for name, make in (
            ("departments", self._departments), ("resources", self._resources), ("exchanges", self._exchanges),
            ("log", self._log),
        ):  # fmt: skip
            started = time.perf_counter()
            make()
            told(f"{self.url.get_backend_name()}: {name} made in {time.perf_counter() - started:.1f} s")
        self._analyse()
        return time.perf_counter() - begun

    # --- what is made --------------------------------------------------------------------------

    def _departments(self) -> None:
        self.departments = [HUB, POLICE, *employers(DEPARTMENTS - 2)]
        rows = (
            {
                "code": code, "name": f"第{number}局", "short_name": f"{number}局", "division": "321200",
                "body": {"code": code, "name": f"第{number}局", "division": "321200"}, "changed_at": self.end,
            }
            for number, code in enumerate(self.departments)
            if code != HUB
        )  # fmt: skip
        self._fill("department", rows)

    def _resources(self) -> None:
        template = Resource.model_validate(
            {
                "code": "101001001/0001", "name": "模板", "provider_code": POLICE, "provider": "公安局",
                "classes": ["101001001"], "record_class": None, "abstract": "模板", "formats": ["数据库/PostgreSQL"],
                "items": ITEMS, "share_type": 2, "share_condition": "依法", "share_ways": ["database"],
                "update_cycle": "daily", "key": ["person_id"],
            }
        ).model_dump(mode="json")  # fmt: skip
        made = self._random
        self.resources: list[tuple[str, str, str]] = []
        weights = list(accumulate((50, 25, 12, 8, 4, 1)))
        owners = list(accumulate(1 / (1 + place) for place in range(DEPARTMENTS)))
        rows: dict[str, list[dict[str, Any]]] = {}
        tables = ("resource", "resource_version", "resource_class", "resource_way", "resource_history", "resource_term")

        def flush() -> None:
            for table in tables:
                self._fill(table, rows.pop(table, []))

        for number in range(1, self.size.resources + 1):
            code = f"101001{number // 10000 + 1:03d}/{number % 10000:04d}"
            kind = made.choices(CLASSES, cum_weights=weights)[0]
            provider = made.choices(self.departments, cum_weights=owners)[0]
            name = f"{made.choice(_PLACES)}{made.choice(_SUBJECTS)}{made.choice(_KINDS)}{number}"
            share, cycle = made.choice((1, 1, 2, 2, 2, 3)), made.choice(("daily", "weekly", "monthly", "yearly"))
            way = made.choices(("database", "webservice", "file"), cum_weights=(70, 90, 100))[0]
            body = {
                **template, "code": code, "name": name, "provider_code": provider, "provider": provider,
                "classes": [code[:9]], "record_class": kind, "share_type": share, "update_cycle": cycle,
                "share_ways": [way], "abstract": f"{name}，用于{made.choice(_SUBJECTS)}核验与共享",
            }  # fmt: skip
            words, pairs = weighed(Resource.model_construct(**_plainly(template, body)), ("第一局",))
            moment = self.end - timedelta(days=made.random() * self.size.days)
            self.resources.append((code, kind, provider))
            common = {"resource": code, "version": 1}
            rows.setdefault("resource", []).append(
                {
                    "code": code, "class_code": code[:9], "sequence": number % 10000, "provider": provider, "latest": 1,
                    "in_force": 1, "words": words, "created_at": moment,
                }
            )  # fmt: skip
            rows.setdefault("resource_version", []).append(
                {
                    **common, "state": "published", "name": name, "record_class": kind, "share_type": share,
                    "update_cycle": cycle, "body": body, "created_at": moment, "changed_at": moment,
                    "published_at": moment,
                }
            )  # fmt: skip
            rows.setdefault("resource_class", []).append({**common, "class_code": code[:9]})
            rows.setdefault("resource_way", []).append({**common, "way": way})
            rows.setdefault("resource_history", []).append(
                {
                    **common, "action": "add", "from_state": None, "to_state": "published", "part": "provider",
                    "actor": "经办", "department": provider, "opinion": "", "changes": [], "at": moment,
                }
            )  # fmt: skip
            rows.setdefault("resource_term", []).extend(
                {"term": term, "resource": code, "weight": weight} for term, weight in pairs.items()
            )
            if number % 2000 == 0:
                flush()
        flush()

    def _exchanges(self) -> None:
        made = self._random
        self.exchanges: list[_Exchange] = []
        for number, (code, kind, provider) in enumerate(made.sample(self.resources, self.size.exchanges)):
            recipient = HUB if number % 3 == 0 else made.choice(self.departments)
            way = made.choices(("database", "webservice", "file"), cum_weights=(75, 95, 100))[0]
            self.exchanges.append(_exchange(f"X{number:06d}", code, kind, provider, recipient, way))
        moment = self.end - timedelta(days=self.size.days)
        self._fill(
            "grant",
            (
                {
                    "id": f"G{each.id}", "kind": "sharing", "resource": each.resource, "resource_version": 1,
                    "department": each.recipient, "application": None, "state": "active", "version": 1,
                    "body": {**_TERMS, "way": each.way}, "valid_from": moment, "valid_until": None,
                    "quota_rows": None, "issued_at": moment,
                }
                for each in self.exchanges
            ),
        )  # fmt: skip
        self._fill(
            "exchange",
            (
                {
                    "id": each.id, "kind": each.kind,
                    "grant": f"G{each.id}", "resource": each.resource, "table": "t", "provider": each.provider,
                    "recipient": each.recipient, "source": each.plan["source"], "target": each.plan["target"],
                    "settings": {}, "state": "active", "position": None,
                    "shape": None, "last_delivery": None, "due_at": None, "tried_at": None, "created_at": moment,
                }
                for each in self.exchanges
            ),
        )  # fmt: skip

    def _log(self) -> None:
        """Events in the order of time, and the runs and tallies that they tell of."""
        self._about = {each.id: each for each in self.exchanges}
        self._tallies: dict[tuple[str, date, str], Tally] = {}
        events = self._numbered()
        runs: list[dict[str, Any]] = []
        receipts: list[dict[str, Any]] = []
        last: dict[str, str] = {}
        while batch := list(islice(events, _SLICE)):
            self._fill("event", [event for event, _ in batch])
            for _, run in batch:
                if run is not None:
                    runs.append(run)
                    last[run["exchange"]] = run["delivery"]
                    if run["state"] == "settled":
                        at, delivery = run["ended_at"], run["delivery"]
                        body = {
                            **self._about[run["exchange"]].receipt, "run": run["id"], "delivery": delivery,
                            "counts": run["counts"], "acknowledgement": {"at": at.isoformat(), "place": "t"},
                        }  # fmt: skip
                        receipts.append(
                            {
                                "id": f"R{run['id']}", "run": run["id"], "exchange": run["exchange"], "body": body,
                                "digest": seal_of(body, self._key), "issued_at": at,
                            }
                        )  # fmt: skip
            self._fill("run", runs)
            self._fill("receipt", receipts)
            runs.clear()
            receipts.clear()
        self._fill(
            "context",
            (
                {"id": number, "digest": each.digest(), "newest": newest, **vars(each)}
                for each, (number, newest) in self._contexts.items()
            ),
        )
        self._fill(
            "tally",
            (
                {"exchange": name, "day": day, "way": way, **vars(each)}
                for (name, day, way), each in self._tallies.items()
            ),
        )
        with _connected(self.url) as connection:
            table = _TABLES["exchange"]
            statement = sa.update(table).where(table.c.id == sa.bindparam("which"))
            rows = [{"which": name, "last_delivery": delivery} for name, delivery in last.items()]
            connection.execute(statement, rows)
            connection.commit()

    def _numbered(self) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Each event with its place, its context, and the run that ended with it."""
        places = self._happening()
        step = timedelta(days=self.size.days) / self.size.events
        moment = self.end - timedelta(days=self.size.days)
        for number, (event, run, about) in enumerate(islice(places, self.size.events), self._before[0] + 1):
            moment += step
            facets = Facets(
                type=event["type"], outcome=outcome(event["type"], event["body"]), actor=event["actor"],
                department=event["department"] or "", resource=event["resource"] or "",
                exchange=event["exchange"] or "", way=about[0], record_class=about[1],
            )  # fmt: skip
            known = self._contexts.setdefault(facets, [self._before[1] + len(self._contexts) + 1, moment])
            known[1] = moment
            if run is not None:
                self._count(run, moment)
            yield (
                {
                    **event, "id": number, "at": moment, "established": "system", "tag": f"{number:064x}",
                    "number": number, "seal": f"{number:064x}", "context": known[0],
                },
                run,
            )  # fmt: skip

    def _count(self, run: dict[str, Any], moment: datetime) -> None:
        took = run.pop("took")
        run["ended_at"], run["started_at"] = moment, moment - timedelta(milliseconds=took)
        key = (run["exchange"], moment.astimezone(ZONE).date(), run["plan"]["way"])
        stopped = run["state"] == "stopped"
        one = Tally(
            runs=1, delivered=int(not stopped), stopped=int(stopped), read=run["counts"]["read"],
            refused=run["counts"]["refused"], written=run["counts"].get("written", 0), milliseconds=took, slowest=took,
        )  # fmt: skip
        self._tallies[key] = self._tallies.get(key, Tally()) + one

    def _happening(self) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None, tuple[str, str]]]:
        """Events without time and number; the first exchanges run far more often than the last."""
        made = self._random
        often = list(accumulate(1 / (1 + place) ** 0.7 for place in range(len(self.exchanges))))
        registered = iter(self.resources)
        first = True
        number = 0
        while True:
            number += 1
            if first:
                first = False
                yield self._event("GrantSuspended", RARE, HUB, {"grant": "G1", "reason": "核查"}), None, ("", "")
            if made.random() < 0.08:
                code, kind, provider = next(registered, None) or made.choice(self.resources)
                for type_ in ("ResourceRegistered", "ResourceMoved", "ResourceMoved", "ResourceMoved"):
                    body = {"code": code, "version": 1, "name": "资源"}
                    yield self._event(type_, f"经办{provider[-4:]}", provider, body, resource=code), None, ("", kind)
            if made.random() < 0.1:
                yield self._event("LogRead", "周审", HUB, {"query": {"type": "AccessDenied"}}), None, ("", "")
            if made.random() < 0.02:
                body = {"action": "查看运行", "reasons": ["没有角色"]}
                whose = made.choice(self.departments)
                yield self._event("AccessDenied", f"经办{whose[-4:]}", whose, body), None, ("", "")
            yield from self._run(made.choices(self.exchanges, cum_weights=often)[0], number)

    def _run(
        self, each: _Exchange, number: int
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None, tuple[str, str]]]:
        made, name = self._random, f"r{number:014d}"
        read = made.randrange(10, 50_000)
        refused = made.randrange(0, 20) if made.random() < 0.2 else 0
        counts = {"read": read, "filtered": 0, "refused": refused}
        about = {"resource": each.resource, "exchange": each.id, "run": name}
        kinds: list[tuple[str, dict[str, Any]]] = [
            ("RunStarted", {"plan": each.digest, "delivery": f"d{name}"}),
            ("RunStaged", {"counts": counts}),
        ]
        stops = made.random() < 0.03
        if stops:
            kinds.append(("RunReddened", {"state": "stopped", "reason": "拒收过多"}))
        else:
            counts = {**counts, "unchanged": 0, "superseded": 0, "written": read - refused, "deleted": 0}
            kinds += [
                ("RunGated", {"grant": f"G{each.id}", "version": 1}),
                ("RunCommitted", {"counts": counts, "receipt": f"R{name}", "digest": "0" * 64}),
                ("NoticeIssued", {"department": each.recipient}),
                ("RunSettled", {}),
            ]
        run = {
            "id": name, "exchange": each.id, "delivery": f"d{name}", "state": "stopped" if stops else "settled",
            "plan": each.plan, "plan_digest": each.digest,
            "epoch": 1, "stage_epoch": 1, "manifest": None, "manifest_digest": None, "counts": counts, "after": None,
            "error": "拒收过多" if stops else None, "took": made.randrange(200, 90_000),
        }  # fmt: skip
        for type_, body in kinds:
            event = self._event(type_, "scheduler", each.recipient, body, **about)
            yield event, run if (type_, body) == kinds[-1] else None, (each.way, each.record_class)

    @staticmethod
    def _event(type_: str, actor: str, department: str, body: dict[str, Any], **about: str) -> dict[str, Any]:
        return {
            "type": type_, "actor": actor, "department": department, "resource": about.get("resource"),
            "exchange": about.get("exchange"), "run": about.get("run"), "body": body,
        }  # fmt: skip

    # --- how it is written ---------------------------------------------------------------------

    def _fill(self, name: str, rows: Any) -> None:
        given = list(rows)
        if not given:
            return
        columns = list(given[0])
        if self.url.get_backend_name() == "postgresql":
            self._copy(name, columns, given)
            return
        if getattr(self, "_file", None) is None:
            self._file = sa.create_engine(self.url, json_serializer=_json).connect()
            self._file.exec_driver_sql("PRAGMA journal_mode = WAL")
            self._file.exec_driver_sql("PRAGMA synchronous = OFF")
            self._file.commit()
        self._file.execute(sa.insert(_TABLES[name]), given)
        self._file.commit()

    def _copy(self, name: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        if getattr(self, "_line", None) is None:
            self._line = psycopg.connect(self.url.set(drivername="postgresql").render_as_string(hide_password=False))
            self._line.execute("SET session_replication_role = replica")
        quoted = ", ".join(f'"{column}"' for column in columns)
        with self._line.cursor() as cursor, cursor.copy(f'COPY "{name}" ({quoted}) FROM STDIN') as out:
            for row in rows:
                out.write_row([_json(value) if isinstance(value, dict | list) else value for value in row.values()])
        self._line.commit()

    def _analyse(self) -> None:
        """What the server does by itself at night: numbers go on after the last, and planners know the tables."""
        if self.url.get_backend_name() == "postgresql":
            self._line.execute("SELECT setval(pg_get_serial_sequence('event', 'id'), (SELECT max(id) FROM event))")
            self._line.execute("SELECT setval(pg_get_serial_sequence('context', 'id'), (SELECT max(id) FROM context))")
            self._line.commit()
            self._line.autocommit = True
            self._line.execute("VACUUM ANALYZE")
            self._line.close()
        else:
            self._file.close()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@contextmanager
def _connected(url: sa.URL) -> Iterator[sa.Connection]:
    driven = url.set(drivername="postgresql+psycopg") if url.get_backend_name() == "postgresql" else url
    engine = sa.create_engine(driven)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _exchange(name: str, resource: str, kind: str, provider: str, recipient: str, way: str) -> _Exchange:
    """An exchange with a plan and a receipt as the engine makes them."""
    delivered = [each["name"] for each in ITEMS]
    columns = {each: each for each in delivered}
    plan = Plan.model_validate(
        {
            "exchange": name, "kind": "synchronisation" if recipient == HUB else "sharing", "way": way,
            "record_class": kind, "resource": resource, "resource_version": 1, "grant": f"G{name}", "grant_version": 1,
            "purpose": _TERMS["purpose"], "provider": provider, "recipient": recipient, "items": ITEMS,
            "deliver": delivered, "key": ["person_id"], "version": "ver", "filter": None, "masks": {},
            "source": {"endpoint": "front", "object": "t", "columns": columns},
            "target": {"endpoint": "to", "object": "t", "columns": columns}, "full": False, "overwrite": False,
            "tolerance": {"share": 0.05}, "guarantee": "exactly once", "batch_rows": 65536,
            "digest_algorithm": "sha256", "remarks": [],
        }
    )  # fmt: skip
    receipt = receipt_body(
        plan, run="", delivery="", manifest="0" * 64, counts={}, report={}, content="0" * 64,
        acknowledged_at=datetime.now(UTC), place="t", head="",
    )  # fmt: skip
    return _Exchange(
        name, resource, kind, provider, recipient, way, plan.model_dump(mode="json"), receipt["plan"], receipt
    )


def _plainly(template: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """What is searched of a resource, without validating each of a hundred thousand."""
    items = _ITEMS.setdefault("items", Resource.model_validate(template).items)
    return {**body, "items": items, "provider_unit": ""}


_ITEMS: dict[str, Any] = {}

Query = Callable[[Hub, "Builder"], Any]


def _log_queries() -> dict[str, dict[str, Any]]:
    recent = datetime.now(UTC) - timedelta(days=30)
    old = datetime.now(UTC) - timedelta(days=700)
    return {
        "log, newest": {},
        "log, department": {"department": POLICE},
        "log, resource": {"resource": "?"},
        "log, exchange": {"exchange": "?"},
        "log, way": {"way": "file"},
        "log, class": {"record_class": "licence"},
        "log, rare class": {"record_class": "case"},
        "log, absent class": {"record_class": "none"},
        "log, outcome": {"outcome": "refused"},
        "log, type": {"type": "ResourceMoved"},
        "log, rare type": {"type": "GrantSuspended"},
        "log, absent type": {"type": "GrantRevoked"},
        "log, actor": {"actor": "周审"},
        "log, rare actor": {"actor": RARE},
        "log, period": {"since": recent},
        "log, old period": {"since": old, "until": old + timedelta(days=10)},
        "log, text in a period": {"text": "拒收过多", "since": recent},
        "log, absent text in a period": {"text": "从未出现", "since": recent},
        "log, department + way + period": {"department": POLICE, "way": "database", "since": recent},
        "log, class + outcome + way": {"record_class": "legal_person", "outcome": "refused", "way": "webservice"},
        "log, absent three": {"record_class": "natural_person", "outcome": "refused", "actor": "周审"},
        "log, three in an old period": {
            "way": "database", "outcome": "refused", "since": old, "until": old + timedelta(days=30),
        },
    }  # fmt: skip


def queries(builder: Builder) -> dict[str, Callable[[Hub], Any]]:
    """What pages ask of the hub, by name."""
    one = builder.exchanges[len(builder.exchanges) // 2]
    found: dict[str, Callable[[Hub], Any]] = {}
    for name, filters in _log_queries().items():
        given = {
            key: getattr(one, "id" if key == "exchange" else key) if value == "?" else value
            for key, value in filters.items()
        }
        found[name] = lambda hub, given=given: hub.audit.search(by=AUDITOR, limit=50, **given)
        if name in ("log, department", "log, type", "log, class + outcome + way"):
            found[f"{name}, tenth page"] = lambda hub, given=given: _deep(hub, given)
    found |= {
        "directory, no words": lambda hub: hub.directory.search(limit=50),
        "directory, common word": lambda hub: hub.directory.search("信息", limit=50),
        "directory, rare words": lambda hub: hub.directory.search("姜堰婚姻 处罚", limit=50),
        "directory, absent word": lambda hub: hub.directory.search("从未出现的资源", limit=50),
        "directory, word and facets": lambda hub: hub.directory.search(
            "登记信息", record_class="licence", way="file", limit=50
        ),
        "directory, facets": lambda hub: hub.directory.facets(record_class="licence"),
        "directory, facets of a word": lambda hub: hub.directory.facets("登记信息"),
        "dashboard": lambda hub: hub.figures.dashboard(by=AUDITOR),
        "dashboard, a year": lambda hub: hub.figures.dashboard(
            by=AUDITOR, since=datetime.now(ZONE).date() - timedelta(days=365)
        ),
        "exchanges": lambda hub: hub.oversight.status(),
        "freshness": lambda hub: hub.timetable.freshness(),
    }
    return found


def _deep(hub: Hub, given: Mapping[str, Any]) -> Any:
    """The tenth page, after the cursors of those before; only it counts, so it is asked for ten times."""
    cursor = None
    for _ in range(10):
        page = hub.audit.search(by=AUDITOR, limit=50, cursor=cursor, **given)
        cursor = page.cursor
    return page


def timed(hub: Hub, asked: Mapping[str, Callable[[Hub], Any]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds of each round of each query, the first of each left out."""
    found: dict[str, list[float]] = {}
    for name, ask in asked.items():
        ask(hub)
        found[name] = []
        for _ in range(rounds):
            begun = time.perf_counter()
            ask(hub)
            found[name].append(time.perf_counter() - begun)
        middle, worst = statistics.median(found[name]), percentile(found[name])
        told(f"{name}: median {middle * 1000:.1f} ms, p95 {worst * 1000:.1f} ms")
    return found


def percentile(seconds: Sequence[float], share: float = 0.95) -> float:
    """Within how long that share was answered."""
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))]


def made(home: Path, url: str, size: Size) -> Builder:
    """A hub in a folder, and its database filled."""
    home.mkdir(parents=True, exist_ok=True)
    integrator = ActorEntry(name="集成员", department=HUB, roles=frozenset({Role.INTEGRATOR, Role.SYSTEM}))
    settings = write_default(home, hub_department=HUB, actors={"integrator": integrator}, demo=True)
    settings.write_text(_own_database(home, url or None) + settings.read_text(encoding="utf-8"), encoding="utf-8")
    named = Department(code=HUB, name="行政审批局", division="321200")
    with closing(create_home(home, named, by=current_actor(load_settings(home), "integrator"))) as hub:
        hub.audit.seal()
        address, key = sa.make_url(hub.settings.database_url), hub.keyring.derive("receipt")
    builder = Builder(url or address.render_as_string(hide_password=False), size, key=key)
    builder.build()
    return builder


def results(only: Sequence[str], scale: float = 0.1) -> list[Result]:
    """Time every query on each product."""
    found: list[Result] = []
    wanted = [name for name in PARTS if not only or name in only]
    with tempfile.TemporaryDirectory(prefix="shutong-bench-") as folder:
        if "postgresql" in wanted:
            with PostgreSQLServer() as server:
                found += _measured(
                    "PostgreSQL", Path(folder) / "postgresql", server.new_database(), Size().scaled(scale)
                )
        if "sqlite" in wanted:
            found += _measured("SQLite", Path(folder) / "sqlite", "", Size().scaled(scale / 10))
    return found


def _measured(product: str, home: Path, url: str, size: Size) -> list[Result]:
    begun = time.perf_counter()
    builder = made(home, url, size)
    built = time.perf_counter() - begun
    amount = f"{size.events:,} events, {size.resources:,} resources, {size.exchanges:,} exchanges"
    found = [Result(name=f"{product}: made {amount}", seconds=round(built, 1))]
    # Whoever serves pages seals what they write.
    with closing(open_hub(home)) as hub, Sealer(hub.audit):
        for name, seconds in timed(hub, queries(builder), int(os.environ.get("BENCH_ROUNDS", ROUNDS))).items():
            found.append(Result(name=f"{product}: {name}: p95", seconds=round(percentile(seconds), 4)))
        with hub.database.reading() as session:
            one = builder.exchanges[0]
            of_it = sa.select(RunRow.id).where(RunRow.exchange == one.id, RunRow.state == "settled")
            run = session.scalar(of_it.order_by(RunRow.id).limit(1))
    return [*found, *pages.measured(home, product, pages.pages(one.resource, one.id, run or "", POLICE))]
