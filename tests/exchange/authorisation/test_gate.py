from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.tables import ResourceRow, ResourceVersionRow
from exchange.authorisation import gate, policy
from exchange.db import now
from exchange.db.tables import GrantRow, UsageRow
from exchange.errors import Misplaced
from tests.exchange.authorisation.conftest import REVIEWER, City


def pass_gate(city: City, grant: str, delivery: str, rows: int, version: int = 1) -> list[str]:
    with city.database.transaction() as session:
        return city.authorisation.gate(session, grant, version, rows, delivery, now(session))


def usage(city: City) -> dict[str, int]:
    return {row.delivery: row.rows for row in city.rows(UsageRow)}


def test_quota_is_reserved_corrected_and_given_back(city_on_each: City) -> None:
    city = city_on_each
    grant = city.granted(quota_rows=100)
    assert pass_gate(city, grant, "d1", 60) == []
    assert pass_gate(city, grant, "d1", 60) == []  # the same delivery again, after a takeover
    assert usage(city) == {"d1": 60}
    (reason,) = pass_gate(city, grant, "d2", 41)
    assert "行数上限为 100，已用 60，本次 41 行超出上限" in reason
    assert usage(city) == {"d1": 60}
    with city.database.transaction() as session:
        city.authorisation.settle_usage(session, "d1", 50)
    assert pass_gate(city, grant, "d2", 50) == []
    with city.database.transaction() as session:
        city.authorisation.release(session, "d2")
        city.authorisation.release(session, "d2")
        city.authorisation.release(session, "never")
    assert usage(city) == {"d1": 50}
    assert pass_gate(city, grant, "d3", 0) == []


def test_without_a_quota_usage_is_counted_all_the_same(city: City) -> None:
    grant = city.granted()
    assert pass_gate(city, grant, "d1", 2**40) == []
    assert usage(city) == {"d1": 2**40}


def test_what_never_passed_cannot_be_settled(city: City) -> None:
    with pytest.raises(Misplaced, match="没有经过放行"), city.database.transaction() as session:
        city.authorisation.settle_usage(session, "absent", 1)


def test_a_delivery_belongs_to_one_grant(city: City) -> None:
    one, other = city.granted(), city.granted()
    assert pass_gate(city, one, "d1", 1) == []
    with pytest.raises(Misplaced, match=one):
        pass_gate(city, other, "d1", 1)


def test_no_grant_no_passage(city: City) -> None:
    assert pass_gate(city, "absent", "d1", 1) == ["没有授权 absent"]
    assert usage(city) == {}


def test_another_version_does_not_pass(city: City) -> None:
    grant = city.granted()
    for version in (0, 2):
        assert "须重新制定方案" in pass_gate(city, grant, "d1", 1, version)[0]
    assert usage(city) == {}


def test_a_refused_transaction_reserves_nothing(city_on_each: City) -> None:
    city = city_on_each
    grant = city.granted()
    with pytest.raises(RuntimeError), city.database.transaction() as session:
        assert city.authorisation.gate(session, grant, 1, 1, "d1", now(session)) == []
        raise RuntimeError
    assert usage(city) == {}


@pytest.mark.parametrize("rivals", [2, 6])
def test_racing_deliveries_never_exceed_the_quota(city_on_each: City, rivals: int) -> None:
    city = city_on_each
    grant = city.granted(quota_rows=100)
    together = threading.Barrier(rivals)

    def deliver(number: int) -> list[str]:
        together.wait()
        return pass_gate(city, grant, f"d{number}", 60)

    with ThreadPoolExecutor(rivals) as pool:
        answers = list(pool.map(deliver, range(rivals)))
    assert sorted(map(len, answers)) == [0] + [1] * (rivals - 1)
    assert sum(usage(city).values()) == 60


def test_one_delivery_raced_by_two_workers_reserves_once(city_on_each: City) -> None:
    city = city_on_each
    grant = city.granted(quota_rows=100)
    together = threading.Barrier(2)

    def deliver(_number: int) -> list[str]:
        together.wait()
        return pass_gate(city, grant, "d1", 60)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(deliver, range(2))) == [[], []]
    assert usage(city) == {"d1": 60}


