"""Single rows: one key after another asked of a department's service straight, and through the hub's door.

``python -m tests.bench.lookup ADDRESS CLIENTS QUERIES …`` is the programme that asks: so many connections, each kept
and each with one query under way; it prints every query's seconds.
"""

from __future__ import annotations

import base64
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from adapters.webservice.contracts import typed_namespace
from catalog import EndpointSpec
from exchange.authorisation import Application
from exchange.hub import open_hub
from tests.bench.county import CODE, GRANTED, HERE, TAX, County
from tests.bench.door import PASSWORD, USER
from tests.bench.report import Result, told
from tests.bench.webservice import ROUNDS, ServiceCounty, service, typed
from tests.support.servers import PostgreSQLServer

CLIENTS = (1, 8, 32)
PEOPLE = 100_000
WORKERS = int(os.environ.get("BENCH_WORKERS", "2"))
_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"


@dataclass(frozen=True)
class Asked:
    """What is asked where.

    Attributes:
        address: Of the service.
        path: Of its typed contract.
        namespace: Of that.
        authorization: The header's value.
    """

    address: str
    path: str
    namespace: str
    authorization: str


@dataclass(frozen=True)
class Timed:
    """Seconds for all queries, and of each."""

    whole: float
    each: Sequence[float]

    def percentile(self, share: float) -> float:
        """Seconds within which that share of the queries was answered."""
        return sorted(self.each)[min(len(self.each) - 1, int(len(self.each) * share))]


def lookup(
    server: PostgreSQLServer,
    folder: Path,
    *,
    queries: int,
    clients: Sequence[int] = CLIENTS,
    rounds: int = ROUNDS,
    name: str = "lookup",
) -> list[Result]:
    """Queries by key through the hub beside the same ones straight to the department's service."""
    found: list[Result] = []
    with service(folder, PEOPLE) as (address, _):
        straight = Asked(address, urlsplit(typed(address, "r")).path, typed_namespace(CODE, 1, "read"), _basic())
        with _hub(server, folder, f"{typed(address, 'r')}?wsdl") as through:
            for many in clients:
                found += _compared(f"{name}, {many} clients", straight, through, many, queries, rounds)
    with _hub(server, folder / "table", None) as table:
        many = max(clients)
        runs = [_ask(table, many, queries) for _ in range(rounds)]
        seconds = statistics.median(each.whole for each in runs)
        told(f"{name}, {many} clients, PostgreSQL table: {queries / seconds:,.0f} queries/s")
        rate = round(queries / seconds)
        found.append(
            Result(name=f"{name}, {many} clients, PostgreSQL table", seconds=round(seconds, 3), rows_per_second=rate)
        )
    return found


def _compared(name: str, straight: Asked, through: Asked, many: int, queries: int, rounds: int) -> list[Result]:
    pairs: list[tuple[Timed, Timed]] = []
    for asked in (straight, through):
        _ask(asked, many, 4 * many)
    for _ in range(rounds):
        pairs.append((_ask(straight, many, queries), _ask(through, many, queries)))
        told(f"{name}: {queries / pairs[-1][1].whole:,.0f} queries/s, straight {queries / pairs[-1][0].whole:,.0f}")
    plain, mine = (statistics.median(pair[side].whole for pair in pairs) for side in (0, 1))
    found = [
        Result(
            name=name, seconds=round(mine, 3), baseline="straight to the service", baseline_seconds=round(plain, 3),
            ratio=round(plain / mine, 2), rows_per_second=round(queries / mine),
        )
    ]  # fmt: skip
    for word, share in (("p50", 0.5), ("p99", 0.99)):
        before, now = (statistics.median(pair[side].percentile(share) for pair in pairs) for side in (0, 1))
        told(f"{name}: {word} {now * 1000:.1f} ms, straight {before * 1000:.1f} ms")
        found.append(
            Result(
                name=f"{name}: added {word}", seconds=round(now - before, 5), baseline=f"straight, {word}",
                baseline_seconds=round(before, 5),
            )
        )  # fmt: skip
    return found


