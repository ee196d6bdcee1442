"""The hub behind the SOAP door (服务台): what departments' programmes read, look up and push.

Everything a caller may have is found by its department; whatever it may not is refused in one wording and logged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from adapters.errors import AdapterError, Refused, Unavailable
from adapters.webservice.desk import Caller, Desk, Direction, Offer, Page, Pushed, ReceiptAnswer, Shown
from exchange.audit import Sealer
from exchange.errors import Denied
from exchange.hub import Hub, open_hub
from exchange.hub.attempts import Bounded
from exchange.identity import programme
from exchange.service.evidence import Evidence
from exchange.service.guard import WRITTEN, Guard
from exchange.service.letters import Letters
from exchange.service.looks import Looks
from exchange.service.messages import Messages
from exchange.service.offers import Offers, Reach
from exchange.service.rates import Exceeded, Rates

_LONGEST = 64
"""Characters of a resource's code at most."""


class HubDesk(Desk):
    """A hub as the door may use it; safe for any number of threads and of processes beside each other.

    To be used in ``with``: meanwhile what it logs is sealed within a second.

    Args:
        hub: The hub; closed by whoever opened it.
        wait: Seconds a pushed message may take to be carried out before it is answered as received.
    """

    def __init__(self, hub: Hub, *, wait: float = 20.0) -> None:
        self._hub = hub
        self._sealer = Sealer(hub.audit)
        self._guard = Guard(hub)
        self._offers = Offers(hub)
        rates = Rates(lambda: hub.current.limits)
        self._letters = Letters(hub, rates)
        self._looks = Looks(hub, rates)
        self._messages = Messages(hub, rates, wait=wait)
        self._evidence = Evidence(hub)
        self._rates = rates
        self._written: dict[str, Bounded] = {}

    def __enter__(self) -> Self:
        self._sealer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sealer.stop()
        self._looks.close()

    def identify(self, shown: Shown, peer: str) -> Caller:
        """Who shows this."""
        return self._guard.identify(shown, peer)

    def recalled(self, shown: Shown) -> Caller | None:
        """Who shows a token that held a moment ago."""
        return self._guard.recalled(shown)

    def offers(self, caller: Caller) -> Sequence[Offer]:
        """What the caller may use."""
        self._count(caller)
        return [reach.offer for reach in self._offers.of(caller.department) if reach.current]

    def offer(self, caller: Caller, resource: str, direction: Direction) -> Offer:
        """One of them; also one whose grant is over, as long as something delivered under it is to be fetched."""
        return self._reach(caller, resource, direction, ended=True).offer

    def lookup_offer(self, caller: Caller, resource: str) -> Offer:
        """An offer of rows, as it was some seconds ago at most."""
        with self._telling(caller, f"使用资源 {resource}", resource):
            return self._looks.reach(caller, resource, lambda: self._found(caller, resource, "read")).offer

    def contract(self, resource: str, version: int, direction: Direction) -> Offer | None:
        """An offer as it was at a version."""
        if not _sensible(resource):
            return None
        return self._offers.contract(resource, version, direction)

    def query(self, caller: Caller, resource: str, cursor: str | None, limit: int) -> Page:
        """Rows of the delivery a cursor names, or of the next one."""
        reach = self._reach(caller, resource, "read", ended=True)
        with self._telling(caller, f"读取资源 {resource}", resource):
            return self._letters.page(caller, reach, cursor, limit)

    def lookup(self, caller: Caller, resource: str, key: Mapping[str, str]) -> Page:
        """The row of one key as it is now."""
        with self._telling(caller, f"查询资源 {resource}", resource):
            return self._looks.look(caller, resource, lambda: self._found(caller, resource, "read"), key)

    def push(self, caller: Caller, resource: str, message: str, batches: Iterator[pa.RecordBatch]) -> Pushed:
        """Take a message in and carry it out."""
        reach = self._reach(caller, resource, "write")
        with self._telling(caller, f"推送资源 {resource}", resource):
            return self._messages.push(caller, reach, message, batches)

    def status(self, caller: Caller, message: str) -> Pushed:
        """What became of a message."""
        with self._telling(caller, "查询推送结果", None):
            return self._messages.status(caller, message)

    def receipt(self, caller: Caller, name: str) -> ReceiptAnswer:
        """A receipt that concerns the caller's department."""
        with self._telling(caller, "查询回执", None):
            self._count(caller)
            return self._evidence.receipt(caller, name)

    def _reach(self, caller: Caller, resource: str, direction: Direction, *, ended: bool = False) -> Reach:
        with self._telling(caller, f"使用资源 {resource}", resource):
            return self._found(caller, resource, direction, ended=ended)

    def _found(self, caller: Caller, resource: str, direction: Direction, *, ended: bool = False) -> Reach:
        """What the caller may use, in its own words: what is not granted and what there is not are one."""
        found = self._offers.of(caller.department, resource, direction) if _sensible(resource) else []
        if found and (found[0].current or ended):
            return found[0]
        self._count(caller)  # who is given something is counted there; who guesses, here
        raise Refused(f"没有可{'读取' if direction == 'read' else '推送'}的资源", remedy="可用的资源见 offers")

    def _count(self, caller: Caller) -> None:
        with self._hub.database.transaction() as session:
            self._rates.take(session, caller.department)

    @contextmanager
    def _telling(self, caller: Caller, action: str, resource: str | None) -> Iterator[None]:
        """What is refused inside is logged before the caller hears it."""
        try:
            yield
        except AdapterError as error:
            if isinstance(error, Exceeded) or not isinstance(error, Unavailable):
                self._tell(caller, action, error, resource)
            raise

    def _tell(self, caller: Caller, action: str, error: AdapterError, resource: str | None) -> None:
        """A refusal, before it is told; in a storm of them only some, as the log's readers are people.

        Each department has a measure of its own: nobody's storm is to hide what is refused another.
        """
        if self._written.setdefault(caller.department, Bounded(WRITTEN)).through() is None:
            return
        denied = Denied(error.message, [error.message])
        self._hub.denied(programme(caller.id, caller.department), action, denied, resource=resource)


def _sensible(resource: str) -> bool:
    """Whether it could be a code; a database may be asked for nothing else."""
    return 0 < len(resource) <= _LONGEST and resource.isprintable()


def open_desk(home: Path) -> HubDesk:
    """Open the hub of a home for the door; its log is sealed as long as the process lives."""
    return HubDesk(open_hub(home)).__enter__()
