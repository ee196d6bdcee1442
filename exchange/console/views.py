"""What a page has at hand (页面): the hub, who looks, and how to answer."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import quote, unquote, urlsplit

from fastapi import Depends, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import FormData, UploadFile
from starlette.responses import HTMLResponse, RedirectResponse, Response

from exchange.console import words
from exchange.errors import Denied, Invalid, Problem
from exchange.hub import Hub
from exchange.hub.directory import concerns
from exchange.hub.sessions import Presence
from exchange.identity import Actor
from exchange.messages import _, catalogue
from exchange.settings import Role
from exchange.web.limits import Rate
from exchange.web.paths import quoted
from exchange.words import ROLES

COOKIE = "shutong"
SAID = "shutong_said"
"""Cookie with one line that the next page shows."""
FOLDER = Path(__file__).parent


class SignInNeeded(Exception):
    """Nobody is signed in; the page is shown after signing in."""


class MustChange(Exception):
    """The password was made by somebody else, and comes first."""


def environment() -> Environment:
    """The templates; whatever they are given is escaped."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(catalogue(), newstyle=True)  # type: ignore[attr-defined]  # of the extension
    made.filters |= words.FILTERS | {"code": quoted}
    made.globals |= {"TITLES": ROLES, "Role": Role}
    return made


class View:
    """One call of a page.

    Attributes:
        request: The call.
        hub: The hub.
        presence: Who is signed in.
    """

    def __init__(self, request: Request, presence: Presence | None) -> None:
        self.request = request
        self.hub = cast(Hub, request.app.state.hub)
        self._presence = presence
        self._names: Mapping[str, str] | None = None

    @property
    def presence(self) -> Presence:
        """Who is signed in.

        Raises:
            SignInNeeded: Nobody is.
        """
        if self._presence is None:
            raise SignInNeeded
        return self._presence

    @property
    def signed_in(self) -> bool:
        """Whether anybody is."""
        return self._presence is not None

    @property
    def by(self) -> Actor:
        """The actor of the page's use cases."""
        return self.presence.actor

    def has(self, *roles: Role) -> bool:
        """Whether who looks has any of these roles; decides what a page offers, and nothing else."""
        return self.signed_in and not self.by.roles.isdisjoint(roles)

    def concerned(self, *parties: str) -> bool:
        """Whether who looks may see what is between these departments; decides what a page offers, as above."""
        return concerns(self.hub, self.by, *parties)

    def names(self) -> Mapping[str, str]:
        """Names of the departments by their codes, as people read them."""
        if self._names is None:
            self._names = self.hub.directory.department_names()
        return self._names

    def render(self, template: str, status: int = 200, **given: Any) -> Response:
        """A page.

        Args:
            template: Its file.
            status: Of the answer.
            given: What it shows.
        """
        said = self.request.cookies.get(SAID)
        templates = cast(Environment, self.request.app.state.templates)
        page = templates.get_template(template).render(
            view=self, said=unquote(said) if said else None, names=self.names() if self.signed_in else {}, **given
        )
        answer = HTMLResponse(page, status)
        if said:
            answer.delete_cookie(SAID)
        return answer

    def go(self, path: str, said: str = "") -> Response:
        """See another page next (303), with a line on it that says what was done."""
        answer = RedirectResponse(path, 303)
        if said:
            answer.set_cookie(SAID, quote(said), max_age=60, httponly=True, samesite="lax", secure=self.secure)
        return answer

    @property
    def secure(self) -> bool:
        """Whether the browser came over TLS."""
        return self.request.url.scheme == "https"


