"""What is wrong with a row, and where: findings (问题), from a closed catalogue of rules.

A finding is no exception: bad data is expected, kept and shown to whoever can mend it. Its reason says
what was expected and what was found *about* the value (its length, its kind), never the value: reasons
go into logs and error columns, the value lies in the encrypted quarantine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from schemas import Item

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that a value can break (校验规则).

    Attributes:
        code: Name of the rule in logs, quarantine and receipts.
        title: Chinese title shown to people.
        remedy: What the provider's clerk should do.
        refuses: A row that breaks it is refused; otherwise it is kept with a state.
    """

    code: str
    title: str
    remedy: str
    refuses: bool = True


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.code: rule
        for rule in (
            Rule("type", "类型不符", "按信息项登记的类型改正源数据；如登记有误，请修改资源的信息项类型"),
            Rule("text", "文字无法表示", "删去空字符（NUL），或核对端点登记的字符集后重新推送"),
            Rule("key", "业务主键为空", "补全业务主键各信息项"),
            Rule("version", "版本为空", "补全版本信息项，更正数据时版本只增不减"),
            Rule("mandatory", "必填项为空", "补全必填信息项"),
            Rule("length", "超出长度", "缩短内容；如登记的长度过小，请修改资源的信息项长度"),
            Rule("scale", "小数位过多", "按登记的小数位数填写；如登记有误，请修改资源的信息项小数位"),
            Rule("code_list", "代码不在代码表中", "改用该来源代码表中的代码；如代码表已更新，请联系平台"),
            Rule(
                "original",
                "须核对原件",
                "由窗口人员核对原件，相符的改为核对后的等级（证照为 B 级）重新报送，或在隔离区更正",
            ),
            Rule("document", "附件有误", "核对附件和所报的附件名、摘要，放入交换目录后重新报送"),
            Rule("identity_number", "公民身份号码有误", "核对证件后更正（GB 11643，18 位）"),
            Rule("credit_code", "统一社会信用代码有误", "核对登记证书后更正（GB 32100，18 位）"),
            Rule("project_code", "投资项目代码有误", "核对在线审批监管平台赋码后更正（GB/T 40058）"),
            Rule("licence_identifier", "电子证照标识有误", "核对证照目录后更正（GB/T 36904）"),
            Rule("conflict", "同版本内容不一致", "内容有改动时提高版本后重新推送"),
            Rule("outdated", "无从判断先后", "在来源端更正后重新推送，或给资源登记版本项"),
            Rule("reference", "引用的事项未登记", "先登记被引用的事项；本行已保留，登记后自动关联", refuses=False),
        )
    }
)
"""Every rule there is, by its code."""


KEPT = tuple(code for code, rule in RULES.items() if not rule.refuses)
"""Rules that keep the row and give it a state (保留待关联)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule broken by one row.

    Attributes:
        row: Number of the row in its batch, from 0.
        item: Name of the item, None if it concerns the whole row.
        rule: Code of the rule, a key of :data:`RULES`.
        reason: What was expected and found, in a sentence for the clerk; never the value.
    """

    row: int
    item: str | None
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule broken by several values of a column; reasons for all of them or one for each."""

    rule: str
    rows: Rows
    reasons: str | Sequence[str]


class Sheet:
    """The findings of one batch in the making (校验单): at most one for each cell.

    Args:
        rows: How many rows the batch has.
        spared: Rows of which only ``kept`` items are looked at: deletions.
        kept: Names of the items looked at in every row: key and version.
    """

    def __init__(self, rows: int, spared: Mask, kept: Collection[str | None]) -> None:
        self._rows = rows
        self._spared = spared
        self._kept = kept
        self._faulty: dict[str | None, Mask] = {}
        self._findings: list[Finding] = []
        self.accepted: Mask = np.ones(rows, np.bool_)
        """Rows without a finding that refuses them."""

    def recall(self, findings: Iterable[Finding]) -> None:
        """Take note of what was found before, so that no cell is found twice."""
        for finding in findings:
            self._faults(finding.item)[finding.row] = True
            if RULES[finding.rule].refuses:
                self.accepted[finding.row] = False

    def add(self, item: Item, fault: Fault) -> None:
        """Note what is wrong with values of an item, each named by its Chinese label."""
        faulty = self._faults(item.name)
        skipped = faulty[fault.rows]
        if item.name not in self._kept:
            skipped = skipped | self._spared[fault.rows]
        faulty[fault.rows] = True
        if RULES[fault.rule].refuses:
            self.accepted[fault.rows[~skipped]] = False
        same = isinstance(fault.reasons, str)
        for place in np.flatnonzero(~skipped).tolist():
            reason = fault.reasons if same else fault.reasons[place]
            self._findings.append(Finding(int(fault.rows[place]), item.name, fault.rule, f"{item.label}：{reason}"))

    def add_within(self, findings: Iterable[Finding]) -> None:
        """Note what is wrong inside a value that is made of many, as it is told."""
        for finding in findings:
            if not self._spared[finding.row]:
                self.accepted[finding.row] = False
                self._findings.append(finding)

    def findings(self) -> list[Finding]:
        """Everything noted here, by row."""
        return sorted(self._findings, key=lambda finding: finding.row)

    def _faults(self, item: str | None) -> Mask:
        return self._faulty.setdefault(item, np.zeros(self._rows, np.bool_))
