"""The kind ``webservice``: a department's SOAP service."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pyarrow as pa
from pydantic import Field, SecretStr, field_validator, model_validator

from adapters.base import Binding, Capabilities, Endpoint, FoundObject, Options, Probe, Sink, Source
from adapters.errors import AdapterError, Misconfigured, Unsupported
from adapters.options import read_options
from adapters.webservice.client import ServiceClient
from adapters.webservice.contract import Operation
from adapters.webservice.http import Limits, Line
from adapters.webservice.paging import PageOptions
from adapters.webservice.source import WebServiceSource, shape_of

_CAPABILITIES = Capabilities(way="webservice", captures=frozenset({"snapshot", "batches"}))


class WebServiceOptions(Options):
    """Options of the kind ``webservice``.

    Attributes:
        url: Address of the WSDL.
        address: Address of the service, where it is not the one in the WSDL; always when that is on another host.
        service: Service of the WSDL, if it has several.
        port: Port of the service, if it has several.
        timeout: Seconds for one call, from connecting to the last byte.
        largest: Bytes of the largest answer that is taken.
        user: User for basic authentication.
        password: Its password.
        ca: File of the certificates to trust, where the public ones are not meant.
    """

    url: str
    address: str | None = None
    service: str | None = None
    port: str | None = None
    timeout: float = Field(60.0, gt=0, le=3600)
    largest: int = Field(32 << 20, ge=1 << 10, le=1 << 30)
    user: str | None = None
    password: SecretStr | None = None
    ca: Path | None = None

    @field_validator("url", "address")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("应为 http 或 https 地址")
            if parts.username or parts.password:
                raise ValueError("地址里不写用户和口令，用 user 和 password 选项")
        return value

    @model_validator(mode="after")
    def _both_or_neither(self) -> WebServiceOptions:
        if (self.user is None) != (self.password is None):
            raise ValueError("user 和 password 要么都写，要么都不写")
        return self


class WebServiceEndpoint(Endpoint):
    """A service described by a WSDL."""

    kind: ClassVar[str] = "webservice"
    options_type: ClassVar[type[Options]] = WebServiceOptions

    def __init__(self, options: Any, *, zone: str = "Asia/Shanghai") -> None:
        self._options: WebServiceOptions = options
        self._zone = zone

    @property
    def capabilities(self) -> Capabilities:
        """It is read, by snapshot or from a mark on."""
        return _CAPABILITIES

    def identity(self) -> str:
        """The address of the contract."""
        return f"{self.kind} {self._options.url}"

    def test(self) -> list[Probe]:
        """Fetch the contract and see what it offers."""
        try:
            with closing(self._client()) as client:
                operations = client.operations()
        except AdapterError as error:
            return [Probe("读取服务描述", passed=False, detail=error.message, remedy=error.remedy)]
        names = "、".join(operation.name for operation in operations)
        return [Probe("读取服务描述", passed=bool(operations), detail=f"操作：{names or '无'}")]

    def inspect(self, object: str | None = None) -> list[FoundObject]:
        """The operations with the elements of their rows."""
        with closing(self._client()) as client:
            operations = (client.operation(object),) if object else client.operations()
        return [FoundObject(one.name, one.columns, label=one.row) for one in operations]

    def check(self, binding: Binding, schema: pa.Schema, *, sink: bool) -> list[str]:
        """Arguments and elements that the contract does not know."""
        try:
            if sink:
                self.sink(binding)
            options = self._page_options(binding)
            with closing(self._client()) as client:
                operation = client.operation(binding.object)
        except AdapterError as error:
            return [f"{error.message}（{error.remedy}）" if error.remedy else error.message]
        problems = [
            f"操作 {operation.name} 没有参数 {name}" for name in options.names() if name not in operation.arguments
        ]
        return problems + _missing(operation, binding, options)

    def source(self, binding: Binding) -> Source:
        """Read an operation page after page."""
        options = self._page_options(binding)
        shape_of(binding, options)
        return WebServiceSource(self._client(), binding, options, self._zone)

    def sink(self, binding: Binding) -> Sink:
        """There is no agreed way to write; :class:`Unsupported`."""
        raise Unsupported("Web 服务端点不能作为交付目标", remedy="改用数据库或文件端点接收")

    def _page_options(self, binding: Binding) -> PageOptions:
        if binding.capture not in _CAPABILITIES.captures:
            raise Unsupported(f"Web 服务端点不能以 {binding.capture} 方式读取", remedy="改用 snapshot 或 batches")
        if binding.profile is not None:
            raise Misconfigured("Web 服务端点没有前置库表族", remedy="从挂接中去掉 profile")
        options = read_options(PageOptions, binding.options, "Web 服务挂接")
        if (options.since is None) != (options.mark is None):
            raise Misconfigured("挂接选项 since 和 mark 要么都写，要么都不写", remedy="都不写时以最后的游标为标记")
        return options

    def _client(self) -> ServiceClient:
        options = self._options
        credentials = None
        if options.user is not None and options.password is not None:
            credentials = (options.user, options.password.get_secret_value())
        line = Line(Limits(options.timeout, options.largest), credentials, options.ca)
        return ServiceClient(line, options.url, options.address, options.service, options.port)


def _missing(operation: Operation, binding: Binding, options: PageOptions) -> list[str]:
    if not operation.row:
        # A reply without a schema of its rows: what is in them shows only in reading.
        return []
    if operation.row != options.row:
        return [f"操作 {operation.name} 的行元素是 {operation.row}，不是 {options.row}"]
    known = {column.name for column in operation.columns}
    wanted = [*binding.columns.values(), *binding.fixed, *filter(None, [options.operation])]
    return [f"操作 {operation.name} 的行里没有元素 {name}" for name in wanted if name not in known]
