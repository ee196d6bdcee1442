"""A failure as a page (出错页面): what, where, what to do next, and how to name it to whoever helps."""

from __future__ import annotations

import logging

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.responses import Response

from exchange.console.views import View
from exchange.errors import HubError, Invalid, Problem, Unknown
from exchange.messages import _
from exchange.web.errors import RETRY_SECONDS, status_of

_logger = logging.getLogger(__name__)

_TITLES = {
    400: _("内容有误"),
    403: _("不能办理"),
    404: _("没有这一页"),
    409: _("现在不能办理"),
    413: _("提交的内容过大"),
    422: _("内容有误"),
    429: _("请求过于频繁"),
    502: _("端点不可用"),
    503: _("暂时不能办理"),
}
_WORDS = {
    400: _("请求的格式不对"),
    404: _("没有这个地址，或您没有查看它的权限"),
    405: _("这个地址不能这样使用"),
    408: _("请求没有在时限内传完"),
    413: _("提交的内容超过上限"),
    429: _("请求过于频繁，请稍后再试"),
}


def translated(error: Exception) -> HubError:
    """Whatever went wrong, as the hub would say it; a defect says nothing of itself but in the log."""
    if isinstance(error, HubError):
        return error
    if isinstance(error, RequestValidationError):
        # What was given is not said again: it may be anything.
        fields = sorted({str(each["loc"][-1]) for each in error.errors()})
        return Invalid(_("地址中的内容有误"), [Problem(each, _("不是可用的值")) for each in fields])
    if isinstance(error, AnyHTTPException):
        return Unknown(_WORDS.get(error.status_code, str(error.detail)))
    _logger.error("a defect", exc_info=error)
    return HubError(_("平台出错，这一步没有完成"), remedy=_("请把关联标识告诉系统管理员"))


def page(request: Request, error: Exception) -> Response:
    """The page; without the navigation where nobody is known to be signed in."""
    told = translated(error)
    status = error.status_code if isinstance(error, AnyHTTPException) else status_of(told)
    view: View = getattr(request.state, "view", None) or View(request, None)
    correlation = getattr(request.state, "correlation", "")
    try:
        answer = view.render(
            "error.html", status, title=_TITLES.get(status, _("出错")), error=told, correlation=correlation
        )
    except HubError:
        # Even the names of departments are in the database.
        answer = View(request, None).render(
            "error.html", status, title=_TITLES.get(status, _("出错")), error=told, correlation=correlation
        )
    if told.retry:
        answer.headers["Retry-After"] = str(RETRY_SECONDS)
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer
