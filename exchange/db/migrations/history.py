"""Goes along the history of the tables."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

VERSIONS = Path(__file__).parent / "versions"


def configuration(folder: Path = VERSIONS) -> Config:
    """Alembic's configuration, without a file of its own.

    Args:
        folder: Where the revisions lie.
    """
    config = Config()
    config.set_main_option("script_location", "exchange.db:migrations")
    config.set_main_option("version_locations", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
    return config


def knows(revision: str) -> bool:
    """Whether a revision is part of this history."""
    try:
        return ScriptDirectory.from_config(configuration()).get_revision(revision) is not None
    except CommandError:
        return False


def upgrade(connection: Connection) -> None:
    """Run what is missing inside the connection's transaction."""
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def write_revision(connection: Connection, number: str, message: str, folder: Path = VERSIONS) -> None:
    """Write the revision that makes of the tables in the history those the program has.

    Args:
        connection: An empty scratch database.
        number: Four digits, its name in the history.
        message: What it changes.
        folder: The history, and where to write.
    """
    config = configuration(folder)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    written = command.revision(config, message, autogenerate=True, rev_id=number)
    if isinstance(written, Script):
        file = Path(written.path)
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        file.write_text("".join(line for line in lines if "###" not in line), encoding="utf-8")
