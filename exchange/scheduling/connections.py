"""Airflow's connections (调度连接): which hub a task serves, and secrets of endpoints that lie there.

An endpoint's option may name a connection in the place of a secret: ``airflow:CONNECTION`` is its password,
``airflow:CONNECTION#extra.NAME`` another of its values. Only a process of Airflow's opens them; it says so by
:func:`open_hub`, by which tasks and triggers open the hub.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowNotFoundException,
    AirflowRuntimeError,
    AirflowSecretsBackendAccessDenied,
)
from airflow.sdk.log import mask_secret

from exchange.errors import Failed, HubError, Invalid

if TYPE_CHECKING:
    from exchange.hub import Hub

DEFAULT = "shutong"
"""The connection that names the hub where neither a task nor ``SHUTONG_HOME`` does; it need not be there."""


HOME = "SHUTONG_HOME"


def open_hub(home: Path | None = None) -> Hub:
    """Open the hub of a home in a process of Airflow's, endpoints' secrets in its connections included.

    Args:
        home: By default what ``SHUTONG_HOME`` names.

    Raises:
        HubError: As :func:`exchange.hub.open_hub`.
    """
    # Whoever reads a DAG that only names this must not pay for the whole hub.
    from exchange.hub import open_hub
    from exchange.secrets import open_connections_by

    open_connections_by(open_connection)
    return open_hub(home)


def open_connection(name: str, value: str | None) -> str | None:
    """The password of a connection, or one of its further values; Airflow's logs will show neither.

    Args:
        name: Id of the connection.
        value: Name of the further value (``extra``); None: the password.

    Raises:
        Invalid: The value is not a text.
        Failed: There is no such connection now, or it is not for this task.
    """
    found = _connection(name)
    text = found.password if value is None else found.extra_dejson.get(value)
    if not isinstance(text, str | None):
        raise Invalid(
            f"Airflow 连接 {name} 的附加项 {value} 不是文本", remedy=f"在该连接的 extra 中把 {value} 写成字符串"
        )
    # Airflow hides what it takes for sensitive by its name, and whole; a key may be quoted line by line.
    for each in (text, *text.splitlines()) if text else ():
        mask_secret(each)
    return text


def _connection(name: str) -> Any:
    try:
        return BaseHook.get_connection(name)
    except AirflowSecretsBackendAccessDenied:
        raise Failed(f"Airflow 不允许本任务使用连接 {name}", remedy="请 Airflow 管理员授权该连接") from None
    except (AirflowNotFoundException, AirflowRuntimeError):
        # Airflow does not tell one that is missing from one that could not be asked for just now.
        remedy = f"在 Airflow 的 Admin › Connections 建立 {name}，或改正端点登记的引用"
        raise Failed(f"Airflow 没有给出连接 {name}", remedy=remedy, retry=True) from None


class ShutongHook(BaseHook):
    """A hub (数通枢纽) by its connection: type ``shutong``, with the home in ``extra``.

    Args:
        shutong_conn_id: Id of the connection; before the default one, ``SHUTONG_HOME`` is asked.
    """

    conn_name_attr = "shutong_conn_id"
    default_conn_name = DEFAULT
    conn_type = "shutong"
    hook_name = "数通 Shutong"

    def __init__(self, shutong_conn_id: str = DEFAULT) -> None:
        super().__init__()
        self.shutong_conn_id = shutong_conn_id

    @property
    def home(self) -> Path:
        """The hub's home, as this machine sees it.

        Raises:
            AirflowNotFoundException: The connection is not the default one, and is not there.
        """
        from exchange.settings import default_home

        usual = self.shutong_conn_id == DEFAULT
        if usual and os.environ.get(HOME):
            return default_home()
        try:
            told = self.get_connection(self.shutong_conn_id).extra_dejson.get("home")
        except AirflowNotFoundException:
            if not usual:
                raise
            told = None
        return Path(told).expanduser() if told else default_home()

    @contextmanager
    def hub(self) -> Iterator[Hub]:
        """The hub, open as long as the block lasts."""
        with closing(open_hub(self.home)) as hub:
            yield hub

    def test_connection(self) -> tuple[bool, str]:
        """Open the hub and say what it schedules."""
        try:
            with self.hub() as hub:
                return True, f"枢纽 {hub.settings.home}：{len(hub.oversight.status())} 个交换"
        except HubError as error:
            return False, f"{error.message}（{error.remedy}）" if error.remedy else error.message
        except AirflowException as error:
            return False, str(error)
