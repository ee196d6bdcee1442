"""Messages (消息): what is owed to recipients of files, to those whom it concerns, and the work at it.

The people of the hub's own department and the audit administrator see everything; those of a recipient what is owed
to it. An integrator or the system administrator of the recipient or of the hub may try again and withdraw.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from exchange.audit import Sealer
from exchange.engine import Courier, Dispatched, Dispatches, DispatchState, forget, open_transport, transport_errors
from exchange.engine.courier import Notify
from exchange.errors import Denied, HubError, Unknown
from exchange.hub.reasons import read_reason
from exchange.identity import Actor
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub


@dataclass(frozen=True)
class Letter:
    """A dead letter as the transport has it (死信)."""

    recipient: str
    resource: str
    reason: str


@dataclass(frozen=True)
class TransportStatus:
    """How the message middleware stands (消息服务状态).

    Attributes:
        transport: ``embedded`` or ``broker``.
        reachable: Whether it answers.
        error: Why not.
        depths: Messages that wait, by recipient; None: it has no queue yet.
        letters: Its dead letters, if they were asked for.
    """

    transport: str
    reachable: bool
    error: str | None
    depths: dict[str, int | None]
    letters: tuple[Letter, ...] = ()


class Messages:
    """What people do with what is owed to recipients of files."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def listed(
        self, *, by: Actor, recipient: str | None = None, state: str | None = None, limit: int | None = None
    ) -> list[Dispatched]:
        """What is and was owed, the newest first (列出待送).

        Raises:
            Denied: It is asked for another department's.
        """
        return self._books.listed(recipient=self._whose(by, recipient), state=state, limit=limit)

    def counts(self, *, by: Actor, recipient: str | None = None) -> dict[str, int]:
        """How many there are of each state."""
        return self._books.counts(self._whose(by, recipient))

    def show(self, id: int, *, by: Actor) -> Dispatched:
        """One of them (查看待送).

        Raises:
            Unknown: There is none of that number, or none of the actor's department.
        """
        found = self._books.listed(id=id)
        if not found or (not self._oversees(by) and found[0].recipient != by.department):
            raise Unknown(f"没有待送 {id}", remedy="用 shutong messages list 查看")
        return found[0]

    def status(self, *, by: Actor, letters: bool = False) -> TransportStatus:
        """How the middleware stands; that it is away is an answer too (消息服务状态)."""
        own = None if self._oversees(by) else by.department
        bound, _ = self._books.queues()
        queues = sorted(queue for queue in bound if own in (None, queue))
        found: tuple[Letter, ...] = ()
        name = "broker" if self._hub.settings.messages.url else "embedded"
        try:
            with transport_errors(), open_transport(self._hub.settings) as transport:
                depths = transport.depths(queues)
                if letters:
                    every = transport.dead_letters()
                    found = tuple(Letter(x.queue, x.message.topic, x.reason) for x in every if own in (None, x.queue))
        except HubError as error:
            return TransportStatus(name, reachable=False, error=error.message, depths={})
        return TransportStatus(name, reachable=True, error=None, depths=depths, letters=found)

    def requeue(self, id: int, *, by: Actor) -> None:
        """Try again at once what is dead, withdrawn or waiting (重新排队).

        Raises:
            Unknown: There is none of that number.
            Denied: The actor may not.
            Misplaced: It was delivered, or its grant is no more.
        """
        with self._permitted(id, "重新排队", by):
            self._books.requeue(id, by=by)
        self._forget()

    def requeue_dead(self, *, by: Actor, recipient: str | None = None) -> list[int]:
        """Try again everything that is dead, and that the actor sees; the numbers (全部重新排队)."""
        ids = [each.id for each in self.listed(by=by, recipient=recipient, state=DispatchState.DEAD.value)]
        for number in ids:
            with self._permitted(number, "重新排队", by):
                self._books.requeue(number, by=by)
        self._forget()
        return ids

    def withdraw(self, id: int, *, reason: str, by: Actor) -> None:
        """Do not deliver what is owed (撤回); the exchange itself goes on by its own time.

        Raises:
            Unknown: There is none of that number.
            Denied: The actor may not.
            Misplaced: It was delivered or withdrawn.
            Invalid: No reason is given.
        """
        with self._permitted(id, "撤回", by):
            self._books.withdraw(id, read_reason(reason, f"撤回待送 {id}"), by=by)
        self._forget()

    def work(
        self,
        *,
        by: Actor,
        once: bool = False,
        seconds: float | None = None,
        workers: int | None = None,
        notify: Notify | None = None,
    ) -> dict[str, int]:
        """Publish and deliver in this process, until it is told to stop (消息投递).

        What is delivered is delivered by the platform, under its grants; the actor only starts the work.

        Args:
            by: An integrator or system administrator of the hub.
            once: Until nothing is to be delivered any more.
            seconds: So long at most.
            workers: Deliveries to work at together, in the place of the settings' number.
            notify: Told what happens.

        Returns:
            How often what happened.
        """
        hub = self._hub
        of = [hub.settings.hub_department]
        with hub.permitted(by, Role.INTEGRATOR, Role.SYSTEM, action="投递消息", of=of):
            told = {"notify": notify} if notify else {}
            courier = Courier(hub.settings, self._books, hub.oversight.carry_out, **told)
            with Sealer(hub.audit), _stopped_by_signals(courier):
                return dict(courier.work(once=once, seconds=seconds, workers=workers))

    # --- who may -------------------------------------------------------------------------------

    @property
    def _books(self) -> Dispatches:
        return self._hub.engine.dispatches

    def _oversees(self, by: Actor) -> bool:
        at_hub = by.department == self._hub.settings.hub_department
        return Role.AUDIT in by.roles or (at_hub and not by.roles.isdisjoint({Role.INTEGRATOR, Role.SYSTEM}))

    def _whose(self, by: Actor, recipient: str | None) -> str | None:
        if self._oversees(by):
            return recipient
        if recipient not in (None, by.department):
            action = f"查看部门 {recipient} 的待送"
            error = Denied(f"{by.name} 不能{action}", ["只有接收部门和平台管理单位的人员可以查看"])
            self._hub.denied(by, action, error, department=recipient)
            raise error
        return by.department or ""

    @contextmanager
    def _permitted(self, id: int, word: str, by: Actor) -> Iterator[None]:
        found = self._books.listed(id=id)
        of = [found[0].recipient] if found else []
        about = {"exchange": found[0].exchange} if found else {}
        with self._hub.permitted(by, Role.INTEGRATOR, Role.SYSTEM, action=f"把待送 {id} {word}", of=of, **about):
            yield

    def _forget(self) -> None:
        """Dead letters of what is not dead any more go; if the transport is away, by a later look."""
        try:
            with transport_errors(), open_transport(self._hub.settings) as transport:
                forget(transport, self._books)
        except HubError:
            return


@contextmanager
def _stopped_by_signals(courier: Courier) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the work after what is in hand."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        courier.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)
