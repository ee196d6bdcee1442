"""What is the embedded transport's own; what every transport does is in ``test_base.py``."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from adapters.errors import Unavailable
from adapters.messaging import Message
from adapters.messaging.embedded import EmbeddedTransport


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "messages.db"


def test_it_is_the_owners_file_and_every_commit_reaches_the_disk(path: Path) -> None:
    with EmbeddedTransport(path) as transport:
        transport.declare({"a": ["t"]})
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        connection = transport._file._open()
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_it_finds_itself_again_after_its_file_was_taken_away(path: Path) -> None:
    with EmbeddedTransport(path) as transport, transport.subscribe() as subscription:
        transport.declare({"a": ["t"]})
        subscription.watch(["a"])
        transport.publish(Message("t"))
        assert subscription.take(1) is not None
        for file in path.parent.iterdir():
            file.unlink()
        assert transport.depths(["a"]) == {"a": None}
        assert not transport.publish(Message("t"))
        transport.declare({"a": ["t"]})
        # The slot of the message that was in hand is told free.
        assert transport.publish(Message("t"))
        assert subscription.take(0.2) is None
    with EmbeddedTransport(path) as transport, transport.subscribe() as subscription:
        subscription.watch(["a"])
        assert subscription.take(1) is not None


def test_a_file_that_is_no_database_is_said_and_stays(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all, but long enough to be taken for one" * 20)
    with EmbeddedTransport(path) as transport, pytest.raises(Unavailable, match="NOTADB") as caught:
        transport.declare({"a": ["t"]})
    assert caught.value.remedy
    assert path.read_bytes().startswith(b"no database")


def test_what_is_no_message_becomes_a_dead_letter(path: Path) -> None:
    with EmbeddedTransport(path) as transport:
        transport.declare({"a": ["t"]})
        with closing(sqlite3.connect(path)) as strange:
            strange.execute("INSERT INTO message (queue, raw, visible, before) VALUES ('a', x'00ff', 0, 0)")
            strange.commit()
        transport.publish(Message("t"))
        with transport.subscribe() as subscription:
            subscription.watch(["a"])
            taken = subscription.take(1)
            assert taken is not None
            assert taken.message.topic == "t"
        [letter] = transport.dead_letters()
        assert "不是数通发出" in letter.reason


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_was_paused_too_long_has_lost_its_message(path: Path) -> None:
    transport = EmbeddedTransport(path, visible=0.3)
    transport.declare({"a": ["t"]})
    transport.publish(Message("t"))
    transport.close()
    child = os.fork()
    if not child:
        try:
            with transport.subscribe() as subscription:
                subscription.watch(["a"])
                taken = subscription.take(1)
                os.kill(os.getpid(), signal.SIGSTOP)
                assert taken is not None
                subscription.acknowledge(taken)
                subscription.take(0)
        finally:
            os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    time.sleep(0.4)
    with transport.subscribe() as subscription:
        subscription.watch(["a"])
        again = subscription.take(1)
        assert again is not None
        assert again.before == 1
        os.kill(child, signal.SIGCONT)
        os.waitpid(child, 0)
        subscription.release(again)
        third = subscription.take(1)
        assert third is not None, "the acknowledgement of the paused one counts no more"
    transport.close()
