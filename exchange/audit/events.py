"""What the log can say (审计事件): one type for each thing that happens, in the past tense.

Who, when, for which department, resource, exchange and run is written with every event; the fields
here are what that one adds. No field ever holds a value of a record or a secret.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from exchange.errors import Invalid

REGISTRY: dict[str, type[Event]] = {}
"""Every type of event by its name."""


class Event:
    """Something that happened; its subclasses are frozen dataclasses."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        use_attribute_docstrings=True,
        extra="forbid",
        strict=True,
        revalidate_instances="always",
    )

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        REGISTRY[cls.__name__] = cls

    def body(self) -> dict[str, Any]:
        """The fields as JSON has them.

        Raises:
            Invalid: A field is not of its type.
        """
        adapter = _adapter(type(self).__name__)
        try:
            plain = adapter.dump_python(adapter.validate_python(self), mode="json")
        except ValidationError as error:
            names = "、".join(sorted({str(detail["loc"][0]) for detail in error.errors()}))
            # The library's message would repeat what the fields hold.
            raise Invalid(f"审计事件 {type(self).__name__} 的字段类型不对：{names}") from None
        return dict(plain)


_building = threading.Lock()
_adapters: dict[str, TypeAdapter[Any]] = {}


def _adapter(name: str) -> TypeAdapter[Any]:
    found = _adapters.get(name)
    if found is None:
        # One at a time: it reads its class's source, and the parser of Python 3.11 fails where two threads use it.
        with _building:
            found = _adapters[name] = TypeAdapter(REGISTRY[name])
    return found


def json_schema(event: type[Event]) -> dict[str, Any]:
    """JSON Schema of an event's fields."""
    return _adapter(event.__name__).json_schema()


@dataclass(frozen=True)
class DepartmentRegistered(Event):
    """A department was registered or changed (部门登记)."""

    code: str
    """Unified social credit code."""
    name: str
    """Its name."""


@dataclass(frozen=True)
class EndpointRegistered(Event):
    """An endpoint was registered or changed (端点登记)."""

    name: str
    """Name of the endpoint."""
    kind: str
    """Kind of adapter that reaches it."""


@dataclass(frozen=True)
class EndpointTested(Event):
    """It was tried whether an endpoint does what a run will need (连通测试)."""

    name: str
    """Name of the endpoint."""
    passed: bool
    """Whether everything tried worked."""


@dataclass(frozen=True)
class ResourceRegistered(Event):
    """A version of a resource was written into the directory (资源编目)."""

    code: str
    """Code of the resource."""
    version: int
    """Number of the version."""
    name: str
    """Name of the resource."""


@dataclass(frozen=True)
class ResourceMoved(Event):
    """A version of a resource moved in its workflow (资源流转)."""

    code: str
    """Code of the resource."""
    action: str
    """The move made."""
    before: str
    """State it left."""
    after: str
    """State it reached."""
    opinion: str = ""
    """What the person who made the move wrote (意见)."""


@dataclass(frozen=True)
class ApplicationSubmitted(Event):
    """A department applied for the use of a resource (共享申请)."""

    application: str
    """Id of the application."""


@dataclass(frozen=True)
class ApplicationDecided(Event):
    """An application was answered (申请审核)."""

    application: str
    """Id of the application."""
    approved: bool
    """The answer."""
    reasons: tuple[str, ...]
    """Every reason given."""


@dataclass(frozen=True)
class GrantIssued(Event):
    """A use was granted (授权签发)."""

    grant: str
    """Id of the grant."""
    kind: str
    """``collection`` or ``sharing``."""
    application: str | None = None
    """The application it answers, if there was one."""


