"""Credentials of departments' programmes (接入凭据): issued, listed, taken back; a secret is shown once."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter
from starlette.responses import Response

from exchange.console import terms
from exchange.console.endpoints import moment_of
from exchange.console.fields import beside
from exchange.console.views import Form, Page, Sent, View
from exchange.errors import HubError, Invalid
from exchange.hub.access import CredentialKind, Issued
from exchange.messages import _
from exchange.settings import Role
from exchange.web.errors import status_of

router = APIRouter(include_in_schema=False)


@router.get("/access")
def listed(view: Page, department: str = "") -> Response:
    """Credentials of one's own department; of all, to the hub's people."""
    return _page(view, department=department)


@router.post("/access")
def issue(view: Page, form: Sent) -> Response:
    """Issue one; the answer is the only page that ever shows its secret."""
    try:
        form.demand(department=_("部门"), kind=_("种类"))
        issued = view.hub.access.issue(
            form["department"],
            cast(CredentialKind, form["kind"]),
            by=view.by,
            name=form["name"] or None,
            purpose=form["purpose"],
            until=moment_of(form["until"]),
        )
    except Invalid as error:
        return _page(view, error=error, form=form)
    answer = _page(view, issued=issued)
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.post("/access/{credential:code}/revoke")
def revoke(credential: str, view: Page, form: Sent) -> Response:
    """Take one back."""
    try:
        view.hub.access.revoke(credential, reason=form["reason"], by=view.by)
    except Invalid as error:
        return _page(view, error=error)
    return view.go("/access", _("接入凭据 {name} 已吊销").format(name=credential))


def _page(
    view: View,
    *,
    department: str = "",
    issued: Issued | None = None,
    error: HubError | None = None,
    form: Form | None = None,
) -> Response:
    names = ("department", "kind", "name", "purpose", "until")
    values = {name: form[name] if form is not None else "" for name in names}
    return view.render(
        "access.html",
        200 if error is None else status_of(error),
        found=view.hub.access.credentials(by=view.by, department=department or None),
        issued=issued,
        error=error,
        wrong=beside(
            error,
            {"department": _("部门"), "kind": _("种类"), "name": _("名称"), "purpose": _("用途"), "until": _("有效期")},
        ),
        values={**values, "department": values["department"] or view.by.department or "", "kind": values["kind"]},
        department=department,
        departments=sorted(view.names().items(), key=lambda each: each[1]),
        may=view.has(Role.INTEGRATOR, Role.SYSTEM),
        terms=terms,
    )
