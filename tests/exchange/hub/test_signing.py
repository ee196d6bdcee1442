"""Signing in and out: what holds, what is told, and how guessing ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import argon2
import pytest
import sqlalchemy as sa

from catalog import Department
from exchange.db.tables import AccountRow, AttemptRow, EventRow, SessionRow
from exchange.errors import Invalid, Unknown
from exchange.hub import Hub
from exchange.hub.attempts import Attempts, Counted
from exchange.hub.signing import WRITTEN, NotSignedIn, TooMany
from exchange.identity import ACCOUNT, passwords
from exchange.settings import Role
from tests.exchange.engine.town import POLICE, Town
from tests.exchange.hub.people import HERE, OWN, People, logged

WRONG = "Wrong-horse-7-battery"


def told(hub: Hub, login: str, password: str, address: str = HERE) -> tuple[Any, ...]:
    with pytest.raises(NotSignedIn) as refused:
        hub.signing.sign_in(login, password, address=address)
    return refused.value.message, refused.value.reasons, refused.value.remedy


def test_in_and_out(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        made = people.enter("TAX ", people.given["tax"])
        present = hub.signing.present(made.secret)
        assert present is not None
        assert (present.account, present.csrf, present.scopes) == ("tax", made.csrf, None)
        assert (present.actor.name, present.actor.established) == ("税务经办", ACCOUNT)
        hub.signing.sign_out(made.secret)
        hub.signing.sign_out(made.secret)
        assert hub.signing.present(made.secret) is None
        assert hub.accounts.account("tax", by=present.actor).signed_in_at is not None
    [entered, left] = logged(town, "SignedIn", "SignedOut")
    assert (entered.actor, entered.body["peer"], entered.body["how"]) == ("税务经办", HERE, "password")
    assert left.actor == "税务经办"


def test_each_sign_in_is_a_session_of_its_own(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        first, second = (people.enter("tax", people.given["tax"]) for _ in range(2))
        assert first.secret != second.secret
        assert first.csrf != second.csrf
        hub.signing.sign_out(first.secret)
        assert hub.signing.present(second.secret) is not None


def test_whatever_is_wrong_is_told_in_the_same_words(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        hub.accounts.disable("tax", reason="离职", by=people.system)
        for number in range(5):
            hub.signing.attempts.begin("police", f"198.51.100.{number}")
        hub.accounts.create("sync", "同步程序", people.system.department or "", by=people.system, programme=True)
        answers = {
            told(hub, "nobody", WRONG),
            told(hub, "integrator", WRONG),
            told(hub, "tax", people.given["tax"]),  # disabled
            told(hub, "police", people.given["police"]),  # locked
            told(hub, "sync", WRONG),
            told(hub, "no\x00body", WRONG),
            told(hub, "\ud800", "\ud800"),
            told(hub, "integrator", "x" * 5000),
        }
        assert len(answers) == 1
    found = [event.body["reason"] for event in logged(town, "SignInFailed")]
    assert found == ["unknown", "wrong", "disabled", "locked", "wrong", "unknown", "unknown", "wrong"]
    assert all("nobody" not in str(event.body) for event in logged(town, "SignInFailed"))


def test_whatever_is_wrong_costs_one_hash(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    with town.hub() as hub:
        people = People(hub)
        hub.accounts.disable("tax", reason="离职", by=people.system)
        hub.accounts.create("sso", "统一", people.system.department or "", by=people.system, password=False)
        told(hub, "nobody", WRONG)  # what is held against nobody's password is made once
        hashed: list[str] = []
        real = passwords.matches
        monkeypatch.setattr(passwords, "matches", lambda kept, secret: hashed.append(kept) or real(kept, secret))
        for login, password in [
            ("nobody", WRONG), ("integrator", WRONG), ("tax", people.given["tax"]), ("sso", WRONG),
            ("integrator", "x" * 5000),
        ]:  # fmt: skip
            hashed.clear()
            told(hub, login, password)
            assert len(hashed) == 1
            assert hashed[0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_how_long_it_takes_does_not_tell_which_accounts_there_are(town: Town) -> None:
    with town.hub() as hub:
        People(hub)
        taken: dict[str, list[float]] = {"known": [], "unknown": []}
        told(hub, "warm", WRONG)
        for number, login in enumerate(["tax", "police", "chief", "centre", "security", "auditor"]):
            for kind, typed in (("known", login), ("unknown", f"{login}-not")):
                begun = time.perf_counter()
                told(hub, typed, WRONG, f"192.0.2.{number}")
                taken[kind].append(time.perf_counter() - begun)
        # Without the hash, one would take a quarter of the other.
        known, unknown = min(taken["known"]), min(taken["unknown"])
        assert max(known, unknown) < 2 * min(known, unknown)


@pytest.mark.parametrize("login", ["tax", "nobody"])
def test_a_thousand_wrong_passwords(town: Town, login: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with town.hub() as hub:
        people = People(hub)
        hashed: list[str] = []
        real = passwords.matches
        monkeypatch.setattr(passwords, "matches", lambda kept, secret: hashed.append(kept) or real(kept, secret))
        begun = time.perf_counter()
        for number in range(1000):
            # From everywhere, so that no address is held back.
            told(hub, login, f"{WRONG}{number}", f"10.0.{number // 250}.{number % 250}")
        assert len(hashed) == 5
        assert time.perf_counter() - begun < 60
        assert told(hub, login, people.given["tax"])
        by = people.system
        if login == "tax":
            [account] = [each for each in hub.accounts.accounts(by=by) if each.login == "tax"]
            assert account.state == "locked"
            assert account.locked_until is not None
            hub.accounts.unlock("tax", by=by)
            people.enter("tax", people.given["tax"])
    [locked] = logged(town, "SignInLocked")
    assert locked.body["account"] == (login if login == "tax" else None)
    failed = logged(town, "SignInFailed")
    assert [event.body["reason"] for event in failed][:5] == ["wrong" if login == "tax" else "unknown"] * 5
    assert len(failed) <= 5 + 2 * WRITTEN
    # None is forgotten: those not written are counted.
    assert sum(1 + event.body["unwritten"] for event in failed) >= 5 + WRITTEN


def test_one_address_is_held_back_whatever_it_tries(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        for number in range(30):
            told(hub, f"login{number}", WRONG, "203.0.113.1")
        with pytest.raises(TooMany) as refused:
            hub.signing.sign_in("tax", people.given["tax"], address="203.0.113.1")
        assert 0 < refused.value.seconds <= 60
        people.enter("tax", people.given["tax"], address="203.0.113.2")
    assert logged(town, "SignInFailed")[-1].body["reason"] == "address"


def test_people_behind_one_address_may_all_come_in(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        for _ in range(35):
            people.enter("tax", people.given["tax"])
        with hub.database.reading() as session:
            assert [row.failures for row in session.scalars(sa.select(AttemptRow))] == [0]


def test_a_success_forgets_the_failures_before_it(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        for _ in range(3):
            for _ in range(4):
                told(hub, "tax", WRONG)
            people.enter("tax", people.given["tax"])
    assert logged(town, "SignInLocked") == []


def test_a_lock_ends_by_the_clock_of_the_database(town: Town) -> None:
    from datetime import timedelta

    with town.hub() as hub:
        people = People(hub)
        for _ in range(5):
            told(hub, "tax", WRONG)
        told(hub, "tax", people.given["tax"])
        with hub.database.transaction() as session:
            for row in session.scalars(sa.select(AttemptRow)):
                row.since -= timedelta(minutes=15)
                row.until = row.until - timedelta(minutes=15) if row.until else None
        # Then as many wrong ones as before.
        for _ in range(4):
            told(hub, "tax", WRONG)
        people.enter("tax", people.given["tax"])


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, town: Town, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on each of the products its database may be."""
    from exchange.hub import open_hub
    from exchange.settings import load_settings

    if request.param == "sqlite":
        with closing(open_hub(town.home)) as hub:
            yield hub
        return
    url = sa.make_url(request.getfixturevalue("postgresql_server").new_database())
    monkeypatch.setenv("SHUTONG_SECRET_HUB", url.password or "")
    plain = url.set(password=None, drivername="postgresql").render_as_string()
    settings = load_settings(town.home).model_copy(
        update={"database_url": plain, "database_password": "env:SHUTONG_SECRET_HUB" if url.password else None}
    )
    with closing(Hub(settings)) as hub:
        hub.database.migrate()
        with hub.database.transaction() as session:
            hub.catalog.put_department(session, Department(code=POLICE, name="公安局", division="321202"))
        yield hub