@dataclass(frozen=True)
class GrantSuspended(Event):
    """A grant was suspended for the time being (授权中止)."""

    grant: str
    """Id of the grant."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class GrantResumed(Event):
    """A suspended grant came into force again (授权恢复)."""

    grant: str
    """Id of the grant."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class GrantRevoked(Event):
    """A grant was taken back for good (授权撤销)."""

    grant: str
    """Id of the grant."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class GrantExpired(Event):
    """The period of a grant ended (授权到期)."""

    grant: str
    """Id of the grant."""


@dataclass(frozen=True)
class AccessDenied(Event):
    """Somebody was refused what he wanted to do (拒绝操作)."""

    action: str
    """What he wanted to do."""
    reasons: tuple[str, ...]
    """Every reason he was given."""


@dataclass(frozen=True)
class ExchangeConfigured(Event):
    """A standing exchange was set up or changed (交换任务配置)."""

    exchange: str
    """Id of the exchange."""
    kind: str
    """``synchronisation`` or ``sharing``."""
    grant: str
    """The grant it serves."""


@dataclass(frozen=True)
class ExchangePaused(Event):
    """An exchange was paused (交换暂停)."""

    reason: str
    """Why."""
    until: str | None
    """When it is resumed by itself; none: when somebody says so."""


@dataclass(frozen=True)
class ExchangeResumed(Event):
    """A paused exchange was resumed (交换恢复)."""

    reason: str
    """Why."""


@dataclass(frozen=True)
class EndpointPaused(Event):
    """An endpoint was paused, and all exchanges that read from it or deliver to it with it (端点暂停)."""

    name: str
    """Name of the endpoint."""
    reason: str
    """Why."""
    until: str | None
    """When it is resumed by itself; none: when somebody says so."""
    exchanges: int
    """How many exchanges rest that did not before."""


@dataclass(frozen=True)
class EndpointResumed(Event):
    """A paused endpoint was resumed (端点恢复)."""

    name: str
    """Name of the endpoint."""
    reason: str
    """Why."""
    exchanges: int
    """How many exchanges are carried out again."""


@dataclass(frozen=True)
class UpdateMissed(Event):
    """A resource was not refreshed within its update cycle; told once until it is (更新逾期)."""

    cycle: str
    """The update cycle."""
    last: str | None
    """When it was refreshed last; none: never."""
    hours: int
    """Hours since then, or since it is to be refreshed at all."""


@dataclass(frozen=True)
class UpdateRecovered(Event):
    """A resource that was overdue was refreshed again (更新恢复)."""

    cycle: str
    """The update cycle."""
    hours: int
    """Hours that it was overdue."""


@dataclass(frozen=True)
class StructureRecorded(Event):
    """One end of an exchange was looked at for the first time, and what it looks like kept (结构记录)."""

    side: str
    """``source`` or ``target``."""
    endpoint: str
    """Name of the endpoint."""
    columns: int
    """How many columns its table has."""


@dataclass(frozen=True)
class StructureChanged(Event):
    """One end of an exchange changed in a way that loses nothing, and the run went on (结构变化)."""

    side: str
    """``source`` or ``target``."""
    endpoint: str
    """Name of the endpoint."""
    changes: tuple[str, ...]
    """Every change, by the names of the columns."""


@dataclass(frozen=True)
class HoldPlaced(Event):
    """One end of an exchange changed in a way that may lose something; nothing was read (结构待批准)."""

    side: str
    """``source`` or ``target``."""
    endpoint: str
    """Name of the endpoint."""
    changes: tuple[str, ...]
    """Every change, by the names of the columns."""


@dataclass(frozen=True)
class HoldLifted(Event):
    """What an exchange was held for is no longer so, without anybody's approval (结构复原)."""

    side: str
    """``source`` or ``target``."""
    endpoint: str
    """Name of the endpoint."""


