"""The first ``shutong.toml`` of a home, with a comment for every setting."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from exchange.errors import Misplaced
from exchange.settings.model import FILE, ActorEntry, make_home

_DEFAULT = """\
# 数通设置。每一项都可以用环境变量覆盖：SHUTONG_ 加大写的名称，下级用两个下划线分隔，
# 如 SHUTONG_LEASE_SECONDS=60、SHUTONG_RETENTION__LOG_MONTHS=60。
# 口令与密钥一律写引用：env:变量名 或 file:文件路径（相对路径在主目录下，文件权限须为 600）。

# 平台管理单位的统一社会信用代码
hub_department = {hub_department}

# 平台数据库：默认为主目录下的 hub.db；多机部署用 PostgreSQL
# database_url = "postgresql://shutong@主机/shutong"
# database_password = "env:SHUTONG_SECRET_DATABASE"

# 基础库：默认为主目录下的 library.db
# library_url = "postgresql://shutong@主机/library"
# library_password = "env:SHUTONG_SECRET_LIBRARY"

# 摘要算法：sha256 或 sm3
digest = {digest}

# 主密钥与审计密钥：由 shutong init 生成；请与数据库分开备份
master_key = "file:keys/master.key"
audit_key = "file:keys/audit.key"

# 演示环境：只有演示环境可以用 --as 指定操作人
demo = {demo}

# 执行者失去心跳多少秒后可被接管；每批行数
# lease_seconds = 30.0
# batch_rows = 65536

# 资源代码的语法
# code_pattern = '^[123]\\d{{2}}\\d{{3}}\\d*/\\d+$'

# 另外的数据类、代码表和前置库格式所在的文件夹
# schema_folders = ["schemas"]

# 容错：拒收行占读取行的比例上限，以及可选的行数上限
# tolerance_share = 0.05
# tolerance_rows = 1000

# 日志留存月数：网络安全法第二十三条第三项不少于六个月；
# 向他人提供个人信息或重要数据的记录，网络数据安全管理条例第十二条不少于三年
# [retention]
# log_months = 36
# personal_log_months = 36
# 被拒收的行，内容保留多少天；到期清除内容，规则、原因和散列仍在
# quarantine_days = 90

# 接收方处理结果：每次交付最多读多少个处理失败的行；多少天后不再自动去问；多少小时没有读取就通知接收方
# [answers]
# rows = 1000
# days = 30
# unread_hours = 24

# 服务接口（shutong serve soap）。默认只监听本机；监听别的地址时须写明对外地址，并有 TLS 或由反向代理加密
# [soap]
# public_address = "https://（别人访问的地址，写进服务描述）"
# host = "127.0.0.1"
# port = 8096
# workers = 2
# 每个进程同时处理的调用数；一次请求的字节数、推送行数、应答行数；每个进程暂存的字节总数
# threads = 8
# largest = 67108864
# rows = 200000
# page = 20000
# spooled = 1073741824
# 请求须在多少秒内传完、每秒至少多少字节；一次调用最多办理多少秒
# seconds = 60.0
# rate = 4096
# call_seconds = 120.0
# 受信任的反向代理，以及它们写明客户端证书主体的 HTTP 头；别处来的这个头一律不看
# proxies = ["10.0.0.5"]
# certificate_header = "X-Client-Subject"
# 证书、私钥（PEM）；写了客户端 CA，调用方就必须出示它签发的证书
# tls_certificate = "keys/soap.crt"
# tls_key = "keys/soap.key"
# tls_client_ca = "keys/clients.crt"
# desk = "exchange.service.desk:open_desk"

# 部门程序调用平台的限额（每部门每分钟）、每份推送消息的行数上限，以及信箱内容的保留天数
# [limits]
# calls_per_minute = 1200
# rows_per_minute = 5000000
# message_rows = 500000
# unfetched_days = 30
# fetched_days = 7
# message_days = 30

# 各地时限（工作日），按六位行政区划代码或 national。内置数值未经核对，对外展示为法定期限之前须核对原文
# [deadlines.370000.answer_conditional]
# days = 10
# source = "（填写依据的文件与条款）"
# verified = true

# 人员：按操作系统用户登记。角色：clerk 经办、reviewer 审核、integrator 集成、
# system 系统管理、security 安全管理、audit 审计管理；后三者须由不同的人担任
# [actors.zhangsan]
# name = "张三"
# department = "（单位的统一社会信用代码）"
# roles = ["clerk"]
{actors}"""


def write_default(
    home: Path,
    *,
    hub_department: str,
    actors: Mapping[str, ActorEntry] | None = None,
    digest: Literal["sha256", "sm3"] = "sha256",
    demo: bool = False,
) -> Path:
    """Write a commented ``shutong.toml`` into a home, making the home if need be.

    Args:
        home: The hub's home.
        hub_department: Credit code of the department that runs the hub.
        actors: People by operating-system user.
        digest: Digest algorithm.
        demo: Whether this is a demonstration's home.

    Returns:
        The file written.

    Raises:
        Misplaced: There is one already.
    """
    tables = "".join(
        f"\n[actors.{_toml(user)}]\nname = {_toml(entry.name)}\ndepartment = {_toml(entry.department)}\n"
        f"roles = {_toml(sorted(entry.roles))}\n"
        for user, entry in (actors or {}).items()
    )
    text = _DEFAULT.format(hub_department=_toml(hub_department), digest=_toml(digest), demo=_toml(demo), actors=tables)
    make_home(home)
    file = home / FILE
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError as error:
        raise Misplaced(f"{file} 已存在，没有改动", remedy="直接编辑该文件，或换一个主目录") from error
    return file


def _toml(value: Any) -> str:
    # JSON's strings, booleans and lists of strings are TOML's too; DEL alone must be escaped there.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
