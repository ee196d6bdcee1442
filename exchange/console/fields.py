"""What is wrong with a form, beside its fields (字段旁的问题)."""

from __future__ import annotations

from collections.abc import Mapping

from exchange.errors import HubError


def beside(error: HubError | None, labels: Mapping[str, str]) -> dict[str, str]:
    """Field to what is wrong with it.

    Args:
        error: Why the form was not taken; None: there is nothing wrong yet.
        labels: Name of each field to its label: a problem names either at its end.
    """
    found: dict[str, str] = {}
    for problem in getattr(error, "problems", ()):
        last = problem.where.rpartition("›")[2].strip()
        name = next((name for name, label in labels.items() if last in (name, label)), None)
        if name is not None:
            told = problem.message + (f"（{problem.remedy}）" if problem.remedy else "")
            found[name] = f"{found[name]}；{told}" if name in found else told
    return found
