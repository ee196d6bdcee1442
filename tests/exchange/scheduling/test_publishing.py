"""The snapshot is published by a process that is gone afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.errors import Failed
from exchange.scheduling import publishing
from exchange.scheduling.publishing import publish
from exchange.snapshot import NAME, read
from tests.exchange.engine.town import Town


def test_what_is_to_be_scheduled_is_published(town: Town) -> None:
    told = publish(town.home)
    found = read(town.home / NAME)
    assert told.exchanges == len(found.exchanges) > 0
    assert told.broken == {}
    assert publish(town.home) == told


def test_why_it_was_not_is_told(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="还没有枢纽"):
        publish(tmp_path)


def test_whoever_cannot_even_say_why_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing.sys, "executable", "/bin/false")
    with pytest.raises(Failed, match="排班快照没有写成：退出状态 1"):
        publish(tmp_path)


def test_it_says_nothing_but_json(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    publishing.main(town.home)
    assert capsys.readouterr().out.startswith('{"exchanges": ')
