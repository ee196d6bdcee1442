"""Endpoints (端点): registered and changed, tested, looked into, paused; secrets are references, never opened."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from catalog.reading import read_endpoint
from exchange.console.fields import beside
from exchange.console.terms import CAPTURES, ENDPOINT_KINDS, word
from exchange.console.views import Form, Page, Sent, View
from exchange.engine import OptionField, endpoint_kinds, option_fields
from exchange.errors import HubError, Invalid, Misplaced, Problem
from exchange.hub.registration import mark_of
from exchange.messages import _
from exchange.settings import Role
from exchange.web.errors import status_of
from exchange.web.paths import quoted
from exchange.words import BEIJING
from schemas import ITEM_TYPES

router = APIRouter(include_in_schema=False)

LABELS: Mapping[str, tuple[str, str]] = {
    "product": (_("数据库产品"), ""),
    "path": (_("数据库文件"), _("文件型数据库填写；其余产品填写服务器地址")),
    "host": (_("服务器地址"), ""),
    "port": (_("端口"), _("不填为该产品、该服务的常用端口")),
    "database": (_("库名"), ""),
    "user": (_("账号"), ""),
    "password": (_("口令"), ""),
    "schema": (_("模式"), _("不填为账号自己的模式")),
    "encoding": (_("文字编码"), _("库不知道文字编码时填写")),
    "tls": (_("加密"), _("prefer 能加密则加密，require 必须，verify 还核对证书和主机名，disable 不加密")),
    "tls_ca": (_("信任的证书文件"), _("只与 verify 同用")),
    "url": (_("WSDL 地址"), _("http 或 https；地址里不写用户和口令")),
    "address": (_("服务地址"), _("与 WSDL 中的不同时填写")),
    "service": (_("服务"), _("WSDL 中有几个服务时填写")),
    "timeout": (_("一次调用的时限（秒）"), ""),
    "largest": (_("应答上限（字节）"), ""),
    "security": (_("怎样出示口令"), _("basic 为 HTTP 基本认证；digest、text 写在报文头里，text 只用于 https")),
    "stamp": (_("时间戳有效期（秒）"), _("不填则报文没有时间戳")),
    "ca": (_("信任的证书文件"), ""),
    "certificate": (_("本方证书文件"), _("对方要求双向认证时，与密钥一并填写")),
    "key": (_("密钥"), ""),
    "requester": (_("国家网关：请求者标识"), ""),
    "gateway_service": (_("国家网关：服务标识"), ""),
    "secret": (_("国家网关：签名密钥"), ""),
    "appkey": (_("国家网关：应用授权码"), ""),
    "key_service": (_("国家网关：密钥服务地址"), ""),
    "key_service_id": (_("国家网关：密钥服务标识"), ""),
    "attempts": (_("服务不可用时试几次"), ""),
    "failures": (_("连续失败多少次后暂不再试"), ""),
    "pause": (_("暂不再试多少秒"), ""),
    "root": (_("目录"), _("绝对路径；SFTP 服务器上的，以账号所见为准")),
    "transport": (_("在哪里"), _("local 为本机可见的目录，sftp 为服务器；以下各项只用于 sftp")),
    "host_key": (_("服务器公钥"), _("一行一个，例如 ssh-ed25519 AAAA…；只信任这些")),
    "known_hosts": (_("服务器公钥文件"), _("OpenSSH 的格式，代替服务器公钥")),
    "passphrase": (_("密钥的口令"), ""),
    "connections": (_("同时几个连接"), ""),
    "connect": (_("连接时限（秒）"), ""),
    "idle": (_("静默时限（秒）"), ""),
    "total": (_("一次传送的时限（秒）"), ""),
    "keepalive": (_("保活间隔（秒）"), ""),
    "lease": (_("目录锁的时限（秒）"), ""),
    "names": (_("文件名编码"), ""),
}
"""Options of endpoints: label, and a hint."""
SECRET = _("只填引用，例如 file:/etc/shutong/police.password 或 env:POLICE_PASSWORD；不填口令本身")
_LONG = frozenset({"host_key"})


@router.get("/endpoints")
def listed(view: Page, department: str = "", kind: str = "") -> Response:
    """Endpoints by name; others' without their options."""
    found = view.hub.directory.endpoints(by=view.by, department=department or None)
    shown = [each for each in found if not kind or each.kind == kind]
    return view.render("endpoints.html", endpoints=shown, department=department, kind=kind, kinds=_kinds())


