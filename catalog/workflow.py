"""States of a registration and the moves between them, as one table (注册与发布流程).

Registering, approving the registration (注册审核, by the department's own approver) and approving the
publication (发布审核, by the centre) are three parts, and nobody plays two of them in one version.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from catalog.errors import SamePerson, WrongState

State = Literal[
    "draft",
    "returned",
    "registration_rejected",
    "discarded",
    "registering",
    "registered",
    "publishing",
    "publication_rejected",
    "withdrawn",
    "superseded",
    "published",
]
Action = Literal[
    "add",
    "update",
    "discard",
    "submit_registration",
    "agree_registration",
    "reject_registration",
    "return_registration",
    "submit_publication",
    "agree_publication",
    "reject_publication",
    "return_publication",
    "recall",
    "withdraw",
    "supersede",
    "revise",
]
Part = Literal["provider", "registration", "publication"]

PARTS: dict[Part, str] = {"provider": "编目登记", "registration": "注册审核", "publication": "发布审核"}


class StateTerm(NamedTuple):
    """A state in words, with the number products of the field give it, if they know it."""

    number: int | None
    label: str


STATES: dict[State, StateTerm] = {
    "draft": StateTerm(0, "草稿"),
    "returned": StateTerm(1, "退回修改"),
    "registration_rejected": StateTerm(2, "注册审核拒绝"),
    "discarded": StateTerm(None, "作废"),
    "registering": StateTerm(10, "待注册审核"),
    "registered": StateTerm(19, "已注册"),
    "publishing": StateTerm(20, "待发布审核"),
    "publication_rejected": StateTerm(22, "发布审核拒绝"),
    "withdrawn": StateTerm(23, "下架"),
    "superseded": StateTerm(None, "已被新版本替代"),
    "published": StateTerm(29, "发布"),
}


@dataclass(frozen=True)
class Move:
    """One kind of move.

    Attributes:
        label: Its Chinese term.
        part: Whose work it is.
        targets: From which states it leads, and where; None is: nothing there yet.
        opens: It leaves the version as it is and opens the next one in the target state.
        needs_opinion: It must be said why.
        follows: It is nobody's own move but follows from another.
    """

    label: str
    part: Part
    targets: dict[State | None, State]
    opens: bool = False
    needs_opinion: bool = False
    follows: bool = False


MOVES: dict[Action, Move] = {
    "add": Move("登记", "provider", {None: "draft"}),
    "update": Move(
        "修改",
        "provider",
        {
            "draft": "draft",
            "returned": "returned",
            "registration_rejected": "draft",
            "registered": "draft",
            "publication_rejected": "draft",
        },
    ),
    "discard": Move(
        "作废",
        "provider",
        {
            "draft": "discarded",
            "returned": "discarded",
            "registration_rejected": "discarded",
            "registered": "discarded",
            "publication_rejected": "discarded",
        },
    ),
    "submit_registration": Move("提交注册", "provider", {"draft": "registering", "returned": "registering"}),
    "agree_registration": Move("注册审核通过", "registration", {"registering": "registered"}),
    "reject_registration": Move(
        "注册审核拒绝", "registration", {"registering": "registration_rejected"}, needs_opinion=True
    ),
    "return_registration": Move("注册退回修改", "registration", {"registering": "returned"}, needs_opinion=True),
    "submit_publication": Move(
        "提交发布",
        "provider",
        {"registered": "publishing", "publication_rejected": "publishing", "withdrawn": "publishing"},
    ),
    "agree_publication": Move("发布审核通过", "publication", {"publishing": "published"}),
    "reject_publication": Move(
        "发布审核拒绝", "publication", {"publishing": "publication_rejected"}, needs_opinion=True
    ),
    "return_publication": Move("发布退回修改", "publication", {"publishing": "returned"}, needs_opinion=True),
    "recall": Move("撤回", "provider", {"registering": "draft", "publishing": "registered"}),
    "withdraw": Move("下架", "publication", {"published": "withdrawn"}, needs_opinion=True),
    "supersede": Move("替代", "publication", {"published": "superseded"}, follows=True),
    "revise": Move("变更", "provider", {"published": "draft", "withdrawn": "draft", "discarded": "draft"}, opens=True),
}

EDITABLE: frozenset[State] = frozenset(state for state in MOVES["update"].targets if state is not None)
CLOSED: frozenset[State] = frozenset(state for state in MOVES["revise"].targets if state is not None)
"""States of a version that is finished with: the next change opens another."""


def move(state: State | None, action: Action) -> State:
    """The state an action leads to.

    Raises:
        WrongState: the action does not start from this state; says which do.
    """
    wanted = MOVES[action]
    if state in wanted.targets:
        return wanted.targets[state]
    here = STATES[state].label if state else "未登记"
    starts = "、".join(STATES[start].label if start else "未登记" for start in wanted.targets)
    possible = "、".join(MOVES[other].label for other in actions(state))
    raise WrongState(
        f"“{here}”的资源不能{wanted.label}",
        remedy=f"{wanted.label}只用于{starts}；现在可以：{possible or '无'}",
    )


def actions(state: State | None) -> tuple[Action, ...]:
    """What people can do from a state."""
    return tuple(action for action, wanted in MOVES.items() if state in wanted.targets and not wanted.follows)


def require_other_person(action: Action, actor: str, earlier: Iterable[tuple[str, str]]) -> None:
    """Refuse an action to somebody who had another part in the same version.

    Args:
        action: What is to be done.
        actor: Who wants to do it.
        earlier: Actor and part of every move made so far.

    Raises:
        SamePerson: the actor had another part.
    """
    wanted = MOVES[action]
    had = {part for who, part in earlier if who == actor and part != wanted.part}
    if had:
        names = "、".join(label for part, label in PARTS.items() if part in had)
        raise SamePerson(
            f"{actor}办过本版本的{names}，不能再{wanted.label}",
            remedy="登记、注册审核、发布审核由三个不同的人办理，请由他人办理",
        )
