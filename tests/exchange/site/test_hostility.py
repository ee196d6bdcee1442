"""What strangers, other departments and pages of other sites try, on every page and every call."""

from __future__ import annotations

import html
import io
import re
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.routing import APIRoute

from catalog import Department
from catalog.tables import EndpointRow, ResourceVersionRow
from exchange.authorisation import Application
from exchange.checks import credit_code_check
from exchange.db.tables import AccountRow, ApplicationRow, TokenRow
from exchange.settings import Role
from exchange.web.limits import Rate
from exchange.web.paths import quoted
from tests.exchange.console.reading import VILE, harmless
from tests.exchange.console.stories import officer
from tests.exchange.engine.town import (
    CODE,
    HUB,
    ITEMS,
    POLICE,
    SYNC,
    Town,
    application,
    person,
    publish,
    resource,
    wrong,
)
from tests.exchange.site.people import Browser, People, people_of
from tests.exchange.site.rules import all_rules

MARKET = "11321200TE0000045" + credit_code_check("11321200TE0000045")
OUTSIDER = "market"
"""Clerk, reviewer and integrator of a department that has nothing to do with what is exchanged."""
V1 = "/api/v1"
RULES = all_rules()
PUBLISHED = {
    ("GET", "/directory/{code}"), ("GET", "/resources/{code}"), ("GET", "/resources/{code}/sheet.csv"),
    ("GET", "/resources/{code}/difference"), ("GET", "/directory/{code}/apply"), ("POST", "/directory/{code}/apply"),
    ("GET", f"{V1}/resources/{{code}}"), ("GET", f"{V1}/resources/{{code}}/sheet"),
    ("GET", f"{V1}/resources/{{code}}/difference"), ("GET", f"{V1}/departments/{{code}}"),
    ("GET", f"{V1}/departments/{{code}}/responsibility"),
}  # fmt: skip
"""What everybody may know of others: what is published, and who they are."""
LISTS = {("GET", f"{V1}/exchanges/{{name}}/quarantine")}
"""Where of others nothing is found."""


@pytest.fixture(scope="module")
def besieged(shared_town: Town) -> Iterator[tuple[Town, People]]:
    with people_of(shared_town) as people:
        people.app.state.rate = Rate(lambda: 10_000_000)
        department = Department(code=MARKET, name="市场监管局", division="321200")
        people.hub.registration.put_department(department, by=shared_town.actor("integrator"))
        officer(people, OUTSIDER, MARKET, Role.CLERK, Role.REVIEWER, Role.INTEGRATOR)
        yield shared_town, people


def call(people: People, login: str, method: str, path: str, **given: Any) -> Any:
    headers = {"Authorization": f"Bearer {people.token(login)}", **given.pop("headers", {})}
    return people.stranger().client.request(method, V1 + path, headers=headers, **given)


# --- other departments' codes, in paths and in bodies ----------------------------------------------


@pytest.mark.parametrize("asked", sorted(key for key in RULES if "{" in key[1]), ids=" ".join)
def test_of_others_a_department_gets_nothing_by_their_codes(
    besieged: tuple[Town, People], asked: tuple[str, str]
) -> None:
    town, people = besieged
    method, route = asked
    rule = RULES[asked]
    places = dict(rule.made(town)) if rule.made else {}
    path = (rule.path or route).format(**places)
    fields = {name: value.format(**places) if isinstance(value, str) else value for name, value in rule.fields.items()}
    if route.startswith(V1):
        given: dict[str, Any] = {"params": fields} if method == "GET" else {"json": fields}
        answer = call(people, OUTSIDER, method, path.removeprefix(V1), **given)
    else:
        browser = people.browser(OUTSIDER)
        answer = browser.get(path, **fields) if method == "GET" else browser.post(path, **fields)
    if asked in PUBLISHED:
        assert answer.status_code < 500
    elif asked in LISTS:
        assert answer.json()["items"] == []
    else:
        assert answer.status_code in (403, 404), answer.status_code


