"""Tables of the directory (资源目录), and the type in which instants are stored.

Nothing is ever deleted here: a code, once used, stays findable and is never given out again. The
exchange composes this metadata with its own under one history of migrations.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite numbers rows by itself only under the type name INTEGER.
Serial = BigInteger().with_variant(Integer, "sqlite")


class Instant(TypeDecorator[datetime]):
    """A point in time: aware in, aware UTC out; a naive one is refused.

    SQLite has no zones, so there UTC is stored without one; other products store the instant.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware time into UTC.

        Raises:
            ValueError: the time has no zone.
        """
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError("a time without a zone is not an instant")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Say again that it is UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _bytewise(length: int) -> String:
    """Text compared byte by byte on every product, so that pages follow each other alike."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


class Base(DeclarativeBase):
    """Tables of the directory."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: Instant, dict[str, Any]: JSON, list[Any]: JSON}


class DepartmentRow(Base):
    """A department (部门) that provides or uses data."""

    __tablename__ = "department"

    code: Mapped[str] = mapped_column(_bytewise(18), primary_key=True)
    """Unified social credit code (统一社会信用代码)."""
    name: Mapped[str] = mapped_column(String(128), index=True)
    short_name: Mapped[str] = mapped_column(String(64))
    division: Mapped[str] = mapped_column(String(12), index=True)
    body: Mapped[dict[str, Any]]
    """The department as registered."""
    changed_at: Mapped[datetime]


class EndpointRow(Base):
    """A place where a department's data can be reached (端点)."""

    __tablename__ = "endpoint"

    name: Mapped[str] = mapped_column(_bytewise(64), primary_key=True)
    department: Mapped[str] = mapped_column(ForeignKey("department.code"), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    zone: Mapped[str] = mapped_column(String(64))
    options: Mapped[dict[str, Any]]
    """Opaque here; secrets are references."""
    changed_at: Mapped[datetime]


class ResourceRow(Base):
    """A code of the directory (信息资源代码) and which of its versions is in force."""

    __tablename__ = "resource"
    __table_args__ = (UniqueConstraint("class_code", "sequence"),)

    code: Mapped[str] = mapped_column(_bytewise(64), primary_key=True)
    class_code: Mapped[str] = mapped_column(_bytewise(64))
    """The part before the slash."""
    sequence: Mapped[int] = mapped_column(BigInteger)
    """The part after the slash, as a number: ``1`` and ``0001`` are the same one."""
    provider: Mapped[str] = mapped_column(ForeignKey("department.code"), index=True)
    latest: Mapped[int]
    """Newest version, in whatever state."""
    in_force: Mapped[int | None]
    """Version that is published now, None before publication and after withdrawal."""
    words: Mapped[str | None] = mapped_column(Text)
    """Searchable text of the version in force."""
    created_at: Mapped[datetime]


class ResourceVersionRow(Base):
    """One version of a resource (资源版本) and its state in the workflow."""

    __tablename__ = "resource_version"

    resource: Mapped[str] = mapped_column(ForeignKey("resource.code"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(24), index=True)
    name: Mapped[str] = mapped_column(String(128))
    record_class: Mapped[str | None] = mapped_column(String(64), index=True)
    share_type: Mapped[int]
    update_cycle: Mapped[str] = mapped_column(String(16))
    body: Mapped[dict[str, Any]]
    """The resource as registered: the metadata elements, items and offer."""
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    published_at: Mapped[datetime | None]


class ResourceClassRow(Base):
    """One class a version of a resource stands in (信息资源分类); it may stand in several."""

    __tablename__ = "resource_class"
    __table_args__ = (
        ForeignKeyConstraint(["resource", "version"], ["resource_version.resource", "resource_version.version"]),
    )

    resource: Mapped[str] = mapped_column(_bytewise(64), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    class_code: Mapped[str] = mapped_column(_bytewise(64), primary_key=True, index=True)


class ResourceWayRow(Base):
    """One way a version of a resource is shared in (共享方式)."""

    __tablename__ = "resource_way"
    __table_args__ = (
        ForeignKeyConstraint(["resource", "version"], ["resource_version.resource", "resource_version.version"]),
    )

    resource: Mapped[str] = mapped_column(_bytewise(64), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    way: Mapped[str] = mapped_column(String(16), primary_key=True)


class HistoryRow(Base):
    """One move of a version through the workflow (流转记录): who, when, with what opinion."""

    __tablename__ = "resource_history"
    __table_args__ = (
        ForeignKeyConstraint(["resource", "version"], ["resource_version.resource", "resource_version.version"]),
        Index("resource_history_version", "resource", "version"),
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    resource: Mapped[str] = mapped_column(_bytewise(64))
    version: Mapped[int]
    action: Mapped[str] = mapped_column(String(24))
    from_state: Mapped[str | None] = mapped_column(String(24))
    to_state: Mapped[str] = mapped_column(String(24))
    part: Mapped[str] = mapped_column(String(16))
    """``provider``, ``registration`` or ``publication``: one person plays one of them."""
    actor: Mapped[str] = mapped_column(String(64))
    department: Mapped[str | None] = mapped_column(String(18))
    opinion: Mapped[str] = mapped_column(Text)
    changes: Mapped[list[Any]]
    """What the move changed in the content, in machine form."""
    at: Mapped[datetime]


class TermRow(Base):
    """One pair of neighbouring characters in a version in force, for the search (检索词)."""

    __tablename__ = "resource_term"
    __table_args__ = (Index("resource_term_weight", "term", "weight", "resource"),)

    term: Mapped[str] = mapped_column(_bytewise(2), primary_key=True)
    resource: Mapped[str] = mapped_column(ForeignKey("resource.code"), primary_key=True, index=True)
    weight: Mapped[int]
    """How often it occurs, the name counting more than the abstract."""


class DemandRow(Base):
    """Data a department needs and does not find, or wants from a resource (需求清单)."""

    __tablename__ = "demand"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    department: Mapped[str] = mapped_column(ForeignKey("department.code"), index=True)
    """Who needs it."""
    provider: Mapped[str | None] = mapped_column(ForeignKey("department.code"), index=True)
    """Who should provide it, if known."""
    title: Mapped[str] = mapped_column(String(128))
    state: Mapped[str] = mapped_column(String(16), index=True)
    """``open``, ``met``, ``declined``."""
    resource: Mapped[str | None] = mapped_column(ForeignKey("resource.code"))
    """The resource that meets it."""
    body: Mapped[dict[str, Any]]
    actor: Mapped[str] = mapped_column(String(64))
    answer: Mapped[str] = mapped_column(Text)
    answered_by: Mapped[str | None] = mapped_column(String(64))
    at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
