"""What the SOAP door asks of whoever opened it (服务台).

The door knows XML; the desk knows departments, grants and rows.

The door is handed a :class:`Desk` and nothing else of the hub. Everything a caller may see or send is an
:class:`Offer` of the desk; what is not offered to a caller does not exist for it, and both are refused in the
same words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pyarrow as pa

from schemas import Item

Direction = Literal["read", "write"]


@dataclass(frozen=True)
class Token:
    """A token in the ``Authorization: Bearer`` header (令牌)."""

    text: str


@dataclass(frozen=True)
class Password:
    """User and password in clear, by HTTP basic authentication or a UsernameToken of type PasswordText."""

    user: str
    password: str


@dataclass(frozen=True)
class Digest:
    """A UsernameToken of type PasswordDigest: ``base64(SHA-1(nonce + created + password))``, decoded here.

    (OASIS Web Services Security UsernameToken Profile 1.1, section 3.1.)
    """

    user: str
    nonce: bytes
    created: str
    digest: bytes


@dataclass(frozen=True)
class Gateway:
    """The headers ``gjgxjhpt_rid``, ``_sid``, ``_rtime``, ``_sign`` of the national gateway (国家网关)."""

    requester: str
    service: str
    time: str
    sign: str


@dataclass(frozen=True)
class Certificate:
    """The subject of a client certificate, as a configured proxy vouches for it."""

    subject: str


Shown = Token | Password | Digest | Gateway | Certificate
"""What a caller showed; nothing of it is proven before the desk has looked."""


@dataclass(frozen=True)
class Caller:
    """Somebody the desk knows: a department's programme (调用方).

    Attributes:
        id: Of the credential, fit for a log.
        department: Code of the department.
    """

    id: str
    department: str


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A resource that a caller may read or push (可用资源).

    Attributes:
        resource: Its code, with a slash.
        version: Version of the contract: another one when the items are others.
        name: Its name.
        direction: Whether it is read or pushed.
        items: What a row has, in order, typed as it is handed over: a masked item is a text.
        key: Items of the business key.
        lookup: It can be asked for a single row by its key.
    """

    resource: str
    version: int
    name: str
    direction: Direction
    items: tuple[Item, ...]
    key: tuple[str, ...]
    lookup: bool = False


@dataclass(frozen=True)
class Page:
    """Rows of an answer, streamed.

    Attributes:
        batches: The offer's items under their names and types, then ``_operation`` (int8): put or delete. Whoever
            takes them closes them.
        following: Cursor of the next page, None at the end; asked when the batches are through.
        delivery: Id of the delivery or of the look, by which a receipt is asked for.
    """

    batches: Iterator[pa.RecordBatch]
    following: Callable[[], str | None]
    delivery: str


@dataclass(frozen=True)
class RefusedPush:
    """A pushed row that was not accepted: its number in the message from 1, item, rule and reason."""

    row: int
    item: str | None
    rule: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What became of a message (推送结果); the same for the same message id, however often it is asked.

    Attributes:
        message: Its id.
        state: ``received``: durable here, not yet carried out; ``delivered``; ``stopped``: too many rows were
            refused, nothing was delivered; ``failed``: it was not carried out, and will be tried again.
        rows: Rows of the message.
        accepted: Rows that were delivered, or were there already.
        refused: The other rows.
        receipt: Id of the receipt, when it is delivered.
        repeated: The id came before.
    """

    message: str
    state: Literal["received", "delivered", "stopped", "failed"]
    rows: int
    accepted: int = 0
    refused: tuple[RefusedPush, ...] = ()
    receipt: str | None = None
    repeated: bool = False


@dataclass(frozen=True, kw_only=True)
class ReceiptAnswer:
    """A receipt as a caller gets it (回执): counts by name, and the digests that prove it."""

    id: str
    resource: str
    issued_at: datetime
    counts: Mapping[str, int]
    content: str
    digest: str


class Desk(ABC):
    """Everything the door may ask.

    Every method raises the port's errors: ``Refused`` what the caller may not, ``Malformed`` what it wrote
    wrong, ``Unavailable`` what may work later (with ``retry_after`` seconds in its remedy where a limit of rate
    was reached). Their messages are shown to the caller.
    """

    @abstractmethod
    def identify(self, shown: Shown, peer: str) -> Caller:
        """Who shows this.

        Args:
            shown: What was shown.
            peer: Address of the caller, for the log.

        Raises:
            Refused: Nobody, or it was shown before, or too long ago.
        """

    def recalled(self, shown: Shown) -> Caller | None:
        """Who shows this, if that is still in mind and takes no time to say; None: it is to be asked for."""
        return None

    @abstractmethod
    def offers(self, caller: Caller) -> Sequence[Offer]:
        """What the caller may use, by resource."""

    @abstractmethod
    def offer(self, caller: Caller, resource: str, direction: Direction) -> Offer:
        """One of them; refused in the same words whether it is not granted or does not exist."""

    def lookup_offer(self, caller: Caller, resource: str) -> Offer:
        """An offer of rows for a :meth:`lookup`, which is right behind and looks again: it may be some seconds old."""
        return self.offer(caller, resource, "read")

    @abstractmethod
    def contract(self, resource: str, version: int, direction: Direction) -> Offer | None:
        """An offer as it was at a version, for its service description; None: there is none to show.

        Service descriptions are read before anybody has signed in; they name items and nothing else.
        """

    @abstractmethod
    def query(self, caller: Caller, resource: str, cursor: str | None, limit: int) -> Page:
        """Rows from a cursor on, at most so many; without a cursor what is new since the last delivery was fetched."""

    @abstractmethod
    def lookup(self, caller: Caller, resource: str, key: Mapping[str, str]) -> Page:
        """The row of one business key, asked of where it lies now; no row where there is none or it is not granted."""

    @abstractmethod
    def push(self, caller: Caller, resource: str, message: str, batches: Iterator[pa.RecordBatch]) -> Pushed:
        """Take rows in, durable before this returns; a message id that came before gets its answer again.

        Args:
            caller: Who pushes.
            resource: What.
            message: The caller's id of the message.
            batches: The offer's items as texts, exactly as they came, then ``_operation`` (int8).
        """

    @abstractmethod
    def status(self, caller: Caller, message: str) -> Pushed:
        """What became of a message of the caller's."""

    @abstractmethod
    def receipt(self, caller: Caller, name: str) -> ReceiptAnswer:
        """A receipt that concerns the caller's department, by its id or that of a delivery."""
