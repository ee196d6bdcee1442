"""Files, messages and recalls (文件、消息、撤回): what came, what is owed, what was called back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from exchange.api.calls import Asked, Cursor, Filter, Limit, Name, Number, Page, Sent, Why, paged
from exchange.api.door import Door
from exchange.engine import Dispatched
from exchange.hub.files import FollowedFile, ListedFile, LyingFile
from exchange.hub.messages import TransportStatus
from exchange.hub.recalls import RecallEntry

router = APIRouter(route_class=Door)
MOST = 10_000
"""Files and messages that pages lead through; whoever looks for older ones narrows the search."""


class Retry(Sent):
    """A refused file to be tried again (重试)."""

    file: str = Field(min_length=1, max_length=600, description="文件的编号或名称")


class Retried(BaseModel):
    """A file that is tried again (重试结果)."""

    file: int = Field(description="文件的编号")


class Recall(Why):
    """What is called back (撤回)."""

    of: str = Field(min_length=1, max_length=255, description="批次、回执、交换或授权的编号")
    document: str | None = Field(None, max_length=600, description="只撤回这个附件")


class Recalled(BaseModel):
    """Recalls that were ordered (撤回结果)."""

    recalls: list[str] = Field(description="撤回的编号")


class Requeued(BaseModel):
    """What is tried again (重新排队)."""

    messages: list[int] = Field(description="待送的编号")


@router.get("/files", summary="列出文件", tags=["文件"])
def files(
    call: Asked,
    exchange: Filter = None,
    resource: Filter = None,
    state: Filter = None,
    name: Annotated[str | None, Query(max_length=600)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ListedFile]:
    """The files of runs, the last first; names and reasons are for their provider and who oversees the hub."""
    given = {"exchange": exchange, "resource": resource, "state": state, "name": name}
    found = call.hub.files.found(by=call.by, most=MOST, **given)
    return paged(call, found, lambda each: str(each.id), cursor=cursor, limit=limit)


@router.get("/files/{name:code}", summary="追溯文件", tags=["文件"])
def file(call: Asked, name: Name) -> FollowedFile:
    """One file from its drop to the receipts, by its number or its name."""
    return call.hub.files.show(name, by=call.by)


@router.get("/exchanges/{name:code}/files", summary="列出待收取的文件", tags=["文件"])
def waiting(call: Asked, name: Name) -> list[LyingFile]:
    """What lies in a drop and is not taken yet, and why; of an endpoint, of all exchanges that read from it."""
    return call.hub.files.waiting(name, by=call.by)


@router.post("/exchanges/{name:code}/files", summary="重试退回的文件", tags=["文件"])
def retry(call: Asked, name: Name, given: Retry) -> Retried:
    """Have a refused file tried once more, as it is, with the next run."""
    return Retried(file=call.hub.files.retry(name, given.file, by=call.by))


@router.get("/recalls", summary="列出撤回", tags=["撤回"])
def recalls(
    call: Asked, exchange: Filter = None, state: Filter = None, cursor: Cursor = None, limit: Limit = 50
) -> Page[RecallEntry]:
    """Recalls that concern the caller, the latest first."""
    found = call.hub.recalls.entries(by=call.by, exchange=exchange, state=state)
    return paged(call, found, lambda each: each.id, cursor=cursor, limit=limit)


@router.post("/recalls", summary="撤回已送达的文件", tags=["撤回"], status_code=201)
def recall(call: Asked, given: Recall) -> Recalled:
    """Call back what was delivered; the recipient reads the reason."""
    found = call.hub.recalls.recall(given.of, document=given.document, reason=given.reason, by=call.by)
    return Recalled(recalls=found)


@router.get("/messages", summary="列出待送", tags=["消息"])
def messages(
    call: Asked, recipient: Filter = None, state: Filter = None, cursor: Cursor = None, limit: Limit = 50
) -> Page[Dispatched]:
    """What is and was owed to recipients of files, the newest first."""
    found = call.hub.messages.listed(by=call.by, recipient=recipient, state=state, limit=MOST)
    return paged(call, found, lambda each: str(each.id), cursor=cursor, limit=limit)


@router.get("/messages/status", summary="查看消息服务状态", tags=["消息"])
def transport(call: Asked, *, letters: bool = False) -> TransportStatus:
    """How the message middleware stands; that it is away is an answer too."""
    return call.hub.messages.status(by=call.by, letters=letters)


@router.post("/messages/requeue", summary="全部重新排队", tags=["消息"])
def requeue_dead(call: Asked, recipient: Filter = None) -> Requeued:
    """Try again everything that is dead and that the caller sees."""
    return Requeued(messages=call.hub.messages.requeue_dead(by=call.by, recipient=recipient))


@router.get("/messages/{number}", summary="查看待送", tags=["消息"])
def message(call: Asked, number: Number) -> Dispatched:
    """One of them."""
    return call.hub.messages.show(number, by=call.by)


@router.post("/messages/{number}/requeue", summary="重新排队", tags=["消息"])
def requeue(call: Asked, number: Number) -> Dispatched:
    """Try again at once what is dead, withdrawn or waiting."""
    call.hub.messages.requeue(number, by=call.by)
    return call.hub.messages.show(number, by=call.by)


@router.post("/messages/{number}/withdrawal", summary="撤回待送", tags=["消息"])
def withdraw(call: Asked, number: Number, given: Why) -> Dispatched:
    """Do not deliver what is owed; the exchange itself goes on by its own time."""
    call.hub.messages.withdraw(number, reason=given.reason, by=call.by)
    return call.hub.messages.show(number, by=call.by)
