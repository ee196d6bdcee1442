"""All of the REST interface (接口总表)."""

from __future__ import annotations

from fastapi import APIRouter

from exchange.api import (
    accounts,
    exchanges,
    figures,
    files,
    log,
    parties,
    quarantine,
    resources,
    runs,
    settings,
    sharing,
    works,
)

router = APIRouter(prefix="/api/v1")

for part in (
    parties, resources, sharing, exchanges, runs, works, quarantine, files, figures, log, accounts, settings,
):  # fmt: skip
    router.include_router(part.router)
