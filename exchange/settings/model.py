"""What can be set (系统设置), and what is a right value for it."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError
from stdnum.cn import uscc

FILE = "shutong.toml"
PREFIX = "SHUTONG_"
SECRET_PREFIX = "SHUTONG_SECRET_"  # noqa: S105 - the beginning of a variable's name
"""Variables that begin so are free for secrets (``env:SHUTONG_SECRET_…``) and are no settings."""

PLATFORM_NAME = "platform"
"""Name under which rules decide; no person may bear it."""

REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00]+")
"""What a reference to a secret looks like that every process of the hub can open; endpoints have one kind more."""


class Role(StrEnum):
    """What a person may do at the hub (角色)."""

    CLERK = "clerk"
    """Registers resources and applies for them (部门经办员)."""
    REVIEWER = "reviewer"
    """Answers registrations and applications (审核员)."""
    INTEGRATOR = "integrator"
    """Configures endpoints and exchanges (集成工程师)."""
    SYSTEM = "system"
    """System administrator (系统管理员)."""
    SECURITY = "security"
    """Security administrator (安全管理员)."""
    AUDIT = "audit"
    """Audit administrator (审计管理员)."""


ADMINISTRATORS = frozenset({Role.SYSTEM, Role.SECURITY, Role.AUDIT})
"""Three people, none of whom may hold a second of these roles (三员分立)."""

Step = Literal[
    "answer_unconditional", "answer_conditional", "delivery", "correction", "catalogue_update", "catalogue_review"
]
"""Steps with a deadline (时限环节)."""


def _credit_code(text: str) -> str:
    if not uscc.is_valid(text) or text != uscc.compact(text):
        raise ValueError("不是正确的统一社会信用代码（18 位，末位为校验码）")
    return text


def _reference(text: str) -> str:
    if not REFERENCE.fullmatch(text):
        raise ValueError("只能写密钥的引用，不能写原文：env:变量名 或 file:文件路径")
    return text


def _database(text: str) -> str:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise ValueError("不是数据库地址，应形如 sqlite:////路径/hub.db 或 postgresql://用户@主机/库名") from error
    if url.password is not None:
        raise ValueError("数据库地址中不能写口令，请改用同名的 _password 设置项写引用")
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError("不是正确的正则表达式") from error
    return text


CreditCode = Annotated[str, AfterValidator(_credit_code)]
Reference = Annotated[str, AfterValidator(_reference)]
DatabaseUrl = Annotated[str, AfterValidator(_database)]
Pattern = Annotated[str, AfterValidator(_pattern)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ActorEntry(_Part):
    """A person known to the hub, under the operating-system user he works as (人员)."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^\P{C}+$", strip_whitespace=True)]
    department: CreditCode
    roles: frozenset[Role] = Field(min_length=1)

    @field_validator("name")
    @classmethod
    def _not_the_platform(cls, name: str) -> str:
        if name == PLATFORM_NAME:
            raise ValueError(f"{PLATFORM_NAME} 是平台自身的名称，不能作为人员姓名")
        return name


class Deadline(_Part):
    """Working days for one step, and where the number comes from (时限)."""

    days: int = Field(ge=0)
    extension: int = Field(default=0, ge=0)
    """Further working days with the authority's consent."""
    source: str = Field(min_length=1)
    verified: bool = False
    """Whether somebody has compared the number with the legal text; if not, verify before showing it as law."""


class Retention(_Part):
    """How long the log and refused rows are kept (留存期限)."""

    log_months: int = Field(default=36, ge=6)
    """Months. At least six: 网络安全法 (2025 修正) 第二十三条第三项."""
    personal_log_months: int = Field(default=36, ge=36)
    """Months. Records of handing personal or important data to others, at least three years: 网络数据安全管理条例
    第十二条."""
    quarantine_days: int = Field(default=90, ge=1)
    """Days after which the content of refused rows is removed; rule, reason and keyed hash stay."""
    book_days: int = Field(default=1095, ge=1)
    """Days after which files that were taken and documents that were handed over go from the books, with their names;
    receipts and log stay. Three years, as the records that say what was handed to whom."""
    dispatch_days: int = Field(default=90, ge=1)
    """Days after which deliveries to recipients of files go from the books that are done or withdrawn."""