def test_many_at_once_have_no_more_tries_than_one(shared: Hub) -> None:
    people = People(shared)
    counted: list[Any] = []
    together = threading.Barrier(12)

    def guess(number: int) -> None:
        together.wait()
        for attempt in range(4):
            try:
                shared.signing.sign_in("tax", f"{WRONG}{number}{attempt}", address=f"10.1.{number}.{attempt}")
            except NotSignedIn as error:
                counted.append(error)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == 48
    with shared.database.reading() as session:
        reasons = list(session.scalars(sa.select(EventRow).where(EventRow.type == "SignInFailed")))
        assert sum(event.body["reason"] == "wrong" for event in reasons) == 5
        locks = session.scalars(sa.select(EventRow).where(EventRow.type == "SignInLocked")).all()
    assert len(locks) == 1
    told(shared, "tax", people.given["tax"])
    # Another worker knows it too.
    assert not isinstance(Attempts(shared).begin("tax", "::1"), Counted)


def test_a_life_on_each_product(shared: Hub) -> None:
    people = People(shared)
    system, security = people.system, people.security
    wang = people.join("wang", Role.CLERK)
    made = people.enter("wang")
    token = shared.tokens.issue(by=wang, purpose="取数")
    assert shared.tokens.bearer(token.secret) is not None
    assert [each.account for each in shared.accounts.sign_ins(by=security)] == ["wang"]
    assert shared.accounts.sign_ins(by=security, login="\x00") == []
    assert shared.tokens.tokens(by=security, login="\x00") == []
    assert shared.accounts.accounts(by=security, department="\x00") == []
    told(shared, "no\x00body", WRONG)
    told(shared, "\ud800", "\x00")
    assert shared.tokens.bearer("shutong_\x00") is None
    with pytest.raises(Unknown):
        shared.accounts.reset("\x00", by=system)
    with pytest.raises((Invalid, Unknown)):
        shared.accounts.create("\x00", "\x00", "\x00", by=system)
    shared.accounts.assign("wang", [], by=security, reason="调离")
    shared.accounts.disable("wang", by=system, reason="离职")
    assert shared.signing.present(made.secret) is None
    assert shared.tokens.bearer(token.secret) is None
    assert shared.signing.prune() == 0
    assert {each.login: each.state for each in shared.accounts.accounts(by=system)}["wang"] == "disabled"


