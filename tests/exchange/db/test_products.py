"""What is the same on every product."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import StatementError

from exchange.db.products import Product
from exchange.db.tables import DecisionRow, EventRow


def test_a_product_must_do_everything():
    with pytest.raises(TypeError, match="abstract"):
        Product(None, 1.0)


def test_chinese_lies_readable_in_json(database):
    with database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO application (id, resource, department, state, body, applicant, submitted_at) "
                "VALUES ('a', 'r', 'd', 's', '{}', 'p', '2026-01-01 00:00:00')"
            )
        )
        session.add(DecisionRow(application="a", approved=True, reasons=["同意𠮷"], decider="x", at=_noon()))
    with database.reading() as session:
        assert "同意𠮷" in session.scalar(text("SELECT CAST(reasons AS TEXT) FROM decision"))
        assert session.scalars(select(DecisionRow.reasons)).one() == ["同意𠮷"]


def test_what_json_cannot_say_is_refused(database):
    with pytest.raises((StatementError, ValueError)), database.transaction() as session:
        row = dict.fromkeys(("type", "actor", "established", "tag"), "x")
        session.add(EventRow(**row, at=_noon(), body={"a": float("nan")}))


def _noon():
    from datetime import UTC, datetime

    return datetime(2026, 1, 1, 12, tzinfo=UTC)
