"""Why somebody does something (理由): words that stand in the log and that others read."""

from __future__ import annotations

from collections.abc import Sequence

from exchange.errors import Invalid, Problem

LONGEST = 500
"""Characters of a reason."""


def read_reason(text: str, what: str, *, besides: Sequence[Problem] = ()) -> str:
    """A reason as it is kept: on one line.

    Args:
        text: As it was written.
        what: What it is to be the reason of, for the message.
        besides: What else is wrong with it; told together.

    Raises:
        Invalid: There is none, or nobody could read it, or something else is wrong.
    """
    why = " ".join(text.split())
    problems = list(besides)
    if not why or len(why) > LONGEST or not why.isprintable():
        problems.insert(0, Problem("理由", f"须说明理由，不超过 {LONGEST} 个可见字符"))
    if problems:
        raise Invalid(f"不能{what}", problems)
    return why
