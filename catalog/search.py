"""Search of the directory by Chinese words of two characters and up, alike on every database.

Every pair of neighbouring characters of what can be searched is a row with its weight; a word is found
by its pairs through an index, then looked for whole, so that only what contains it is found.
"""

from __future__ import annotations

import base64
import json
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Row, Select, and_, delete, exists, func, insert, literal, or_, select
from sqlalchemy.orm import Session

from catalog import vocabulary
from catalog.errors import Problem, Rejected
from catalog.model import Resource, unseen
from catalog.tables import ResourceClassRow, ResourceRow, ResourceVersionRow, ResourceWayRow, TermRow
from catalog.vocabulary import ShareType, ShareWay, UpdateCycle

LONGEST = 100
_COUNTED = 5000
"""A pair that so many resources have is common: how many have it, is counted now and then only."""
_LATELY = 600.0
"""Seconds for which that holds."""
_REMEMBERED = 1000
_FEW = 50
"""A pair so rare leads, whatever the others are."""
_WEIGHTS = {"name": 8, "code": 4, "item": 3, "provider": 2, "class": 2, "abstract": 1}


def runs(text: str) -> list[str]:
    """The unbroken runs of letters, digits and ideographs in a text, width and case made equal."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter if letter.isalnum() else " " for letter in folded).split()


def pairs(run: str) -> list[str]:
    """The pairs of neighbouring characters of a run."""
    return [run[start : start + 2] for start in range(len(run) - 1)]


def weighed(resource: Resource, provider_names: Iterable[str]) -> tuple[str, dict[str, int]]:
    """What a resource is found by: its searchable text, and each pair of characters with its weight."""
    texts: list[tuple[str, str]] = [
        ("name", resource.name),
        ("code", resource.code),
        ("abstract", resource.abstract),
        *(("provider", name) for name in (*provider_names, resource.provider_unit)),
        *(("item", text) for item in resource.items for text in (item.label, item.name)),
        *(("class", vocabulary.class_path(class_code)) for class_code in resource.classes),
    ]
    weights: Counter[str] = Counter()
    words: list[str] = []
    for kind, text in texts:
        found = runs(text)
        words.append(" ".join(found))
        for run in found:
            for pair in pairs(run):
                weights[pair] += _WEIGHTS[kind]
    # The bar keeps words from being found across two texts.
    return "|".join(words), dict(sorted(weights.items()))


def index(session: Session, row: ResourceRow, resource: Resource, provider_names: Iterable[str]) -> None:
    """Make a version in force searchable, in place of the one before."""
    remove(session, row)
    row.words, weights = weighed(resource, provider_names)
    if weights:
        rows = [{"term": term, "resource": row.code, "weight": weight} for term, weight in weights.items()]
        session.execute(insert(TermRow), rows)


def remove(session: Session, row: ResourceRow) -> None:
    """Make a resource unfindable by words."""
    row.words = None
    session.execute(delete(TermRow).where(TermRow.resource == row.code))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is searched for: words, and what the directory knows of each resource.

    Attributes:
        text: Words, each of which must occur; empty: everything.
        record_class: Class of records (数据类别).
        provider: Credit code of the provider.
        share_type: Sharing type.
        way: Sharing way.
        cycle: Update cycle.
        under: A class code (类、项、目、细目): what stands in it or below it.
    """

    text: str = ""
    record_class: str | None = None
    provider: str | None = None
    share_type: ShareType | None = None
    way: ShareWay | None = None
    cycle: UpdateCycle | None = None
    under: str | None = None


Page = Sequence[Row[ResourceRow, ResourceVersionRow, int]]


class Frequencies:
    """How many resources have a pair of characters (词频); of pairs that very many have, as it was counted lately."""

    def __init__(self) -> None:
        self._common: dict[str, tuple[int, float]] = {}

    def rarest(self, session: Session, terms: Sequence[str]) -> str:
        """The pair that the fewest resources have."""
        if len(terms) == 1:
            return terms[0]
        counts: list[tuple[int, str]] = []
        for term in terms:
            counts.append((self._count(session, term), term))
            if counts[-1][0] < _FEW:
                break
        return min(counts)[1]

    def _count(self, session: Session, term: str) -> int:
        known, until = self._common.get(term, (0, 0.0))
        if time.monotonic() < until:
            return known
        some = select(TermRow.resource).where(TermRow.term == term)
        count = session.scalar(select(func.count()).select_from(some.limit(_COUNTED).subquery())) or 0
        if count == _COUNTED:
            count = session.scalar(select(func.count()).select_from(some.subquery())) or 0
            if len(self._common) >= _REMEMBERED:
                self._common.clear()
            self._common[term] = count, time.monotonic() + _LATELY
        return count


