"""What stories of pages have in common."""

from __future__ import annotations

import html
import re
import time

from httpx import Response

from exchange.console.attempts import Attempt
from exchange.settings import Role
from tests.exchange.site.people import Browser, People

EVIL = "<script>alert('x')</script>\"><img src=x>"
"""What a stranger writes where a page shows it."""


def officer(people: People, login: str, department: str, *roles: Role) -> Browser:
    """Somebody new, with an account and roles given by those who give them."""
    people.hub.accounts.create(login, f"新{login}", department, by=people.actor("sysadmin"), password=False)
    people.hub.accounts.assign(login, roles, by=people.actor("secadmin"), reason="测试")
    return people.browser(login)


def ended(people: People, exchange: str, seconds: float = 60.0) -> Attempt:
    """The attempt at an exchange that was begun from a page, once it is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        attempt: Attempt | None = people.app.state.attempts.of(exchange)
        assert attempt is not None
        if attempt.ended:
            return attempt
        time.sleep(0.05)
    raise AssertionError(exchange)


def text_of(answer: Response) -> str:
    """What a page says, without its markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


def harmless(answer: Response, evil: str = EVIL) -> None:
    """A page shows what a stranger wrote as text, if it shows it at all."""
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text
    assert evil not in answer.text


def field_of(answer: Response, name: str) -> str:
    """What a field of a form holds."""
    found = re.search(rf'name="{re.escape(name)}"[^>]* value="([^"]*)"', answer.text)
    assert found, name
    return html.unescape(found[1])
