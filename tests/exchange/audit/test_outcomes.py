"""How events end."""

from __future__ import annotations

import pytest

from exchange.audit.events import REGISTRY
from exchange.audit.outcomes import OUTCOMES, outcome, types_of


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("RunCommitted", {}, "succeeded"),
        ("AccessDenied", {}, "refused"),
        ("RunAborted", {}, "failed"),
        ("RunReddened", {"state": "stopped"}, "refused"),
        ("RunReddened", {"state": "red"}, "failed"),
        ("RunReddened", {"state": "failed"}, "failed"),
        ("ApplicationDecided", {"approved": True}, "succeeded"),
        ("ApplicationDecided", {"approved": False}, "refused"),
        ("EndpointTested", {"passed": False}, "failed"),
        ("ExchangeReconciled", {"agrees": True}, "succeeded"),
        ("LogVerified", {"verified": False}, "failed"),
        ("GrantIssued", {}, ""),
        ("NoSuchEvent", {}, ""),
    ],
)
def test_every_end_has_its_word(kind, body, expected):
    assert outcome(kind, body) == expected


def test_no_event_ends_in_a_way_nobody_can_look_for():
    assert {outcome(kind, {}) for kind in REGISTRY} == {"", *OUTCOMES}


def test_the_types_that_may_end_so_are_all_that_do():
    bodies = [
        {},
        {"state": "stopped"},
        *({name: yes} for name in ("approved", "passed", "agrees", "verified") for yes in (True, False)),
    ]
    for wanted in OUTCOMES:
        assert types_of(wanted) == {kind for kind in REGISTRY for body in bodies if outcome(kind, body) == wanted}
