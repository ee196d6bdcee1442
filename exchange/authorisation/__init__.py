"""Who may have what, why and until when (共享授权): applications, decisions, grants and what they let through.

Deny by default: without an active grant nothing passes the gate, and every answer carries its reasons.
"""

from __future__ import annotations

from exchange.authorisation.application import Application, Target
from exchange.authorisation.application import parse as parse_application
from exchange.authorisation.explanation import APPLICATION_STATES, Answer, Explanation, GrantedItem
from exchange.authorisation.gate import GRANT_STATES
from exchange.authorisation.grants import Authorisation
from exchange.authorisation.narrowing import Narrowing
from exchange.authorisation.policy import Assessment

__all__ = [
    "APPLICATION_STATES",
    "GRANT_STATES",
    "Answer",
    "Application",
    "Assessment",
    "Authorisation",
    "Explanation",
    "GrantedItem",
    "Narrowing",
    "Target",
    "parse_application",
]
