"""Accounts: who may do what to whom, and that three administrators stay three people."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.db.tables import AccountRow
from exchange.errors import Denied, Invalid, Misplaced, Unknown
from exchange.hub import Hub
from exchange.hub.accounts import FOUNDERS
from exchange.identity import PLATFORM, Actor
from exchange.settings import Role
from tests.exchange.engine.town import HUB, POLICE, TAX, Town
from tests.exchange.hub.people import OWN, People, logged

WHY = "岗位调整"


def settled(town: Town, text: str) -> None:
    """Write further settings."""
    file = town.home / "shutong.toml"
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_the_first_accounts_are_made_once(town: Town) -> None:
    with town.hub() as hub:
        with pytest.raises(Denied):
            hub.accounts.first(by=town.actor("tax"))
        made = {each.login: each for each in hub.accounts.first()}
        assert hub.accounts.first() == []
        with hub.database.reading() as session:
            rows = {row.login: row for row in session.scalars(sa.select(AccountRow))}
    assert rows.keys() == made.keys()
    for login, role in FOUNDERS.items():
        assert rows[login].roles == [role]
        assert rows[login].department == HUB
    # The people of the settings, as they are there.
    assert (rows["tax"].name, rows["tax"].department, rows["tax"].roles) == ("税务经办", TAX, ["clerk"])
    assert rows["integrator"].roles == ["integrator", "system"]
    assert len({row.name for row in rows.values()}) == len(rows)
    assert {event.actor for event in logged(town, "AccountCreated")} == {"platform"}


@pytest.mark.parametrize("demo", [True, False])
def test_only_a_demonstration_gives_everybody_a_password(town: Town, demo: bool) -> None:
    file = town.home / "shutong.toml"
    text = file.read_text(encoding="utf-8")
    assert "demo = true" in text
    file.write_text(text.replace("demo = true", f"demo = {str(demo).lower()}"), encoding="utf-8")
    with town.hub() as hub:
        made = {each.login: each.password for each in hub.accounts.first()}
        assert all(made[login] is not None for login in FOUNDERS)
        assert (made["tax"] is not None) is demo
        password = made["sysadmin"]
        assert password is not None
        assert hub.signing.sign_in("sysadmin", password, address="::1").must_change is not demo


def test_people_of_the_settings_whom_accounts_cannot_have_as_they_are(town: Town) -> None:
    settled(
        town,
        f"""
