"""How a failure is told over HTTP (错误状态): one table, for pages and for the REST interface."""

from __future__ import annotations

from exchange.errors import Busy, Denied, Failed, HubError, Invalid, Misplaced, Red, Tampered, Unavailable, Unknown

STATUS: dict[type[HubError], int] = {
    Invalid: 422,
    Denied: 403,
    Unknown: 404,
    Misplaced: 409,
    Busy: 503,
    Red: 409,
    Failed: 502,
    Unavailable: 503,
    Tampered: 500,
}
"""By class; one below another in the tree has that one's."""

RETRY_SECONDS = 5
"""When to come back where later may help."""


def status_of(error: HubError) -> int:
    """Status code of a failure."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def kind_of(error: HubError) -> str:
    """Its sort in one word, as the command line has it (``denied``)."""
    return type(error).__name__.lower()
