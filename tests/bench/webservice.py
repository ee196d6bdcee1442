"""``shutong bench webservice``: how fast rows come and go by SOAP, beside plain spyne and zeep and beside the parser.

Every service is a process of its own on loopback. What is compared is rows in a second, so that here a ratio says how
many times as many; plain spyne and zeep move fewer rows, as they need minutes for all of them.
"""

from __future__ import annotations

import base64
import http.client
import io
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from lxml import etree

from catalog import EndpointSpec
from exchange.hub import Hub, open_hub
from exchange.settings import write_default
from tests.bench import plain_soap
from tests.bench.county import CODE, GRANTED, HUB, County
from tests.bench.door import PASSWORD, USER
from tests.bench.report import Result, told, watched
from tests.support.servers import PostgreSQLServer

ROUNDS = 3
PAGE = 10_000
PLAIN = "plain spyne + plain zeep"
_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"


class ServiceCounty(County):
    """A county in which the bureau, or the tax office, is a service.

    Args:
        wsdl: Its description.
        reads: It is the bureau that is one, and not the tax office.
        packed: Rows come as a compressed payload.
    """

    object = "Query"

    def __init__(self, home: Path, database: str, wsdl: str, *, reads: bool, packed: bool = False) -> None:
        super().__init__(home, database, database)
        self.wsdl = wsdl
        self.reads = reads
        self.packed = packed
        self.object = "Query" if reads else "people"

    def _prepare(self) -> None:
        if not self.reads:
            super()._prepare()

    def _endpoint(self, name: str, department: str, url: str) -> EndpointSpec:
        if (name == "police") != self.reads:
            return super()._endpoint(name, department, url)
        secret = self.home / "service.password"
        secret.write_text(PASSWORD)
        secret.chmod(0o600)
        options = {"url": self.wsdl, "user": USER, "password": f"file:{secret}", "largest": 256 << 20}
        return EndpointSpec(name=name, department=department, kind="webservice", options=options)

    def offered(self) -> dict[str, Any]:
        """How the operation is read."""
        payload = {"payload": "payload"} if self.packed else {}
        return {"row": "rows/row", "rows": PAGE, **payload}

    def _target(self, table: str, items: Sequence[str]) -> dict[str, Any]:
        if self.reads:
            return super()._target(table, items)
        options = {
            "message": "messageId", "accepted": "accepted", "total": "total", "duplicate": "repeated", "rows": PAGE,
            "refused": "refusal",
        }  # fmt: skip
        return {"endpoint": "tax", "object": "Push", "columns": {name: name for name in items}, "options": options}


@contextmanager
def service(folder: Path, rows: int, *, written: Sequence[str] = ()) -> Iterator[tuple[str, int]]:
    """Our door over rows that cost nothing; its address and the id of its process."""
    home = folder / "service"
    home.mkdir(exist_ok=True)
    settings = write_default(home, hub_department=HUB, actors={}, demo=True)
    with settings.open("a", encoding="utf-8") as file:
        file.write('\n[soap]\nport = 0\nworkers = 1\npage = 50000\ndesk = "tests.bench.door:open_desk"\n')
    environment = {**os.environ, "BENCH_ROWS": str(rows), "BENCH_WRITTEN": ",".join(written)}
    program = [sys.executable, "-m", "tests.bench.door", str(home)]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(program, text=True, env=environment, **quiet) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.terminate()


def typed(address: str, direction: str) -> str:
    """The typed contract's address."""
    return f"{address}/soap/{direction}/{quote(CODE, safe='')}/1"