@dataclass(frozen=True)
class StructureApproved(Event):
    """An integrator accepted a changed structure (结构批准)."""

    side: str
    """``source`` or ``target``."""
    endpoint: str
    """Name of the endpoint."""
    changes: tuple[str, ...]
    """Every change, by the names of the columns."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class RunStarted(Event):
    """A run began; its delivery key is fixed from here on (批次开始)."""

    plan: str
    """Digest of the plan."""
    delivery: str
    """Delivery key."""


@dataclass(frozen=True)
class RunDivided(Event):
    """A run was split by ranges of its business key, each to be staged by itself (批次切分)."""

    parts: int
    """How many."""


@dataclass(frozen=True)
class PartStaged(Event):
    """All rows of one range of a split run were read, checked and staged in the target (分段就绪)."""

    number: int
    """Which part."""
    counts: dict[str, int]
    """Rows read, filtered, refused and staged."""


@dataclass(frozen=True)
class PartRestaged(Event):
    """What one part of a split run had staged is gone; it is staged again (分段重新暂存)."""

    number: int
    """Which part."""
    reason: str
    """What was lost, in words."""


@dataclass(frozen=True)
class RunTakenOver(Event):
    """Another worker took over an unfinished run (批次接管)."""

    epoch: int
    """Epoch of the new owner's lease."""
    state: str
    """State in which it found the run."""


@dataclass(frozen=True)
class RunRestaged(Event):
    """What a run had staged was lost before it was committed; it reads again (重新暂存)."""

    reason: str
    """What was lost, in words."""


@dataclass(frozen=True)
class RunStaged(Event):
    """All rows of a run were read, checked and staged in the target (批次就绪)."""

    counts: dict[str, int]
    """Rows read, filtered, refused and staged."""


@dataclass(frozen=True)
class RunGated(Event):
    """A run passed the gate: its delivery was in order at that moment (放行)."""

    grant: str
    """Id of the grant."""
    version: int
    """Version of the grant that was compared."""


@dataclass(frozen=True)
class RunRefusedAtGate(Event):
    """A run was stopped at the gate; nothing of it was delivered (拦截)."""

    reasons: tuple[str, ...]
    """Every reason."""


@dataclass(frozen=True)
class RunCommitted(Event):
    """The target acknowledged a delivery and the receipt was issued (交付完成)."""

    counts: dict[str, int]
    """The books of the run."""
    receipt: str
    """Id of the receipt."""
    digest: str
    """Digest of the content delivered."""


@dataclass(frozen=True)
class RunSettled(Event):
    """Everything owed after a delivery was done: status back, notification, errors back (批次办结)."""


@dataclass(frozen=True)
class RunReddened(Event):
    """A run stopped because going on could lose or repeat something (批次红牌)."""

    state: str
    """State of the run."""
    reason: str
    """What did not hold."""


@dataclass(frozen=True)
class RunAborted(Event):
    """A run was given up before its delivery (批次放弃)."""

    reason: str
    """Why."""


@dataclass(frozen=True)
class ScheduledRunAbandoned(Event):
    """A scheduler gave up running an exchange; what was begun stands in the hub's own books (调度放弃)."""

    attempt: str
    """The scheduler's own name of its run."""
    reason: str
    """``failed``, or ``timed_out``."""


@dataclass(frozen=True)
class RevocationAfterDelivery(Event):
    """A grant was revoked while its delivery had already passed the gate (撤销晚于放行)."""

    grant: str
    """Id of the grant."""
    delivery: str
    """Key of the delivery that still reached the recipient."""


@dataclass(frozen=True)
class ExchangeReconciled(Event):
    """It was compared what the recipient holds and what it should hold (交换对账)."""

    agrees: bool
    """Whether it holds exactly that."""
    counts: dict[str, int]
    """Rows read at the source, expected, held, and differing, by how they differ."""
    expected: str
    """Digest over what the recipient should hold."""
    held: str
    """Digest over what it holds."""


@dataclass(frozen=True)
class KeysRevealed(Event):
    """Somebody was shown the keys of differing rows in clear (查看业务主键)."""

    rows: int
    """How many rows were shown."""


@dataclass(frozen=True)
class AnswersReceived(Event):
    """What a recipient made of delivered rows was added to their receipt (处理结果回执)."""

    receipt: str
    """The receipt."""
    number: int
    """Place of the addendum among those of the receipt, from 1."""
    digest: str
    """Digest of the addendum."""
    counts: dict[str, int]
    """Rows by what became of them: new (unread), done, failed if the place tells, other, gone."""
    rows: int
    """Of how many failed rows the recipient's words are kept, encrypted."""


