"""What a binding may say about files, whether they are read or written, and which format it means by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from adapters.base import Binding, Options
from adapters.errors import Misconfigured
from adapters.files.formats.base import Format, FormatName
from adapters.files.formats.csv import Csv
from adapters.files.formats.document import Documents
from adapters.files.formats.jsonl import JsonLines
from adapters.files.formats.parquet import Parquet
from adapters.files.formats.xlsx import Xlsx
from adapters.files.formats.xml import Xml
from adapters.files.wrapping import ENDINGS, Wrapper
from adapters.options import nearest, read_options

FORMATS: dict[FormatName, Format] = {
    each.name: each for each in (Csv(), Xlsx(), JsonLines(), Xml(), Parquet(), Documents())
}
"""Every format there is."""


class FileOptions(Options):
    """What files are, beside what their format asks.

    Attributes:
        format: What the bytes mean; by default what the ending of the pattern says, else ``csv``.
        wrapper: What they lie in: ``none``, ``gzip`` or ``zip``; by default what the ending says, else nothing.
    """

    format: FormatName | None = None
    wrapper: Wrapper | None = None


Told = TypeVar("Told", bound=FileOptions)


class Chosen(NamedTuple, Generic[Told]):
    """The options of a binding, taken apart.

    Attributes:
        options: Those of files.
        format: The format.
        layout: Those that it understands.
        wrapper: The wrapper.
    """

    options: Told
    format: Format
    layout: Options
    wrapper: Wrapper


def choose(options_type: type[Told], binding: Binding, *, sink: bool) -> Chosen[Told]:
    """Read the options of a binding, each by whom it concerns.

    Raises:
        Misconfigured: listing what is wrong; an option that the format does not have is wrong too.
    """
    named = {name: value for name, value in binding.options.items() if name in FileOptions.model_fields}
    given = read_options(FileOptions, named, "文件挂接")
    wrapper, name = told_by(binding.object)
    format = FORMATS[given.format or name]  # noqa: A001 - the field's own word
    layout_type = format.writing if sink else format.reading
    layout = {key: value for key, value in binding.options.items() if key in layout_type.model_fields}
    rest = {key: value for key, value in binding.options.items() if key not in layout}
    if format.opaque and (sink or (given.wrapper or wrapper) != "none"):
        raise Misconfigured(
            "格式 document 只用于收取，不打开压缩包", remedy="交付写 csv 等格式；收取压缩包本身时写 wrapper: none"
        )
    known = [*options_type.model_fields, *layout_type.model_fields]
    if problems := [_strange(key, format, known, sink=sink) for key in rest if key not in known]:
        raise Misconfigured(f"文件挂接的选项有误：{'；'.join(problems)}", remedy=f"可用的选项：{'、'.join(known)}")
    return Chosen(
        read_options(options_type, rest, "文件挂接"),
        format,
        read_options(layout_type, layout, f"文件挂接（格式 {format.name}）"),
        given.wrapper or wrapper,
    )


def _strange(key: str, format: Format, known: Sequence[str], *, sink: bool) -> str:
    """What is wrong with an option that neither files nor their format have."""
    others = [one.name for one in FORMATS.values() if key in (one.writing if sink else one.reading).model_fields]
    if others:
        return f"{key}：格式 {format.name} 没有这个选项，{'、'.join(others)} 才有"
    return f"{key}：没有这个选项{nearest(key, known)}"


def told_by(pattern: str) -> tuple[Wrapper, FormatName]:
    """The wrapper and the format that the ending of a name tells."""
    text = pattern.casefold()
    wrapper: Wrapper = "none"
    for ending, kind in ENDINGS.items():
        if text.endswith(ending):
            wrapper, text = kind, text.removesuffix(ending)
    for one in FORMATS.values():
        if text.endswith(one.endings):
            return wrapper, one.name
    return wrapper, "csv"


def inner_name(name: str) -> str:
    """What a file is called inside its wrapper."""
    for ending in ENDINGS:
        if name.casefold().endswith(ending):
            return name[: -len(ending)]
    return name
