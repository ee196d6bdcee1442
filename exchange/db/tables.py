"""The hub's own tables, beside those of the catalogue.

Row payloads of citizens are not here: quarantine, manifests and spool are encrypted files
whose names stand in these tables. Times are UTC with zone.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from catalog.tables import Instant

# SQLite numbers rows by itself only under the type name INTEGER.
Serial = BigInteger().with_variant(Integer, "sqlite")


# None is SQL's NULL, so that a column that must not be empty is held to it.
Document = JSON(none_as_null=True)


class Base(DeclarativeBase):
    """Tables of the exchange; their names begin with what they belong to."""

    type_annotation_map: ClassVar = {datetime: Instant, dict[str, Any]: Document, list[Any]: Document}


class ApplicationRow(Base):
    """An application for the use of a resource (共享申请)."""

    __tablename__ = "application"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    resource: Mapped[str] = mapped_column(String(64), index=True)
    department: Mapped[str] = mapped_column(String(18), index=True)
    """Credit code of the department that asks."""
    state: Mapped[str] = mapped_column(String(16))
    body: Mapped[dict[str, Any]]
    """Basis, scene, scope, way, period, items, filter, masks: what was asked for."""
    applicant: Mapped[str] = mapped_column(String(64))
    submitted_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]


class DecisionRow(Base):
    """An answer to an application, with its reasons (审核意见)."""

    __tablename__ = "decision"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    application: Mapped[str] = mapped_column(ForeignKey("application.id"), index=True)
    approved: Mapped[bool]
    reasons: Mapped[list[Any]]
    decider: Mapped[str] = mapped_column(String(64))
    """Actor, or ``platform`` where the rule itself decides."""
    at: Mapped[datetime]


class GrantRow(Base):
    """A granted use (授权): what may move, to whom, why, until when."""

    __tablename__ = "grant"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    """``collection`` (归集: provider to base library) or ``sharing`` (共享)."""
    resource: Mapped[str] = mapped_column(String(64), index=True)
    resource_version: Mapped[int]
    department: Mapped[str] = mapped_column(String(18), index=True)
    application: Mapped[str | None] = mapped_column(ForeignKey("application.id"))
    state: Mapped[str] = mapped_column(String(16))
    """``active``, ``suspended``, ``revoked``, ``expired``."""
    version: Mapped[int]
    """Raised by every change; the gate compares it."""
    body: Mapped[dict[str, Any]]
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime | None]
    quota_rows: Mapped[int | None] = mapped_column(BigInteger)
    issued_at: Mapped[datetime]


class UsageRow(Base):
    """Quota of a grant reserved at the gate by one delivery, corrected when it is committed."""

    __tablename__ = "usage"

    delivery: Mapped[str] = mapped_column(String(128), primary_key=True)
    grant: Mapped[str] = mapped_column(ForeignKey("grant.id"), index=True)
    rows: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]


class ExchangeRow(Base):
    """A standing exchange (交换任务): one grant, from one endpoint to another."""

    __tablename__ = "exchange"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    """``synchronisation`` or ``sharing``."""
    grant: Mapped[str] = mapped_column(ForeignKey("grant.id"), index=True)
    resource: Mapped[str] = mapped_column(String(64), index=True)
    table: Mapped[str] = mapped_column(String(64))
    """Table of the class; a resource with several tables has an exchange for each."""
    provider: Mapped[str] = mapped_column(String(18))
    recipient: Mapped[str] = mapped_column(String(18))
    source: Mapped[dict[str, Any]]
    """Endpoint name and binding to read from."""
    target: Mapped[dict[str, Any]]
    """Endpoint name and binding to deliver to."""
    settings: Mapped[dict[str, Any]]
    """Tolerance, batch size: what differs from the hub's settings."""
    state: Mapped[str] = mapped_column(String(16))
    """``active``, ``paused``, ``ended``."""
    position: Mapped[dict[str, Any] | None]
    shape: Mapped[str | None] = mapped_column(String(64))
    """Digest of what decides the content of a row in the last delivery; another one makes a full pass."""
    last_delivery: Mapped[str | None] = mapped_column(String(128))
    due_at: Mapped[datetime | None]
    tried_at: Mapped[datetime | None]
    """When whoever ran it last set out to, also where that never became a run."""
    created_at: Mapped[datetime]