@dataclass(frozen=True)
class AnswersRead(Event):
    """Somebody looked at what a recipient made of delivered rows (查看处理结果)."""

    receipt: str
    """The receipt."""
    rows: int
    """Of how many failed rows the recipient's words were shown; 0: the counts alone."""


@dataclass(frozen=True)
class AnswersExpired(Event):
    """The recipients' words about failed rows were removed after the time of retention (处理结果到期清除)."""

    rows: int
    """How many rows."""


@dataclass(frozen=True)
class RecallOrdered(Event):
    """A delivery, or documents of it, was called back (撤回); its recipient is owed a notice."""

    recall: str
    """Id of the recall."""
    grant: str
    """Id of the grant it was delivered under."""
    delivery: str
    """Delivery key."""
    documents: int
    """How many documents are called back; 0: everything of the delivery."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class RecallNotified(Event):
    """The notice of a recall lies where its recipient finds it (撤回通知送达)."""

    recall: str
    """Id of the recall."""
    notice: str
    """Where it lies."""


@dataclass(frozen=True)
class RecallAnswered(Event):
    """A recipient answered a recall, or changed its answer (撤回答复)."""

    recall: str
    """Id of the recall."""
    state: str
    """``destroyed``, ``kept`` or ``partly``."""


@dataclass(frozen=True)
class RecallUnanswered(Event):
    """The time to answer a recall has gone by without an answer (撤回逾期未答复)."""

    recall: str
    """Id of the recall."""


@dataclass(frozen=True)
class RecallVoided(Event):
    """What was called back was never delivered after all (撤回无需通知)."""

    recall: str
    """Id of the recall."""
    state: str
    """State in which the run ended."""


@dataclass(frozen=True)
class RecallsRead(Event):
    """Somebody was shown what recipients said of recalls, or names of documents called back (查看撤回答复)."""

    recalls: int
    """Of how many recalls."""


@dataclass(frozen=True)
class ExchangePreviewed(Event):
    """An integrator was shown the first rows of an exchange as they would be delivered (脱敏预览)."""

    rows: int
    """How many were shown."""
    read: int
    """How many were read for that."""


@dataclass(frozen=True)
class QuarantineRead(Event):
    """Somebody looked at refused rows (查看隔离数据)."""

    rows: int
    """How many were shown."""


@dataclass(frozen=True)
class QuarantineRowRead(Event):
    """A clerk of the provider was shown the content of a refused row, masked (查看隔离行)."""

    row: int
    """Number of the row in quarantine."""
    clear: tuple[str, ...]
    """Items shown as they are, because something is wrong with them."""


@dataclass(frozen=True)
class QuarantineRepaired(Event):
    """A clerk of the provider corrected a refused row (更正隔离行)."""

    row: int
    """Number of the row in quarantine."""
    items: tuple[str, ...]
    """Items that were set."""


@dataclass(frozen=True)
class QuarantineDropped(Event):
    """A clerk of the provider gave a refused row up: it will not be delivered (弃送隔离行)."""

    row: int
    """Number of the row in quarantine."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class QuarantineReplayed(Event):
    """Refused rows went the way of all rows in a run of their own (隔离重送)."""

    rows: int
    """How many."""
    repaired: int
    """How many of them had been corrected."""
    refused: int
    """How many were refused again."""


@dataclass(frozen=True)
class QuarantineExpired(Event):
    """The content of refused rows was removed after the time of retention (隔离数据到期清除)."""

    rows: int
    """How many rows."""


@dataclass(frozen=True)
class DocumentsExpired(Event):
    """Files that nothing needs any more were removed from the spool after the time of retention (附件到期清除)."""

    documents: int
    """How many."""
    size: int
    """Their bytes as they lay there, encrypted."""


