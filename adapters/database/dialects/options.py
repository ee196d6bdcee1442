"""Options of a database endpoint: which product, where, as whom."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from adapters.base import Options

Product = Literal["sqlite", "postgresql", "mariadb"]

_ON_SERVER = ("host", "port", "database", "user", "password", "schema_name", "tls_ca")


class DatabaseOptions(Options):
    """Where a front-end database (前置库) is and how to enter it.

    Attributes:
        product: The database product (数据库产品).
        path: The file, for a product that is one.
        host: Address of the server, for the others.
        port: Its port; None: the product's usual one.
        database: Name of the database there.
        user: Account (账号).
        password: Its password (口令).
        schema_name: Schema (模式) that holds the tables, option ``schema``; None: the account's own.
        tls: ``prefer`` encrypts where the server can, ``require`` always, ``verify`` also checks the
            server's certificate and name, ``disable`` never encrypts.
        encoding: What the texts are written in, where the product keeps bytes without knowing: read so, and never
            written. None: UTF-8.
        tls_ca: File with the certificates trusted by ``verify``; None: those of the machine.
    """

    product: Product
    path: Path | None = None
    host: str | None = Field(default=None, min_length=1)
    port: int | None = Field(default=None, ge=1, le=65535)
    database: str | None = Field(default=None, min_length=1)
    user: str | None = Field(default=None, min_length=1)
    password: SecretStr | None = None
    schema_name: str | None = Field(default=None, alias="schema", min_length=1)
    encoding: Literal["gbk", "gb18030"] | None = None
    tls: Literal["prefer", "require", "verify", "disable"] = "prefer"
    tls_ca: Path | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.product == "sqlite":
            foreign = [name for name in _ON_SERVER if getattr(self, name) is not None]
            problems = [] if self.path else ["缺少 path（数据库文件）"]
            problems += [f"{self.product} 没有选项 {name.removesuffix('_name')}" for name in foreign]
        else:
            wanted = {"host": self.host, "database": self.database, "user": self.user}
            problems = [f"缺少 {name}" for name, value in wanted.items() if value is None]
            problems += ["path 只用于文件型数据库"] if self.path else []
        if self.product == "mariadb" and self.schema_name is not None:
            problems.append("mariadb 没有选项 schema，模式就是 database")
        if self.product == "mariadb" and self.encoding is not None:
            problems.append("mariadb 没有选项 encoding，每列的字符集由数据库自己转换")
        if self.tls_ca is not None and self.tls != "verify":
            problems.append("tls_ca 只与 tls: verify 同用")
        if problems:
            raise ValueError("；".join(problems))
        return self

    @property
    def place(self) -> str:
        """The database in words for a message; never a secret."""
        if self.path is not None:
            return f"数据库文件 {self.path}"
        return f"数据库 {self.database}（{self.host}）"
