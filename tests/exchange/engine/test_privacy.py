"""No citizen's value and no secret outside the departments' databases, the library and the encrypted files."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from adapters import AdapterError
from exchange.db.tables import EventRow, NoticeRow, OwedRow, QuarantineRow, ReceiptRow, RunRow
from exchange.errors import HubError
from tests.exchange.engine.town import SYNC, Town, at, person, wrong

NAME = "绝密姓名𠮷九"
NUMBERS = (1, 2, 4, 5)
WRONG = 7


@contextmanager
def listening() -> Iterator[None]:
    """Every logger there is says all it can; not while the tests use their own hands, which hide nothing."""
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def messages(error: BaseException | None) -> Iterator[str]:
    """What our own errors say, and their tracebacks."""
    yield from traceback.format_exception(error)
    while isinstance(error, HubError | AdapterError):
        yield from (str(error), error.remedy, *map(str, getattr(error, "problems", ())))
        yield from getattr(error, "reasons", ())
        error = error.__cause__


def everything_goes_wrong(town: Town) -> list[str]:
    """Refused rows, a conflict, a constraint that quotes the row, a side that is away; what was said about it."""
    said = []

    def attempt(exchange: str, **options: Any) -> None:
        with listening():
            try:
                said.append(repr(town.run(exchange, **options)))
            except HubError as error:
                said.extend(messages(error))

    people = [person(number, name=f"{NAME}{number}") for number in NUMBERS]
    town.report(*people, {**wrong(WRONG), "name": f"{NAME}{WRONG}"})
    attempt(SYNC)
    town.report({**people[0], "name": f"{NAME}改"})
    attempt(SYNC)
    forbidden = people[0]["id_no"]
    town.execute("tax", "CREATE UNIQUE INDEX one_each ON person (district, ver)")
    attempt(town.share)
    town.execute("tax", "DROP INDEX one_each" + (" ON person" if "mariadb" in town.urls["tax"] else ""))
    town.execute("tax", "DELETE FROM person")
    if "sqlite" not in town.urls["tax"]:
        town.execute("tax", f"ALTER TABLE person ADD CONSTRAINT not_him CHECK (id_no <> '{forbidden}')")
        attempt(town.share)
        town.execute("tax", "ALTER TABLE person DROP CONSTRAINT not_him")
    attempt(town.share, observe=at("7.commit", lambda: town.execute("tax", "ALTER TABLE person RENAME TO gone")))
    town.execute("tax", "ALTER TABLE gone RENAME TO person")
    attempt(town.share)
    attempt(town.share, redeliver=True)
    return said


def forms(word: str) -> list[bytes]:
    """A word as it could lie in a file."""
    return [word.encode(code) for code in ("utf-8", "utf-16-le", "gb18030")] + [json.dumps(word)[1:-1].encode()]


@pytest.mark.long_with("sqlite", "mariadb")
def test_nothing_is_said_or_kept_in_the_open(
    product_town: Town, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    town = product_town
    caplog.set_level(logging.DEBUG)
    said = everything_goes_wrong(town)
    assert town.rows("tax") == town.granted() or len(town.rows("tax")) == len(NUMBERS)
    told = "\n".join([*said, caplog.text, *capfd.readouterr()])
    for table in (EventRow, RunRow, ReceiptRow, QuarantineRow, NoticeRow, OwedRow):
        for row in town.all(sa.select(table)):
            told += repr({column.name: getattr(row, column.key) for column in table.__table__.columns})
    secrets = [password for url in town.urls.values() if (password := sa.make_url(url).password)]
    numbers = [person(number)["id_no"] for number in NUMBERS] + [wrong(WRONG)["id_no"]]
    for word in (NAME, *numbers, *secrets):
        assert word not in told
    assert any(row.rule == "conflict" for row in town.quarantined(SYNC))
    files = [path for path in town.home.rglob("*") if path.is_file() and path.suffix != ".password"]
    assert {"hub.db", "heads.jsonl"} <= {path.name for path in files}
    assert any(path.parent.name == "payload" for path in files)
    for path in files:
        data = path.read_bytes()
        for word in (NAME, *numbers, *secrets):
            assert not [form for form in forms(word) if form in data], path.name


def test_a_correction_is_neither_said_nor_kept_in_the_open(
    town: Town, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    right = person(WRONG, name=NAME)
    town.report(*(person(number) for number in NUMBERS), {**wrong(WRONG), "name": None})
    town.run(SYNC)
    number = town.quarantined(SYNC)[0].id
    said = []
    with listening(), town.hub() as hub:
        police = town.actor("police")
        try:
            hub.mending.repair(number, {"id_no": NAME, "born": NAME, "name": NAME}, by=police)
        except HubError as error:
            said += messages(error)
        hub.mending.repair(number, {"id_no": right["id_no"], "name": NAME}, reason="核对", by=police)
        said.append(repr(hub.mending.replay(SYNC, by=police)))
    assert len(said) > 1
    assert town.rows("library")[right["id_no"]]["name"] == NAME
    told = "\n".join([*said, caplog.text, *capfd.readouterr()])
    for table in (EventRow, RunRow, ReceiptRow, QuarantineRow, NoticeRow, OwedRow):
        for row in town.all(sa.select(table)):
            told += repr({column.name: getattr(row, column.key) for column in table.__table__.columns})
    for word in (NAME, right["id_no"], wrong(WRONG)["id_no"]):
        assert word not in told
        for path in town.home.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert not [form for form in forms(word) if form in data], path.name
    (file,) = {str(row.repair) for row in town.quarantined(SYNC)}
    with town.hub() as hub:
        assert json.loads(b"".join(hub.engine.vault.read(file)))["changes"]["name"] == NAME


def test_the_content_of_a_refused_row_is_kept_where_the_key_opens_it(town: Town) -> None:
    town.report(*(person(number) for number in NUMBERS), {**wrong(WRONG), "name": NAME})
    town.run(SYNC)
    (row,) = town.quarantined(SYNC)
    with town.hub() as hub:
        frames = b"".join(hub.engine.vault.read(str(row.file)))
    assert NAME.encode() in frames
    assert wrong(WRONG)["id_no"].encode() in frames