def test_a_revocation_races_the_gate(city_on_each: City) -> None:
    """Whoever comes first: either nothing passes, or the revocation knows of the delivery."""
    city = city_on_each
    for turn in range(3):
        grant = city.granted()
        together = threading.Barrier(2)

        def deliver(grant: str = grant, together: threading.Barrier = together, turn: int = turn) -> list[str]:
            together.wait()
            return pass_gate(city, grant, f"d{turn}", 1)

        def revoke(grant: str = grant, together: threading.Barrier = together) -> tuple[str, ...]:
            together.wait()
            with city.database.transaction() as session:
                return city.authorisation.revoke(session, REVIEWER, grant, "用途已实现")

        with ThreadPoolExecutor(2) as pool:
            against, before = pool.submit(deliver), pool.submit(revoke)
            assert before.result() == (() if against.result() else (f"d{turn}",))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["gate", "settle", "release"]), st.sampled_from("abc"), st.integers(0, 60)),
        max_size=12,
    )
)
def test_usage_never_exceeds_the_quota(city: City, steps: list[tuple[str, str, int]]) -> None:
    grant = city.granted(quota_rows=100)
    reserved: dict[str, int] = {}
    for step, name, rows in steps:
        delivery = f"{grant}-{name}"
        if step == "gate":
            others = sum(reserved.values()) - reserved.get(delivery, 0)
            passes = others + rows <= 100
            assert (pass_gate(city, grant, delivery, rows) == []) is passes
            if passes:
                reserved[delivery] = rows
            continue
        with city.database.transaction() as session:
            if step == "release":
                city.authorisation.release(session, delivery)
                reserved.pop(delivery, None)
            elif delivery in reserved:
                reserved[delivery] = min(rows, reserved[delivery])
                city.authorisation.settle_usage(session, delivery, reserved[delivery])
        with city.database.reading() as session:
            assert gate.used(session, grant) == sum(reserved.values()) <= 100


def test_the_states_in_words_are_those_of_the_table(city: City) -> None:
    grant = city.granted()
    with city.database.reading() as session:
        row = session.get_one(GrantRow, grant)
        session.expunge(row)
        for state, word in gate.GRANT_STATES.items():
            row.state = state
            told = gate.standing(row, now(session))
            assert told == ([] if state == "active" else [f"授权 {grant} {word}"])


def test_what_follows_from_the_same_texts_is_found_once(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    grant = city.granted()
    asked: list[str] = []
    real = policy.lapsed
    monkeypatch.setattr(policy, "lapsed", lambda *about: (asked.append(about[1]), real(*about))[1])
    for number in range(3):
        assert pass_gate(city, grant, f"d{number}", 1) == []
    assert len(asked) == 1
    with city.database.transaction() as session:
        row = session.get_one(GrantRow, grant)
        resource = session.get_one(ResourceRow, row.resource)
        version = session.get_one(ResourceVersionRow, (row.resource, resource.in_force))
        row.body = {**row.body, "items": [*row.body["items"], "absent"]}
    (reason,) = pass_gate(city, grant, "d4", 1)
    assert "absent" in reason
    with city.database.transaction() as session:
        row = session.get_one(GrantRow, grant)
        row.body = {**row.body, "items": [name for name in row.body["items"] if name != "absent"]}
        version = session.get_one(ResourceVersionRow, (row.resource, resource.in_force))
        items = [{**item, "share_type": 3} if item["name"] == "name" else item for item in version.body["items"]]
        version.body = {**version.body, "items": items}
    (reason,) = pass_gate(city, grant, "d5", 1)
    assert "不予共享" in reason
    with city.database.transaction() as session:
        session.get_one(ResourceRow, row.resource).in_force = None
    (reason,) = pass_gate(city, grant, "d6", 1)
    assert "已不在目录中发布" in reason


def test_a_change_in_the_same_transaction_counts(city: City) -> None:
    grant = city.granted()
    with city.database.transaction() as session:
        session.get_one(GrantRow, grant).state = "suspended"
        (reason,) = city.authorisation.gate(session, grant, 1, 1, "d1", now(session))
    assert "已中止" in reason
