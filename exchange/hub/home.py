"""The hub's home (主目录): made once by ``init``, opened by every command."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from catalog import Department, EndpointSpec
from exchange.audit import events
from exchange.errors import Denied, Invalid, Misplaced
from exchange.hub.core import Hub, hub_database
from exchange.identity import Actor
from exchange.plan import LIBRARY
from exchange.secrets import create_keys
from exchange.settings import Settings, default_home, load_settings


def open_hub(home: Path | None = None) -> Hub:
    """Open the hub of a home, by default the one ``SHUTONG_HOME`` names.

    Raises:
        Misplaced: There is no hub there yet.
        Invalid: Its settings are wrong; every problem is listed.
        Denied: The operating system does not let this user in.
    """
    try:
        return _opened(home)
    except OSError as error:
        raise _barred(home, error) from error
    except Invalid as error:
        if isinstance(error.__cause__, PermissionError):
            raise _barred(home, error.__cause__) from error
        raise


def _opened(home: Path | None) -> Hub:
    settings = load_settings(home)
    keys = [reference.partition(":") for reference in (settings.master_key, settings.audit_key)]
    if not all(kind == "env" or (settings.home / Path(name).expanduser()).exists() for kind, _, name in keys):
        raise Misplaced(f"{settings.home} 里还没有枢纽", remedy="先执行 shutong init")
    file = make_url(settings.database_url).database
    if file and file.startswith("/") and not Path(file).exists():
        # A new one would know of no exchange, and so of nothing that is owed.
        raise Misplaced(f"平台数据库 {file} 不见了", remedy="从备份恢复它，再执行；不要另建")
    hub = Hub(settings)
    hub.database.migrate()
    return hub


def _barred(home: Path | None, error: OSError) -> Denied:
    """Whose home it is, and who tries to open it."""
    place = (home if home is not None else default_home()).expanduser().absolute()
    what = "没有权限" if isinstance(error, PermissionError) else os.strerror(error.errno or 0)
    reasons = [f"{error.filename or place}：{what}"]
    remedy = "检查主目录所在的磁盘和权限"
    for folder in (place, *place.parents):  # the nearest one that can be seen at all
        with suppress(OSError):
            owner, user = _user(folder.stat().st_uid), _user(os.geteuid())
            reasons.append(f"{folder} 归操作系统用户 {owner} 所有，当前用户是 {user}")
            if owner != user:
                remedy = f"以 {owner} 的身份执行（sudo -u {owner} shutong …），或用 --home 指明自己的主目录"
            break
    return Denied(f"不能打开主目录 {place}", reasons, remedy=remedy)


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def create_home(home: Path, department: Department, *, by: Actor) -> Hub:
    """Make keys, database and base library in a home whose settings are written.

    Args:
        home: The home; its ``shutong.toml`` exists.
        department: The department that runs the hub.
        by: Who does it.
    """
    settings = load_settings(home)
    create_keys(settings)
    database = hub_database(settings)
    database.migrate()
    database.close()
    hub = Hub(settings)
    with hub.told(), hub.database.transaction() as session:
        hub.catalog.put_department(session, department)
        hub.audit.record(session, events.DepartmentRegistered(code=department.code, name=department.name), by=by)
        library = EndpointSpec(
            name=LIBRARY,
            department=department.code,
            kind="database",
            zone="Asia/Shanghai",
            options=_library_options(settings),
        )
        hub.catalog.put_endpoint(session, library)
        hub.audit.record(session, events.EndpointRegistered(name=LIBRARY, kind="database"), by=by)
    return hub


def _library_options(settings: Settings) -> dict[str, Any]:
    """The base library's address as options of a database endpoint."""
    url = make_url(settings.library_url)
    product = url.get_backend_name()
    if url.host is None:
        return {"product": product, "path": url.database}
    options = {"host": url.host, "port": url.port, "database": url.database, "user": url.username}
    options["password"] = settings.library_password
    return {"product": product, **{name: value for name, value in options.items() if value is not None}}
