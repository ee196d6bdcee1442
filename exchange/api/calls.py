"""What a call has at hand (调用): the hub, who calls, and what it is to be answered with."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar, cast
from urllib.parse import urlencode

from fastapi import Depends, Header, Path, Query, Request, Response
from fastapi.encoders import jsonable_encoder
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException

from exchange.errors import Invalid, Problem, Unknown
from exchange.hub import Hub
from exchange.hub.sessions import Presence
from exchange.identity import Actor
from exchange.web.working import Working
from exchange.words import BEIJING

T = TypeVar("T")
FIRST, LAST = datetime(1970, 1, 1, tzinfo=BEIJING), datetime(2200, 1, 1, tzinfo=BEIJING)
LARGEST_PAGE = 200


class Call:
    """One call.

    Attributes:
        request: The call.
        response: Where headers of the answer are put.
        hub: The hub.
        presence: Who calls, and by which token.
        by: The actor of its use cases.
        working: Carries out what outlasts the call.
    """

    def __init__(self, request: Request, response: Response) -> None:
        self.request = request
        self.response = response
        self.hub = cast(Hub, request.app.state.hub)
        self.presence = cast(Presence, request.state.presence)
        self.by: Actor = self.presence.actor
        self.working = cast(Working, request.app.state.working)

    def secret(self) -> None:
        """What is answered is told this once: it is not kept for a call that comes again."""
        self.request.state.secret = True

    def tagged(self, document: Any) -> None:
        """Say which state of a thing is answered (ETag); who has it already is told so.

        Raises:
            HTTPException: 304, the caller has it.
        """
        tag = tag_of(document)
        self.response.headers["ETag"] = tag
        looked = self.request.method in ("GET", "HEAD")
        if looked and _named(self.request.headers.get("if-none-match"), tag, weakly=True):
            raise HTTPException(304, headers={"ETag": tag})

    @contextmanager
    def matching(
        self, current: Callable[[], Any], *, hold: Callable[[Session], Any], required: bool = False
    ) -> Iterator[None]:
        """Let what is committed meanwhile change only the state of a thing that the caller has seen (If-Match).

        It is compared in the transaction that changes it, with the thing held: of two who have seen the same one comes
        second, and is told so.

        Args:
            current: What is answered to who asks for the thing now; raises Unknown where there is none.
            hold: Holds the thing in the transaction.
            required: Whether a thing that is there is changed only by who says what he has seen.
        """
        condition = _Precondition(self.request, current, hold, required=required)
        if condition.given:
            # Who may not see it is refused here: a refusal is logged in a transaction of its own.
            with suppress(Unknown):
                current()
        with self.hub.database.accompanied(condition):
            yield


class _Precondition:
    """Compares what the caller has seen with what is there, once, in the first transaction of a use case."""

    def __init__(
        self, request: Request, current: Callable[[], Any], hold: Callable[[Session], Any], *, required: bool
    ) -> None:
        self._match = request.headers.get("if-match")
        self._none_match = request.headers.get("if-none-match")
        self._current = current
        self._hold = hold
        self._required = required
        self._met = False

    @property
    def given(self) -> bool:
        """Whether there is anything to compare."""
        return bool(self._match or self._none_match or self._required)

    def began(self, session: Session) -> None:
        if self._met or not self.given:
            return
        self._hold(session)
        try:
            tag = tag_of(self._current())
        except Unknown:
            tag = None
        if tag is None:
            if self._match is not None:
                raise HTTPException(412, "它已经不在了，没有改动")
        elif self._none_match is not None and _named(self._none_match, tag, weakly=True):
            raise HTTPException(412, "已经有了，没有改动", {"ETag": tag})
        elif self._match is None:
            if self._required:
                raise HTTPException(428, "须写明所见的版本（If-Match）：先取回现在的内容和 ETag", {"ETag": tag})
        elif not _named(self._match, tag, weakly=False):
            raise HTTPException(412, "其间已有他人改动，没有改动：取回现在的内容，再改", {"ETag": tag})
        self._met = True

    def ending(self, session: Session) -> None:
        """Nothing more."""


def tag_of(document: Any) -> str:
    """The entity tag of what is answered: two are the same where their documents are."""
    plain = json.dumps(jsonable_encoder(document), ensure_ascii=True, sort_keys=True)
    return f'"{hashlib.sha256(plain.encode()).hexdigest()[:32]}"'


def _named(header: str | None, tag: str, *, weakly: bool) -> bool:
    if header is None:
        return False
    given = [each.strip() for each in header.split(",")]
    return "*" in given or tag in given or (weakly and f"W/{tag}" in given)


Asked = Annotated[Call, Depends(Call)]
"""A call of somebody."""


# --- words that everything is asked by -------------------------------------------------------------


def _in_range(moment: datetime) -> datetime:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=BEIJING)
    if not FIRST <= aware <= LAST:
        raise ValueError("应在 1970 年至 2200 年之间")
    return aware


Moment = Annotated[datetime, AfterValidator(_in_range)]
"""A moment; without a zone it is Beijing's."""


