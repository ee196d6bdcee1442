"""What pages cost over HTTP: twenty people who click without a pause, at a real ``shutong serve console``.

Part of ``shutong bench console``, on the same data. Everybody has a session and a connection of his own, kept alive.
Each page is asked alone by all twenty, then all pages in a mix as people use them. An answer that is none stops it.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import os
import random
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from exchange.db.tables import AccountRow
from exchange.hub import Hub, open_hub
from exchange.identity import ACCOUNT, OIDC, Actor
from exchange.settings import Role
from tests.bench.report import Result, told
from tests.exchange.site.visited import served

USERS = 20
SECONDS = 8.0
"""How long each page is asked for."""
BAR = 0.300
"""Seconds within which 95 of 100 answers of each page must be there: the bar."""
LARGEST = 150_000
"""Bytes of a page with all it needs, when nothing is in the browser's cache: the bar."""
_NEEDED = re.compile(r'(?:href|src)="(/static/[^"]+)"')


@dataclass(frozen=True)
class Asked:
    """A page of the bench.

    Attributes:
        name: What it is called in the report.
        path: Where it is.
        weight: How often people look at it, compared with the others.
    """

    name: str
    path: str
    weight: int = 1


def pages(resource: str, exchange: str, run: str, department: str) -> list[Asked]:
    """The pages that have a bar, with what they are about."""
    recent = f"{datetime.now(UTC) - timedelta(days=30):%Y-%m-%d}"
    log = {
        "newest": {},
        "department": {"department": department},
        "resource": {"resource": resource},
        "exchange": {"exchange": exchange},
        "way": {"way": "file"},
        "class": {"record_class": "licence"},
        "outcome": {"outcome": "refused"},
        "type": {"type": "ResourceMoved"},
        "period": {"since": recent},
        "text in a period": {"text": "拒收过多", "since": recent},
        "department, way and period": {"department": department, "way": "database", "since": recent},
        "class, outcome and way": {"record_class": "legal_person", "outcome": "refused", "way": "webservice"},
    }
    return [
        Asked("front page", "/", 3),
        Asked("directory", "/directory", 4),
        Asked("directory, common word", f"/directory?q={quote('信息')}", 4),
        Asked("directory, words and facets", f"/directory?q={quote('登记信息')}&kind=licence&way=file", 4),
        Asked("resource", f"/directory/{quote(resource, safe='')}", 3),
        Asked("dashboard", "/dashboard", 2),
        Asked("run", f"/runs/{run}", 4),
        *(Asked(f"log, {name}", f"/log?{urlencode(filters)}".rstrip("?"), 1) for name, filters in log.items()),
    ]


def signed_in(hub: Hub, users: int = USERS) -> list[str]:
    """Accounts that may see everything, each with a session: its cookie."""
    hub.accounts.first()
    department = hub.settings.hub_department
    system = Actor("首任系统管理员", ACCOUNT, department, frozenset({Role.SYSTEM}))
    security = Actor("首任安全管理员", ACCOUNT, department, frozenset({Role.SECURITY}))
    cookies = []
    for number in range(users):
        login = f"bench{number:02}"
        hub.accounts.create(login, f"测量员{number}", department, password=False, by=system)
        hub.accounts.assign(login, [Role.AUDIT], by=security, reason="测量")
        # As the unified identity would: a password takes long on purpose, and is no page.
        with hub.database.transaction() as session:
            opened = hub.signing.sessions.open(session, session.get_one(AccountRow, login), OIDC, "127.0.0.1")
        cookies.append(opened.secret.get_secret_value())
    return cookies


@dataclass
class Load:
    """What came of asking.

    Attributes:
        seconds: Of each answer, by page.
        sizes: Bytes of the page itself, by page.
        lasted: Seconds, all together.
    """

    seconds: dict[str, list[float]]
    sizes: dict[str, int]
    lasted: float = 0.0


