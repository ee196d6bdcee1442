"""Registering a resource (登记): by form, by spreadsheet, from a table of an endpoint; and changing one.

A form is sent back as often as it takes: to add rows, to be told what is wrong, to look twice at what is worth it. What
is registered is what the hub is given at last, with the mark of what one began from: whoever comes second is shown what
the first one did, and keeps what he wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from catalog import Change, Entry, read_sheet
from catalog.reading import CHECKS
from catalog.vocabulary import FORMATS, SHARE_TYPES, SHARE_WAYS, UPDATE_CYCLES
from catalog.workbook import LARGEST
from exchange.console import written as forms
from exchange.console.views import Page, Sent, View
from exchange.console.written import Written
from exchange.errors import HubError, Invalid, Overtaken, Problem, Unknown
from exchange.hub import drafts
from exchange.messages import _
from exchange.web.errors import status_of
from exchange.web.paths import quoted
from schemas import GRADES, ITEM_TYPES, code_lists, profiles, record_classes

router = APIRouter(include_in_schema=False)

CAPTURES = {
    "snapshot": _("整表快照"),
    "outbox": _("前置表同步标志"),
    "batches": _("前置表操作批次"),
    "watermark": _("更新时间水位"),
    "diff": _("逐行比对"),
    "journal": _("数据库日志"),
    "pushed": _("由提供方推送"),
}
SERVED = {"library": _("基础库"), "provider": _("提供方")}
NEW = "/resources/new/form"
NOTHING = ""
"""What one begins from who registers something new."""


@router.get("/resources/new")
def choose(view: Page) -> Response:
    """The three ways to register."""
    view.hub.registration.begin(by=view.by)
    return view.render("registering/choose.html", classes=classes(), endpoints=endpoints(view), error=None)


@router.get(NEW)
def ask(view: Page, of: str = "", under: str = "") -> Response:
    """The empty form, or one with the items of a class's table."""
    view.hub.registration.begin(by=view.by)
    written = Written({"of": of, "classes": under})
    error: HubError | None = None
    if of:
        try:
            _fill(written)
        except HubError as failed:
            error = failed
    if not written.items:
        written.add_rows()
    return _shown(view, written, error=error, begun=NOTHING, status=status_of(error) if error else 200)


@router.post(NEW)
def register(view: Page, form: Sent) -> Response:
    """Register what the form holds, or send it back with more rows, or with what is wrong."""
    view.hub.registration.begin(by=view.by)
    return _register(view, form, None)


@router.post("/resources/new/sheet")
def upload(view: Page, form: Sent) -> Response:
    """Show what a spreadsheet holds as a form, with everything that is wrong with it; nothing is registered yet."""
    view.hub.registration.begin(by=view.by)
    try:
        content = _content(form)
        sheet = read_sheet(content)
        if not sheet.given:
            wrong = [Problem(each.where, each.message, each.remedy) for each in sheet.problems]
            raise Invalid(_("没有读到登记内容"), wrong)
    except HubError as error:
        given: dict[str, Any] = {"classes": classes(), "endpoints": endpoints(view), "error": error}
        return view.render("registering/choose.html", status_of(error), **given)
    written = forms.of_sheet(sheet)
    found = drafts.examined(view.hub, forms.given_of(written, view.by.department or ""))
    unread = [Problem(each.where, each.message, each.remedy) for each in sheet.problems]
    if sheet.given.get("provider_code") not in (None, view.by.department):
        remedy = _("只能登记本部门的资源；下面已换成本部门的代码，请核对是否用错了登记表")
        unread.append(Problem(_("信息资源提供方代码"), _("不是本部门的代码"), remedy))
    problems = [*unread, *found.errors]
    wrong_in = Invalid(_("登记表有 {n} 处要改").format(n=len(problems)), problems) if problems else None
    begun = _standing(view, written["code"])
    return _shown(
        view, written, error=wrong_in, here=found.here, warnings=found.warnings, begun=begun, uploaded=True,
        status=422 if wrong_in else 200,
    )  # fmt: skip


@router.get("/resources/new/sheet.csv")
def empty_sheet(view: Page, of: str = "") -> Response:
    """The registration form as a spreadsheet, empty or with the items of a class."""
    of_class, _slash, table = of.partition("/")
    return _sheet(drafts.empty_sheet(of_class or None, table or None), "form.csv")


