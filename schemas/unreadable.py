"""Values that a source could not read (读不出的值), as texts that carry the reason.

A source hands over texts, and cannot refuse a single row. What it could not read without loss (an error of a formula,
a long number that a sheet has rounded) it hands over as a text that no item takes, because it holds NUL; the check
that refuses it then says what was wrong, instead of speaking of NUL. A stranger who writes such a text himself gets no
more than a sentence of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

UNREADABLE: Mapping[str, str] = MappingProxyType(
    {
        "error": "单元格是公式错误（如 #DIV/0!、#N/A），没有值",
        "formula": "单元格的公式没有保存计算结果，请用电子表格软件打开并保存一次",
        "digits": "超过 15 位的号码存成了数值，末尾数字已经丢失，请将该列设为文本后重新填写",
        "day": "单元格的日期序号不是一天",
        "nested": "是嵌套的对象或列表；如为子表行，请把该列写进挂接选项 nested",
        "text": "含有不成字符的编码",
        "document_name": "附件名应写成 文件名 或 文件夹/文件名，不能含上级目录、隐藏名或控制字符",
        "document_missing": "附件不在交换目录中，请放入后重新报送",
        "document_refused": "附件是符号链接、不是普通文件或没有读取权限，请换成文件本身",
        "document_large": "附件超过约定的大小",
        "document_kind": "附件的内容与其扩展名不符，或不在约定的种类（PDF、OFD、JPEG、PNG、TIFF）之内",
        "document_digest": "附件的摘要与所报的不符，请重新放入附件",
        "document_gone": "附件在平台暂存处已不在（过了保存期限或已丢失），请随数据重新报送",
        "document_naming": "文件名不符合约定的命名规则",
    }
)
"""What a value can be instead of one, and in words why."""


def unreadable(kind: str, value: str = "") -> str:
    """The text for a value that could not be read; ``value`` is what stood there, for the quarantine."""
    if kind not in UNREADABLE:
        raise ValueError(f"no such kind: {kind}")
    return f"\0{kind}\0{value}"


def why_unreadable(text: str) -> str | None:
    """In words why a text is none; None: it is not one of :func:`unreadable`."""
    if not text.startswith("\0"):
        return None
    return UNREADABLE.get(text[1:].partition("\0")[0])
