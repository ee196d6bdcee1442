from __future__ import annotations

import pytest

from exchange.authorisation.application import parse
from exchange.db.tables import ApplicationRow, GrantRow, NoticeRow
from exchange.errors import Unknown
from tests.exchange.authorisation.conftest import (
    CLERK,
    CONDITIONAL,
    OPEN,
    POLICE,
    POLICE_CLERK,
    WITHHELD,
    City,
    application,
    resource,
)


def test_the_version_in_force_is_what_is_asked_for(city: City) -> None:
    with city.database.transaction() as session:  # a next version, still a draft, would withhold everything
        city.catalog.register(session, resource(OPEN, abstract="下一版"), POLICE_CLERK.name, POLICE)
    city.apply()
    (grant,) = city.rows(GrantRow)
    assert grant.resource_version == 1


def test_an_unknown_resource_is_said_to_be_unknown(city: City) -> None:
    with pytest.raises(Unknown, match="101001001/0008"):
        city.apply(resource="101001001/0008")


def test_rules_can_be_asked_without_applying(city: City) -> None:
    with city.database.reading() as session:
        outcomes = [
            city.authorisation.assess(session, CLERK, parse(application(resource=code))).outcome
            for code in (OPEN, CONDITIONAL, WITHHELD)
        ]
    assert outcomes == ["granted", "refer", "refused"]
    assert city.rows(ApplicationRow) == []


def test_every_notice_is_an_event_too(city: City) -> None:
    city.apply(resource=CONDITIONAL)
    (notice,) = city.rows(NoticeRow)
    (event,) = city.events("NoticeIssued")
    assert notice.department == event.body["department"] == POLICE
    assert (event.actor, event.resource) == (CLERK.name, CONDITIONAL)
