"""``shutong bench NAME``: the project's own benchmarks, run from its source folder."""

from __future__ import annotations

import argparse
import sys

from tests.bench import airflow, console, database, files, webservice
from tests.bench.report import document, show, versions

BENCHES = {
    "airflow": (airflow.results, airflow.PARTS, ("apache-airflow", "sqlalchemy")),
    "console": (console.results, console.PARTS, ("sqlalchemy", "psycopg")),
    "database": (database.results, database.PARTS, ("pyarrow", "psycopg", "adbc-driver-postgresql", "sqlalchemy")),
    "files": (files.results, files.PARTS, ("paramiko", "cryptography", "pyarrow")),
    "webservice": (webservice.results, webservice.PARTS, ("lxml", "spyne", "zeep", "granian", "pyarrow")),
}


def main(words: list[str]) -> int:
    """Run one benchmark and print its report."""
    parser = argparse.ArgumentParser(prog="shutong bench", description="每项与同轮的基线相比，取三轮的中位数")
    parser.add_argument("bench", choices=sorted(BENCHES))
    parser.add_argument("--only", metavar="NAME,…", default="", help="只测其中几项")
    parser.add_argument("--scale", type=float, help="数据量，1 为全量；只用于 console，默认 0.1")
    parser.add_argument("--json", action="store_true", dest="as_json", help="以 JSON 输出")
    given = parser.parse_args(words)
    run, parts, packages = BENCHES[given.bench]
    only = [name for name in given.only.split(",") if name]
    if unknown := [name for name in only if name not in parts]:
        parser.error(f"没有 {'、'.join(unknown)}；可选：{'、'.join(parts)}")
    if given.scale is not None and (given.bench != "console" or given.scale <= 0):
        parser.error("--scale 须为正数，只用于 console")
    found = run(only) if given.scale is None else console.results(only, given.scale)
    show(document(given.bench, versions(*packages), found), as_json=given.as_json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
