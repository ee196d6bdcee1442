"""Receipts: one for each delivery, and a changed one shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from exchange.db import HubDatabase
from exchange.db.tables import ExchangeRow, GrantRow, ReceiptRow, RunRow
from exchange.errors import Tampered, Unknown
from exchange.receipts import BALANCE, addenda, append, balanced, issue, receipt, receipt_body, seal_of
from tests.exchange.test_plan import planned

KEY = b"k" * 32
AT = datetime(2026, 3, 1, tzinfo=UTC)
COUNTS = {"read": 9, "filtered": 2, "refused": 1, "unchanged": 1, "superseded": 2, "written": 3, "deleted": 1}


def body(**changes: Any) -> dict[str, Any]:
    return {
        **receipt_body(
            planned(),
            run="run1",
            delivery="d-run1",
            manifest="m" * 64,
            counts=COUNTS,
            report={"type": 1},
            content="c" * 64,
            acknowledged_at=AT,
            place="person",
            head="7:abc",
        ),
        **changes,
    }


@pytest.fixture
def database(tmp_path: Path) -> Iterator[HubDatabase]:
    with closing(HubDatabase(f"sqlite:///{tmp_path / 'hub.db'}")) as database:
        database.migrate()
        with database.transaction() as session:
            common = {"resource": "r", "valid_from": AT, "issued_at": AT}
            session.add(
                GrantRow(
                    id="G1", kind="sharing", resource_version=1, department="d", state="active", version=1, body={},
                    **common,
                )
            )  # fmt: skip
            session.flush()
            session.add(
                ExchangeRow(
                    id="share-1", kind="sharing", grant="G1", resource="r", table="t", provider="p", recipient="d",
                    source={}, target={}, settings={}, state="active", created_at=AT,
                )
            )  # fmt: skip
            session.flush()
            for name in ("run1", "run2"):
                session.add(
                    RunRow(
                        id=name, exchange="share-1", delivery=f"d-{name}", state="committing", plan={},
                        plan_digest="p", epoch=1, started_at=AT,
                    )
                )  # fmt: skip
        yield database


def test_a_receipt_says_what_moved_why_and_to_whom() -> None:
    plan = planned()
    said = body()
    assert said["plan"] == plan.digest()
    assert (said["provider"], said["recipient"], said["grant"]) == ("P", "R", "G1")
    assert said["items"] == ["id_no", "name", "ver"]
    assert said["acknowledgement"] == {"at": "2026-03-01T00:00:00+00:00", "place": "person"}
    assert said["audit_head"] == "7:abc"
    assert balanced(said["counts"])


def test_a_receipt_is_found_by_its_id_and_by_its_run(database: HubDatabase) -> None:
    with database.transaction() as session:
        name = issue(session, body(), key=KEY, at=AT).id
    with database.reading() as session:
        assert receipt(session, name, key=KEY).body == body()
        assert receipt(session, "run1", key=KEY).id == name
        with pytest.raises(Unknown):
            receipt(session, "run2", key=KEY)


def test_a_delivery_has_one_receipt(database: HubDatabase) -> None:
    with database.transaction() as session:
        issue(session, body(), key=KEY, at=AT)
    with pytest.raises(IntegrityError), database.transaction() as session:
        issue(session, body(run="run2"), key=KEY, at=AT)


@pytest.mark.parametrize(
    "change",
    [
        {"counts": {**COUNTS, "written": 4}},
        {"recipient": "X"},
        {"content": {"algorithm": "sha256", "digest": "d" * 64}},
        {"acknowledgement": {"at": "2026-03-02T00:00:00+00:00", "place": "person"}},
        {"extra": None},
    ],
)
def test_a_changed_receipt_shows(database: HubDatabase, change: dict[str, Any]) -> None:
    with database.transaction() as session:
        name = issue(session, body(), key=KEY, at=AT).id
    with database.transaction() as session:
        session.execute(update(ReceiptRow).values(body=body(**change)))
    with database.reading() as session, pytest.raises(Tampered) as told:
        receipt(session, name, key=KEY)
    assert told.value.remedy


def test_a_seal_recomputed_without_the_key_shows(database: HubDatabase) -> None:
    with database.transaction() as session:
        name = issue(session, body(), key=KEY, at=AT).id
    forged = body(recipient="X")
    with database.transaction() as session:
        session.execute(update(ReceiptRow).values(body=forged, digest=seal_of(forged, b"x" * 32)))
    with database.reading() as session, pytest.raises(Tampered):
        receipt(session, name, key=KEY)


@given(st.dictionaries(st.sampled_from(BALANCE), st.integers(0, 99)), st.integers(-3, 3))
def test_the_books_balance_only_exactly(parts: dict[str, int], off: int) -> None:
    counts = {**dict.fromkeys(BALANCE, 0), **parts, "deleted": 0}
    assert balanced({**counts, "read": sum(parts.values()) + off}) is (off == 0)


def added(database: HubDatabase, *, failed: int = 0) -> None:
    with database.transaction() as session:
        of = receipt(session, "run1", key=KEY)
        append(session, of, {"counts": {"failed": failed}}, key=KEY, file=None, at=AT)


def test_what_became_known_later_is_added_and_the_receipt_stays(database: HubDatabase) -> None:
    with database.transaction() as session:
        before = issue(session, body(), key=KEY, at=AT).digest
    added(database)
    added(database, failed=3)
    with database.reading() as session:
        of = receipt(session, "run1", key=KEY)
        one, other = addenda(session, of, key=KEY)
        assert (of.digest, of.body) == (before, body())
        assert [(row.number, row.body["counts"]["failed"]) for row in (one, other)] == [(1, 0), (2, 3)]
        assert (one.body["previous"], other.body["previous"]) == ("", one.digest)
        assert one.body["receipt_digest"] == before


@pytest.mark.parametrize(
    "change",
    [
        lambda one, _other: setattr(one, "body", {**one.body, "counts": {"failed": 9}}),
        lambda one, _other: setattr(one, "digest", "0" * 64),
        lambda one, other: (setattr(one, "number", 7), setattr(other, "number", 1)),
        lambda one, _other: setattr(one, "number", 7),
        lambda one, other: (setattr(one, "body", other.body), setattr(one, "digest", other.digest)),
    ],
)
def test_an_addendum_that_was_changed_moved_or_taken_out_shows(database: HubDatabase, change: Any) -> None:
    with database.transaction() as session:
        issue(session, body(), key=KEY, at=AT)
    added(database)
    added(database, failed=3)
    with database.transaction() as session:
        change(*addenda(session, receipt(session, "run1", key=KEY), key=KEY))
    with database.reading() as session, pytest.raises(Tampered):
        addenda(session, receipt(session, "run1", key=KEY), key=KEY)
