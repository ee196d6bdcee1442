"""Every page and every call, asked by everybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.routing import Mount, Route

from exchange.db.tables import EventRow
from tests.exchange.engine.town import Town
from tests.exchange.site.people import People, people_of
from tests.exchange.site.rules import all_rules
from tests.exchange.site.rules.base import LOGINS, STRANGER, Rule

RULES = all_rules()


@pytest.fixture(scope="module")
def inhabited(shared_town: Town) -> Iterator[tuple[Town, People]]:
    """One town for all questions: who may ask does not depend on what was asked before."""
    with people_of(shared_town) as people:
        yield shared_town, people


def routes(people: People) -> set[tuple[str, str]]:
    found = set()
    for route in people.app.routes:
        if isinstance(route, Mount):
            assert route.path == "/static"
            continue
        assert isinstance(route, Route)
        path = route.path_format
        found |= {(method, path) for method in route.methods or () if method not in ("HEAD", "OPTIONS")}
    return found


def test_no_route_is_without_a_rule(inhabited: tuple[Town, People]) -> None:
    assert routes(inhabited[1]) == set(RULES)


def ask(people: People, login: str, method: str, path: str, fields: dict[str, Any], content: bytes | None) -> int:
    """The status of the answer."""
    if path.startswith("/api/"):
        client = people.stranger().client
        headers = {} if login == STRANGER else {"Authorization": f"Bearer {people.token(login)}"}
        given: dict[str, Any] = {"params": fields} if method == "GET" else {"json": fields}
        if content is not None:
            given, headers["Content-Type"] = {"content": content}, "text/csv"
        return client.request(method, path, headers=headers, **given).status_code
    browser = people.stranger() if login == STRANGER else people.fresh(login)
    if method == "GET":
        return browser.get(path, **fields).status_code
    return browser.post(path, **fields).status_code


def refusals(people: People) -> int:
    with people.hub.database.reading() as session:
        wanted = sa.select(sa.func.count()).select_from(EventRow).where(EventRow.type == "AccessDenied")
        return session.scalar(wanted) or 0


@pytest.mark.parametrize("asked", sorted(RULES), ids=" ".join)
def test_who_may_ask(inhabited: tuple[Town, People], asked: tuple[str, str]) -> None:
    method, route = asked
    town, people = inhabited
    rule = RULES[method, route]
    places = dict(rule.made(town)) if rule.made else {}
    path = (rule.path or route).format(**places)
    fields = {name: value.format(**places) if isinstance(value, str) else value for name, value in rule.fields.items()}
    let_in = rule.allowed | ({STRANGER} if rule.public else frozenset())
    wrong = {}
    # Who is to be kept out comes first: nothing has been changed by then.
    for login in sorted([STRANGER, *LOGINS], key=let_in.__contains__):
        before = refusals(people)
        status = ask(people, login, method, path, fields, rule.content)
        if login in let_in:
            right = status not in (401, 403) and status < 500
        elif login == STRANGER:
            right = status in ((401,) if route.startswith("/api/") else (303, 403))
        else:
            right = status == 403 and (refusals(people) > before or not rule.logged)
        if not right:
            wrong[login] = status
    assert wrong == {}


def test_a_rule_can_be_broken() -> None:
    """What the table says is asked for: an empty one lets nobody in."""
    assert Rule(frozenset()).allowed == frozenset()
