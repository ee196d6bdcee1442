"""The field's words for what the hub keeps in short ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta, timezone
from typing import Any

from exchange.messages import _

# China has no summer time, and the zone's data may be missing on a bare machine.
BEIJING = timezone(timedelta(hours=8), "Asia/Shanghai")
"""The time that people read and write (北京时间)."""
GRANT_KINDS: Mapping[str, str] = {"collection": _("归集"), "sharing": _("共享")}
EXCHANGE_STATES: Mapping[str, str] = {"active": _("启用"), "paused": _("暂停"), "ended": _("终止"), "held": _("待批准")}
EXCHANGE_KINDS: Mapping[str, str] = {"synchronisation": _("归集"), "sharing": _("共享")}
RUN_STATES: Mapping[str, str] = {
    "planned": _("已计划"),
    "staged": _("已暂存"),
    "committing": _("提交中"),
    "committed": _("已交付，有待办"),
    "settled": _("已办结"),
    "failed": _("失败，未交付"),
    "stopped": _("拒收过多，未交付"),
    "barred": _("授权不允许，未交付"),
    "red": _("告警，待人工核查"),
    "abandoned": _("已放弃"),
}
RUN_STATUS: Mapping[str, int] = {"settled": 0, "committed": 0, "stopped": 7, "barred": 3, "failed": 8, "red": 7}
"""Exit status of a run by the state it ended in."""
BOOKS: Mapping[str, str] = {
    "read": _("读取"),
    "filtered": _("过滤"),
    "refused": _("拒收"),
    "unchanged": _("未变"),
    "superseded": _("过时"),
    "written": _("写入"),
    "deleted": _("其中删除"),
}
"""The terms of a delivery's books (账目)."""
GUARANTEES: Mapping[str, str] = {"exactly once": _("恰好一次"), "at least once": _("至少一次")}
"""What a target makes possible (保证)."""
STEPS: Mapping[str, str] = {
    "1.planned": _("制定方案"),
    "2.leased": _("取得租约"),
    "3.read": _("读取与检查"),
    "5.staged": _("暂存完成"),
    "5.manifest": _("清单落盘"),
    "6.gate": _("放行检查"),
    "6.gated": _("放行"),
    "7.commit": _("目标端提交"),
    "7.committed": _("目标端已提交"),
    "8.promoted": _("签发回执"),
    "9.settled": _("办结待办"),
    "compare": _("对账比对"),
}
"""Steps of a run as the engine tells them."""
HELD: Mapping[str, str] = {"held": _("对方持有")}
"""What a reconciliation counts beside the books."""
ANSWERS: Mapping[str, str] = {
    "new": _("未读"),
    "done": _("已处理"),
    "failed": _("处理失败"),
    "other": _("其他状态"),
    "gone": _("已改写或不在"),
}
"""What became of delivered rows at their recipient (处理结果)."""
RECALL_STATES: Mapping[str, str] = {
    "owed": _("待通知"),
    "notified": _("已通知，待答复"),
    "unanswered": _("逾期未答复"),
    "destroyed": _("已销毁"),
    "partly": _("部分销毁"),
    "kept": _("未销毁"),
    "void": _("没有送达，无需通知"),
}
"""Where a recall stands (撤回状态)."""
DIFFERENCES: Mapping[str, str] = {
    "missing": _("对方缺少"),
    "surplus": _("对方多出"),
    "repeated": _("主键重复"),
    "older": _("对方版本低"),
    "newer": _("对方版本高"),
    "content": _("内容不同"),
}
"""How a row differs at the recipient (差异类别)."""
REASONS: Mapping[str, str] = {
    "pending": _("来源已变，尚未送达"),
    "refused": _("被拒收"),
    "withdrawn": _("已标记删除或不在授权范围"),
    "deleted": _("来源已删除"),
    "buried": _("对方台账记为已删除"),
}
"""What the hub knows of a difference."""
ROW_STATES: Mapping[str, str] = {
    "open": _("待处理"),
    "repaired": _("已更正，待重送"),
    "replayed": _("已重送"),
    "again": _("后来又被拒收"),
    "dropped": _("不再送"),
    "stopped": _("整批未交付"),
    "expired": _("内容已清除"),
    "kept": _("已保留，待关联"),
}
"""States of refused rows (隔离状态)."""
FILE_STATES: Mapping[str, str] = {
    "taken": _("已收取"),
    "refused": _("已退回"),
    "retry": _("待重试"),
    "again": _("后来又处理过"),
}
"""States of files (收取状态)."""
HANDOVER_STATES: Mapping[str, str] = {
    "delivered": _("已送达"),
    "received": _("对方已收到"),
    "stored": _("对方已入库"),
    "refused": _("对方不能使用"),
    "destroyed": _("已撤回，对方已销毁"),
}
"""Where delivered documents stand (附件交付状态)."""
CREDENTIAL_KINDS: Mapping[str, str] = {
    "token": _("令牌"),
    "password": _("用户名和口令"),
    "gateway": _("国家网关密钥"),
    "certificate": _("客户端证书"),
}
"""Kinds of what a programme signs in with (接入凭据)."""
ACCOUNT_STATES: Mapping[str, str] = {"active": _("启用"), "disabled": _("停用"), "locked": _("锁定")}
ACCOUNT_KINDS: Mapping[str, str] = {"person": _("人员"), "programme": _("程序")}
"""States and kinds of accounts (账号)."""
TOKEN_SCOPES: Mapping[str, str] = {"read": _("查看"), "write": _("办理")}
TOKEN_STATES: Mapping[str, str] = {
    "active": _("有效"),
    "expired": _("已到期"),
    "revoked": _("已吊销"),
    "disabled": _("账号停用"),
}
"""What tokens may be used for, and their states (令牌)."""
CREDENTIAL_STATES: Mapping[str, str] = {"active": _("有效"), "expired": _("已到期"), "revoked": _("已吊销")}
DISPATCH_STATES: Mapping[str, str] = {
    "owed": _("待发消息"),
    "published": _("已发消息"),
    "done": _("已送达"),
    "dead": _("死信"),
    "withdrawn": _("已撤回"),
}
"""States of what is owed to recipients of files (待送)."""
EFFECTS: Mapping[str, str] = {"create": _("新增"), "change": _("变更"), "same": _("不变")}
"""What applying a description does."""
SIDES: Mapping[str, str] = {"source": _("来源端"), "target": _("目标端")}
"""The ends of an exchange."""
SETTINGS: Mapping[str, str] = {
    "accounts.idle_minutes": _("无操作多少分钟后退出"),
    "accounts.session_hours": _("登录多少小时后一律退出"),
    "accounts.failures": _("连续失败多少次后锁定"),
    "accounts.lock_minutes": _("锁定多少分钟"),
    "accounts.address_failures": _("一个地址每分钟失败多少次后须等候"),
    "accounts.password_length": _("口令至少多少个字符"),
    "accounts.password_days": _("口令使用多少天后须修改（0 为不限）"),
    "accounts.token_days": _("令牌最长多少天"),
    "web.calls_per_minute": _("每个账号或令牌每分钟的请求数"),
    "limits.calls_per_minute": _("每个部门的程序每分钟的调用数"),
    "limits.rows_per_minute": _("每个部门的程序每分钟的行数"),
    "limits.message_rows": _("一份推送消息的行数"),
}
"""Settings that may change at run time (可调设置)."""
ROLES: Mapping[str, str] = {
    "clerk": _("部门经办员"),
    "reviewer": _("审核员"),
    "integrator": _("集成工程师"),
    "system": _("系统管理员"),
    "security": _("安全管理员"),
    "audit": _("审计管理员"),
}

