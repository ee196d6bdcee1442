from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import zeep
from lxml import etree

from adapters.webservice import contracts
from adapters.webservice.contracts import (
    Contract,
    example,
    generic_contract,
    operations,
    typed_contract,
    typed_namespace,
    typed_path,
    xsd_type,
)
from adapters.webservice.faults import Soap
from schemas import Item
from tests.adapters.webservice.memory_desk import ITEMS, PEOPLE, SENT

PUBLIC = "https://hub.example:8443"
SHOP = Item(name="1店 名", label="<&>", type="C", length=3)


def each() -> list[tuple[str, Contract]]:
    """Contracts of all kinds in both versions."""
    found: list[tuple[str, Contract]] = []
    for soap in ("1.1", "1.2"):
        found.append((f"generic {soap}", generic_contract(PUBLIC, soap)))  # type: ignore[arg-type]
        for offer in (PEOPLE, SENT, replace(PEOPLE, items=(*ITEMS, SHOP), lookup=False)):
            name = f"{offer.direction} {len(offer.items)} {soap}"
            found.append((name, typed_contract(offer, PUBLIC, soap)))  # type: ignore[arg-type]
    return found


EACH = dict(each())


@pytest.mark.parametrize("contract", EACH.values(), ids=EACH.keys())
def test_every_message_has_an_example_that_fits(contract: Contract) -> None:
    schema = etree.XMLSchema(etree.fromstring(contract.schema))
    assert set(contract.examples) == {f"{name}{tail}" for name in contract.operations for tail in ("", "Response")}
    for text in contract.examples.values():
        schema.assertValid(etree.fromstring(text))
    envelope = etree.fromstring(contract.example(contract.operations[0], "1.2"))
    assert etree.QName(envelope).namespace == "http://www.w3.org/2003/05/soap-envelope"


@pytest.mark.parametrize(("name", "contract"), EACH.items(), ids=EACH.keys())
def test_zeep_understands_it(name: str, contract: Contract, tmp_path: Path) -> None:
    file = tmp_path / "a.wsdl"
    file.write_bytes(contract.wsdl)
    client = zeep.Client(str(file))
    (service,) = client.wsdl.services.values()
    (port,) = service.ports.values()
    assert set(port.binding.all()) == set(contract.operations)
    assert type(port.binding).__name__ == ("Soap12Binding" if name.endswith("1.2") else "Soap11Binding")
    assert port.binding_options["address"].startswith(PUBLIC + ("/soap12/" if name.endswith("1.2") else "/soap/"))
    for operation in port.binding.all().values():
        assert operation.soapaction == contract.action(operation.name)


def test_it_is_the_same_bytes_in_every_process() -> None:
    code = """
import hashlib
from tests.adapters.webservice.test_contracts import each
parts = [c.wsdl + c.schema + repr(sorted(c.examples.items())).encode() for _, c in each()]
print(hashlib.sha256(b"".join(parts)).hexdigest())
"""
    root = Path(__file__).resolve().parents[3]
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            cwd=root,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root), "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_another_version_is_another_contract() -> None:
    newer = replace(PEOPLE, version=2)
    assert typed_namespace(newer.resource, 2, "read") != typed_namespace(newer.resource, 1, "read")
    assert typed_path(newer.resource, 2, "read") == "/soap/r/101001001%2F0001/2"
    assert typed_path(newer.resource, 2, "write", "1.2") == "/soap12/w/101001001%2F0001/2"
    assert typed_contract(newer, PUBLIC, "1.1").wsdl != typed_contract(PEOPLE, PUBLIC, "1.1").wsdl


def test_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    typed_contract.cache_clear()
    for version in range(1, contracts.KEPT + 20):
        typed_contract(replace(SENT, version=version, items=ITEMS[:1]), PUBLIC, "1.1")
    assert typed_contract.cache_info().currsize == contracts.KEPT


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ({"type": "C", "length": 3}, ("xs:string", (("maxLength", 3),))),
        ({"type": "C"}, ("xs:string", ())),
        ({"type": "M"}, ("xs:string", ())),
        ({"type": "N", "length": 5}, ("xs:long", (("totalDigits", 5),))),
        ({"type": "N"}, ("xs:decimal", (("totalDigits", 38), ("fractionDigits", 0)))),
        ({"type": "N", "length": 9, "scale": 2}, ("xs:decimal", (("totalDigits", 9), ("fractionDigits", 2)))),
        ({"type": "Y"}, ("xs:decimal", (("totalDigits", 20), ("fractionDigits", 2)))),
        ({"type": "D"}, ("xs:date", ())),
        ({"type": "T"}, ("xs:dateTime", ())),
        ({"type": "L"}, ("xs:boolean", ())),
        ({"type": "G"}, ("xs:base64Binary", ())),
        ({"type": "I"}, ("xs:long", ())),
        ({"type": "B"}, ("xs:double", ())),
        ({"type": "F"}, ("xs:double", ())),
    ],
)
def test_types(item: dict[str, object], kind: object) -> None:
    made = Item(name="a", label="a", **item)  # type: ignore[arg-type]
    assert xsd_type(made) == kind
    offer = replace(PEOPLE, items=(made,), key=("a",))
    contract = typed_contract(offer, PUBLIC, "1.1")
    etree.XMLSchema(etree.fromstring(contract.schema)).assertValid(etree.fromstring(contract.examples["QueryResponse"]))
    assert example(made) in contract.examples["QueryResponse"].decode()


@pytest.mark.parametrize("soap", ["1.1", "1.2"])
def test_what_can_be_called(soap: Soap) -> None:
    assert operations(PEOPLE) == ("Query", "Lookup", "Receipt")
    assert operations(replace(PEOPLE, lookup=False)) == ("Query", "Receipt")
    assert operations(SENT) == ("Push", "Status", "Receipt")
    assert generic_contract(PUBLIC, soap).operations == operations(None)
