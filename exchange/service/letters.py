"""Reading (读取): deliveries out of a department's box, page after page, and the run that makes the next one.

A delivery is fetched when the caller asks on from its last row: that answer is empty and has no cursor, and the
asking says that what came before has arrived. Until then whoever asks without a cursor gets the delivery again from
its beginning; so a caller that dies, or whose line does, loses nothing.

What has passed the gate counts as delivered: it can be fetched whatever has become of the grant since.
"""

from __future__ import annotations

import base64
import hmac
import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.errors import Malformed, Refused, Unavailable
from adapters.mailbox import Letter, pages
from adapters.webservice.desk import Caller, Page
from exchange.audit import events
from exchange.db import now
from exchange.db.tables import MailRow, RunRow
from exchange.engine import RunState
from exchange.engine.mailbox import letter_of
from exchange.hub import Hub
from exchange.identity import programme
from exchange.service.errors import answered
from exchange.service.offers import Reach
from exchange.service.rates import Rates, granted

LARGEST = 200_000
"""Rows of one page at most."""
_TAG = 16
_DELIVERED = (RunState.COMMITTED, RunState.SETTLED)


class Letters:
    """Serves the boxes.

    Args:
        hub: The hub.
        rates: Count what is asked for.
    """

    def __init__(self, hub: Hub, rates: Rates) -> None:
        self._hub = hub
        self._rates = rates
        self._key = hub.keyring.derive("cursor")

    def page(self, caller: Caller, reach: Reach, cursor: str | None, limit: int) -> Page:
        """Rows from a cursor on, or of the oldest delivery that was not fetched, or of a new one.

        Args:
            caller: Who asks.
            reach: What for.
            cursor: As it was given with the page before.
            limit: Rows at most; where the grant has a limit of its own, no more than the minute still has.

        Raises:
            Malformed: The cursor is none of this caller's for this resource, or its delivery is gone.
            Unavailable: A limit was reached, or no delivery can be made now.
            Refused: There is nothing left, and the grant allows nothing more.
        """
        if limit < 1:
            raise Malformed("每页行数至少为 1", remedy="改正每页行数")
        start, calls, measure = 0, 1, granted(reach.grant)
        if cursor is not None:
            run, start = self._read(caller, reach, cursor)
            letter = self._letter(reach, run)
        else:
            found = self._oldest(reach)
            if found is None:
                with self._hub.database.transaction() as session:
                    self._rates.take(session, caller.department, grant=measure)
                calls = 0  # it is counted, and before there is work
                found = self._new(caller, reach)
            run, letter = found
        rows = min(limit, LARGEST, letter.rows - start)
        ended = start >= letter.rows
        with self._hub.database.transaction() as session:
            rows = self._rates.take(session, caller.department, calls=calls, rows=rows, grant=measure)
            if ended:
                self._fetched(session, caller, reach, run, letter)
        following = None if ended else self._write(caller, reach, run, start + rows)
        post = self._hub.engine.mailroom.post(reach.exchange.target["endpoint"])
        batches = pages(post, letter, start, rows) if rows else iter(())
        return Page(batches, lambda: following, run)

    # --- deliveries ----------------------------------------------------------------------------

    def _oldest(self, reach: Reach) -> tuple[str, Letter] | None:
        """The first delivery that waits and is promoted at the hub; without a receipt it is none yet."""
        waiting = (
            select(MailRow, RunRow.id)
            .join(RunRow, RunRow.delivery == MailRow.delivery)
            .where(MailRow.exchange == reach.exchange.id, MailRow.state == "waiting", RunRow.state.in_(_DELIVERED))
            .order_by(MailRow.at, MailRow.delivery)
        )
        with self._hub.database.reading() as session:
            for row, run in session.execute(waiting):
                if sum(row.parts):
                    return run, letter_of(row)
        return None

    def _letter(self, reach: Reach, run: str) -> Letter:
        with self._hub.database.reading() as session:
            found = session.get(RunRow, run)
            row = session.get(MailRow, found.delivery) if found is not None else None
            if row is None or row.exchange != reach.exchange.id:
                raise _strange()
            if not row.kept or row.state == "expired":
                raise Malformed("这次交付已过保留期", remedy="不带游标重新读取")
            return letter_of(row)

    def _new(self, caller: Caller, reach: Reach) -> tuple[str, Letter]:
        """Run the exchange; what it brings, which may be nothing."""
        resource = reach.offer.resource
        with answered(resource), self._hub.told():
            result = self._hub.engine.run(reach.exchange.id, by=programme(caller.id, caller.department))
        if result.state == RunState.BARRED:
            raise Refused(f"资源 {resource} 的授权现在不允许提供", remedy="向平台查询授权的状态和已用行数")
        if result.state not in _DELIVERED:
            raise Unavailable(f"资源 {resource} 的这次交付没有放行", remedy="平台已留记录；请与平台联系后再试")
        return result.id, self._letter(reach, result.id)

    def _fetched(self, session: Session, caller: Caller, reach: Reach, run: str, letter: Letter) -> None:
        row = session.get_one(MailRow, letter.key, with_for_update=True)
        if row.state != "waiting":
            return
        row.state, row.ended_at, row.fetched_by = "fetched", now(session), caller.id
        self._hub.audit.record(
            session,
            events.MailFetched(
                delivery=letter.key, rows=letter.rows, deleted=letter.deleted, credential=caller.id
            ),
            by=programme(caller.id, caller.department),
            resource=reach.exchange.resource,
            exchange=reach.exchange.id,
            run=run,
            department=caller.department,
        )  # fmt: skip

    # --- cursors -------------------------------------------------------------------------------

    def _write(self, caller: Caller, reach: Reach, run: str, start: int) -> str:
        body = json.dumps([run, start], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._tag(caller, reach, body) + body).decode().rstrip("=")

    def _read(self, caller: Caller, reach: Reach, cursor: str) -> tuple[str, int]:
        try:
            content = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raise _strange() from None
        tag, body = content[:_TAG], content[_TAG:]
        if not hmac.compare_digest(tag, self._tag(caller, reach, body)):
            raise _strange()
        run, start = json.loads(body)
        return run, start

    def _tag(self, caller: Caller, reach: Reach, body: bytes) -> bytes:
        """Bound to department and exchange, so that a cursor is of use to nobody else and for nothing else."""
        about = json.dumps([caller.department, reach.exchange.id]).encode()
        return hmac.digest(self._key, about + b"\n" + body, "sha256")[:_TAG]


def _strange() -> Malformed:
    return Malformed("游标不是平台给出的，或不属于这次读取", remedy="不带游标重新读取")
