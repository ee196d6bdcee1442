"""The migrations make exactly the tables the program expects, on every product, and travel with it."""

from __future__ import annotations

import importlib.resources
import re
import runpy
from datetime import UTC, datetime

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Column, Integer, MetaData, NullPool, Table, create_engine, insert, inspect, select

from exchange.db.migrations import HEAD, METADATA, history
from exchange.db.tables import QuarantineRow


def differences(database, metadata=METADATA):
    with database.reading() as session:
        context = MigrationContext.configure(
            session.connection(), opts={"compare_type": True, "compare_server_default": True}
        )
        # Alembic compares with one or several metadata; the function's type knows of one.
        return compare_metadata(context, metadata)


def test_the_migrations_make_what_the_program_expects(database):
    assert differences(database) == []


def test_a_difference_would_be_found(database):
    more = MetaData()
    Table("surplus", more, Column("id", Integer, primary_key=True))
    found = differences(database, [*METADATA, more])
    assert [difference[0] for difference in found] == ["add_table"]


def test_no_two_tables_have_one_name():
    names = [name for metadata in METADATA for name in metadata.tables]
    assert len(names) == len(set(names))


def test_migrating_again_changes_nothing(database):
    database.migrate()
    assert differences(database) == []


def test_a_migration_that_fails_leaves_nothing(empty, monkeypatch):
    from alembic import op

    def fail(*_, **__):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(op, "create_index", fail)
        with pytest.raises(ZeroDivisionError):
            empty.migrate()
    with empty.reading() as session:
        assert inspect(session.connection()).get_table_names() == []
    empty.migrate()
    assert differences(empty) == []


def test_there_is_one_line_of_revisions_without_gaps():
    revisions = [script.revision for script in ScriptDirectory.from_config(history.configuration()).walk_revisions()]
    assert revisions == [f"{number:04}" for number in range(len(revisions), 0, -1)]
    assert revisions[0] == HEAD
    assert history.knows(HEAD)
    assert not history.knows("9999")


def test_what_the_migrations_need_lies_in_the_package():
    folder = importlib.resources.files("exchange.db.migrations")
    names = {file.name for file in folder.iterdir()} | {file.name for file in (folder / "versions").iterdir()}
    assert {"env.py", "script.py.mako", "r0001_first_tables.py"} <= names


def test_a_revision_is_written_from_what_the_program_has(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'scratch.db'}", poolclass=NullPool)
    with engine.begin() as connection:
        history.write_revision(connection, "0001", "All tables", tmp_path)
    (file,) = tmp_path.glob("*.py")
    written = file.read_text(encoding="utf-8")
    assert file.name == "r0001_all_tables.py"
    assert "###" not in written
    assert runpy.run_path(str(file))["revision"] == "0001"
    # A revision must not change its meaning when the program does.
    assert "catalog" not in written
    assert "exchange.db" not in written
    made = set(re.findall(r"op.create_table\('(\w+)'", written))
    assert made == {name for metadata in METADATA for name in metadata.tables}


def filled(table, **values):
    """A row with something in every column that must not be empty."""

    def something(column):
        if isinstance(column.type, JSON):
            return {}
        kind = column.type.python_type
        return datetime(2026, 1, 1, tzinfo=UTC) if kind is datetime else kind()

    needed = {column.name: something(column) for column in table.columns if not column.nullable}
    return insert(table).values({name: value for name, value in needed.items() if name != "id"} | values)


def test_rows_refused_before_their_states_were_kept_get_one(empty):
    config = history.configuration()
    with empty._write.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        old = MetaData()
        old.reflect(connection, only=["grant", "exchange", "run", "quarantine"])
        connection.execute(filled(old.tables["grant"], id="g"))
        connection.execute(filled(old.tables["exchange"], id="e", grant="g"))
        for run, state in (("ended", "settled"), ("halted", "stopped")):
            connection.execute(filled(old.tables["run"], id=run, exchange="e", delivery=run, state=state))
            for rule in ("type", "reference"):
                connection.execute(filled(old.tables["quarantine"], run=run, rule=rule, file="f", exchange="e"))
    empty.migrate()
    with empty.reading() as session:
        rows = session.execute(select(QuarantineRow.run, QuarantineRow.rule, QuarantineRow.state, QuarantineRow.file))
        assert sorted(map(tuple, rows), key=str) == [
            ("ended", "reference", "kept", None),
            ("ended", "type", "open", None),
            ("halted", "reference", "kept", None),
            ("halted", "type", "stopped", None),
        ]
