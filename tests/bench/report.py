"""One form for every benchmark of the project, to be read by people and programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """One figure beside its baseline; the form of the JSON.

    Attributes:
        name: What was done.
        seconds: Median of the rounds.
        baseline: What it is compared with; empty: nothing.
        baseline_seconds: Median of the same rounds.
        ratio: How many times as long it took, less is better; where the benchmark says so, how many times as many
            rows or bytes it moved in a second.
        rows_per_second: Rows handed over in a second.
        peak_mb: Highest resident memory of the process that moved the rows, in MiB.
    """

    name: str
    seconds: float
    baseline: str = ""
    baseline_seconds: float | None = None
    ratio: float | None = None
    rows_per_second: int | None = None
    peak_mb: int | None = None


def compared(
    name: str, seconds: Sequence[float], baseline: str, against: Sequence[float], *, rows: int, peak_mb: int | None
) -> Result:
    """Medians of rounds that were made in turn."""
    mine, other = statistics.median(seconds), statistics.median(against)
    return Result(
        name=name,
        seconds=round(mine, 3),
        baseline=baseline,
        baseline_seconds=round(other, 3),
        ratio=round(mine / other, 2),
        rows_per_second=round(rows / mine),
        peak_mb=peak_mb,
    )


def document(bench: str, versions: dict[str, str], results: Sequence[Result]) -> dict[str, object]:
    """The report as one object."""
    return {"bench": bench, "machine": machine(), "versions": versions, "results": [asdict(each) for each in results]}


def machine() -> dict[str, object]:
    """What it was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    return {
        "system": platform.platform(terse=True),
        "processors": len(os.sched_getaffinity(0)),
        "memory_gb": memory,
        "load": round(os.getloadavg()[0], 1),
    }


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of installed packages."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}


def show(report: dict[str, object], *, as_json: bool) -> None:
    """Print a report, as JSON or as a table in Markdown."""
    if as_json:
        print(json.dumps(report, ensure_ascii=False, indent=2))
        return
    lines = [
        "| what | seconds | against | seconds | ratio | rows/s | peak MB |",
        "| --- | --: | --- | --: | --: | --: | --: |",
    ]
    results: list[dict[str, object]] = report["results"]  # type: ignore[assignment]
    for each in results:
        cells = ("" if value is None else str(value).replace("|", "\\|") for value in each.values())
        lines.append(f"| {' | '.join(cells)} |")
    print("\n".join(lines))


def told(words: str) -> None:
    """Progress, for whoever waits."""
    print(words, file=sys.stderr, flush=True)


@contextmanager
def watched() -> Iterator[list[int]]:
    """The highest resident memory of this process from here on, in MiB, in the list when the block is left.

    The kernel keeps the mark itself, so that watching costs nothing.
    """
    folder = Path("/proc/self")
    peak: list[int] = []
    try:
        (folder / "clear_refs").write_text("5")
        yield peak
    finally:
        line = next(each for each in (folder / "status").read_text().splitlines() if each.startswith("VmHWM"))
        peak.append(int(line.split()[1]) // 1024)
