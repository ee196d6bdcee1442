"""Who comes in, how often, and what is refused before anybody looks at it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.db.tables import EventRow
from exchange.web.limits import Rate
from tests.exchange.api.programmes import V1, Programmes


def test_a_token_and_nothing_else(calls: Programmes) -> None:
    signed_in = calls.people.browser("police").client
    answer = signed_in.get(f"{V1}/me")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="shutong"'
    assert answer.headers["content-type"] == "application/problem+json"
    answer = signed_in.get(f"{V1}/me", headers={"Authorization": "Bearer shutong_wrong"})
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert calls.get("police", "/me")["account"] == "police"


def test_a_revoked_token_ends_at_once(calls: Programmes) -> None:
    token = calls.get("police", "/tokens")["items"][0]["id"]
    assert calls.post("police", f"/tokens/{token}/revocation", reason="用完") == {"id": token, "state": "revoked"}
    assert calls.ask("police", "GET", "/me").status_code == 401


def test_who_may_only_look_changes_nothing_and_that_is_logged(calls: Programmes) -> None:
    by = replace(calls.town.actor("integrator"), established="account")
    secret = calls.hub.tokens.issue(by=by, purpose="看", scopes=("read",)).secret.get_secret_value()
    client, headers = calls.people.stranger().client, {"Authorization": f"Bearer {secret}"}
    assert client.get(f"{V1}/me", headers=headers).json()["scopes"] == ["read"]
    answer = client.post(f"{V1}/endpoints/police/tests", headers=headers)
    assert answer.status_code == 403
    with calls.hub.database.reading() as session:
        last = session.scalars(sa.select(EventRow).order_by(EventRow.id.desc()).limit(1)).one()
    assert (last.type, last.body["action"]) == ("AccessDenied", f"POST {V1}/endpoints/{{name}}/tests")


def test_too_often(calls: Programmes) -> None:
    calls.token("police")
    calls.people.app.state.rate = Rate(lambda: 10)
    assert calls.ask("police", "GET", "/me").status_code == 200
    answer = calls.ask("police", "GET", "/me")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    by = replace(calls.town.actor("police"), established="account")
    other = calls.hub.tokens.issue(by=by, purpose="另一个程序", scopes=("read",)).secret.get_secret_value()
    headers = {"Authorization": f"Bearer {other}"}
    assert calls.people.stranger().client.get(f"{V1}/me", headers=headers).status_code == 429, "of the same account"
    calls.token("tax")
    assert calls.ask("tax", "GET", "/me").status_code == 200


DEEP = "[" * 100 + "]" * 100


@pytest.mark.parametrize(
    "body",
    [
        '{"reason": "\\u0000"}', '{"reason": "\\ud800"}', '{"reason": NaN}', '{"reason": 1e999999', "\xff",
        '{"reason": ' + "9" * 5000 + "}", '{"reason": 9223372036854775808}', DEEP, "[" * 200_000, '{"\\u0000": 1}',
        "null", "[]", '"a"', "{", "",
    ],
)  # fmt: skip
def test_what_cannot_be_meant(calls: Programmes, body: str) -> None:
    given: dict[str, Any] = {"content": body.encode("latin-1"), "headers": {"Content-Type": "application/json"}}
    answer = calls.ask("integrator", "POST", "/exchanges/nowhere/pause", **given)
    assert answer.status_code == 422, answer.text
    assert json.loads(answer.text)["problems"]


def test_nor_in_addresses(calls: Programmes) -> None:
    assert calls.ask("police", "GET", "/resources/%00").status_code == 404
    assert calls.ask("police", "GET", "/directory?text=%00").status_code == 422
    assert calls.ask("police", "GET", "/resources/a%2F..%2F..%2Fb").status_code == 404
    assert calls.ask("police", "GET", "/quarantine/99999999999999999999").status_code == 422