def state(people: People) -> list[Any]:
    """What others own, as the hub keeps it."""
    with people.hub.database.reading() as session:
        return [
            session.execute(sa.select(row.__table__).order_by(*row.__table__.primary_key)).all()
            for row in (ResourceVersionRow, EndpointRow, ApplicationRow, AccountRow)
        ]


BODIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "in others' name": ("POST", "/resources", resource(code="101001001/0077", offer=None)),
    "others' code": ("POST", "/resources", resource(provider_code=MARKET, offer=None)),
    "others' code, changed": ("PUT", f"/resources/{quoted(CODE)}", resource(provider_code=MARKET, offer=None)),
    "others' endpoint": ("POST", "/resources", resource(code="101001001/0077", provider_code=MARKET)),
    "for others": ("POST", "/applications", application()),
    "to others' endpoint": ("POST", "/applications", application(department=MARKET)),
    "others' endpoint taken over": (
        "PUT", "/endpoints/police", {"department": MARKET, "kind": "mailbox", "zone": "Asia/Shanghai", "options": {}},
    ),
    "an endpoint for others": (
        "PUT", "/endpoints/new", {"department": POLICE, "kind": "mailbox", "zone": "Asia/Shanghai", "options": {}},
    ),
    "an endpoint of the hub's": (
        "PUT", "/endpoints/library", {"department": HUB, "kind": "mailbox", "zone": "Asia/Shanghai", "options": {}},
    ),
    "others themselves": ("PUT", f"/departments/{MARKET}", {"name": "公安局", "division": "321200"}),
    "a credential of others": ("POST", "/access", {"department": POLICE, "kind": "token", "purpose": "x"}),
    "a token of others": ("POST", "/tokens", {"purpose": "x", "login": "police"}),
    "others' files called back": ("POST", "/recalls", {"of": SYNC, "reason": "x"}),
}  # fmt: skip


@pytest.mark.parametrize("what", BODIES)
def test_nor_by_their_codes_in_what_it_sends(besieged: tuple[Town, People], what: str) -> None:
    _town, people = besieged
    method, path, document = BODIES[what]
    people.token(OUTSIDER)
    before = state(people)
    headers = {"If-Match": "*"} if method == "PUT" and "new" not in path else {}
    answer = call(people, OUTSIDER, method, f"{path}?ignore_warnings=true", json=document, headers=headers)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.status_code != 428
    assert state(people) == before


# --- forms of other people's pages ----------------------------------------------------------------


@pytest.mark.parametrize(
    "route", sorted(route for method, route in RULES if method == "POST" and not route.startswith(V1))
)
def test_no_form_of_another_page_does_anything(besieged: tuple[Town, People], route: str) -> None:
    town, people = besieged
    rule = RULES["POST", route]
    places = dict(rule.made(town)) if rule.made else {}
    path = (rule.path or route).format(**places)
    browser = people.browser(sorted(rule.allowed)[0] if rule.allowed else "integrator")
    before = state(people)
    for fields, headers in (
        ({**rule.fields}, {}),
        ({**rule.fields, "csrf": "x" * 32}, {}),
        ({**rule.fields, "csrf": browser.csrf}, {"Sec-Fetch-Site": "cross-site"}),
        ({**rule.fields, "csrf": browser.csrf}, {"Sec-Fetch-Site": "same-site"}),
    ):
        answer = browser.client.post(path, data=fields, headers=headers, follow_redirects=False)
        assert answer.status_code == 403, (answer.status_code, fields, headers)
    assert state(people) == before
    browser.get("/")


# --- markup ---------------------------------------------------------------------------------------


