"""What the project brings to Airflow (Airflow 组件包): read by Airflow from the entry point of that name.

Nothing is imported for it: every process of Airflow's reads it when it starts.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGE = "shutong"
_NAME = "数通 Shutong"
_ROOM = "exchange.scheduling"


def get_provider_info() -> dict[str, Any]:
    """Operator, sensor, trigger, connection type and links, as Airflow wants to be told of them."""
    return {
        "package-name": PACKAGE,
        "name": _NAME,
        "description": "政务数据共享交换：按授权同步和共享，每次交付都有回执。"
        "Data sharing and exchange for public administration: granted, delivered, proven.",
        "versions": [_version()],
        "integrations": [{"integration-name": _NAME, "tags": ["service"]}],
        "operators": [_listed("operators")],
        "sensors": [_listed("sensors")],
        "triggers": [_listed("triggers")],
        "hooks": [_listed("connections")],
        "bundles": [_listed("bundle")],
        "connection-types": [_CONNECTION],
        "extra-links": [f"{_ROOM}.links.RunLink", f"{_ROOM}.links.ExchangeLink"],
    }


def _listed(module: str) -> dict[str, Any]:
    return {"integration-name": _NAME, "python-modules": [f"{_ROOM}.{module}"]}


def _version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:  # run from its folder
        return "0"


_CONNECTION = {
    "connection-type": "shutong",
    "hook-class-name": f"{_ROOM}.connections.ShutongHook",
    "hook-name": _NAME,
    "ui-field-behaviour": {
        "hidden-fields": ["host", "port", "schema", "login"],
        "relabeling": {"password": "端点口令 / Secret of an endpoint", "extra": "其他密钥 / Further secrets"},
        "placeholders": {
            "password": "端点登记为 airflow:连接名 / registered as airflow:CONNECTION",
            "extra": '{"key": "…"} → airflow:连接名#extra.key',
        },
    },
    "conn-fields": {
        "home": {
            "label": "主目录 / Home",
            "schema": {"type": ["string", "null"]},
            "description": "枢纽的主目录，缺省为 SHUTONG_HOME / The hub's home; default: SHUTONG_HOME",
        }
    },
}