@router.get("/resources/new/table")
def from_table(view: Page, endpoint: str = "", object: str = "", under: str = "", name: str = "") -> Response:
    """A form proposed by a table of an endpoint: the endpoint first, then its tables, then the form."""
    view.hub.registration.begin(by=view.by)
    given: dict[str, Any] = {"endpoint": endpoint, "object": object, "under": under, "name": name}
    tables: Sequence[Any] = ()
    try:
        if endpoint:
            tables = view.hub.registration.inspect_endpoint(endpoint, by=view.by)
        if endpoint and object:
            made = drafts.proposed(view.hub, endpoint, object, by=view.by, under=under or None, name=name or None)
            return _shown(view, forms.of_resource(made), begun=NOTHING, proposed=True)
    except HubError as error:
        given["error"] = error
    shown = {"endpoints": endpoints(view), "tables": tables, "error": None} | given
    status = status_of(shown["error"]) if shown["error"] else 200
    return view.render("registering/table.html", status, **shown)


@router.get("/resources/{code:code}/edit")
def edit(view: Page, code: str) -> Response:
    """The form as the resource fills it."""
    entry = view.hub.registration.change(code, by=view.by)
    return _shown(view, forms.of_resource(entry.resource), begun=entry.mark, code=code, entry=entry)


@router.post("/resources/{code:code}/edit")
def change(view: Page, code: str, form: Sent) -> Response:
    """Register the change, or send the form back."""
    # Who came second is told so by the registration itself, with what he wrote at hand.
    view.hub.registration.change(code, by=view.by, held=True)
    return _register(view, form, code)


@router.get("/resources/{code:code}/sheet.csv")
def filled_sheet(view: Page, code: str) -> Response:
    """The registration form as the resource fills it."""
    entry = view.hub.directory.resource(code, by=view.by)
    return _sheet(drafts.filled_sheet(entry.resource), f"{code.replace('/', '-')}.csv")


def _register(view: View, form: Sent, code: str | None) -> Response:
    written, do = forms.of_form(form), form["do"] or "save"
    if code is not None:
        written.fields["code"] = code
    given: dict[str, Any] = {"begun": form["begun"], "code": code}
    try:
        if do != "save":
            _rearranged(view, written, do)
            if not written.items:
                written.add_rows()
            return _shown(view, written, **given)
        return _saved(view, form, written, given)
    except HubError as error:
        return _shown(view, written, error=error, status=status_of(error), **given)


def _saved(view: View, form: Sent, written: Written, given: dict[str, Any]) -> Response:
    sheet = forms.given_of(written, view.by.department or "")
    found = drafts.examined(view.hub, sheet)
    given |= {"here": found.here, "warnings": found.warnings}
    if found.errors:
        told = Invalid(_("登记有误，共 {n} 处").format(n=len(found.errors)), found.errors)
        return _shown(view, written, error=told, status=422, **given)
    if found.warnings and form["accepted"] != forms.digest(found.warnings):
        return _shown(view, written, status=422, asked=True, **given)
    try:
        told_of = view.hub.registration.register(sheet, by=view.by, begun=form["begun"])
    except Overtaken as error:
        entry, changes = view.hub.directory.against(found.resource.code, found.resource, by=view.by)
        # A code that somebody else has taken is not written over: the next one is to be taken.
        given |= {"begun": form["begun"] and entry.mark, "entry": entry, "changes": changes, "overtaken": error}
        return _shown(view, written, status=status_of(error), **given)
    said = {
        "add": _("已登记，是草稿；核对后提交注册审核"),
        "update": _("已修改，共 {n} 处"),
        "revise": _("已登记第 {version} 版，是草稿；发布之前，原来的版本继续有效"),
    }.get(told_of.action or "", _("内容没有变化"))
    text = said.format(n=len(told_of.changes), version=told_of.entry.version)
    return view.go(f"/resources/{quoted(told_of.entry.code)}", text)


def _rearranged(view: View, written: Written, do: str) -> None:
    """Do what a button of the form is for that does not register."""
    if do == "add":
        written.add_rows()
    elif do.startswith("remove-") and do[7:].isdecimal() and len(do) < 12:
        written.remove_row(int(do[7:]))
    elif do == "fill":
        _fill(written)
    elif do == "code":
        under = next(iter(forms.several(written["classes"])), "")
        if not under:
            raise Invalid(
                _("没有取到代码"), [Problem(_("信息资源分类"), _("没有填写"), _("先填写分类，例如 101001001"))]
            )
        written.fields["code"] = drafts.next_code(view.hub, under)
    else:
        raise Unknown(_("没有这种办理"))


def _fill(written: Written) -> None:
    """Take the items of the class's table over, in place of the rows."""
    of_class, _slash, name = written["of"].partition("/")
    if not of_class:
        raise Invalid(_("没有取到信息项"), [Problem(_("数据类别"), _("没有选择"), _("先选择数据类别"))])
    table = drafts.class_table(of_class, name or None)
    written.items, written.version = forms.of_items(table.items, table.key, table.version)
    written.order = list(table.key)


