"""All pages (页面总表)."""

from __future__ import annotations

from fastapi import APIRouter

from exchange.console import (
    access,
    accounts,
    answers,
    applications,
    applying,
    dashboard,
    demands,
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
    recalls,
    registering,
    resources,
    running,
    runs,
    settings,
    structures,
    tokens,
    verification,
)

routers: tuple[APIRouter, ...] = (
    entrance.router,
    overview.router,
    directory.router,
    demands.router,
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
    recalls.router,
    answers.router,
    access.router,
    dashboard.router,
    runs.router,
    log.router,
    verification.router,
    accounts.router,
    settings.router,
    tokens.router,
)
"""In the order in which they are asked."""
