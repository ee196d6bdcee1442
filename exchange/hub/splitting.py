"""A split run on one machine (本机分段执行): its parts side by side, each in a process of its own."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from exchange.engine import PartState
from exchange.errors import HubError
from exchange.identity import Actor

if TYPE_CHECKING:
    from exchange.hub.core import Hub


def stage_side_by_side(hub: Hub, exchange: str, parts: int, *, by: Actor) -> int:
    """Split a run of an exchange, if it can be, and stage its parts in as many processes.

    What goes wrong with a part is for whoever runs the exchange then: he stages what is missing, or says why not.

    Returns:
        How many parts there were to stage; 0: it is not split.
    """
    found = hub.engine.split(exchange, parts, by=by)
    waiting = [part.number for part in found.parts if part.state != PartState.STAGED] if found else []
    if found is None or not waiting:
        return 0
    # A fork would inherit the connections and the locks of this process.
    context = multiprocessing.get_context("spawn")
    with (
        suppress(BrokenProcessPool),
        ProcessPoolExecutor(min(parts, len(waiting)), mp_context=context) as pool,
    ):
        for done in [pool.submit(_stage, hub.settings.home, found.id, number, by) for number in waiting]:
            done.result()
    return len(waiting)


def _stage(home: Path, run: str, number: int, by: Actor) -> None:
    from exchange.hub.home import open_hub

    with suppress(HubError), closing(open_hub(home)) as hub:
        hub.engine.stage_part(run, number, by=by)
