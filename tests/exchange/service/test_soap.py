"""The door under its server: a process of its own, as an operator starts it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import zeep
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from zeep.wsse.username import UsernameToken

from adapters.webservice.contracts import generic_contract
from exchange.errors import Invalid
from exchange.service.soap import application, desk_factory, serve_soap
from exchange.settings import Settings
from tests.adapters.webservice.knocking import PUBLIC, READ, WRITE, envelope, gateway, knock, push, query
from tests.adapters.webservice.memory_desk import PASSWORD, TOKEN, USER, MemoryDesk
from tests.exchange.settings.test_model import HUB
from tests.support.packages import PHP, PHP_SOAP

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = [sys.executable, "-c", "from exchange.cli import main; main()", "serve", "soap", "--port", "0", "--json"]
DESK = "tests.adapters.webservice.memory_desk:open_desk"
BEARER = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/xml; charset=utf-8"}


@dataclass
class Served:
    """A running service."""

    process: subprocess.Popen[str]
    address: str

    @property
    def place(self) -> tuple[str, int]:
        parts = urlsplit(self.address)
        return parts.hostname or "", parts.port or 0

    def post(self, path: str, inside: str, **named: Any) -> requests.Response:
        return requests.post(self.address + path, envelope(inside), headers=BEARER, timeout=20, **named)

    def dial(self) -> socket.socket:
        return socket.create_connection(self.place, timeout=10)


@contextlib.contextmanager
def serving(home: Path, *, stop: int = signal.SIGTERM, **soap: Any) -> Iterator[Served]:
    home.mkdir(exist_ok=True)
    lines = [f'hub_department = "{HUB}"', "[soap]", f'desk = "{DESK}"']
    lines += [f"{name} = {json.dumps(value)}" for name, value in soap.items()]
    (home / "shutong.toml").write_text("\n".join(lines), encoding="utf-8")
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [*PROGRAM, "--home", str(home)], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=log
        )
        assert process.stdout is not None
        told = ""
        while line := process.stdout.readline():
            told += line
            if line == "}\n":
                break
        try:
            yield Served(process, json.loads(told)["address"])
        finally:
            process.send_signal(stop)
            try:
                process.wait(30)
            finally:
                process.kill()
                process.stdout.close()
                process.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    (home / "rows").write_text("25")
    with serving(home, workers=1, seconds=8, rate=2000) as found:
        yield found


def test_it_answers(served: Served) -> None:
    assert requests.get(f"{served.address}/healthz", timeout=5).text == "ok\n"
    told = served.post("/soap/r/101001001%2F0001/1", query("<limit>25</limit>"))
    assert (told.status_code, told.text.count("<row")) == (200, 26)
    # Some proxies decode the slash of a resource's code.
    assert served.post(READ, query()).status_code == 200
    assert served.post("/nothing", "").status_code == 404


def test_headers_with_underscores_arrive(served: Served) -> None:
    headers = {"Content-Type": "text/xml", **dict(gateway())}
    place = f"{served.address}{READ}"
    told = requests.post(place, envelope(query()), headers=headers, timeout=5)
    assert told.status_code == 200
    again = requests.post(place, envelope(query()), headers=headers, timeout=5)
    assert again.status_code == 401
    both = requests.post(place, envelope(query()), headers={**BEARER, "A_B": "1", "A-B": "2"}, timeout=5)
    assert "Client.Malformed" in both.text


PHP_PROGRAM = r"""<?php
[$_, $address, $user, $password] = $argv;
function security($user, $password) {
    $wsse = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd';
    $wsu = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd';
    $type = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest';
    $nonce = random_bytes(16);
    $created = gmdate('Y-m-d\TH:i:s\Z');
    $digest = base64_encode(sha1($nonce . $created . $password, true));
    $xml = "<w:Security xmlns:w='$wsse' xmlns:u='$wsu'><w:UsernameToken><w:Username>$user</w:Username>"
        . "<w:Password Type='$type'>$digest</w:Password><w:Nonce>" . base64_encode($nonce) . "</w:Nonce>"
        . "<u:Created>$created</u:Created></w:UsernameToken></w:Security>";
    return new SoapHeader($wsse, 'Security', new SoapVar($xml, XSD_ANYXML), true);
}
$told = [];
foreach (['soap' => SOAP_1_1, 'soap12' => SOAP_1_2] as $root => $version) {
    $options = ['soap_version' => $version, 'cache_wsdl' => WSDL_CACHE_NONE,
        'features' => SOAP_SINGLE_ELEMENT_ARRAYS, 'keep_alive' => false];
    $call = function ($client, $operation, $arguments) use ($user, $password) {
        $client->__setSoapHeaders(security($user, $password));
        return $client->$operation($arguments);
    };
    $reader = new SoapClient("$address/$root/r/101001001%2F0001/1?wsdl", $options);
    $rows = [];
    $cursor = null;
    do {
        $page = $call($reader, 'Query', array_filter(['cursor' => $cursor, 'limit' => 10]));
        foreach ($page->rows->row as $row) {
            $row->photo = isset($row->photo) ? base64_encode($row->photo) : null;
            $rows[] = $row;
        }
        $cursor = $page->nextCursor ?? null;
    } while ($cursor !== null);
    $one = $call($reader, 'Lookup', ['id' => 2])->rows->row;
    $receipt = $call($reader, 'Receipt', ['id' => $page->delivery]);
    $writer = new SoapClient("$address/$root/w/101001001%2F0002/1?wsdl", $options);
    $sent = ['messageId' => "php-$root", 'rows' => ['row' => [
        ['id' => 1, 'name' => '𠮷 <&>', 'born' => '2026-01-01', '备注' => " 前后 \r\n"],
        ['id' => 2, '_operation' => 'delete'],
    ]]];
    $first = $call($writer, 'Push', $sent);
    $again = $call($writer, 'Push', $sent);
    $status = $call($writer, 'Status', ['messageId' => "php-$root"]);
    $every = new SoapClient("$address/$root/exchange?wsdl", $options);
    $described = $call($every, 'Describe', []);
    $generic = $call($every, 'Query', ['resource' => '101001001/0001', 'limit' => 1]);
    $row = ['item' => [['name' => 'id', '_' => '5'], ['name' => 'name', 'nil' => true, '_' => '']]];
    $pushed = $call($every, 'Push', ['messageId' => "php-generic-$root", 'resource' => '101001001/0002',
        'rows' => ['row' => [$row]]]);
    try {
        $every->Query(['resource' => '101001001/0001']);
        $replayed = 'answered';
    } catch (SoapFault $fault) {
        $replayed = $fault->detail->code;
    }
    try {
        $call($every, 'Query', ['resource' => '999999999/0001']);
        $forbidden = 'answered';
    } catch (SoapFault $fault) {
        $forbidden = $fault->detail->code;
    }
    $told[$root] = compact('rows', 'one', 'receipt', 'first', 'again', 'status', 'described', 'generic', 'pushed',
        'replayed', 'forbidden');
}
echo json_encode($told, JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR);
"""


def test_php_reads_and_writes(served: Served, tmp_path: Path) -> None:
    PHP_SOAP.path()
    program = tmp_path / "client.php"
    program.write_text(PHP_PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [str(PHP.path()), str(program), served.address, USER, PASSWORD], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    both = json.loads(done.stdout)
    assert set(both) == {"soap", "soap12"}
    for told in both.values():
        assert [row["id"] for row in told["rows"]] == list(range(1, 26))
        assert told["rows"][3]["_operation"] == "put"
        assert told["rows"][1]["name"] == "张三 <&> 2 𠮷"
        assert told["rows"][1]["备注"] == " 前后 \r\n\t"
        assert base64.b64decode(told["rows"][2]["photo"]) == b"\x00\xff"
        assert (told["rows"][1]["active"], told["rows"][1]["changed"]) == (True, "2026-01-01T01:01:01Z")
        assert [row["id"] for row in told["one"]] == [2]
        assert told["receipt"]["counts"]["count"] == [{"name": "written", "value": 4}]
        assert (told["first"]["accepted"], told["first"]["repeated"]) == (2, False)
        assert told["again"] == {**told["first"], "repeated": True}
        assert told["status"] == told["first"]
        assert len(told["described"]["resources"]["resource"]) == 3
        items = {item["name"]: item for item in told["generic"]["rows"]["row"][0]["item"]}
        assert items["amount"]["nil"] is True
        assert (items["id"]["_"], items["备注"]["_"]) == ("1", "")
        assert told["pushed"]["accepted"] == 1
        assert (told["replayed"], told["forbidden"]) == ("Client.Unauthenticated", "Client.Forbidden")


@pytest.mark.parametrize("root", ["soap", "soap12"])
def test_zeep_reads_and_writes(served: Served, root: str) -> None:
    def client(path: str) -> Any:
        # A nonce and a moment of its own for every call; the clock of the hub is in UTC.
        token = UsernameToken(USER, PASSWORD, use_digest=True, zulu_timestamp=True)
        return zeep.Client(f"{served.address}/{root}/{path}?wsdl", wsse=token).service

    page = client("r/101001001%2F0001/1").Query(limit=2)
    assert [row.id for row in page.rows.row] == [1, 2]
    assert page.rows.row[0].changed == datetime(2026, 1, 1, 1, 1, 1, 1000, tzinfo=UTC)
    assert page.rows.row[1].备注 == " 前后 \r\n\t"
    assert (page.nextCursor, page.rows.row[0].amount) == ("2", None)
    rows = {"row": [{"id": 1, "name": "甲"}, {"id": 2, "_operation": "delete"}]}
    pushed = client("w/101001001%2F0002/1").Push(messageId=f"zeep-{root}", rows=rows)
    assert (pushed.total, pushed.accepted, pushed.repeated) == (2, 2, False)
    generic = client("exchange")
    assert len(generic.Describe()) == 3
    found = generic.Lookup(resource="101001001/0001", key={"item": [{"name": "id", "_value_1": "3"}]})
    assert {item.name: item._value_1 for item in found.rows.row[0].item}["photo"] == "AP8="
    with pytest.raises(zeep.exceptions.Fault, match="没有可用的这个资源"):
        generic.Query(resource="999999999/0001")


def test_chunked_bodies_are_taken_and_have_a_limit(served: Served) -> None:
    whole = envelope(push("<row><id>1</id></row>" * 1000, "chunked"))
    pieces = (whole[start : start + 999] for start in range(0, len(whole), 999))
    told = requests.post(served.address + WRITE, pieces, headers=BEARER, timeout=10)
    assert "<total>1000</total>" in told.text


def test_forty_slow_senders_keep_nobody_waiting(served: Served) -> None:
    head = f"POST {READ} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: text/xml\r\n"
    with contextlib.ExitStack() as lines:
        slow = [lines.enter_context(served.dial()) for _ in range(40)]
        for number, line in enumerate(slow):
            # Half of them do not even finish their head.
            line.sendall(head.encode() if number % 2 else f"{head}Content-Length: 100000\r\n\r\n<".encode())
        time.sleep(0.3)
        begun = time.monotonic()
        told = served.post(READ, query())
        assert (told.status_code, time.monotonic() - begun < 1) == (200, True)
        slow[0].settimeout(20)
        answer = slow[0].recv(65536).decode(errors="replace")
        assert "408" in answer.split("\r\n")[0]
        assert "Client.Slow" in answer + slow[0].recv(65536).decode(errors="replace")


def test_large_heads_are_refused(served: Served) -> None:
    with served.dial() as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000)
        with contextlib.suppress(OSError):
            line.sendall(b"\r\n\r\n")
            assert b" 431 " in line.recv(100)


def test_a_length_beyond_the_limit_is_refused_at_once(served: Served) -> None:
    with served.dial() as line:
        head = f"POST {READ} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: text/xml\r\n"
        line.sendall(f"{head}Content-Length: 100000000000\r\n\r\n<".encode())
        assert b" 413 " in line.recv(65536)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_it_is_told(tmp_path: Path, stop: int) -> None:
    with serving(tmp_path / "home", stop=stop, workers=2) as found:
        assert found.post(READ, query()).status_code == 200
        children = Path(f"/proc/{found.process.pid}/task/{found.process.pid}/children").read_text().split()
        assert len(children) >= 2
        place = found.place
    assert found.process.returncode == 0
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(place, timeout=2)
    assert "Traceback" not in (tmp_path / "home" / "log").read_text()


def test_its_processes_end_with_it(tmp_path: Path) -> None:
    with serving(tmp_path / "home", stop=signal.SIGKILL, workers=2) as found:
        children = Path(f"/proc/{found.process.pid}/task/{found.process.pid}/children").read_text().split()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(_lives(child) for child in children):
        time.sleep(0.05)
    assert not any(_lives(child) for child in children)


def test_a_process_that_dies_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path / "home", workers=1) as found:
        children = Path(f"/proc/{found.process.pid}/task/{found.process.pid}/children")
        (before,) = children.read_text().split()
        os.kill(int(before), signal.SIGKILL)
        deadline = time.monotonic() + 15
        while True:
            with contextlib.suppress(requests.exceptions.ConnectionError):
                assert found.post(READ, query()).status_code == 200
                break
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert before not in children.read_text().split()


def _lives(pid: str) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_an_answer_under_way_is_finished_before_it_stops(tmp_path: Path) -> None:
    with serving(tmp_path / "home", workers=1) as found:
        whole = envelope(push("<row><id>1</id></row>" * 60_000))
        answers: list[requests.Response] = []

        def send() -> None:
            answers.append(requests.post(found.address + WRITE, whole, headers=BEARER, timeout=30))

        caller = threading.Thread(target=send)
        caller.start()
        time.sleep(0.3)
    caller.join()
    assert "<total>60000</total>" in answers[0].text


_USES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def certificate(folder: Path, name: str, issuer: tuple[x509.Certificate, Any] | None = None) -> tuple[Any, Any]:
    """A key and a certificate, in files NAME.key and NAME.crt."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    local = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))])
    signing = issuer[1] if issuer else key
    named = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
    uses = dict.fromkeys(_USES, False) | {"digital_signature": True, "key_cert_sign": issuer is None}
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(local, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(named, critical=False)
        .add_extension(x509.KeyUsage(**uses), critical=True)
        .sign(signing, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    (folder / f"{name}.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (folder / f"{name}.crt").write_bytes(made.public_bytes(pem))
    return made, key


def test_tls_and_certificates_of_clients(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    authority = certificate(home, "authority")
    for name in ("server", "client"):
        certificate(home, name, authority)
    tls = {"tls_certificate": "server.crt", "tls_key": "server.key", "tls_client_ca": "authority.crt"}
    with serving(home, workers=1, **tls) as found:
        assert found.address.startswith("https://")
        trusted = {"verify": str(home / "authority.crt")}
        shown = (str(home / "client.crt"), str(home / "client.key"))
        told = found.post(READ, query(), cert=shown, **trusted)
        assert told.status_code == 200
        # Under TLS a password may be shown in clear.
        kind = {"Content-Type": "text/xml"}
        told = requests.post(
            found.address + READ,
            envelope(query()),
            headers=kind,
            auth=(USER, PASSWORD.encode()),
            cert=shown,
            timeout=5,
            **trusted,
        )
        assert told.status_code == 200
        with pytest.raises(requests.exceptions.ConnectionError):
            found.post(READ, query(), **trusted)
        context = ssl.create_default_context(cafile=str(home / "authority.crt"))
        context.load_cert_chain(*shown)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection(found.place) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as line,
        ):
            assert line.version() == "TLSv1.2"


# What needs no process.


def settings(**soap: Any) -> Settings:
    return Settings(hub_department=HUB, soap=soap)  # type: ignore[arg-type]


def test_a_desk_by_its_path() -> None:
    assert desk_factory(DESK)(Path("/nowhere")).published  # type: ignore[attr-defined]
    for path in ("no.such.module:x", "tests.adapters.webservice.memory_desk:nothing", "json:__name__"):
        with pytest.raises(Invalid):
            desk_factory(path)


def test_settings_become_limits_and_trust() -> None:
    desk = MemoryDesk()
    made = application(
        settings(page=3, largest=2000, public_address="https://hub.example/", proxies=["192.0.2.0/28"],
                 certificate_header="X-Client-Subject"),
        desk,
        "http://127.0.0.1:1",
    )  # fmt: skip
    door = made._door
    assert len(knock(door, READ, query("<limit>9</limit>")).rows()) == 3
    assert knock(door, READ, query(), headers=[("content-length", "2001")]).code == "Client.TooLarge"
    assert knock(door, READ, method="GET", query="wsdl").content.count(b"https://hub.example/soap/") == 1
    assert knock(door, READ, query(), headers=[("x-client-subject", "CN=bureau")]).status == 200
    assert door.trust.passwords


@pytest.mark.parametrize(
    ("address", "covered"),
    [("https://hub.example", True), ("http://hub.example", False), ("http://127.0.0.1:8096", True),
     ("http://[::1]:1", True), ("http://localhost", True), ("http://10.0.0.1", False)],
)  # fmt: skip
def test_when_passwords_in_clear_are_safe(address: str, covered: bool) -> None:
    assert application(settings(public_address=address), MemoryDesk(), "")._door.trust.passwords is covered


def test_where_it_may_listen(tmp_path: Path) -> None:
    def never(address: str) -> None:
        raise AssertionError(address)

    with pytest.raises(Invalid, match="对外地址"):
        serve_soap(settings(desk=DESK), host="0.0.0.0", port=0, announce=never)
    with pytest.raises(Invalid, match="不能监听"):
        serve_soap(settings(desk=DESK), host="127.0.0.1", port=70_000, announce=never)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Invalid, match="不能监听"):
        serve_soap(settings(desk=DESK), port=taken.getsockname()[1], announce=never)
    missing = settings(desk=DESK, tls_certificate=tmp_path / "a", tls_key=tmp_path / "b")
    with pytest.raises(Invalid, match="tls_certificate"):
        serve_soap(missing, port=0, announce=never)


def test_a_desk_that_does_not_open_is_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "shutong.toml").write_text(
        f'hub_department = "{HUB}"\n[soap]\nworkers = 1\ndesk = "tests.exchange.service.test_soap:refuse"\n'
    )
    done = subprocess.run([*PROGRAM, "--home", str(home)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 8
    assert "服务台坏了" in done.stderr
    assert json.loads(done.stdout)["error"]["kind"] == "failed"


def refuse(home: Path) -> MemoryDesk:
    """A desk that does not open."""
    raise Invalid("服务台坏了")


def test_the_address_in_a_contract_is_the_setting() -> None:
    assert re.search(rb'location="https://hub.example/soap/exchange"', generic_contract(PUBLIC, "1.1").wsdl)