class PauseRow(Base):
    """An exchange or an endpoint that rests because somebody said so (暂停), until it is resumed."""

    __tablename__ = "pause"

    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    """``exchange`` or ``endpoint``."""
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    by: Mapped[str] = mapped_column(String(64))
    department: Mapped[str | None] = mapped_column(String(18))
    """Of who paused it: its people and the hub's may resume it."""
    at: Mapped[datetime]
    until: Mapped[datetime | None]
    """When it is resumed by itself; null: never."""


class LateRow(Base):
    """An exchange that was told of because its resource's update cycle has gone by without it (更新逾期)."""

    __tablename__ = "late"

    exchange: Mapped[str] = mapped_column(ForeignKey("exchange.id"), primary_key=True)
    since: Mapped[datetime]
    """When it should have been refreshed at last."""
    told_at: Mapped[datetime]


class StructureRow(Base):
    """What one end of an exchange looked like when that was last in order (结构), and what it is held for."""

    __tablename__ = "structure"

    exchange: Mapped[str] = mapped_column(ForeignKey("exchange.id"), primary_key=True)
    side: Mapped[str] = mapped_column(String(8), primary_key=True)
    """``source`` or ``target``."""
    endpoint: Mapped[str] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(Text)
    approved: Mapped[dict[str, Any]]
    """The structure every later one is compared with."""
    approved_by: Mapped[str] = mapped_column(String(64))
    """Actor who approved it, or ``platform`` where nothing was to be approved."""
    approved_at: Mapped[datetime]
    noted: Mapped[list[Any]]
    """What the last run found changed and took over, in words."""
    found: Mapped[dict[str, Any] | None]
    """The structure that holds the exchange until somebody answers for it; null: nothing does."""
    reasons: Mapped[list[Any]]
    """Why it holds, in words."""
    found_at: Mapped[datetime | None]


class LeaseRow(Base):
    """Who runs an exchange now (租约); the epoch only ever rises."""

    __tablename__ = "lease"

    exchange: Mapped[str] = mapped_column(ForeignKey("exchange.id"), primary_key=True)
    epoch: Mapped[int] = mapped_column(BigInteger)
    owner: Mapped[str | None] = mapped_column(String(128))
    expires: Mapped[float]
    """Seconds since 1970 by the hub database's clock."""


