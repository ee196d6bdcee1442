"""Workbooks made by hand, with what no well-behaved program writes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
KIND = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def cell(place: str, text: str) -> str:
    """A cell with a text of its own."""
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


def row(number: int, *texts: str) -> str:
    """A row of such cells."""
    return (
        f'<row r="{number}">'
        + "".join(cell(f"{chr(65 + at)}{number}", text) for at, text in enumerate(texts))
        + "</row>"
    )


def sheet(rows: str, after: str = "") -> str:
    """A sheet of rows."""
    data = f"<sheetData>{rows}</sheetData>{after}"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<worksheet xmlns="{MAIN}">{data}</worksheet>'


def workbook(
    sheets: Mapping[str, str],
    *,
    states: Mapping[str, str] | None = None,
    texts: str | None = None,
    styles: str | None = None,
    properties: str = "",
    more: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """A workbook.

    Args:
        sheets: Name to the XML of the sheet.
        states: Name to state, of those that cannot be seen.
        texts: The elements of the shared texts.
        styles: The elements of the style sheet.
        properties: Attributes of the workbook's properties.
        more: Further members, or others in the place of these.
    """
    listed, relations = [], []
    members: dict[str, str | bytes] = {}
    for number, (name, content) in enumerate(sheets.items(), 1):
        state = f' state="{states[name]}"' if states and name in states else ""
        listed.append(f'<sheet name="{name}" sheetId="{number}"{state} r:id="rId{number}"/>')
        target = f"worksheets/sheet{number}.xml"
        relations.append(f'<Relationship Id="rId{number}" Type="{KIND}/worksheet" Target="{target}"/>')
        members[f"xl/{target}"] = content
    if texts is not None:
        relations.append(f'<Relationship Id="rIdT" Type="{KIND}/sharedStrings" Target="/xl/sharedStrings.xml"/>')
        members["xl/sharedStrings.xml"] = f'<sst xmlns="{MAIN}">{texts}</sst>'
    if styles is not None:
        relations.append(f'<Relationship Id="rIdS" Type="{KIND}/styles" Target="styles.xml"/>')
        members["xl/styles.xml"] = f'<styleSheet xmlns="{MAIN}">{styles}</styleSheet>'
    members |= {
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}"><Relationship Id="r" Type="{KIND}/officeDocument"'
        ' Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{KIND}"><workbookPr {properties}/>'
        f"<sheets>{''.join(listed)}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}">{"".join(relations)}</Relationships>',
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in (members | dict(more or {})).items():
            made.writestr(name, content)
    return out.getvalue()
