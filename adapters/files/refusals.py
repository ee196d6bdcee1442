"""The list of refused lines (退回清单) that stands beside a provider's file."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from adapters.errors import Malformed
from adapters.files.formats.csv import CsvReader, Encoding, Layout, encode, header
from adapters.files.transports.base import Directory, fitted

LARGEST = 256 << 20
"""Bytes of a list at most; one that is larger is begun anew."""
HEADER = ("行号", "原因", "文件指纹")


def report_name(name: str) -> str:
    """The name of the list that belongs to a file."""
    return fitted(name, ".refused.csv")


class Refusals:
    """The refused lines of all files that came under one name, until the provider removes the list.

    Args:
        directory: Where the file lies.
        name: The file's name.
        encoding: The encoding of the provider's files, which its programs read.
    """

    def __init__(self, directory: Directory, name: str, encoding: Encoding) -> None:
        self._directory = directory
        self._name = report_name(name)
        # Spreadsheet programs take UTF-8 for GBK unless it is marked.
        self._layout = Layout("utf-8-sig" if encoding.startswith("utf-8") else "gb18030")

    def add(self, digest: str, refused: Mapping[int, str]) -> int:
        """Add lines of the file with this digest, line 0 for the whole; answers how many were not listed so."""
        if not refused:
            return 0
        listed = self._listed()
        new = {(digest, line): reason for line, reason in refused.items()}
        changed = sum(listed.get(place) != reason for place, reason in new.items())
        if changed:
            rows = sorted((listed | new).items())
            batch = pa.record_batch(
                [
                    pa.array([str(line) for (_, line), _ in rows]),
                    pa.array([reason for _, reason in rows]),
                    pa.array([mark for (mark, _), _ in rows]),
                ],
                names=list(HEADER),
            )
            self._directory.write(self._name, header(HEADER, self._layout) + encode(batch, self._layout))
        return changed

    def _listed(self) -> dict[tuple[str, int], str]:
        try:
            content = self._directory.read(self._name, most=LARGEST)
            if content is None:
                return {}
            reader = CsvReader([content], self._name, self._layout)
            rows = [row for _, batch in reader.batches(range(len(HEADER))) for row in batch.to_pylist()]
            if reader.header != HEADER:
                return {}
            return {(row["2"], int(row["0"])): row["1"] for row in rows}
        except (Malformed, ValueError, TypeError, IndexError):
            # The provider may do with his list what he likes; it is made again.
            return {}
