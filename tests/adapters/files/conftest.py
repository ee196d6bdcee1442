"""A directory as the provider sees it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from adapters.base import REFERENCE, Binding, Endpoint, Outcome, Position, Selection, TakenFile
from adapters.errors import ReadAnew
from adapters.memory import Pages
from adapters.registry import open_endpoint


@dataclass
class Drop:
    """The directory and the provider's hands."""

    root: Path

    @property
    def endpoint(self) -> Endpoint:
        return open_endpoint("files", {"root": str(self.root)})

    def put(self, name: str, text: str, *, manifest: bool = True, encoding: str = "utf-8", **about: Any) -> None:
        """Drop a file and, after it, its manifest."""
        content = text.encode(encoding)
        (self.root / name).write_bytes(content)
        if manifest:
            told = {"rows": text.strip().count("\n"), "sha256": hashlib.sha256(content).hexdigest()} | about
            (self.root / f"{name}.manifest.json").write_text(json.dumps(told))

    def names(self) -> list[str]:
        """All that can be seen, in folders too."""
        found = (path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file())
        return sorted(str(path) for path in found if not path.parts[0].startswith("."))


def binding(**changes: Any) -> Binding:
    """A binding of two items to a pattern."""
    given = {
        "object": "licence_*.csv",
        "columns": {"number": "证照编号", "holder": "持证人"},
        "key": ("number",),
        "capture": "batches",
    }
    return Binding(**(given | changes))


@dataclass
class Passes:
    """Pass after pass of one binding over one directory, with a notebook between them, as the engine makes them."""

    endpoint: Endpoint
    binding: Binding
    pages: Pages = field(default_factory=Pages)
    position: Position | None = None
    anew: int = 0
    """How often a reading was begun again."""
    files: list[TakenFile] = field(default_factory=list)
    """Those of the last pass."""

    def read(self, *again: str, delivered: bool = True, settled: bool = False) -> list[dict[str, Any]]:
        """The rows of the next pass; what is not delivered comes again."""
        with self.endpoint.source(self.binding) as source:
            while True:
                self.pages.drop()
                given = Selection(after=self.position, batch_rows=100, notebook=self.pages, again=frozenset(again))
                try:
                    rows = [row for batch in source.batches(given) for row in batch.to_pylist()]
                except ReadAnew:
                    self.anew += 1
                    continue
                break
            self.files = list(source.files())
            if delivered:
                self.pages.turn()
                self.position = source.position()
            if settled:
                told = [Outcome(row[REFERENCE]) for row in rows]
                told += [Outcome(file.reference, file.reason) for file in self.files if file.reference]
                source.settle(told)
        return rows

    def numbers(self, *again: str, **options: bool) -> list[str]:
        """Of the rows of the next pass."""
        return [row["number"] for row in self.read(*again, **options)]

    def waiting(self) -> dict[str, str]:
        """What is not taken yet, and why."""
        with self.endpoint.source(self.binding) as source:
            given = Selection(after=self.position, notebook=self.pages)
            return {file.name: file.reason for file in source.waiting(given)}

    @property
    def refused(self) -> dict[str, str]:
        """Files that the last pass refused, and why."""
        return {file.name: file.reason for file in self.files if file.reason is not None}


def settle_down(root: Path) -> None:
    """Make all files old enough for their time to tell them apart."""
    for path in root.iterdir():
        if path.is_file() and not path.is_symlink():
            about = path.stat()
            os.utime(path, (about.st_atime, about.st_mtime - 60))


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path)
