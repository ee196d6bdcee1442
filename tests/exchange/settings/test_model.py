"""What can be set, and what is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import make_url
from stdnum.cn import uscc

from exchange.settings import ADMINISTRATORS, NATIONAL_DEADLINES, ActorEntry, Deadline, Role, Settings, make_home
from exchange.settings.model import default_home


def credit_code(number: int) -> str:
    body = f"11321200MB{number:07d}"
    return body + uscc.calc_check_digit(body)


HUB = credit_code(1)


def person(name: str, *roles: Role) -> ActorEntry:
    return ActorEntry(name=name, department=HUB, roles=frozenset(roles))


def test_defaults_lie_in_the_home(tmp_path):
    settings = Settings(home=tmp_path, hub_department=HUB)
    assert make_url(settings.database_url).database == str(tmp_path / "hub.db")
    assert make_url(settings.library_url).database == str(tmp_path / "library.db")
    assert (settings.digest, settings.demo, settings.actors) == ("sha256", False, {})


@pytest.mark.parametrize("name", ["主目录", "a b", "50%", "100%25", "a@b:c"])
def test_a_home_of_any_name_survives_the_address(tmp_path, name):
    home = tmp_path / name
    assert make_url(Settings(home=home, hub_department=HUB).database_url).database == str(home / "hub.db")


def test_the_home_is_named_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SHUTONG_HOME", str(tmp_path / "here"))
    assert default_home() == tmp_path / "here"
    assert Settings(hub_department=HUB).home == tmp_path / "here"
    monkeypatch.delenv("SHUTONG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_home() == tmp_path / ".shutong"


def test_constructor_beats_environment_beats_file(monkeypatch, tmp_path):
    (tmp_path / "shutong.toml").write_text(
        f'hub_department = "{HUB}"\nlease_seconds = 1.5\nbatch_rows = 7\n[retention]\nlog_months = 40\n'
    )
    assert Settings(home=tmp_path).batch_rows == 7
    monkeypatch.setenv("SHUTONG_BATCH_ROWS", "8")
    monkeypatch.setenv("SHUTONG_RETENTION__PERSONAL_LOG_MONTHS", "48")
    settings = Settings(home=tmp_path, lease_seconds=2.5)
    assert (settings.lease_seconds, settings.batch_rows) == (2.5, 8)
    assert (settings.retention.log_months, settings.retention.personal_log_months) == (40, 48)


@pytest.mark.parametrize(
    "given",
    [
        {"hub_department": HUB[:-1] + ("0" if HUB[-1] != "0" else "1")},
        {"hub_department": HUB.lower()},
        {"master_key": "correct horse battery"},
        {"database_password": "correct horse battery"},
        {"database_url": "postgresql://hub:correct-horse@db/hub"},
        {"database_url": "hub.db"},
        {"digest": "md5"},
        {"lease_seconds": 0},
        {"batch_rows": 0},
        {"tolerance_share": 1.01},
        {"tolerance_rows": -1},
        {"retention": {"log_months": 5}},
        {"retention": {"personal_log_months": 35}},
        {"code_pattern": "("},
        {"deadlines": {"江苏": {}}},
        {"deadlines": {"320000": {"answer": {"days": 1, "source": "x"}}}},
        {"deadlines": {"320000": {"delivery": {"days": 1}}}},
        {"actors": {"root": {"name": "platform", "department": HUB, "roles": ["clerk"]}}},
        {"actors": {"root": {"name": "", "department": HUB, "roles": ["clerk"]}}},
        {"actors": {"root": {"name": "王\n敏", "department": HUB, "roles": ["clerk"]}}},
        {"actors": {"root": {"name": "王敏", "department": HUB, "roles": []}}},
        {"actors": {"root": {"name": "王敏", "department": HUB, "roles": ["king"]}}},
        {"master_key": "file:one", "audit_key": "file:one"},
        {"unknown": 1},
    ],
)
def test_wrong_values_are_refused_and_not_repeated(tmp_path, given):
    with pytest.raises(ValidationError) as raised:
        Settings(**{"home": tmp_path, "hub_department": HUB} | given)
    assert "horse" not in str(raised.value)


def test_a_setting_cannot_be_changed_afterwards(tmp_path):
    settings = Settings(home=tmp_path, hub_department=HUB)
    with pytest.raises(ValidationError):
        settings.demo = True


@pytest.mark.parametrize("first", sorted(ADMINISTRATORS))
@pytest.mark.parametrize("second", sorted(ADMINISTRATORS))
def test_nobody_is_two_administrators(tmp_path, first, second):
    together = {"a": person("王敏", first, second)}
    apart = {"a": person("王敏", first, Role.CLERK), "b": person("王敏", second)}
    for actors in (together, apart):
        if first == second:
            assert Settings(home=tmp_path, hub_department=HUB, actors=actors).actors == actors
        else:
            with pytest.raises(ValidationError, match="三员分立"):
                Settings(home=tmp_path, hub_department=HUB, actors=actors)


def test_three_administrators_are_three_people(tmp_path):
    actors = {role.value: person(f"管理员{role.value}", role) for role in ADMINISTRATORS}
    assert len(Settings(home=tmp_path, hub_department=HUB, actors=actors).actors) == 3


def test_a_deadline_is_the_nearest_region_s(tmp_path):
    def days(number: int) -> Deadline:
        return Deadline(days=number, source="地方规定", verified=True)

    settings = Settings(
        home=tmp_path,
        hub_department=HUB,
        deadlines={
            "320000": {"delivery": days(15), "correction": days(8)},
            "321200": {"delivery": days(12)},
            "321283": {"delivery": days(11)},
            "national": {"answer_unconditional": days(2)},
        },
    )
    assert settings.deadline("delivery", "321283").days == 11
    assert settings.deadline("delivery", "321283001001").days == 11
    assert settings.deadline("delivery", "321202").days == 12
    assert settings.deadline("delivery", "320100").days == 15
    assert settings.deadline("correction", "321283").days == 8
    assert settings.deadline("answer_unconditional", "321283").days == 2
    assert settings.deadline("delivery", "370000") == NATIONAL_DEADLINES["delivery"]
    assert settings.deadline("delivery") == NATIONAL_DEADLINES["delivery"]


def test_no_built_in_deadline_passes_for_law():
    assert all(not deadline.verified and "第809号" in deadline.source for deadline in NATIONAL_DEADLINES.values())


def test_folders_of_schemas_are_relative_to_the_home(tmp_path):
    settings = Settings(home=tmp_path, hub_department=HUB, schema_folders=(Path("more"), Path("/srv/schemas")))
    assert settings.schema_folders == (tmp_path / "more", Path("/srv/schemas"))


def test_a_home_is_its_owner_s_alone(tmp_path):
    make_home(tmp_path / "home")
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    make_home(tmp_path / "home")


@pytest.mark.parametrize(
    ("soap", "right"),
    [
        ({}, True),
        ({"public_address": "https://hub.example:8443/"}, True),
        ({"public_address": "http://[2001:db8::1]"}, True),
        ({"public_address": "hub.example"}, False),
        ({"public_address": "https://hub.example/soap"}, False),
        ({"public_address": "https://u@hub.example"}, False),
        ({"public_address": "ftp://hub.example"}, False),
        ({"proxies": ["10.0.0.1", "10.0.0.0/8", "2001:db8::/32"]}, True),
        ({"proxies": ["proxy.example"]}, False),
        ({"certificate_header": "X-Client-Subject"}, False),
        ({"certificate_header": "X-Client-Subject", "proxies": ["10.0.0.1"]}, True),
        ({"certificate_header": "X_Client", "proxies": ["10.0.0.1"]}, False),
        ({"tls_certificate": "a.crt"}, False),
        ({"tls_certificate": "a.crt", "tls_key": "a.key"}, True),
        ({"tls_client_ca": "ca.crt"}, False),
        ({"port": 65536}, False),
        ({"workers": 0}, False),
        ({"desk": "a.b:c"}, True),
        ({"desk": "a.b"}, False),
        ({"unknown": 1}, False),
    ],
)
def test_settings_of_the_soap_door(soap, right):
    if right:
        assert Settings(hub_department=HUB, soap=soap).soap.host == "127.0.0.1"
        return
    with pytest.raises(ValidationError):
        Settings(hub_department=HUB, soap=soap)


def test_the_public_address_has_no_slash_at_its_end():
    assert Settings(hub_department=HUB, soap={"public_address": "https://a/"}).soap.public_address == "https://a"


@pytest.mark.parametrize(
    ("documents", "right"),
    [
        ({}, True),
        ({"url": "s3://bucket/documents", "secrets": {"secret": "env:SHUTONG_SECRET_S3"}, "days": 1}, True),
        ({"url": "file:///srv/documents", "options": {"auto_mkdir": True}}, True),
        ({"url": "s3://user:word@bucket/documents"}, False),
        ({"url": "bucket"}, False),
        ({"url": "s3://"}, False),
        ({"secrets": {"secret": "word"}}, False),
        ({"days": 0}, False),
        ({"unknown": 1}, False),
    ],
)
def test_settings_of_the_spool_of_documents(documents, right):
    if right:
        assert Settings(hub_department=HUB, documents=documents).documents.days == documents.get("days", 90)
        return
    with pytest.raises(ValidationError):
        Settings(hub_department=HUB, documents=documents)


@pytest.mark.parametrize(
    ("accounts", "right"),
    [
        ({}, True),
        ({"idle_minutes": 0}, False),
        ({"failures": 2}, False),
        ({"password_length": 7}, False),
        ({"password_days": 0}, True),
        ({"token_days": 366}, False),
        ({"oidc": {"enabled": True}}, False),
        ({"oidc": {"enabled": True, "issuer": "https://sso.example/realms/city", "client_id": "hub"}}, True),
        ({"oidc": {"enabled": True, "issuer": "http://sso.example", "client_id": "hub"}}, False),
        ({"oidc": {"enabled": True, "issuer": "http://127.0.0.1:8080", "client_id": "hub"}}, True),
        ({"oidc": {"issuer": "https://user@sso.example"}}, False),
        ({"oidc": {"issuer": "https://sso.example/?a=b"}}, False),
        ({"oidc": {"issuer": "https://sso.example:x"}}, False),
        ({"oidc": {"client_secret": "plain"}}, False),
        ({"oidc": {"scopes": ["profile"]}}, False),
        ({"oidc": {"scopes": ["openid", "a b"]}}, False),
        ({"oidc": {"link": True, "login_claim": ""}}, False),
        ({"oidc": {"link": True}}, True),
    ],
)
def test_settings_of_accounts(accounts, right):
    if right:
        assert Settings(hub_department=HUB, accounts=accounts).accounts.session_hours == 12
        return
    with pytest.raises(ValidationError):
        Settings(hub_department=HUB, accounts=accounts)
