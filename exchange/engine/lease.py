"""The lease of an exchange (租约): one owner at a time, by the hub database's clock, with an epoch.

The epoch rises with every new owner. It travels into the target transaction, which refuses a
lower one: an owner that was paused and wakes up cannot write.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from exchange.db import HubDatabase, clock
from exchange.db.tables import LeaseRow, PartRow
from exchange.errors import Busy, HubError


def acquire(session: Session, exchange: str, *, owner: str, seconds: float, at_least: int = 0) -> int:
    """Take the lease inside the caller's transaction and return its epoch.

    Args:
        session: An open hub transaction.
        exchange: Id of the exchange.
        owner: Name of the one who takes it, see :func:`owner_name`.
        seconds: How long it holds without a heartbeat.
        at_least: The epoch becomes higher than this: used after the hub was restored from a backup.

    Raises:
        Busy: Somebody else holds it.
    """
    row = session.scalar(select(LeaseRow).where(LeaseRow.exchange == exchange).with_for_update())
    moment = clock(session)
    if row is None:
        row = _first(session, exchange)
    elif row.owner is not None and row.expires > moment:
        left = row.expires - moment
        raise Busy(f"交换 {exchange} 正由 {row.owner} 执行", remedy=f"{left:.0f} 秒内无心跳则可接管，届时重试")
    row.epoch = max(row.epoch, at_least) + 1
    row.owner = owner
    row.expires = moment + seconds
    session.flush()
    return row.epoch


def _first(session: Session, exchange: str) -> LeaseRow:
    """The row of an exchange that was never run; of two who make it at the same moment, one does."""
    row = LeaseRow(exchange=exchange, epoch=0, owner=None, expires=0.0)
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise Busy(f"交换 {exchange} 刚由其他执行者开始", remedy="稍后重试") from error
    return row


def holds(session: Session, exchange: str, *, owner: str, epoch: int) -> bool:
    """Whether the lease is still this owner's, under a row lock until the transaction ends."""
    row = session.scalar(select(LeaseRow).where(LeaseRow.exchange == exchange).with_for_update())
    return row is not None and row.owner == owner and row.epoch == epoch


def release(session: Session, exchange: str, *, owner: str, epoch: int) -> None:
    """Give the lease back if it is still this owner's."""
    if holds(session, exchange, owner=owner, epoch=epoch):
        row = session.get_one(LeaseRow, exchange)
        row.owner = None
        row.expires = 0.0


def owner_name() -> str:
    """A name no other worker has: host, process and a random part."""
    return f"{socket.gethostname()[:60]}/{os.getpid()}/{secrets.token_hex(4)}"


class Heartbeat:
    """Renews a lease on a thread and a connection of its own until stopped.

    ``lost`` becomes true when a beat finds that the lease is no longer ours.
    """

    def __init__(self, database: HubDatabase, exchange: str, *, owner: str, epoch: int, seconds: float) -> None:
        self._database = database
        self._exchange = exchange
        self._owner = owner
        self._epoch = epoch
        self._seconds = seconds
        self._stop = threading.Event()
        self.lost = False
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat {exchange}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(self._seconds / 3):
            try:
                with self._database.transaction() as session:
                    row = self._held(session)
                    if row is None:
                        self.lost = True
                        return
                    row.expires = clock(session) + self._seconds
            except HubError:
                # The next beat tries again; the gate and the target's epoch hold whatever happens here.
                continue

    def _held(self, session: Session) -> LeaseRow | PartRow | None:
        """The row of the lease under a lock, if it is still ours."""
        if not holds(session, self._exchange, owner=self._owner, epoch=self._epoch):
            return None
        return session.get_one(LeaseRow, self._exchange)

    def check(self) -> None:
        """Stop working as soon as the lease is known to be somebody else's.

        Raises:
            Busy: The lease was taken over.
        """
        if self.lost:
            raise Busy(f"交换 {self._exchange} 已被其他执行者接管", remedy="无需处理：由接管者继续")


class PartHeartbeat(Heartbeat):
    """Renews the lease of one part of a split run (分段租约), which is a row of its own."""

    def __init__(self, database: HubDatabase, part: PartRow, exchange: str, *, seconds: float) -> None:
        super().__init__(database, exchange, owner=part.owner or "", epoch=part.epoch, seconds=seconds)
        self._part = part.run, part.number

    def _held(self, session: Session) -> PartRow | None:
        row = session.get_one(PartRow, self._part, with_for_update=True)
        return row if (row.owner, row.epoch) == (self._owner, self._epoch) else None
