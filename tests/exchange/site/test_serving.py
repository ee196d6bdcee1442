"""The site under a real server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import pytest

from exchange.errors import Invalid
from exchange.settings import Settings
from exchange.settings.model import Accounts, OpenId, Web
from exchange.site.serving import listening
from tests.exchange.engine.town import Town
from tests.exchange.settings.test_model import HUB
from tests.exchange.site.people import people_of
from tests.exchange.site.visited import PROGRAM, ROOT, served


def settings(home: Path, **web: object) -> Settings:
    return Settings(home=home, hub_department=HUB, web=Web(**web))  # type: ignore[arg-type]  # as users write it


def test_where_it_listens(tmp_path: Path) -> None:
    found = listening(settings(tmp_path, workers=3))
    assert (found.host, found.port, found.workers, found.certificate) == ("127.0.0.1", 8090, 3, None)
    assert listening(settings(tmp_path), port=0).port == 0


def test_passwords_do_not_go_over_the_wire_in_clear(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "10.0.0.5", "hub.example"):
        with pytest.raises(Invalid, match="没有加密"):
            listening(settings(tmp_path, host=host))
    assert listening(settings(tmp_path, host="10.0.0.5", proxies=("10.0.0.1",))).host == "10.0.0.5"
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).write_text("x")
    encrypted = settings(tmp_path, host="10.0.0.5", tls_certificate=Path("c.pem"), tls_key=Path("k.pem"))
    assert listening(encrypted).certificate == tmp_path / "c.pem"
    with pytest.raises(Invalid, match="不能读取"):
        listening(settings(tmp_path, tls_certificate=Path("no.pem"), tls_key=Path("k.pem")))


def test_a_unified_identity_needs_an_address_that_can_be_registered(tmp_path: Path) -> None:
    unified = Accounts(oidc=OpenId(enabled=True, issuer="https://sso.example", client_id="hub"))

    def with_it(**web: object) -> Settings:
        return settings(tmp_path, **web).model_copy(update={"accounts": unified})

    assert listening(with_it()).host == "127.0.0.1"
    proxied = {"host": "0.0.0.0", "proxies": ("10.0.0.1",)}
    with pytest.raises(Invalid, match="没有写明对外地址"):
        listening(with_it(**proxied))
    assert listening(with_it(**proxied, public_address="https://hub.example")).host == "0.0.0.0"


def test_several_processes_serve_one_hub(town: Town) -> None:
    with people_of(town) as people, served(town.home, SHUTONG_WEB__WORKERS="2") as address:
        secret = people.fresh("police").client.cookies["shutong"]
        for _ in range(8):
            page = httpx.get(f"{address}/", cookies={"shutong": secret}, timeout=20)
            assert page.status_code == 200
            assert people.actor("police").name in page.text
        assert httpx.get(f"{address}/readyz", timeout=20).json()["status"] == "ok"
        assert httpx.get(f"{address}/static/console.css").headers["cache-control"] == "public, max-age=300"
        for path in (
            "/static/..%2fviews.py",
            "/static/%2e%2e/views.py",
            "/static/..%252f..%252fviews.py",
            "/static//etc/passwd",
        ):
            assert httpx.get(f"{address}{path}").status_code == 404, path
        forged = {"X-Forwarded-For": "203.0.113.9"}
        httpx.post(f"{address}/sign-in", data={"login": "nobody", "password": "x"}, headers=forged, timeout=20)
    with town.hub() as hub:
        [failed] = hub.audit.search(by=people.actor("auditor"), type="SignInFailed").events
        assert failed.body["peer"] == "127.0.0.1"


def test_the_first_passwords_are_told_once(town: Town) -> None:
    words = [*PROGRAM, "serve", "console", "--port", "0", "--json", "--home", str(town.home)]
    told = []
    for _ in range(2):
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            text = ""
            while line := process.stdout.readline():
                text += line
                if line == "}\n":
                    break
            told.append(json.loads(text))
            process.terminate()
            assert process.wait(20) == 0
    assert {"sysadmin", "secadmin", "auditadmin"} <= {each["login"] for each in told[0]["first"]}
    assert all(len(each["password"]) >= 12 for each in told[0]["first"])
    assert told[1]["first"] == []
    assert told[0]["address"].startswith("http://127.0.0.1:")