class RunRow(Base):
    """One run of an exchange (交换批次), from plan to settled."""

    __tablename__ = "run"
    __table_args__ = (Index("run_exchange_started", "exchange", "started_at"), Index("run_started", "started_at", "id"))

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    exchange: Mapped[str] = mapped_column(ForeignKey("exchange.id"))
    delivery: Mapped[str] = mapped_column(String(128), unique=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    plan: Mapped[dict[str, Any]]
    plan_digest: Mapped[str] = mapped_column(String(64))
    epoch: Mapped[int] = mapped_column(BigInteger)
    """Epoch of the lease that owns the run now."""
    stage_epoch: Mapped[int | None] = mapped_column(BigInteger)
    """Epoch under which the durable manifest was staged."""
    manifest: Mapped[str | None] = mapped_column(String(128))
    manifest_digest: Mapped[str | None] = mapped_column(String(64))
    counts: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    """Position to promote when the delivery is committed."""
    error: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class TallyRow(Base):
    """What the runs of an exchange came to that ended on one day (日计); written with the end of each."""

    __tablename__ = "tally"
    __table_args__ = (Index("tally_day", "day"),)

    exchange: Mapped[str] = mapped_column(ForeignKey("exchange.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    """In China."""
    way: Mapped[str] = mapped_column(String(16), primary_key=True)
    runs: Mapped[int]
    delivered: Mapped[int]
    """Runs that were."""
    stopped: Mapped[int]
    """Runs with too many refused rows, or no longer allowed at the gate."""
    failed: Mapped[int]
    """All others that ended without a delivery."""
    read: Mapped[int] = mapped_column(BigInteger)
    refused: Mapped[int] = mapped_column(BigInteger)
    written: Mapped[int] = mapped_column(BigInteger)
    milliseconds: Mapped[int] = mapped_column(BigInteger)
    """From beginning to end of each, together."""
    slowest: Mapped[int] = mapped_column(BigInteger)
    """Milliseconds of the longest."""


class PartRow(Base):
    """One range of the keys that a split run reads, staged by whoever has its lease (分段)."""

    __tablename__ = "part"

    run: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(16))
    sealed: Mapped[str | None] = mapped_column(Text)
    """What is read, whose bounds are business keys: sealed, and gone with the stage."""
    epoch: Mapped[int] = mapped_column(BigInteger)
    """How often it was begun; the last time under this epoch."""
    owner: Mapped[str | None] = mapped_column(String(128))
    expires: Mapped[float]
    counts: Mapped[dict[str, Any] | None]
    content: Mapped[str | None] = mapped_column(String(64))
    """Digest of the rows staged."""
    manifest: Mapped[str | None] = mapped_column(String(128))
    manifest_digest: Mapped[str | None] = mapped_column(String(64))
    error: Mapped[str | None] = mapped_column(Text)


class ReceiptRow(Base):
    """Evidence of one delivery (回执)."""

    __tablename__ = "receipt"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("run.id"), unique=True)
    exchange: Mapped[str] = mapped_column(String(80), index=True)
    body: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(String(64))
    issued_at: Mapped[datetime]


class AnswerRow(Base):
    """A delivery whose recipient is asked what became of its rows (处理结果), and when next; owed as ``answers``."""

    __tablename__ = "answer"
    __table_args__ = (Index("answer_stamp", "endpoint", "stamp"),)

    run: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    endpoint: Mapped[str] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(Text)
    stamp: Mapped[str] = mapped_column(String(64))
    """What its rows bear at the target until they are written again."""
    rows: Mapped[int] = mapped_column(BigInteger)
    """How many bore it at the commit."""
    delivered_at: Mapped[datetime]
    due_at: Mapped[datetime] = mapped_column(index=True)
    noticed_at: Mapped[datetime | None]
    """When the recipient was told that rows of it are unread; null: it was not."""


class AddendumRow(Base):
    """What the recipient had made of a delivery's rows at one time (回执附录), added to its receipt."""

    __tablename__ = "addendum"
    __table_args__ = (UniqueConstraint("receipt", "number"),)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    receipt: Mapped[str] = mapped_column(ForeignKey("receipt.id"))
    run: Mapped[str] = mapped_column(ForeignKey("run.id"), index=True)
    number: Mapped[int]
    """Place among those of the receipt, from 1."""
    body: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(String(64))
    file: Mapped[str | None] = mapped_column(String(128), index=True)
    """Encrypted file with the failed rows; null: there are none, or a later addendum or retention removed it."""
    at: Mapped[datetime]


class HandoverRow(Base):
    """A document that was delivered to a department (附件交付)."""

    __tablename__ = "handover"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("run.id"), index=True)
    exchange: Mapped[str] = mapped_column(String(80), index=True)
    recipient: Mapped[str] = mapped_column(String(18))
    item: Mapped[str] = mapped_column(String(63))
    digest: Mapped[str] = mapped_column(String(64), index=True)
    """SHA-256 of its content, as the manifest in the drop tells it."""
    size: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(Text)
    """What it was called in the drop, in the folder of its delivery."""
    state: Mapped[str] = mapped_column(String(16))
    """``delivered``."""
    reason: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime]


class HoldingRow(Base):
    """A document that a row of the base library has (附件引用): as long as there is one of these, it is kept."""

    __tablename__ = "holding"

    exchange: Mapped[str] = mapped_column(String(80), primary_key=True)
    """The synchronisation that brought the row."""
    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Keyed hash of the row's business key."""
    item: Mapped[str] = mapped_column(String(63), primary_key=True)
    document: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    """What it is called in the spool."""


class OwedRow(Base):
    """What follows a commit and is still owed (待办): status back, notification, error rows."""

    __tablename__ = "owed"
    __table_args__ = (UniqueConstraint("run", "kind"),)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("run.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    """``settle``, ``notify``, ``tidy``, ``answers``, ``expire``."""
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    done_at: Mapped[datetime | None]


class DispatchRow(Base):
    """A delivery that is owed to a recipient because its resource changed in the base library (待送).

    Written with the promotion of the run that changed it. Messages say that there is such a row, and no more: what is
    owed stands here.
    """

    __tablename__ = "dispatch"
    __table_args__ = (
        UniqueConstraint("exchange", "run"),
        Index("dispatch_state_due", "state", "due_at"),
        Index("dispatch_exchange_state", "exchange", "state"),
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    exchange: Mapped[str] = mapped_column(ForeignKey("exchange.id"))
    """The sharing exchange to be carried out."""
    resource: Mapped[str] = mapped_column(String(64))
    recipient: Mapped[str] = mapped_column(String(18), index=True)
    run: Mapped[str | None] = mapped_column(ForeignKey("run.id"))
    """The run that changed the library; null: the exchange is new, and this is its first delivery."""
    state: Mapped[str] = mapped_column(String(16))
    """See :class:`exchange.engine.dispatch.DispatchState`."""
    made_at: Mapped[datetime]
    due_at: Mapped[datetime]
    """When the message is to be published, or the delivery to be tried again."""
    published_at: Mapped[datetime | None]
    published: Mapped[int] = mapped_column(default=0)
    """How often a message was published."""
    attempts: Mapped[int] = mapped_column(default=0)
    """How often the delivery failed and may yet succeed."""
    taken: Mapped[int] = mapped_column(default=0)
    """How often somebody set out to deliver and has not said what came of it: who did may be dead."""
    error: Mapped[str | None] = mapped_column(Text)
    """Why it failed last, is dead, or was withdrawn."""
    done_at: Mapped[datetime | None]
    done_by: Mapped[str | None] = mapped_column(String(40))
    """The run that delivered what was owed."""


class NoticeRow(Base):
    """A notification to a department (同步告知), readable until it is taken."""

    __tablename__ = "notice"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    department: Mapped[str] = mapped_column(String(18), index=True)
    run: Mapped[str | None] = mapped_column(String(40), index=True)
    text: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]


class RecallRow(Base):
    """A delivery, or documents of it, that its recipient is asked to give up (撤回), owed until it is answered."""

    __tablename__ = "recall"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    """Stands in the name of the notice."""
    run: Mapped[str] = mapped_column(ForeignKey("run.id"), index=True)
    exchange: Mapped[str] = mapped_column(String(80), index=True)
    grant: Mapped[str] = mapped_column(String(40), index=True)
    provider: Mapped[str] = mapped_column(String(18))
    recipient: Mapped[str] = mapped_column(String(18))
    endpoint: Mapped[str] = mapped_column(String(64))
    place: Mapped[str] = mapped_column(Text)
    """What was delivered, as the recipient calls it; empty while its delivery is not known to have been made."""
    documents: Mapped[list[Any]]
    """Names of the documents called back, each with size and digest where they are known; empty: all."""
    reason: Mapped[str] = mapped_column(Text)
    ordered_by: Mapped[str] = mapped_column(String(64))
    department: Mapped[str] = mapped_column(String(18))
    """Of who ordered it."""
    state: Mapped[str] = mapped_column(String(16), index=True)
    """See :class:`exchange.engine.recalling.RecallState`."""
    ordered_at: Mapped[datetime]
    until: Mapped[datetime]
    """When an answer is expected."""
    due_at: Mapped[datetime | None] = mapped_column(index=True)
    """When it is seen to next; null: never again."""
    notified_at: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    words: Mapped[str | None] = mapped_column(Text)
    """What the recipient says, sealed: a stranger's words."""
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)


class QuarantineRow(Base):
    """A refused row, without its content (隔离数据); the content lies encrypted in ``file``.

    A row that breaks several rules has one of these for each; they change their state together.
    """

    __tablename__ = "quarantine"
    __table_args__ = (
        Index("quarantine_run_number", "run", "number"),
        Index("quarantine_exchange_key", "exchange", "key_hash"),
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("run.id"), index=True)
    exchange: Mapped[str] = mapped_column(String(80), index=True)
    number: Mapped[int] = mapped_column(BigInteger)
    """The row's number in the order of reading, from 1."""
    item: Mapped[str | None] = mapped_column(String(63))
    rule: Mapped[str] = mapped_column(String(40))
    reason: Mapped[str] = mapped_column(Text)
    key_hash: Mapped[str] = mapped_column(String(64))
    """Keyed hash of the business key: tells whether it is the same row again, and nothing else."""
    file: Mapped[str | None] = mapped_column(String(128))
    """Manifest with the content; null: none was kept, or it has been removed."""
    state: Mapped[str] = mapped_column(String(16))
    """See :class:`exchange.engine.quarantine.RowState`."""
    repair: Mapped[str | None] = mapped_column(String(128))
    """Encrypted file with the correction, if there is one."""
    replay: Mapped[str | None] = mapped_column(String(40), index=True)
    """The last run that took the row from here."""
    at: Mapped[datetime]


class FileRow(Base):
    """A file that a run took, or refused whole (收取的文件); its content is not here.

    Its name and the reason, which names it, are data: shown to its provider and to who oversees the hub.
    """

    __tablename__ = "file"
    __table_args__ = (Index("file_exchange_name", "exchange", "name"),)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    exchange: Mapped[str] = mapped_column(String(80))
    resource: Mapped[str] = mapped_column(String(64), index=True)
    provider: Mapped[str] = mapped_column(String(18), index=True)
    run: Mapped[str] = mapped_column(ForeignKey("run.id"), index=True)
    name: Mapped[str] = mapped_column(Text)
    """As it is shown: a name that is no text stands as its bytes."""
    size: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64), index=True)
    """SHA-256 of its content in hex; empty where it could not be read."""
    rows: Mapped[int | None] = mapped_column(BigInteger)
    """How many rows were read of it."""
    kind: Mapped[str] = mapped_column(String(16))
    """``data`` or ``document``."""
    state: Mapped[str] = mapped_column(String(16))
    """See :class:`exchange.engine.files.FileState`."""
    reason: Mapped[str | None] = mapped_column(Text)
    """Why it was refused, in words for its provider."""
    at: Mapped[datetime]


