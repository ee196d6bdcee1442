"""SIGKILL between any two changes that a delivery makes on a server: nothing half, nothing twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import OPERATION, PUT, REFERENCE, Claim, Manifest, Outcome
from adapters.files.transports import protocol, sftp
from adapters.files.transports.protocol import Session
from adapters.registry import open_endpoint
from tests.adapters.files.conftest import Drop, Passes, binding
from tests.support.openssh import OpenSSHServer

SCHEMA = pa.schema([pa.field("number", pa.string()), pa.field("holder", pa.string()), pa.field(OPERATION, pa.int8())])
BATCH = pa.record_batch([["1", "2"], ["甲", "乙"], pa.array([PUT, PUT], pa.int8())], schema=SCHEMA)
CHANGES = {6, 13, 14, 18}
"""Requests that change the directory: write, remove, make a folder, rename; and the extension that renames."""

PRELOADED = ["tests.adapters.files.test_deaths", "adapters.files.endpoint"]
TAKING = binding(version="number")
CLAIM = Claim(key="run", exchange="E1", epoch=1)


LEASE = 60
"""Seconds: nobody who lives loses it, however busy the machine is."""


def _bury(root: Path) -> None:
    """As if a lease had gone by since a holder's death; that it is waited for is tried where leases are."""
    for folder in root.rglob("*.held"):
        for path in folder.iterdir():
            path.unlink()


def _manifest(claim: Claim, previous: str | None) -> Manifest:
    return Manifest(claim=claim, rows=2, digest="d" * 64, previous=previous)


def _die_before(allowed: int) -> None:
    """Let this process ask a server for so many changes, and die before the next."""
    original = Session._request
    made = [0]

    def request(self: Session, kind: int, rest: bytes, data: bytes | memoryview = b"") -> int:
        if kind in CHANGES or (kind == 200 and protocol.RENAMES.encode() in rest):
            made[0] += 1
            if made[0] > allowed:
                os.kill(os.getpid(), signal.SIGKILL)
        return original(self, kind, rest, data)

    Session._request = request  # type: ignore[method-assign]


def _deliver(options: dict[str, Any], claim: Claim, previous: str | None, allowed: int, ended: Any) -> None:
    """Deliver, and die before the change of that number."""
    _die_before(allowed)
    delivery = open_endpoint("files", options).sink(binding()).begin(claim, SCHEMA)
    delivery.stage(BATCH)
    delivery.commit(_manifest(claim, previous))
    ended.set()


def _published(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("licence_*.csv"))


def test_death_at_every_change_of_a_delivery(openssh_server: OpenSSHServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes after, under a higher epoch, ends with one file, one manifest and the same answer as later."""
    root = openssh_server.new_folder()
    options = openssh_server.options(root, lease=LEASE)
    monkeypatch.setattr(sftp, "PAUSE", 0.05)
    # Each child starts from a process that has the modules and no threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    previous: str | None = None
    deaths = 0
    for allowed in range(200):
        claim = Claim(key=f"run-{allowed}", exchange="E1", epoch=2 * allowed + 1)
        ended = context.Event()
        child = context.Process(target=_deliver, args=(options, claim, previous, allowed, ended))
        child.start()
        child.join(60)
        assert child.exitcode == (0 if ended.is_set() else -signal.SIGKILL)
        deaths += not ended.is_set()
        _bury(root)
        sink = open_endpoint("files", options).sink(binding())
        later = replace(claim, epoch=claim.epoch + 1)
        answer = sink.settled(claim.key)
        if answer is None:
            delivery = sink.begin(later, SCHEMA)
            delivery.stage(BATCH)
            answer = delivery.commit(_manifest(later, previous))
        assert sink.resume(later, SCHEMA).commit(_manifest(later, previous)) == answer == sink.settled(claim.key)
        assert answer.written == 2
        assert len(_published(root)) == allowed + 1
        about = json.loads((root / f"{answer.place}.manifest.json").read_text())
        assert (about["key"], about["rows"]) == (claim.key, 2)
        assert (root / answer.place).read_text().count("\n") == 3
        assert not list(root.glob(".*.part"))
        previous = claim.key
        if ended.is_set():
            break
    assert ended.is_set()
    assert deaths >= 15
    assert list((root / ".shutong" / "lock.held").iterdir()) == []


def _settle(options: dict[str, Any], told: list[tuple[str, str | None]], allowed: int, ended: Any) -> None:
    """Settle, and die before the change of that number."""
    _die_before(allowed)
    with open_endpoint("files", options).source(TAKING) as source:
        source.settle([Outcome(reference, reason) for reference, reason in told])
    ended.set()


def test_death_at_every_change_of_settling_what_was_picked_up(openssh_server: OpenSSHServer) -> None:
    """Whoever settles next ends with the files moved and listed as if nobody had died; none is read again."""
    root = openssh_server.new_folder()
    options = openssh_server.options(root, lease=LEASE)
    drop = Drop(root)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    deaths = 0
    passes = Passes(open_endpoint("files", options), TAKING)
    for allowed in range(60):
        drop.put(f"licence_{allowed:02}.csv", f"证照编号,持证人\n{allowed},a\nx,b\n")
        drop.put(f"licence_{allowed:02}_bad.csv", f'证照编号,持证人\n{allowed},"a\n')
        rows = passes.read()
        assert [row["number"] for row in rows] == [str(allowed), "x"]
        told = [(row[REFERENCE], "不对" if row["number"] == "x" else None) for row in rows]
        told += [(file.reference, file.reason) for file in passes.files]
        ended = context.Event()
        child = context.Process(target=_settle, args=(options, told, allowed, ended))
        child.start()
        child.join(60)
        assert child.exitcode == (0 if ended.is_set() else -signal.SIGKILL)
        deaths += not ended.is_set()
        _bury(root)
        with open_endpoint("files", options).source(TAKING) as source:
            source.settle([Outcome(reference, reason) for reference, reason in told])
        name = f"licence_{allowed:02}"
        assert (root / "taken" / f"{name}.csv").exists()
        assert (root / "taken" / f"{name}.csv.manifest.json").exists()
        assert (root / f"{name}_bad.csv").exists()
        for listed, line in ((f"{name}.csv.refused.csv", '"3","不对"'), (f"{name}_bad.csv.refused.csv", '"0",')):
            assert (root / listed).read_text("utf-8-sig").splitlines()[1].startswith(line)
        assert not (root / f"{name}.csv").exists()
        assert passes.read() == []
        if ended.is_set():
            break
    assert ended.is_set()
    assert deaths >= 6


def _commit(options: dict[str, Any], start: Any, answers: Any) -> None:
    delivery = open_endpoint("files", options).sink(binding()).resume(CLAIM, SCHEMA)
    start.wait()
    answers.put(delivery.commit(_manifest(CLAIM, None)))


def test_two_workers_commit_at_once_over_a_server(openssh_server: OpenSSHServer) -> None:
    root = openssh_server.new_folder()
    options = openssh_server.options(root)
    open_endpoint("files", options).sink(binding()).begin(CLAIM, SCHEMA).stage(BATCH)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    start, answers = context.Event(), context.Queue()
    workers = [context.Process(target=_commit, args=(options, start, answers)) for _ in range(3)]
    for worker in workers:
        worker.start()
    start.set()
    found = [answers.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(30)
    assert found[0] == found[1] == found[2]
    assert len(_published(root)) == 1
