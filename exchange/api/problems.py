"""Failures as problem details (RFC 9457), with everything wrong at once and what to do next (问题详情)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from exchange.errors import Denied, Held, HubError, Invalid, Misplaced, Problem
from exchange.web.errors import RETRY_SECONDS, kind_of, status_of

_logger = logging.getLogger(__name__)
MEDIA = "application/problem+json"


class Warned(Misplaced):
    """It can be done, and is worth a second look: nothing was done, it is for the caller to say that he means it."""

    def __init__(self, message: str, warnings: Sequence[Problem]) -> None:
        super().__init__(message, remedy="核对后仍要办理的，加上 ignore_warnings=true 再发一次")
        self.warnings = tuple(warnings)


def problem(request: Request, error: Exception) -> Response:
    """The answer to a call that failed."""
    headers: dict[str, str] = {}
    told: dict[str, Any]
    if isinstance(error, HubError):
        told = {"type": f"urn:shutong:{kind_of(error)}", "title": error.message, "status": status_of(error)}
        if isinstance(error, Invalid):
            told["problems"] = [_told(each) for each in error.problems]
        if isinstance(error, Warned):
            told["warnings"] = [_told(each) for each in error.warnings]
        if isinstance(error, (Denied, Held)):
            told["reasons"] = list(error.reasons)
        told |= {"remedy": error.remedy, "retry": error.retry}
        if error.retry:
            headers["Retry-After"] = str(RETRY_SECONDS)
    elif isinstance(error, RequestValidationError):
        # What was given is not said again: it may be anything.
        problems = [
            {"where": " › ".join(map(str, each["loc"])), "message": each["msg"], "remedy": ""}
            for each in error.errors()
        ]
        told = {"type": "urn:shutong:invalid", "title": "请求的内容有误", "status": 422, "problems": problems}
    elif isinstance(error, HTTPException):
        told = {"type": "about:blank", "title": str(error.detail), "status": error.status_code}
        headers |= error.headers or {}
    else:
        _logger.error("a defect", exc_info=error)
        told = {"type": "urn:shutong:defect", "title": "平台出错，这一步没有完成", "status": 500}
    told["correlation"] = getattr(request.state, "correlation", "")
    return JSONResponse(told, told["status"], headers, MEDIA)


def _told(problem: Problem) -> dict[str, str]:
    return {"where": problem.where, "message": problem.message, "remedy": problem.remedy}