class EventRow(Base):
    """One event of the log (审计事件), written in the transaction of its cause, sealed soon after."""

    __tablename__ = "event"
    __table_args__ = (Index("event_at", "at", "id"), Index("event_context", "context", "at", "id"))

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    type: Mapped[str] = mapped_column(String(48), index=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(64))
    established: Mapped[str] = mapped_column(String(32))
    """How the actor was established: ``account``, ``oidc``, ``token``, ``os-user``, ``demo``, ``credential``,
    ``scheduler``, ``system``."""
    department: Mapped[str | None] = mapped_column(String(18))
    resource: Mapped[str | None] = mapped_column(String(64))
    exchange: Mapped[str | None] = mapped_column(String(80))
    run: Mapped[str | None] = mapped_column(String(40), index=True)
    body: Mapped[dict[str, Any]]
    tag: Mapped[str] = mapped_column(String(64))
    """Keyed digest made by the writer, so that a row put in by other hands shows before sealing too."""
    number: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    """Place in the chain, from 1; null while unsealed."""
    seal: Mapped[str | None] = mapped_column(String(64))
    """Keyed digest over the previous seal, the number and the event."""
    context: Mapped[int | None] = mapped_column(BigInteger)
    """What it is found by (:class:`ContextRow`): no part of the event and not sealed; null until that is."""


