"""One guarded exchange over HTTP: a deadline for all of it, a limit of bytes, no detours.

A read timeout alone does not end an answer that comes byte by byte; so a timer closes the connection.
"""

from __future__ import annotations

import heapq
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.cookies import extract_cookies_to_jar

from adapters.errors import Malformed, Unavailable
from adapters.webservice.errors import of_status, translated

CHUNK = 1 << 16
SMALL = 1 << 14
"""Bytes of a body that goes out together with its head."""
COOKIES = 16 << 10
"""Characters of the cookies of one service."""


@dataclass(frozen=True)
class Limits:
    """How long one exchange may take in all (seconds), and how many bytes an answer may have."""

    seconds: float = 60.0
    largest: int = 32 << 20


@dataclass(frozen=True)
class Reply:
    """An answer that is whole: HTTP status, media type, charset of its header, body."""

    status: int
    media: str
    charset: str | None
    body: bytes


class Incoming:
    """An answer that is on its way: its head, and its body in chunks within the limits."""

    def __init__(self, response: urllib3.BaseHTTPResponse, place: str, largest: int, watch: _Watch) -> None:
        media, _, rest = response.headers.get("Content-Type", "").partition(";")
        named = {
            name.strip().lower(): value.strip("\"' ") for name, _, value in (p.partition("=") for p in rest.split(";"))
        }
        self.status = response.status
        self.media = media.strip().lower()
        self.charset = named.get("charset") or None
        self.date = response.headers.get("Date")
        """The server's clock, if it tells it."""
        self._response = response
        self._place = place
        self._largest = largest
        self._watch = watch

    def chunks(self) -> Iterator[bytes]:
        """The body.

        Raises:
            Malformed: It is larger than it may be, or compressed.
        """
        if self._response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Malformed(f"{self._place} 的应答带有压缩，没有要求它压缩", remedy="由提供方改正")
        size = 0
        pieces = self._response.stream(CHUNK, decode_content=False)
        while True:
            try:
                chunk = next(pieces, None)
            except ValueError as error:  # a chunk of less than no bytes
                raise Malformed(f"{self._place} 的应答不是正确的 HTTP", remedy="由提供方改正") from error
            if chunk is None:
                return
            size += len(chunk)
            if size > self._largest:
                raise Malformed(f"{self._place} 的应答超过 {self._largest} 字节", remedy="减小每页行数")
            yield chunk

    def away(self) -> AbstractContextManager[None]:
        """The taker is busy elsewhere: meanwhile the deadline does not come nearer."""
        return self._watch.stopped()


