"""What a service process of the city is (服务进程): ``python -m exchange.demo.services ROLE PLACE``.

It says on standard output where it answers, and ends when it is told to, or when its standard input closes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from exchange.demo.fronts import Service
from exchange.service import rows_service, serve
from exchange.service.soap import serve_soap
from exchange.settings import Settings, Soap, load_settings

RECEIVER = "exchange.demo.receiving:open_desk"


def main(role: str, place: Path) -> None:
    """Be a service until told to stop.

    Args:
        role: ``projects``: rows of the database ``place`` are read from it; ``receiver``: rows are pushed to it and
            kept in the folder ``place``; ``door``: the hub's own, whose home is ``place``.
        place: Where its files are.
    """
    threading.Thread(target=_end_with_input, daemon=True).start()
    match role:
        case "projects":
            _serve_projects(place)
        case "receiver":
            # It is no hub's home, but it is served like one; whose it is stands in the folder.
            department = place.joinpath("department").read_text(encoding="ascii")
            _serve_soap(Settings(home=place, hub_department=department, soap=Soap(desk=RECEIVER)))
        case "door":
            _serve_soap(load_settings(place))
        case _:
            raise SystemExit(f"no such service: {role}")


def _serve_projects(file: Path) -> None:
    service = Service(file)
    with serve(rows_service("Projects", "urn:Projects", service.items, service.read)) as server:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        _announce(server.url)
        while True:
            signal.pause()


def _serve_soap(settings: Settings) -> None:
    """With one process: a city in miniature has few callers."""
    one = settings.model_copy(update={"soap": settings.soap.model_copy(update={"workers": 1})})
    serve_soap(one, host="127.0.0.1", port=0, announce=_announce)


def _announce(address: str) -> None:
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()


def _end_with_input() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
