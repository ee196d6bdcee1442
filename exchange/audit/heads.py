"""The file of heads (链头文件): after every sealing, how far the log goes, outside the database.

Its first line is written before the first sealing and says 0, so that a file begun anew shows.
Each line is keyed and chained to the one before it. Whoever cuts the log in the database cannot cut
it here as well without reaching the hub's files; whoever reaches both is shown up by the heads in
receipts and ledgers.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from exchange.audit.chain import FIRST, Chain, instant_text
from exchange.errors import Busy, Failed

NAME = "heads.jsonl"
PATIENCE = 15.0
"""Seconds to wait for whoever notes a head."""
_TAIL = 65536


@dataclass(frozen=True)
class Head:
    """How far the log went at some moment: number and seal of its last event."""

    number: int
    seal: str

    def __str__(self) -> str:
        return f"{self.number}:{self.seal}"


@dataclass(frozen=True)
class Line:
    """A line of the file.

    Attributes:
        place: Its number in the file.
        head: What it says; None for one that cannot be read.
        genuine: Whether the hub wrote it, after the line before it.
    """

    place: int
    head: Head | None
    genuine: bool


@dataclass(frozen=True)
class _Entry:
    number: int
    seal: str
    at: str
    mac: str


class Heads:
    """The file of heads in a home."""

    def __init__(self, home: Path) -> None:
        self.path = home / NAME

    def append(self, head: Head, chain: Chain, at: datetime, *, fresh: bool) -> None:
        """Note a head, durably.

        Args:
            head: How far the log goes.
            chain: Keys the line.
            at: When.
            fresh: Whether it has just been sealed. If not, it is noted only where the file is behind: after a
                death between sealing and noting, never after the database was put back.

        Raises:
            Busy: Somebody holds the file and does not let go.
            Failed: It cannot be written.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                self._lock(file)
                last, whole = _last(file)
                if last is not None and (
                    (last.number, last.seal) == (head.number, head.seal) or (last.number >= head.number and not fresh)
                ):
                    return
                moment = instant_text(at)
                mac = chain.sign_head(last.mac if last else FIRST, head.number, head.seal, moment)
                line = json.dumps({"number": head.number, "seal": head.seal, "at": moment, "mac": mac}) + "\n"
                file.write((line if whole else "\n" + line).encode())
                os.fsync(file.fileno())
        except OSError as error:
            raise Failed(f"链头文件 {self.path} 无法写入：{error.strerror}", remedy="检查磁盘空间和权限") from error

    def _lock(self, file: BinaryIO) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    remedy = "稍后重试；一直如此，请查看是否有停住的数通进程"
                    raise Busy(f"链头文件 {self.path} 被其他进程占用", remedy=remedy) from None
                time.sleep(0.01)
            else:
                return

    def lines(self, chain: Chain) -> Iterator[Line]:
        """Every line, with whether it is genuine; nothing if there is no file.

        Raises:
            Failed: The file cannot be read.
        """
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        except OSError as error:
            raise Failed(f"链头文件 {self.path} 无法读取：{error.strerror}", remedy="检查权限") from error
        previous = FIRST
        with file:
            for place, text in enumerate(file, start=1):
                entry = _parsed(text)
                if entry is None:
                    if text.strip():
                        yield Line(place, None, genuine=False)
                    continue
                genuine = chain.is_head(entry.mac, previous, entry.number, entry.seal, entry.at)
                yield Line(place, Head(entry.number, entry.seal), genuine)
                previous = entry.mac


def _last(file: BinaryIO) -> tuple[_Entry | None, bool]:
    """The last line that can be read, and whether the file ends where a line ends."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    entries = (_parsed(line) for line in reversed(tail.splitlines()))
    return next((entry for entry in entries if entry is not None), None), not tail or tail.endswith(b"\n")


def _parsed(line: bytes) -> _Entry | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    match found:
        case {"number": int(number), "seal": str(seal), "at": str(at), "mac": str(mac)}:
            return _Entry(number, seal, at, mac)
    return None