def _spool_address(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ValueError("不是地址，应形如 s3://桶/前缀 或 file:///路径") from error
    if text and not (parts.scheme and (parts.netloc or parts.path)):
        raise ValueError("不是地址，应形如 s3://桶/前缀 或 file:///路径")
    if parts.password is not None:
        raise ValueError("地址中不能写口令，请在 secrets 中写引用")
    return text


class Documents(_Part):
    """Where files that travel with rows lie at the hub (文件暂存), and how long after nobody needs them."""

    url: Annotated[str, AfterValidator(_spool_address)] = ""
    """Address as fsspec reads it; unset: ``spool/documents`` in the home."""
    options: dict[str, str | int | bool] = Field(default_factory=dict)
    """What its file system wants to know, without secrets."""
    secrets: dict[str, Reference] = Field(default_factory=dict)
    """The options that are secrets, as references."""
    days: int = Field(default=90, ge=1)
    """Days after which a file that no row of the base library and no unfinished delivery needs is removed."""


class Answering(_Part):
    """How what recipients made of delivered rows is read back (处理结果)."""

    rows: int = Field(default=1000, ge=1)
    """Failed rows of one delivery whose error texts are read at most; all are counted."""
    days: int = Field(default=30, ge=1)
    """Days after which a delivery is asked about on demand only, though rows of it are unread."""
    unread_hours: float = Field(default=24.0, gt=0)
    """Hours after which the recipient is notified of rows nobody has read."""
    recall_days: float = Field(default=5.0, gt=0)
    """Days within which a recipient is to answer that delivered files were called back; then the provider is told."""


def _network(text: str) -> str:
    ipaddress.ip_network(text, strict=False)
    return text


def _networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(map(_network, texts))
    except ValueError as error:
        raise ValueError("应为代理的 IP 地址或网段，如 10.0.0.5、10.0.0.0/24") from error


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        plain = bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
    except ValueError:
        plain = False
    if text and (not plain or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username):
        raise ValueError("应为不带路径的地址，如 https://数据共享.example.cn 或 http://10.0.0.5:8443")
    return text.rstrip("/")


HUBS_DESK = "exchange.service.desk:open_desk"
"""What opens the hub's own desk for the SOAP door."""


class Soap(_Part):
    """The SOAP door: where it listens, whom it trusts, what it takes (服务接口)."""

    public_address: Annotated[str, AfterValidator(_web_address)] = ""
    """Where others reach it; stands in service descriptions. Unset: where it listens."""
    host: Annotated[str, StringConstraints(min_length=1, max_length=253)] = "127.0.0.1"
    """Address it listens on."""
    port: int = Field(default=8096, ge=0, le=65535)
    """Port it listens on; 0: a free one."""
    workers: int = Field(default=2, ge=1, le=64)
    """Processes."""
    threads: int = Field(default=8, ge=1, le=64)
    """Calls that one process works at together."""
    largest: int = Field(default=64 << 20, ge=1024)
    """Bytes of one request."""
    rows: int = Field(default=200_000, ge=1)
    """Rows of one push."""
    page: int = Field(default=20_000, ge=1)
    """Rows of one answer."""
    spooled: int = Field(default=1 << 30, ge=1024)
    """Bytes of all requests that one process holds together."""
    seconds: float = Field(default=60.0, gt=0)
    """Within which a request must be here."""
    rate: int = Field(default=4096, ge=1)
    """Bytes a second that a sender must keep."""
    call_seconds: float = Field(default=120.0, gt=0)
    """Within which a call must be answered."""
    proxies: Annotated[tuple[str, ...], AfterValidator(_networks)] = ()
    """Addresses or networks of reverse proxies that are trusted."""
    certificate_header: Annotated[str, StringConstraints(pattern=r"^([A-Za-z][A-Za-z0-9-]*)?$")] = ""
    """Header in which these proxies name the subject of a client's certificate."""
    tls_certificate: Path | None = None
    """Certificate chain (PEM), in the home if relative."""
    tls_key: Path | None = None
    """Its key (PEM)."""
    tls_client_ca: Path | None = None
    """Authorities (PEM) one of which must have signed a client's certificate; unset: clients show none."""
    desk: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")] = HUBS_DESK
    """What opens the desk, as ``module:name``."""

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate 和 tls_key 要么都写，要么都不写")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca 只在有 tls_certificate 时有意义")
        if self.certificate_header and not self.proxies:
            raise ValueError("certificate_header 只信任 proxies 中的代理，请一并填写")
        return self


