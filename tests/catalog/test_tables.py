from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from catalog.tables import Base, DepartmentRow, TermRow


def department(code: str, at: datetime) -> DepartmentRow:
    return DepartmentRow(code=code, name=code, short_name="", division="321200", body={}, changed_at=at)


def test_an_instant_comes_back_as_the_same_moment_in_utc(catalog_session: Session) -> None:
    china = timezone(timedelta(hours=8))
    catalog_session.add(department("A", datetime(2026, 1, 1, 7, 30, 0, 123456, tzinfo=china)))
    catalog_session.flush()
    catalog_session.expire_all()
    found = catalog_session.scalars(select(DepartmentRow.changed_at)).one()
    assert found == datetime(2025, 12, 31, 23, 30, 0, 123456, tzinfo=UTC)
    assert found.utcoffset() == timedelta(0)


def test_instants_of_different_zones_are_compared_as_moments(catalog_session: Session) -> None:
    china = timezone(timedelta(hours=8))
    early, late = datetime(2026, 1, 1, 7, 30, tzinfo=china), datetime(2026, 1, 1, 0, 0, tzinfo=UTC)
    catalog_session.add_all([department("A", late), department("B", early)])
    catalog_session.flush()
    before = select(DepartmentRow.code).where(DepartmentRow.changed_at < late)
    assert catalog_session.scalars(before).all() == ["B"]


def test_a_time_without_a_zone_is_refused(catalog_session: Session) -> None:
    catalog_session.add(department("A", datetime(2026, 1, 1)))  # noqa: DTZ001
    with pytest.raises(StatementError, match="zone"):
        catalog_session.flush()


def test_an_absent_instant_stays_absent(catalog_session: Session) -> None:
    assert catalog_session.scalar(select(DepartmentRow.changed_at)) is None


def test_a_pair_of_rare_ideographs_fits_a_term(catalog_session: Session) -> None:
    columns = {column["name"]: column for column in inspect(catalog_session.connection()).get_columns("resource_term")}
    assert columns["term"]["type"].length == 2
    assert catalog_session.scalar(select(TermRow.term)) is None
    assert catalog_session.scalar(text("SELECT :pair").bindparams(pair="𠮷䶮")) == "𠮷䶮"


def test_codes_are_ordered_byte_by_byte(catalog_session: Session) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    catalog_session.add_all([department(code, at) for code in ("b", "B", "a/1", "a1")])
    catalog_session.flush()
    assert catalog_session.scalars(select(DepartmentRow.code).order_by(DepartmentRow.code)).all() == [
        "B",
        "a/1",
        "a1",
        "b",
    ]


def test_table_names_are_plain_words() -> None:
    assert set(Base.metadata.tables) == {
        "department", "endpoint", "resource", "resource_version", "resource_class", "resource_way",
        "resource_history", "resource_term", "demand",
    }  # fmt: skip
