from __future__ import annotations

import inspect
import sqlite3
import traceback

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from adapters.database.dialects import dialect
from adapters.database.errors import diagnosed, translated, translating
from adapters.errors import AdapterError, Misconfigured, Refused, Unavailable, Unsupported

SECRET = "110101199001011234"


def made(kind: type[sa.exc.SQLAlchemyError], origin: Exception) -> sa.exc.SQLAlchemyError:
    """An exception of a class, whatever its constructor wants."""
    if issubclass(kind, sa.exc.DBAPIError):
        return kind(f"INSERT {SECRET}", {"id": SECRET}, origin, hide_parameters=True)
    if issubclass(kind, sa.exc.StatementError):
        return kind(SECRET, f"INSERT {SECRET}", {"id": SECRET}, None)
    if issubclass(kind, sa.exc.CircularDependencyError):
        return kind(SECRET, [], [])
    if issubclass(kind, sa.exc.UnsupportedCompilationError):
        return kind(sa.engine.default.DefaultDialect().statement_compiler, str)
    if issubclass(kind, sa.exc.NoReferencedColumnError):
        return kind(SECRET, SECRET, SECRET)
    if issubclass(kind, sa.exc.NoReferencedTableError):
        return kind(SECRET, SECRET)
    return kind(SECRET)


CLASSES = sorted(
    {kind for _, kind in inspect.getmembers(sa.exc, inspect.isclass) if issubclass(kind, sa.exc.SQLAlchemyError)},
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("product", ["sqlite", "postgresql", "mariadb"])
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_exception_of_sqlalchemy_becomes_one_of_ours(kind: type[sa.exc.SQLAlchemyError], product: str) -> None:
    error = made(kind, RuntimeError(SECRET))
    found = translated(error, dialect(product), "数据库 front")
    assert isinstance(found, AdapterError)
    assert type(found) is not AdapterError
    assert found.message.startswith("数据库 front：")
    assert SECRET not in found.message + found.remedy
    assert found.remedy


def test_the_walk_sees_the_classes_that_matter() -> None:
    assert {sa.exc.IntegrityError, sa.exc.TimeoutError, sa.exc.NoSuchTableError, sa.exc.CompileError} <= set(CLASSES)


def test_a_traceback_names_the_drivers_error_and_does_not_quote_it() -> None:
    with pytest.raises(Unavailable) as caught, translating(dialect("sqlite"), "x"):
        raise sa.exc.OperationalError("SELECT", {}, sqlite3.OperationalError(SECRET))
    told = "".join(traceback.format_exception(caught.value))
    assert "sqlite3.OperationalError" in told
    assert SECRET not in told


def test_our_own_errors_pass() -> None:
    with pytest.raises(Refused, match="as it is"), translating(dialect("sqlite"), "x"):
        raise Refused("as it is")


def wrapped(origin: Exception, *, invalidated: bool = False) -> sa.exc.DBAPIError:
    return sa.exc.DBAPIError("S", {}, origin, connection_invalidated=invalidated)


def test_an_unknown_error_on_a_dead_connection_is_unavailable() -> None:
    error = wrapped(RuntimeError(), invalidated=True)
    assert diagnosed(error, dialect("mariadb")).error is Unavailable


PSYCOPG = {
    psycopg.errors.UniqueViolation: Refused,
    psycopg.errors.NotNullViolation: Refused,
    psycopg.errors.StringDataRightTruncation: Refused,
    psycopg.errors.InsufficientPrivilege: Refused,
    psycopg.errors.ReadOnlySqlTransaction: Refused,
    psycopg.errors.UndefinedTable: Misconfigured,
    psycopg.errors.UndefinedColumn: Misconfigured,
    psycopg.errors.InvalidCatalogName: Misconfigured,
    psycopg.errors.InvalidSchemaName: Misconfigured,
    psycopg.errors.FeatureNotSupported: Unsupported,
    psycopg.errors.LockNotAvailable: Unavailable,
    psycopg.errors.DeadlockDetected: Unavailable,
    psycopg.errors.SerializationFailure: Unavailable,
    psycopg.errors.AdminShutdown: Unavailable,
    psycopg.errors.TooManyConnections: Unavailable,
    psycopg.errors.DiskFull: Unavailable,
    psycopg.errors.ConnectionFailure: Unavailable,
    psycopg.errors.QueryCanceled: Unavailable,
    psycopg.errors.InvalidPassword: Refused,
}


@pytest.mark.parametrize(("kind", "expected"), PSYCOPG.items(), ids=lambda each: each.__name__)
def test_states_of_the_one_product(kind: type[psycopg.Error], expected: type[AdapterError]) -> None:
    assert diagnosed(wrapped(kind(SECRET)), dialect("postgresql")).error is expected


PYMYSQL = [
    (1062, "Duplicate entry '110101199001011234' for key 'PRIMARY'", Refused, "约束 PRIMARY"),
    (1048, "Column 'name' cannot be null", Refused, "列 name"),
    (1364, "Field 'name' doesn't have a default value", Refused, "列 name"),
    (1406, "Data too long for column 'name' at row 1", Refused, "列 name"),
    (1366, "Incorrect integer value: '110101199001011234' for column `d`.`t`.`n` at row 1", Refused, "列 n"),
    (1452, "Cannot add or update a child row: (`d`.`t`, CONSTRAINT `fk` FOREIGN KEY (`a`))", Refused, ""),
    (4025, "CONSTRAINT `positive` failed for `d`.`t`", Refused, "约束 positive"),
    (1045, "Access denied for user 'x'@'y' (using password: YES)", Refused, "口令"),
    (1044, "Access denied for user 'x'@'y' to database 'd'", Refused, "权限"),
    (1142, "SELECT command denied", Refused, "权限"),
    (1049, "Unknown database 'd'", Misconfigured, ""),
    (1146, "Table 'd.t' doesn't exist", Misconfigured, "表 d.t"),
    (1054, "Unknown column 'x' in 'SELECT'", Misconfigured, "列 x"),
    (2003, "Can't connect to MySQL server on 'nowhere' ([Errno -2] Name or service not known)", Misconfigured, "主机"),
    (2003, "Can't connect to MySQL server on 'x' ([Errno 111] Connection refused)", Unavailable, ""),
    (1205, "Lock wait timeout exceeded; try restarting transaction", Unavailable, ""),
    (1213, "Deadlock found when trying to get lock", Unavailable, ""),
    (2013, "Lost connection to MySQL server during query", Unavailable, ""),
    (1040, "Too many connections", Unavailable, ""),
]


@pytest.mark.parametrize(("code", "text", "kind", "words"), PYMYSQL)
def test_codes_of_the_other_product(code: int, text: str, kind: type[AdapterError], words: str) -> None:
    found = translated(wrapped(pymysql.err.OperationalError(code, text)), dialect("mariadb"), "x")
    assert type(found) is kind
    assert words in found.message
    assert SECRET not in found.message


def test_a_number_without_a_meaning_goes_by_its_class() -> None:
    error = sa.exc.IntegrityError("S", {}, pymysql.err.IntegrityError(99999, "?"))
    assert diagnosed(error, dialect("mariadb")).error is Refused
    assert diagnosed(wrapped(pymysql.err.InterfaceError()), dialect("mariadb")).error is Unavailable