class Web(_Part):
    """Console and REST interface: where they listen, whom they trust, what they take (站点)."""

    public_address: Annotated[str, AfterValidator(_web_address)] = ""
    """Where others reach it; unset: where it listens."""
    host: Annotated[str, StringConstraints(min_length=1, max_length=253)] = "127.0.0.1"
    """Address it listens on."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes."""
    largest: int = Field(default=32 << 20, ge=1024)
    """Bytes of one request."""
    seconds: float = Field(default=60.0, gt=0)
    """Within which a request must be here."""
    calls_per_minute: int = Field(default=600, ge=10, le=10**9)
    """Calls of one account, by one process, its pages and its programmes apart; a tenth of them at once."""
    proxies: Annotated[tuple[str, ...], AfterValidator(_networks)] = ()
    """Addresses or networks of reverse proxies that are trusted."""
    tls_certificate: Path | None = None
    """Certificate chain (PEM), in the home if relative."""
    tls_key: Path | None = None
    """Its key (PEM)."""

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate 和 tls_key 要么都写，要么都不写")
        return self


class Limits(_Part):
    """How much a department's programme may ask for (调用限额), and how long what it left or pushed is kept."""

    calls_per_minute: int = Field(default=1200, ge=1, le=10**9)
    """Calls of one department in a minute."""
    rows_per_minute: int = Field(default=5_000_000, ge=1, le=10**12)
    """Rows of one department in a minute, in either direction."""
    message_rows: int = Field(default=500_000, ge=1, le=10**9)
    """Rows of one pushed message at most."""
    unfetched_days: int = Field(default=30, ge=1)
    """Days after which a delivery that nobody fetched is removed; the next one is a full one."""
    fetched_days: int = Field(default=7, ge=1)
    """Days in which a fetched delivery may be asked for again."""
    message_days: int = Field(default=30, ge=1)
    """Days that the content of a pushed message stays after it was carried out."""


def _broker(text: str) -> str:
    if not text:
        return text
    parts = urlsplit(text)
    try:
        plain = parts.scheme in ("amqp", "amqps") and bool(parts.hostname and parts.username) and parts.port != 0
    except ValueError:
        plain = False
    if not plain or parts.query or parts.fragment:
        raise ValueError("应形如 amqp://用户@主机:5672/虚拟主机，加密用 amqps://")
    if parts.password is not None:
        raise ValueError("地址中不能写口令，请用 password 写引用")
    return text