@router.get("/endpoints/new")
def new(view: Page, kind: str = "database") -> Response:
    """The form of a kind."""
    return _form(view, kind, {"department": view.by.department or "", "zone": "Asia/Shanghai"}, name=None, mark="")


@router.post("/endpoints")
def register(view: Page, form: Sent) -> Response:
    """Register one."""
    return _put(view, form, name=None)


@router.get("/endpoints/{name:code}")
def show(name: str, view: Page) -> Response:
    """One endpoint."""
    return _page(view, name)


@router.get("/endpoints/{name:code}/edit")
def edit(name: str, view: Page) -> Response:
    """The form with what is registered."""
    spec = view.hub.directory.endpoint(name, by=view.by)
    values = {f"option-{option}": str(value) for option, value in spec.options.items()}
    values |= {"name": spec.name, "department": spec.department, "zone": spec.zone}
    return _form(view, spec.kind, values, name=name, mark=mark_of(spec))


@router.post("/endpoints/{name:code}")
def change(name: str, view: Page, form: Sent) -> Response:
    """Change one."""
    return _put(view, form, name=name)


@router.post("/endpoints/{name:code}/test")
def test(name: str, view: Page, _form: Sent) -> Response:
    """Try what a run will need; told on the endpoint's page."""
    probes = view.hub.registration.test_endpoint(name, by=view.by)
    return _page(view, name, probes=probes)


@router.get("/endpoints/{name:code}/inspect")
def inspect(name: str, view: Page, object: str = "") -> Response:
    """What lies there."""
    found: list[Any] = []
    error: HubError | None = None
    try:
        found = view.hub.registration.inspect_endpoint(name, object or None, by=view.by)
        if object and not found:
            error = Misplaced(_("端点 {name} 上没有 {object}").format(name=name, object=object))
    except Invalid as wrong:
        error = wrong
    status = 200 if error is None else status_of(error)
    return view.render(
        "inspection.html",
        status,
        name=name,
        object=object,
        found=found,
        error=error,
        types=ITEM_TYPES,
        captures=CAPTURES,
    )


@router.post("/endpoints/{name:code}/pause")
def pause(name: str, view: Page, form: Sent) -> Response:
    """Let everything there rest."""
    try:
        until = moment_of(form["until"])
        view.hub.pausing.pause("endpoint", name, reason=form["reason"], until=until, by=view.by)
    except Invalid as error:
        return _page(view, name, error=error, values={"reason": form["reason"], "until": form["until"]})
    return view.go(f"/endpoints/{quoted(name)}", _("端点已暂停"))


@router.post("/endpoints/{name:code}/resume")
def resume(name: str, view: Page, form: Sent) -> Response:
    """Wake it."""
    try:
        view.hub.pausing.resume("endpoint", name, reason=form["reason"], by=view.by)
    except Invalid as error:
        return _page(view, name, error=error, values={"reason": form["reason"]})
    return view.go(f"/endpoints/{quoted(name)}", _("端点已恢复"))


def moment_of(text: str) -> datetime | None:
    """A time of Beijing as a browser's field writes it, or None where nothing is written.

    Raises:
        Invalid: It is none.
    """
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=BEIJING)
    except ValueError:
        problem = Problem("until", _("应为时间，例如 2026-12-01T08:00"))
        raise Invalid(_("时间的写法不对"), [problem]) from None