def _names(people: People) -> dict[str, list[str]]:
    """What each page can be asked by, as its route and its form say, and as pages of others are."""
    found: dict[str, list[str]] = {}
    for route in people.app.routes:
        if isinstance(route, APIRoute) and "GET" in route.methods and not route.path_format.startswith("/api"):
            found[route.path_format] = [each.alias for each in route.dependant.query_params]
    every = {name for names in found.values() for name in names}
    every |= {"since", "until", "department", "exchange", "resource", "run", "actor", "type", "state", "cursor", "text"}
    return {path: sorted({*names, *every}) for path, names in found.items()}


def _address(town: Town, route: str) -> str:
    rule = RULES["GET", route]
    return (rule.path or route).format(**(rule.made(town) if rule.made else {}))


@pytest.mark.parametrize(
    "route", sorted(route for method, route in RULES if method == "GET" and not route.startswith(V1))
)
def test_nothing_that_is_asked_comes_back_as_markup(besieged: tuple[Town, People], route: str) -> None:
    town, people = besieged
    rule = RULES["GET", route]
    browser: Browser = people.browser(sorted(rule.allowed)[0] if rule.allowed else "integrator")
    path = _address(town, route)
    asked: list[tuple[str, dict[str, str]]] = [(path, {name: VILE}) for name in _names(people)[route]]
    asked += [(re.sub(r"\{[^}]*\}", quoted(VILE), route), {}), (path, dict.fromkeys(_names(people)[route], VILE))]
    for where, given in asked:
        answer = browser.get(where, **given)
        assert answer.status_code < 500, (where, given)
        if answer.headers.get("content-type", "").startswith("text/html"):
            harmless(answer)
        assert VILE not in answer.text or "json" in answer.headers["content-type"]


def test_nothing_that_is_stored_becomes_markup_anywhere(town: Town, people: People) -> None:
    """Whatever others may write, looked at by everybody on every page that leads on from his first one."""
    hub, integrator = people.hub, town.actor("integrator")
    people.app.state.rate = Rate(lambda: 10_000_000)
    hub.registration.put_department(Department(code=MARKET, name=VILE, division="321200"), by=integrator)
    hub.accounts.create("vile", VILE, MARKET, by=people.actor("sysadmin"), password=False)
    hub.tokens.issue(by=people.actor("police"), purpose=VILE, scopes=("read",), days=1)
    items = [{**each, "label": VILE[:60]} if each["name"] == "name" else each for each in ITEMS]
    texts = {"name": VILE, "abstract": VILE, "share_condition": VILE, "items": items}
    publish(town, hub, resource(code="101001001/0066", offer=None, **texts))
    asked = Application.model_validate(application(scene=VILE, basis=VILE, scope=VILE))
    refused = hub.sharing.apply(asked, by=town.actor("tax"))
    hub.sharing.decide(refused, approved=False, reasons=[VILE], by=town.actor("chief"))
    hub.sharing.apply(asked, by=town.actor("tax"))
    town.report(person(1, name=VILE), {**wrong(2), "name": VILE})
    town.run_both()
    hub.pausing.pause("exchange", SYNC, reason=VILE, by=integrator)
    hub.pausing.pause("endpoint", "tax", reason=VILE, by=integrator)
    seen: dict[str, int] = {}
    for login in ("police", "tax", "integrator", "auditadmin", "sysadmin"):
        browser, waiting, visited = people.browser(login), ["/"], set[str]()
        while waiting and len(visited) < 120:
            path = waiting.pop(0)
            shape = re.sub(r"[0-9a-f]{8,}|\d+", "0", path)
            if shape in visited:
                continue
            visited.add(shape)
            answer = browser.client.get(path, follow_redirects=False)
            assert answer.status_code < 500, path
            if not answer.headers.get("content-type", "").startswith("text/html"):
                continue
            harmless(answer)
            assert VILE not in answer.text, path
            seen[login] = seen.get(login, 0) + (html.escape(VILE) in answer.text or "&lt;script&gt;" in answer.text)
            links = [html.unescape(each) for each in re.findall(r'href="(/[^"#]*)"', answer.text)]
            waiting += [each for each in links if "/static/" not in each and "export" not in each]
    assert {login for login, pages in seen.items() if pages >= 3} == set(seen), seen


