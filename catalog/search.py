"""Search of the directory by Chinese words of two characters and up, alike on every database.

Every pair of neighbouring characters of what can be searched is a row with its weight; a word is found
by its pairs through an index, then looked for whole, so that only what contains it is found.
"""

from __future__ import annotations

import base64
import json
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
_WEIGHTS = {"name": 8, "code": 4, "item": 3, "provider": 2, "class": 2, "abstract": 1}


def runs(text: str) -> list[str]:
    """The unbroken runs of letters, digits and ideographs in a text, width and case made equal."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter if letter.isalnum() else " " for letter in folded).split()


def pairs(run: str) -> list[str]:
    """The pairs of neighbouring characters of a run."""
    return [run[start : start + 2] for start in range(len(run) - 1)]


def index(session: Session, row: ResourceRow, resource: Resource, provider_names: Iterable[str]) -> None:
    """Make a version in force searchable, in place of the one before."""
    remove(session, row)
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
    row.words = "|".join(words)
    if weights:
        rows = [{"term": term, "resource": row.code, "weight": weight} for term, weight in sorted(weights.items())]
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


def find(session: Session, wanted: Wanted, *, limit: int, cursor: str | None) -> tuple[Page, str | None]:
    """The versions in force that fit, those with most hits first, and where the next page starts.

    Raises:
        Rejected: the text has no word of two characters, or the cursor is not one.
    """
    score, statement = _ranked(wanted.text)
    order = [ResourceRow.code.asc()] if score is None else [score.desc(), ResourceRow.code.asc()]
    statement = statement.where(*_filters(wanted)).order_by(*order).limit(limit + 1)
    if cursor is not None:
        last_score, last_code = _opened(cursor)
        later = ResourceRow.code > last_code
        statement = statement.where(
            later if score is None else or_(score < last_score, and_(score == last_score, later))
        )
    found = session.execute(statement).all()
    page = found[:limit]
    more = len(found) > limit
    return page, _closed(page[-1][2], page[-1][0].code) if more else None


def _ranked(text: str) -> tuple[ColumnElement[int] | None, Select[ResourceRow, ResourceVersionRow, int]]:
    in_force = and_(ResourceRow.code == ResourceVersionRow.resource, ResourceRow.in_force == ResourceVersionRow.version)
    phrases = [runs(word) for word in text[: LONGEST + 1].split()]
    phrases = [phrase for phrase in phrases if phrase]
    if not text.strip():
        return None, select(ResourceRow, ResourceVersionRow, literal(0)).join(ResourceVersionRow, in_force)
    terms = sorted({pair for phrase in phrases for run in phrase for pair in pairs(run)})
    if not terms or len(text) > LONGEST:
        problem = Problem("检索词", f"须有一个至少两个字的词，总长不超过 {LONGEST} 字", "例如：出生 人口")
        raise Rejected("检索词无法使用", [problem])
    hits = (
        select(TermRow.resource, func.sum(TermRow.weight).label("score"))
        .where(TermRow.term.in_(terms))
        .group_by(TermRow.resource)
        .having(func.count() == len(terms))
        .subquery()
    )
    score: ColumnElement[int] = hits.c.score
    statement = (
        select(ResourceRow, ResourceVersionRow, score)
        .join(ResourceVersionRow, in_force)
        .join(hits, hits.c.resource == ResourceRow.code)
        .where(*(ResourceRow.words.contains(" ".join(phrase), autoescape=True) for phrase in phrases))
    )
    return score, statement


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


def _closed(score: int, code: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([int(score), code]).encode()).decode()


def _opened(cursor: str) -> tuple[int, str]:
    try:
        score, code = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, TypeError) as error:
        raise _no_cursor() from error
    if type(score) is not int or not 0 <= score < 2**31 or not isinstance(code, str) or unseen(code):
        raise _no_cursor()
    return score, code


def _no_cursor() -> Rejected:
    return Rejected("翻页位置无法使用", [Problem("翻页位置", "不是上一页给出的", "从第一页重新检索")])