class Messages(_Part):
    """Message middleware for the file way (消息中间件): where it is, and how much is worked at together."""

    url: Annotated[str, AfterValidator(_broker)] = ""
    """RabbitMQ, as ``amqp://user@host:port/vhost`` or ``amqps://…``; unset: the embedded one, a file in the home."""
    password: Reference | None = None
    """Its user's password."""
    tls_ca: Path | None = None
    """Authorities (PEM) one of which must have signed the broker's certificate, in the home if relative; unset: those
    the machine trusts."""
    exchange: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")] = "shutong"
    """Name of the topic exchange; those of the queues begin with it."""
    heartbeat: int = Field(default=20, ge=5, le=600)
    """Seconds after which a silent connection is dead."""
    prefetch: int = Field(default=1, ge=1, le=100)
    """Messages of one recipient that one process has in hand at most."""
    workers: int = Field(default=8, ge=1, le=64)
    """Deliveries that one process works at together."""
    deliveries: int = Field(default=5, ge=1, le=100)
    """How many may die over a message until it is a dead letter."""
    again_seconds: float = Field(default=60.0, gt=0)
    """After which what was published and is not delivered is published again, then twice as long, up to an hour."""
    retry_seconds: float = Field(default=15.0, gt=0)
    """After which a delivery that failed is tried again, then twice as long, up to an hour."""
    visible_seconds: float = Field(default=60.0, ge=1)
    """Embedded: after which a message that a killed process had in hand comes again."""

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.url and self.password is None:
            raise ValueError("写了 url 就要有 password（口令的引用）")
        if not self.url and (self.password is not None or self.tls_ca is not None):
            raise ValueError("password、tls_ca 只在写了 url 时有意义")
        return self


def _issuer(text: str) -> str:
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        plain = bool(host) and parts.port != 0 and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        plain, host = False, ""
    loopback = host in ("localhost", "::1") or host.startswith("127.")
    if text and not (plain and (parts.scheme == "https" or (parts.scheme == "http" and loopback))):
        raise ValueError("应为统一身份认证的 https 地址，如 https://sso.example.gov.cn/realms/city")
    return text


Claim = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:/-]{0,100}$")]
"""Name of something an identity provider says of a person."""


class OpenId(_Part):
    """Signing in by a city's unified identity (统一身份认证, OpenID Connect)."""

    enabled: bool = False
    """Whether people may sign in by it."""
    issuer: Annotated[str, AfterValidator(_issuer)] = ""
    """Its address, as its own description names it."""
    client_id: Annotated[str, StringConstraints(max_length=255)] = ""
    """Name under which the hub is registered there."""
    client_secret: Reference | None = None
    """The secret it was given there; unset: a public client, by PKCE alone."""
    scopes: tuple[Annotated[str, StringConstraints(pattern=r"^[!#-\[\]-~]{1,100}$")], ...] = ("openid", "profile")
    """What is asked for."""
    link: bool = False
    """Whether somebody who comes for the first time is taken for the account his claims name."""
    login_claim: Claim = "preferred_username"
    """The claim that names his login."""
    department_claim: Claim = ""
    """The claim that must name his account's department; unset: not compared."""
    seconds: float = Field(default=10.0, gt=0, le=60)
    """Within which it must answer."""

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.enabled and not (self.issuer and self.client_id):
            raise ValueError("启用统一身份认证须写 issuer 和 client_id")
        if "openid" not in self.scopes:
            raise ValueError("scopes 中须有 openid")
        if self.link and not self.login_claim:
            raise ValueError("link 须有 login_claim")
        return self


class Accounts(_Part):
    """Accounts and sessions (账号与会话)."""

    idle_minutes: int = Field(default=30, ge=1, le=1440)
    """Minutes after which somebody who does nothing is signed out."""
    session_hours: int = Field(default=12, ge=1, le=168)
    """Hours after which everybody is signed out."""
    failures: int = Field(default=5, ge=3, le=100)
    """Wrong passwords after which a login is locked; they count for as long as the lock lasts."""
    lock_minutes: int = Field(default=15, ge=1, le=1440)
    """Minutes for which it then is."""
    address_failures: int = Field(default=30, ge=3, le=100_000)
    """Failures of one address in a minute, after which it must wait for another."""
    password_length: int = Field(default=12, ge=8, le=64)
    """Characters a password must have."""
    password_days: int = Field(default=90, ge=0, le=3650)
    """Days after which it must be changed; 0: never."""
    token_days: int = Field(default=365, ge=1, le=365)
    """Days for which a token may be issued at most."""
    oidc: OpenId = OpenId()