def find(
    session: Session, wanted: Wanted, frequencies: Frequencies, *, limit: int, cursor: str | None
) -> tuple[Page, str | None]:
    """The versions in force that fit, and where the next page starts.

    Of several pairs of characters the rarest leads: what it weighs in a resource is the resource's score, and only
    where it occurs is looked for the whole words. So a page is read off an index in its order, however many fit.

    Raises:
        Rejected: the text has no word of two characters, or the cursor is not one.
    """
    phrases, terms = _words(wanted.text)
    later = _opened(cursor) if cursor is not None else None
    if not terms:
        statement = select(ResourceRow, ResourceVersionRow, literal(0)).join(ResourceVersionRow, _in_force())
        statement = statement.where(*_filters(wanted)).order_by(ResourceRow.code)
        if later is not None:
            statement = statement.where(ResourceRow.code > later.code)
        found = session.execute(statement.limit(limit + 1)).all()
        lead = ""
    else:
        lead = later.lead if later is not None and later.lead in terms else frequencies.rarest(session, terms)
        some = _led(lead, phrases, wanted, limit=limit + 1, later=later).subquery()
        statement = (
            select(ResourceRow, ResourceVersionRow, some.c.weight)
            .join_from(some, ResourceRow, ResourceRow.code == some.c.resource)
            .join(ResourceVersionRow, _in_force())
            .order_by(some.c.weight.desc(), some.c.resource.desc())
        )
        found = session.execute(statement).all()
    page = found[:limit]
    more = len(found) > limit
    return page, _Place(int(page[-1][2]), page[-1][0].code, lead).cursor() if more else None


def foremost(session: Session, wanted: Wanted, frequencies: Frequencies, *, limit: int) -> list[str]:
    """Codes of the first resources that fit; without a text, none.

    Raises:
        Rejected: the text has no word of two characters.
    """
    phrases, terms = _words(wanted.text)
    if not terms:
        return []
    led = _led(frequencies.rarest(session, terms), phrases, wanted, limit=limit, later=None)
    return [code for code, _ in session.execute(led)]


def _led(
    lead: str, phrases: Sequence[Sequence[str]], wanted: Wanted, *, limit: int, later: _Place | None
) -> Select[str, int]:
    """Resources that have the leading pair and all that is wanted besides, the heaviest first."""
    # A value, where planners cannot make a join of it that begins by reading all resources for the words.
    fits = (
        select(literal(1))
        .select_from(ResourceRow)
        .join(ResourceVersionRow, _in_force())
        .where(ResourceRow.code == TermRow.resource, *_containing(phrases), *_filters(wanted))
        .correlate(TermRow)
        .scalar_subquery()
    )
    statement = (
        select(TermRow.resource, TermRow.weight)
        .where(TermRow.term == lead, fits == 1)
        .order_by(TermRow.weight.desc(), TermRow.resource.desc())
        .limit(limit)
    )
    if later is None:
        return statement
    after = and_(TermRow.weight == later.score, TermRow.resource < later.code)
    return statement.where(TermRow.weight <= later.score, or_(TermRow.weight < later.score, after))


def _in_force() -> ColumnElement[bool]:
    version = ResourceVersionRow
    return and_(ResourceRow.code == version.resource, ResourceRow.in_force == version.version)


def _words(text: str) -> tuple[list[list[str]], list[str]]:
    """The words of a text, each as its runs, and all their pairs; nothing of an empty one."""
    if not text.strip():
        return [], []
    phrases = [phrase for word in text[: LONGEST + 1].split() if (phrase := runs(word))]
    terms = sorted({pair for phrase in phrases for run in phrase for pair in pairs(run)})
    if not terms or len(text) > LONGEST:
        problem = Problem("检索词", f"须有一个至少两个字的词，总长不超过 {LONGEST} 字", "例如：出生 人口")
        raise Rejected("检索词无法使用", [problem])
    return phrases, terms


def _containing(phrases: Sequence[Sequence[str]]) -> Iterator[ColumnElement[bool]]:
    return (ResourceRow.words.contains(" ".join(phrase), autoescape=True) for phrase in phrases)


def _filters(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    version = ResourceVersionRow
    if wanted.record_class is not None:
        yield version.record_class == wanted.record_class
    if wanted.provider is not None:
        yield ResourceRow.provider == wanted.provider
    if wanted.share_type is not None:
        yield version.share_type == wanted.share_type
    if wanted.cycle is not None:
        yield version.update_cycle == wanted.cycle
    if wanted.way is not None:
        ways = ResourceWayRow
        yield exists().where(ways.resource == version.resource, ways.version == version.version, ways.way == wanted.way)
    if wanted.under is not None:
        classes = ResourceClassRow
        yield exists().where(
            classes.resource == version.resource,
            classes.version == version.version,
            classes.class_code.startswith(wanted.under, autoescape=True),
        )


@dataclass(frozen=True)
class _Place:
    """The last one of a page, and the pair that led to it."""

    score: int
    code: str
    lead: str

    def cursor(self) -> str:
        return base64.urlsafe_b64encode(json.dumps([self.score, self.code, self.lead]).encode()).decode()


def _opened(cursor: str) -> _Place:
    try:
        score, code, lead = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, TypeError, RecursionError) as error:
        raise _no_cursor() from error
    texts = isinstance(code, str) and isinstance(lead, str) and not unseen(code) and not unseen(lead)
    if type(score) is not int or not 0 <= score < 2**31 or not texts:
        raise _no_cursor()
    return _Place(score, code, lead)


def _no_cursor() -> Rejected:
    return Rejected("翻页位置无法使用", [Problem("翻页位置", "不是上一页给出的", "从第一页重新检索")])