Code = Annotated[str, Path(max_length=64, description="信息资源代码，其中的斜杠写作 %2F", examples=["101001001/0001"])]
Name = Annotated[str, Path(max_length=255, description="编号或名称")]
Number = Annotated[int, Path(ge=1, le=2**63 - 1, description="编号")]
Cursor = Annotated[str | None, Query(max_length=600, description="翻页标记：原样使用上一页的 next")]
Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="每页条数")]
Filter = Annotated[str | None, Query(max_length=255)]
Match = Annotated[
    str | None, Header(alias="If-Match", max_length=200, description="所见内容的 ETag：已有他人改动则 412")
]


class Sent(BaseModel):
    """What is sent: nothing that is not known."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Why(Sent):
    """A reason (理由)."""

    reason: str = Field(min_length=1, max_length=500, description="理由，记入日志；勿写个人信息")


# --- pages -----------------------------------------------------------------------------------------


class Page(BaseModel, Generic[T]):
    """Some of many (一页): ``next`` starts the following page, null on the last one."""

    items: list[T] = Field(description="本页内容")
    next: str | None = Field(description="下一页的翻页标记；没有下一页时为 null")


def paged(call: Call, found: Sequence[T], key: Callable[[T], str], *, cursor: str | None, limit: int) -> Page[T]:
    """A page of what was found, after the thing that the cursor names.

    Raises:
        Invalid: The cursor names nothing that is there.
    """
    start = 0
    if cursor is not None:
        last = _opened(cursor)
        start = next((place for place, each in enumerate(found, 1) if key(each) == last), 0)
        if last is None or not start:
            raise _no_cursor()
    items = list(found[start : start + limit])
    more = closed(key(items[-1])) if start + limit < len(found) else None
    return turned(call, items, more)


def last_of(cursor: str | None) -> str:
    """The key of the last thing of the page before; empty on the first.

    Raises:
        Invalid: It was made by nobody here.
    """
    last = "" if cursor is None else _opened(cursor)
    if last is None or (cursor is not None and not last):
        raise _no_cursor()
    return last


def number_of(cursor: str | None) -> int:
    """The same where keys are numbers; 0 on the first."""
    last = last_of(cursor)
    if last and not (last.isascii() and last.isdecimal() and len(last) <= 18):
        raise _no_cursor()
    return int(last or 0)


def cut(call: Call, found: Sequence[T], key: Callable[[T], str], *, limit: int) -> Page[T]:
    """A page of what was found after the last one, with one more than fits where there is more."""
    items = list(found[:limit])
    return turned(call, items, closed(key(items[-1])) if len(found) > limit else None)


def turned(call: Call, items: Sequence[T], cursor: str | None) -> Page[T]:
    """A page that the hub has cut, with the way on in a header too."""
    if cursor is not None:
        asked = [(name, text) for name, text in call.request.query_params.multi_items() if name != "cursor"]
        following = f"{call.request.scope['root_path']}{_raw(call.request)}?{urlencode([*asked, ('cursor', cursor)])}"
        call.response.headers["Link"] = f'<{following}>; rel="next"'
    return Page[Any](items=list(items), next=cursor)


def _raw(request: Request) -> str:
    raw = cast(bytes, request.scope.get("raw_path") or b"/")
    return raw.partition(b"?")[0].decode("ascii", "replace")


def closed(key: str) -> str:
    """The cursor of a page that begins after a thing of this key."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _opened(cursor: str) -> str | None:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        return None


def _no_cursor() -> Invalid:
    return Invalid("翻页标记不对，或那一条已经不在", [Problem("cursor", "不能用")], remedy="从第一页重新取")


def only(**given: Any) -> Mapping[str, Any]:
    """What was asked for, without what was left open."""
    return {name: value for name, value in given.items() if value is not None}
