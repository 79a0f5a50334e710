"""mllp between the clients and the server of python-hl7, with the configuration of conf/."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hl7
import pytest
from hl7.client import MLLPClient

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import (
    Server,
    all_of,
    connect,
    eventually,
    exactly,
    free_port,
    refusing,
    reset,
)

ROOT = Path(__file__).parents[2]
CONF = (ROOT / "conf" / "mllp.toml").read_text()

ADMIT = (
    "MSH|^~\\&|LAB|NORTH|EHR|SOUTH|20261130||ADT^A01^ADT_A01|{}|P|2.5.1||||||UNICODE UTF-8\r"
    "EVN|A01|20261130\rPID|1||7^^^NORTH||M\u00fcller^J\u00fcrgen\r"
)
RESULT = ADMIT.replace("ADT^A01^ADT_A01", "ORU^R01^ORU_R01")


class Receiver:
    """A running server of python-hl7."""

    def __init__(self, uri: str, file: Path) -> None:
        self.uri = uri
        self._file = file

    @property
    def received(self) -> list[str]:
        """MSH-10 of the messages that it has received."""
        return self._file.read_text().split()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Callable[..., Receiver]]:
    """Start receivers, which answer with the code that they are given."""
    running: list[subprocess.Popen[bytes]] = []

    def start(code: str = "AA") -> Receiver:
        port = free_port()
        file = tmp_path / f"received-{port}"
        with file.open("wb") as output:
            command = [sys.executable, "-m", "tests.e2e.hl7_server", str(port), code]
            running.append(subprocess.Popen(command, stdout=output, cwd=ROOT))
        uri = f"tcp://127.0.0.1:{port}"

        def reached() -> bool:
            try:
                connect(uri).close()
            except OSError:
                return False
            return True

        eventually(reached, "the server of python-hl7 listens")
        return Receiver(uri, file)

    yield start
    for process in running:
        process.kill()
        process.wait()


def configured(ehr: str, laboratory: str = "", options: str = "") -> str:
    """Return the configuration of conf/ with these servers, and with further options."""
    text = CONF.replace("tcp://127.0.0.1:2576", ehr)
    text = text.replace("tcp://127.0.0.1:2577", laboratory or refusing())
    text = text.replace("[listener.options]", f"[listener.options]\n{options}")
    return text.replace("127.0.0.1:2575", "127.0.0.1:0")


def answer_of(client: MLLPClient, message: str) -> tuple[str, str]:
    """Send a message; return MSA-1 and MSA-2 of its answer."""
    answer = client.send_message(message)
    assert answer.startswith(b"\x0b")
    assert answer.endswith(b"\x1c\r")
    segment = hl7.parse(answer[1:-2]).segment("MSA")
    return str(segment(1)), str(segment(2))


@pytest.mark.parametrize("net_threads", [1, 3])
def test_many_clients_share_two_receivers(
    proxy: Starter, receiver: Callable[..., Receiver], net_threads: int
) -> None:
    ehr, laboratory = receiver("AA"), receiver("AE")
    text = configured(ehr.uri, laboratory.uri)
    running = proxy(f"[proxy]\nnet_threads = {net_threads}\n{text}")
    port = running.port("hl7")

    def play(number: int) -> list[tuple[str, str]]:
        with MLLPClient("127.0.0.1", port) as client:
            return [
                answer_of(client, (RESULT if serial % 2 else ADMIT).format(f"{number}-{serial}"))
                for serial in range(20)
            ]

    with ThreadPoolExecutor(10) as pool:
        for number, answers in enumerate(pool.map(play, range(10))):
            codes = ["AE" if serial % 2 else "AA" for serial in range(20)]
            assert answers == [(code, f"{number}-{at}") for at, code in enumerate(codes)]
    assert sorted(ehr.received) == sorted(f"{n}-{at}" for n in range(10) for at in range(0, 20, 2))
    assert sorted(laboratory.received) == sorted(
        f"{n}-{at}" for n in range(10) for at in range(1, 20, 2)
    )


def test_the_command_of_python_hl7(
    proxy: Starter, tools: Tools, receiver: Callable[..., Receiver], tmp_path: Path
) -> None:
    ehr = receiver()
    running = proxy(configured(ehr.uri))
    file = tmp_path / "messages.hl7"
    file.write_text("".join(ADMIT.format(n).replace("\r", "\n") for n in (1, 2, 3)))
    command = [str(Path(sys.executable).with_name("mllp_send")), "--loose", "--file", str(file)]
    output = tools.run(*command, "--port", str(running.port("hl7")), "127.0.0.1")
    assert re.findall(rb"MSA\|(\w+)\|(\d)", output) == [(b"AA", b"1"), (b"AA", b"2"), (b"AA", b"3")]
    assert ehr.received == ["1", "2", "3"]


def test_python_hl7_reads_the_answers_of_the_proxy(proxy: Starter) -> None:
    running = proxy(configured(refusing()))
    with MLLPClient("127.0.0.1", running.port("hl7")) as client:
        assert answer_of(client, ADMIT.format("1")) == ("AR", "1")
        assert answer_of(client, ADMIT.format("2").replace("ADT^", "MDM^")) == ("AR", "2")
        assert answer_of(client, ADMIT.format("").replace("|P|", "|T|")) == ("AE", "")
    running.wait_for('message "1" answered AR: no server can be reached')
    running.wait_for('message "2" answered AR: MSH-9: not an accepted value')


def test_over_tls_on_both_sides(
    proxy: Starter, certificates: Certificates, receiver: Callable[..., Receiver], tools: Tools
) -> None:
    certificate, key = certificates.issue("localhost")
    ehr = receiver()
    text = configured("tls://localhost:INNER").replace(
        'servers = ["tls://localhost:INNER"]',
        f'servers = ["tls://localhost:INNER"]\ntls = {{ ca = "{certificates.ca}" }}',
    )
    inner = free_port()
    text = (
        text.replace("INNER", str(inner))
        + f"""
