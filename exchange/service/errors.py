"""The hub's errors as a caller hears them (对外答复): what to do next, and nothing of what lies behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from adapters.errors import Refused, Unavailable
from exchange.errors import Busy, Denied, Held, HubError, Misplaced


@contextmanager
def answered(resource: str) -> Iterator[None]:
    """Turn the hub's errors into the port's; their own words stand with the run and in the log.

    Args:
        resource: What the caller asked for, as it called it.
    """
    try:
        yield
    except Denied as error:
        raise Refused(f"资源 {resource} 的授权现在不允许提供", remedy="向平台查询授权的状态") from error
    except Busy as error:
        raise Unavailable(f"资源 {resource} 正在处理中", remedy="retry_after=5：5 秒后再试") from error
    except (Held, Misplaced) as error:
        raise Unavailable(f"资源 {resource} 暂停提供", remedy="请与平台联系，恢复后再试") from error
    except HubError as error:
        raise Unavailable(f"资源 {resource} 暂时不能提供", remedy="稍后再试；总不成功时请与平台联系") from error