def _shown(
    view: View,
    written: Written,
    *,
    begun: str,
    code: str | None = None,
    entry: Entry | None = None,
    error: HubError | None = None,
    here: str = "",
    warnings: Sequence[Problem] = (),
    changes: Sequence[Change] = (),
    overtaken: HubError | None = None,
    asked: bool = False,
    uploaded: bool = False,
    proposed: bool = False,
    status: int = 200,
) -> Response:
    problems: tuple[Problem, ...] = getattr(error, "problems", ())
    return view.render(
        "registering/form.html",
        status,
        written=written,
        code=code,
        entry=entry,
        error=error,
        places=_placed(problems, here),
        doubts=_placed(warnings, here),
        wrong=forms.beside(problems, here),
        doubtful=forms.beside(warnings, here),
        warnings=warnings,
        accepted=forms.digest(warnings),
        asked=asked,
        begun=begun,
        changes=changes,
        overtaken=overtaken,
        uploaded=uploaded,
        proposed=proposed,
        path=f"/resources/{quoted(code)}/edit" if code is not None else NEW,
        terms=_terms(view, written),
    )


def _placed(problems: Sequence[Problem], here: str) -> list[tuple[Problem, str, str]]:
    """Problems, the field each is about, and where it is without what is said of all of them."""
    return [
        (each, forms.place(each.where, here), each.where.removeprefix(here).removeprefix(" › ") or each.where)
        for each in problems
    ]


def _terms(view: View, written: Written) -> dict[str, Any]:
    """What can be chosen from."""
    nothing = ("", _("（不选）"))
    return {
        "share_type": [("", _("请选择")), *SHARE_TYPES.items()],
        "share_ways": list(SHARE_WAYS.items()),
        "update_cycle": [("", _("请选择")), *UPDATE_CYCLES.items()],
        "of": [nothing, *classes(written["of"])],
        "type": [(letter, f"{letter} {word}") for letter, word in ITEM_TYPES.items()],
        "grade": list(GRADES.items()),
        "item_share": [("", _("同资源")), *SHARE_TYPES.items()],
        "check": [("", _("（无）")), *CHECKS.items()],
        "code_list": sorted(code_lists()),
        "reference": [(name, found.label) for name, found in record_classes().items()],
        "formats": [f"{kind}/{each}" for kind, types in FORMATS.items() for each in types],
        "endpoint": [nothing, *((name, name) for name in endpoints(view, written["offer-endpoint"]))],
        "capture": [("", _("按前置库表族，否则整表快照")), *CAPTURES.items()],
        "profile": [nothing, *((name, name) for name in sorted(profiles()))],
        "served": list(SERVED.items()),
    }


def classes(chosen: str = "") -> list[tuple[str, str]]:
    """Classes with their tables, as a form offers them."""
    found: list[tuple[str, str]] = []
    for name, each in record_classes().items():
        if len(each.tables) == 1:
            found.append((f"{name}/", each.label))
        else:
            found += [(f"{name}/{table.name}", f"{each.label} › {table.label}") for table in each.tables]
    return found if chosen in ("", *(value for value, _title in found)) else [*found, (chosen, chosen.strip("/"))]


def endpoints(view: View, chosen: str = "") -> list[str]:
    """Names of the department's endpoints."""
    found = [each.name for each in view.hub.directory.endpoints(by=view.by, department=view.by.department)]
    return found if chosen in ("", *found) else [*found, chosen]


def _standing(view: View, code: str) -> str:
    """Mark of what is registered under a code already, where one may see it: an uploaded form may be a change of it."""
    try:
        entry = view.hub.directory.resource(code, by=view.by) if code else None
    except HubError:
        entry = None
    return entry.mark if entry is not None and entry.resource.provider_code == view.by.department else NOTHING


def _content(form: Sent) -> bytes:
    chosen = form.file("sheet")
    if chosen is None:
        raise Invalid(_("没有上传登记表"), [Problem(_("登记表文件"), _("没有选择文件"))])
    content = chosen.file.read(LARGEST + 1)
    if len(content) > LARGEST:
        wrong = Problem(_("登记表文件"), _("超过 {n} MB").format(n=LARGEST // 1_000_000), _("只留登记表本身"))
        raise Invalid(_("没有读取登记表"), [wrong])
    return content


def _sheet(content: bytes, name: str) -> Response:
    said = f"attachment; filename=\"{name}\"; filename*=UTF-8''{quoted(name)}"
    return Response(content, media_type="text/csv; charset=utf-8", headers={"Content-Disposition": said})
