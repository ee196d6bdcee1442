"""The rhythm of an exchange (排班设定): when it runs, before which others, and how long it may take."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from croniter import CroniterError, croniter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from exchange.errors import Invalid

_FIELDS = 5


def _cron(text: str) -> str:
    fields = text.split()
    # Names like @daily, a field of seconds and what a scheduler's own hash decides are none of these.
    if len(fields) != _FIELDS or not croniter.is_valid(" ".join(fields), strict=True) or not _comes(fields):
        raise ValueError("应为五段的 cron 表达式：分 时 日 月 星期，例如 30 2 * * *")
    return " ".join(fields)


def _comes(fields: list[str]) -> bool:
    """Whether it ever comes: the 31st of February does not."""
    try:
        croniter(" ".join(fields), 0).get_next()
    except CroniterError:
        return False
    return True


Cron = Annotated[str, AfterValidator(_cron)]
"""Five fields: minute, hour, day, month, weekday; Beijing time."""


class Rhythm(BaseModel):
    """What an exchange's own settings say about its scheduling; what is unset follows its resource (排班设定).

    Attributes:
        schedule: When it runs, instead of by its resource's update cycle.
        priority: Higher goes first where an endpoint bears no more.
        all_of: Codes of further resources of the base library; it runs when all were refreshed on one day.
        timeout_minutes: How long a run may take.
        parts: Into how many ranges of keys a full pass is split.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    schedule: Cron | None = None
    priority: int = Field(default=1, ge=1, le=100, strict=True)
    all_of: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = ()
    timeout_minutes: int = Field(default=240, ge=1, le=7 * 24 * 60, strict=True)
    parts: int = Field(default=1, ge=1, le=64, strict=True)

    def settings(self) -> dict[str, Any]:
        """What differs from what holds without it, as the exchange's settings keep it."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def following(self, moment: datetime) -> datetime | None:
        """The next time its own schedule names, in the zone of the moment; None: it has none."""
        if self.schedule is None:
            return None
        found: datetime = croniter(self.schedule, moment).get_next(datetime)
        return found


RHYTHM = tuple(Rhythm.model_fields)
"""Names of these settings."""


def rhythm_of(exchange: str, settings: Mapping[str, Any]) -> Rhythm:
    """The rhythm that an exchange's settings hold.

    Raises:
        Invalid: They are not as they were written.
    """
    try:
        return Rhythm(**{name: settings[name] for name in RHYTHM if settings.get(name) is not None})
    except ValidationError as error:
        wrong = "、".join(sorted({str(detail["loc"][0]) for detail in error.errors()}))
        message = f"交换 {exchange} 的排班设定有误：{wrong}"
        raise Invalid(message, remedy="在配置文件的 exchanges 中改正后执行 shutong apply") from None
