"""Documents (文件): what stands in a row for a file that travels with it.

A value of an item with ``document`` (附件) is one text that says which bytes are meant and what they are called:
``sha256:`` with 64 lower-case hexadecimal digits, the size in bytes, the name, with colons between. The bytes
themselves lie in the hub's spool under that digest and never in a record batch, whatever their size.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

PATTERN = r"^sha256:[0-9a-f]{64}:(0|[1-9][0-9]{0,14}):[^\x00-\x1f\x7f/\\]+$"
"""What a text must look like to stand for a document, for Arrow's matcher and Python's alike."""

_TEXT = re.compile(PATTERN.replace("$", r"\Z"))


@dataclass(frozen=True, slots=True)
class Document:
    """A file, known by its content (文件).

    Attributes:
        digest: SHA-256 of its bytes, 64 lower-case hexadecimal digits.
        size: Its bytes.
        name: What its provider calls it: a plain name, no path.
    """

    digest: str
    size: int
    name: str

    @classmethod
    def of(cls, text: str) -> Self:
        """The document that a text stands for.

        Raises:
            ValueError: The text stands for none.
        """
        if not _TEXT.match(text):
            raise ValueError("不是文件引用")
        _, digest, size, name = text.split(":", 3)
        return cls(digest, int(size), name)

    def text(self) -> str:
        """The value that stands for it in a row."""
        return f"sha256:{self.digest}:{self.size}:{self.name}"
