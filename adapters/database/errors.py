"""The edge of the adapter: every exception of SQLAlchemy and of a driver becomes one of ours here.

The message names the place and, where the product tells, the table, column or constraint. It never
carries the driver's own text, which quotes values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import sqlalchemy as sa

from adapters.database.dialects.base import Diagnosis, Dialect
from adapters.errors import AdapterError, Misconfigured, Refused, Unavailable, Unsupported

_CLASSES: tuple[tuple[type[Exception], Diagnosis], ...] = (
    (sa.exc.NoSuchTableError, Diagnosis(Misconfigured, "缺少表")),
    (sa.exc.UnreflectableTableError, Diagnosis(Misconfigured, "表的定义读不出来")),
    (sa.exc.NoSuchColumnError, Diagnosis(Misconfigured, "缺少列")),
    (sa.exc.NoDBAPILoaded, Diagnosis(Unsupported, "数据库驱动没有安装")),
    (sa.exc.NoSuchModuleError, Diagnosis(Unsupported, "数据库驱动没有安装")),
    (sa.exc.IdentifierError, Diagnosis(Misconfigured, "表名或列名过长")),
    (sa.exc.TimeoutError, Diagnosis(Unavailable, "等待超时")),
    (sa.exc.DisconnectionError, Diagnosis(Unavailable, "连接中断")),
    (sa.exc.IntegrityError, Diagnosis(Refused, "违反约束")),
    (sa.exc.DataError, Diagnosis(Refused, "有值放不进目标列")),
    (sa.exc.NotSupportedError, Diagnosis(Unsupported, "数据库不支持此操作")),
    (sa.exc.ProgrammingError, Diagnosis(Misconfigured, "数据库不认此语句")),
    (sa.exc.OperationalError, Diagnosis(Unavailable, "数据库暂时不能用")),
    (sa.exc.InterfaceError, Diagnosis(Unavailable, "连接中断")),
    (sa.exc.InternalError, Diagnosis(Unavailable, "数据库内部错误")),
    (sa.exc.DatabaseError, Diagnosis(Refused, "数据库报错")),
    (sa.exc.DBAPIError, Diagnosis(Unavailable, "连接中断")),
    (sa.exc.PendingRollbackError, Diagnosis(Unavailable, "连接中断")),
    (sa.exc.ResourceClosedError, Diagnosis(Unavailable, "连接中断")),
    (sa.exc.SQLAlchemyError, Diagnosis(Unsupported, "数据库接口不支持此操作")),
)

_REMEDIES: dict[type[AdapterError], str] = {
    Unavailable: "稍后重试；总不成功时请检查对方数据库和网络",
    Refused: "请对方管理员检查账号权限和表的约束",
    Misconfigured: "检查端点选项和挂接的表名、列名",
    Unsupported: "查看 endpoint test 的结果",
}


def diagnosed(error: BaseException, dialect: Dialect) -> Diagnosis:
    """What an exception means: as its product says, else by its class."""
    origin = error.orig if isinstance(error, sa.exc.StatementError) and error.orig is not None else error
    found = dialect.diagnose(origin)
    if found is not None:
        return found
    if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
        return Diagnosis(Unavailable, "连接中断")
    return next(known for kind, known in _CLASSES if isinstance(error, kind))


def translated(
    error: sa.exc.SQLAlchemyError, dialect: Dialect, place: str, known_as: Mapping[str, str] = MappingProxyType({})
) -> AdapterError:
    """An exception of SQLAlchemy as one of ours.

    Args:
        error: What was raised.
        dialect: The product.
        place: Where, in words.
        known_as: Names of ours to the names that people know.
    """
    found = diagnosed(error, dialect)
    named = "，".join(f"{word} {known_as.get(name, name)}" for word, name in found.names)
    message = f"{place}：{found.what}{f'（{named}）' if named else ''}"
    return found.error(message, remedy=found.remedy or _REMEDIES.get(found.error, ""))


@contextmanager
def translating(dialect: Dialect, place: str, known_as: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """Let nothing of SQLAlchemy or a driver out of the block; the arguments are those of :func:`translated`."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        found = translated(error, dialect, place, known_as)
        origin = type(getattr(error, "orig", None) or error)
        # The driver's error stays behind: its text quotes values of rows, in tracebacks too.
        found.add_note(f"{origin.__module__}.{origin.__qualname__}")
        raise found from None