[[listener]]
name = "inner"
bind = "tls://localhost:{inner}"
plugin = "forward"
upstream = "receiver"
tls = {{ certificate = "{certificate}", key = "{key}" }}

[upstream.receiver]
servers = ["{ehr.uri}"]
"""
    )
    running = proxy(text)
    with MLLPClient("127.0.0.1", running.port("hl7")) as client:
        assert answer_of(client, ADMIT.format("1")) == ("AA", "1")
    assert ehr.received == ["1"]


def test_a_receiver_is_started_again(proxy: Starter) -> None:
    """A message that was sent and lost gets AE; with attempts, its sender does not notice."""
    block = f"\x0b{ADMIT}\x1c\r".encode()
    answered = b"\x0bMSH|^~\\&|EHR\rMSA|AA|%d\r\x1c\r"
    with Server() as server:
        running = proxy(configured(server.uri, options="attempts = 2"))
        with running.connect("hl7") as client:
            for number in (1, 2):
                sent = block.replace(b"{}", b"%d" % number)
                client.sendall(sent)
                with server.next() as lost:
                    assert exactly(lost, len(sent)) == sent
                    reset(lost)
                with server.next() as again:
                    assert exactly(again, len(sent)) == sent
                    again.sendall(answered % number)
                    wanted = answered % number
                    assert exactly(client, len(wanted)) == wanted


def test_a_sender_dies_in_mid_message(proxy: Starter) -> None:
    """What it had sent whole is answered and forwarded; the half of a message is not."""
    whole, half = f"\x0b{ADMIT}\x1c\r".format(1).encode(), f"\x0b{ADMIT}".format(2).encode()
    with Server() as server:
        running = proxy(configured(server.uri))
        with running.connect("hl7") as client, running.connect("hl7") as other:
            client.sendall(whole + half)
            with server.next() as accepted:
                assert exactly(accepted, len(whole)) == whole
                reset(client)
                running.wait_for("reset by")
                accepted.sendall(b"\x0bMSH|^~\\&|EHR\rMSA|AA|1\r\x1c\r")
                again = whole.replace(b"|1|", b"|3|")
                other.sendall(again)
                assert exactly(accepted, len(again)) == again
                answer = b"\x0bMSH|^~\\&|EHR\rMSA|AA|3\r\x1c\r"
                accepted.sendall(answer)
                other.shutdown(1)
                assert all_of(other) == answer
