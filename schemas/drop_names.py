"""What documents are called where they are delivered (交付文件名): as their providers call them, where that is safe.

A delivery's documents lie in one folder of a stranger's, on a file system and under programs that nobody knows. So a
name is made that every one of them takes: no character that is special somewhere, no name that a system keeps for
itself, at most 255 bytes in UTF-8 and in GB 18030, and none that differs from an earlier one by upper and lower case
alone. The same documents in the same order get the same names, so that whoever keeps the books and whoever writes the
files need not tell each other.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

LONGEST = 255
_STRANGE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?")
_ENDING = re.compile(r"\.[^. ]{1,16}\Z")


class DropNames:
    """The names of one delivery's documents, in the order in which they are asked for."""

    def __init__(self) -> None:
        # A hash of each name is enough: two of them taken for one only get a number that was not needed.
        self._numbers: dict[bytes, int] = {}

    def name(self, wanted: str) -> str:
        """A name for a document that its provider calls so."""
        safe = safe_name(wanted)
        number = self._numbers.get(_mark(safe), 0)
        if not number:
            self._numbers[_mark(safe)] = 1
            return safe
        while True:
            number += 1
            name = _fitted(safe, f"-{number}")
            if _mark(name) not in self._numbers:
                self._numbers[_mark(safe)] = number
                self._numbers[_mark(name)] = 1
                return name


def safe_name(wanted: str) -> str:
    """A name that every system takes."""
    name = _STRANGE.sub("_", unicodedata.normalize("NFC", wanted)).rstrip(". ").lstrip(" ")
    if not name or name.startswith(".") or _RESERVED.fullmatch(name):
        name = f"_{name}"
    return _fitted(name, "")


def _fitted(name: str, addition: str) -> str:
    """The name with an addition before its ending, cut to what fits."""
    found = _ENDING.search(name)
    ending = found[0] if found and found.start() else ""
    stem = name.removesuffix(ending)
    while stem and _bytes(stem + addition + ending) > LONGEST:
        stem = stem[:-1]
    return f"{stem.rstrip() or '_'}{addition}{ending}"


def _bytes(name: str) -> int:
    return max(len(name.encode()), len(name.encode("gb18030")))


def _mark(name: str) -> bytes:
    return hashlib.blake2b(unicodedata.normalize("NFKC", name).casefold().encode(), digest_size=12).digest()
