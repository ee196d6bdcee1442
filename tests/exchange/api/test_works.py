"""Work that outlasts its call, as it is told."""

from __future__ import annotations

from datetime import UTC, datetime

from exchange.api.works import status
from exchange.errors import Busy
from exchange.web.working import Progress
from tests.exchange.api.programmes import Programmes

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def test_what_kept_it_is_told_without_what_was_inside() -> None:
    told = status(Progress("W1", "run a", "police", BEGAN, state="failed", error=Busy("忙", remedy="等")))
    assert told.problem is not None
    assert (told.problem.type, told.problem.status, told.problem.retry) == ("urn:shutong:busy", 503, True)
    told = status(Progress("W1", "verify", "police", BEGAN, state="failed", error=ZeroDivisionError("secret")))
    assert "secret" not in told.model_dump_json()


def test_the_run_is_named_as_soon_as_it_is_known() -> None:
    assert status(Progress("W1", "run a", "police", BEGAN)).run is None
    assert status(Progress("W1", "run a", "police", BEGAN, figures={"run": "R1"})).run == "R1"
    assert status(Progress("W1", "verify", "police", BEGAN, figures={"run": "R1"})).run is None


def test_there_is_none_of_that_name(calls: Programmes) -> None:
    assert calls.ask("police", "GET", "/works/W00").status_code == 404
