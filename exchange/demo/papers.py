"""Licences as files (证照文件): small PDF documents, and whether a recipient got them as they were given."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from exchange.demo.generation import Row


def paper(row: Row) -> bytes:
    """A licence as a PDF file of one page, which bears its number and its level of trust."""
    text = f"BT /F1 18 Tf 72 740 Td ({row['certificate_number']} {row['trust_level']}) Tj ET".encode("ascii")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources 6 0 R >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Font << /F1 5 0 R >> >>",
    ]
    made = bytearray(b"%PDF-1.4\n")
    places = []
    for number, each in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%b\nendobj\n" % (number, each)
    begins = len(made)
    made += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    made += b"".join(b"%010d 00000 n \n" % place for place in places)
    made += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, begins)
    return bytes(made)


@dataclass(frozen=True)
class Arrived:
    """What a delivery brought to a recipient's drop.

    Attributes:
        put: Rows that put something.
        gone: Rows that take something away.
        documents: Files that came with them.
        wrong: What is not as its manifest says, or not as its department gave it, in words.
    """

    put: int
    gone: int
    documents: int
    wrong: tuple[str, ...] = ()


def arrived(drop: Path, given: Collection[str]) -> dict[str, Arrived]:
    """Look through a drop as its department would: manifests, data files, documents; by delivery key.

    Args:
        drop: The folder.
        given: The digest of every document that was ever given.
    """
    found = {}
    for place in sorted(drop.glob("*.manifest.json")):
        about, wrong = json.loads(place.read_text(encoding="utf-8")), []
        data = drop.joinpath(about["file"]).read_bytes()
        if hashlib.sha256(data).hexdigest() != about["sha256"]:
            wrong.append(f"{about['file']} 与清单不符")
        words = [line["_operation"] for line in csv.DictReader(data.decode("utf-8").splitlines())]
        documents = about.get("documents", [])
        for each in documents:
            digest = hashlib.sha256(drop.joinpath(each["name"]).read_bytes()).hexdigest()
            if digest != each["sha256"] or digest not in given:
                wrong.append(f"{each['name']} 与提供方给出的不符")
        found[about["key"]] = Arrived(words.count("U"), words.count("D"), len(documents), tuple(wrong))
    return found