ESTABLISHED: Mapping[str, str] = {
    "account": _("登录"),
    "oidc": _("统一身份"),
    "token": _("令牌"),
    "os-user": _("命令行"),
    "demo": _("演示"),
    "credential": _("接入凭据"),
    "scheduler": _("调度"),
    "system": _("平台"),
}
"""How who acted was known (身份依据)."""
EVENTS: Mapping[str, str] = {
    "DepartmentRegistered": _("部门登记"),
    "EndpointRegistered": _("端点登记"),
    "EndpointTested": _("连通测试"),
    "ResourceRegistered": _("资源编目"),
    "ResourceMoved": _("资源流转"),
    "ApplicationSubmitted": _("共享申请"),
    "ApplicationDecided": _("申请审核"),
    "GrantIssued": _("授权签发"),
    "GrantSuspended": _("授权中止"),
    "GrantResumed": _("授权恢复"),
    "GrantRevoked": _("授权撤销"),
    "GrantExpired": _("授权到期"),
    "AccessDenied": _("拒绝操作"),
    "ExchangeConfigured": _("交换任务配置"),
    "ExchangePaused": _("交换暂停"),
    "ExchangeResumed": _("交换恢复"),
    "EndpointPaused": _("端点暂停"),
    "EndpointResumed": _("端点恢复"),
    "UpdateMissed": _("更新逾期"),
    "UpdateRecovered": _("更新恢复"),
    "StructureRecorded": _("结构记录"),
    "StructureChanged": _("结构变化"),
    "HoldPlaced": _("结构待批准"),
    "HoldLifted": _("结构复原"),
    "StructureApproved": _("结构批准"),
    "RunStarted": _("批次开始"),
    "RunDivided": _("批次切分"),
    "PartStaged": _("分段就绪"),
    "PartRestaged": _("分段重新暂存"),
    "RunTakenOver": _("批次接管"),
    "RunRestaged": _("重新暂存"),
    "RunStaged": _("批次就绪"),
    "RunGated": _("放行"),
    "RunRefusedAtGate": _("拦截"),
    "RunCommitted": _("交付完成"),
    "RunSettled": _("批次办结"),
    "RunReddened": _("批次红牌"),
    "RunAborted": _("批次放弃"),
    "ScheduledRunAbandoned": _("调度放弃"),
    "RevocationAfterDelivery": _("撤销晚于放行"),
    "ExchangeReconciled": _("交换对账"),
    "KeysRevealed": _("查看业务主键"),
    "AnswersReceived": _("处理结果回执"),
    "AnswersRead": _("查看处理结果"),
    "AnswersExpired": _("处理结果到期清除"),
    "RecallOrdered": _("撤回"),
    "RecallNotified": _("撤回通知送达"),
    "RecallAnswered": _("撤回答复"),
    "RecallUnanswered": _("撤回逾期未答复"),
    "RecallVoided": _("撤回无需通知"),
    "RecallsRead": _("查看撤回答复"),
    "ExchangePreviewed": _("脱敏预览"),
    "QuarantineRead": _("查看隔离数据"),
    "QuarantineRowRead": _("查看隔离行"),
    "QuarantineRepaired": _("更正隔离行"),
    "QuarantineDropped": _("弃送隔离行"),
    "QuarantineReplayed": _("隔离重送"),
    "QuarantineExpired": _("隔离数据到期清除"),
    "DocumentsExpired": _("附件到期清除"),
    "BooksPruned": _("台账到期清除"),
    "ToleranceConfigured": _("容错设定"),
    "RefreshConfigured": _("全量刷新设定"),
    "RhythmConfigured": _("排班设定"),
    "FilesCollected": _("收取文件"),
    "FileRefused": _("退回文件"),
    "FileRetried": _("重试文件"),
    "FilesRead": _("查看文件"),
    "FallAccepted": _("接受行数下降"),
    "TargetRefreshed": _("全量刷新"),
    "LogRead": _("检索日志"),
    "LogExported": _("导出日志"),
    "FiguresExported": _("导出统计"),
    "LogVerified": _("核验日志"),
    "LogRestored": _("日志恢复"),
    "NoticeIssued": _("告知"),
    "TargetRedelivered": _("重新交付"),
    "DeliveryRepeated": _("单次重新送达"),
    "HubRecovered": _("平台恢复"),
    "CredentialIssued": _("接入凭据签发"),
    "CredentialRevoked": _("接入凭据吊销"),
    "SignInRefused": _("拒绝接入"),
    "MailFetched": _("取走信件"),
    "MailExpired": _("信件过期"),
    "MessageReceived": _("收到推送"),
    "RowLookedUp": _("单笔查询"),
    "DispatchBuried": _("待送成为死信"),
    "DispatchWithdrawn": _("待送撤回"),
    "DispatchRequeued": _("待送重新排队"),
    "AccountCreated": _("账号建立"),
    "AccountAssigned": _("账号授权"),
    "AccountDisabled": _("账号停用"),
    "AccountEnabled": _("账号启用"),
    "AccountUnlocked": _("账号解锁"),
    "SettingChanged": _("设置变更"),
    "AccountLinked": _("统一身份绑定"),
    "PasswordReplaced": _("口令重置"),
    "PasswordChanged": _("口令修改"),
    "SignedIn": _("登录"),
    "SignInFailed": _("登录失败"),
    "SignInLocked": _("登录锁定"),
    "SignedOut": _("退出登录"),
    "SessionsEnded": _("会话终止"),
    "SignInsRead": _("查看登录"),
    "TokenIssued": _("令牌签发"),
    "TokenRevoked": _("令牌吊销"),
}
"""Events of the log (审计事件) in words."""


