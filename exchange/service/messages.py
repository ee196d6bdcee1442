"""Pushing (推送): a message is durable before anything is answered, is carried out once, and has one answer for ever.

The file first, then the row that names it, under the department's own id; then the exchange runs with the oldest
message that waits. What became of a message is what became of its last run: the answer is made of that, whoever asks
and whenever. Where the exchange is busy or the library away, ``shutong run --due`` carries it out later.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from adapters import OPERATION
from adapters.errors import AdapterError, Malformed, Refused
from adapters.mailbox import write_message
from adapters.webservice.desk import Caller, Pushed, RefusedPush
from exchange.audit import events
from exchange.checks import KEPT
from exchange.db import now
from exchange.db.tables import MessageRow, QuarantineRow, ReceiptRow, RunRow
from exchange.engine import UNFINISHED, RunState
from exchange.errors import HubError
from exchange.hub import Hub
from exchange.identity import programme
from exchange.service.offers import Reach
from exchange.service.rates import Rates

_LONGEST = 128
_DELIVERED = (RunState.COMMITTED, RunState.SETTLED)


class Content:
    """Keyed digest over the rows of a message, however they are cut into batches.

    Args:
        key: A key of the hub: a digest of few rows is personal data like the rows.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._columns: dict[str, tuple[hashlib._Hash, hashlib._Hash]] = {}
        self.rows = 0

    def through(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Take a batch in; it is handed on as it is."""
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            lengths, values = self._columns.setdefault(name, (hashlib.sha256(), hashlib.sha256()))
            texts = column.cast(pa.string())
            lengths.update(np.asarray(pc.fill_null(pc.binary_length(texts), -1), np.int32).tobytes())
            values.update(_bytes(pc.fill_null(texts, "")))
        self.rows += batch.num_rows
        return batch

    def digest(self) -> str:
        """The digest, in hex."""
        parts = [
            f"{name}\x00{lengths.hexdigest()}{values.hexdigest()}"
            for name, (lengths, values) in sorted(self._columns.items())
        ]
        return hmac.digest(self._key, "\n".join([str(self.rows), *parts]).encode(), "sha256").hex()


def _bytes(texts: pa.StringArray) -> memoryview:
    """All texts of a column one after another, as they lie in memory."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1] if offsets else [0, 0]
    return memoryview(data or b"")[int(ends[0]) : int(ends[-1])]


class Messages:
    """Takes messages in and says what became of them.

    Args:
        hub: The hub.
        rates: Count what is pushed.
        wait: Seconds that one call may take to carry messages out.
    """

    def __init__(self, hub: Hub, rates: Rates, *, wait: float) -> None:
        self._hub = hub
        self._rates = rates
        self._wait = wait

    def push(self, caller: Caller, reach: Reach, message: str, batches: Iterator[pa.RecordBatch]) -> Pushed:
        """Take a message in and carry it out; see :meth:`adapters.webservice.desk.Desk.push`.

        Raises:
            Malformed: Its id is none, or it has too many rows.
            Refused: The id came before with other content, or for another resource.
            Unavailable: A limit was reached; nothing was taken.
        """
        if not message or len(message) > _LONGEST or not message.isprintable():
            raise Malformed(f"消息编号应为 1 至 {_LONGEST} 个可见字符", remedy="改正消息编号")
        with self._hub.database.transaction() as session:
            self._rates.take(session, caller.department)
        file = self._hub.engine.mailroom.message_name()
        post = self._hub.engine.mailroom.post(reach.exchange.source["endpoint"])
        content = Content(self._hub.keyring.derive("message"))
        write_message(post, file, self._named(reach, content, batches))
        try:
            kept = self._enter(caller, reach, message, file, content)
        except AdapterError:
            # Nothing was written; of any other error nobody knows whether its row is there, and the file stays.
            post.remove(file)
            raise
        if not kept:
            post.remove(file)
        self._carry_out(caller, reach, message)
        return self._told(caller, message, repeated=not kept)

    def status(self, caller: Caller, message: str) -> Pushed:
        """What became of a message of the caller's department.

        Raises:
            Refused: It pushed none of that id.
        """
        with self._hub.database.transaction() as session:
            self._rates.take(session, caller.department)
        return self._told(caller, message, repeated=False)

    # --- taking in -----------------------------------------------------------------------------

    def _named(self, reach: Reach, content: Content, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows under the names of the offer's columns, counted and digested on their way."""
        most = self._hub.current.limits.message_rows
        names = {**reach.exchange.source["columns"], OPERATION: OPERATION}
        for batch in batches:
            if set(batch.schema.names) != {*(item.name for item in reach.offer.items), OPERATION}:
                raise Malformed("消息的信息项与服务描述不符", remedy="按服务描述填写全部信息项，空值也要写出")
            content.through(batch)
            if content.rows > most:
                raise Malformed(f"一份消息不能超过 {most} 行", remedy="分成几份推送，各用自己的消息编号")
            yield batch.rename_columns([names[name] for name in batch.schema.names])

    def _enter(self, caller: Caller, reach: Reach, message: str, file: str, content: Content) -> bool:
        """Write the row that makes the message received; False: it came before, with the same content."""
        exchange = reach.exchange
        digest = content.digest()
        with self._hub.database.transaction() as session:
            known = self._row(session, caller, message)
            if known is None:
                row = MessageRow(
                    department=caller.department,
                    message=message,
                    exchange=exchange.id,
                    endpoint=exchange.source["endpoint"],
                    object=exchange.source["object"],
                    file=file,
                    digest=digest,
                    rows=content.rows,
                    kept=True,
                    received_at=now(session),
                )
                try:
                    with session.begin_nested():
                        session.add(row)
                except IntegrityError:  # another worker has taken it in meanwhile
                    known = self._row(session, caller, message)
            if known is not None:
                if (known.exchange, known.digest) != (exchange.id, digest):
                    raise Refused(f"消息编号 {message} 已用于内容不同的消息", remedy="新的内容用新的消息编号推送")
                return False
            self._rates.take(session, caller.department, calls=0, rows=content.rows)
            event = events.MessageReceived(message=message, rows=content.rows, digest=digest, credential=caller.id)
            about = {"resource": exchange.resource, "exchange": exchange.id, "department": caller.department}
            self._hub.audit.record(session, event, by=programme(caller.id, caller.department), **about)
        return True

    def _row(self, session: Session, caller: Caller, message: str) -> MessageRow | None:
        wanted = select(MessageRow).where(MessageRow.department == caller.department, MessageRow.message == message)
        return session.scalar(wanted)

    # --- carrying out --------------------------------------------------------------------------

    def _carry_out(self, caller: Caller, reach: Reach, message: str) -> None:
        """Run the exchange until the message has had its run; those before it go first."""
        until = time.monotonic() + self._wait
        by = programme(caller.id, caller.department)
        before: tuple[str | None, str | None] | None = None
        while time.monotonic() < until:
            with self._hub.database.reading() as session:
                run = self._run(session, self._found(session, caller, message))
                last = select(RunRow).where(RunRow.exchange == reach.exchange.id).order_by(RunRow.started_at.desc())
                newest = session.scalar(last.limit(1))
                stands = (newest.id, newest.state) if newest is not None else (None, None)
            if (run is not None and run.state in (RunState.SETTLED, RunState.STOPPED)) or stands == before:
                return
            before = stands
            try:
                with self._hub.told():
                    self._hub.engine.run(reach.exchange.id, by=by)
            except HubError:
                # The message is safe; how it stands is told by its run, and whoever runs what is due goes on.
                return

    # --- answering -----------------------------------------------------------------------------

    def _found(self, session: Session, caller: Caller, message: str) -> MessageRow:
        row = self._row(session, caller, message) if 0 < len(message) <= _LONGEST and message.isprintable() else None
        if row is None:
            raise Refused("没有这个消息", remedy="核对消息编号；没有推送过的，直接推送")
        return row

    def _run(self, session: Session, row: MessageRow) -> RunRow | None:
        return session.get(RunRow, row.run) if row.run is not None else None

    def _told(self, caller: Caller, message: str, *, repeated: bool) -> Pushed:
        with self._hub.database.reading() as session:
            row = self._found(session, caller, message)
            run = self._run(session, row)
            if run is None or (run.state in UNFINISHED and run.state not in _DELIVERED):
                return Pushed(message=message, state="received", rows=row.rows, repeated=repeated)
            if run.state not in (*_DELIVERED, RunState.STOPPED):
                return Pushed(message=message, state="failed", rows=row.rows, repeated=repeated)
            refused = self._refused(session, run.id)
            if run.state == RunState.STOPPED:
                return Pushed(message=message, state="stopped", rows=row.rows, refused=refused, repeated=repeated)
            return Pushed(
                message=message,
                state="delivered",
                rows=row.rows,
                accepted=row.rows - len({each.row for each in refused}),
                refused=refused,
                receipt=session.scalar(select(ReceiptRow.id).where(ReceiptRow.run == run.id)),
                repeated=repeated,
            )

    def _refused(self, session: Session, run: str) -> tuple[RefusedPush, ...]:
        """Why rows were refused; the number of reading is that in the message, as a run reads one message."""
        rows = session.execute(
            select(QuarantineRow.number, QuarantineRow.item, QuarantineRow.rule, QuarantineRow.reason)
            .where(QuarantineRow.run == run, QuarantineRow.rule.not_in(KEPT))
            .order_by(QuarantineRow.number, QuarantineRow.id)
        )
        return tuple(RefusedPush(*row) for row in rows)
