"""All commands, put together."""

from __future__ import annotations

from typer.main import get_command

from exchange.cli import (
    access,
    applications,
    auditing,
    descriptions,
    exchanges,
    following,
    grants,
    homes,
    parties,
    quarantine,
    reconciling,
    resources,
    reviewing,
    running,
    searching,
    serving,
    trying,
)
from exchange.cli.root import app

ROOMS = (
    homes, descriptions, parties, access, resources, reviewing, searching, applications, grants, running, exchanges,
    reconciling, following, quarantine, auditing, serving, trying,
)  # fmt: skip
"""Modules whose commands make up the program."""


def main() -> None:
    """Do what the words of this process say, and exit with the status that says how it went."""
    get_command(app).main()
