"""The main navigation (主导航): what somebody with certain roles finds at the top of every page."""

from __future__ import annotations

from exchange.console.views import View
from exchange.messages import _
from exchange.settings import Role

_EVERYBODY: frozenset[Role] = frozenset(Role)
_CONFIGURE: frozenset[Role] = frozenset({Role.INTEGRATOR, Role.SYSTEM, Role.AUDIT})
ENTRIES: tuple[tuple[str, str, frozenset[Role]], ...] = (
    (_("首页"), "/", _EVERYBODY),
    (_("通知"), "/notices", _EVERYBODY),
    (_("资源目录"), "/directory", _EVERYBODY),
    (_("需求"), "/demands", _EVERYBODY),
    (_("我的资源"), "/resources", _EVERYBODY),
    (_("申请与授权"), "/applications", _EVERYBODY),
    (_("端点"), "/endpoints", _CONFIGURE),
    (_("交换"), "/exchanges", _EVERYBODY),
    (_("隔离"), "/quarantine", _EVERYBODY - {Role.SYSTEM, Role.SECURITY}),
    (_("结构变更"), "/structures", _CONFIGURE),
    (_("文件"), "/files", _EVERYBODY - {Role.SYSTEM, Role.SECURITY}),
    (_("撤回"), "/recalls", _EVERYBODY - {Role.SYSTEM}),
    (_("消息"), "/messages", _CONFIGURE),
    (_("接入凭据"), "/access", frozenset({Role.INTEGRATOR, Role.SYSTEM, Role.SECURITY, Role.AUDIT})),
    (_("统计"), "/dashboard", _EVERYBODY),
    (_("批次"), "/runs", _EVERYBODY),
    (_("日志"), "/log", frozenset({Role.AUDIT})),
    (_("账号"), "/accounts", frozenset({Role.SYSTEM, Role.SECURITY, Role.AUDIT})),
    (_("设置"), "/settings", frozenset({Role.SYSTEM, Role.AUDIT})),
)
"""Title, path, and roles that see it; rules are the hub's, this only spares people what they cannot use."""
_UNDER = {"/grants": "/applications", "/sign-ins": "/accounts"}
"""Pages that are found under an entry with another address."""


def navigation(view: View) -> list[tuple[str, str]]:
    """Titles and paths for who looks."""
    return [(title, path) for title, path, roles in ENTRIES if view.has(*roles)]


def current(view: View, path: str) -> bool:
    """Whether the page is under an entry."""
    here = view.request.scope["path"]
    first = f"/{here.split('/')[1]}"
    return _UNDER.get(first, first) == path
