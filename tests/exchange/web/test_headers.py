from __future__ import annotations

from exchange.web.headers import HEADERS, POLICY, SecurityHeaders
from tests.exchange.web.probe import Told, asked


def test_every_answer_has_them() -> None:
    _, told, _ = asked(SecurityHeaders(Told()))
    assert {name.lower(): value for name, value in HEADERS.items()}.items() <= told.items()
    assert told["cache-control"] == "no-store"


def test_the_policy_lets_in_nothing_from_elsewhere_and_nothing_inline() -> None:
    parts = dict(part.split(" ", 1) for part in POLICY.split("; "))
    assert parts["default-src"] == parts["frame-ancestors"] == parts["base-uri"] == "'none'"
    assert {parts[f"{what}-src"] for what in ("script", "style", "connect")} == {parts["form-action"]} == {"'self'"}
    assert not {"unsafe", "http:", "https:", "*"} & set(POLICY.replace("-", " ").split())


def test_what_was_put_there_already_stays() -> None:
    _, told, _ = asked(SecurityHeaders(Told([("cache-control", "public, max-age=300")])))
    assert told["cache-control"] == "public, max-age=300"


def test_browsers_that_came_encrypted_are_told_to_go_on_so() -> None:
    assert "strict-transport-security" not in asked(SecurityHeaders(Told()))[1]
    assert "max-age=" in asked(SecurityHeaders(Told()), scheme="https")[1]["strict-transport-security"]
