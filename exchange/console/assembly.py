"""All pages (页面总表)."""

from __future__ import annotations

from fastapi import APIRouter

from exchange.console import (
    access,
    accounts,
    applications,
    applying,
    dashboard,
    directory,
    endpoints,
    entrance,
    exchanges,
    files,
    grants,
    log,
    messages,
    overview,
    quarantine,
    registering,
    resources,
    running,
    runs,
    structures,
    tokens,
    verification,
)

routers: tuple[APIRouter, ...] = (
    entrance.router,
    overview.router,
    directory.router,
    registering.router,
    resources.router,
    applying.router,
    applications.router,
    grants.router,
    endpoints.router,
    exchanges.router,
    running.router,
    quarantine.router,
    structures.router,
    messages.router,
    files.router,
    access.router,
    dashboard.router,
    runs.router,
    log.router,
    verification.router,
    accounts.router,
    tokens.router,
)
"""In the order in which they are asked."""
