from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree

from adapters.webservice.application import Application, Pace
from adapters.webservice.desk import Caller, Shown
from adapters.webservice.reading import Limits
from tests.adapters.webservice.knocking import READ, Told, door, envelope, query, security
from tests.adapters.webservice.memory_desk import TOKEN, MemoryDesk, rows

BODY = envelope(query())


class Line:
    """A caller's end: pieces of a body, each after a pause, and what came back."""

    def __init__(self, *pieces: bytes, pause: float = 0, end: bool = True) -> None:
        self._pieces = list(pieces)
        self._pause = pause
        self._end = end
        self.sent: list[dict[str, Any]] = []
        self.asked = 0

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        await asyncio.sleep(self._pause)
        if not self._pieces:
            if self._end:
                return {"type": "http.disconnect"}
            await asyncio.sleep(3600)
        piece = self._pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces) or not self._end}

    async def send(self, message: Any) -> None:
        self.sent.append(dict(message))

    @property
    def told(self) -> Told:
        head, *rest = self.sent
        headers = {name.decode(): value.decode() for name, value in head["headers"]}
        content = b"".join(part["body"] for part in rest)
        assert headers["content-length"] == str(len(content))
        assert [part["more_body"] for part in rest] == [True] * (len(rest) - 1) + [False]
        return Told(head["status"], headers, content)


def scope(path: str = READ, *, token: str | None = TOKEN, method: str = "POST") -> dict[str, Any]:
    headers = [(b"Content-Type", b"text/xml")]
    if token is not None:
        headers.append((b"Authorization", f"Bearer {token}".encode()))
    return {
        "type": "http", "method": method, "path": path, "query_string": b"wsdl", "headers": headers,
        "client": ("192.0.2.7", 1),
    }  # fmt: skip


async def call(application: Application, line: Line, **named: Any) -> Told:
    await application(scope(**named), line.receive, line.send)
    return line.told


def run(pace: Pace, line: Line, desk: MemoryDesk | None = None, limits: Limits | None = None, **named: Any) -> Told:
    return asyncio.run(call(Application(door(desk, limits=limits), pace), line, **named))


def test_a_body_in_pieces() -> None:
    line = Line(BODY[:10], b"", BODY[10:])
    assert len(run(Pace(), line).rows()) == 5


def test_an_answer_in_pieces() -> None:
    desk = MemoryDesk(tables={"101001001/0001": rows(20_000)})
    line = Line(envelope(query("<limit>20000</limit>")))
    told = run(Pace(), line, desk)
    assert len(told.rows()) == 20_000
    assert len(line.sent) > 5


def test_documents_and_health() -> None:
    assert run(Pace(), Line(), method="GET").root.tag.endswith("definitions")
    assert run(Pace(), Line(), path="/healthz", method="GET").content == b"ok\n"


@pytest.mark.parametrize("pieces", [[BODY[:10]], []], ids=["slow", "silent"])
def test_a_sender_must_keep_a_pace(pieces: list[bytes]) -> None:
    begun = time.monotonic()
    told = run(Pace(grace=0.2, rate=1000), Line(*pieces, end=False))
    assert (told.status, told.code) == (408, "Client.Slow")
    assert time.monotonic() - begun < 3


def test_a_body_must_be_here_in_time() -> None:
    drips = [b"x" * 100] * 1000
    told = run(Pace(seconds=0.3, rate=1), Line(*drips, pause=0.01))
    assert told.code == "Client.Slow"


def test_a_body_without_a_length_has_a_limit_too() -> None:
    line = Line(*[b"x" * 1000] * 1000)
    told = run(Pace(), line, limits=Limits(body=5000))
    assert (told.status, told.code) == (413, "Client.TooLarge")
    assert line.asked < 10


def test_of_strangers_not_much_is_taken() -> None:
    line = Line(*[b"x" * 100_000] * 1000)
    assert run(Pace(), line, token="guessed").code == "Client.Unauthenticated"
    assert line.asked <= 4


def test_all_bodies_together_have_a_limit() -> None:
    async def both() -> tuple[Told, Told, Told]:
        application = Application(door(), Pace(spooled=40_000, seconds=1))
        waiting = Line(b"x" * 30_000, end=False)
        first = asyncio.create_task(call(application, waiting))
        await asyncio.sleep(0.2)
        second = await call(application, Line(b"x" * 20_000, b"x"))
        small = await call(application, Line(BODY))
        held = await first
        assert (await call(application, Line(b"x" * 30_000))).code == "Client.Malformed"
        return held, second, small

    held, second, small = asyncio.run(both())
    assert (second.status, second.code) == (503, "Server.Later")
    assert int(second.headers["retry-after"]) > 0
    assert small.status == 200
    assert held.code == "Client.Slow"


def test_callers_without_a_head_share_a_quarter() -> None:
    whole = envelope(query(), header=security())
    assert run(Pace(spooled=len(whole) * 4), Line(whole), token=None).status == 200
    told = run(Pace(spooled=len(whole) * 4 - 8), Line(whole), token=None)
    assert told.code == "Server.Later"


