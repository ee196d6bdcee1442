"""Writes ``docs/events.md``: every type of event with its fields. ``python -m exchange.audit.document``."""

from __future__ import annotations

import sys
from typing import Any

from exchange.audit.events import REGISTRY, json_schema

_HEADER = """\
# Events of the log

Generated from `exchange/audit/events.py` by `python -m exchange.audit.document`; do not edit.

Every event also says when it happened, who did it and how that was established (`os-user`, `demo`, `system`),
and which department, resource, exchange and run it is about.
"""


def document() -> str:
    """The whole document."""
    return "\n".join([_HEADER, *(_section(name) for name in REGISTRY)])


def _section(name: str) -> str:
    schema = json_schema(REGISTRY[name])
    lines = [f"## {name}", "", schema["description"], ""]
    if schema["properties"]:
        lines += ["| field | type | meaning |", "| --- | --- | --- |"]
        lines += [
            f"| `{field}` | {_type(part)} | {part['description'].replace('``', '`')} |"
            for field, part in schema["properties"].items()
        ]
        lines.append("")
    return "\n".join(lines)


def _type(part: dict[str, Any]) -> str:
    if "anyOf" in part:
        return " or ".join(_type(choice) for choice in part["anyOf"])
    if part["type"] == "array":
        return f"list of {_type(part['items'])}"
    if part["type"] == "object":
        return f"object of {_type(part['additionalProperties'])}"
    return str(part["type"])


if __name__ == "__main__":
    sys.stdout.write(document())
