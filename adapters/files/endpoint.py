"""The kind ``files``: a directory of this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import field_validator

from adapters.base import (
    Binding,
    Capabilities,
    Endpoint,
    FoundColumn,
    FoundObject,
    Options,
    Probe,
    Sink,
    Source,
)
from adapters.errors import AdapterError, Malformed, Misconfigured, Unsupported
from adapters.files.formats.csv import CsvReader, Encoding, Layout
from adapters.files.sink import FilesSink, SinkOptions, checked, unbound
from adapters.files.source import FilesSource, SourceOptions
from adapters.files.transports.local import LocalDirectory
from adapters.options import read_options

SHOWN = 100
"""Files shown by :meth:`FilesEndpoint.inspect`, the last by name."""

_CAPABILITIES = Capabilities(
    way="file",
    captures=frozenset({"snapshot", "batches"}),
    delivers=True,
    # The staged file's rename is the commit, and the ledger answers by that same rename.
    transactional=True,
    merges=False,
    settles=True,
)


class FilesEndpointOptions(Options):
    """Options of the kind ``files``.

    Attributes:
        root: The directory, absolute.
    """

    root: Path

    @field_validator("root")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError("应为绝对路径")
        return value


class FilesEndpoint(Endpoint):
    """A directory that a department drops files in, or takes them from."""

    kind: ClassVar[str] = "files"
    options_type: ClassVar[type[Options]] = FilesEndpointOptions

    def __init__(self, options: Any, *, zone: str = "Asia/Shanghai") -> None:
        self._options: FilesEndpointOptions = options
        self._zone = zone

    @property
    def capabilities(self) -> Capabilities:
        """Batches and snapshots in, files of changes out."""
        return _CAPABILITIES

    def identity(self) -> str:
        """The directory, links followed."""
        return f"{self.kind} {os.path.realpath(self._options.root)}"

    def test(self) -> list[Probe]:
        """Is the directory there, can it be listed, can files be made in it."""
        directory = self._directory()
        root = self._options.root
        if not directory.readable():
            return [Probe("列出目录", passed=False, detail=f"{root} 不存在或不能列出", remedy="建立目录并给予读取权限")]
        return [
            Probe("列出目录", passed=True, detail=f"{root} 内有 {len(directory.listing('*.csv'))} 个 CSV 文件"),
            Probe("写入目录", passed=True)
            if directory.writable()
            else Probe(
                "写入目录", passed=False, detail=f"{root} 不能写入", remedy="交付、移走已读文件和退回清单都需要写入权限"
            ),
        ]

    def inspect(self, object: str | None = None) -> list[FoundObject]:
        """The CSV files with their headers; under a pattern, its last file."""
        directory = self._directory()
        entries = directory.listing(object or "*.csv")[-1 if object else -SHOWN :]
        return [
            FoundObject(
                object or entry.name,
                tuple(FoundColumn("".join(text.split()), "C") for text in self._header(directory, entry.name)),
                label=entry.name,
            )
            for entry in entries
        ]

    def check(self, binding: Binding, schema: pa.Schema, *, sink: bool) -> list[str]:
        """Pattern, options and, for a source, the header of the last file."""
        try:
            if sink:
                self._sink_options(binding)
                self._directory().listing("*.csv")
                return unbound(binding, schema)
            source = FilesSource(self._directory(), binding, self._source_options(binding))
            header = source.header()
            if header is not None:
                source.places(header, binding.object)
        except AdapterError as error:
            return [f"{error.message}（{error.remedy}）" if error.remedy else error.message]
        return []

    def source(self, binding: Binding) -> Source:
        """Read the files of a pattern."""
        return FilesSource(self._directory(), binding, self._source_options(binding))

    def sink(self, binding: Binding) -> Sink:
        """Deliver files named after a pattern."""
        return FilesSink(self._directory(), binding, self._sink_options(binding))

    def _source_options(self, binding: Binding) -> SourceOptions:
        if binding.capture not in _CAPABILITIES.captures:
            raise Unsupported(f"文件端点不能以 {binding.capture} 方式读取", remedy="改用 batches 或 snapshot")
        _refuse_profile(binding)
        return read_options(SourceOptions, binding.options, "文件挂接")

    def _sink_options(self, binding: Binding) -> SinkOptions:
        _refuse_profile(binding)
        options = read_options(SinkOptions, binding.options, "文件挂接")
        checked(binding, options)
        return options

    def _directory(self) -> LocalDirectory:
        return LocalDirectory(self._options.root)

    def _header(self, directory: LocalDirectory, name: str) -> tuple[str, ...]:
        encodings: tuple[Encoding, ...] = ("utf-8", "gb18030")
        for encoding in encodings:
            try:
                return CsvReader(directory.chunks(name), name, Layout(encoding)).header
            except Malformed:
                continue
        return ()


def _refuse_profile(binding: Binding) -> None:
    if binding.profile is not None:
        raise Misconfigured("文件端点没有前置库表族", remedy="从挂接中去掉 profile")