def load(address: str, cookies: Sequence[str], asked: Sequence[Asked], seconds: float) -> Load:
    """Have everybody click for so long, each at his own page after page."""
    found = Load({each.name: [] for each in asked}, {})

    async def one(number: int, until: float) -> None:
        place = urlsplit(address)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        chosen = random.Random(number)
        try:
            for turn in itertools.count():
                if time.perf_counter() > until and turn:
                    return
                each = chosen.choices(asked, weights=[page.weight for page in asked])[0]
                begun = time.perf_counter()
                size = await _get(reader, writer, each.path, cookies[number])
                found.seconds[each.name].append(time.perf_counter() - begun)
                found.sizes[each.name] = size
        finally:
            writer.close()

    async def everybody() -> None:
        until = time.perf_counter() + seconds
        async with asyncio.TaskGroup() as group:
            for number in range(len(cookies)):
                group.create_task(one(number, until))

    begun = time.perf_counter()
    asyncio.run(everybody())
    found.lasted = time.perf_counter() - begun
    return found


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, cookie: str) -> int:
    """Ask once over a connection that stays; how many bytes the answer has."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nCookie: shutong={cookie}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    if not head.startswith("http/1.1 200"):
        message = f"{path} was not answered: {head.splitlines()[0]}"
        raise RuntimeError(message)
    length = int(re.search(r"content-length: (\d+)", head)[1])  # type: ignore[index]  # a page says how long it is
    await reader.readexactly(length)
    return length


def weight(address: str, cookie: str, path: str) -> tuple[int, int]:
    """Bytes of a page with everything it names, as they are and as a proxy would compress them."""

    async def content(where: str) -> bytes:
        place = urlsplit(address)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        words = f"GET {where} HTTP/1.1\r\nHost: bench\r\nCookie: shutong={cookie}\r\nConnection: close\r\n\r\n"
        writer.write(words.encode())
        try:
            return (await reader.read()).partition(b"\r\n\r\n")[2]
        finally:
            writer.close()

    page = asyncio.run(content(path))
    whole = [page, *(asyncio.run(content(each)) for each in dict.fromkeys(_NEEDED.findall(page.decode())))]
    return sum(map(len, whole)), sum(len(gzip.compress(each)) for each in whole)


def measured(home: Path, label: str, asked: Sequence[Asked], *, seconds: float = SECONDS) -> list[Result]:
    """Ask each page alone and all in a mix; the median and the slowest of the fastest 95 in 100, beside the bar."""
    found: list[Result] = []
    with closing(open_hub(home)) as hub:
        cookies = signed_in(hub)
    # They click faster than people may; and as the guide says, there is a process for each processor.
    workers = str(len(os.sched_getaffinity(0)))
    with served(home, SHUTONG_WEB__CALLS_PER_MINUTE="6000000", SHUTONG_WEB__WORKERS=workers) as address:
        load(address, cookies[:2], asked, 1.0)  # everything has been imported and connected once
        for each in asked:
            found += _figures(label, each.name, load(address, cookies, [each], seconds).seconds[each.name])
            size, compressed = weight(address, cookies[0], each.path)
            told(f"{label}: {each.name}: {size:,} bytes uncached ({compressed:,} compressed), bar {LARGEST:,}")
        mixed = load(address, cookies, asked, 3 * seconds)
        every = [one for page in mixed.seconds.values() for one in page]
        found += _figures(label, "all in a mix", every)
        told(f"{label}: {len(every) / mixed.lasted:.0f} pages a second")
    return found


def _figures(label: str, name: str, seconds: Sequence[float]) -> Iterator[Result]:
    ordered = sorted(seconds)
    middle, late = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    told(f"{label}: page: {name}: p50 {middle * 1000:.0f} ms, p95 {late * 1000:.0f} ms of {len(ordered)}")
    yield Result(name=f"{label}: page: {name}: p50", seconds=round(middle, 4))
    yield Result(
        name=f"{label}: page: {name}: p95, {USERS} people", seconds=round(late, 4), baseline="bar",
        baseline_seconds=BAR, ratio=round(late / BAR, 2),
    )  # fmt: skip
