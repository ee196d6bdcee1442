"""What a binding may say about files, whether they are read or written."""

from __future__ import annotations

from pydantic import field_validator

from adapters.base import Options
from adapters.files.formats.csv import Encoding


class FileOptions(Options):
    """How files are written.

    Attributes:
        encoding: ``utf-8``, ``utf-8-sig``, ``gb18030`` or ``gbk``; a mark of byte order is read with each.
        delimiter: One character between fields.
    """

    encoding: Encoding = "utf-8"
    delimiter: str = ","

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        if len(value) != 1 or not value.isascii() or value.isalnum() or value in '"\r\n\0.-+':
            raise ValueError("应为一个 ASCII 符号，不能是引号、字母、数字、正负号或小数点")
        return value