class _Boxed(ServiceCounty):
    """The bureau is a service or, without an address, a table; the tax office calls for rows itself."""

    def __init__(self, home: Path, database: str, wsdl: str | None) -> None:
        super().__init__(home, database, wsdl or "", reads=wsdl is not None)
        if wsdl is None:
            self.object = "people"

    def _prepare(self) -> None:
        if not self.reads:
            County._prepare(self)

    def _endpoint(self, name: str, department: str, url: str) -> EndpointSpec:
        if name == "tax":
            return EndpointSpec(name=name, department=department, kind="mailbox", options={})
        return super()._endpoint(name, department, url) if self.reads else County._endpoint(self, name, department, url)

    def asked(self) -> Asked:
        """Let the tax office's programme in, and say what it asks."""
        clear = {"mask": "clear", "justification": "按公民身份号码办理涉税事项"}
        asked = {
            "resource": CODE, "department": TAX, "basis": "《税收征收管理法》", "scene": "个人所得税核验",
            "scope": "本区纳税人", "way": "webservice", "items": list(GRANTED),
            "filter": {"item": "district", "is": HERE},
            "masks": {"id_no": clear, "name": {"mask": "name"}, "born": clear, "address": clear},
            "until": (date.today() + timedelta(days=300)).isoformat(),  # noqa: DTZ011
            "target": {"endpoint": "tax", "object": "inbox", "columns": {name: name for name in GRANTED}},
        }  # fmt: skip
        with closing(open_hub(self.home)) as hub:
            name = hub.sharing.apply(Application.model_validate(asked), by=self.actor("tax"))
            hub.sharing.decide(name, approved=True, reasons=["依法履职所需"], by=self.actor("chief"))
            issued = hub.access.issue(TAX, "token", purpose="单笔查询", by=self.actor("integrator"))
            from exchange.service.offers import Offers

            [reach] = Offers(hub).of(TAX, CODE, "read")
        version = reach.offer.version
        path = f"/soap/r/{quote(CODE, safe='')}/{version}"
        return Asked("", path, typed_namespace(CODE, version, "read"), f"Bearer {issued.secret.get_secret_value()}")


@contextmanager
def _hub(server: PostgreSQLServer, folder: Path, wsdl: str | None) -> Iterator[Asked]:
    """The hub's door; without a description of a service, over a table."""
    home = folder / "hub"
    home.mkdir(parents=True)
    database = server.new_database()
    try:
        county = _Boxed(home, database, wsdl)
        options: dict[str, Any] = {"row": "rows/row", "lookup": {"operation": "Lookup"}} if wsdl else {}
        county.build(options=options)
        if wsdl is None:
            county.fill(1, PEOPLE)
        asked = county.asked()
        settings = home / "shutong.toml"
        more = f"\n[soap]\nport = 0\nworkers = {WORKERS}\n[limits]\ncalls_per_minute = 100000000\n"
        settings.write_text(settings.read_text(encoding="utf-8") + more, encoding="utf-8")
        program = [sys.executable, "-m", "tests.bench.door", str(home)]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                yield Asked(process.stdout.readline().strip(), asked.path, asked.namespace, asked.authorization)
            finally:
                process.terminate()
    finally:
        server.drop_database(database)


def _basic() -> str:
    return f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


def _ask(asked: Asked, clients: int, queries: int) -> Timed:
    """Let a process of its own ask; what it is to show, it is told on its standard input."""
    program = [sys.executable, "-m", "tests.bench.lookup", asked.address, str(clients), str(queries)]
    given = json.dumps([asked.path, asked.namespace, asked.authorization])
    answer = subprocess.run(program, input=given, check=True, capture_output=True, text=True).stdout
    whole, each = json.loads(answer)
    return Timed(whole, each)


def main() -> None:
    """Ask, and print the seconds: of all, and of each."""
    parts = urlsplit(sys.argv[1])
    clients, queries = int(sys.argv[2]), int(sys.argv[3])
    path, namespace, authorization = json.load(sys.stdin)
    each: list[float] = []
    wrong: list[bytes] = []
    ready = threading.Barrier(clients + 1)

    def client(number: int) -> None:
        choice = random.Random(number)
        seconds = []
        with socket.create_connection((parts.hostname, parts.port)) as line, line.makefile("rb") as stream:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ready.wait()
            for _ in range(queries // clients):
                key = choice.randrange(PEOPLE // 100) * 100 + 1  # all granted, all right
                body = (
                    f'<s:Envelope xmlns:s="{_SOAP}"><s:Body><Lookup xmlns="{namespace}"><person_id>{key}</person_id>'
                    "</Lookup></s:Body></s:Envelope>"
                )
                begun = time.perf_counter()
                line.sendall(
                    f'POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml; charset=utf-8\r\nSOAPAction: ""\r\n'
                    f"Authorization: {authorization}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
                )
                answer = _answer(stream)
                seconds.append(time.perf_counter() - begun)
                if f"<person_id>{key}</person_id>".encode() not in answer:
                    wrong.append(answer)
                    return
        each.extend(seconds)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    whole = time.perf_counter() - begun
    if wrong:
        sys.exit(f"an answer without the row: {wrong[0][:600]!r}")
    print(json.dumps([whole * queries / len(each), each]))


def _answer(stream: Any) -> bytes:
    length = 0
    while (header := stream.readline()) not in (b"\r\n", b""):
        if header[:15].lower() == b"content-length:":
            length = int(header[15:])
    return bytes(stream.read(length))


if __name__ == "__main__":
    main()
