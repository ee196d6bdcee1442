"""A town behind its site: people who signed in, each with a browser, or a token, of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi.testclient import TestClient
from httpx import Response

from exchange.hub import Hub
from exchange.identity import Actor
from exchange.site import application
from tests.exchange.engine.town import Town

ADDRESS = "http://testserver"
PASSWORD = "Correct-horse-7-battery"
FORM = re.compile(r'name="csrf" value="([^"]+)"')


class Browser:
    """Somebody's browser, as plain as can be: no script, cookies kept, forms sent with what their page held."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.csrf = ""

    def get(self, path: str, **parameters: str) -> Response:
        """Look at a page."""
        answer = self.client.get(path, params=parameters or None, follow_redirects=False)
        if found := FORM.search(answer.text):
            self.csrf = found[1]
        return answer

    def post(
        self, path: str, *, files: dict[str, tuple[str, bytes]] | None = None, **fields: str | list[str]
    ) -> Response:
        """Send a form."""
        return self.client.post(path, data={"csrf": self.csrf, **fields}, files=files, follow_redirects=False)

    def sign_in(self, login: str, password: str) -> Response:
        """Sign in."""
        return self.post("/sign-in", login=login, password=password)


class People:
    """Everybody of a town, and the three administrators, by login.

    Attributes:
        hub: The town's hub.
        app: Its site.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.app = application(hub, address=ADDRESS)
        self._passwords = {
            each.login: each.password.get_secret_value() if each.password is not None else ""
            for each in hub.accounts.first()
        }
        self._browsers: dict[str, Browser] = {}
        self._tokens: dict[str, str] = {}

    def stranger(self) -> Browser:
        """A browser that nobody signed in with."""
        return Browser(TestClient(self.app, base_url=ADDRESS, raise_server_exceptions=False))

    def browser(self, login: str) -> Browser:
        """A person's browser, signed in, with a password of the person's own."""
        if login not in self._browsers:
            self._browsers[login] = self._signed_in(login)
        return self._browsers[login]

    def fresh(self, login: str) -> Browser:
        """The same in another browser, with a session of its own: signing out of one leaves the others."""
        self.browser(login)
        browser = self.stranger()
        assert browser.sign_in(login, PASSWORD).status_code == 303
        browser.get("/me")
        return browser

    def token(self, login: str) -> str:
        """A token of a person's, for reading and writing."""
        if login not in self._tokens:
            self.browser(login)
            by = self.actor(login)
            issued = self.hub.tokens.issue(by=by, purpose="测试", scopes=("read", "write"), days=1)
            self._tokens[login] = issued.secret.get_secret_value()
        return self._tokens[login]

    def actor(self, login: str) -> Actor:
        """Who acts, when this person does."""
        presence = self.hub.signing.present(self.browser(login).client.cookies["shutong"])
        assert presence is not None
        return presence.actor

    def _signed_in(self, login: str) -> Browser:
        given = self._passwords.get(login)
        if not given:
            given = self._given(login)
        browser = self.stranger()
        assert browser.sign_in(login, given).status_code == 303
        browser.get("/me")
        changed = browser.post("/me/password", old=given, new=PASSWORD, again=PASSWORD)
        assert changed.status_code == 303, changed.text
        browser.get("/")
        return browser

    def _given(self, login: str) -> str:
        """The system administrator makes a password for an account that has none."""
        handed = self.hub.accounts.reset(login, by=self.actor("sysadmin"))
        assert handed.password is not None
        return handed.password.get_secret_value()


@contextmanager
def people_of(town: Town) -> Iterator[People]:
    """The people of a town, while its hub is open."""
    with town.hub() as hub:
        yield People(hub)