def peak_of(process: int) -> int:
    """Highest resident memory of a process and its children, in MiB."""
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        except OSError:
            continue
        if process in (int(folder.name), int(status["PPid"])) and "VmHWM" in status:
            found = max(found, int(status["VmHWM"].split()[0]) // 1024)
    return found


def _quicker(name: str, rows: int, seconds: Sequence[float], baseline: str, plain: float, *, peak: int) -> Result:
    """Rates compared: how many times as many rows in a second as the baseline's rate; more is better here."""
    mine = statistics.median(seconds)
    return Result(
        name=name, seconds=round(mine, 3), baseline=f"{baseline}, {round(plain):,} rows/s",
        baseline_seconds=round(rows / plain, 3), ratio=round(rows / mine / plain, 2),
        rows_per_second=round(rows / mine), peak_mb=peak,
    )  # fmt: skip


def _run(county: County, hub: Hub, exchange: str, rows: int) -> float:
    begun = time.perf_counter()
    result = county.run(hub, exchange)
    seconds = time.perf_counter() - begun
    assert result.state == "settled", result.reasons
    assert result.counts["read"] == rows, result.counts
    assert result.counts["written"] == rows - 2 * (rows // 100), result.counts
    return seconds


@contextmanager
def reading(server: PostgreSQLServer, folder: Path, rows: int, *, packed: bool) -> Iterator[Callable[[], float]]:
    """The hub reads a service into a table: one full pass, with checks, receipt and log."""
    with service(folder, rows) as (address, _):
        home = folder / f"home-{packed}"
        home.mkdir()
        database = server.new_database()
        county = ServiceCounty(home, database, f"{typed(address, 'r')}?wsdl", reads=True, packed=packed)
        county.build(options=county.offered())
        tables = 0

        def once() -> float:
            nonlocal tables
            tables += 1
            return _run(county, hub, county.granted(f"t{tables}"), rows)

        try:
            with closing(open_hub(home)) as hub:
                yield once
        finally:
            server.drop_database(database)


def read(server: PostgreSQLServer, folder: Path, *, rows: int, plainly: int, name: str = "read") -> list[Result]:
    """Pages of a service into a table, as XML and as a compressed payload, beside plain spyne and zeep."""
    found: dict[bool, list[float]] = {False: [], True: []}
    peaks = {}
    plain = []
    with plain_soap.served(plainly) as url, plain_soap.client(url) as client:
        for packed in (False, True):
            (folder / f"{packed}").mkdir()
            with reading(server, folder / f"{packed}", rows, packed=packed) as once, watched() as peak:
                for _ in range(ROUNDS):
                    if not packed:
                        plain.append(plainly / plain_soap.read(client, plainly))
                    found[packed].append(once())
                    told(
                        f"{name}{', payload' * packed}: {rows / found[packed][-1]:,.0f} rows/s, plain {plain[-1]:,.0f}"
                    )
            peaks[packed] = peak[0]
    rate = statistics.median(plain)
    return [
        _quicker(f"{name} {rows:,} × 12", rows, found[False], PLAIN, rate, peak=peaks[False]),
        _quicker(f"{name} {rows:,} × 12, payload", rows, found[True], PLAIN, rate, peak=peaks[True]),
    ]


def push(server: PostgreSQLServer, folder: Path, *, rows: int, plainly: int, name: str = "push") -> list[Result]:
    """A table pushed to a service, beside plain spyne and zeep."""
    mine, plain = [], []
    with service(folder, 0, written=GRANTED) as (address, pid), plain_soap.served(plainly) as url:
        home, database = folder / "home", server.new_database()
        home.mkdir()
        county = ServiceCounty(home, database, f"{typed(address, 'w')}?wsdl", reads=False)
        county.build()
        county.fill(1, rows)
        try:
            with plain_soap.client(url) as client, closing(open_hub(home)) as hub, watched() as peak:
                for number in range(ROUNDS):
                    plain.append(plainly / plain_soap.push(client, plainly))
                    mine.append(_run(county, hub, county.granted(f"p{number}"), rows))
                    told(f"{name}: {rows / mine[-1]:,.0f} rows/s, plain {plain[-1]:,.0f}")
        finally:
            server.drop_database(database)
        told(f"{name}: the service's peak was {peak_of(pid)} MB")
    return [_quicker(f"{name} {rows:,} × 10", rows, mine, PLAIN, statistics.median(plain), peak=peak[0])]


def _answers(address: str, rows: int) -> Iterator[bytes]:
    """Every page of the service, drained as bytes."""
    from adapters.webservice.contracts import typed_namespace

    shown = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""', "Authorization": f"Basic {shown}"}
    parts = urlsplit(address)
    cursor: str | None = ""
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port)) as line:
        while cursor is not None:
            asked = (
                f'<soap:Envelope xmlns:soap="{_SOAP}"><soap:Body><Query xmlns="{typed_namespace(CODE, 1, "read")}">'
                f"{cursor and f'<cursor>{cursor}</cursor>'}<limit>{rows}</limit></Query></soap:Body></soap:Envelope>"
            )
            line.request("POST", urlsplit(typed(address, "r")).path, asked.encode(), headers)
            response = line.getresponse()
            body = response.read()
            assert response.status == 200, body[:500]
            yield body
            tail = body[-200:].decode("utf-8", "replace")
            cursor = tail.partition("<nextCursor>")[2].partition("</nextCursor>")[0] or None


def alone(server: PostgreSQLServer, folder: Path, *, rows: int, name: str = "alone") -> list[Result]:
    """The server drained by a raw reader, and the client fed with answers kept ready, each beside lxml's iterparse."""
    from adapters.base import Binding, Selection
    from adapters.webservice.endpoint import WebServiceEndpoint

    drained, parsed, fed = [], [], []
    with service(folder, rows) as (address, pid):
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            size = sum(map(len, _answers(address, PAGE)))
            drained.append(time.perf_counter() - begun)
        pages = list(_answers(address, PAGE))
        with closing(http.client.HTTPConnection(urlsplit(address).hostname or "", urlsplit(address).port)) as line:
            line.request("GET", f"{urlsplit(typed(address, 'r')).path}?wsdl")
            wsdl = line.getresponse().read()
        peak = peak_of(pid)
    with _foreign(wsdl, address, pages) as url:
        options = WebServiceEndpoint.options_type.model_validate({"url": url, "address": url, "largest": 256 << 20})
        columns = {name: name for name in plain_soap.row(0)}
        binding = Binding(
            object="Query", columns=columns, key=("person_id",), options={"row": "rows/row", "rows": PAGE}
        )
        with watched() as mine:
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                seen = 0
                for page in pages:
                    for _event, element in etree.iterparse(io.BytesIO(page), tag="{*}row"):
                        seen += 1
                        element.clear()
                parsed.append(time.perf_counter() - begun)
                assert seen == rows
                begun = time.perf_counter()
                with WebServiceEndpoint(options).source(binding) as source:
                    assert sum(batch.num_rows for batch in source.batches(Selection())) == rows
                fed.append(time.perf_counter() - begun)
                told(f"{name}: client {rows / fed[-1]:,.0f}, iterparse {rows / parsed[-1]:,.0f} rows/s")
    told(f"{name}: the server gave {rows / statistics.median(drained):,.0f} rows/s in {size >> 20} MB")
    limit = rows / statistics.median(parsed)
    return [
        _quicker(f"{name}: our client, foreign answers", rows, fed, "lxml iterparse", limit, peak=mine[0]),
        _quicker(f"{name}: our server, raw reader", rows, drained, "lxml iterparse", limit, peak=peak),
    ]