def _page(
    view: View, name: str, *, probes: list[Any] | None = None, error: HubError | None = None, values: Any = None
) -> Response:
    spec = view.hub.directory.endpoint(name, by=view.by)
    fields = {each.name: each for each in option_fields(spec.kind)} if spec.kind in endpoint_kinds() else {}
    options = [
        (_label(option), value, option in fields and fields[option].shape == "secret")
        for option, value in spec.options.items()
    ]
    return view.render(
        "endpoint.html",
        200 if error is None else status_of(error),
        spec=spec,
        kind=word(ENDPOINT_KINDS, spec.kind),
        options=options,
        probes=probes,
        passed=probes is not None and all(each.passed for each in probes),
        error=error,
        wrong=beside(error, {"reason": _("理由"), "until": "until"}),
        values={"reason": "", "until": "", **(values or {})},
        paused=view.hub.exchanges.pause(kind="endpoint", name=name),
        exchanges=view.hub.exchanges.at(name, by=view.by),
        may=view.has(Role.INTEGRATOR),
        looks=view.has(Role.INTEGRATOR, Role.CLERK),
    )


def _put(view: View, form: Form, *, name: str | None) -> Response:
    kind = form["kind"]
    fields = option_fields(kind)
    try:
        form.demand(**({} if name else {"name": _("端点名称")}), department=_("所属部门"), zone=_("时区"))
        options = {each.name: each.read(text) for each in fields if (text := form[f"option-{each.name}"])}
        given = {"name": name or form["name"], "department": form["department"], "kind": kind, "zone": form["zone"]}
        with view.hub.told():
            spec = read_endpoint({**given, "options": options})
        view.hub.registration.put_endpoint(spec, by=view.by, instead_of=form["mark"])
    except (Invalid, Misplaced) as error:
        values = {each: form[each] for each in form.names()}
        return _form(view, kind, values, name=name, mark=form["mark"], error=error)
    return view.go(f"/endpoints/{quoted(spec.name)}", _("端点已登记") if name is None else _("端点已修改"))


def _form(
    view: View, kind: str, values: Mapping[str, str], *, name: str | None, mark: str, error: HubError | None = None
) -> Response:
    fields = option_fields(kind)
    labels = {"name": _("端点名称"), "department": _("所属部门"), "zone": _("时区")}
    return view.render(
        "endpoint-form.html",
        200 if error is None else status_of(error),
        kind=kind,
        kinds=_kinds(),
        name=name,
        mark=mark,
        values={"name": "", "zone": "", "department": "", **values},
        asked=[_asked(each) for each in fields],
        error=error,
        wrong=beside(error, labels) | beside(error, {f"option-{each.name}": each.name for each in fields}),
        departments=sorted(view.names().items(), key=lambda each: each[1]),
    )


def _asked(field: OptionField) -> dict[str, Any]:
    """A field of the form."""
    label, hint = LABELS.get(field.name, (field.name, ""))
    if field.shape == "secret":
        hint = SECRET
    if field.default:
        hint = (hint + _("；") if hint else "") + _("不填为 {default}").format(default=field.default)
    choices = [("", _("（不填）")), *((each, each) for each in field.choices)]
    numeric = field.shape in ("whole", "number")
    return {
        "name": f"option-{field.name}",
        "label": label,
        "hint": hint,
        "required": field.required,
        "options": (choices if not field.required else choices[1:]) if field.choices else None,
        "type": "number" if numeric else "text",
        "rows": 3 if field.name in _LONG else 0,
        "attrs": {"step": "any"} if numeric else {"autocomplete": "off", "spellcheck": "false"},
    }


def _label(option: str) -> str:
    return LABELS.get(option, (option, ""))[0]


def _kinds() -> list[tuple[str, str]]:
    return [(kind, word(ENDPOINT_KINDS, kind)) for kind in endpoint_kinds()]
