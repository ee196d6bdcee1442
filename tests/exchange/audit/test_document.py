"""``docs/events.md`` is what the program says about its events."""

from __future__ import annotations

from pathlib import Path

import exchange
from exchange.audit.document import document
from exchange.audit.events import REGISTRY, json_schema

FILE = Path(exchange.__file__).parent.parent / "docs" / "events.md"


def test_the_document_is_up_to_date():
    assert FILE.read_text(encoding="utf-8") == document(), "run: python -m exchange.audit.document > docs/events.md"


def test_every_event_and_field_is_in_it():
    written = document()
    for name, event in REGISTRY.items():
        assert f"\n## {name}\n" in written
        section = written.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert all(f"| `{field}` |" in section for field in json_schema(event)["properties"])
