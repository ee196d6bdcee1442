"""The kind ``webservice``: a department's SOAP service."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pyarrow as pa
from pydantic import Field, SecretStr, field_validator, model_validator

from adapters.base import (
    OPERATION,
    REFERENCE,
    Binding,
    Capabilities,
    Endpoint,
    FoundObject,
    Options,
    Probe,
    Sink,
    Source,
)
from adapters.errors import AdapterError, Misconfigured, Unsupported
from adapters.options import nearest, read_options
from adapters.structure import Structure
from adapters.webservice import xml
from adapters.webservice.client import ServiceClient
from adapters.webservice.contract import Operation
from adapters.webservice.http import Limits, Line
from adapters.webservice.paging import PageOptions
from adapters.webservice.patience import ONCE, Patience, breaker_of
from adapters.webservice.pushing import PushOptions, RowWriter
from adapters.webservice.signing import Gateway, ShortLived, Signature, UsernameToken, key_reply, key_request
from adapters.webservice.sink import WebServiceSink
from adapters.webservice.source import WebServiceSource, asking_of, shape_of, unfit

_CAPABILITIES = Capabilities(
    way="webservice", captures=frozenset({"snapshot", "batches"}), delivers=True, looks_up=True
)


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
        security: How user and password are shown: ``basic`` (HTTP), or as a UsernameToken in the envelope: ``digest``
            or, over TLS, ``text``.
        stamp: Seconds that a time stamp beside the UsernameToken gives each message; without it there is none.
        ca: File of the certificates to trust, where the public ones are not meant.
        certificate: File of our own certificate, where the service asks for one (mutual TLS).
        key: File of its key.
        requester: Our id at the national gateway (``gjgxjhpt_rid``).
        gateway_service: The service's id there (``gjgxjhpt_sid``).
        secret: The secret that its headers are signed with.
        appkey: The long-lived secret (应用授权码) that short-lived ones are fetched with, in the place of ``secret``.
        key_service: Address of the service that gives them.
        key_service_id: That service's id at the gateway.
        attempts: How often a call is tried while the service is away.
        failures: Calls in a row that must fail until the service is left alone.
        pause: Seconds for which it is left alone then.
    """

    url: str
    address: str | None = None
    service: str | None = None
    port: str | None = None
    timeout: float = Field(60.0, gt=0, le=3600)
    largest: int = Field(32 << 20, ge=1 << 10, le=1 << 30)
    user: str | None = None
    password: SecretStr | None = None
    security: Literal["basic", "digest", "text"] = "basic"
    stamp: int | None = Field(None, ge=1, le=3600)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    requester: str | None = None
    gateway_service: str | None = None
    secret: SecretStr | None = None
    appkey: SecretStr | None = None
    key_service: str | None = None
    key_service_id: str | None = None
    attempts: int = Field(3, ge=1, le=10)
    failures: int = Field(5, ge=1, le=1000)
    pause: float = Field(60.0, gt=0, le=3600)

    @field_validator("url", "address", "key_service")
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
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate 和 key 要么都写，要么都不写")
        if self.security != "basic" and self.user is None:
            raise ValueError("security 为 digest 或 text 时要写 user 和 password")
        if self.security == "text" and any(map(_open, filter(None, (self.url, self.address)))):
            raise ValueError("security 为 text 时地址应为 https，否则口令以明文传输")
        return self

    @model_validator(mode="after")
    def _whole_gateway(self) -> WebServiceOptions:
        if len({self.requester is None, self.gateway_service is None, (self.secret or self.appkey) is None}) > 1:
            raise ValueError("经国家网关时要写 requester、gateway_service，以及 secret 或 appkey")
        if self.secret is not None and self.appkey is not None:
            raise ValueError("secret 和 appkey 只能写一个")
        if len({self.appkey is None, self.key_service is None, self.key_service_id is None}) > 1:
            raise ValueError("appkey、key_service、key_service_id 要么都写，要么都不写")
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
        """It is read, by snapshot or from a mark on, and pushed to."""
        return _CAPABILITIES

    def identity(self) -> str:
        """The address of the contract."""
        return f"{self.kind} {self._options.url}"

    def dataset(self, object: str) -> tuple[str, str]:
        """The service's server, and its path with the operation; what a query carries is nobody's business."""
        parts = urlsplit(self._options.address or self._options.url)
        return f"{parts.scheme}://{parts.netloc}", f"{parts.path}#{object}"

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
        """The operations with the elements of their rows, and how each could be read."""
        with closing(self._client()) as client:
            operations = (client.operation(object),) if object else client.operations()
        return [
            FoundObject(
                one.name,
                one.columns,
                label=one.row,
                proposals=one.proposals(),
                request=one.request.found(),
                reply=one.reply.found(),
            )
            for one in operations
        ]

    def structure(self, object: str) -> Structure | None:
        """What the contract says of an operation now, and of where and how it is called."""
        with closing(self._client()) as client:
            found = next((one for one in client.operations() if one.name == object), None)
            address = urlsplit(client.address)
        if found is None:
            return Structure(name=object, lies="absent")
        # The host is the registered one's; and where the address is registered, that of the contract is of no account.
        where = address._replace(scheme="", netloc="").geturl() if self._options.address is None else None
        return found.structure(where)

    def check(self, binding: Binding, schema: pa.Schema, *, sink: bool) -> list[str]:
        """Arguments and elements that the contract does not know, or demands."""
        try:
            if sink:
                return self._check_sink(binding, schema)
            options = self._page_options(binding)
            shape_of(binding, options)
            with closing(self._client()) as client:
                operation = client.operation(binding.object)
                asking = asking_of(binding, options)
                looked_up = unfit(asking, client.operation(asking.operation)) if options.lookup else []
        except AdapterError as error:
            return [f"{error.message}（{error.remedy}）" if error.remedy else error.message]
        problems = [
            f"操作 {operation.name} 没有参数 {name}" for name in options.names() if name not in operation.arguments
        ]
        return problems + looked_up + _missing(operation, binding, options)

    def _check_sink(self, binding: Binding, schema: pa.Schema) -> list[str]:
        options = self._push_options(binding)
        unbound = [name for name in schema.names if name not in (OPERATION, REFERENCE) and name not in binding.columns]
        problems = [f"信息项 {name} 没有挂接到元素" for name in unbound]
        with closing(self._client()) as client:
            for name in filter(None, (binding.object, options.deletion)):
                problems += RowWriter(client.operation(name), binding, options).problems()
        return problems

    def source(self, binding: Binding) -> Source:
        """Read an operation page after page."""
        options = self._page_options(binding)
        shape_of(binding, options)
        return WebServiceSource(self._client(kept=True), binding, options, self._zone)

    def sink(self, binding: Binding) -> Sink:
        """Push to an operation, message by message."""
        options = self._push_options(binding)
        names = dict.fromkeys(step.removeprefix("@") for path in binding.columns.values() for step in path.split("/"))
        if options.entry is None and (unfit := [name for name in names if not xml.fits(name)]):
            raise Misconfigured(
                "；".join(f"{name!r} 不能作为元素名" for name in unfit), remedy="元素名不含空格、冒号和生僻字"
            )
        # A message without an id is not to come twice by our own impatience.
        patience = ONCE if options.message is None else None
        return WebServiceSink(lambda: self._client(patience), binding, options, self.spool)

    def _push_options(self, binding: Binding) -> PushOptions:
        _refuse_profile(binding)
        return read_options(PushOptions, binding.options, "Web 服务挂接")

    def _page_options(self, binding: Binding) -> PageOptions:
        if binding.capture not in _CAPABILITIES.captures:
            raise Unsupported(f"Web 服务端点不能以 {binding.capture} 方式读取", remedy="改用 snapshot 或 batches")
        _refuse_profile(binding)
        options = read_options(PageOptions, binding.options, "Web 服务挂接")
        if (options.since is None) != (options.mark is None):
            raise Misconfigured("挂接选项 since 和 mark 要么都写，要么都不写", remedy="都不写时以最后的游标为标记")
        return options

    def _client(self, patience: Patience | None = None, *, kept: bool = False) -> ServiceClient:
        options = self._options
        return ServiceClient(
            self._line(basic=options.security == "basic", kept=kept),
            options.url,
            options.address,
            options.service,
            options.port,
            signatures=self._signatures(),
            patience=patience or Patience(attempts=options.attempts),
            breaker=breaker_of(self.identity(), failures=options.failures, pause=options.pause),
        )

    def _line(self, *, basic: bool, kept: bool = False) -> Line:
        options = self._options
        credentials = None
        if basic and options.user is not None and options.password is not None:
            credentials = (options.user, options.password.get_secret_value())
        own = (options.certificate, options.key) if options.certificate and options.key else None
        return Line(Limits(options.timeout, options.largest), credentials, options.ca, own, kept=kept)

    def _signatures(self) -> tuple[Signature, ...]:
        options = self._options
        found: list[Signature] = []
        if options.security != "basic" and options.user is not None and options.password is not None:
            password = options.password.get_secret_value()
            found.append(UsernameToken(options.user, password, options.security, options.stamp))
        if options.requester is not None and options.gateway_service is not None:
            secret = options.secret.get_secret_value().encode() if options.secret else self._short_lived
            found.append(Gateway(options.requester, options.gateway_service, secret))
        return tuple(found)

    def _short_lived(self) -> ShortLived:
        """A short-lived secret from the gateway's key service."""
        options = self._options
        appkey, requester = options.appkey, options.requester
        if appkey is None or requester is None or options.key_service is None or options.key_service_id is None:
            raise Misconfigured("没有登记密钥服务", remedy="登记 appkey、key_service、key_service_id")
        key = appkey.get_secret_value()
        headers = {"Content-Type": "application/json", **key_request(key, options.key_service_id, requester)}
        with closing(self._line(basic=False)) as line:
            reply = line.post(options.key_service, b"{}", headers)
        return key_reply(reply.body, key, ZoneInfo(self._zone))


def _open(url: str) -> bool:
    """Whether what is sent there can be read on the way."""
    parts = urlsplit(url)
    return parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1")


def _refuse_profile(binding: Binding) -> None:
    if binding.profile is not None:
        raise Misconfigured("Web 服务端点没有前置库表族", remedy="从挂接中去掉 profile")


def _missing(operation: Operation, binding: Binding, options: PageOptions) -> list[str]:
    if not operation.row:
        # A reply without a schema of its rows: what is in them shows only in reading.
        return []
    if options.entry or options.document or options.payload:
        return []
    if operation.row != options.row.rpartition("/")[2]:
        return [f"操作 {operation.name} 的行元素是 {operation.row}，不是 {options.row}"]
    known = {column.name for column in operation.columns}
    wanted = [*binding.columns.values(), *binding.fixed, *filter(None, [options.operation])]
    return [
        f"操作 {operation.name} 的行里没有元素 {name}{nearest(name, known)}" for name in wanted if name not in known
    ]
