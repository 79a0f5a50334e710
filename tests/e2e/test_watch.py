"""Reload by itself: changed configurations, plugins, certificates and keys are used."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
from contextlib import closing
from pathlib import Path

import pytest
import trustme

from tests.e2e.conftest import Certificates, Starter
from tests.e2e.running import ECHO, PATIENCE_S, Running, eventually, exactly
from tests.e2e.several import is_replaced, two_workers, who, workers
from tests.e2e.test_workers_reload import mark, marked, marks
from vcproxy.drivers.epoll.thread_pool import THREADS

WATCH = "[proxy]\nwatch = true\n"


def replace(path: Path, text: str) -> None:
    """Replace a file as most programs do: write another one and rename it."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text)
    beside.rename(path)


def pair(folder: Path, name: str = "localhost") -> None:
    """Write a new certificate and its key, signed by a new authority."""
    folder.mkdir(exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued = authority.issue_cert(name, common_name=name)
    issued.private_key_pem.write_to_path(folder / "key.pem")
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    (folder / "cert.pem").write_bytes(chain)


def tls(folder: Path, listener: str = "") -> str:
    """A listener that echoes over TLS, with the certificate of a folder."""
    return (
        '[[listener]]\nname = "echo"\nbind = "tls://127.0.0.1:0"\nplugin = "echo"\n'
        f'tls = {{ certificate = "{folder}/cert.pem", key = "{folder}/key.pem" }}\n{listener}'
    )


def client(running: Running, name: str = "echo", sni: str | None = None) -> ssl.SSLSocket:
    """Connect with TLS, without verifying anything."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(running.connect(name), server_hostname=sni)


def shown(running: Running) -> bytes:
    """Return the certificate that a new client gets, in DER."""
    with client(running) as connected:
        return connected.getpeercert(binary_form=True) or b""


def certificate(folder: Path) -> bytes:
    """Return the certificate in a folder, in DER."""
    return ssl.PEM_cert_to_DER_cert((folder / "cert.pem").read_text().split("-----END")[0] + END)


END = "-----END CERTIFICATE-----\n"


def echoes(sock: socket.socket) -> None:
    """Check that a connection still works."""
    sock.sendall(b"still here")
    assert exactly(sock, 10) == b"still here"


# -- the configuration, and plugins --------------------------------------------------------------


def test_a_changed_configuration_is_used(proxy: Starter) -> None:
    running = proxy(WATCH + ECHO)
    with running.connect("echo") as old:
        running.file.write_text(WATCH + ECHO + ECHO.replace('"echo"\nbind', '"more"\nbind'))
        running.wait_for("reloaded .*: new connections use it")
        with running.connect("more") as new:
            echoes(new)
        echoes(old)
    replace(running.file, WATCH + ECHO)
    running.wait_for("reloaded .*: new connections use it", 2)
    assert running.log.count("new connections use it") == 2


def test_without_watch_nothing_is_reloaded_by_itself(proxy: Starter, tmp_path: Path) -> None:
    pair(tmp_path / "tls")
    running = proxy(tls(tmp_path / "tls"))
    running.file.write_text("this is no configuration")
    pair(tmp_path / "tls")
    running.wait_for("echo: new connections use the changed TLS files")
    assert "reloaded" not in running.log


def test_a_broken_configuration_is_refused_once(proxy: Starter) -> None:
    running = proxy(WATCH + ECHO)
    replace(running.file, WATCH + ECHO.replace("bind", "bnd"))
    running.wait_for("not reloaded; the previous configuration stays in use:")
    running.file.touch()
    replace(running.file, running.file.read_text())  # the same again
    with running.connect("echo") as connected:
        echoes(connected)
    replace(running.file, WATCH + ECHO + "# valid again\n")
    running.wait_for("reloaded .*: new connections use it")
    assert running.log.count("not reloaded") == 1, running.log
    replace(running.file, WATCH + ECHO.replace("bind", "bnd"))
    running.wait_for("not reloaded", 2)
    running.signal(signal.SIGHUP)  # who asks gets an answer
    running.wait_for("not reloaded", 3)


PLUGIN = """
from vcproxy.api import Message, Session, State, lines

class Says(Session):
    needs_upstream = False
    framing = lines(limit="1KiB")
    TALKING = State(initial=True)

    @TALKING.on(Message, to=())
    def asked(self, message):
        self.answer(b"{}\\n")
"""

SAYS = '[[listener]]\nname = "says"\nbind = "tcp://127.0.0.1:0"\nplugin = "says.py"\n'


def said(sock: socket.socket) -> bytes:
    """Ask, and return the answer of 3 bytes."""
    sock.sendall(b"?\n")
    return exactly(sock, 4)[:3]


def test_a_changed_plugin_is_used_and_a_broken_one_refused_once(
    proxy: Starter, tmp_path: Path
) -> None:
    plugin = tmp_path / "says.py"
    plugin.write_text(PLUGIN.format("one"))
    running = proxy(WATCH + SAYS)
    with running.connect("says") as old:
        assert said(old) == b"one"
        replace(plugin, "def broken(:\n")
        running.wait_for("SyntaxError at .*says.py:1")
        os.utime(plugin)
        with running.connect("says") as new:
            assert said(new) == b"one"
        replace(plugin, PLUGIN.format("two"))
        running.wait_for("reloaded .*: new connections use it")
        with running.connect("says") as new:
            assert said(new) == b"two"
        assert said(old) == b"one"
    assert running.log.count("not reloaded") == 1


def test_plugins_that_never_end_to_load_do_not_prevent_later_reloads(
    proxy: Starter, tmp_path: Path
) -> None:
    plugin = tmp_path / "says.py"
    plugin.write_text(PLUGIN.format("one"))
    running = proxy(SAYS)
    for number in range(THREADS):
        begun = tmp_path / f"begun-{number}"
        replace(plugin, f"import threading\nopen('{begun}', 'w')\nthreading.Event().wait()\n")
        running.signal(signal.SIGHUP)
        eventually(begun.exists, f"the plugin is loaded the time {number}")
    replace(plugin, PLUGIN.format("two"))
    running.signal(signal.SIGHUP)
    running.wait_for("reloaded .*: new connections use it")
    with running.connect("says") as new:
        assert said(new) == b"two"


def test_a_file_that_a_refused_configuration_names_is_watched(
    proxy: Starter, tmp_path: Path
) -> None:
    running = proxy(WATCH + ECHO)
    pair(tmp_path / "tls")
    shutil.move(tmp_path / "tls/key.pem", tmp_path / "tls/later")
    replace(running.file, WATCH + SAYS + tls(tmp_path / "tls"))
    running.wait_for("cannot read .*/says.py: No such file")
    replace(tmp_path / "says.py", PLUGIN.format("one"))
    running.wait_for("cannot read .*/key.pem: No such file", 2)
    shutil.move(tmp_path / "tls/later", tmp_path / "tls/key.pem")
    running.wait_for("reloaded .*: new connections use it")
    with running.connect("says") as connected:
        assert said(connected) == b"one"
    assert running.log.count("not reloaded") == 2
    running.idle_descriptors += 1  # one more listener


def test_a_symlink_that_gets_another_target(proxy: Starter, tmp_path: Path) -> None:
    """As Kubernetes replaces the files of a ConfigMap: ..data is a symlink that is renamed over."""
    for name, said_then in (("..1", "one"), ("..2", "two")):
        (tmp_path / "map" / name).mkdir(parents=True)
        (tmp_path / "map" / name / "says.py").write_text(PLUGIN.format(said_then))
    (tmp_path / "map/..data").symlink_to("..1")
    (tmp_path / "map/says.py").symlink_to("..data/says.py")
    running = proxy(WATCH + SAYS.replace("says.py", "map/says.py"))
    (tmp_path / "map/..new").symlink_to("..2")
    (tmp_path / "map/..new").rename(tmp_path / "map/..data")
    shutil.rmtree(tmp_path / "map/..1")
    running.wait_for("reloaded .*: new connections use it")
    with running.connect("says") as connected:
        assert said(connected) == b"two"


# -- certificates and keys -----------------------------------------------------------------------


def renewed(running: Running, folder: Path) -> None:
    """Wait until new clients get the certificate in a folder."""
    eventually(lambda: shown(running) == certificate(folder), "the new certificate")


def test_new_connections_use_a_new_certificate(proxy: Starter, tmp_path: Path) -> None:
    pair(tmp_path / "tls")
    running = proxy(tls(tmp_path / "tls"))
    assert shown(running) == certificate(tmp_path / "tls")
    with client(running) as old:
        pair(tmp_path / "new")
        for name in ("cert.pem", "key.pem"):
            (tmp_path / "new" / name).rename(tmp_path / "tls" / name)
        renewed(running, tmp_path / "tls")
        echoes(old)
    running.wait_for("new connections use the changed TLS files")
    assert running.log.count("new connections use the changed TLS files") == 1
    assert "reloaded" not in running.log


def test_a_secret_of_kubernetes_is_replaced(proxy: Starter, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    for name in ("..1", "..2"):
        secret.mkdir(exist_ok=True)
        pair(secret / name)
    (secret / "..data").symlink_to("..1")
    for name in ("cert.pem", "key.pem"):
        (secret / name).symlink_to(f"..data/{name}")
    running = proxy(tls(secret))
    assert shown(running) == certificate(secret / "..1")
    (secret / "..new").symlink_to("..2")
    (secret / "..new").rename(secret / "..data")
    shutil.rmtree(secret / "..1")
    renewed(running, secret / "..2")
    assert "are not used" not in running.log


def test_half_a_pair_is_refused_and_the_old_one_serves(proxy: Starter, tmp_path: Path) -> None:
    pair(tmp_path / "tls")
    running = proxy(tls(tmp_path / "tls"))
    before = shown(running)
    pair(tmp_path / "new")
    (tmp_path / "new/cert.pem").rename(tmp_path / "tls/cert.pem")
    running.wait_for(
        "echo: the changed TLS files are not used: "
        "key .*/tls/key.pem: does not belong to certificate .*/tls/cert.pem"
    )
    assert shown(running) == before
    (tmp_path / "new/key.pem").rename(tmp_path / "tls/key.pem")
    renewed(running, tmp_path / "tls")
    running.wait_for("new connections use the changed TLS files")
    assert running.log.count("are not used") == 1


def test_a_certificate_of_a_server_name_and_the_clients_authorities(
    proxy: Starter, tmp_path: Path, certificates: Certificates, untrusted: Certificates
) -> None:
    for folder in ("tls", "b"):
        pair(tmp_path / folder)
    shutil.copy(untrusted.ca, tmp_path / "clients.pem")
    names = f'{{ certificate = "{tmp_path}/b/cert.pem", key = "{tmp_path}/b/key.pem" }}'
    more = f', client_ca = "{tmp_path}/clients.pem", names = {{ "b.example" = {names} }} }}'
    running = proxy(tls(tmp_path / "tls").replace(" }", more))
    context = ssl.create_default_context(cafile=str(tmp_path / "b/ca.pem"))
    context.load_cert_chain(*certificates.issue("client"))

    def accepted() -> bool:
        with running.connect("echo") as plain:
            try:
                with context.wrap_socket(plain, server_hostname="b.example") as connected:
                    echoes(connected)
                    return True
            except (ssl.SSLError, OSError, AssertionError):
                return False

    assert not accepted()
    pair(tmp_path / "b", "b.example")
    context.load_verify_locations(tmp_path / "b/ca.pem")
    replace(tmp_path / "clients.pem", certificates.ca.read_text())
    eventually(accepted, "the new certificate, and clients of the new authority")


def test_new_authorities_for_servers(
    proxy: Starter, tmp_path: Path, certificates: Certificates, untrusted: Certificates
) -> None:
    shutil.copy(untrusted.ca, tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.issue("localhost"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(15)
        running = proxy(
            '[[listener]]\nname = "in"\nbind = "tcp://127.0.0.1:0"\nplugin = "forward"\n'
            f'upstream = "u"\n[upstream.u]\nservers = ["tls://localhost:{server.getsockname()[1]}"]'
            f'\ntls = {{ ca = "{tmp_path}/ca.pem" }}\n'
        )

        def served() -> bool:
            with running.connect("in") as connected:
                accepted, _ = server.accept()
                with accepted:
                    try:
                        with context.wrap_socket(accepted, server_side=True) as secured:
                            secured.sendall(b"welcome")
                            return exactly(connected, 7) == b"welcome"
                    except (ssl.SSLError, OSError):
                        return False

        assert not served()
        replace(tmp_path / "ca.pem", certificates.ca.read_text())
        running.wait_for(r"upstream\.u: new connections use the changed TLS files")
        assert served()


def test_the_control_uses_a_new_certificate(proxy: Starter, tmp_path: Path) -> None:
    pair(tmp_path / "tls")
    files = f'certificate = "{tmp_path}/tls/cert.pem"\nkey = "{tmp_path}/tls/key.pem"\n'
    running = proxy(f'[control]\nbus = "tls://127.0.0.1:0"\n[control.tls]\n{files}{ECHO}')
    port = int(running.wait_for("INFO control at tls:").rpartition(":")[2])
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def presented() -> bytes:
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain,
            context.wrap_socket(plain) as connected,
        ):
            connected.sendall(b"ALIVE\n")
            assert connected.recv(11) == b"ABSOLUTELY "
            return connected.getpeercert(binary_form=True) or b""

    pair(tmp_path / "tls")  # before the first client
    assert presented() == certificate(tmp_path / "tls")
    pair(tmp_path / "tls")
    eventually(lambda: presented() == certificate(tmp_path / "tls"), "the new certificate")
    running.idle_descriptors += 5  # of the control, which begins with its first client


def test_a_recording_goes_on(proxy: Starter, tmp_path: Path) -> None:
    pair(tmp_path / "tls")
    text = f'{WATCH}[record]\nfile = "{tmp_path}/run.log"\n{tls(tmp_path / "tls")}'
    running = proxy(text)
    pair(tmp_path / "tls")
    renewed(running, tmp_path / "tls")
    running.file.write_text(text + "# changed\n")
    running.wait_for("reloaded")


# -- several workers -----------------------------------------------------------------------------


def test_all_workers_use_a_changed_plugin(proxy: Starter, tmp_path: Path) -> None:
    text = two_workers(tmp_path).replace("[proxy]\n", WATCH)
    marked(tmp_path, "a")
    running = proxy(text)
    pids = workers(running)
    with running.connect("who") as old:
        assert mark(old) == b"a"
        plugin = tmp_path / "who.py"
        good = plugin.read_text()
        replace(plugin, "def broken(:\n")
        running.wait_for("SyntaxError at .*who.py:1")
        replace(plugin, good.replace('b"a"', 'b"b"'))
        running.wait_for("reloaded .*: new connections use it")
        assert marks(running) == {b"b"}
        assert mark(old) == b"a"
    assert workers(running) == pids
    assert running.log.count("not reloaded") == 1


def test_all_workers_use_a_new_certificate(proxy: Starter, tmp_path: Path) -> None:
    pair(tmp_path / "tls")
    secure = (
        f'tls = {{ certificate = "{tmp_path}/tls/cert.pem", key = "{tmp_path}/tls/key.pem" }}\n'
    )
    running = proxy(two_workers(tmp_path).replace("tcp://127", "tls://127") + secure)
    pids = workers(running)
    pair(tmp_path / "new")
    (tmp_path / "new/key.pem").rename(tmp_path / "tls/key.pem")
    running.wait_for("who: the changed TLS files are not used: key .* does not belong", 2)
    (tmp_path / "new/cert.pem").rename(tmp_path / "tls/cert.pem")
    running.wait_for("who: new connections use the changed TLS files", 2)
    assert certificates_of_both(running) == {certificate(tmp_path / "tls")}
    assert workers(running) == pids
    os.kill(pids[0], signal.SIGKILL)
    eventually(lambda: is_replaced(running, pids[0]), "a new worker")
    assert certificates_of_both(running) == {certificate(tmp_path / "tls")}


def test_all_workers_use_a_file_that_is_added_and_then_replaced(
    proxy: Starter, tmp_path: Path
) -> None:
    pair(tmp_path / "tls")
    live = tmp_path / "live"
    live.mkdir()
    secure = (
        f'tls = {{ certificate = "{tmp_path}/tls/cert.pem", key = "{tmp_path}/tls/key.pem", '
        f'certificate_folder = "{live}" }}\n'
    )
    running = proxy(two_workers(tmp_path).replace("tcp://127", "tls://127") + secure)
    workers(running)
    for count, version in ((2, "first"), (4, "second")):
        pair(tmp_path / version, "a.example")
        both = b"".join(
            (tmp_path / version / f"{each}.pem").read_bytes() for each in ("key", "cert")
        )
        (tmp_path / "both").write_bytes(both)
        (tmp_path / "both").rename(live / "a.pem")
        running.wait_for("who: new connections use the changed TLS files", count)
        assert certificates_of_both(running, "a.example") == {certificate(tmp_path / version)}


def certificates_of_both(running: Running, sni: str | None = None) -> set[bytes]:
    """Return what clients of both workers get."""
    served: dict[int, bytes] = {}
    while len(served) < 2:
        with closing(client(running, "who", sni)) as connected:
            served[who(connected)] = connected.getpeercert(binary_form=True) or b""
    return set(served.values())


def watches(running: Running) -> int:
    """Return the number of paths that the kernel watches for the process (proc_pid_fdinfo(5))."""
    found = 0
    for file in Path(f"/proc/{running.pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += file.read_text().count("inotify wd:")
    return found


@pytest.mark.parametrize("count", [1, 2])
def test_watch_can_be_switched_on_and_off(proxy: Starter, count: int) -> None:
    text = f"[proxy]\nworkers = {count}\n"
    running = proxy(text + ECHO)
    assert watches(running) == 0
    replace(running.file, text + "watch = true\n" + ECHO)
    running.signal(signal.SIGHUP)
    running.wait_for("reloaded .*: new connections use it")
    eventually(lambda: watches(running) > 0, "the file is watched")
    replace(running.file, text + "watch = false\n" + ECHO)
    running.wait_for("reloaded .*: new connections use it", 2)
    eventually(lambda: watches(running) == 0, "nothing is watched")
    running.idle_descriptors += count - 1  # the master keeps its inotify