class Line:
    """The line to one service.

    Args:
        limits: For each exchange.
        credentials: User and password for basic authentication.
        ca: File of the certificates to trust instead of the public ones.
        certificate: Files of our own certificate and its key, where the service asks for one.
        kept: The connection is kept from one exchange to the next; then no two of them may run together.
    """

    def __init__(
        self,
        limits: Limits,
        credentials: tuple[str, str] | None = None,
        ca: Path | None = None,
        certificate: tuple[Path, Path] | None = None,
        *,
        kept: bool = False,
    ) -> None:
        self._limits = limits
        self._watch = _Watch()
        self._session = requests.Session()
        # Proxies, certificates and passwords come from the registration, not from the environment.
        self._session.trust_env = False
        self._session.auth = credentials
        self._session.verify = str(ca) if ca else True
        if certificate is not None:
            self._session.cert = (str(certificate[0]), str(certificate[1]))
        self._session.headers.update(
            {"User-Agent": "shutong", "Accept-Encoding": "identity", "Accept": "text/xml, */*"}
        )
        self._session.headers["Connection"] = "keep-alive" if kept else "close"
        adapter = _WatchedAdapter(self._watch)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._adapter = adapter
        self._kept = kept
        self._path: _Path | None = None

    def get(self, url: str) -> Reply:
        """Fetch a document."""
        return self._exchange("GET", url, None, {})

    def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Reply:
        """Send a message and take the answer."""
        return self._exchange("POST", url, content, headers)

    def close(self) -> None:
        """Let go of the session."""
        self._session.close()

    @contextmanager
    def open(
        self, method: str, url: str, content: bytes | Iterable[bytes] | None, headers: Mapping[str, str]
    ) -> Iterator[Incoming]:
        """Send a request and take its answer as it comes; content in pieces is sent chunked.

        Raises:
            AdapterError: By what went wrong, here or while the body is taken.
        """
        place = place_of(url)
        with self._watch.until(self._limits.seconds):
            try:
                response = self._asked(method, url, content, headers)
                self._demand_few_cookies()
                try:
                    if refusal := of_status(response.status, place, response.headers.get("Retry-After")):
                        raise refusal
                    yield Incoming(response, place, self._limits.largest, self._watch)
                finally:
                    response.close()
                    response.release_conn()
            except (OSError, urllib3.exceptions.HTTPError) as error:
                # Those of requests are OSErrors; so is a file of a certificate that is not there.
                if self._watch.expired:
                    raise self._late(place) from error
                raise translated(error, place) from error
            except (Malformed, Unavailable) as error:
                # An answer without length that was cut looks whole.
                if self._watch.expired:
                    raise self._late(place) from error
                raise
            if self._watch.expired:
                raise self._late(place)

    def _asked(
        self, method: str, url: str, content: bytes | Iterable[bytes] | None, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        """Send a request as ``requests`` does; over a kept line the same again, by the way it has prepared."""
        path = self._path
        if path is not None and isinstance(content, bytes) and path.leads(method, url, headers):
            response: urllib3.BaseHTTPResponse = path.pool.urlopen(
                method,
                path.target,
                body=content,
                headers={**path.headers, "Content-Length": str(len(content))},
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=self._limits.seconds, read=self._limits.seconds),
            )
            if "Set-Cookie" in response.headers:
                # It wants to know us again: from now on that is looked after for every request.
                extract_cookies_to_jar(self._session.cookies, path.prepared, response)  # type: ignore[no-untyped-call]
                self._path = None
            return response
        prepared = self._session.prepare_request(requests.Request(method, url, dict(headers), data=content))
        answer = self._session.send(
            prepared, timeout=self._limits.seconds, allow_redirects=False, stream=True, **self._trusted
        )
        if self._kept and isinstance(content, bytes) and not self._session.cookies:
            self._path = _Path(
                method,
                url,
                dict(headers),
                self._adapter.get_connection_with_tls_context(prepared, proxies={}, **self._trusted),
                self._adapter.request_url(prepared, {}),
                dict(prepared.headers),
                prepared,
            )
        whole: urllib3.BaseHTTPResponse = answer.raw
        return whole

    @property
    def _trusted(self) -> dict[str, Any]:
        return {"verify": self._session.verify, "cert": self._session.cert}

    def _demand_few_cookies(self) -> None:
        """A balancer's cookie is kept; a service that sets ever new ones would fill our memory and its own requests."""
        jar = self._session.cookies
        if sum(len(cookie.name) + len(cookie.value or "") for cookie in jar) > COOKIES:
            jar.clear()

    def _exchange(self, method: str, url: str, content: bytes | None, headers: Mapping[str, str]) -> Reply:
        with self.open(method, url, content, headers) as incoming:
            return Reply(incoming.status, incoming.media, incoming.charset, b"".join(incoming.chunks()))

    def _late(self, place: str) -> Unavailable:
        return Unavailable(f"{place} 没有在 {self._limits.seconds:g} 秒内答完", remedy="稍后再试，或减小每页行数")


@dataclass(frozen=True)
class _Path:
    """The way a request went that may go again with another body: what ``requests`` made of it."""

    method: str
    url: str
    given: Mapping[str, str]
    pool: Any
    target: str
    headers: Mapping[str, str]
    prepared: requests.PreparedRequest

    def leads(self, method: str, url: str, given: Mapping[str, str]) -> bool:
        """Whether a request is the same but for its body."""
        return (method, url) == (self.method, self.url) and given == self.given


