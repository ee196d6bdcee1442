"""An application for the use of a resource (共享申请), as a department writes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from exchange.authorisation import expression
from exchange.authorisation.expression import Expression
from exchange.authorisation.literals import BEIJING
from exchange.authorisation.masks import Mask
from exchange.authorisation.reading import Text, read
from exchange.errors import Invalid

Words = Annotated[Text, Field(max_length=2000)]
Name = Annotated[Text, Field(min_length=1, max_length=255)]
Calls = Annotated[int, Field(ge=1, lt=2**31, strict=True)]
Rows = Annotated[int, Field(ge=1, lt=2**63, strict=True)]
PER_MINUTE = ("calls_per_minute", "rows_per_minute")
"""What may be limited in a minute (调用限额), as an application, a narrowing and the body of a grant name it."""


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Target(_Written):
    """Where the rows are to arrive (接收端): an endpoint of the recipient and what they are called there.

    Attributes:
        endpoint: Name of the endpoint.
        object: Table, operation or file name there.
        columns: Item to the name used there; an item not named keeps its own.
        profile: Family of front-end tables it belongs to, if any.
        options: What only this kind of endpoint understands.
    """

    endpoint: Name
    object: Name
    columns: dict[Name, Name] = Field(default_factory=dict)
    profile: Name | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class Purpose(_Written):
    """What the data is for; use beyond it is not granted.

    Attributes:
        basis: Law, regulation or duty that requires it (使用依据).
        scene: Business in which it is used (使用场景).
        scope: Who uses it, and for which people or cases (使用范围).
    """

    basis: Words = ""
    scene: Words = ""
    scope: Words = ""


def bounded(data: Any) -> Any:
    """Check the size and depth of an expression before its recursive reading begins."""
    try:
        return expression.parse(data) if isinstance(data, dict) else data
    except Invalid as error:
        raise ValueError("；".join(map(str, error.problems))) from error


class Application(Purpose):
    """What a department asks for.

    What is missing is not refused here but answered, all of it at once, by the policy.

    Attributes:
        id: Its name where the department gives one; else the hub makes one.
        resource: Code of the resource.
        department: Credit code of the department that asks.
        way: Way of exchange (共享方式): ``database``, ``webservice`` or ``file``.
        items: Names of the items asked for (申请信息项).
        filter: Rows asked for (数据范围); None: all.
        masks: Item to mask; ``clear`` with a justification asks for personal data as it is.
        since: First day of use; None: from now on.
        until: Last day of use (使用期限).
        quota_rows: Rows at most over the whole period; None: no such limit.
        calls_per_minute: Calls at the hub's door in a minute at most; None: no limit but the department's.
        rows_per_minute: Rows handed over there in a minute at most; None: no limit but the department's.
        target: Where the rows are to arrive.
    """

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")] | None = None
    resource: Annotated[Text, Field(min_length=1, max_length=64)]
    department: Annotated[Text, Field(min_length=1, max_length=18)]
    way: Annotated[Text, Field(max_length=16)] = ""
    items: tuple[Name, ...] = Field(default=(), max_length=2000)
    filter: Annotated[Expression | None, BeforeValidator(bounded)] = None
    masks: dict[Name, Mask] = Field(default_factory=dict)
    since: date | None = None
    until: date | None = None
    quota_rows: Rows | None = None
    calls_per_minute: Calls | None = None
    rows_per_minute: Rows | None = None
    target: Target | None = None

    def body(self) -> dict[str, Any]:
        """The application as plain values; :func:`parse` reads them back."""
        # What was entered before there were these is to be the same application when it comes again.
        unsaid = {name for name in PER_MINUTE if getattr(self, name) is None}
        return self.model_dump(mode="json", by_alias=True, exclude={"id", *unsaid})


_adapter = TypeAdapter(Application)


def parse(data: Mapping[str, Any], where: str = "共享申请") -> Application:
    """Read an application from plain values.

    Raises:
        Invalid: With everything wrong in its form.
    """
    return read(_adapter, data, where)


def first_moment(day: date) -> datetime:
    """Midnight in Beijing at the beginning of a day."""
    return datetime.combine(day, time(), BEIJING).astimezone(UTC)


def end_of(day: date) -> datetime:
    """The moment after which a last day is over."""
    return first_moment(day + timedelta(days=1))