[actors.sysadmin]
name = "冒名"
department = "{HUB}"
roles = ["clerk"]
[actors."o o"]
name = "空格"
department = "{HUB}"
roles = ["clerk"]
[actors.both]
name = "审计兼经办"
department = "{HUB}"
roles = ["audit", "clerk"]
[actors.tax2]
name = "税务经办"
department = "{TAX}"
roles = ["reviewer"]
""",
    )
    with town.hub() as hub:
        made = {each.login: each for each in hub.accounts.first()}
    assert made["sysadmin"].name != "冒名"
    assert not {"o o", "tax2"} & made.keys()
    assert made["both"].roles == frozenset()
    assert made["tax"].roles == {Role.CLERK, Role.REVIEWER}


ACTS: dict[str, tuple[set[str], Callable[[Hub, Actor], Any]]] = {
    "create": ({"sysadmin"}, lambda hub, by: hub.accounts.create("new", "新人", TAX, by=by)),
    "disable": ({"sysadmin"}, lambda hub, by: hub.accounts.disable("wang", reason=WHY, by=by)),
    "enable": ({"sysadmin"}, lambda hub, by: hub.accounts.enable("idle", reason=WHY, by=by)),
    "reset": ({"sysadmin"}, lambda hub, by: hub.accounts.reset("wang", by=by)),
    "unlock": ({"sysadmin"}, lambda hub, by: hub.accounts.unlock("shut", by=by)),
    "unlink": ({"sysadmin"}, lambda hub, by: hub.accounts.unlink("tied", reason=WHY, by=by)),
    "assign": ({"secadmin"}, lambda hub, by: hub.accounts.assign("wang", [Role.REVIEWER], reason=WHY, by=by)),
    "end_sessions": ({"secadmin"}, lambda hub, by: hub.accounts.end_sessions("wang", reason=WHY, by=by)),
    "sign_ins": ({"secadmin", "auditadmin"}, lambda hub, by: hub.accounts.sign_ins(by=by)),
    "accounts": ({"sysadmin", "secadmin", "auditadmin"}, lambda hub, by: hub.accounts.accounts(by=by)),
    "account": ({"sysadmin", "secadmin", "auditadmin"}, lambda hub, by: hub.accounts.account("tied", by=by)),
}


@pytest.fixture(scope="module")
def peopled(built_town: Town, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A town whose people have accounts: copied for each case of the table."""
    from tests.exchange.engine.town import clone

    folder = tmp_path_factory.mktemp("peopled")
    town = clone(built_town, folder)
    with town.hub() as hub:
        people = People(hub)
        for login in ("wang", "idle", "shut", "tied"):
            people.join(login, Role.CLERK)
        hub.accounts.disable("idle", reason=WHY, by=people.system)
        for number in range(5):
            assert hub.signing.attempts.begin("shut", f"192.0.2.{number}")
        with hub.database.transaction() as session:
            session.get_one(AccountRow, "tied").subject = "https://sso.example.cn u"
    town.close()
    return town.home


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("login", ["sysadmin", "secadmin", "auditadmin", "integrator", "centre", "wang"])
def test_who_may_do_what(act: str, login: str, peopled: Path, tmp_path: Path) -> None:
    import shutil

    from exchange.hub import open_hub

    shutil.copytree(peopled, tmp_path / "home")
    hub = open_hub(tmp_path / "home")
    try:
        present = hub.signing.present(hub.signing.sign_in(login, given(hub, login), address="::1").secret)
        assert present is not None
        allowed, do = ACTS[act]
        if login == "integrator":  # he is system administrator too
            allowed = {*allowed, *(["integrator"] if "sysadmin" in allowed else [])}
        if login in allowed:
            do(hub, present.actor)
            return
        with pytest.raises(Denied):
            do(hub, present.actor)
        with hub.database.reading() as session:
            from exchange.db.tables import EventRow

            query = sa.select(EventRow.actor).where(EventRow.type == "AccessDenied")
            assert session.scalars(query).all() == [present.actor.name]
    finally:
        hub.close()


def given(hub: Hub, login: str) -> str:
    """The password of somebody of the table, whose one-time one nobody remembers."""
    from pydantic import SecretStr

    from exchange.identity import passwords

    with hub.database.transaction() as session:
        row = session.get_one(AccountRow, login)
        row.password, row.must_change = passwords.hashed(SecretStr(OWN)), False
    return OWN


