"""Who acts, how that is established, and what the roles allow."""

from __future__ import annotations

import dataclasses
import os
import pwd

import pytest

from exchange.errors import Denied
from exchange.identity import PLATFORM, Actor, current_actor, require
from exchange.settings import ActorEntry, Role, Settings
from tests.exchange.settings.test_model import HUB, credit_code

ME = pwd.getpwuid(os.getuid()).pw_name
WANG = ActorEntry(name="王敏", department=HUB, roles=frozenset({Role.CLERK}))
ZHOU = ActorEntry(name="周审", department=credit_code(2), roles=frozenset({Role.AUDIT}))


def settings(tmp_path, **given) -> Settings:
    return Settings(home=tmp_path, hub_department=HUB, **given)


def test_the_operating_system_says_who_acts(tmp_path):
    actor = current_actor(settings(tmp_path, actors={ME: WANG, "zhou": ZHOU}))
    assert actor == Actor("王敏", "os-user", HUB, frozenset({Role.CLERK}))


def test_variables_do_not_say_who_acts(tmp_path, monkeypatch):
    for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(name, "zhou")
    assert current_actor(settings(tmp_path, actors={ME: WANG, "zhou": ZHOU})).name == "王敏"


def test_a_user_without_a_name_is_known_by_number(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert current_actor(settings(tmp_path, actors={"4000000000": ZHOU})).name == "周审"


def test_a_stranger_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(Denied) as raised:
        current_actor(settings(tmp_path, actors={"zhou": ZHOU}))
    assert ME in raised.value.message
    assert f"[actors.{ME}]" in raised.value.remedy
    assert raised.value.reasons


def test_only_a_demonstration_lets_another_be_named(tmp_path):
    with pytest.raises(Denied, match="--as"):
        current_actor(settings(tmp_path, actors={ME: WANG, "zhou": ZHOU}), "周审")
    with pytest.raises(Denied, match="--as"):
        current_actor(settings(tmp_path, actors={ME: WANG}), "王敏")


@pytest.mark.parametrize("name", ["周审", "zhou"])
def test_in_a_demonstration_another_may_be_named_and_that_is_said(tmp_path, name):
    actor = current_actor(settings(tmp_path, actors={ME: WANG, "zhou": ZHOU}, demo=True), name)
    assert actor == Actor("周审", "demo", credit_code(2), frozenset({Role.AUDIT}))


def test_a_demonstration_too_knows_its_people(tmp_path):
    demo = settings(tmp_path, actors={"zhou": ZHOU}, demo=True)
    with pytest.raises(Denied, match="没有登记") as raised:
        current_actor(demo, "周申")
    assert "周审" in raised.value.remedy
    with pytest.raises(Denied):
        current_actor(demo, "")
    with pytest.raises(Denied):
        current_actor(demo, "platform")
    with pytest.raises(Denied):
        current_actor(demo)


def test_the_platform_is_nobody_and_may_nothing_a_person_may():
    assert (PLATFORM.name, PLATFORM.established, PLATFORM.department) == ("platform", "system", None)
    for role in Role:
        with pytest.raises(Denied):
            require(PLATFORM, role, action="审核")


@pytest.mark.parametrize("held", list(Role))
@pytest.mark.parametrize("needed", list(Role))
def test_no_role_does_another_s_work(held, needed):
    actor = Actor("王敏", "os-user", HUB, frozenset({held}))
    if held == needed:
        require(actor, needed, action="审核")
    else:
        with pytest.raises(Denied) as raised:
            require(actor, needed, action="审核资源")
        assert "王敏 不能审核资源" in raised.value.message
        assert raised.value.reasons
        assert raised.value.remedy


def test_any_of_several_roles_will_do():
    actor = Actor("王敏", "os-user", HUB, frozenset({Role.CLERK, Role.REVIEWER}))
    require(actor, Role.INTEGRATOR, Role.REVIEWER, action="审核")
    with pytest.raises(Denied):
        require(actor, action="审核")


def test_an_actor_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PLATFORM.name = "王敏"
