"""Reading settings: every problem at once, in the user's terms, without a value."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from exchange.errors import Invalid
from exchange.settings import load_settings
from tests.exchange.settings.test_model import HUB, credit_code


def write(home: Path, text: str) -> Path:
    file = home / "shutong.toml"
    file.write_text(text, encoding="utf-8")
    return file


def problems(error: Invalid) -> dict[str, str]:
    return {problem.where: str(problem) for problem in error.problems}


def test_everything_wrong_is_said_at_once(tmp_path, monkeypatch):
    file = write(
        tmp_path,
        f"""
        hub_departement = "{HUB}"
        lease_seconds = "long"
        batch_rows = 0
        digest = "md5"
        master_key = "correct horse"
        [actors.root]
        name = "王敏"
        departement = "{HUB}"
        department = "correct horse"
        roles = ["clark"]
        [retention]
        log_month = 7
        [deadlines.320000.delivry]
        days = 1
        source = "x"
        [deadlines.320000.delivery]
        days = "soon"
        surce = "x"
        """,
    )
    monkeypatch.setenv("SHUTONG_DATABSE_URL", "postgresql://hub:horse@db/hub")
    monkeypatch.setenv("SHUTONG_TOLERANCE_SHARE", "2")
    with pytest.raises(Invalid) as raised:
        load_settings(tmp_path)
    found = problems(raised.value)
    assert "hub_department" in found[f"{file} › hub_departement"]
    assert "缺少" in found[f"{file} › hub_department"]
    assert "应为数字" in found[f"{file} › lease_seconds"]
    assert "大于 0" in found[f"{file} › batch_rows"]
    assert "sha256" in found[f"{file} › digest"]
    assert "引用" in found[f"{file} › master_key"]
    assert "department" in found[f"{file} › actors › root › departement"]
    assert "信用代码" in found[f"{file} › actors › root › department"]
    assert "clerk" in found[f"{file} › actors › root › roles › 0"]
    assert "log_months" in found[f"{file} › retention › log_month"]
    assert "delivery" in found[f"{file} › deadlines › 320000 › delivry"]
    assert "整数" in found[f"{file} › deadlines › 320000 › delivery › days"]
    assert "source" in found[f"{file} › deadlines › 320000 › delivery › surce"]
    assert "SHUTONG_DATABASE_URL" in found["SHUTONG_DATABSE_URL"]
    assert "不得大于 1" in found["SHUTONG_TOLERANCE_SHARE"]
    told = "".join(traceback.format_exception(raised.value)) + repr(raised.value) + "".join(found.values())
    assert "horse" not in told
    assert str(file) in raised.value.remedy


def test_a_folder_without_a_hub_says_how_to_make_one(tmp_path):
    with pytest.raises(Invalid) as raised:
        load_settings(tmp_path / "nothing")
    assert "shutong init" in raised.value.remedy


def test_the_environment_alone_suffices(tmp_path, monkeypatch):
    monkeypatch.setenv("SHUTONG_HOME", str(tmp_path))
    monkeypatch.setenv("SHUTONG_HUB_DEPARTMENT", HUB)
    monkeypatch.setenv("SHUTONG_SECRET_DATABASE", "anything")
    settings = load_settings()
    assert (settings.home, settings.hub_department) == (tmp_path, HUB)


def test_the_home_cannot_be_set_in_its_own_file(tmp_path):
    write(tmp_path, f'hub_department = "{HUB}"\nhome = "/elsewhere"\n')
    with pytest.raises(Invalid) as raised:
        load_settings(tmp_path)
    assert "SHUTONG_HOME" in raised.value.problems[0].remedy


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"hub_department = ", "TOML"), (b"\xff\xfe", "UTF-8"), (b'a = 1\na = "horse"', "TOML")],
)
def test_a_file_that_is_no_settings(tmp_path, content, said):
    (tmp_path / "shutong.toml").write_bytes(content)
    with pytest.raises(Invalid) as raised:
        load_settings(tmp_path)
    assert said in raised.value.problems[-1].message
    assert "horse" not in "".join(traceback.format_exception(raised.value))


def test_an_unreadable_file(tmp_path):
    (tmp_path / "shutong.toml").mkdir()
    with pytest.raises(Invalid, match="设置有误"):
        load_settings(tmp_path)


def test_a_variable_that_should_be_json_is_not_repeated(tmp_path, monkeypatch):
    write(tmp_path, f'hub_department = "{HUB}"\n')
    monkeypatch.setenv("SHUTONG_RETENTION", "{horse")
    with pytest.raises(Invalid) as raised:
        load_settings(tmp_path)
    assert "horse" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SHUTONG_DEMO", "true"),
        ("SHUTONG_ACTORS", '{"root": {"name": "王敏", "department": "x", "roles": ["audit"]}}'),
        ("SHUTONG_ACTORS__ROOT__NAME", "王敏"),
    ],
)
def test_nobody_says_who_he_is_by_his_own_environment(tmp_path, monkeypatch, name, value):
    write(tmp_path, f'hub_department = "{HUB}"\n')
    monkeypatch.setenv(name, value)
    with pytest.raises(Invalid) as raised:
        load_settings(tmp_path)
    assert any(problem.where == name and "设置文件" in problem.message for problem in raised.value.problems)


def test_two_administrators_in_one_person_are_named(tmp_path):
    write(
        tmp_path,
        f'hub_department = "{HUB}"\n[actors.a]\nname = "王敏"\ndepartment = "{credit_code(2)}"\n'
        'roles = ["system", "audit"]\n',
    )
    with pytest.raises(Invalid) as raised:
        load_settings(tmp_path)
    assert "三员分立：王敏" in raised.value.problems[0].message


def test_what_was_meant_is_said_of_accounts_too(tmp_path):
    file = write(tmp_path, f'hub_department = "{HUB}"\n[accounts]\nfailure = 3\n[accounts.oidc]\nisuer = "x"\n')
    with pytest.raises(Invalid) as error:
        load_settings(tmp_path)
    told = problems(error.value)
    assert "failures" in told[f"{file} › accounts › failure"]
    assert "issuer" in told[f"{file} › accounts › oidc › isuer"]