def word(words: Mapping[str, str], key: str | None) -> str:
    """The field's word, or the short one where there is none."""
    return words.get(key, key) if key else ""


def step_words(step: str, figures: Mapping[str, Any]) -> str:
    """A step of a run with its figures."""
    known = {**BOOKS, **HELD}
    told = [
        _("{what} {number}").format(what=known[name], number=f"{value:,}")
        for name, value in figures.items()
        if name in known and isinstance(value, int)
    ]
    return "  ".join([word(STEPS, step), *told])


def tolerance_words(tolerance: Mapping[str, Any]) -> str:
    """How many refused rows stop a run."""
    rows, share = tolerance.get("rows"), tolerance.get("share")
    bounds = [] if rows is None else [_("{rows} 行").format(rows=rows)]
    bounds += [] if share is None else [_("{percent:.6g}%").format(percent=share * 100)]
    return _("，").join(bounds) or _("不限")


REFRESHING: Mapping[str, str] = {"swap": _("换表"), "reload": _("就地更新")}
"""How a target is refreshed (刷新方式)."""


def refresh_words(refreshing: Mapping[str, Any] | None) -> str | None:
    """How a target is or was refreshed, and why so."""
    if refreshing is None:
        return None
    how, why = word(REFRESHING, refreshing["how"]), _("；").join(refreshing["why"])
    return _("{how}（{why}）").format(how=how, why=why) if why else how


def event_type(text: str) -> str:
    """The type of an event somebody wrote, by its name or in words."""
    return next((name for name, words in EVENTS.items() if text == words), text)
