"""Codes of resources (政务信息资源代码): grammar, parts, the next one, and their use in names and addresses.

A code is 类(1) 项(2) 目(3) 细目(any number of digits) ``/`` 顺序号, as in ``101001001/0001``. The slash is
part of it: it is never a path separator, so it must be encoded wherever a path is written.
Provinces with a grammar of their own give their pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

PATTERN = r"^[123]\d{2}\d{3}\d*/\d+$"
CLASS_PATTERN = r"^[123](\d{2}(\d{3}\d*)?)?$"
LENGTH = 64
SEQUENCE_WIDTH = 4
_SEQUENCE_DIGITS = 18  # what a 64-bit number always holds


@dataclass(frozen=True)
class Code:
    """A code and its two parts.

    Attributes:
        text: The code whole.
        class_code: The part before the slash (前段码).
        sequence: The part after the slash as a number (顺序号); 0 where the local grammar has none.
    """

    text: str
    class_code: str
    sequence: int

    @property
    def levels(self) -> tuple[str, ...]:
        """The class codes from 类 down to 细目: ``1``, ``101``, ``101001``, ``101001001``."""
        return levels(self.class_code)


def levels(class_code: str) -> tuple[str, ...]:
    """The class codes above and including one, from 类 (1 digit), 项 (3), 目 (6) to 细目."""
    return tuple(dict.fromkeys(class_code[:end] for end in (1, 3, 6, len(class_code)) if end <= len(class_code)))


def split(text: str) -> Code:
    """Take a code apart, whatever its grammar; without a number after the slash it has no sequence."""
    class_code, slash, tail = text.partition("/")
    if not slash or not re.fullmatch(r"\d+", tail, re.ASCII):
        return Code(text, text, 0)
    return Code(text, class_code, int(tail))


def parse(text: str, pattern: str = PATTERN) -> Code | None:
    """Take a code apart, or None if it does not follow the grammar."""
    if len(text) > LENGTH or not re.fullmatch(pattern, text, re.ASCII):
        return None
    code = split(text)
    return code if code.sequence < 10**_SEQUENCE_DIGITS else None


def is_class(text: str) -> bool:
    """Whether a text is the code of a class, at any level."""
    return re.fullmatch(CLASS_PATTERN, text, re.ASCII) is not None


def following(class_code: str, last: int) -> str:
    """The code after the last one given out in a class; numbers are never given out twice."""
    return f"{class_code}/{last + 1:0{SEQUENCE_WIDTH}d}"


def file_name(code: str) -> str:
    """A file name for a code: ``101001001-0001``; no two codes share one."""
    return quote(code, safe="/").replace("-", "%2D").replace(".", "%2E").replace("/", "-")


def from_file_name(name: str) -> str:
    """The code a file name was made from."""
    return unquote(name.replace("-", "/"))


def address_part(code: str) -> str:
    """A code as one segment of a web address: ``101001001%2F0001``."""
    return quote(code, safe="")


def from_address_part(segment: str) -> str:
    """The code a segment of a web address was made from."""
    return unquote(segment)
