"""The command line (命令行) ``shutong``: a door that knows the hub and nothing deeper."""

from __future__ import annotations

from exchange.cli.commands import main

__all__ = ["main"]
