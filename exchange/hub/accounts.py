"""Accounts (账号): who may sign in, as whom, and with which roles.

Three administrators share the work (三员分立): the system administrator makes, disables and unlocks accounts and resets
passwords, but gives no roles; the security administrator gives roles and departments and sees who is signed in, but
makes no accounts; the audit administrator reads all of it and changes nothing. Nobody changes his own account but for
the password.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import SecretStr
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from exchange.audit import events
from exchange.authorisation.reading import askable
from exchange.db import alone, now
from exchange.db.tables import AccountRow, SessionRow
from exchange.errors import Denied, Invalid, Misplaced, Overtaken, Problem, Unknown
from exchange.hub.reasons import read_reason
from exchange.identity import PLATFORM, Actor, passwords, separation
from exchange.settings import PLATFORM_NAME, Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub

FOUNDERS = {"sysadmin": Role.SYSTEM, "secadmin": Role.SECURITY, "auditadmin": Role.AUDIT}
"""Logins of the first three accounts, and what each is for."""
LOGIN = re.compile(r"[a-z0-9][a-z0-9._-]{1,63}")
"""What a login looks like."""
_NAME = 64
_LOCK = "accounts"
_SEE = (Role.SYSTEM, Role.SECURITY, Role.AUDIT)


@dataclass(frozen=True)
class Account:
    """An account as it may be shown (账号).

    Attributes:
        login: What is typed to sign in.
        name: Name of the person or programme; no two accounts have the same.
        kind: ``person`` or ``programme``.
        department: Credit code.
        state: ``active``, ``disabled``, or ``locked`` while wrong passwords keep it so.
        has_password: Whether one may sign in with a password at all.
        must_change: The password was handed over and must be changed first.
        issuer: Who vouches for the unified identity it is tied to; None: it is tied to none.
        locked_until: When the lock ends.
        sessions: How many are open.
    """

    login: str
    name: str
    kind: str
    department: str
    roles: frozenset[Role]
    state: str
    has_password: bool
    must_change: bool
    issuer: str | None
    created_by: str
    created_at: datetime
    changed_at: datetime
    signed_in_at: datetime | None
    locked_until: datetime | None
    sessions: int

    @property
    def given(self) -> str:
        """What it was given, as a mark that says whether somebody else has given it something since."""
        return _given(self.roles, self.department)


@dataclass(frozen=True)
class Handed:
    """An account whose password is told once (一次性口令); None: it has none.

    Attributes:
        password: To be handed over and changed at the first sign-in; kept nowhere in clear.
    """

    login: str
    name: str
    department: str
    roles: frozenset[Role]
    password: SecretStr | None


@dataclass(frozen=True)
class Seen:
    """A session as it may be shown (在线情况); its id opens nothing."""

    id: str
    account: str
    name: str
    established: str
    address: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


class Accounts:
    """Keeps the accounts.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    # --- the first ones ------------------------------------------------------------------------

    def first(self, *, by: Actor = PLATFORM) -> list[Handed]:
        """Make the first accounts where there is none at all (首次启动).

        The three administrators, each with a one-time password, and the people of ``[actors]`` with the roles they
        have there: in a demonstration all with passwords that need not be changed, else without one until the system
        administrator resets it.

        Args:
            by: A system administrator, or the platform where it starts.

        Returns:
            The accounts made; none if there were some before.
        """
        hub, demo = self._hub, self._hub.settings.demo
        if by != PLATFORM:
            with self._permitted(by, Role.SYSTEM, action="建立最初的账号"):
                pass
        with hub.database.reading() as session:
            if session.scalar(select(func.count()).select_from(AccountRow)):
                return []
        made = [*self._founders(), *self._known(with_password=demo)]
        hashes = [passwords.hashed(each.password) if each.password is not None else None for each in made]
        with hub.database.transaction() as session:
            alone(session, _LOCK)
            if session.scalar(select(func.count()).select_from(AccountRow)):
                return []
            for each, kept in zip(made, hashes, strict=True):
                self._add(session, each, "person", kept, must_change=not demo, by=by)
        return made

    def _founders(self) -> list[Handed]:
        department = self._hub.settings.hub_department
        # Not only their titles: in [actors] somebody may bear one as his name.
        return [
            Handed(login, f"首任{separation.titles([role])}", department, frozenset({role}), passwords.one_time())
            for login, role in FOUNDERS.items()
        ]

    def _known(self, *, with_password: bool) -> list[Handed]:
        """The people of the settings; those of one name are one, under the first of his users that is a login."""
        people: dict[str, Handed] = {}
        settings = self._hub.settings
        taken = {f"首任{separation.titles([role])}" for role in FOUNDERS.values()}
        for user, entry in settings.actors.items():
            login = user.lower()
            if entry.name in people or entry.name in taken or not LOGIN.fullmatch(login):
                continue
            if login in FOUNDERS or any(each.login == login for each in people.values()):
                continue
            roles = self._elsewhere(entry.name)
            if separation.against(roles, of_the_hub=entry.department == settings.hub_department):
                roles = frozenset()  # what the settings allow and accounts do not, the security administrator decides
            password = passwords.one_time() if with_password else None
            people[entry.name] = Handed(login, entry.name, entry.department, roles, password)
        return list(people.values())

    # --- by the system administrator -----------------------------------------------------------

    def create(
        self, login: str, name: str, department: str, *, by: Actor, programme: bool = False, password: bool = True
    ) -> Handed:
        """Make an account, which has no roles yet (建立账号).

        Args:
            login: What will be typed: small letters, digits, ``.``, ``_``, ``-``.
            name: Of the person, or of the programme; nobody else may bear it.
            department: Credit code.
            by: A system administrator.
            programme: It is a programme's, which works with tokens alone.
            password: Whether it gets a one-time password; else its owner signs in by unified identity.

        Returns:
            The account, with its one-time password.
        """
        hub = self._hub
        what = f"建立账号 {login[:64]}"
        with hub.permitted(by, Role.SYSTEM, action=what, of=[]):
            secret = passwords.one_time() if password and not programme else None
            kept = passwords.hashed(secret) if secret is not None else None
            person = " ".join(name.split())
            made = Handed(login.strip().lower(), person, department, frozenset(), secret)
            with self._changing(by, what) as session, hub.told():
                hub.catalog.department(session, department)
                self._demand(session, made)
                self._add(session, made, "programme" if programme else "person", kept, must_change=True, by=by)
        return made

    def _demand(self, session: Session, made: Handed) -> None:
        problems = []
        if not LOGIN.fullmatch(made.login):
            problems.append(Problem("登录名", "应为 2 至 64 个小写字母、数字、点、下划线或连字符，以字母或数字开头"))
        elif session.get(AccountRow, made.login) is not None:
            problems.append(Problem("登录名", f"{made.login} 已经用过", "换一个；停用的账号也不让出登录名"))
        if not made.name or len(made.name) > _NAME or not made.name.isprintable() or made.name == PLATFORM_NAME:
            problems.append(Problem("姓名", f"应为不超过 {_NAME} 个可见字符，不能是 {PLATFORM_NAME}"))
        elif session.scalar(select(AccountRow.login).where(AccountRow.name == made.name)) is not None:
            remedy = "审批按姓名区分人员；同名的人请加以区别，如“张伟（税务局）”"
            problems.append(Problem("姓名", "已经有人使用", remedy))
        if problems:
            raise Invalid("不能建立账号", problems)

    def disable(self, login: str, *, reason: str, by: Actor) -> None:
        """Disable an account at once: its sessions end, its tokens are revoked (停用账号)."""
        what = f"停用账号 {login[:64]}"
        with self._permitted(by, Role.SYSTEM, action=what), self._changing(by, what) as session:
            row = self._row(session, login)
            self._not_own(by, row, what)
            why = read_reason(reason, what)
            if row.state == "disabled":
                raise Misplaced(f"账号 {row.login} 已经停用")
            self._still_governed(session, row, frozenset(), what)
            row.state, row.changed_at = "disabled", now(session)
            self._record(session, events.AccountDisabled(account=row.login, reason=why), by, row)
            self._end(session, row, "账号停用", by, tokens=True)

    def enable(self, login: str, *, reason: str, by: Actor) -> None:
        """Let a disabled account sign in again (启用账号)."""
        what = f"启用账号 {login[:64]}"
        with self._permitted(by, Role.SYSTEM, action=what), self._changing(by, what) as session:
            row = self._row(session, login)
            self._not_own(by, row, what)
            why = read_reason(reason, what)
            if row.state == "active":
                raise Misplaced(f"账号 {row.login} 没有停用")
            row.state, row.changed_at = "active", now(session)
            self._record(session, events.AccountEnabled(account=row.login, reason=why), by, row)

    def unlock(self, login: str, *, by: Actor) -> None:
        """Forget the wrong passwords of a login (解锁账号).

        Raises:
            Misplaced: It is not locked.
        """
        what = f"解锁账号 {login[:64]}"
        with self._permitted(by, Role.SYSTEM, action=what), self._changing(by, what) as session:
            row = self._row(session, login)
            self._not_own(by, row, what)
            if not self._hub.signing.attempts.forget(session, row.login):
                raise Misplaced(f"账号 {row.login} 没有锁定")
            self._record(session, events.AccountUnlocked(account=row.login), by, row)

    def reset(self, login: str, *, by: Actor) -> Handed:
        """Give an account a one-time password: sessions end, tokens are revoked, a lock is lifted (重置口令)."""
        what = f"重置账号 {login[:64]} 的口令"
        with self._permitted(by, Role.SYSTEM, action=what):
            secret = passwords.one_time()
            kept = passwords.hashed(secret)
            with self._changing(by, what) as session:
                row = self._row(session, login)
                self._not_own(by, row, what)
                if row.kind != "person":
                    raise Misplaced(f"账号 {row.login} 属于程序，没有口令", remedy="用 shutong token issue 签发令牌")
                moment = now(session)
                row.password, row.must_change, row.password_at, row.changed_at = kept, True, moment, moment
                self._record(session, events.PasswordReplaced(account=row.login), by, row)
                self._hub.signing.attempts.forget(session, row.login)
                self._end(session, row, "口令重置", by, tokens=True)
                return Handed(row.login, row.name, row.department, _roles(row), secret)

    def unlink(self, login: str, *, reason: str, by: Actor) -> None:
        """Untie an account from its unified identity; its sessions end (解除绑定)."""
        what = f"解除账号 {login[:64]} 的统一身份绑定"
        with self._permitted(by, Role.SYSTEM, action=what), self._changing(by, what) as session:
            row = self._row(session, login)
            self._not_own(by, row, what)
            why = read_reason(reason, what)
            if row.subject is None:
                raise Misplaced(f"账号 {row.login} 没有绑定统一身份")
            if row.password is None:
                self._still_governed(session, row, frozenset(), what)
            row.subject, row.changed_at = None, now(session)
            self._record(session, events.AccountLinked(account=row.login, issuer=""), by, row)
            self._end(session, row, why, by, tokens=False)

    # --- by the security administrator ---------------------------------------------------------

    def assign(
        self,
        login: str,
        roles: Collection[Role],
        *,
        by: Actor,
        reason: str,
        department: str | None = None,
        begun: str | None = None,
    ) -> None:
        """Give an account these roles and no others, and another department if named (授予角色).

        Its sessions end; what it holds by tokens is what its roles then allow.

        Args:
            login: Whose.
            roles: All that it has then.
            by: Who gives them.
            reason: Why.
            department: Where it belongs then; None: where it does.
            begun: What one has seen of it (:attr:`Account.given`); None: whatever it has now.

        Raises:
            Overtaken: Somebody else gave it something meanwhile.
            Denied: The three administrators would not be three people any more, or somebody gives himself roles.
        """
        what = f"授予账号 {login[:64]} 角色"
        wanted = frozenset(roles)
        hub = self._hub
        with self._permitted(by, Role.SECURITY, action=what), self._changing(by, what) as session:
            row = self._row(session, login)
            self._not_own(by, row, what)
            why = read_reason(reason, what)
            place = department if department is not None else row.department
            if department is not None:
                with hub.told():
                    hub.catalog.department(session, department)
            before, left = _roles(row), row.department
            if begun is not None and begun != _given(before, left):
                raise Overtaken(f"账号 {row.login} 的角色或部门已由他人改动", remedy="对照现在的角色，需要的再授予一次")
            if wanted == before and place == left:
                raise Misplaced(f"账号 {row.login} 的角色和部门已经如此")
            self._separate(row, wanted, place, what)
            self._still_governed(session, row, wanted, what)
            row.roles, row.department, row.changed_at = sorted(wanted), place, now(session)
            event = events.AccountAssigned(
                account=row.login,
                before=tuple(sorted(before)),
                after=tuple(sorted(wanted)),
                moved_from=left,
                moved_to=place,
                reason=why,
            )
            self._record(session, event, by, row)
            self._end(session, row, "角色或部门变更", by, tokens=False)

    def end_sessions(self, login: str, *, reason: str, by: Actor) -> int:
        """Sign somebody out everywhere (强制退出); how many sessions there were."""
        what = f"终止账号 {login[:64]} 的会话"
        with self._permitted(by, Role.SECURITY, action=what), self._changing(by, what) as session:
            row = self._row(session, login)
            return self._end(session, row, read_reason(reason, what), by, tokens=False)

    def sign_ins(self, *, by: Actor, login: str | None = None) -> list[Seen]:
        """Who is signed in, and from where, newest first (在线情况); the look is logged."""
        hub = self._hub
        with self._permitted(by, Role.SECURITY, Role.AUDIT, action="查看登录情况"):
            with hub.database.transaction() as session:
                hub.audit.record(session, events.SignInsRead(account=login), by=by)
            with hub.database.reading() as session:
                query = select(SessionRow, AccountRow.name).join(AccountRow, AccountRow.login == SessionRow.account)
                if login is not None:
                    query = query.where(SessionRow.account == (login if LOGIN.fullmatch(login) else ""))
                moment = now(session)
                return [
                    Seen(
                        row.id, row.account, name, row.established, row.address,
                        row.created_at, row.seen_at, row.expires_at,
                    )
                    for row, name in session.execute(query.order_by(SessionRow.created_at.desc()))
                    if not hub.signing.sessions.over(row, moment)
                ]  # fmt: skip

    # --- looking -------------------------------------------------------------------------------

    def accounts(self, *, by: Actor, department: str | None = None) -> list[Account]:
        """All accounts, or those of a department, by login (列出账号)."""
        with self._permitted(by, *_SEE, action="列出账号"), self._hub.database.reading() as session:
            query = select(AccountRow).order_by(AccountRow.login)
            if department is not None:
                query = query.where(AccountRow.department == (department if askable(department) else ""))
            return self._listed(session, list(session.scalars(query)))

    def account(self, login: str, *, by: Actor) -> Account:
        """One account (查看账号); one's own, to everybody.

        Raises:
            Unknown: There is none of that login.
        """
        with self._hub.database.reading() as session:
            row = session.get(AccountRow, login) if LOGIN.fullmatch(login) else None
            if row is not None and row.name == by.name:
                return self._listed(session, [row])[0]
        with self._permitted(by, *_SEE, action=f"查看账号 {login[:64]}"), self._hub.database.reading() as session:
            return self._listed(session, [self._row(session, login)])[0]

    def _listed(self, session: Session, rows: list[AccountRow]) -> list[Account]:
        locked = self._hub.signing.attempts.locked(session, [row.login for row in rows])
        counted = select(SessionRow.account, func.count()).group_by(SessionRow.account)
        open_now: dict[str, int] = dict(session.execute(counted).all())
        return [
            Account(
                login=row.login,
                name=row.name,
                kind=row.kind,
                department=row.department,
                roles=_roles(row),
                state="locked" if row.login in locked and row.state == "active" else row.state,
                has_password=row.password is not None,
                must_change=row.must_change,
                issuer=row.subject.partition(" ")[0] if row.subject else None,
                created_by=row.created_by,
                created_at=row.created_at,
                changed_at=row.changed_at,
                signed_in_at=row.signed_in_at,
                locked_until=locked.get(row.login),
                sessions=open_now.get(row.login, 0),
            )
            for row in rows
        ]

    # --- the rules -----------------------------------------------------------------------------

    @contextmanager
    def _permitted(self, by: Actor, *roles: Role, action: str) -> Iterator[None]:
        # Accounts are the hub's own business: of=[] lets nobody in whose department does not run it.
        with self._hub.permitted(by, *roles, action=action, of=[]):
            yield

    @contextmanager
    def _changing(self, by: Actor, what: str) -> Iterator[Session]:
        """A transaction that changes accounts, one at a time; what a rule refuses is logged after it."""
        hub = self._hub
        try:
            with hub.database.transaction() as session:
                alone(session, _LOCK)
                yield session
        except Denied as error:
            hub.denied(by, what, error)
            raise

    def _not_own(self, by: Actor, row: AccountRow, what: str) -> None:
        if row.name == by.name:
            raise Denied(f"{by.name} 不能{what}", ["不能改动自己的账号"], remedy="请另一位管理员办理")

    def _separate(self, row: AccountRow, wanted: frozenset[Role], department: str, what: str) -> None:
        ours = department == self._hub.settings.hub_department
        found = separation.against(wanted, programme=row.kind == "programme", of_the_hub=ours)
        if wanted:
            # One person, whichever door he comes through.
            found += separation.against(wanted | self._elsewhere(row.name))
        if found:
            raise Denied(f"不能{what}", list(dict.fromkeys(found)), remedy="把职责分给不同的人")

    def _elsewhere(self, name: str) -> frozenset[Role]:
        """What somebody of this name may do on the command line."""
        entries = [entry for entry in self._hub.settings.actors.values() if entry.name == name]
        return frozenset(role for entry in entries for role in entry.roles)

    def _still_governed(self, session: Session, row: AccountRow, left: frozenset[Role], what: str) -> None:
        """Refuse to leave the hub without anybody who could give it another administrator."""
        lost = (_roles(row) - left) & {Role.SYSTEM, Role.SECURITY}
        if not lost or row.state != "active":
            return
        others = select(AccountRow).where(AccountRow.state == "active", AccountRow.login != row.login)
        held = {role for other in session.scalars(others) if _enters(other) for role in _roles(other)}
        missing = [role for role in lost if role not in held]
        if missing:
            raise Denied(
                f"不能{what}",
                [f"{row.name} 是最后一位能够登录的{separation.titles([role])}" for role in sorted(missing)],
                remedy="先由另一位人员担任，再办理",
            )

    def _row(self, session: Session, login: str) -> AccountRow:
        known = LOGIN.fullmatch(login) is not None
        row = session.get(AccountRow, login, with_for_update=True, populate_existing=True) if known else None
        if row is None:
            raise Unknown(f"没有账号 {login[:64]}", remedy="用 shutong account list 查看")
        return row

    def _add(
        self, session: Session, made: Handed, kind: str, kept: str | None, *, must_change: bool, by: Actor
    ) -> None:
        moment = now(session)
        session.add(
            AccountRow(
                login=made.login,
                name=made.name,
                kind=kind,
                department=made.department,
                roles=sorted(made.roles),
                state="active",
                password=kept,
                must_change=must_change and kept is not None,
                password_at=moment if kept is not None else None,
                created_by=by.name,
                created_at=moment,
                changed_at=moment,
            )
        )
        session.flush()
        roles = tuple(sorted(str(role) for role in made.roles))
        event = events.AccountCreated(account=made.login, name=made.name, kind=kind, roles=roles)
        self._hub.audit.record(session, event, by=by, department=made.department)

    def _end(self, session: Session, row: AccountRow, reason: str, by: Actor, *, tokens: bool) -> int:
        ended = self._hub.signing.sessions.end(session, row.login)
        if ended:
            self._record(session, events.SessionsEnded(account=row.login, sessions=ended, reason=reason), by, row)
        if tokens:
            self._hub.tokens.revoke_all(session, row, reason, by)
        return ended

    def _record(self, session: Session, event: events.Event, by: Actor, row: AccountRow) -> None:
        self._hub.audit.record(session, event, by=by, department=row.department)


def _given(roles: Collection[Role], department: str) -> str:
    return " ".join([department, *sorted(roles)])


def _roles(row: AccountRow) -> frozenset[Role]:
    return frozenset(Role(role) for role in row.roles)


def _enters(row: AccountRow) -> bool:
    """Whether somebody can sign in to it at all."""
    return row.password is not None or row.subject is not None
