"""A town in which everything goes by SOAP, in four ways, and whoever has a part in one of them dies.

=========== ============================================ =================
way         what happens                                 who may die
=========== ============================================ =================
``collect`` the hub reads the police's own service       worker, service
``deliver`` the hub pushes to the tax office's own       worker, service
``fetch``   the tax office's programme reads at the door programme, door
``push``    the police's programme pushes at the door    programme, door
=========== ============================================ =================
"""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import sqlalchemy as sa

from catalog import EndpointSpec
from exchange.demo.fronts import Service
from exchange.errors import Busy
from exchange.receipts import balanced
from tests.exchange.engine.town import (
    COLUMNS,
    HERE,
    POLICE,
    SYNC,
    TAX,
    build,
    grant,
    identity_number,
    person,
    publish,
    wrong,
)
from tests.exchange.engine.town import resource as written
from tests.exchange.engine.witness import PATIENCE, Witness
from tests.exchange.engine.worker import Workers
from tests.exchange.service import far
from tests.exchange.service.callers import CODE, PUSH, PUSHED, application_of

Way = Literal["collect", "deliver", "fetch", "push"]
WAYS: tuple[Way, ...] = ("collect", "deliver", "fetch", "push")
WHO: Mapping[Way, tuple[str, str]] = {
    "collect": ("worker", "service"),
    "deliver": ("worker", "service"),
    "fetch": ("programme", "door"),
    "push": ("programme", "door"),
}
"""Who may die in which way."""
_HUB = {"row": "rows/row", "operation": "@_operation", "puts": ["", "put", "0"], "deletes": ["delete", "1"]}
_NAMED = {"arguments": {"resource": far.RESOURCE}}
READ: Mapping[str, tuple[str, dict[str, Any]]] = {
    "old": ("old", {"row": "Row"}),
    "typed": ("soap/r/person/1", _HUB),
    "typed payload": ("soap/r/person/1", {**_HUB, "payload": "payload"}),
    "generic": ("soap/exchange", {**_HUB, **_NAMED, "entry": "item@name"}),
    "generic payload": ("soap/exchange", {**_HUB, **_NAMED, "payload": "payload"}),
}
"""How a department's service is read: where it is, and the options of the binding."""
TAKEN: dict[str, Any] = {
    "message": "messageId", "accepted": "accepted", "total": "total", "duplicate": "repeated", "refused": "refusal",
    "operation": "@_operation", "put": "put", "delete": "delete", "rows": 2,
}  # fmt: skip
PUSHED_TO: Mapping[str, tuple[str, dict[str, Any]]] = {
    "typed": ("soap/w/person/1", TAKEN),
    "generic": ("soap/exchange", {**TAKEN, **_NAMED, "entry": "item@name"}),
}
"""How a department's service is pushed to."""
FORMS = (("typed", "xml"), ("typed", "arrow"), ("generic", "xml"), ("generic", "arrow"))
"""Contract and form of rows of a programme."""
MODULES = ("tests.exchange.service.far", "tests.exchange.service.dying")
"""What workers import for those who die here."""