# --- files ----------------------------------------------------------------------------------------


def test_an_upload_writes_nowhere_whatever_it_is_called(besieged: tuple[Town, People]) -> None:
    town, people = besieged
    police = people.browser("police")
    police.get("/resources/new")

    def files() -> set[str]:
        return {str(path.relative_to(town.home.parent)) for path in town.home.parent.rglob("*") if path.is_file()}

    before = files()
    for name in ("../../../hub.db", "/etc/passwd", "..\\..\\keys\\master", "a\x00b.csv", "%2e%2e%2fkeys", "x" * 5000):
        answer = police.post("/resources/new/sheet", files={"sheet": (name, b"\x00")})
        assert answer.status_code in (400, 403, 422), name
    assert {path for path in files() - before if "hub.db" not in path} == set()


def test_an_export_is_named_by_us(besieged: tuple[Town, People]) -> None:
    _town, people = besieged
    for path in ("/log/export?format=csv&text=..%2F..%2Fx", "/log/export?format=..%2F..%2Fx"):
        answer = call(people, "auditor", "GET", path)
        said = answer.headers.get("content-disposition", "")
        assert answer.status_code == 422 or re.fullmatch(r'attachment; filename="log\.csv"', said), said
    for code in ("..%2F..%2Fhub.db", "%2Fetc%2Fpasswd", "a%0d%0aSet-Cookie:x"):
        for door in (f"{V1}/resources/{code}/sheet", f"/resources/{code}/sheet.csv"):
            headers = {"Authorization": f"Bearer {people.token('police')}"}
            client = people.stranger().client if door.startswith(V1) else people.browser("police").client
            answer = client.get(door, headers=headers)
            assert answer.status_code == 404, door
            assert "set-cookie" not in answer.headers or "Set-Cookie:x" not in str(answer.headers)


def test_a_gigabyte_is_not_read(besieged: tuple[Town, People]) -> None:
    _town, people = besieged
    taken = 0

    def gigabyte() -> Iterator[bytes]:
        nonlocal taken
        for _megabyte in range(1024):
            taken += 1
            yield bytes(1 << 20)

    largest = people.hub.settings.web.largest
    said = {"Content-Length": str(1 << 30), "Content-Type": "text/csv"}
    assert call(people, "police", "POST", "/resources/sheets", content=b"x", headers=said).status_code == 413
    unsaid = {"Content-Type": "text/csv"}
    answer = call(people, "police", "POST", "/resources/sheets", content=gigabyte(), headers=unsaid)
    assert answer.status_code == 413
    just_within = call(
        people, "police", "POST", "/resources/sheets/checks", content=bytes(largest - 100), headers=unsaid
    )
    assert just_within.json()["problems"][0]["message"] == "超过 5 MB"


def test_a_bomb_is_not_inflated(besieged: tuple[Town, People]) -> None:
    _town, people = besieged
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<a/>")
        archive.writestr("xl/sharedStrings.xml", b" " * 200_000_000)
    told = call(
        people, "police", "POST", "/resources/sheets/checks", content=bomb.getvalue(), headers={"Content-Type": "x/y"}
    )
    assert "展开后过大" in told.json()["problems"][0]["message"]


# --- secrets --------------------------------------------------------------------------------------


def test_a_token_that_has_expired_or_was_revoked_opens_nothing(besieged: tuple[Town, People]) -> None:
    _town, people = besieged
    hub, by = people.hub, people.actor("chief")
    client = people.stranger().client
    for end in ("expired", "revoked"):
        token = hub.tokens.issue(by=by, purpose="测试", scopes=("read", "write"), days=1)
        headers = {"Authorization": f"Bearer {token.secret.get_secret_value()}"}
        assert client.get(f"{V1}/me", headers=headers).status_code == 200
        if end == "expired":
            with hub.database.transaction() as session:
                session.get_one(TokenRow, token.id).expires_at = datetime.now(UTC) - timedelta(seconds=1)
        else:
            hub.tokens.revoke(token.id, reason="测试", by=by)
        for method, path in (("GET", "/me"), ("GET", "/resources"), ("POST", "/resources/checks")):
            answer = client.request(method, V1 + path, headers=headers, json={} if method == "POST" else None)
            assert (answer.status_code, answer.json()["status"]) == (401, 401), end


