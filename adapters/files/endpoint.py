"""The kind ``files``: a directory of this machine, or on a department's SFTP server."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, SecretStr, field_validator, model_validator

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
from adapters.files.formats.base import FormatName
from adapters.files.options import FORMATS, Chosen, choose, told_by
from adapters.files.refusals import report_name
from adapters.files.sink import FilesSink, SinkOptions, checked, unbound
from adapters.files.source import FilesSource, SourceOptions
from adapters.files.transports.base import Directory, Entry, Strange
from adapters.files.transports.local import LocalDirectory
from adapters.files.transports.place import Names, Place
from adapters.files.transports.sftp import SftpDirectory
from adapters.files.transports.ssh import Login
from adapters.files.wrapping import ENDINGS, unwrapped

SHOWN = 100
"""Files shown by :meth:`FilesEndpoint.inspect`, the last by name."""

_CAPABILITIES = Capabilities(
    way="file",
    captures=frozenset({"snapshot", "batches"}),
    notes=frozenset({"batches"}),
    delivers=True,
    # The staged file's rename is the commit, and the ledger answers by that same rename.
    transactional=True,
    merges=False,
    settles=True,
    documents=True,
    answers=True,
    recalls=True,
)


_SSH_PORT = 22
_LOGIN = (
    "port", "host_key", "known_hosts", "key", "passphrase", "password", "connections", "connect", "idle", "keepalive",
)  # fmt: skip


class FilesEndpointOptions(Options):
    """Options of the kind ``files``.

    Attributes:
        root: The directory, absolute; on an SFTP server as its users see it.
        transport: ``local`` or ``sftp``; what follows belongs to the latter.
        host: The server.
        port: Its port.
        user: The account there.
        host_key: Public keys of the server, one a line (``ssh-ed25519 AAAA…``); no other is ever trusted.
        known_hosts: A file of them in OpenSSH's form, in the place of ``host_key``.
        key: Our private key.
        passphrase: What opens it, if it is protected.
        password: The account's password, in the place of a key or after it.
        connections: How many connections at once.
        connect: Seconds until a connection must stand.
        idle: Seconds of silence after which a connection is lost.
        total: Seconds that one transfer may take.
        keepalive: Seconds between signs of life.
        lease: Seconds that a holder of the directory's lock may be silent.
        names: The encoding of names on the server.
    """

    root: Path
    transport: Literal["local", "sftp"] = "local"
    host: str | None = None
    port: int = Field(_SSH_PORT, ge=1, le=65535)
    user: str | None = None
    host_key: str | None = None
    known_hosts: Path | None = None
    key: SecretStr | None = None
    passphrase: SecretStr | None = None
    password: SecretStr | None = None
    # One more than a transfer needs: the lock beats on a connection of its own.
    connections: int = Field(4, ge=2, le=32)
    connect: float = Field(15.0, gt=0, le=600)
    idle: float = Field(60.0, gt=0, le=3600)
    total: float = Field(14400.0, gt=0, le=7 * 86400)
    keepalive: int = Field(15, ge=1, le=3600)
    lease: float = Field(30.0, ge=0.5, le=600)
    names: Names = "utf-8"

    @field_validator("root")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError("应为绝对路径")
        return value

    @model_validator(mode="after")
    def _fits_the_transport(self) -> FilesEndpointOptions:
        if self.transport == "local":
            if strange := sorted(self.model_fields_set - {"root", "transport"}):
                raise ValueError(f"{'、'.join(strange)} 只用于 transport: sftp")
            return self
        missing = [name for name in ("host", "user") if not getattr(self, name)]
        if missing:
            raise ValueError(f"sftp 还需要 {'、'.join(missing)}")
        if (self.host_key is None) == (self.known_hosts is None):
            raise ValueError("host_key 和 known_hosts 应写其一")
        if self.key is None and self.password is None:
            raise ValueError("应以引用写入 key 或 password")
        if ".." in self.root.parts:
            raise ValueError("root 不能含 ..")
        return self


class FilesEndpoint(Endpoint):
    """A directory that a department drops files in, or takes them from.

    ``transport`` says where it is; everything above knows only the port.
    """

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
        """The directory, links followed where they can be without going there."""
        if self._options.transport == "sftp":
            login = self._login()
            return f"{self.kind} sftp://{login.user}@{login.host.lower()}:{login.port}{self._options.root}"
        return f"{self.kind} {os.path.realpath(self._options.root)}"

    def dataset(self, object: str) -> tuple[str, str]:
        """``file``, with the server if there is one, and the pattern under its directory."""
        options = self._options
        port = "" if options.port == _SSH_PORT else f":{options.port}"
        server = f"://{options.host}{port}" if options.transport == "sftp" else ""
        return f"file{server}", str(options.root / object)

    def test(self) -> list[Probe]:
        """Try what a run will need of the directory."""
        directory = self._directory()
        found = directory.probes()
        if all(probe.passed for probe in found):
            count = sum(_is_data(entry.name) for entry in directory.entries("*", _passed_over))
            found.append(Probe("数据文件", passed=True, detail=f"认得 {count} 个数据文件"))
        return found

    def inspect(self, object: str | None = None) -> list[FoundObject]:
        """The data files with their headers; under a pattern, its last file."""
        directory = self._directory()
        entries = directory.listing(object, _passed_over) if object else _data_files(directory)
        entries = entries[-1 if object else -SHOWN :]
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
                self._directory().listing(binding.object, _passed_over)
                return unbound(binding, schema)
            source = FilesSource(self._directory(), binding, self._source_options(binding))
            header = source.header()
            # A file without records may have no header either, where records name their own columns.
            if header:
                source.places(header, binding.object)
        except AdapterError as error:
            return [f"{error.message}（{error.remedy}）" if error.remedy else error.message]
        return []

    def source(self, binding: Binding) -> Source:
        """Read the files of a pattern."""
        return FilesSource(self._directory(), binding, self._source_options(binding), self.scratch, self.documents)

    def sink(self, binding: Binding) -> Sink:
        """Deliver files named after a pattern."""
        return FilesSink(self._directory(), binding, self._sink_options(binding), self.documents)

    def _source_options(self, binding: Binding) -> Chosen[SourceOptions]:
        if binding.capture not in _CAPABILITIES.captures:
            raise Unsupported(f"文件端点不能以 {binding.capture} 方式读取", remedy="改用 batches 或 snapshot")
        _refuse_profile(binding)
        return choose(SourceOptions, binding, sink=False)

    def _sink_options(self, binding: Binding) -> Chosen[SinkOptions]:
        _refuse_profile(binding)
        chosen = choose(SinkOptions, binding, sink=True)
        checked(binding, chosen.options)
        return chosen

    def _directory(self) -> Directory:
        options = self._options
        if options.transport == "local":
            return LocalDirectory(options.root)
        place = Place(self._login(), options.names, options.total, options.lease)
        return SftpDirectory(place, str(options.root).encode(options.names))

    def _login(self) -> Login:
        options = self._options
        return Login(
            host=options.host or "",
            user=options.user or "",
            **{name: getattr(options, name) for name in _LOGIN},
        )

    def _header(self, directory: Directory, name: str) -> tuple[str, ...]:
        wrapper, found = told_by(name)
        format = FORMATS[found]  # noqa: A001 - the field's own word
        for options in _GUESSES.get(found, ({},)):
            try:
                chunks = unwrapped(directory.chunks(name), wrapper, name, packed=format.packed)
                with closing(format.reader(chunks, name, format.reading.model_validate(options))) as reader:
                    return reader.header
            except Malformed:
                continue
        return ()


_GUESSES: dict[FormatName, tuple[dict[str, Any], ...]] = {"csv": ({"encoding": "utf-8"}, {"encoding": "gb18030"})}
"""Options that are tried one after another on a file that nobody has described yet."""


_AROUND = ("", *ENDINGS)


def _passed_over(_name: Strange) -> None:
    """A name that must not be touched, a link for one, concerns nobody who only looks."""


_ENDINGS = tuple(f"{ending}{around}" for each in FORMATS.values() for ending in each.endings for around in _AROUND)


def _is_data(name: str) -> bool:
    """Whether a name ends as those of some format do; lists of refused lines are ours."""
    return name.casefold().endswith(_ENDINGS) and not name.endswith(report_name(""))


def _data_files(directory: Directory) -> list[Entry]:
    """The files that are data by their names."""
    found = (each for each in directory.listing("*", _passed_over) if _is_data(each.name))
    return sorted(found, key=lambda entry: entry.name)


def _refuse_profile(binding: Binding) -> None:
    if binding.profile is not None:
        raise Misconfigured("文件端点没有前置库表族", remedy="从挂接中去掉 profile")