@dataclass
class Ways(Witness):
    """The town, its departments' services and programmes, and the hub's door."""

    shares: dict[str, str] = field(default_factory=dict)
    """The exchange of each way."""
    tokens: dict[str, str] = field(default_factory=dict)
    """What a department's programme signs in with."""
    ports: dict[str, int] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    """Processes of service and door."""
    pushed: dict[str, int] = field(default_factory=dict)
    """What the police have pushed and is right: version by key."""
    takes_back: bool = True
    """The police's service can say that a row is gone."""

    def __enter__(self) -> Self:
        for name in self.ports:
            self.start(name)
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.running):
            self.stop(name)
        self.town.close()

    # --- who runs ------------------------------------------------------------------------------

    def start(self, name: str, point: int | str = 0, *, durable: bool = False) -> None:
        """Start the service or the door, to die at a point."""
        urls, port = self.town.urls, self.ports[name]
        if name == "service":
            about = {"provider": urls["police"], "recipient": urls["tax"]}
            self.running[name] = self.workers.stay("tests.exchange.service.far:stay", port, point, **about)
        else:
            home = str(self.town.home)
            self.running[name] = self.workers.stay(
                "tests.exchange.service.dying:door", port, point, home=home, durable=durable
            )

    def stop(self, name: str) -> bool:
        """End the service or the door; whether it had died before."""
        return self.workers.end(self.running.pop(name))

    def act(
        self,
        way: Way,
        who: str = "",
        point: int | str = 0,
        occurrence: int = 1,
        *,
        durable: bool = False,
        form: tuple[str, str] = FORMS[0],
    ) -> tuple[bool, dict[str, Any]]:
        """Let a way be gone once, and somebody die on it.

        Args:
            way: Which.
            who: Dies.
            point: Where: of a worker as it names them, of others a number.
            occurrence: Which time at the point.
            durable: The door's points are where the hub's files and transactions become durable, not those of a call.
            form: Of the programme.

        Returns:
            Whether who was to die did, and what the programme told.
        """
        died, told = False, {}
        if who in self.running:
            self.stop(who)
            self.start(who, point, durable=durable)
        if way in ("collect", "deliver") or who == "worker":
            at = (str(point), occurrence) if who == "worker" else ("", 1)
            status = self.workers.run(self.town.home, self.shares[way], *at)
        else:
            department = TAX if way == "fetch" else POLICE
            about = {
                "address": f"http://127.0.0.1:{self.ports['door']}",
                "resource": CODE if way == "fetch" else PUSHED,
                "token": self.tokens[department],
                "database": str(self.own(way)),
                "contract": form[0],
                "form": form[1],
            }
            at_point = point if who == "programme" else 0
            status, told = self.workers.do("tests.exchange.service.dying:programme", at_point, deed=way, about=about)
        if who in self.running:
            died = self.stop(who)
            self.start(who)
        elif status == -signal.SIGKILL:
            died = True
        # A door whose programme has died goes on with what it was asked for, before whoever runs what is due.
        kept = status == Busy.status and way in ("fetch", "push")
        if status != 0 and not died and not kept:
            self.faults.append(f"{way} {who} {point}: ended with {status}: {self.workers.said[-500:]}")
        if died and who != "programme":  # the door goes on with what it was asked for
            self.lapse(self.shares[way])
        return died, told or {}

    def whole(self, way: Way, form: tuple[str, str] = FORMS[0]) -> dict[str, Any]:
        """Let a way be gone to its end, by whoever comes next; what the programme told at last."""
        exchange, deadline = self.shares[way], time.monotonic() + PATIENCE
        if way in ("collect", "deliver"):
            self.finish(exchange, way)
            return {}
        while True:
            _, told = self.act(way, form=form)
            if told.get("state") in ("fetched", "delivered", "nothing", "received"):
                break
            if time.monotonic() > deadline:
                self.faults.append(f"{way}: the programme has no answer: {told}")
                break
            time.sleep(0.05)
        self.due(exchange)
        return told

    def due(self, exchange: str) -> None:
        """What whoever runs what is due ends: deliveries that owe something, messages that wait."""
        deadline = time.monotonic() + PATIENCE
        while self.is_due(exchange) and time.monotonic() < deadline:
            if self.workers.run(self.town.home, exchange) == Busy.status:
                time.sleep(0.05)

    def is_due(self, exchange: str) -> bool:
        """Whether something of an exchange waits for whoever runs what is due."""
        waiting = (
            "SELECT 1 FROM message m LEFT JOIN run r ON r.id = m.run WHERE m.exchange = ?"
            " AND (m.run IS NULL OR r.state NOT IN ('settled', 'stopped'))"
        )
        return bool(self.unfinished(exchange) or self.hub(waiting, exchange))

    # --- what is reported ----------------------------------------------------------------------

    def own(self, way: Way) -> Path:
        """A programme's own database."""
        return self.town.home.parent / f"{way}.db"

    def report(self, version: int) -> None:
        """One changed, one wrong, one new, one taken back, some as they were; all of the granted district."""
        self.town.report(
            granted(1, version=version, name=f"改{version}"), {**wrong(3, version=version), "district": HERE},
            granted(100 + version), granted(4), granted(5),
        )  # fmt: skip
        if self._reported and self.takes_back:
            gone = granted(100 + self._reported, version=2)
            self.town.report(gone)
            self.town.execute(
                "police", f"UPDATE inf_person SET sync_sign = '{far.GONE}' WHERE id_no = '{gone['id_no']}'"
            )
            del self.town.reported[gone["id_no"]]
        self._reported = version

    def news(self, way: Way, version: int, more: int = 0) -> None:
        """Something new that goes this way."""
        if way == "push":
            news = [person(1, version=version), wrong(2, version=version), person(100 + version, version=version)]
            news += [person(1000 + 10 * version + each, version=version) for each in range(more)]
            Service(self.own(way)).report({**row, "born": str(row["born"])} for row in news)
            self.pushed |= {row["id_no"]: version for row in news if row["id_no"] != wrong(2)["id_no"]}
            return
        self.report(version)
        self.town.report(*(granted(1000 + 10 * version + each) for each in range(more)))
        if way != "collect":
            self.finish(SYNC, f"{way}: collecting before")

    # --- what lies where -----------------------------------------------------------------------

    def ledger(self, exchange: str) -> list[str]:
        """Deliveries that the target took, by its own books or the box's; one without rows shows in no message."""
        if exchange == self.shares["deliver"]:
            taken = {message.rpartition("-")[0].rpartition("-")[0] for message in self.far_messages()}
            return sorted(taken | {delivery for delivery, rows in self.delivered(exchange).items() if not rows})
        if exchange == self.shares["fetch"]:
            return [row["delivery"] for row in self.hub("SELECT delivery FROM mail WHERE exchange = ?", exchange)]
        rows = self.town.query("library", "SELECT delivery_key, exchange FROM shutong_ledger")
        return sorted(key for key, owner in rows if owner == exchange)

    def far_messages(self) -> dict[str, int]:
        """Messages that the tax office's service took, with their rows."""
        rows = self.town.query("tax", sa.select(far.MESSAGES.c.id, far.MESSAGES.c.answer))
        return {name: json.loads(answer)["rows"] for name, answer in rows}

    def held(self, exchange: str) -> dict[str, dict[str, Any]]:
        """What the tax office holds: in its own table, or its programme's."""
        if exchange == self.shares["deliver"]:
            return self.town.rows("tax")
        with closing(sqlite3.connect(self.own("fetch"))) as own:
            own.row_factory = sqlite3.Row
            rows = [dict(row) for row in own.execute("SELECT * FROM corporation")]
        return {row["id_no"]: {**row, "ver": int(row["ver"] or 0)} for row in rows}

    def look(self, way: Way, where: str, left: dict[str, Any] | None = None, *, checked: bool = False) -> None:
        """Compare what every end holds with what it should.

        Args:
            way: That was gone to its end.
            where: What the test calls it.
            left: The run that was found unfinished last, if there was one.
            checked: The last run was looked at already.
        """
        exchange = self.shares[way]
        if way in ("collect", "deliver") and not checked:
            self.check(exchange, where, left, taken_over=left is not None)
        runs = self.hub("SELECT * FROM run WHERE exchange = ?", exchange)
        states = Counter(run["state"] for run in runs if run["state"] != "failed")
        settled = [run for run in runs if run["state"] == "settled"]
        found = {
            "a run has not come to its end": set(states) <= {"settled"},
            "the books do not balance": all(balanced(json.loads(run["counts"])) for run in settled),
            "not one receipt for each delivery": self.receipts(exchange)
            == Counter(self.ledger(exchange))
            == Counter(run["delivery"] for run in settled),
            "something is owed": self.hub("SELECT * FROM owed WHERE done_at IS NULL") == [],
            "quota is reserved for what was not delivered": self.usage(exchange) == self.delivered(exchange),
            # What is pushed is another resource; nothing may have been collected yet.
            "the library holds something else": way == "push" or self.town.rows("library") == self.town.good(),
            "a file is left of who died": self.files() == self.manifests(),
        }
        if way == "deliver":
            # What was taken under all ids of a delivery is what its receipt says, row for row.
            taken: Counter[str] = Counter()
            for message, rows in self.far_messages().items():
                taken[message.rpartition("-")[0].rpartition("-")[0]] += rows
            found["a row was taken twice or not at all"] = taken == Counter(self.delivered(exchange))
            found["a stage is left in the spool"] = list((self.town.home / "spool").rglob("stage-*")) == []
        elif way == "fetch":
            fetched = "SELECT json_extract(body, '$.delivery') AS d FROM event WHERE type = 'MailFetched'"
            found["the programme holds something else"] = self.held(exchange) == self.town.granted()
            found["a delivery was not fetched"] = (
                self.hub("SELECT 1 FROM mail WHERE state <> 'fetched' AND parts <> '[]'") == []
            )
            found["a delivery was fetched twice"] = set(Counter(row["d"] for row in self.hub(fetched)).values()) <= {1}
        elif way == "push":
            rows = self.town.query("library", "SELECT id_no, ver FROM r_101001001_0002")
            messages = self.hub("SELECT run, rows FROM message")
            found["the library holds something else of what was pushed"] = dict(map(tuple, rows)) == self.pushed
            # A programme that dies early puts what comes meanwhile into the same message: its own book says how many.
            with closing(sqlite3.connect(self.own(way))) as own:
                sent = own.execute("SELECT count(*) FROM pushed WHERE answered = 1").fetchone()[0]
            found["a message was taken twice or not at all"] = len(messages) == sent
            runs_of = Counter(row["run"] for row in messages)
            found["a message had no run of its own"] = set(runs_of.values()) <= {1} and None not in runs_of
            # A run for which no message waited has read nothing.
            found["a message had more than one delivery"] = all(
                run["id"] in runs_of or json.loads(run["counts"])["read"] == 0 for run in settled
            )
        self.faults += [f"{where}: {fault}" for fault, right in found.items() if not right]


