from __future__ import annotations

import hashlib
import json
from pathlib import Path

from exchange.demo.papers import Arrived, arrived, paper

ROW = {"certificate_number": "JY13212020000001", "trust_level": "A"}


def test_a_paper_is_a_pdf_whose_table_of_places_is_right() -> None:
    made = paper(ROW)
    assert made.startswith(b"%PDF-1.4")
    assert made.endswith(b"%%EOF\n")
    assert b"JY13212020000001 A" in made
    table = made[int(made.split(b"startxref\n")[1].split()[0]) :]
    assert table.startswith(b"xref\n0 7\n")
    for number, line in enumerate(table.splitlines()[3:9], 1):
        assert made[int(line.split()[0]) :].startswith(b"%d 0 obj" % number)
    assert paper(ROW | {"trust_level": "B"}) != made


def test_what_lies_in_a_drop_is_compared_with_what_was_given(tmp_path: Path) -> None:
    document, other = paper(ROW), paper(ROW | {"trust_level": "B"})
    folder = tmp_path / "a"
    folder.mkdir()
    folder.joinpath("1.pdf").write_bytes(document)
    data = b"_operation,number,file\nU,1,a/1.pdf\nD,2,\n"
    tmp_path.joinpath("a.csv").write_bytes(data)
    about = {
        "file": "a.csv",
        "key": "K",
        "sha256": hashlib.sha256(data).hexdigest(),
        "documents": [{"name": "a/1.pdf", "sha256": hashlib.sha256(document).hexdigest()}],
    }
    tmp_path.joinpath("a.csv.manifest.json").write_text(json.dumps(about))
    given = {hashlib.sha256(document).hexdigest()}
    assert arrived(tmp_path, given) == {"K": Arrived(1, 1, 1)}
    assert arrived(tmp_path, ())["K"].wrong == ("a/1.pdf 与提供方给出的不符",)
    folder.joinpath("1.pdf").write_bytes(other)
    assert arrived(tmp_path, given)["K"].wrong == ("a/1.pdf 与提供方给出的不符",)
    tmp_path.joinpath("a.csv").write_bytes(data + b"U,3,\n")
    assert arrived(tmp_path, given)["K"].wrong == ("a.csv 与清单不符", "a/1.pdf 与提供方给出的不符")
