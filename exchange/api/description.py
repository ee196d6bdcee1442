"""The description of the REST interface (接口描述): OpenAPI 3.1, made of the routes and of what their types say.

What the routes cannot say for themselves is added here: what a department's own document looks like where it is read
whole, with all its problems at once; how every call may fail; the words for fields; an example of each document.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from catalog import Department, EndpointSpec, Resource
from exchange.api.once import HEADER
from exchange.api.problems import MEDIA
from exchange.authorisation import Application

BODIES: dict[str, type[BaseModel]] = {
    "Department": Department, "EndpointSpec": EndpointSpec, "Resource": Resource, "Application": Application,
}  # fmt: skip
"""What a route reads whole, by its ``x-body``."""
NAMED_BY_PATH = {"Department": "code", "EndpointSpec": "name", "Resource": "code"}
"""What its path says already where it is put there."""
FOLDER = Path(__file__).parent
SUMMARY = """\
数通的 REST 接口：控制台能办的，这里都能办，规则相同。

- 凭令牌调用：`Authorization: Bearer …`。令牌由本人登录后签发；改动须有 write 范围。
- 失败以问题详情（RFC 9457，`application/problem+json`）答复，一次列出全部问题（`problems`）和怎么办（`remedy`）。
- 列表分页：`items` 和 `next`；下一页原样带回 `cursor`，地址也在 `Link` 头中。
- POST 可带 `Idempotency-Key`：重发同一件事，得到同一个答复，不再办理。
- 会被多人改动的内容带 `ETag`；改动时以 `If-Match` 写明所见的，其间已有他人改动的答复 412。
- 有提醒的登记先答复 409 和 `warnings`，看过后加 `ignore_warnings=true` 再发。
- 需要时间的（执行、对账、核验）答复 202 和查看进度的地址。
- 地址中的资源代码是一段，其中的斜杠写作 `%2F`。
"""
PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "问题详情（RFC 9457）",
    "required": ["type", "title", "status", "correlation"],
    "properties": {
        "type": {"type": "string", "description": "哪一类问题"},
        "title": {"type": "string", "description": "出了什么问题"},
        "status": {"type": "integer", "description": "状态码"},
        "correlation": {"type": "string", "description": "关联标识，与日志中的相同"},
        "remedy": {"type": "string", "description": "怎么办"},
        "retry": {"type": "boolean", "description": "以后再试可能办成"},
        "reasons": {"type": "array", "items": {"type": "string"}, "description": "拒绝的各条理由"},
        "problems": {"type": "array", "items": {"$ref": "#/components/schemas/Remark"}, "description": "各处问题"},
        "warnings": {"type": "array", "items": {"$ref": "#/components/schemas/Remark"}, "description": "各处提醒"},
    },
}
_REF = "#/components/schemas/"


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of an application's routes; made once."""
    if app.openapi_schema is None:
        app.openapi_schema = _described(app)
    return app.openapi_schema


def _described(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(title="数通 REST 接口", version="1", description=SUMMARY, routes=app.routes)
    made["security"] = [{"token": []}]
    components = made["components"]
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "description": "令牌"}}
    schemas: dict[str, Any] = components["schemas"]
    schemas["Problem"] = PROBLEM
    for path, calls in made["paths"].items():
        for method, call in calls.items():
            _complete(path, method, call, schemas)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for name, schema in schemas.items():
        _worded(name, schema)
    return made


def _complete(path: str, method: str, call: dict[str, Any], schemas: dict[str, Any]) -> None:
    body = call.pop("x-body", None)
    if body is not None:
        put = method == "put" and "{" in path
        content = {"schema": {"$ref": _REF + _body(body, schemas, leave_out=NAMED_BY_PATH.get(body) if put else None)}}
        call["requestBody"] = {"required": True, "content": {"application/json": content}}
    call["responses"].pop("422", None)
    failed = {"description": "问题详情", "content": {MEDIA: {"schema": {"$ref": _REF + "Problem"}}}}
    call["responses"] |= {"default": failed}
    if method == "post":
        parameter = {
            "name": HEADER,
            "in": "header",
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            "description": "重发同一件事时不变的标识：得到同一个答复，不再办理；保留 24 小时",
        }
        call.setdefault("parameters", []).append(parameter)


def _body(name: str, schemas: dict[str, Any], *, leave_out: str | None) -> str:
    """Put the schema of something that is read whole among the others; its name there."""
    called = f"{name}Written" if leave_out is None else f"{name}Put"
    if called not in schemas:
        made = BODIES[name].model_json_schema(mode="validation", ref_template=_REF + "Written{model}")
        for part, schema in made.pop("$defs", {}).items():
            schemas.setdefault(f"Written{part}", schema)
        if leave_out is not None:
            made["required"] = [each for each in made["required"] if each != leave_out]
        schemas[called] = made
    return called


def _worded(name: str, schema: dict[str, Any]) -> None:
    """Describe fields in the words of the field, and show one whole document."""
    for field, told in schema.get("properties", {}).items():
        word = told.get("description") or words().get(f"{name}.{field}") or words().get(field)
        if word is None and not str(told.get("title", "")).isascii():
            word = told["title"]
        if word is not None:
            told["description"] = word
    example = examples().get(name)
    if example is not None:
        schema["examples"] = [example]


@cache
def words() -> dict[str, str]:
    """What fields are called."""
    found: dict[str, str] = json.loads((FOLDER / "words.json").read_text(encoding="utf-8"))
    return found


@cache
def examples() -> dict[str, Any]:
    """A document of each kind, as the town of the tests answers it."""
    found: dict[str, Any] = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))
    return found