# --- what can be meant by nobody -------------------------------------------------------------------

NINES = "9" * 30
FAR = {
    "a year before all": [
        "/runs?since=0001-01-01", "/log?since=0001-01-01", "/log/export?format=csv&since=0001-01-01",
        "/dashboard?until=0001-01-05", "/dashboard/export?format=csv&until=0001-01-05",
        "/dashboard/volume.svg?until=0001-01-05",
    ],
    "a number that no database has": [
        f"/messages/{NINES}", f"/files/{NINES}", f"/quarantine/{NINES}", f"/quarantine?before={NINES}",
        f"/messages/{'9' * 5000}", f"{V1}/files/{'9' * 200}",
    ],
    "a place of no page": [
        "/runs?cursor=999999999999999999.x", f"{V1}/runs?cursor=999999999999999999.x",
        "/resources?cursor=WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwgIngiXQ==",
        "/applications?cursor=WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwgIngiXQ==",
        f"/directory?cursor={'W1tb' * 2000}",
    ],
}  # fmt: skip


@pytest.mark.parametrize("path", [path for paths in FAR.values() for path in paths])
def test_what_nobody_can_mean_is_refused(besieged: tuple[Town, People], path: str) -> None:
    _town, people = besieged
    if path.startswith(V1):
        status = call(people, "auditor", "GET", path.removeprefix(V1)).status_code
    else:
        status = max(people.fresh(login).get(path).status_code for login in ("auditor", "police"))
    assert 400 <= status < 500


def test_numbers_of_forms_have_an_end(besieged: tuple[Town, People]) -> None:
    _town, people = besieged
    browser, many = people.fresh("integrator"), "9" * 5000
    assert browser.post(f"/exchanges/{SYNC}/settings", priority=many).status_code == 422
    assert people.fresh("police").post(f"/exchanges/{SYNC}/run", accept_fall=many).status_code in (403, 422)


def test_a_form_from_nowhere_is_refused_and_no_defect(besieged: tuple[Town, People]) -> None:
    client = besieged[1].stranger().client
    assert client.post("/sign-in", data={"login": "x"}, headers={"Origin": "http://["}).status_code == 403
    for charset in ("punycode", "unicode_escape", "raw_unicode_escape", "undefined", "no-such"):
        kind = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}", "Sec-Fetch-Site": "same-origin"}
        body = b'--x\r\nContent-Disposition: form-data; name="login"\r\n\r\n\\x\xff-\r\n--x--\r\n'
        assert client.post("/sign-in", content=body, headers=kind).status_code < 500, charset
    for charset in ("unicode_escape", "raw_unicode_escape"):
        kind = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}", "Sec-Fetch-Site": "same-origin"}
        half = b'--x\r\nContent-Disposition: form-data; name="login"\r\n\r\n\\ud800\r\n--x--\r\n'
        assert client.post("/sign-in", content=half, headers=kind).status_code == 422, charset


def test_nobody_waits_for_a_document_that_nobody_reads(besieged: tuple[Town, People]) -> None:
    _town, people = besieged
    given = b"[" + b"[]," * 2_000_000 + b"[]]"
    begun = time.monotonic()
    assert call(people, "auditor", "GET", "/me", content=given).status_code == 200
    assert time.monotonic() - begun < 1
    large = call(people, "police", "POST", "/resources", content=given, headers={"Content-Type": "application/json"})
    assert large.status_code == 422
    assert "MiB" in large.text
