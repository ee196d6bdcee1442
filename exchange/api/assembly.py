"""All of the REST interface (接口总表)."""

from __future__ import annotations

from fastapi import APIRouter

from exchange.api import accounts, exchanges, files, log, parties, quarantine, resources, runs, settings, sharing, works

router = APIRouter(prefix="/api/v1")

for part in (parties, resources, sharing, exchanges, runs, works, quarantine, files, log, accounts, settings):
    router.include_router(part.router)