class ContextRow(Base):
    """What many events have in common (检索事项): a search looks here, where there is little however long the log is.

    What is not so is the empty text.
    """

    __tablename__ = "context"
    __table_args__ = (
        *(
            Index(f"context_{name}", name, "newest")
            for name in ("type", "outcome", "actor", "department", "resource", "exchange", "way", "record_class")
        ),
        Index("context_newest", "newest"),
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    """Of all that follows but ``newest``."""
    type: Mapped[str] = mapped_column(String(48))
    outcome: Mapped[str] = mapped_column(String(16))
    """See :func:`exchange.audit.outcomes.outcome`."""
    actor: Mapped[str] = mapped_column(String(64))
    department: Mapped[str] = mapped_column(String(18))
    resource: Mapped[str] = mapped_column(String(64))
    exchange: Mapped[str] = mapped_column(String(80))
    way: Mapped[str] = mapped_column(String(16))
    """Way of the exchange, as it was when the event was sealed."""
    record_class: Mapped[str] = mapped_column(String(64))
    """Class of the resource, as it was then."""
    newest: Mapped[datetime]
    """When its newest event happened."""


class CredentialRow(Base):
    """What a department's programme shows when it calls (接入凭据)."""

    __tablename__ = "credential"
    __table_args__ = (UniqueConstraint("kind", "name"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    department: Mapped[str] = mapped_column(String(18), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    """``token``, ``password``, ``gateway``, ``certificate``."""
    name: Mapped[str] = mapped_column(String(255))
    """What it is found by: keyed hash of the token, user name, requester id, subject."""
    secret: Mapped[str | None] = mapped_column(Text)
    """Sealed under a key of the hub, where the secret itself is needed to verify; else null."""
    purpose: Mapped[str] = mapped_column(String(255))
    issued_by: Mapped[str] = mapped_column(String(64))
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class NonceRow(Base):
    """A sign-in that was accepted once and is not accepted again (防重放)."""

    __tablename__ = "nonce"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Of the credential and what was shown."""
    expires_at: Mapped[datetime] = mapped_column(index=True)


class RateRow(Base):
    """What a department, or under a grant, was called for in one minute (调用频次)."""

    __tablename__ = "rate"

    department: Mapped[str] = mapped_column(String(18), primary_key=True)
    """Its code, or the id of a grant that has limits of its own."""
    minute: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Minutes since 1970 by the hub database's clock."""
    calls: Mapped[int]
    rows: Mapped[int] = mapped_column(BigInteger)


class MailRow(Base):
    """A delivery in a department's box at the hub (信件): ledger of the box, and what became of it."""

    __tablename__ = "mail"

    delivery: Mapped[str] = mapped_column(String(128), primary_key=True)
    exchange: Mapped[str] = mapped_column(String(80), index=True)
    endpoint: Mapped[str] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(Text)
    manifest: Mapped[str] = mapped_column(String(64))
    head: Mapped[str] = mapped_column(String(128))
    epoch: Mapped[int] = mapped_column(BigInteger)
    staged: Mapped[int] = mapped_column(BigInteger)
    """Epoch under which its files were staged."""
    parts: Mapped[list[Any]]
    """Rows of each of its files."""
    deleted: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(16))
    """``waiting``, ``fetched``, ``expired``."""
    kept: Mapped[bool]
    """Its files are there."""
    ended_at: Mapped[datetime | None]
    fetched_by: Mapped[str | None] = mapped_column(String(40))
    """Credential that fetched the last page first."""


class MessageRow(Base):
    """A message that a department pushed (推送消息); its rows lie encrypted in ``file``."""

    __tablename__ = "message"
    __table_args__ = (UniqueConstraint("department", "message"),)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    department: Mapped[str] = mapped_column(String(18))
    message: Mapped[str] = mapped_column(String(128))
    """The department's own id of it."""
    exchange: Mapped[str] = mapped_column(String(80), index=True)
    endpoint: Mapped[str] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(Text)
    file: Mapped[str] = mapped_column(String(128), unique=True)
    digest: Mapped[str] = mapped_column(String(64))
    """Keyed digest of the content: another one is not the same message."""
    rows: Mapped[int] = mapped_column(BigInteger)
    run: Mapped[str | None] = mapped_column(String(40), index=True)
    """The last run that took it."""
    kept: Mapped[bool]
    """Its file is there."""
    received_at: Mapped[datetime]


class AccountRow(Base):
    """Somebody who may sign in (账号): a person, or a programme that works with tokens alone."""

    __tablename__ = "account"

    login: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    """By which approvals know him; two of one name count as one, so there are none."""
    kind: Mapped[str] = mapped_column(String(16))
    """``person`` or ``programme``."""
    department: Mapped[str] = mapped_column(String(18), index=True)
    roles: Mapped[list[Any]]
    state: Mapped[str] = mapped_column(String(16))
    """``active`` or ``disabled``."""
    password: Mapped[str | None] = mapped_column(Text)
    """Its argon2id hash; null: none, so nobody signs in by one."""
    must_change: Mapped[bool]
    """The password was handed over and holds for being changed alone."""
    password_at: Mapped[datetime | None]
    subject: Mapped[str | None] = mapped_column(String(600), unique=True)
    """``issuer subject`` of the unified identity he signs in by."""
    created_by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    signed_in_at: Mapped[datetime | None]


class SessionRow(Base):
    """Somebody who is signed in (会话)."""

    __tablename__ = "session"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Keyed hash of the secret that only his browser has."""
    account: Mapped[str] = mapped_column(ForeignKey("account.login"), index=True)
    established: Mapped[str] = mapped_column(String(16))
    """``account`` or ``oidc``: how he signed in."""
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    """When he was last there, to the minute."""
    expires_at: Mapped[datetime] = mapped_column(index=True)
    address: Mapped[str] = mapped_column(String(100))


class TokenRow(Base):
    """What a programme calls the hub with in the name of an account (令牌)."""

    __tablename__ = "token"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("account.login"), index=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    """Keyed hash of the token."""
    purpose: Mapped[str] = mapped_column(String(255))
    scopes: Mapped[list[Any]]
    """``read``, ``write``."""
    issued_by: Mapped[str] = mapped_column(String(64))
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    """When it was last shown, to the minute."""


class OverrideRow(Base):
    """A setting that somebody changed at run time (设置变更)."""

    __tablename__ = "override"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    """``section.name``."""
    value: Mapped[Any] = mapped_column(Document)
    changed_by: Mapped[str] = mapped_column(String(64))
    changed_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(String(255))


class AttemptRow(Base):
    """Failures to sign in under one login, or from one address (登录失败计数)."""

    __tablename__ = "attempt"

    who: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Keyed hash of the login as typed, or of the address."""
    since: Mapped[datetime] = mapped_column(index=True)
    failures: Mapped[int]
    until: Mapped[datetime | None]
    """Nothing is tried before."""


class OnceRow(Base):
    """A call that is to be carried out once, however often it comes (幂等键)."""

    __tablename__ = "once"

    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Login of who calls."""
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Digest of the key he gave."""
    digest: Mapped[str] = mapped_column(String(64))
    """Of the call: its address and what was sent."""
    holder: Mapped[str] = mapped_column(String(32))
    """Who carries it out; nobody else commits under this key."""
    begun_at: Mapped[datetime] = mapped_column(index=True)
    done_at: Mapped[datetime | None]
    """When something of it was first committed, in that transaction."""
    status: Mapped[int | None]
    """Of its answer; null: there is none yet, or it was lost."""
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[str | None] = mapped_column(Text)
    """Its answer; null: none, or one with a secret in it."""