def test_many_come_in_at_once(shared: Hub) -> None:
    people = People(shared)
    logins = [login for login in people.given if login != "tax"]
    made: list[Any] = []

    def enter(login: str) -> None:
        made.append(people.enter(login, people.given[login]))

    threads = [threading.Thread(target=enter, args=(login,)) for login in logins * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.secret for each in made}) == 2 * len(logins)
    assert all(shared.signing.present(each.secret) is not None for each in made)


def test_a_hash_of_other_parameters_is_made_anew_at_the_next_sign_in(town: Town) -> None:
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(OWN)
    with town.hub() as hub:
        people = People(hub)
        with hub.database.transaction() as session:
            session.get_one(AccountRow, "tax").password = weak
        told(hub, "tax", WRONG)
        people.enter("tax")
        with hub.database.reading() as session:
            kept = session.get_one(AccountRow, "tax").password or ""
        assert not passwords.outdated(kept)
        people.enter("tax")


def test_one_changes_his_own_password(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        given = people.given["tax"]
        here, elsewhere = people.enter("tax", given), people.enter("tax", given)
        for new in ("short", given, "Tax-1234567890"):
            with pytest.raises(Invalid) as refused:
                hub.signing.change_password(here.secret, given, new, address=HERE)
            assert new not in str([refused.value.problems, refused.value])
        with pytest.raises(NotSignedIn):
            hub.signing.change_password(here.secret, WRONG, OWN, address=HERE)
        with pytest.raises(NotSignedIn):
            hub.signing.change_password("nobody", given, OWN, address=HERE)
        made = hub.signing.change_password(here.secret, given, OWN, address=HERE)
        assert not made.must_change
        assert [hub.signing.present(each.secret) is not None for each in (here, elsewhere, made)] == [
            False, False, True,
        ]  # fmt: skip
        told(hub, "tax", given)
        people.enter("tax")


def test_the_old_password_cannot_be_guessed_by_changing_it(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        made = people.enter("tax", people.given["tax"])
        for _ in range(5):
            with pytest.raises(NotSignedIn):
                hub.signing.change_password(made.secret, WRONG, OWN, address=HERE)
        with pytest.raises(NotSignedIn):
            hub.signing.change_password(made.secret, people.given["tax"], OWN, address=HERE)
    assert {event.body["how"] for event in logged(town, "SignInFailed")} == {"change"}
    assert len(logged(town, "SignInLocked")) == 1


def test_no_secret_is_written_anywhere(town: Town, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with town.hub() as hub, caplog.at_level("DEBUG"):
        people = People(hub)
        first = people.enter("tax", people.given["tax"])
        second = hub.signing.change_password(first.secret, people.given["tax"], OWN, address=HERE)
        present = hub.signing.present(second.secret)
        assert present is not None
        token = hub.tokens.issue(by=present.actor, purpose="取数")
        told(hub, OWN, WRONG)  # typed into the wrong field
        reset = hub.accounts.reset("tax", by=people.system)
        assert reset.password is not None
        secrets = [
            OWN, WRONG, people.given["tax"], first.secret.get_secret_value(), second.secret.get_secret_value(),
            token.secret.get_secret_value(), reset.password.get_secret_value(), first.csrf, second.csrf,
        ]  # fmt: skip
        shown = repr([first, second, present, token, reset, hub.tokens.bearer(token.secret), hub.signing, people.hub])
        with hub.database.reading() as session:
            rows = [repr(vars(row)) for kind in (EventRow, AccountRow, SessionRow, AttemptRow)
                    for row in session.scalars(sa.select(kind))]  # fmt: skip
    everything = "\n".join([shown, caplog.text, *rows])
    files = [path.read_bytes() for path in town.home.rglob("hub.db*")]
    assert files
    for secret in secrets:
        assert secret not in everything
        assert not any(secret.encode() in content for content in files)