@dataclass(frozen=True)
class BooksPruned(Event):
    """Entries of the books that had been kept long enough were removed (台账到期清除)."""

    files: int
    """How many files that were taken or refused."""
    documents: int
    """How many documents that were handed over."""
    dispatches: int
    """How many deliveries that were owed, and done or withdrawn."""


@dataclass(frozen=True)
class ToleranceConfigured(Event):
    """It was set how many refused rows stop an exchange (容错设定); without any figure, the hub's settings hold."""

    rows: str | None
    """Refused rows at most."""
    share: str | None
    """Refused rows at most, as a share of the rows read."""


@dataclass(frozen=True)
class RefreshConfigured(Event):
    """It was set whether deliveries of an exchange replace everything its target holds (全量刷新设定)."""

    full: bool
    """Whether they do; otherwise they are merged."""
    may_fall: str | None
    """By which share the number of rows may fall."""


@dataclass(frozen=True)
class RhythmConfigured(Event):
    """It was set when and how an exchange is scheduled (排班设定)."""

    schedule: str | None
    """In five fields of a cron expression; none: by the update cycle of its resource."""
    priority: int
    """Higher goes first where an endpoint bears no more."""
    all_of: tuple[str, ...]
    """Resources that must have been refreshed on the same day besides."""
    timeout_minutes: int
    """How long a run may take."""
    parts: int
    """Into how many ranges of keys a full pass is split."""


@dataclass(frozen=True)
class FilesCollected(Event):
    """A run took files of its source, or refused some whole (收取文件)."""

    taken: int
    """Files whose rows it read."""
    again: int
    """How many of them have the content of a file that was taken under another name."""
    refused: int
    """Files it refused for the first time as they are."""
    standing: int
    """Files that were refused before and still keep others waiting, or still cannot be touched."""


@dataclass(frozen=True)
class FileRefused(Event):
    """A file was refused whole (退回文件); its name and the reason are data and stand under its number."""

    file: int
    """Number of the file."""
    size: int
    """Its bytes."""


@dataclass(frozen=True)
class FileRetried(Event):
    """Somebody had a file that was refused tried once more (重试文件)."""

    file: int
    """Number of the file."""


@dataclass(frozen=True)
class FilesRead(Event):
    """Somebody looked at which files were taken, refused or waiting (查看文件)."""

    files: int
    """How many were shown."""
    named: bool
    """Whether with their names."""


@dataclass(frozen=True)
class FallAccepted(Event):
    """Somebody accepted that a refresh leaves fewer rows than it may, in this run (接受行数下降)."""

    rows: int
    """So few rows may be left."""


@dataclass(frozen=True)
class TargetRefreshed(Event):
    """A delivery replaced everything its target held (全量刷新)."""

    how: str
    """By ``swap``, with a new table, or by ``reload``, row by row."""
    why: tuple[str, ...]
    """Why so, in words."""
    gone: int
    """Rows that were there and not in the delivery."""


@dataclass(frozen=True)
class LogRead(Event):
    """Somebody searched the log (检索日志)."""

    query: dict[str, str]
    """What he searched for."""


@dataclass(frozen=True)
class LogExported(Event):
    """A part of the log was written to a file (导出日志)."""

    query: dict[str, str]
    """Which part."""
    format: str
    """Format of the file."""


@dataclass(frozen=True)
class FiguresExported(Event):
    """Figures of exchanges were written to a file (导出统计)."""

    exchanges: int
    """Of how many exchanges."""
    format: str
    """Format of the file."""


@dataclass(frozen=True)
class LogVerified(Event):
    """It was verified whether the log is as it was written (核验日志)."""

    verified: bool
    """The result."""
    faults: int
    """How many places are not as they were written."""