OptionName = Annotated[str, StringConstraints(pattern=r"^[a-z_]+\.[a-z0-9_]+$")]
"""One of Airflow's own settings, as ``section.name``."""


class Airflow(_Part):
    """Airflow: what it is told of the hub (排班), and how the embedded one runs."""

    snapshot: Path = Path("airflow/snapshot.json")
    """File it is told by, in the home if relative; written by itself once its folder is there."""
    dags: int = Field(default=1000, ge=0)
    """Exchanges that have a DAG of their own; those beyond are carried out in one task with others."""
    slots: int = Field(default=2, ge=1, le=1000)
    """Runs that an endpoint bears at once."""
    pools: dict[str, Annotated[int, Field(ge=1, le=1000)]] = Field(default_factory=dict)
    """Those of single endpoints, by name."""
    host: Annotated[str, StringConstraints(min_length=1, max_length=253)] = "127.0.0.1"
    """Embedded: address its interface listens on."""
    port: int = Field(default=8095, ge=0, le=65535)
    """Embedded: port of its interface; 0: a free one."""
    parallelism: int = Field(default=2, ge=1, le=64)
    """Embedded: exchanges that run together; each takes some 50 MB at rest."""
    log_bytes: int = Field(default=10 << 20, ge=1 << 16)
    """Embedded: bytes of one component's log; as much again is kept of what was before."""
    log_days: int = Field(default=30, ge=1)
    """Embedded: days after which what runs wrote about themselves is removed; receipts and log stay."""
    options: dict[OptionName, str] = Field(default_factory=dict)
    """Embedded: Airflow's own settings that are to differ, as ``section.name``."""


_D809 = "《政务数据共享条例》（国务院令第809号）"
NATIONAL = "national"
NATIONAL_DEADLINES: Mapping[Step, Deadline] = {
    "answer_unconditional": Deadline(days=1, source=f"{_D809}第二十一条，数值待核对"),
    "answer_conditional": Deadline(days=10, extension=10, source=f"{_D809}第二十一条，数值待核对"),
    "delivery": Deadline(days=20, source=f"{_D809}第二十二条，数值待核对"),
    "correction": Deadline(days=10, source=f"{_D809}第二十六条，数值待核对"),
    "catalogue_update": Deadline(days=10, extension=5, source=f"{_D809}第十七条，数值待核对"),
    "catalogue_review": Deadline(days=2, source=f"{_D809}第十七条，数值待核对"),
}
"""Used where a region sets nothing of its own; none is verified."""


def default_home() -> Path:
    """Home of the hub: ``SHUTONG_HOME``, or ``~/.shutong``."""
    named = os.environ.get(f"{PREFIX}HOME")
    return Path(named).expanduser() if named else Path.home() / ".shutong"


