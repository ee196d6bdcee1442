"""What a service's description says, as plain trees: operations, elements, and where the rows are (服务契约)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from adapters.base import FoundColumn, FoundElement, Proposal
from adapters.structure import ARGUMENT, OF_SERVICE, Structure, StructureColumn

FAMILIES = {
    "C": "文本", "M": "文本", "L": "逻辑", "N": "定点数", "I": "整数", "F": "浮点数", "B": "浮点数", "D": "日期",
    "T": "带时区的日期时间", "G": "二进制",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Element:
    """An element (or attribute) of a message.

    Attributes:
        name: Without its namespace.
        namespace: None: it has none.
        letter: Letter of the item type its values have; empty: it has elements.
        declared: The schema's word for its type.
        length: Characters it may have, where that is said.
        optional: It may be left out.
        nillable: It may say ``xsi:nil``.
        many: It may repeat.
        elements: What it consists of, in order.
        attributes: Its attributes.
    """

    name: str
    namespace: str | None = None
    letter: str = ""
    declared: str = ""
    length: int | None = None
    optional: bool = False
    nillable: bool = False
    many: bool = False
    elements: tuple[Element, ...] = ()
    attributes: tuple[Element, ...] = ()

    def at(self, path: str) -> Element | None:
        """The element at a path below this one."""
        place: Element | None = self
        for name in path.split("/"):
            if place is None:
                return None
            if name.startswith("@"):
                place = next((each for each in place.attributes if each.name == name[1:]), None)
            else:
                place = next((each for each in place.elements if each.name == name), None)
        return place

    def leaves(self, path: str = "") -> Iterator[tuple[str, Element]]:
        """Every value below, by its path."""
        for each in self.attributes:
            yield f"{path}@{each.name}", each
        for each in self.elements:
            if each.elements:
                yield from each.leaves(f"{path}{each.name}/")
            else:
                yield f"{path}{each.name}", each
                yield from ((f"{path}{each.name}/@{one.name}", one) for one in each.attributes)

    def found(self, mark: str = "") -> FoundElement:
        """The tree as an inspection tells it."""
        inside = (*(each.found("@") for each in self.attributes), *(each.found() for each in self.elements))
        return FoundElement(f"{mark}{self.name}", self.declared, self.optional, self.many, inside)

    def words(self, indent: int = 0) -> Iterator[str]:
        """The tree as lines for people."""
        for each in self.attributes:
            yield f"{'  ' * indent}@{each.name}: {each.declared}"
        for each in self.elements:
            marks = f"{'*' if each.many else '?' if each.optional else ''}"
            yield f"{'  ' * indent}{each.name}{marks}{f': {each.declared}' if each.letter else ''}"
            yield from each.words(indent + 1)


@dataclass(frozen=True)
class Operation:
    """An operation (操作).

    Attributes:
        name: Its name.
        arguments: Its arguments, by name; those in an element by path.
        row: The element that repeats in its reply, by name.
        columns: What that consists of, by path.
        style: ``document`` or ``rpc``.
        use: ``literal`` or ``encoded``.
        request: The body of its request.
        reply: The body of its reply.
        action: The SOAPAction.
    """

    name: str
    arguments: tuple[str, ...]
    row: str
    columns: tuple[FoundColumn, ...]
    style: str = "document"
    use: str = "literal"
    request: Element = field(default_factory=lambda: Element(name=""))
    reply: Element = field(default_factory=lambda: Element(name=""))
    action: str = ""

    def title(self) -> str:
        """Style and arguments, for people."""
        return f"{self.style}/{self.use} ({', '.join(self.arguments)})"

    def structure(self, address: str | None = None) -> Structure:
        """What its messages look like, as the hub compares it between runs.

        The values of a reply's row and of a pushed row are columns under their paths, what else a request has under
        its path behind ``→``, and behind ``⇒`` how it is called.

        Args:
            address: Path of the service, where the contract is trusted with it.
        """
        columns = [_column(path, each) for path, each in _row(self.reply).leaves()] if self.row else []
        pushed, inside = repeated(self.request)
        if inside is not None:
            known = {column.name for column in columns}
            columns += [_column(path, each) for path, each in inside.leaves() if path not in known]
        columns += [
            _column(f"{ARGUMENT}{path}", each)
            for path, each in self.request.leaves()
            if not (pushed and path.startswith(f"{pushed}/"))
        ]
        called = {"地址": address, "命名空间": self.request.namespace, "SOAPAction": self.action}
        called["风格"] = f"{self.style}/{self.use}"
        columns += [
            StructureColumn(name=f"{OF_SERVICE}{name}", family="文本", declared=value)
            for name, value in called.items()
            if value is not None
        ]
        return Structure(name=self.name, columns=tuple(columns))

    def proposals(self) -> tuple[Proposal, ...]:
        """How it could be read page by page, guessed from the names of its arguments and elements."""
        if not self.row or repeated(self.request)[1] is not None:
            return ()  # what takes rows gives none
        options: dict[str, object] = {"row": self.row}
        reasons = [self.title(), f"应答中重复的元素是 {self.row}"]
        outside = [path.rpartition("/")[2] for path, each in self.reply.leaves() if each.letter]
        names = {path.rpartition("/")[2].lower(): path for path in self.arguments}
        cursor, following = _first(names, _CURSOR), _first({name.lower(): name for name in outside}, _NEXT)
        size = _first(names, _SIZE)
        page, start = _first(names, _PAGE), _first(names, _START)
        if cursor and following:
            options |= {"cursor": cursor, "next": following}
            reasons.append(f"参数 {cursor} 和应答元素 {following} 像是游标")
        elif page:
            options |= {"paging": "page", "page": page}
            reasons.append(f"参数 {page} 像是页号")
        elif start:
            options |= {"paging": "offset", "start": start}
            reasons.append(f"参数 {start} 像是起始行")
        else:
            options |= {"paging": "none"}
            reasons.append("没有像翻页的参数，一次读完")
        options["limit"] = size
        if size:
            reasons.append(f"参数 {size} 像是每页行数")
        since, until = _first(names, _FROM), _first(names, _TO)
        found = [Proposal(capture="snapshot", options=options, reasons=tuple(reasons))]
        if since and until:
            window = {"from": since, "to": until, "begin": "2000-01-01T00:00:00"}
            more = (*reasons, f"参数 {since}、{until} 像是时间窗")
            found.append(Proposal(capture="batches", options=options | {"window": window}, reasons=more))
        return tuple(found)


_CURSOR = ("cursor", "pagetoken", "token", "marker")
_NEXT = ("nextcursor", "next", "following", "nexttoken", "nextpagetoken")
_SIZE = ("limit", "size", "pagesize", "rows", "count", "maxrows", "num")
_PAGE = ("page", "pageno", "pageindex", "pagenum", "currentpage", "pagenumber")
_START = ("start", "offset", "startrow", "startindex", "skip", "begin")
_FROM = ("from", "starttime", "begintime", "timefrom", "startdate", "begindate", "kssj")
_TO = ("to", "endtime", "timeto", "enddate", "jssj")


def _first(names: dict[str, str], wanted: tuple[str, ...]) -> str | None:
    return next((names[name] for name in wanted if name in names), None)


def repeated(element: Element, path: str = "") -> tuple[str, Element | None]:
    """The first element below that may repeat and has values of its own: path and element of the row."""
    for each in element.elements:
        here = f"{path}{each.name}"
        if each.many and (each.elements or each.attributes):
            return here, each
        found, inside = repeated(each, f"{here}/")
        if inside is not None:
            return found, inside
    return "", None


def columns_of(row: Element | None) -> tuple[FoundColumn, ...]:
    """What a row consists of."""
    if row is None:
        return ()
    return tuple(
        FoundColumn(path, each.letter or "C", length=each.length, nullable=each.optional or each.nillable)
        for path, each in row.leaves()
    )


def _row(reply: Element) -> Element:
    return repeated(reply)[1] or reply


def _column(name: str, each: Element) -> StructureColumn:
    return StructureColumn(
        name=name,
        family=FAMILIES.get(each.letter, "文本"),
        declared=each.declared,
        length=each.length,
        nullable=each.optional or each.nillable,
    )
