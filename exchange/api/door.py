"""The door of the REST interface (接口入口): what every call comes through, before anything of it is looked at.

Who calls is told by ``Authorization: Bearer`` and by nothing else: no cookie is ever read, so no page of somebody
else's can call in a person's name. How often is counted per account, whichever of its tokens is shown. What no use
case could mean is refused here: NUL and half characters, depth without end, numbers without end.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from exchange.api.once import HEADER, Once, described
from exchange.api.problems import problem
from exchange.errors import Denied, HubError, Invalid, Problem
from exchange.hub import Hub
from exchange.hub.sessions import Presence
from exchange.web import paths  # noqa: F401 - the convertor of codes in addresses
from exchange.web.calling import address_of

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
DEEPEST = 64
"""How deep a document may be."""
LARGEST_NUMBER = 2**63 - 1
LARGEST_DOCUMENT = 1 << 20
"""Bytes of a document; a resource of five hundred items has a tenth of that."""
REALM = 'Bearer realm="shutong"'
REPLAYED = "Idempotency-Replayed"


class Door(APIRoute):
    """A route that only somebody with a token comes through."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler behind the door."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                await _let_in(request)
                return await _carried(request, handle)
            except (HubError, HTTPException, RequestValidationError) as error:
                if isinstance(error, HTTPException) and error.status_code == 304:
                    return Response(status_code=304, headers=error.headers)
                return problem(request, error)

        return guarded


async def _let_in(request: Request) -> None:
    """Find out who calls, and refuse what cannot be meant.

    Raises:
        HTTPException: Nobody calls, or too often.
        Denied: The token is for looking only.
        Invalid: It cannot be meant.
    """
    given = request.headers.get("authorization", "")
    scheme, _, secret = given.partition(" ")
    known = scheme.lower() == "bearer" and bool(secret.strip())
    presence = await run_in_threadpool(_present, request, secret.strip()) if known else None
    if presence is None:
        request.app.state.rate.demand(f"address {address_of(request)}")
        refused = f'{REALM}, error="invalid_token"' if known else REALM
        title = "令牌无效、过期或已吊销" if known else "须出示令牌：Authorization: Bearer …"
        raise HTTPException(401, title, {"WWW-Authenticate": refused})
    request.app.state.rate.demand(f"account {presence.account}")
    request.state.presence = presence
    if request.method not in SAFE and not presence.may_write:
        await run_in_threadpool(_refuse, request, presence)
    await _demand_meant(request)


def _present(request: Request, secret: str) -> Presence | None:
    hub = cast(Hub, request.app.state.hub)
    return hub.tokens.bearer(secret, address=address_of(request))


def _refuse(request: Request, presence: Presence) -> None:
    hub = cast(Hub, request.app.state.hub)
    error = Denied(
        f"{presence.actor.name} 的令牌不能办理",
        ["令牌的范围只有读取（read）"],
        remedy="以范围含 write 的令牌调用；令牌由本人登录后签发",
    )
    hub.denied(presence.actor, f"{request.method} {request.scope['route'].path_format}", error)
    raise error


# --- what cannot be meant --------------------------------------------------------------------------


async def _demand_meant(request: Request) -> None:
    for name, text in (*request.path_params.items(), *request.query_params.multi_items()):
        if not (_plain(name) and _plain(str(text))):
            raise _meaningless(f"参数 {name[:40].encode('ascii', 'replace').decode()}", "含有不能保存的字符")
    if request.method in SAFE:
        return  # nobody reads what is sent with it
    body = await request.body()
    if body and _is_json(request):
        if len(body) > LARGEST_DOCUMENT:
            raise _meaningless("内容", f"超过 {LARGEST_DOCUMENT >> 20} MiB")
        # Nobody else waits for it.
        await run_in_threadpool(_demand_document, body)


def _demand_document(body: bytes) -> None:
    try:
        document = json.loads(body, parse_constant=_no_number, parse_int=_bounded)
    except RecursionError:
        raise _meaningless("内容", "层次过深") from None
    except ValueError as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "不是 UTF-8 的 JSON，或数字过大"
        raise _meaningless("内容", why) from None
    _demand_plain(document)


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    return kind in ("application/json", "") or kind.endswith("+json")


def _demand_plain(document: Any) -> None:
    """Look through a document level by level, so that its depth costs nothing."""
    level = [document]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            match value:
                case str():
                    if not _plain(value):
                        raise _meaningless("内容", "含有不能保存的字符（NUL 或半个字符）")
                case dict():
                    below += [*value.keys(), *value.values()]
                case list():
                    below += value
        if not below:
            return
        level = below
    raise _meaningless("内容", f"层次过深，至多 {DEEPEST} 层")


def _plain(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _no_number(text: str) -> Any:
    raise ValueError(text)


def _bounded(text: str) -> int:
    number = int(text) if len(text) < 24 else LARGEST_NUMBER + 1
    if abs(number) > LARGEST_NUMBER:
        raise ValueError
    return number


def _meaningless(where: str, why: str) -> Invalid:
    return Invalid("请求的内容有误", [Problem(where, why)])


# --- once and not again ----------------------------------------------------------------------------


async def _carried(request: Request, handle: Callable[[Request], Awaitable[Response]]) -> Response:
    """Have the call carried out; under a key, once."""
    key = request.headers.get(HEADER)
    if key is None or request.method != "POST":
        return await handle(request)
    hub = cast(Hub, request.app.state.hub)
    presence: Presence = request.state.presence
    target = f"{request.scope['path']}?{request.url.query}"
    call = described(request.method, target, await request.body())
    once = Once(hub.database, presence.account, key, call)
    kept = await run_in_threadpool(once.begin)
    if kept is not None:
        return Response(kept.body, kept.status, {**kept.headers, REPLAYED: "true"})
    answer: Response | None = None
    try:
        with hub.database.accompanied(once):
            try:
                answer = await handle(request)
            except (HubError, HTTPException, RequestValidationError) as error:
                answer = problem(request, error)
        return answer
    finally:
        # After a defect too: what was done is marked, and what was not may be tried again.
        secret = getattr(request.state, "secret", False)
        status, headers = (answer.status_code, answer.headers) if answer is not None else (500, {})
        body = bytes(answer.body) if answer is not None else b""
        await run_in_threadpool(lambda: once.end(status, headers, body, secret=secret))
