from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field, SecretStr, field_validator

from adapters.base import Options
from adapters.errors import Misconfigured
from adapters.options import nearest, read_options, secret_names


class Sample(Options):
    url: str
    port: int = Field(80, ge=1, le=65535)
    rate: float = Field(1.0, gt=0)
    quiet: bool = False
    mode: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    table: dict[str, str] = Field(default_factory=dict)
    password: SecretStr | None = None
    key: SecretStr = SecretStr("")

    @field_validator("url")
    @classmethod
    def _web(cls, value: str) -> str:
        if not value.startswith("http"):
            raise ValueError("应为网址")
        return value


def test_options_are_read() -> None:
    found = read_options(Sample, {"url": "http://x", "password": SecretStr("s")}, "样例")
    assert (found.url, found.port) == ("http://x", 80)
    assert found.password is not None
    assert found.password.get_secret_value() == "s"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "url：缺少此项"),
        ({"url": 1}, "url：应为文本"),
        ({"url": "ftp"}, "url：应为网址"),
        ({"url": "http", "port": 0}, "port：应不小于 1"),
        ({"url": "http", "port": 70_000}, "port：应不大于 65535"),
        ({"url": "http", "port": "x"}, "port：应为整数"),
        ({"url": "http", "port": 1.5}, "port：应为整数"),
        ({"url": "http", "rate": 0}, "rate：应大于 0"),
        ({"url": "http", "rate": "x"}, "rate：应为数值"),
        ({"url": "http", "quiet": "perhaps"}, "quiet：应为 true 或 false"),
        ({"url": "http", "mode": "c"}, "mode：只能是 'a' 或 'b'"),
        ({"url": "http", "names": 3}, "names：应为列表"),
        ({"url": "http", "names": [1]}, "names › 0：应为文本"),
        ({"url": "http", "table": []}, "table：应为“名称: 值”的表"),
        ({"url": "http", "prot": 1}, "prot：没有这个选项，是否想写 port？"),
        ({"url": "http", "zzzz": 1}, "zzzz：没有这个选项"),
    ],
)
def test_what_is_wrong_is_said_in_words(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        read_options(Sample, options, "样例")
    assert caught.value.message == f"样例的选项有误：{sentence}"
    assert "url、port" in caught.value.remedy


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(Misconfigured) as caught:
        read_options(Sample, {"prot": 1, "port": 0, "quiet": "x"}, "样例")
    assert caught.value.message.count("；") == 3


def test_no_value_is_quoted_anywhere() -> None:
    with pytest.raises(Misconfigured) as caught:
        read_options(Sample, {"url": "s3cret", "password": ["s3cret"], "port": "s3cret", "s": "s3cret"}, "样例")
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cret" not in repr(error)
        error = error.__cause__ or error.__context__


def test_secrets_are_known_by_type() -> None:
    assert secret_names(Sample) == {"password", "key"}


def test_nearest() -> None:
    assert nearest("databse", ["database", "files"]) == "，是否想写 database？"
    assert nearest("x", ["database"]) == ""
