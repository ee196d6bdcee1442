"""One application of all doors for people and their programmes (站点应用)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import URL
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exchange import api, console
from exchange.console import failures, navigation
from exchange.console.attempts import Attempts
from exchange.console.views import FOLDER, MustChange, SignInNeeded, environment
from exchange.errors import HubError
from exchange.hub import Hub
from exchange.site import health
from exchange.site.metrics import Metrics
from exchange.site.parts import Parts
from exchange.web.correlation import Correlation
from exchange.web.headers import SecurityHeaders
from exchange.web.limits import Bounds, Rate
from exchange.web.paths import WholeParts, quoted
from exchange.web.proxies import Proxies
from exchange.web.turns import Turns
from exchange.web.working import Working

STATIC = Path(FOLDER) / "static"


def application(hub: Hub, *, address: str, scheduler: str = "") -> FastAPI:
    """The application over a hub that is open; whoever opened it closes it.

    Args:
        hub: The hub.
        address: Where it listens; the settings may say that others reach it elsewhere.
        scheduler: Address of the Airflow that runs beside it; empty: none does.
    """
    web = hub.settings.web
    app = FastAPI(
        title="数通",
        version="1",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.hub = hub
    app.state.address = web.public_address or address
    app.state.rate = Rate(lambda: hub.current.web.calls_per_minute)
    app.state.working = Working()
    app.state.metrics = Metrics(hub)
    app.state.parts = Parts(hub, scheduler=scheduler)
    app.state.attempts = Attempts(hub, app.state.working)
    app.state.templates = environment()
    app.state.templates.globals |= {"navigation": navigation.navigation, "current": navigation.current}
    app.include_router(health.router)
    app.include_router(api.router)
    for router in console.routers:
        app.include_router(router)
    app.mount("/static", _Static(directory=STATIC), name="static")

    app.add_exception_handler(SignInNeeded, _to_sign_in)
    app.add_exception_handler(MustChange, lambda _request, _error: RedirectResponse("/me", 303))
    for kind in (HubError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _failed)

    # The last is the first to see a call.
    app.add_middleware(_Defects)
    app.add_middleware(Turns)
    app.add_middleware(WholeParts)
    app.add_middleware(Bounds, largest=web.largest, seconds=web.seconds)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Correlation)
    app.add_middleware(Proxies, trusted=web.proxies)
    return app


class _Defects:
    """Answers where a mistake of ours left nothing else: as every other failure, with the headers of every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def told(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, told)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            await (await _failed(Request(scope, receive), error))(scope, receive, send)


class _Static(StaticFiles):
    """Files of ours; they change with a new version only."""

    def file_response(self, *args: object, **given: object) -> Response:
        answer = super().file_response(*args, **given)  # type: ignore[arg-type]  # as it was called
        answer.headers["Cache-Control"] = "public, max-age=300"
        return answer


async def _to_sign_in(request: Request, _error: Exception) -> Response:
    if request.headers.get("accept", "*/*") == "text/event-stream":
        return RedirectResponse("/sign-in", 303)
    # Who sent a form comes back to the page that it stood on: our pages tell nobody else where that is.
    place = request.url if request.method == "GET" else _page_before(request)
    here = place.path + (f"?{place.query}" if place.query else "") if place else "/"
    return RedirectResponse("/sign-in" + (f"?next={quoted(here)}" if here != "/" else ""), 303)


def _page_before(request: Request) -> URL | None:
    with suppress(ValueError):
        before = URL(request.headers.get("referer", ""))
        if before.netloc == request.url.netloc:
            return before
    return None


async def _failed(request: Request, error: Exception) -> Response:
    """As a page for people, as problem details for programmes."""
    if request.scope["path"].startswith("/api/"):
        return api.problem(request, error)
    return failures.page(request, error)