@contextmanager
def _foreign(wsdl: bytes, address: str, pages: Sequence[bytes]) -> Iterator[str]:
    """A service that gives kept answers, one after the other, and is no work at all."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host = f"127.0.0.1:{listening.getsockname()[1]}"
        described = wsdl.replace(urlsplit(address).netloc.encode(), host.encode())
        turn = iter(())

        def serve() -> None:
            nonlocal turn
            while True:
                try:
                    line, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(line,), daemon=True).start()

        def answer(line: socket.socket) -> None:
            nonlocal turn
            with line, line.makefile("rb") as stream:
                while head := stream.readline():
                    length = 0
                    while (header := stream.readline()) not in (b"\r\n", b""):
                        if header.lower().startswith(b"content-length:"):
                            length = int(header.split(b":")[1])
                    asked = stream.read(length)
                    if head.startswith(b"GET"):
                        body = described
                    else:
                        if b"cursor>" not in asked:
                            turn = iter(pages)
                        body = next(turn)
                    told_ = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
                    line.sendall(told_ % len(body) + body)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://{host}/service?wsdl"


def memory(server: PostgreSQLServer, folder: Path, *, rows: Sequence[int], name: str = "memory") -> list[Result]:
    """Highest memory of the reading side and of the serving side, for few rows and for many."""
    found = []
    for many in rows:
        place = folder / str(many)
        place.mkdir()
        program = "import sys; from tests.bench.webservice import drain; drain(*sys.argv[1:])"
        with service(place, many) as (address, pid):
            begun = time.perf_counter()
            command = [sys.executable, "-c", program, f"{typed(address, 'r')}?wsdl", str(many)]
            peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            seconds = time.perf_counter() - begun
            served = peak_of(pid)
        told(f"{name}, {many:,} rows: reading {peak} MB, serving {served} MB")
        for side, size in (("reading", peak), ("serving", served)):
            rate = round(many / seconds)
            found.append(
                Result(name=f"{name} {many:,}, {side}", seconds=round(seconds, 3), rows_per_second=rate, peak_mb=size)
            )
    return found


def drain(url: str, rows: str) -> None:
    """Read a service to its end and print this process's highest memory in MiB."""
    from adapters.base import Binding, Selection
    from adapters.webservice.endpoint import WebServiceEndpoint

    kind = WebServiceEndpoint.options_type
    options = kind.model_validate({"url": url, "user": USER, "password": PASSWORD, "largest": 256 << 20})
    columns = {name: name for name in plain_soap.row(0)}
    paged = {"row": "rows/row", "rows": PAGE}
    binding = Binding(object="Query", columns=columns, key=("person_id",), options=paged)
    with WebServiceEndpoint(options).source(binding) as source:
        assert sum(batch.num_rows for batch in source.batches(Selection())) == int(rows)
    # What getrusage tells begins with the process that started this one.
    print(peak_of(os.getpid()))


def lookup(server: PostgreSQLServer, folder: Path, *, queries: int) -> list[Result]:
    """Single rows through the hub, beside the same ones straight from the service; ratio: how many times as many."""
    from tests.bench.lookup import lookup as compared

    return compared(server, folder, queries=queries)


PARTS: dict[str, Callable[[PostgreSQLServer, Path], list[Result]]] = {
    "read": lambda server, folder: read(server, folder, rows=500_000, plainly=20_000),
    "push": lambda server, folder: push(server, folder, rows=500_000, plainly=20_000),
    "alone": lambda server, folder: alone(server, folder, rows=500_000),
    "memory": lambda server, folder: memory(server, folder, rows=(10_000, 2_000_000)),
    "lookup": lambda server, folder: lookup(server, folder, queries=1_000),
}


def results(only: Sequence[str]) -> list[Result]:
    """Run the parts that are asked for, or all."""
    found = []
    with PostgreSQLServer() as server:
        for name, part in PARTS.items():
            if not only or name in only:
                with tempfile.TemporaryDirectory(prefix="shutong-bench-") as folder:
                    found += part(server, Path(folder))
    return found
