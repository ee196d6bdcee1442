"""What a rule is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.exchange.engine.town import Town

STRANGER = "(nobody)"
LOGINS = (
    "police", "chief", "tax", "centre", "integrator", "auditor", "security", "sysadmin", "secadmin", "auditadmin",
)  # fmt: skip
"""Clerk and reviewer of the provider; clerk of the recipient; reviewer, integrator (also system), audit and security
administrator of the hub, from its settings; and the three administrators that are made at first."""
EVERYBODY = frozenset(LOGINS)
"""Everybody who is signed in."""


@dataclass(frozen=True)
class Rule:
    """Who may ask for a route; everybody else is refused (403), and a refusal of the hub's is in the log.

    Attributes:
        allowed: Logins that are not refused; whatever else comes of it (422, 409 …) is no refusal.
        path: The path to ask for, of a town; None: the route's own, which has no parameters.
        fields: Of the form, or the JSON body, or parameters of a GET.
        content: The body as it is, of a call that is not sent JSON.
        public: Whether a stranger may ask too.
        logged: Whether a refusal is an event: not where a page is refused before the hub is asked anything.
        made: Makes what the path is about; what it returns takes the places in ``path`` and ``fields``.
    """

    allowed: frozenset[str]
    path: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    content: bytes | None = None
    public: bool = False
    logged: bool = True
    made: Callable[[Town], Mapping[str, str]] | None = None


def only(*logins: str) -> frozenset[str]:
    """These logins, all of which there are."""
    assert EVERYBODY.issuperset(logins)
    return frozenset(logins)


Kind = Literal["page", "call"]
