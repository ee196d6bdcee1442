"""The errors of the hub: one tree, as its description draws it, and what each says."""

from __future__ import annotations

import inspect
import re

import pytest

from exchange import errors
from exchange.cli.root import HELP
from exchange.errors import (
    Busy,
    Denied,
    Failed,
    Held,
    HubError,
    Invalid,
    Misplaced,
    Overtaken,
    Problem,
    Red,
    Tampered,
    Unavailable,
    Unknown,
)

SORTS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, HubError) and kind.__module__ == errors.__name__
]


def drawn() -> dict[str, int]:
    """The tree in the description of the module: names and exit statuses."""
    found = re.findall(r"^ +[│ ]*[├└]── (\w+) +(\d+) ", errors.__doc__ or "", re.MULTILINE)
    return {name: int(status) for name, status in found}


def test_the_tree_is_as_it_is_drawn() -> None:
    assert drawn() == {kind.__name__: kind.status for kind in SORTS if kind is not HubError}
    assert len(drawn()) == 11


def test_every_sort_has_a_status_of_its_own() -> None:
    # A finer sort within one is answered in the same way.
    statuses = [kind.status for kind in SORTS if HubError in (kind, *kind.__bases__)]
    assert len(set(statuses)) == len(statuses) == 9
    assert HubError.status == 1
    assert all(0 < status < 126 for status in statuses), "the others mean something to a shell"


def test_the_command_line_explains_every_status() -> None:
    explained = {int(status) for status in re.findall(r"(\d+) [\u4e00-\u9fff]", HELP)}
    assert explained == {0, *(kind.status for kind in SORTS)}


@pytest.mark.parametrize("kind", SORTS, ids=lambda kind: kind.__name__)
def test_each_is_caught_as_an_error_of_the_hub_and_as_nothing_else(kind: type[HubError]) -> None:
    above = {HubError: Exception, Held: Misplaced, Overtaken: Misplaced, Unavailable: Failed}
    assert kind.__mro__[1] is above.get(kind, HubError)
    with pytest.raises(HubError) as raised:
        raise kind("库里没有这一行", remedy="先登记")
    assert str(raised.value) == raised.value.message == "库里没有这一行"
    assert raised.value.remedy == "先登记"
    assert raised.value.status == kind.status
    assert kind("没有").remedy == ""


def test_what_may_heal_by_itself_says_so() -> None:
    assert {kind for kind in SORTS if kind.retry} == {Busy}
    assert not Failed("端点不可用").retry
    assert Failed("端点不可用", retry=True).retry
    assert not Failed("另一个端点").retry, "it is said of one error, not of all"


def test_everything_wrong_is_listed_at_once() -> None:
    problems = [Problem("资源 1 › 长度", "应为整数"), Problem("资源 2", "重复", "删去一个")]
    error = Invalid("登记有误", problems, remedy="改正后重新登记")
    assert error.problems == tuple(problems)
    problems.clear()
    assert len(error.problems) == 2
    assert Invalid("登记有误").problems == ()


def test_every_reason_is_given() -> None:
    error = Denied("不能执行", ["授权已撤销", "期限已过"])
    assert error.reasons == ("授权已撤销", "期限已过")
    assert Denied("不能执行").reasons == ()


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (
            Problem("资源 101001001/0001 › 信息项 3 › 长度", "应为整数"),
            "资源 101001001/0001 › 信息项 3 › 长度: 应为整数",
        ),
        (Problem("端点 a", "没有选项 pth", "是否指 path"), "端点 a: 没有选项 pth（是否指 path）"),
    ],
)
def test_a_problem_says_where_what_and_the_remedy(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_a_problem_is_a_value() -> None:
    assert Problem("甲", "乙") == Problem("甲", "乙", "")
    assert len({Problem("甲", "乙"), Problem("甲", "乙"), Problem("甲", "丙")}) == 2
    with pytest.raises(AttributeError):
        Problem("甲", "乙").message = "丙"  # type: ignore[misc]


def test_no_two_sorts_hide_each_other() -> None:
    """What is refused by rule is not what stands at the wrong place, and so on."""
    leaves = (Invalid, Denied, Unknown, Misplaced, Busy, Red, Failed, Tampered)
    assert not [(one, other) for one in leaves for other in leaves if one is not other and issubclass(one, other)]
