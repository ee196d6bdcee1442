"""Programmes that call the REST interface of a town, each with somebody's token."""

from __future__ import annotations

import time
from typing import Any

from httpx import Response

from exchange.db.tables import AccountRow
from exchange.hub import Hub
from exchange.hub.sessions import actor_of
from exchange.identity import ACCOUNT
from tests.exchange.engine.town import SYNC, Town, person, wrong
from tests.exchange.site.people import People

V1 = "/api/v1"


class Programmes:
    """Calls in the name of the town's people.

    Attributes:
        town: The town.
        people: Its people.
        hub: Its hub.
    """

    def __init__(self, town: Town, people: People) -> None:
        self.town = town
        self.people = people
        self.hub: Hub = people.hub
        self._client = people.stranger().client
        self._tokens: dict[str, str] = {}

    def token(self, login: str) -> str:
        """A token of somebody's account, issued as if he had signed in."""
        if login not in self._tokens:
            with self.hub.database.reading() as session:
                by = actor_of(session.get_one(AccountRow, login), ACCOUNT)
            issued = self.hub.tokens.issue(by=by, purpose="测试", scopes=("read", "write"), days=1)
            self._tokens[login] = issued.secret.get_secret_value()
        return self._tokens[login]

    def ask(self, login: str, method: str, path: str, /, **given: Any) -> Response:
        """Call, whatever comes of it."""
        headers = {"Authorization": f"Bearer {self.token(login)}", **given.pop("headers", {})}
        return self._client.request(method, V1 + path, headers=headers, **given)

    def get(self, login: str, path: str, /, **asked: Any) -> Any:
        """What is answered to a look that is allowed."""
        answer = self.ask(login, "GET", path, params=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, login: str, path: str, status: int = 200, /, **given: Any) -> Any:
        """What is answered to a document."""
        answer = self.ask(login, "POST", path, json=given)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def done(self, login: str, work: dict[str, Any]) -> dict[str, Any]:
        """A piece of work once it has ended."""
        until = time.monotonic() + 60
        while work["state"] == "running":
            assert time.monotonic() < until
            time.sleep(0.02)
            work = self.get(login, f"/works/{work['id']}")
        return work

    def collected(self) -> str:
        """Have the police's rows collected, one of them refused; the run."""
        self.town.report(wrong(1), *map(person, range(2, 8)))
        ended = self.done("integrator", self.post("integrator", f"/exchanges/{SYNC}/runs", 202))
        assert ended["state"] == "done", ended
        return str(ended["run"])
