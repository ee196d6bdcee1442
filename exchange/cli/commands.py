"""All commands, put together."""

from __future__ import annotations

from typer.main import get_command

from exchange.cli import (
    access,
    accounts,
    applications,
    auditing,
    descriptions,
    dispatching,
    exchanges,
    following,
    freshness,
    grants,
    homes,
    parties,
    pausing,
    pickups,
    quarantine,
    recalling,
    reconciling,
    resources,
    reviewing,
    running,
    scheduling,
    searching,
    serving,
    settings,
    tokens,
    trying,
    upping,
)
from exchange.cli.root import app

ROOMS = (
    homes, accounts, tokens, settings, descriptions, parties, access, resources, reviewing, searching, applications,
    grants, running, exchanges, pausing, freshness, dispatching, scheduling, reconciling, following, pickups, recalling,
    quarantine, auditing, serving, trying, upping,
)  # fmt: skip
"""Modules whose commands make up the program."""


def main() -> None:
    """Do what the words of this process say, and exit with the status that says how it went."""
    get_command(app).main()
