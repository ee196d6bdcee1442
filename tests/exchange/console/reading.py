"""What a page holds, read as a browser reads it: its forms, its text, and whatever a stranger may have put there."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from httpx import Response

from tests.exchange.site.people import Browser

VILE = "<script>alert(1)</script>'\"><img src=x onerror=alert(1)>"
"""What a stranger writes wherever he can."""
_VOID = {"input", "meta", "link", "img", "br", "hr", "option"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, list[str]]]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside: dict[str, list[str]] | None = None
        self._select: str | None = None
        self._first = ""
        self._area: str | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        name, value = given.get("name") or "", given.get("value") or ""
        if tag == "form":
            self._inside = {}
            self.forms.append((given.get("action") or "", self._inside))
        if self._inside is None:
            return
        if tag == "input" and name:
            ticked = given.get("type") not in ("checkbox", "radio") or "checked" in given
            if ticked and given.get("type") != "file":
                self._inside.setdefault(name, []).append(value)
        elif tag == "select":
            self._select, self._first = name, ""
        elif tag == "option" and self._select is not None:
            if "selected" in given:
                self._inside[self._select] = [value]
            elif self._select not in self._inside and not self._first:
                self._first = value
        elif tag == "textarea":
            self._area, self._text = name, ""

    def handle_endtag(self, tag: str) -> None:
        if self._inside is not None and tag == "select" and self._select is not None:
            self._inside.setdefault(self._select, [self._first])
            self._select = None
        elif self._inside is not None and tag == "textarea" and self._area is not None:
            self._inside[self._area] = [self._text.removeprefix("\n")]
            self._area = None
        elif tag == "form":
            self._inside = None

    def handle_data(self, data: str) -> None:
        self._text += data
        self.words.append(data)


def read(page: Response) -> _Reader:
    """A page, read."""
    reader = _Reader()
    reader.feed(page.text)
    return reader


def form(page: Response, action: str) -> dict[str, str | list[str]]:
    """What a form would be sent with as the page holds it, without its token."""
    found = next(fields for at, fields in read(page).forms if at == action)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items() if name != "csrf"}


def text(page: Response) -> str:
    """The words of a page."""
    return re.sub(r"\s+", " ", " ".join(read(page).words))


def harmless(page: Response) -> None:
    """Nothing on the page runs that is not ours."""
    for tag, given in read(page).tags:
        assert tag != "script" or given.get("src") == "/static/console.js", given
        assert tag != "img" or (given.get("src") or "").startswith("/dashboard/"), given
        assert not [name for name in given if name.startswith("on")], given
        for name in ("href", "action", "src", "formaction"):
            value = given.get(name) or "/"
            assert value.startswith(("/", "#", "?")), (name, value)
            assert not value.startswith("//"), value
    assert "unsafe" not in page.headers["content-security-policy"]


def follow(browser: Browser, answer: Response) -> Response:
    """The page after a form."""
    assert answer.status_code == 303, text(answer)
    return browser.get(answer.headers["location"])