def test_a_new_account_has_no_roles_and_its_names_are_its_own(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        by = people.system
        made = hub.accounts.create(" Zhang.San ", "张  三", TAX, by=by)
        assert (made.login, made.name, made.roles) == ("zhang.san", "张 三", frozenset())
        assert made.password is not None
        present = people.settle("zhang.san", made.password.get_secret_value())
        assert present.roles == frozenset()
        for login, name in [("zhang.san", "李四"), ("lisi", "张 三"), ("李四", "李四"), ("x", "李四"), ("lisi", " "),
                            ("lisi", PLATFORM.name), ("lisi", "a\x00b"), ("lisi", "长" * 65)]:  # fmt: skip
            with pytest.raises(Invalid):
                hub.accounts.create(login, name, TAX, by=by)
        with pytest.raises(Unknown):
            hub.accounts.create("lisi", "李四", "11321200TE0000000X", by=by)
        with pytest.raises(Unknown):
            hub.accounts.account("lisi", by=by)
        assert hub.accounts.create("sso", "统一", TAX, by=by, password=False).password is None
        assert hub.accounts.account("sso", by=by).has_password is False


def test_roles_are_given_by_another_and_end_what_was_open(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        people.join("wang", Role.CLERK)
        made = people.enter("wang")
        hub.accounts.assign("wang", [Role.REVIEWER], by=people.security, reason=WHY, department=TAX)
        assert hub.signing.present(made.secret) is None
        present = hub.signing.present(people.enter("wang").secret)
        assert present is not None
        assert (present.actor.roles, present.actor.department) == ({Role.REVIEWER}, TAX)
        with pytest.raises(Misplaced):
            hub.accounts.assign("wang", [Role.REVIEWER], by=people.security, reason=WHY)
        with pytest.raises(Invalid):
            hub.accounts.assign("wang", [], by=people.security, reason=" ")
        with pytest.raises(Unknown):
            hub.accounts.assign("nobody", [], by=people.security, reason=WHY)
    [event] = [each for each in logged(town, "AccountAssigned") if each.body["moved_to"] == TAX]
    assert (event.body["before"], event.body["after"], event.body["moved_from"]) == (["clerk"], ["reviewer"], POLICE)


@pytest.mark.parametrize(
    ("login", "roles"),
    [
        ("zhou", [Role.SYSTEM, Role.SECURITY]),
        ("zhou", [Role.SYSTEM, Role.AUDIT]),
        ("zhou", [Role.AUDIT, Role.CLERK]),
        ("wang", [Role.SYSTEM]),  # of another department than the hub's
        ("sync", [Role.SYSTEM]),  # a programme
        ("secadmin", [Role.SECURITY, Role.CLERK]),  # himself
        ("integrator", [Role.SECURITY]),  # on the command line he is system administrator
        ("auditor", [Role.CLERK]),  # there he is audit administrator
    ],
)
def test_what_nobody_is_given(town: Town, login: str, roles: list[Role]) -> None:
    with town.hub() as hub:
        people = People(hub)
        people.join("zhou", department=HUB)
        people.join("wang")
        hub.accounts.create("sync", "同步程序", TAX, by=people.system, programme=True)
        with pytest.raises(Denied) as refused:
            hub.accounts.assign(login, roles, by=people.security, reason=WHY)
        assert refused.value.reasons
    [event] = logged(town, "AccessDenied")
    assert event.body["reasons"] == list(refused.value.reasons)


def test_nobody_changes_his_own_account(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        by = people.system
        for act in (
            lambda: hub.accounts.disable("sysadmin", reason=WHY, by=by),
            lambda: hub.accounts.enable("sysadmin", reason=WHY, by=by),
            lambda: hub.accounts.reset("sysadmin", by=by),
            lambda: hub.accounts.unlock("sysadmin", by=by),
            lambda: hub.accounts.unlink("sysadmin", reason=WHY, by=by),
        ):
            with pytest.raises(Denied):
                act()
        # Nor through the command line, where he has the same name.
        with pytest.raises(Denied):
            hub.accounts.reset("integrator", by=town.actor("integrator"))


def test_the_hub_is_never_left_without_system_or_security_administrator(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        integrator = people.actor("integrator")
        # The town's own security officer may go; then there is one left.
        hub.accounts.disable("security", reason=WHY, by=people.system)
        with pytest.raises(Denied):
            hub.accounts.disable("secadmin", reason=WHY, by=people.system)
        hub.accounts.assign("integrator", [], reason=WHY, by=people.security)
        with pytest.raises(Denied):
            hub.accounts.disable("sysadmin", reason=WHY, by=integrator)
        with pytest.raises(Denied):
            hub.accounts.assign("sysadmin", [], reason=WHY, by=people.security)
        # One who could not sign in at all does not count.
        hub.accounts.create("tan", "谭", HUB, by=people.system, password=False)
        hub.accounts.assign("tan", [Role.SECURITY], by=people.security, reason=WHY)
        with pytest.raises(Denied) as refused:
            hub.accounts.disable("secadmin", reason=WHY, by=people.system)
        assert "最后一位" in refused.value.reasons[0]
        hub.accounts.reset("tan", by=people.system)
        hub.accounts.disable("secadmin", reason=WHY, by=people.system)
        hub.accounts.disable("auditadmin", reason=WHY, by=people.system)


def test_two_who_disable_each_other_at_once(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        pair = {"integrator": people.system, "sysadmin": people.actor("integrator")}
        ended: list[BaseException | None] = []
        together = threading.Barrier(len(pair))

        def disable(login: str, by: Actor) -> None:
            together.wait()
            try:
                hub.accounts.disable(login, reason=WHY, by=by)
                ended.append(None)
            except Denied as error:
                ended.append(error)

        threads = [threading.Thread(target=disable, args=each) for each in pair.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(each is None for each in ended) == 1
        assert len(ended) == 2


def test_out_and_in_again(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        wang = people.join("wang", Role.CLERK)
        made = people.enter("wang")
        token = hub.tokens.issue(by=wang, purpose="取数")
        hub.accounts.disable("wang", reason=WHY, by=people.system)
        assert hub.signing.present(made.secret) is None
        assert hub.tokens.bearer(token.secret) is None
        with pytest.raises(Misplaced):
            hub.accounts.disable("wang", reason=WHY, by=people.system)
        hub.accounts.enable("wang", reason=WHY, by=people.system)
        with pytest.raises(Misplaced):
            hub.accounts.enable("wang", reason=WHY, by=people.system)
        # What was open stays shut.
        assert hub.signing.present(made.secret) is None
        assert hub.tokens.bearer(token.secret) is None
        people.enter("wang")
        assert hub.accounts.end_sessions("wang", reason="设备遗失", by=people.security) == 1
        assert hub.accounts.end_sessions("wang", reason="设备遗失", by=people.security) == 0


def test_a_reset_ends_everything_and_is_changed_first(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        wang = people.join("wang", Role.CLERK)
        open_now = people.enter("wang")
        token = hub.tokens.issue(by=wang, purpose="取数")
        made = hub.accounts.reset("wang", by=people.system)
        assert hub.signing.present(open_now.secret) is None
        assert hub.tokens.bearer(token.secret) is None
        assert made.password is not None
        entered = people.enter("wang", made.password.get_secret_value())
        present = hub.signing.present(entered.secret)
        assert present is not None
        assert (present.must_change, present.actor.roles) == (True, frozenset())
        hub.accounts.create("sync", "同步程序", TAX, by=people.system, programme=True)
        with pytest.raises(Misplaced):
            hub.accounts.reset("sync", by=people.system)
        with pytest.raises(Misplaced):
            hub.accounts.unlock("wang", by=people.system)
        with pytest.raises(Misplaced):
            hub.accounts.unlink("wang", reason=WHY, by=people.system)


def test_who_is_there_is_seen_by_few_and_the_look_is_logged(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        wang = people.join("wang", Role.CLERK)
        made = people.enter("wang", address="198.51.100.9")
        [seen] = hub.accounts.sign_ins(by=people.audit, login="wang")
        assert (seen.account, seen.name, seen.address) == ("wang", wang.name, "198.51.100.9")
        assert hub.signing.present(seen.id) is None
        assert made.secret.get_secret_value() not in repr(seen)
        own = hub.accounts.account("wang", by=wang)
        assert (own.sessions, own.state, own.roles) == (1, "active", {Role.CLERK})
        assert [each.login for each in hub.accounts.accounts(by=people.audit, department=POLICE)] == [
            "chief", "police", "wang",
        ]  # fmt: skip
    [event] = logged(town, "SignInsRead")
    assert event.body == {"account": "wang"}