def test_too_many_calls_are_told_to_come_later() -> None:
    async def crowd() -> list[Told]:
        application = Application(door(), Pace(waiting=2, seconds=0.5))
        slow = [asyncio.create_task(call(application, Line(end=False))) for _ in range(2)]
        await asyncio.sleep(0.1)
        refused = await call(application, Line(BODY))
        await asyncio.gather(*slow)
        return [refused, await call(application, Line(BODY))]

    refused, later = asyncio.run(crowd())
    assert (refused.code, later.status) == ("Server.Later", 200)


def test_strangers_who_send_slowly_keep_nobody_waiting_whom_we_know() -> None:
    async def crowd() -> list[Told]:
        application = Application(door(), Pace(waiting=8, seconds=1))
        slow = [asyncio.create_task(call(application, Line(end=False), token=None)) for _ in range(20)]
        await asyncio.sleep(0.1)
        known = await call(application, Line(BODY))
        strange = await call(application, Line(BODY), token=None)
        told = await asyncio.gather(*slow)
        assert sorted(each.code for each in told) == ["Client.Slow"] * 2 + ["Server.Later"] * 18
        whole = envelope(query(), header=security())
        return [known, strange, await call(application, Line(whole), token=None)]

    known, strange, later = asyncio.run(crowd())
    assert (known.status, strange.code, later.status) == (200, "Server.Later", 200)


def test_slow_senders_take_no_thread() -> None:
    async def crowd() -> float:
        application = Application(door(), Pace(threads=1, seconds=3))
        slow = [asyncio.create_task(call(application, Line(*[b"x"] * 500, pause=0.05))) for _ in range(40)]
        await asyncio.sleep(0.3)
        begun = time.monotonic()
        assert (await call(application, Line(BODY))).status == 200
        taken = time.monotonic() - begun
        for each in slow:
            each.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return taken

    assert asyncio.run(crowd()) < 1


def test_whoever_leaves_gets_nothing_and_leaves_nothing() -> None:
    async def leave() -> tuple[Line, Application]:
        application = Application(door(), Pace())
        line = Line(BODY[:10])
        line._pieces.append(b"")
        line._end = False
        original: Callable[[], Any] = line.receive

        async def receive() -> dict[str, Any]:
            return await original() if line._pieces else {"type": "http.disconnect"}

        await application(scope(), receive, line.send)
        return line, application

    line, application = asyncio.run(leave())
    assert line.sent == []
    assert application._spooled == {True: 0, False: 0}
    assert application._admitted == {True: 0, False: 0}


def test_a_reader_that_does_not_read_is_left() -> None:
    class Stuck(Line):
        async def send(self, message: Any) -> None:
            if message["type"] == "http.response.body":
                await asyncio.sleep(3600)

    async def one() -> None:
        line = Stuck(BODY)
        await Application(door(), Pace(reading=0.2))(scope(), line.receive, line.send)

    asyncio.run(asyncio.wait_for(one(), 5))


def test_work_is_not_done_on_the_loop() -> None:
    names: list[str] = []

    class Watched(MemoryDesk):
        def identify(self, shown: Shown, peer: str) -> Caller:
            names.append(threading.current_thread().name)
            return super().identify(shown, peer)

    run(Pace(), Line(BODY), Watched())
    assert names[0].startswith("soap")


def test_the_log_names_the_caller_and_no_content(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run(Pace(), Line(envelope(query("<cursor>3</cursor>"))))
    assert "POST 200" in caplog.text
    assert "by bureau" in caplog.text
    assert "101001001" not in caplog.text


def test_start_and_end() -> None:
    async def life() -> list[str]:
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        told: list[str] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            told.append(message["type"])

        await Application(door())({"type": "lifespan"}, receive, send)
        return told

    assert asyncio.run(life()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_fault_is_soap() -> None:
    told = run(Pace(), Line(b"hello"))
    assert told.headers["content-type"].startswith("text/xml")
    assert etree.fromstring(told.content).tag.endswith("Envelope")


class RecallingDesk(MemoryDesk):
    """Has one token in mind, and says where it was asked for it."""

    def __init__(self) -> None:
        super().__init__()
        self.recalling: list[int] = []
        self.identifying: list[int] = []

    def recalled(self, shown: Shown) -> Caller | None:
        self.recalling.append(threading.get_ident())
        return super().identify(shown, "") if getattr(shown, "text", "") == TOKEN else None

    def identify(self, shown: Shown, peer: str) -> Caller:
        self.identifying.append(threading.get_ident())
        return super().identify(shown, peer)


def test_who_is_in_mind_is_admitted_at_once_and_who_is_not_like_any_other() -> None:
    desk = RecallingDesk()
    assert len(run(Pace(), Line(BODY), desk).rows()) == 5
    assert (desk.recalling, desk.identifying) == ([threading.get_ident()], [])
    assert run(Pace(), Line(BODY), desk, token="someone-else").status != 200
    assert len(desk.identifying) == 1
    assert threading.get_ident() not in desk.identifying
    # What is wrong with a head is said as before, whoever sends it.
    assert run(Pace(), Line(BODY), desk, path="/soap/nowhere").status != 200
    assert run(Pace(), Line(BODY), desk, method="DELETE").status == run(Pace(), Line(BODY), method="DELETE").status
