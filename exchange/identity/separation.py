"""Separation of duties (三员分立): which roles one person may hold together, and why not."""

from __future__ import annotations

from collections.abc import Collection

from exchange.identity import TITLES
from exchange.settings import ADMINISTRATORS, Role


def titles(roles: Collection[Role]) -> str:
    """The roles as people call them."""
    return "、".join(TITLES[role] for role in Role if role in roles) or "无"


def against(roles: Collection[Role], *, programme: bool = False, of_the_hub: bool = True) -> list[str]:
    """What is against one account holding these roles; empty: nothing.

    Args:
        roles: The roles, with those the same person holds elsewhere.
        programme: Whether it is a programme's account.
        of_the_hub: Whether its department runs the hub.
    """
    held = set(roles)
    administrators = held & ADMINISTRATORS
    found = []
    if len(administrators) > 1:
        found.append(f"三员分立：一人不能同时担任{titles(administrators)}")
    if Role.AUDIT in held and held - {Role.AUDIT}:
        found.append(f"审计管理员只查看、不办理，不能同时担任{titles(held - {Role.AUDIT})}")
    if administrators and programme:
        found.append(f"{titles(administrators)}须由人担任，不能授予程序")
    if administrators and not of_the_hub:
        found.append(f"{titles(administrators)}须由平台管理单位的人员担任")
    return found
