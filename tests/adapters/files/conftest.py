"""A directory as the provider sees it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Binding, Endpoint
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


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path)