@dataclass(frozen=True)
class LogRestored(Event):
    """The auditor answers for a loss: the hub's database or its file of heads was restored from a backup (日志恢复)."""

    kept: int
    """Number of the last event the backup holds."""
    lost: int
    """Number of the last event that is known to have been sealed."""
    head: str
    """Seal of that event, from the file of heads or from a receipt or ledger."""
    noted_from: int
    """Number of the first event the file of heads knows of if it was begun anew, otherwise 0."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class NoticeIssued(Event):
    """A department was notified (告知)."""

    department: str
    """Credit code of the department."""


@dataclass(frozen=True)
class TargetRedelivered(Event):
    """A target that had been restored from a backup was delivered to again, in full (重新交付)."""

    lost: str
    """Key of the delivery the target had lost."""
    delivery: str
    """Key of the new one."""


@dataclass(frozen=True)
class DeliveryRepeated(Event):
    """A single delivery of files is made once more, with its rows as they stand now (单次重新送达)."""

    of: str
    """Key of the delivery that is made again."""
    delivery: str
    """Key of the new one."""


@dataclass(frozen=True)
class HubRecovered(Event):
    """After the hub was restored from a backup, an unfinished run in it was given up (平台恢复)."""

    run: str
    """The run that was given up."""


@dataclass(frozen=True)
class CredentialIssued(Event):
    """A department's programme was given something to sign in with (接入凭据签发)."""

    credential: str
    """Id of the credential."""
    kind: str
    """``token``, ``password``, ``gateway`` or ``certificate``."""


@dataclass(frozen=True)
class CredentialRevoked(Event):
    """A credential was taken back (接入凭据吊销)."""

    credential: str
    """Id of the credential."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class SignInRefused(Event):
    """Somebody who called the hub showed nothing that holds (拒绝接入); in a storm of them only some are written."""

    kind: str
    """What was shown: ``token``, ``password``, ``digest``, ``gateway`` or ``certificate``."""
    peer: str
    """Address of the caller."""
    credential: str | None
    """Id of the credential it was held against, if there is one of that name."""
    reason: str
    """``unknown``, ``wrong``, ``expired``, ``revoked``, ``stale``, ``replayed``."""
    unwritten: int
    """How many refusals before this one were not written."""


@dataclass(frozen=True)
class MailFetched(Event):
    """A department's programme fetched the last page of a delivery from its box (取走信件)."""

    delivery: str
    """Delivery key."""
    rows: int
    """Rows of the delivery, as they were handed out."""
    deleted: int
    """How many of them say that a row is to be taken away."""
    credential: str
    """Id of the credential it signed in with."""


@dataclass(frozen=True)
class MailExpired(Event):
    """A delivery that nobody fetched was removed after the time of retention; the next is a full one (信件过期)."""

    delivery: str
    """Delivery key."""
    rows: int
    """How many rows."""


@dataclass(frozen=True)
class MessageReceived(Event):
    """A department's programme pushed a message, which is durable at the hub (收到推送)."""

    message: str
    """The department's id of the message."""
    rows: int
    """Rows of the message."""
    digest: str
    """Keyed digest of its content."""
    credential: str
    """Id of the credential it signed in with."""


@dataclass(frozen=True)
class RowLookedUp(Event):
    """The row of one key was asked for and answered (单笔查询); this event is the proof of the look."""

    look: str
    """Id of the look."""
    grant: str
    """Id of the grant it was answered under."""
    version: int
    """Version of the grant."""
    plan: str
    """Digest of the plan it was answered by."""
    found: int
    """Rows handed out: one or none."""
    key: str
    """Keyed hash of the key that was asked for."""
    digest: str
    """Keyed digest of the row handed out, empty if there was none."""
    credential: str
    """Id of the credential the caller signed in with."""


@dataclass(frozen=True)
class DispatchBuried(Event):
    """A delivery that was owed cannot be made until somebody has looked (待送成为死信)."""

    dispatch: int
    """Number of what is owed."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class DispatchWithdrawn(Event):
    """A delivery that was owed is not going to be made (待送撤回)."""

    dispatch: int
    """Number of what was owed."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class DispatchRequeued(Event):
    """A delivery that was dead, withdrawn or waiting is to be tried at once (待送重新排队)."""

    dispatch: int
    """Number of what is owed."""


