"""Settings of the hub (系统设置): ``shutong.toml`` in its home, overridden by ``SHUTONG_*``.

Nothing here is a secret: keys and passwords are references (``env:NAME``, ``file:PATH``) that
:mod:`exchange.secrets` opens. Unknown keys are refused, and everything wrong is said at once.
"""

from __future__ import annotations

from exchange.settings.loading import load_settings
from exchange.settings.model import (
    ADMINISTRATORS,
    FILE,
    NATIONAL_DEADLINES,
    PLATFORM_NAME,
    REFERENCE,
    ActorEntry,
    Airflow,
    Answering,
    Deadline,
    Limits,
    Messages,
    Retention,
    Role,
    Settings,
    Soap,
    Step,
    default_home,
    make_home,
)
from exchange.settings.template import write_default

__all__ = [
    "ADMINISTRATORS",
    "FILE",
    "NATIONAL_DEADLINES",
    "PLATFORM_NAME",
    "REFERENCE",
    "ActorEntry",
    "Airflow",
    "Answering",
    "Deadline",
    "Limits",
    "Messages",
    "Retention",
    "Role",
    "Settings",
    "Soap",
    "Step",
    "default_home",
    "load_settings",
    "make_home",
    "write_default",
]
