"""``Idempotency-Key`` (幂等键): a call that comes again is answered again, and not carried out again.

What holds, whenever the process dies:

- The key is committed before anything is done, with whoever carries the call out. Each transaction of the call's use
  cases then marks the key in itself, and fails where somebody else has taken the call over. So a use case of one
  transaction is carried out once at most, and whether it was is known: a key without a mark has done nothing.
- The answer is kept after it is made. Whoever comes again is given it. Where it was lost between the two, he is told
  that the call was carried out and its answer lost: he is to look, and not to call again.
- A use case of several transactions is marked by its first: it is never begun a second time under its key. How far it
  came stands in the hub's books, as of every call.

An answer with a secret in it is not kept: what is told once is told once.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from exchange.db import HubDatabase, now
from exchange.db.tables import OnceRow
from exchange.errors import Busy, Invalid, Misplaced, Problem

HEADER = "Idempotency-Key"
KEPT = timedelta(hours=24)
"""How long a key stands for its call."""
HELD = timedelta(seconds=120)
"""After which a call that nobody has answered, and that has committed nothing, may be begun anew."""
LARGEST = 256 << 10
"""Characters of an answer that is kept."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_HEADERS = ("location", "etag", "content-type")


class Reused(Invalid):
    """The key stands for another call."""


class Underway(Busy):
    """The call is being carried out, or whoever did died a moment ago; later its answer is known."""


class Answerless(Misplaced):
    """The call was carried out; its answer is not to be had again."""


@dataclass(frozen=True)
class Kept:
    """An answer that was given before."""

    status: int
    headers: Mapping[str, str]
    body: str


class Once:
    """One call under a key; it goes with what the call commits.

    Args:
        database: The hub's.
        account: Login of who calls.
        key: As he gave it.
        call: What it stands for: method, address and body.
    """

    def __init__(self, database: HubDatabase, account: str, key: str, call: bytes) -> None:
        if not _KEY.fullmatch(key):
            problem = Problem(HEADER, "应为 1 至 255 个可见的 ASCII 字符", "用 UUID，每件事一个")
            raise Invalid(f"{HEADER} 不能用", [problem])
        self._database = database
        self._account = account
        self._key = hashlib.sha256(key.encode()).hexdigest()
        self._digest = hashlib.sha256(call).hexdigest()
        self._holder = secrets.token_hex(16)
        self._open = True

    def begin(self) -> Kept | None:
        """Take the call in hand; what was answered before, if it was carried out before.

        Raises:
            Reused: The key stands for another call.
            Underway: It is being carried out.
            Answerless: It was carried out, and its answer is lost or was a secret.
        """
        try:
            with self._database.transaction() as session:
                moment = now(session)
                session.execute(delete(OnceRow).where(OnceRow.begun_at < moment - KEPT))
                row = session.get(OnceRow, (self._account, self._key), with_for_update=True)
                if row is None:
                    session.add(
                        OnceRow(
                            account=self._account,
                            key=self._key,
                            digest=self._digest,
                            holder=self._holder,
                            begun_at=moment,
                        )
                    )
                    return None
                if row.digest != self._digest:
                    raise Reused(f"{HEADER} 已经用于另一次调用", remedy="换一个；每件事用一个，重发同一件事时才不换")
                if row.status is not None:
                    return self._again(row)
                if row.done_at is not None:
                    raise Answerless(
                        "这次调用已经办理，答复没有保存下来", remedy="查看办理的结果；确要再办，换一个 Idempotency-Key"
                    )
                if moment - row.begun_at < HELD:
                    raise Underway("这次调用正在办理", remedy="稍后以同一个 Idempotency-Key 再试")
                # Whoever had it has committed nothing, and cannot any more: the holder is another.
                row.holder, row.begun_at = self._holder, moment
                return None
        except IntegrityError:  # the same call, at the same moment
            raise Underway("这次调用正在办理", remedy="稍后以同一个 Idempotency-Key 再试") from None

    def _again(self, row: OnceRow) -> Kept:
        if row.body is None:
            raise Answerless(
                "这次调用已经办理，答复只告知一次", remedy="没有收到的，撤销后换一个 Idempotency-Key 重新办理"
            )
        return Kept(row.status or 200, {str(name): str(text) for name, text in (row.headers or {}).items()}, row.body)

    def end(self, status: int, headers: Mapping[str, str], body: bytes, *, secret: bool) -> None:
        """Keep the answer; of a call that did nothing neither that nor the key."""
        self._open = False
        with self._database.transaction() as session:
            row = session.get(OnceRow, (self._account, self._key), with_for_update=True)
            if row is None or row.holder != self._holder:
                return
            if row.done_at is None and status >= 300:
                session.delete(row)
                return
            if status >= 500:
                return  # what was done stands; nobody knows what to say of it
            text = body.decode("utf-8", "replace")
            row.status = status
            row.headers = {name: headers[name] for name in _HEADERS if name in headers}
            row.body = None if secret or len(text) > LARGEST else text

    # --- with what the call commits ------------------------------------------------------------

    def began(self, session: Session) -> None:
        """Nothing yet."""

    def ending(self, session: Session) -> None:
        """Mark the key in the transaction.

        Raises:
            Underway: Somebody else carries the call out by now.
        """
        if not self._open:
            return
        mine = OnceRow.account == self._account, OnceRow.key == self._key, OnceRow.holder == self._holder
        done: Any = session.execute(update(OnceRow).where(*mine).values(done_at=now(session)))
        if done.rowcount != 1:
            raise Underway("这次调用已由另一次重发接着办理", remedy="以同一个 Idempotency-Key 查询结果")


def described(method: str, target: str, body: bytes) -> bytes:
    """What a key stands for: the same method, the same address and the same body, however that is spaced."""
    try:
        sent = json.dumps(json.loads(body), ensure_ascii=True, sort_keys=True).encode() if body else b""
    except (ValueError, RecursionError):
        sent = body
    return b"\n".join((method.encode(), target.encode(), sent))