@dataclass(frozen=True)
class AccountCreated(Event):
    """An account was made; it has no roles unless the hub's own settings gave them (账号建立)."""

    account: str
    """Login."""
    name: str
    """Name of the person or programme."""
    kind: str
    """``person`` or ``programme``."""
    roles: tuple[str, ...]
    """Roles it has from the beginning."""


@dataclass(frozen=True)
class AccountAssigned(Event):
    """An account was given other roles, or another department (账号授权)."""

    account: str
    """Login."""
    before: tuple[str, ...]
    """Roles it had."""
    after: tuple[str, ...]
    """Roles it has."""
    moved_from: str
    """Department it was of."""
    moved_to: str
    """Department it is of."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class AccountDisabled(Event):
    """An account was disabled: its sessions and tokens are ended (账号停用)."""

    account: str
    """Login."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class AccountEnabled(Event):
    """A disabled account may sign in again (账号启用)."""

    account: str
    """Login."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class SettingChanged(Event):
    """A setting was changed at run time, or holds again as the file has it (设置变更)."""

    setting: str
    """``section.name``."""
    before: int
    """Value that held."""
    after: int
    """Value that holds."""
    reset: bool
    """Whether it is the file's own again."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class AccountUnlocked(Event):
    """The failures of a login were forgotten before their time (账号解锁)."""

    account: str
    """Login."""


@dataclass(frozen=True)
class AccountLinked(Event):
    """An account was tied to a unified identity, or untied (统一身份绑定)."""

    account: str
    """Login."""
    issuer: str
    """Who vouches for the identity; empty: nobody any more."""


@dataclass(frozen=True)
class PasswordReplaced(Event):
    """An account was given a one-time password; its sessions and tokens are ended (口令重置)."""

    account: str
    """Login."""


@dataclass(frozen=True)
class PasswordChanged(Event):
    """Somebody changed his own password; his other sessions are ended (口令修改)."""

    account: str
    """Login."""


@dataclass(frozen=True)
class SignedIn(Event):
    """Somebody signed in (登录)."""

    account: str
    """Login."""
    how: str
    """``password`` or ``oidc``."""
    peer: str
    """Address he came from."""


@dataclass(frozen=True)
class SignInFailed(Event):
    """Somebody did not get in (登录失败); of those that wait out a lock only some are written."""

    account: str | None
    """Login, if there is such an account."""
    how: str
    """``password``, ``oidc`` or ``change``: the old password, when it was to be changed."""
    peer: str
    """Address he came from."""
    reason: str
    """``unknown``, ``wrong``, ``disabled``, ``locked``, ``address``; by unified identity further ones."""
    unwritten: int
    """How many like this before were not written."""


@dataclass(frozen=True)
class SignInLocked(Event):
    """A login failed so often that it is locked for a while (登录锁定)."""

    account: str | None
    """Login, if there is such an account."""
    peer: str
    """Address of the last failure."""
    minutes: int
    """For how long."""


@dataclass(frozen=True)
class SignedOut(Event):
    """Somebody signed out (退出登录)."""

    account: str
    """Login."""


@dataclass(frozen=True)
class SessionsEnded(Event):
    """All sessions of an account were ended (会话终止)."""

    account: str
    """Login."""
    sessions: int
    """How many."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class SignInsRead(Event):
    """Somebody looked who is signed in, and from where (查看登录)."""

    account: str | None
    """Login of the account that was asked for; null: all."""


@dataclass(frozen=True)
class TokenIssued(Event):
    """A token to call the hub with was issued for an account (令牌签发)."""

    token: str
    """Id of the token."""
    account: str
    """Login."""
    scopes: tuple[str, ...]
    """What it may be used for."""
    days: int
    """For how long."""


@dataclass(frozen=True)
class TokenRevoked(Event):
    """A token was taken back (令牌吊销)."""

    token: str
    """Id of the token."""
    account: str
    """Login."""
    reason: str
    """Why."""
