"""The file of heads, written by many."""

from __future__ import annotations

import fcntl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from exchange.audit.chain import Chain
from exchange.audit.heads import Head, Heads
from exchange.errors import Busy

NOW = datetime(2026, 1, 31, tzinfo=UTC)
CHAIN = Chain(b"k" * 32, "sha256")


@pytest.fixture
def heads(tmp_path):
    return Heads(tmp_path)


def numbers(heads, chain=CHAIN):
    return [(line.head.number if line.head else None, line.genuine) for line in heads.lines(chain)]


def test_a_head_is_written_as_receipts_have_it():
    assert str(Head(12, "ab")) == "12:ab"


def test_no_file_has_no_lines(heads):
    assert numbers(heads) == []


def test_a_head_is_noted_once(heads):
    for _ in range(2):
        heads.append(Head(3, "a"), CHAIN, NOW, fresh=True)
        heads.append(Head(3, "a"), CHAIN, NOW, fresh=False)
    assert numbers(heads) == [(3, True)]


def test_whoever_does_not_let_go_is_not_waited_for_for_ever(heads, monkeypatch):
    heads.append(Head(1, "a"), CHAIN, NOW, fresh=True)
    monkeypatch.setattr("exchange.audit.heads.PATIENCE", 0.05)
    with heads.path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Busy, match=r"heads\.jsonl"):
            heads.append(Head(2, "b"), CHAIN, NOW, fresh=True)
    heads.append(Head(2, "b"), CHAIN, NOW, fresh=True)
    assert numbers(heads) == [(1, True), (2, True)]


def test_only_what_was_just_sealed_goes_behind_what_is_noted(heads):
    heads.append(Head(9, "a"), CHAIN, NOW, fresh=True)
    heads.append(Head(5, "b"), CHAIN, NOW, fresh=False)
    assert numbers(heads) == [(9, True)]
    heads.append(Head(5, "b"), CHAIN, NOW, fresh=True)
    assert numbers(heads) == [(9, True), (5, True)]


def test_another_key_finds_nothing_genuine(heads):
    heads.append(Head(1, "a"), CHAIN, NOW, fresh=True)
    assert numbers(heads, Chain(b"x" * 32, "sha256")) == [(1, False)]


@pytest.mark.parametrize("rubbish", ["{", "[]", "null", '{"number": 1}', '{"number": "1", "seal": 1}', "\udcff"])
def test_rubbish_is_passed_over_and_said(heads, rubbish):
    heads.append(Head(1, "a"), CHAIN, NOW, fresh=True)
    with heads.path.open("a", errors="surrogateescape") as file:
        file.write(rubbish + "\n\n")
    heads.append(Head(2, "b"), CHAIN, NOW, fresh=True)
    assert numbers(heads) == [(1, True), (None, False), (2, True)]


def test_many_at_once_write_one_chain(heads, tmp_path):
    def append(number):
        Heads(tmp_path).append(Head(number, f"s{number}"), CHAIN, NOW, fresh=True)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(40)))
    assert sorted(numbers(heads)) == [(number, True) for number in range(40)]