class _Alarm:
    """Something to be done at a moment, unless it is cancelled."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring: Callable[[], None] | None = ring

    def cancel(self) -> None:
        """It is not to be done any more."""
        self._ring = None

    def ring(self) -> None:
        """Do it."""
        ring = self._ring
        if ring is not None:
            ring()


class _Clock:
    """One thread that rings all alarms: a thread for each would cost more than a small exchange does."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._alarms: list[tuple[float, int, _Alarm]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def set(self, seconds: float, ring: Callable[[], None]) -> _Alarm:
        """Ring after so many seconds."""
        alarm = _Alarm(ring)
        entry = (time.monotonic() + seconds, next(self._numbers), alarm)
        with self._changed:
            heapq.heappush(self._alarms, entry)
            if self._thread is None or not self._thread.is_alive():  # also in a process that was forked
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            elif self._alarms[0] is entry:
                self._changed.notify()
        return alarm

    def _run(self) -> None:
        while True:
            with self._changed:
                left = self._alarms[0][0] - time.monotonic() if self._alarms else None
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                _, _, alarm = heapq.heappop(self._alarms)
            alarm.ring()


_clock = _Clock()


class _Watch:
    """Closes the sockets of an exchange when its time is up."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self.expired = False

    @contextmanager
    def until(self, seconds: float) -> Iterator[None]:
        self.expired = False
        with self._lock:
            # Those of connections that are kept are watched on.
            self._sockets = [each for each in self._sockets if each.fileno() >= 0]
        self._left = seconds
        self._start()
        try:
            yield
        finally:
            self._alarm.cancel()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The clock stands still: the time is not the peer's."""
        self._alarm.cancel()
        self._left -= time.monotonic() - self._started
        try:
            yield
        finally:
            self._start()

    def _start(self) -> None:
        self._started = time.monotonic()
        self._alarm = _clock.set(max(self._left, 0.0), self._expire)

    def add(self, connected: socket.socket) -> None:
        with self._lock:
            self._sockets.append(connected)

    def _expire(self) -> None:
        self.expired = True
        with self._lock:
            for connected in self._sockets:
                try:
                    # The plain method: that of a TLS socket takes its state away under the reader's hands.
                    socket.socket.shutdown(connected, socket.SHUT_RDWR)
                except OSError:
                    continue


class _Whole:
    """Sends the head of a small request together with its body: the peer wakes up once for it, not twice."""

    _parts: list[bytes] | None = None

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **named: Any) -> None:
        """Make a request, and send it."""
        if not isinstance(body, bytes) or len(body) > SMALL:
            super().request(method, url, body, headers, **named)  # type: ignore[misc]  # beside a connection
            return
        self._parts = []
        try:
            super().request(method, url, body, headers, **named)  # type: ignore[misc]
            whole = b"".join(self._parts)
        finally:
            self._parts = None
        self.send(whole)

    def send(self, data: Any) -> None:
        """Send, or keep for the request that is being made."""
        if self._parts is None:
            super().send(data)  # type: ignore[misc]
        else:
            self._parts.append(data)


class _WatchedAdapter(HTTPAdapter):
    """Opens connections that tell the watch their sockets."""

    def __init__(self, watch: _Watch) -> None:
        self._watch = watch
        super().__init__(max_retries=0)

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        watch = self._watch

        class Plain(_Whole, urllib3.connection.HTTPConnection):
            def connect(self) -> None:
                super().connect()
                watch.add(self.sock)

        class Secured(_Whole, urllib3.connection.HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                watch.add(self.sock)

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecuredPool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Secured

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecuredPool}


def place_of(url: str) -> str:
    """Host and path of a URL: a query may carry what is nobody's business."""
    parts = urlsplit(url)
    return f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
