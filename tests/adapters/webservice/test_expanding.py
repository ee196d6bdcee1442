from __future__ import annotations

import time

import pytest
from lxml import etree

from adapters.errors import Malformed
from adapters.webservice.client import ServiceClient
from adapters.webservice.expanding import TOLD, Expansion
from adapters.webservice.http import Limits, Line
from tests.adapters.webservice.conftest import WSDL, Place

AREA = '<xs:element name="area" type="xs:string" minOccurs="0"/>'


def _told(place: Place, schema: str, kind: str = "t:T") -> tuple[str, ...]:
    text = WSDL.replace("IMPORTS", schema).replace(AREA, f'<xs:element name="area" type="{kind}" minOccurs="0"/>')
    place.archive.wsdl = text
    return ServiceClient(Line(Limits(seconds=5)), place.url, None).operation("getRecords").arguments


def _doubling(tag: str, inside: str, levels: int, *, ordered: bool) -> str:
    """Groups of which each names the next one twice."""
    wrap = ("<xs:sequence>", "</xs:sequence>") if ordered else ("", "")
    twice = [f'<xs:{tag} ref="t:G{level + 1}"/>' * 2 for level in range(levels)]
    return "".join(
        f'<xs:{tag} name="G{level}">{wrap[0]}{content}{wrap[1]}</xs:{tag}>'
        for level, content in enumerate([*twice, inside])
    )


@pytest.mark.parametrize("levels", [14, 40, 2000])
def test_groups_that_double(place: Place, levels: int) -> None:
    schema = _doubling("group", '<xs:element name="x" type="xs:string"/>', levels, ordered=True)
    schema += '<xs:complexType name="T"><xs:sequence><xs:group ref="t:G0"/></xs:sequence></xs:complexType>'
    begun = time.monotonic()
    with pytest.raises(Malformed, match="展开后过大"):
        _told(place, schema)
    assert time.monotonic() - begun < 10


def test_groups_of_attributes_that_double(place: Place) -> None:
    schema = _doubling("attributeGroup", '<xs:attribute name="x" type="xs:string"/>', 40, ordered=False)
    schema += '<xs:complexType name="T"><xs:attributeGroup ref="t:G0"/></xs:complexType>'
    with pytest.raises(Malformed, match="展开后过大"):
        _told(place, schema)


def test_a_group_in_many_types(place: Place) -> None:
    schema = '<xs:group name="G"><xs:sequence>'
    schema += "".join(f'<xs:element name="x{each}" type="xs:string"/>' for each in range(1000))
    schema += "</xs:sequence></xs:group>"
    schema += "".join(
        f'<xs:complexType name="T{each}"><xs:sequence><xs:group ref="t:G"/></xs:sequence></xs:complexType>'
        for each in range(300)
    )
    with pytest.raises(Malformed, match="展开后过大"):
        _told(place, schema, "t:T1")


def test_a_group_that_names_itself() -> None:
    schema = etree.fromstring(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="u" xmlns:t="u">'
        '<xs:group name="A"><xs:sequence><xs:group ref="t:B"/></xs:sequence></xs:group>'
        '<xs:group name="B"><xs:sequence><xs:group ref="t:A"/></xs:sequence></xs:group></xs:schema>'
    )
    with pytest.raises(Malformed, match="引用自身"):
        Expansion().add(schema)


def test_what_is_usual_is_told(place: Place) -> None:
    """Two groups in one type, one of them in the other's element: sections in sections."""
    schema = (
        '<xs:group name="Names"><xs:sequence><xs:element name="first" type="xs:string"/>'
        '<xs:element name="last" type="xs:string"/></xs:sequence></xs:group>'
        '<xs:group name="Sections"><xs:sequence><xs:element name="section" minOccurs="0"><xs:complexType><xs:sequence>'
        '<xs:element name="title" type="xs:string"/><xs:group ref="t:Sections" minOccurs="0"/>'
        "</xs:sequence></xs:complexType></xs:element></xs:sequence></xs:group>"
        '<xs:complexType name="T"><xs:sequence><xs:group ref="t:Names"/><xs:group ref="t:Sections"/></xs:sequence>'
        "</xs:complexType>"
    )
    told = _told(place, schema)
    assert {"area/first", "area/last", "area/section/title", "area/section/section/title"} <= set(told)


@pytest.mark.parametrize("wide", [10, 60])
def test_types_of_their_own_type(place: Place, wide: int) -> None:
    """A type whose elements are of its own type is told as deep as it can be."""
    inside = "".join(f'<xs:element name="e{each}" type="t:T" minOccurs="0"/>' for each in range(wide))
    begun = time.monotonic()
    told = _told(place, f'<xs:complexType name="T"><xs:sequence>{inside}</xs:sequence></xs:complexType>')
    assert time.monotonic() - begun < 10
    assert wide <= len(told) <= TOLD
    assert {"page", "size", "changedSince"} <= set(told)
