"""The boxes of departments that call the hub (信箱): files of the vault, and books in the hub's own database.

A letter is committed by its row; a message is received by its row. Either names files that were durable before.
A message is taken by one run at a time, named in that run's plan and marked in the transaction that makes the run
durable; what became of it is what became of its last run, so that nothing else needs to be written when that ends.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from sqlalchemy import Select, func, or_, select, update
from sqlalchemy.orm import Session

from adapters import Endpoint, Overtaken, Restored
from adapters.mailbox import MESSAGE, Chunks, Letter, MailboxEndpoint, Post
from exchange.audit import AuditLog, events
from exchange.db import HubDatabase, alone, now
from exchange.db.tables import ExchangeRow, MailRow, MessageRow, RunRow
from exchange.engine.states import UNDELIVERED, RunState
from exchange.identity import Actor
from exchange.plan import Plan
from exchange.secrets import Vault

MAILBOX = MailboxEndpoint.kind
"""The kind of the boxes."""
PUSHED = "pushed"
"""The capture that reads messages."""
_AGAIN = tuple(state for state in UNDELIVERED if state is not RunState.STOPPED)
"""How a run may have ended whose message is to be taken by another."""
_ORPHAN_SECONDS = 86_400
"""How old a message's file must be that no row names, to be nobody's: its writer is long gone."""


class HubPost(Post):
    """The hub's keeping of one box; what lies in it is found under the endpoint's name alone.

    Args:
        database: The hub's.
        vault: Where letters and messages lie.
        endpoint: Name of the box.
    """

    def __init__(self, database: HubDatabase, vault: Vault, endpoint: str) -> None:
        self._database = database
        self._vault = vault
        self._endpoint = endpoint
        self._own = hashlib.sha256(endpoint.encode()).hexdigest()[:16] + "."

    def write(self, name: str) -> AbstractContextManager[Chunks]:
        """Begin a file of the vault."""
        return self._vault.write(self._own + name)

    def read(self, name: str) -> Iterator[bytes]:
        """The chunks of a file of the vault."""
        return self._vault.read(self._own + name)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return self._vault.exists(self._own + name)

    def names(self, prefix: str) -> Sequence[str]:
        """Files of this box that begin so."""
        begins = self._own + prefix
        return [name.removeprefix(self._own) for name in self._vault.names() if name.startswith(begins)]

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._vault.remove(self._own + name)

    def letter(self, key: str) -> Letter | None:
        """The row of a delivery."""
        with self._database.reading() as session:
            row = session.get(MailRow, key)
            return None if row is None else letter_of(row)

    def epoch(self, exchange: str) -> int:
        """The highest epoch that committed."""
        with self._database.reading() as session:
            return _epoch(session, exchange)

    def enter(self, letter: Letter, previous: str | None) -> Letter:
        """Insert the row of a delivery unless it is there, or its owner was overtaken."""
        with self._database.transaction() as session:
            alone(session, f"mail {letter.exchange}")
            there = session.get(MailRow, letter.key)
            if there is not None:
                return letter_of(there)
            if _epoch(session, letter.exchange) > letter.epoch:
                raise Overtaken("信箱已见过更高的租约纪元", remedy="由当前持有租约的任务继续")
            if previous is not None and session.get(MailRow, previous) is None:
                raise Restored("信箱没有上一次交付的台账", remedy="确认平台数据库是否被恢复，再重新交付")
            session.add(
                MailRow(
                    delivery=letter.key,
                    exchange=letter.exchange,
                    endpoint=self._endpoint,
                    object=letter.object,
                    manifest=letter.manifest,
                    head=letter.head,
                    epoch=letter.epoch,
                    staged=letter.staged,
                    parts=list(letter.parts),
                    deleted=letter.deleted,
                    at=letter.at,
                    state="waiting",
                    kept=True,
                )
            )
        return letter

    def filed(self, object: str | None) -> Mapping[str, str]:
        """The last message of each object that is still there."""
        newest = select(func.max(MessageRow.id)).where(MessageRow.endpoint == self._endpoint, MessageRow.kept.is_(True))
        if object is not None:
            newest = newest.where(MessageRow.object == object)
        with self._database.reading() as session:
            rows = session.scalars(select(MessageRow).where(MessageRow.id.in_(newest.group_by(MessageRow.object))))
            return {row.object: row.file for row in rows}


class Mailroom:
    """All boxes of the hub.

    Args:
        database: The hub's.
        vault: Where letters and messages lie.
        audit: The log.
    """

    def __init__(self, database: HubDatabase, vault: Vault, audit: AuditLog) -> None:
        self._database = database
        self._vault = vault
        self._audit = audit

    def post(self, endpoint: str) -> HubPost:
        """The keeping of one box."""
        return HubPost(self._database, self._vault, endpoint)

    def opened(self, endpoint: Endpoint, name: str) -> Endpoint:
        """The endpoint, with its keeping if it is a box."""
        if isinstance(endpoint, MailboxEndpoint):
            endpoint.keep(self.post(name))
        return endpoint

    # --- messages ------------------------------------------------------------------------------

    def planned(self, session: Session, plan: Plan) -> Plan:
        """The plan with the message it carries out: the oldest that waits, whatever is registered there."""
        if plan.source.capture != PUSHED:
            return plan
        message = session.scalar(_waiting().where(MessageRow.exchange == plan.exchange).limit(1))
        options = {name: value for name, value in plan.source.options.items() if name != MESSAGE}
        if message is not None:
            options[MESSAGE] = message.file
        return plan.model_copy(update={"source": plan.source.model_copy(update={"options": options})})

    def claim(self, session: Session, run: RunRow, plan: Plan) -> None:
        """Mark the message as taken, in the transaction that makes its run durable."""
        file = plan.source.options.get(MESSAGE)
        if plan.replay is None and plan.source.capture == PUSHED and file is not None:
            session.execute(update(MessageRow).where(MessageRow.file == file).values(run=run.id))

    def waiting(self, session: Session, *, since: datetime | None = None) -> set[str]:
        """Exchanges with a message that waits to be carried out.

        Args:
            session: The caller's.
            since: Only where the next one to be taken is there so long, and no run that took it has failed: such a
                one is taken again at the exchange's own time.
        """
        if since is None:
            return set(session.scalars(_waiting().with_only_columns(MessageRow.exchange)))
        columns = (MessageRow.exchange, MessageRow.run, MessageRow.received_at, ExchangeRow.due_at)
        query = _waiting().join(ExchangeRow, ExchangeRow.id == MessageRow.exchange).with_only_columns(*columns)
        found, seen = set(), set()
        for exchange, run, received, due in session.execute(query):
            if exchange not in seen and received <= since and (run is None or due is None or due <= since):
                found.add(exchange)
            seen.add(exchange)
        return found

    def lying(self, session: Session) -> list[tuple[str, int]]:
        """Exchange and number of each message that waits to be carried out, the oldest first."""
        rows = session.execute(_waiting().with_only_columns(MessageRow.exchange, MessageRow.id))
        return [(exchange, number) for exchange, number in rows]

    @staticmethod
    def message_name() -> str:
        """A name for the file of a new message."""
        return f"message.{int(time.time()):x}.{secrets.token_hex(8)}"

    # --- retention -----------------------------------------------------------------------------

    def expire(self, *, by: Actor, unfetched: int, fetched: int, messages: int) -> int:
        """Remove letters and messages that have lain long enough (信箱留存).

        A delivery that was never fetched is lost with its letter, so that the exchange begins with a full pass again.

        Args:
            by: Who asks.
            unfetched: Days that a letter waits.
            fetched: Days that a fetched letter stays, to be asked for again.
            messages: Days that a message stays after the end of its run.

        Returns:
            How many rows were lost unfetched.
        """
        lost = 0
        with self._database.transaction() as session:
            moment = now(session)
            old = select(MailRow).where(MailRow.state == "waiting", MailRow.at < moment - timedelta(days=unfetched))
            for row in session.scalars(old.order_by(MailRow.at)).all():
                exchange = session.get(ExchangeRow, row.exchange)
                row.state, row.ended_at = "expired", moment
                lost += sum(row.parts)
                event = events.MailExpired(delivery=row.delivery, rows=sum(row.parts))
                about = {"exchange": row.exchange}
                if exchange is not None:
                    exchange.shape = "" if row.parts else exchange.shape
                    about |= {"resource": exchange.resource, "department": exchange.recipient}
                self._audit.record(session, event, by=by, **about)
            stale = moment - timedelta(days=fetched)
            done = select(MailRow).where(
                MailRow.kept.is_(True),
                or_(MailRow.state == "expired", (MailRow.state == "fetched") & (MailRow.ended_at < stale)),
            )
            letters = [(row.endpoint, letter_of(row)) for row in session.scalars(done)]
            ended = select(RunRow.id).where(
                RunRow.state.in_((RunState.SETTLED, RunState.STOPPED)),
                RunRow.ended_at < moment - timedelta(days=messages),
            )
            over = select(MessageRow).where(MessageRow.kept.is_(True), MessageRow.run.in_(ended))
            files = [(row.endpoint, row.file) for row in session.scalars(over)]
        for endpoint, letter in letters:
            self._remove_letter(endpoint, letter)
        for endpoint, file in files:
            self._remove_message(endpoint, file)
        self._sweep()
        return lost

    def _sweep(self) -> None:
        """Files of messages whose writer died before it could say that they are there."""
        self._vault.sweep()
        long_ago = time.time() - _ORPHAN_SECONDS
        written = [name.split(".") for name in self._vault.names() if ".message." in name]
        old = {".".join(parts[1:]): ".".join(parts) for parts in written if int(parts[2], 16) < long_ago}
        with self._database.reading() as session:
            known = set(session.scalars(select(MessageRow.file).where(MessageRow.file.in_(old)))) if old else set()
        for file in old.keys() - known:
            self._vault.remove(old[file])

    def _remove_letter(self, endpoint: str, letter: Letter) -> None:
        """Files first: the row says that they are there until they are not."""
        post = self.post(endpoint)
        for number in range(len(letter.parts), -1, -1):
            post.remove(letter.part(number))
        with self._database.transaction() as session:
            session.get_one(MailRow, letter.key).kept = False

    def _remove_message(self, endpoint: str, file: str) -> None:
        self.post(endpoint).remove(file)
        with self._database.transaction() as session:
            session.execute(update(MessageRow).where(MessageRow.file == file).values(kept=False))


def letter_of(row: MailRow) -> Letter:
    """A letter as its row has it."""
    return Letter(
        key=row.delivery,
        exchange=row.exchange,
        object=row.object,
        manifest=row.manifest,
        head=row.head,
        epoch=row.epoch,
        staged=row.staged,
        parts=tuple(row.parts),
        deleted=row.deleted,
        at=row.at,
    )


def _epoch(session: Session, exchange: str) -> int:
    return session.scalar(select(func.max(MailRow.epoch)).where(MailRow.exchange == exchange)) or 0


def _waiting() -> Select[MessageRow]:
    """Messages that no run has in hand or has ended for good, the oldest first."""
    return (
        select(MessageRow)
        .outerjoin(RunRow, RunRow.id == MessageRow.run)
        .where(MessageRow.kept.is_(True), or_(MessageRow.run.is_(None), RunRow.state.in_(_AGAIN)))
        .order_by(MessageRow.id)
    )