class Settings(BaseSettings):
    """All settings; what is given to the constructor wins over ``SHUTONG_*``, that over ``shutong.toml``.

    Users' settings are read by :func:`~exchange.settings.load_settings`, which says what is wrong in their terms.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    home: Path = Field(default_factory=default_home)
    """Folder of the hub's files (主目录)."""
    hub_department: CreditCode
    """Credit code of the department that runs the hub (平台管理单位)."""
    database_url: DatabaseUrl = ""
    """Database of the hub: SQLite in the home, or PostgreSQL."""
    database_password: Reference | None = None
    library_url: DatabaseUrl = ""
    """Database of the base library (基础库)."""
    library_password: Reference | None = None
    digest: Literal["sha256", "sm3"] = "sha256"
    """Digest of the log's chain and of deliveries (摘要算法)."""
    master_key: Reference = "file:keys/master.key"
    """Key from which the hub's other keys are derived (主密钥)."""
    audit_key: Reference = "file:keys/audit.key"
    """Key of the log's chain (审计密钥); never in the database."""
    actors: dict[str, ActorEntry] = Field(default_factory=dict)
    """People by operating-system user."""
    demo: bool = False
    """A demonstration's home: only here may ``--as`` name who acts."""
    lease_seconds: float = Field(default=30.0, gt=0)
    """A run without a heartbeat for so long may be taken over."""
    batch_rows: int = Field(default=65536, gt=0)
    """Rows of a batch between stages."""
    tolerance_share: float = Field(default=0.05, ge=0, le=1)
    """Refused rows as a share of the rows read, above which a run is stopped (容错)."""
    tolerance_rows: int | None = Field(default=None, ge=0)
    """Refused rows at most, however many were read; unset: no such limit."""
    code_pattern: Pattern = r"^[123]\d{2}\d{3}\d*/\d+$"
    """Grammar of resource codes (资源代码); some provinces have a longer one."""
    schema_folders: tuple[Path, ...] = ()
    """Further folders of classes, code lists and profiles, in the home if relative."""
    deadlines: dict[str, dict[Step, Deadline]] = Field(default_factory=dict)
    """By six-digit division or ``national``, then by step."""
    retention: Retention = Retention()
    documents: Documents = Documents()
    answers: Answering = Answering()
    soap: Soap = Soap()
    port: int = Field(default=8090, ge=0, le=65535)
    """Port of console and REST interface; 0: a free one."""
    web: Web = Web()
    limits: Limits = Limits()
    messages: Messages = Messages()
    airflow: Airflow = Airflow()
    accounts: Accounts = Accounts()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Constructor, environment, file; the file lies in the home the first two name."""
        given = init_settings.init_kwargs.get("home") if isinstance(init_settings, InitSettingsSource) else None
        home = Path(given) if given is not None else default_home()
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=home / FILE)

    @model_validator(mode="before")
    @classmethod
    def _in_home(cls, values: dict[str, Any]) -> dict[str, Any]:
        home = Path(values.get("home") or default_home()).expanduser().absolute()
        values["home"] = home
        for name, file in (("database_url", "hub.db"), ("library_url", "library.db")):
            if not values.get(name):
                values[name] = URL.create("sqlite", database=str(home / file)).render_as_string()
        return values

    @field_validator("schema_folders")
    @classmethod
    def _absolute(cls, folders: tuple[Path, ...], info: Any) -> tuple[Path, ...]:
        home = info.data.get("home")
        return folders if home is None else tuple(home / folder.expanduser() for folder in folders)

    @field_validator("deadlines")
    @classmethod
    def _divisions(cls, deadlines: dict[str, dict[Step, Deadline]]) -> dict[str, dict[Step, Deadline]]:
        wrong = [region for region in deadlines if region != NATIONAL and not re.fullmatch(r"[0-9]{6}", region)]
        if wrong:
            raise ValueError(f"地区应为 {NATIONAL} 或六位行政区划代码：{'、'.join(wrong)}")
        return deadlines

    @model_validator(mode="after")
    def _whole(self) -> Self:
        wrong = [*_doubled_administrators(self.actors)]
        if self.audit_key == self.master_key:
            wrong.append("audit_key 与 master_key 不能是同一个密钥")
        if wrong:
            raise ValueError("；".join(wrong))
        return self

    def deadline(self, step: Step, division: str = "") -> Deadline:
        """The deadline of a step in a division: its own, its prefecture's, its province's, or the national one."""
        for region in (division[:6], f"{division[:4]}00", f"{division[:2]}0000", NATIONAL):
            found = self.deadlines.get(region, {}).get(step)
            if found is not None:
                return found
        return NATIONAL_DEADLINES[step]


def _doubled_administrators(actors: Mapping[str, ActorEntry]) -> Iterable[str]:
    held: dict[str, set[Role]] = {}
    for entry in actors.values():
        held.setdefault(entry.name, set()).update(entry.roles & ADMINISTRATORS)
    for name, roles in held.items():
        if len(roles) > 1:
            yield f"三员分立：{name} 不能同时担任 {'、'.join(sorted(roles))}"


def make_home(home: Path) -> None:
    """Make the hub's home, open to its owner alone."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
