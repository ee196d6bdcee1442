"""What somebody asks for by name: made safe to look up, and answered with what is near if unknown."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from catalog.errors import Problem, Rejected, UnknownEntry
from catalog.model import shown, unseen

NAME_LENGTH = 128
OPINION_LENGTH = 2000


def askable(text: str, length: int = NAME_LENGTH) -> bool:
    """Whether a text can be a name at all; what cannot be stored is not looked up either."""
    return 0 < len(text) <= length and not unseen(text)


def unknown(kind: str, text: str, known: Iterable[str]) -> UnknownEntry:
    """The error for a name nothing is registered under."""
    alike = get_close_matches(text[:NAME_LENGTH], list(known), n=3, cutoff=0.6)
    return UnknownEntry(f"没有登记{kind}“{shown(text)}”", alike)


def require_person(actor: str, opinion: str, department: str | None = None) -> None:
    """Refuse an actor without a name, or an opinion or department that cannot be kept.

    Raises:
        Rejected: says which.
    """
    found = []
    if not askable(actor.strip(), 64):
        found.append(Problem("办理人", "为空、过长或含看不见的字符", "1 至 64 字的姓名"))
    if department is not None and not askable(department, 18):
        found.append(Problem("办理人 › 所在部门", "不是部门代码", "写统一社会信用代码"))
    if len(opinion) > OPINION_LENGTH or unseen(opinion, lines=True):
        found.append(Problem("意见", "过长或含看不见的字符", f"至多 {OPINION_LENGTH} 字"))
    if found:
        raise Rejected("办理信息有误", found)
