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
# 收取的文件和送达的附件，在台账中（连同名称）保留多少天；已办结或撤回的待送保留多少天；回执和日志不受影响
# book_days = 1095
# dispatch_days = 90

# 随行文件（附件）在平台的暂存处：默认为主目录下的 spool/documents，也可以是 fsspec 能到的存储，内容一律加密；
# 基础库的现行数据和未完成的交付都不再需要的文件，保留多少天后清除
# [documents]
# url = "s3://桶/前缀"
# options = {{ key = "访问标识" }}
# secrets = {{ secret = "env:SHUTONG_SECRET_STORAGE" }}
# days = 90

# 接收方处理结果：每次交付最多读多少个处理失败的行；多少天后不再自动去问；多少小时没有读取就通知接收方
# [answers]
# rows = 1000
# days = 30
# unread_hours = 24
# 撤回已送达的文件时，接收方应在多少天内答复；逾期通知提供方
# recall_days = 5

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

# 控制台和 REST 接口（shutong up、shutong serve console）的端口，可由 SHUTONG_PORT 代替；
# 默认只监听本机；监听别的地址时须有 TLS，或由 proxies 中的反向代理加密
# port = 8090
# [web]
# public_address = "https://（别人访问的地址）"
# host = "127.0.0.1"
# workers = 1
# 一次请求的字节数；须在多少秒内传完；每个账号或令牌每分钟的请求数
# largest = 33554432
# seconds = 60.0
# calls_per_minute = 600
# proxies = ["10.0.0.5"]
# tls_certificate = "keys/web.crt"
# tls_key = "keys/web.key"

# 部门程序调用平台的限额（每部门每分钟）、每份推送消息的行数上限，以及信箱内容的保留天数
# [limits]
# calls_per_minute = 1200
# rows_per_minute = 5000000
# message_rows = 500000
# unfetched_days = 30
# fetched_days = 7
# message_days = 30

# 消息中间件（文件方式）。默认用内置的：主目录下的 messages.db，不需要服务器；
# 由 shutong messages work 发布和投递，没有它时 shutong run --due 也会投递
# [messages]
# url = "amqps://shutong@主机:5671/shutong"
# password = "env:SHUTONG_SECRET_BROKER"
# tls_ca = "keys/broker-ca.crt"
# exchange = "shutong"
# heartbeat = 20
# 每个接收方同时在办的消息数；一个进程同时办理的投递数；执行者死亡多少次后成为死信
# prefetch = 1
# workers = 8
# deliveries = 5
# 已发消息多少秒还没有送达就再发；投递失败多少秒后重试（以后逐次加倍，至多一小时）；内置：执行者被杀多少秒后消息重现
# again_seconds = 60.0
# retry_seconds = 15.0
# visible_seconds = 60.0

# 排班（Airflow）：排班快照写在哪里（相对路径在主目录下；所在文件夹存在后，每有变更自动重写）；
# 每个端点同时执行几个交换，以及个别端点的
# [airflow]
# snapshot = "airflow/snapshot.json"
# slots = 2
# 有自己的 DAG 的交换至多几个；更多的成批执行，每分钟办理到期的
# dags = 1000
# pools = {{ police = 4 }}
# 内置的 Airflow（shutong up）：监听的地址和端口；同时执行几个交换；每个部件的日志字节数；执行记录保留天数
# host = "127.0.0.1"
# port = 8095
# parallelism = 2
# log_bytes = 10485760
# log_days = 30
# Airflow 自己的设置，写成“节.名称”
# options = {{ "scheduler.scheduler_heartbeat_sec" = "2" }}

# 账号与会话：多少分钟没有操作即退出，多少小时后一律退出；连续多少次失败后锁定登录名多少分钟；
# 一个地址每分钟最多失败多少次；口令最短长度、最长使用天数（0 为不限）；令牌最长有效天数
# [accounts]
# idle_minutes = 30
# session_hours = 12
# failures = 5
# lock_minutes = 15
# address_failures = 30
# password_length = 12
# password_days = 90
# token_days = 365
# 统一身份认证（OpenID Connect）；link 为 true 时，首次登录的人按 login_claim 对应到已有账号，
# 写了 department_claim 的，该项还须等于账号所属部门的信用代码
# [accounts.oidc]
# enabled = true
# issuer = "https://sso.example.gov.cn/realms/city"
# client_id = "shutong"
# client_secret = "env:SHUTONG_SECRET_OIDC"
# scopes = ["openid", "profile"]
# link = false
# login_claim = "preferred_username"
# department_claim = ""
# seconds = 10.0

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
