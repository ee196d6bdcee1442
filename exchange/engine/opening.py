"""Opening endpoints: the one place where secret references become secrets and bindings become real."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import adapters
from adapters import AdapterError, Binding, DocumentStore, Endpoint
from adapters.registry import endpoint_type, open_endpoint, secret_fields
from catalog import EndpointSpec
from exchange.engine.spool import HubSpool
from exchange.errors import Failed, Invalid, Problem, Red
from exchange.plan import LIBRARY, End
from exchange.secrets import HOW_TO_WRITE, Keyring, is_reference, open_secret
from schemas import Item, profile


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn an adapter's error into the hub's, keeping its cause, its remedy and whether to retry.

    A lost stage is none for people, nor is a reading that is to be begun anew: the run begins again by itself.
    """
    try:
        yield
    except (adapters.StageLost, adapters.ReadAnew):
        raise
    except (adapters.Restored, adapters.Unbalanced, adapters.Overtaken) as error:
        raise Red(f"{what}: {error.message}", remedy=error.remedy) from error
    except adapters.Misconfigured as error:
        raise Invalid(f"{what}: {error.message}", remedy=error.remedy) from error
    except AdapterError as error:
        raise Failed(f"{what}: {error.message}", remedy=error.remedy, retry=error.retry) from error


def problems_of_options(kind: str, options: Mapping[str, Any], *, where: str) -> list[Problem]:
    """Everything wrong with an endpoint's options, without opening anything.

    A secret must be a reference (``env:NAME``, ``file:PATH``, ``airflow:CONNECTION``): its value is never registered.
    """
    try:
        secrets = secret_fields(kind)
    except AdapterError as error:
        return [Problem(where=f"{where} › kind", message=error.message, remedy=error.remedy)]
    found = [
        Problem(
            where=f"{where} › options › {name}",
            message="口令和密钥只登记引用，不登记原文",
            remedy=HOW_TO_WRITE,
        )
        for name in sorted(secrets & options.keys())
        if not (isinstance(options[name], str) and is_reference(options[name]))
    ]
    try:
        open_endpoint(kind, dict(options))
    except AdapterError as error:
        found.append(Problem(where=f"{where} › options", message=error.message, remedy=error.remedy))
    return found


def problems_of_endpoint(spec: EndpointSpec, *, home: Path) -> list[Problem]:
    """Everything wrong with an endpoint as registered: its options, and whether it reaches into the hub itself."""
    where = f"端点 {spec.name}"
    found = problems_of_options(spec.kind, spec.options, where=where)
    if not found:
        found = [
            Problem(where=f"{where} › options › {field}", message="指向平台自己的文件", remedy="端点只指向部门的数据")
            for field in _reaching_in(spec.kind, spec.options, home=home, name=spec.name)
        ]
    return found


def _reaching_in(kind: str, options: Mapping[str, Any], *, home: Path, name: str) -> list[str]:
    """Options that lead to the hub's keys, log, payloads or databases; the base library alone may be its own."""
    home = home.resolve()
    own = {home, *(home / file for file in ("hub.db", "heads.jsonl", "shutong.toml"))}
    if name != LIBRARY:
        own.add(home / "library.db")
    found = []
    for field in sorted(_path_fields(kind) & options.keys()):
        path = (home / str(options[field])).resolve()
        folders = {home / folder for folder in ("keys", "payload", "spool", "mail", "logs", "airflow")}
        if path in own or not folders.isdisjoint({path, *path.parents}):
            found.append(field)
    return found


def open_registered(
    kind: str,
    options: Mapping[str, Any],
    zone: str,
    *,
    home: Path,
    name: str,
    keyring: Keyring | None = None,
    documents: DocumentStore | None = None,
) -> Endpoint:
    """Open a registered endpoint with its secrets; files of secrets may lie in the hub's home.

    With the hub's keys it can also be delivered to where that takes a place of the hub's own to stage in; with the
    hub's documents, files travel with its rows.

    Raises:
        Invalid: The registration is wrong, or a secret is not to be found.
    """
    opened = dict(options)
    with translated(f"端点 {name}"):
        for field in secret_fields(kind) & opened.keys():
            opened[field] = open_secret(opened[field], home)
        if _reaching_in(kind, opened, home=home, name=name):
            raise Invalid(f"端点 {name} 指向平台自己的文件", remedy="端点只指向部门的数据")
        for field in _path_fields(kind) & opened.keys():
            opened[field] = home / opened[field]
        endpoint = open_endpoint(kind, opened, zone)
        endpoint.scratch = home / "spool"
        if keyring is not None:
            endpoint.spool = HubSpool(home, keyring, name)
        endpoint.documents = documents
        return endpoint


def _path_fields(kind: str) -> frozenset[str]:
    """The options of a kind that are paths by type."""
    fields = endpoint_type(kind).options_type.model_fields.items()
    return frozenset(name for name, field in fields if Path in (field.annotation, *get_args(field.annotation)))


def binding(end: End, key: tuple[str, ...], version: str | None, items: Iterable[Item] = ()) -> Binding:
    """The adapters' binding of one end of an exchange; a source of files must know which of its items are documents."""
    return Binding(
        object=end.object,
        columns=end.columns,
        key=key,
        version=version,
        capture=end.capture,  # type: ignore[arg-type]  # checked against the capabilities by planning
        profile=profile(end.profile) if end.profile else None,
        fixed=end.fixed,
        options=end.options,
        documents=tuple(item.name for item in items if item.document),
    )
