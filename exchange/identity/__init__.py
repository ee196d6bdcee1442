"""Who acts (操作人): a person established by his account or the operating system, or the platform where a rule decides.

On the command line a person is whoever the settings name under the operating-system user that runs it; through the
other doors he signs in to an account. Every event says how the actor was established.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from difflib import get_close_matches

from exchange.errors import Denied
from exchange.settings import FILE, PLATFORM_NAME, ActorEntry, Role, Settings

OS_USER = "os-user"
"""Established by the user the process runs as."""
ACCOUNT = "account"
"""Signed in to an account with its password."""
OIDC = "oidc"
"""Signed in to an account by the city's unified identity."""
TOKEN = "token"  # noqa: S105 - a word of the log
"""A programme that acts in the name of an account, by a token of it."""
DEMO = "demo"
"""Named on the command line of a demonstration; proves nothing."""
CREDENTIAL = "credential"
"""No person: a department's programme, by what it signed in with."""
SYSTEM = "system"
"""No person: a rule of the platform decides."""
SCHEDULER = "scheduler"
"""A person as the scheduler knows him that ran something by hand; as true as its own sign-in."""

TITLES = {
    Role.CLERK: "部门经办员",
    Role.REVIEWER: "审核员",
    Role.INTEGRATOR: "集成工程师",
    Role.SYSTEM: "系统管理员",
    Role.SECURITY: "安全管理员",
    Role.AUDIT: "审计管理员",
}
"""What the holder of a role is called."""


@dataclass(frozen=True)
class Actor:
    """Who acts.

    Attributes:
        name: The person's name; two people of one name count as one, so that neither approves the other's work.
        established: How that was established: ``account``, ``oidc``, ``token``, ``os-user``, ``demo``,
            ``credential``, ``scheduler`` or ``system``.
        department: Credit code of the department the person works for; None for the platform.
        roles: What the person may do.
    """

    name: str
    established: str
    department: str | None
    roles: frozenset[Role]


PLATFORM = Actor(name=PLATFORM_NAME, established=SYSTEM, department=None, roles=frozenset())
"""The platform itself: what the rules decide without a person (平台). It holds no role."""


def current_actor(settings: Settings, as_name: str | None = None) -> Actor:
    """Who runs this process.

    Args:
        settings: Says who works under which operating-system user.
        as_name: In a demonstration only: name, or operating-system user, of who is to act.

    Raises:
        Denied: Nobody is registered under this user or name, or this is no demonstration.
    """
    if as_name is not None:
        return _played(settings, as_name)
    user = _operating_system_user()
    entry = settings.actors.get(user)
    if entry is None:
        raise Denied(
            f"操作系统用户 {user} 没有登记为人员",
            [f"{FILE} 的 [actors] 中没有 {user}"],
            remedy=f"请系统管理员在 {settings.home / FILE} 中登记 [actors.{user}]",
        )
    return _actor(entry, OS_USER)


def _played(settings: Settings, name: str) -> Actor:
    if not settings.demo:
        raise Denied(
            "不能用 --as 指定操作人",
            ["只有演示环境可以指定操作人；在这里，操作人由操作系统用户确定"],
            remedy="去掉 --as，以本人的操作系统用户执行",
        )
    known = {entry.name: entry for entry in settings.actors.values()} | dict(settings.actors)
    if name not in known:
        near = get_close_matches(name, known, n=3, cutoff=0.5)
        remedy = f"是否指 {'、'.join(near)}" if near else f"已登记的人员：{'、'.join(sorted(known)) or '无'}"
        raise Denied(f"没有登记名为 {name} 的人员", [f"{FILE} 的 [actors] 中没有此人"], remedy=remedy)
    return _actor(known[name], DEMO)


def _actor(entry: ActorEntry, established: str) -> Actor:
    return Actor(name=entry.name, established=established, department=entry.department, roles=entry.roles)


def _operating_system_user() -> str:
    # By the process itself: variables like USER say what whoever started it likes.
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def programme(credential: str, department: str) -> Actor:
    """A department's programme that signed in with a credential; it holds no role.

    Args:
        credential: Id of the credential, by which it is called.
        department: Credit code of the department.
    """
    return Actor(name=credential, established=CREDENTIAL, department=department, roles=frozenset())


def through_scheduler(name: str) -> Actor:
    """A person who had a scheduler run something, by the name he has there; he holds no role here.

    Raises:
        Denied: It is no name, or the platform's own.
    """
    text = " ".join(name.split())
    if not text or text == PLATFORM_NAME or not text.isprintable():
        raise Denied("不能代为执行", ["调度平台没有给出操作人的名称"], remedy="在调度平台以本人的账号触发")
    return Actor(name=text[:64], established=SCHEDULER, department=None, roles=frozenset())


def require(actor: Actor, *roles: Role, action: str) -> None:
    """Let only certain roles do something.

    Args:
        actor: Who wants to do it.
        roles: Roles any of which suffices.
        action: What it is, in the user's terms.

    Raises:
        Denied: The actor has none of them.
    """
    if actor.roles.isdisjoint(roles):
        needed = "、".join(TITLES[role] for role in roles)
        held = "、".join(TITLES[role] for role in sorted(actor.roles)) or "无"
        raise Denied(
            f"{actor.name} 不能{action}",
            [f"需要角色：{needed}；现有角色：{held}"],
            remedy=f"请由{needed}办理",
        )