def open_ways(
    home: Path, urls: Mapping[str, str], workers: Workers, *, read: str = "typed", capture: str = "batches",
    pushed_to: str = "typed",
) -> Ways:  # fmt: skip
    """Build the town; to be used in ``with``.

    Args:
        home: Where the hub lives.
        urls: As of the town.
        workers: Who carries out.
        read: How the police's service is read, see :data:`READ`.
        capture: ``batches``, from the last cursor on, or ``snapshot``.
        pushed_to: How the tax office's is pushed to, see :data:`PUSHED_TO`.
    """
    # The police's table is their service's: how the town thinks that it is read, nothing but the service knows.
    town = build(home, urls, capture="snapshot")
    ports = _free_ports()
    columns = {name: name for name in COLUMNS}
    address = f"http://127.0.0.1:{ports['service']}"
    (home / "far.password").write_text(far.PASSWORD)
    (home / "far.password").chmod(0o600)
    far.MESSAGES.create(town.databases["tax"], checkfirst=True)
    ways = Ways(town, workers, ports=ports, takes_back=read != "old")
    with town.hub() as hub:
        ways.start("service")
        by = town.actor("integrator")
        for name, department, kind, path in (
            ("police-box", POLICE, "mailbox", ""), ("tax-box", TAX, "mailbox", ""),
            ("police-ws", POLICE, "webservice", READ[read][0]), ("tax-ws", TAX, "webservice", PUSHED_TO[pushed_to][0]),
        ):  # fmt: skip
            options: dict[str, Any] = {}
            if kind == "webservice":
                options = {
                    "url": f"{address}/{path}?wsdl", "user": far.USER, "password": "file:far.password",
                    "attempts": 1, "failures": 1000, "timeout": 20,
                }  # fmt: skip
            hub.registration.put_endpoint(
                EndpointSpec(name=name, department=department, kind=kind, options=options), by=by
            )
        common = {"columns": columns, "profile": None}
        offer = {**common, "endpoint": "police-ws", "object": "Query", "capture": capture}
        offer["options"] = {"rows": 4, **READ[read][1]}
        publish(town, hub, written(share_ways=["database", "webservice"], offer=offer))
        offer = {**common, "endpoint": "police-box", "object": "people", "capture": "pushed"}
        publish(town, hub, written(code=PUSHED, name="推送人口", offer=offer))
        target = {"endpoint": "tax-ws", "object": "Push", "columns": columns, "options": PUSHED_TO[pushed_to][1]}
        ways.shares = {
            "collect": SYNC,
            "deliver": f"share-{grant(town, hub, way='webservice', target=target, filter=None)}",
            "fetch": f"share-{grant(town, hub, **application_of(filter=None))}",
            "push": PUSH,
        }
        for exchange in (SYNC, ways.shares["deliver"]):
            assert hub.sharing.check(exchange) == []
        for department in (TAX, POLICE):
            secret = hub.access.issue(department, "token", by=by).secret
            assert secret is not None
            ways.tokens[department] = secret.get_secret_value()
    ways.stop("service")
    Service(ways.own("push"), COLUMNS)
    town.report(*(granted(number) for number in range(12)))
    return ways


def granted(number: int, **about: Any) -> dict[str, Any]:
    """A person of the granted district.

    Nobody can be asked here what he holds: under a grant of some rows he would not learn of one that was taken back,
    as its deletion does not say whether it was among them. So everything is granted, and everybody lives there.
    """
    return person(number, district=HERE, **about)


def _free_ports() -> dict[str, int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return {"service": one.getsockname()[1], "door": other.getsockname()[1]}


__all__ = ["FORMS", "MODULES", "PUSHED_TO", "READ", "WAYS", "WHO", "Way", "Ways", "identity_number", "open_ways"]
