"""The parts of a hub put together, and what all use cases share."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from catalog import Catalog
from catalog import errors as told_by_catalog
from exchange.audit import AuditLog, events
from exchange.authorisation import Authorisation
from exchange.db import HubDatabase
from exchange.engine import Endpoints, Engine, Reconciler
from exchange.errors import Denied, Invalid, Misplaced, Overtaken, Problem, Unknown
from exchange.hub.access import Access
from exchange.hub.accounts import Accounts
from exchange.hub.answers import AnswerBook
from exchange.hub.configuration import Configuration
from exchange.hub.directory import Directory
from exchange.hub.exchanges import Exchanges
from exchange.hub.figures import Figures
from exchange.hub.files import FileDesk
from exchange.hub.mending import Mending
from exchange.hub.messages import Messages
from exchange.hub.overrides import Overrides
from exchange.hub.oversight import Oversight
from exchange.hub.pausing import Pausing
from exchange.hub.previewing import Previewing
from exchange.hub.recalls import RecallBook
from exchange.hub.registration import Registration
from exchange.hub.runs import Runs
from exchange.hub.sharing import Sharing
from exchange.hub.signing import Signing
from exchange.hub.structures import Structures
from exchange.hub.timetable import Timetable
from exchange.hub.tokens import Tokens
from exchange.hub.waiting import Waiting
from exchange.identity import Actor, require
from exchange.secrets import Keyring, with_password
from exchange.settings import Role, Settings
from schemas import SchemaError, use_folders


def hub_database(settings: Settings) -> HubDatabase:
    """The hub's own database, with its password if it has one."""
    return HubDatabase(with_password(settings.database_url, settings.database_password, settings.home))


class Hub:
    """One hub, opened on its settings.

    Attributes:
        registration: Departments, endpoints and resources (登记).
        sharing: Applications, decisions, grants and exchanges (共享).
        oversight: Runs, receipts, quarantine and the log (监管).
        mending: Refused rows looked at, corrected and replayed by their provider (隔离处理).
        messages: What is owed to recipients of files, and its delivery (消息).
        answers: What recipients made of what was delivered to them (处理结果).
        figures: What moved in a period, between whom, how well and how fast (统计).
        files: Files followed from drop to receipts, what waits, what is tried again (文件).
        runs: Runs found, and one held against what its target's ledger says (批次).
        recalls: What was called back of what was delivered, and what recipients said to that (撤回).
        configuration: All of it described in files (配置文件).
        structures: What the tables of an exchange look like, and changes to approve (表结构).
        directory: Looking things up, each to those who may see it (查阅).
        waiting: What waits for somebody, and the lists of resources, applications and grants by pages (待办).
        exchanges: Exchanges looked up, page by page and one by one (交换).
        access: What departments' programmes sign in with (接入).
        accounts: Who may sign in, and with which roles (账号).
        signing: Signing in and out, and who is there (登录).
        tokens: What programmes call the interface with in the name of accounts (令牌).
        overrides: Settings that were changed at run time (设置变更).
        runs: Runs, found by what people know of them (批次).
        pausing: What rests because somebody said so (暂停).
        previewing: The first rows of an exchange, as they would be delivered (脱敏预览).
        timetable: What a scheduler is told and asks, and housekeeping (排班).
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._use_schemas()
        self.database = hub_database(settings)
        self.overrides = Overrides(self)
        self.keyring = Keyring(settings)
        self.audit = AuditLog(self.database, self.keyring, settings)
        self.catalog = Catalog(code_pattern=settings.code_pattern)
        self.authorisation = Authorisation(self.audit, settings, self.catalog)
        self.engine = Engine(
            settings=settings,
            database=self.database,
            keyring=self.keyring,
            audit=self.audit,
            catalog=self.catalog,
            authorisation=self.authorisation,
        )
        self.endpoints = Endpoints(settings, self.catalog, self.keyring, self.engine.mailroom)
        self.reconciler = Reconciler(
            settings=settings, database=self.database, keyring=self.keyring, catalog=self.catalog
        )
        self.registration = Registration(self)
        self.sharing = Sharing(self)
        self.oversight = Oversight(self)
        self.mending = Mending(self)
        self.answers = AnswerBook(self)
        self.messages = Messages(self)
        self.files = FileDesk(self)
        self.figures = Figures(self)
        self.runs = Runs(self)
        self.recalls = RecallBook(self)
        self.structures = Structures(self)
        self.configuration = Configuration(self)
        self.directory = Directory(self)
        self.waiting = Waiting(self)
        self.exchanges = Exchanges(self)
        self.access = Access(self)
        self.accounts = Accounts(self)
        self.signing = Signing(self)
        self.tokens = Tokens(self)
        self.runs = Runs(self)
        self.pausing = Pausing(self)
        self.previewing = Previewing(self)
        self.timetable = Timetable(self)

    @property
    def current(self) -> Settings:
        """The settings as they hold now, with what was changed at run time."""
        return self.overrides.current

    def _use_schemas(self) -> None:
        """Read the folders of further classes, code lists and profiles that the settings name."""
        if not self.settings.schema_folders:
            return
        try:
            use_folders(self.settings.schema_folders)
        except SchemaError as error:
            problems = [Problem(where="schema_folders", message=str(text)) for text in error.problems]
            raise Invalid("附加的数据类、代码表或前置库格式有误", problems) from error

    def close(self) -> None:
        """Seal what is unsealed and let go of the database."""
        self.engine.watching.close()
        self.audit.seal()
        self.database.close()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Pass on what the catalogue says as the hub's own errors."""
        try:
            yield
        except told_by_catalog.Rejected as error:
            problems = [
                Problem(where=p.where, message=p.message, remedy=p.remedy)
                for p in error.problems
                if p.severity == "error"
            ]
            raise Invalid(error.message, problems) from error
        except told_by_catalog.UnknownEntry as error:
            raise Unknown(error.message, remedy=error.remedy) from error
        except told_by_catalog.Overtaken as error:
            raise Overtaken(error.message, remedy=error.remedy) from error
        except told_by_catalog.WrongState as error:
            raise Misplaced(error.message, remedy=error.remedy) from error
        except told_by_catalog.SamePerson as error:
            raise Denied(error.message, [error.message], remedy=error.remedy) from error

    @contextmanager
    def permitted(
        self, by: Actor, *roles: Role, action: str, of: Collection[str] | None = None, **about: Any
    ) -> Iterator[None]:
        """Do something only these roles may do; a refusal is logged before it is told.

        Args:
            by: Who does it.
            roles: Roles any of which suffices.
            action: What it is, in the user's terms.
            of: Departments it concerns: only their people and those of the hub's own department may; None:
                it concerns none in particular.
            about: What the refusal is logged under.
        """
        try:
            require(by, *roles, action=action)
            if of is not None:
                self._of(by, of, action)
        except Denied as error:
            self.denied(by, action, error, **about)
            raise
        yield

    def _of(self, by: Actor, departments: Collection[str], action: str) -> None:
        if by.department not in {*departments, self.settings.hub_department}:
            raise Denied(
                f"{by.name} 不能{action}",
                ["只有当事部门和平台管理单位的人员可以办理"],
                remedy="请当事部门或平台管理单位办理",
            )

    def denied(self, by: Actor, action: str, error: Denied, **about: Any) -> None:
        """Log a refusal, in a transaction of its own: the refused one is rolled back."""
        with self.database.accompanied(None), self.database.transaction() as session:
            event = events.AccessDenied(action=action, reasons=tuple(error.reasons or (error.message,)))
            self.audit.record(session, event, by=by, **about)