class Form:
    """What a form was sent with; words are trimmed, and missing ones empty."""

    def __init__(self, data: FormData) -> None:
        self._data = data

    @classmethod
    def empty(cls) -> Form:
        """One in which nothing is written."""
        return cls(FormData())

    def __getitem__(self, name: str) -> str:
        # Browsers end the lines of a text with two characters, whatever it began with.
        found = self._data.get(name)
        return found.replace("\r\n", "\n").strip() if isinstance(found, str) else ""

    def raw(self, name: str) -> str:
        """A value as it was typed, blanks and all: a password."""
        found = self._data.get(name)
        return found if isinstance(found, str) else ""

    def all(self, name: str) -> list[str]:
        """Every value of a name, as of check boxes."""
        return [each.strip() for each in self._data.getlist(name) if isinstance(each, str) and each.strip()]

    def names(self) -> list[str]:
        """The names that were sent, once each."""
        return list(dict.fromkeys(self._data.keys()))

    def file(self, name: str) -> UploadFile | None:
        """A file that was chosen."""
        found = self._data.get(name)
        return found if isinstance(found, UploadFile) and found.filename else None

    def demand(self, **labels: str) -> dict[str, str]:
        """Values of fields that must be filled in.

        Raises:
            Invalid: Some are not; names each.
        """
        empty = [Problem(label, _("没有填写")) for name, label in labels.items() if not self[name]]
        if empty:
            raise Invalid(_("还有没填的内容"), empty)
        return {name: self[name] for name in labels}


def looked_at(request: Request) -> View:
    """The view of a call; whoever is not signed in is asked to be when the page wants to know who looks.

    Raises:
        TooOften: This account looks more often than is let in.
    """
    secret = request.cookies.get(COOKIE)
    hub = cast(Hub, request.app.state.hub)
    view = View(request, hub.signing.present(secret) if secret else None)
    request.state.view = view
    if view.signed_in:
        cast(Rate, request.app.state.rate).demand(view.presence.account)
    return view


async def seen_by_somebody(view: Annotated[View, Depends(looked_at)]) -> View:  # waits for nothing: needs no thread
    """The same of a page for those who are signed in; a password to be changed comes before everything."""
    if view.presence.must_change:
        raise MustChange
    return view


def from_elsewhere(request: Request) -> bool:
    """Whether a browser says that a form stood on somebody else's page; old ones and programmes say nothing."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None or origin is None:
        return site not in (None, "same-origin", "none")
    # Without encryption browsers tell no more than this.
    public = cast(Hub, request.app.state.hub).settings.web.public_address
    ours = {request.headers.get("host", ""), urlsplit(public).netloc} - {""}
    try:
        return urlsplit(origin).netloc not in ours
    except ValueError:
        return True


async def read_form(request: Request, *, max_files: int, max_fields: int) -> FormData:
    """What a form was sent with.

    Raises:
        Invalid: It is written in no alphabet that a form can have.
    """
    try:
        form = await request.form(max_files=max_files, max_fields=max_fields)
        for name, value in form.multi_items():
            # Escapes can spell half a letter, which no page can show.
            f"{name}{value if isinstance(value, str) else value.filename}".encode()
    except (UnicodeError, LookupError):
        raise Invalid(_("没有收到表单"), [], remedy=_("返回页面，刷新后重新提交")) from None
    return form


async def sent(request: Request, view: Annotated[View, Depends(looked_at)]) -> AsyncIterator[Form]:
    """A form of ours: one that was sent from elsewhere is refused.

    Raises:
        Denied: It does not hold what only our own pages do.
    """
    # A resource of five hundred items is a form of eight thousand fields.
    data = await read_form(request, max_files=4, max_fields=12_000)
    try:
        yield _ours(request, view, Form(data))
    finally:
        await data.close()  # files that were uploaded


def _ours(request: Request, view: View, form: Form) -> Form:
    expected = view.presence.csrf or ""
    if from_elsewhere(request) or not expected or not hmac.compare_digest(form["csrf"].encode(), expected.encode()):
        raise Denied(
            _("没有办理"), [_("表单不是从本平台的页面提交的，或登录已经更换")], remedy=_("返回页面，刷新后重新提交")
        )
    return form


Open = Annotated[View, Depends(looked_at)]
"""A page for everybody."""
Page = Annotated[View, Depends(seen_by_somebody)]
"""A page for those who are signed in."""
Sent = Annotated[Form, Depends(sent)]
"""A form that was sent."""
