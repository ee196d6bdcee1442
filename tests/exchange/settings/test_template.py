"""The first settings file of a home."""

from __future__ import annotations

import stat

import pytest

from exchange.errors import Misplaced
from exchange.settings import ActorEntry, Role, Settings, load_settings, write_default
from tests.exchange.settings.test_model import HUB, credit_code


def test_what_is_written_is_read_back(tmp_path):
    actors = {
        "root": ActorEntry(name="王敏", department=HUB, roles=frozenset({Role.CLERK, Role.INTEGRATOR})),
        "z.hang-1 三": ActorEntry(name='𠮷"\\田', department=credit_code(2), roles=frozenset({Role.AUDIT})),
    }
    file = write_default(tmp_path / "home", hub_department=HUB, actors=actors, digest="sm3", demo=True)
    settings = load_settings(tmp_path / "home")
    assert (settings.hub_department, settings.digest, settings.demo) == (HUB, "sm3", True)
    assert settings.actors == actors
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_every_setting_is_explained(tmp_path):
    text = write_default(tmp_path, hub_department=HUB).read_text(encoding="utf-8")
    missing = [name for name in Settings.model_fields if name != "home" and name not in text]
    assert missing == []


def test_the_commented_values_are_the_defaults_or_right_at_least(tmp_path):
    file = write_default(tmp_path, hub_department=HUB)
    lines = file.read_text(encoding="utf-8").splitlines()
    shown = [line.removeprefix("# ") for line in lines if line.startswith(("# lease", "# batch", "# code_pattern"))]
    file.write_text("\n".join([f'hub_department = "{HUB}"', *shown]), encoding="utf-8")
    assert len(shown) == 3
    settings = load_settings(tmp_path)
    for name in ("lease_seconds", "batch_rows", "code_pattern"):
        assert getattr(settings, name) == Settings.model_fields[name].default


def test_an_existing_file_is_left_alone(tmp_path):
    file = write_default(tmp_path, hub_department=HUB)
    before = file.read_bytes()
    with pytest.raises(Misplaced):
        write_default(tmp_path, hub_department=credit_code(3))
    assert file.read_bytes() == before
