"""Access (接入): what the programmes of departments sign in with when they call the hub."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, get_args

from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.orm import Session

from exchange.audit import events
from exchange.db import now
from exchange.db.tables import CredentialRow
from exchange.errors import Invalid, Misplaced, Problem, Unknown
from exchange.hub.reasons import read_reason
from exchange.identity import Actor
from exchange.secrets import Keyring, seal
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub

CredentialKind = Literal["token", "password", "gateway", "certificate"]
_NAMED = {"password": "用户名", "gateway": "请求方标识（rid）", "certificate": "证书主题"}
"""Kinds that somebody gives a name, and what it is."""
_LONGEST = 255
_WORDS = 200


@dataclass(frozen=True)
class Issued:
    """A credential just made (签发结果); the secret is told once and kept nowhere in clear.

    Attributes:
        id: Id of the credential.
        name: What the programme says it is: user, requester or subject; None for a token.
        secret: Token, password or secret; None for a certificate, whose key stays with the department.
    """

    id: str
    kind: CredentialKind
    department: str
    name: str | None
    secret: SecretStr | None
    expires_at: datetime | None


@dataclass(frozen=True)
class Credential:
    """A credential as it may be listed (接入凭据)."""

    id: str
    kind: str
    department: str
    name: str | None
    purpose: str
    state: str
    """``active``, ``expired``, ``revoked``."""
    issued_by: str
    issued_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = field(default=None)


def token_name(keyring: Keyring, token: str) -> str:
    """What a token is found by: its keyed hash."""
    key = keyring.derive("credential", "token")
    return hmac.digest(key, token.encode("utf-8", "surrogatepass"), "sha256").hex()


def credential_key(keyring: Keyring, credential: str) -> bytes:
    """The key that the secret of one credential is sealed under."""
    return keyring.derive("credential", credential)


class Access:
    """Credentials of departments' programmes."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def issue(
        self,
        department: str,
        kind: CredentialKind,
        *,
        by: Actor,
        name: str | None = None,
        purpose: str = "",
        until: datetime | None = None,
    ) -> Issued:
        """Give a department's programme something to sign in with (签发).

        Args:
            department: Its credit code.
            kind: ``token``, ``password`` (for basic authentication and WS-Security), ``gateway`` or ``certificate``.
            by: Who issues it: an integrator of the department or of the hub, or the system administrator.
            name: User, requester id or subject; none for a token.
            purpose: What it is for, in words.
            until: When it ends; None: it does not.
        """
        hub = self._hub
        about = {"of": [department], "department": department}
        with (
            hub.permitted(by, Role.INTEGRATOR, Role.SYSTEM, action=f"签发部门 {department} 的接入凭据", **about),
            hub.told(),
            hub.database.transaction() as session,
        ):
            hub.catalog.department(session, department)
            moment = now(session)
            self._demand(session, kind, name, purpose, until, moment)
            credential = "C" + secrets.token_hex(8)
            secret = None if kind == "certificate" else SecretStr(secrets.token_urlsafe(32))
            sealed = None
            if secret is not None and kind != "token":
                sealed = seal(secret.get_secret_value(), credential_key(hub.keyring, credential))
            found_by = name or ""
            if kind == "token" and secret is not None:
                found_by = token_name(hub.keyring, secret.get_secret_value())
            session.add(
                CredentialRow(
                    id=credential,
                    department=department,
                    kind=kind,
                    name=found_by,
                    secret=sealed,
                    purpose=purpose,
                    issued_by=by.name,
                    issued_at=moment,
                    expires_at=until,
                )
            )
            event = events.CredentialIssued(credential=credential, kind=kind)
            hub.audit.record(session, event, by=by, department=department)
        return Issued(credential, kind, department, name, secret, until)

    def _demand(
        self, session: Session, kind: str, name: str | None, purpose: str, until: datetime | None, moment: datetime
    ) -> None:
        problems = []
        if kind not in get_args(CredentialKind):
            problems.append(Problem("种类", "没有这一种", f"可写：{'、'.join(get_args(CredentialKind))}"))
        word = _NAMED.get(kind)
        if word is None and name is not None:
            problems.append(Problem("名称", "令牌没有名称", "去掉名称"))
        if word is not None and not name:
            problems.append(Problem("名称", f"没有写{word}"))
        if name and (len(name) > _LONGEST or not name.isprintable()):
            problems.append(Problem("名称", f"{word or '名称'}应为不超过 {_LONGEST} 个可见字符"))
        if len(purpose) > _WORDS or not purpose.isprintable():
            problems.append(Problem("用途", f"应为不超过 {_WORDS} 个可见字符"))
        if until is not None and until <= moment:
            problems.append(Problem("有效期", "已经过去", "写将来的日期，或不写"))
        if word is not None and name:
            taken = select(CredentialRow).where(CredentialRow.kind == kind, CredentialRow.name == name)
            if session.scalar(taken) is not None:
                problems.append(Problem("名称", f"{word} {name} 已经用过", "换一个名称；用过的不再重用"))
        if problems:
            raise Invalid("不能签发接入凭据", problems)

    def credentials(self, *, by: Actor, department: str | None = None) -> list[Credential]:
        """Credentials of one's own department; of all, to the hub's people (列出)."""
        hub = self._hub
        own = by.department != hub.settings.hub_department
        wanted = by.department if own else department
        roles = (Role.INTEGRATOR, Role.SYSTEM, Role.SECURITY, Role.AUDIT)
        with hub.permitted(by, *roles, action="列出接入凭据"), hub.database.reading() as session:
            query = select(CredentialRow).order_by(CredentialRow.department, CredentialRow.issued_at)
            if wanted is not None:
                query = query.where(CredentialRow.department == wanted)
            moment = now(session)
            return [_listed(row, moment) for row in session.scalars(query)]

    def revoke(self, credential: str, *, reason: str, by: Actor) -> None:
        """Take a credential back; it does not hold from this moment (吊销).

        Raises:
            Unknown: There is none of that id.
            Misplaced: It was revoked before.
            Invalid: No reason is given.
        """
        hub = self._hub
        with hub.database.reading() as session:
            row = session.get(CredentialRow, credential)
        department = row.department if row is not None else None
        what = f"吊销接入凭据 {credential}"
        roles = (Role.INTEGRATOR, Role.SYSTEM, Role.SECURITY)
        with hub.permitted(by, *roles, action=what, of=[department] if department else [], department=department):
            if row is None:
                raise Unknown(f"没有接入凭据 {credential}", remedy="用 shutong access list 查看")
            why = read_reason(reason, what)
            with hub.database.transaction() as session:
                row = session.get_one(CredentialRow, credential, with_for_update=True)
                if row.revoked_at is not None:
                    raise Misplaced(f"接入凭据 {credential} 已经吊销")
                row.revoked_at = now(session)
                event = events.CredentialRevoked(credential=credential, reason=why)
                hub.audit.record(session, event, by=by, department=row.department)


def _listed(row: CredentialRow, moment: datetime) -> Credential:
    ended = row.expires_at is not None and row.expires_at <= moment
    return Credential(
        id=row.id,
        kind=row.kind,
        department=row.department,
        name=None if row.kind == "token" else row.name,
        purpose=row.purpose,
        state="revoked" if row.revoked_at is not None else "expired" if ended else "active",
        issued_by=row.issued_by,
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
