"""Passwords, tokens, rates, maintenance and CORS with real clients, and changes of their files."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter, Tools
from tests.e2e.running import eventually
from tests.e2e.test_recording import replays
from tests.e2e.web import nginx, origin, web

TOKEN, OTHER = "0123456789abcdef0123", "another-token-4567890"


class Curl:
    """Sends requests to a listener by curl."""

    def __init__(self, tools: Tools, uri: str) -> None:
        self._tools = tools
        self._url = uri.replace("tcp:", "http:")

    def status(self, *options: str, path: str = "/") -> str:
        """Return the status of the response."""
        code = ("-s", "-o", "/dev/null", "-w", "%{http_code}")
        return self._tools.run("curl", *code, *options, f"{self._url}{path}").decode()

    def response(self, *options: str, path: str = "/") -> str:
        """Return the whole response."""
        found = self._tools.run("curl", "-s", "-i", *options, f"{self._url}{path}")
        return found.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("kind", ["-B", "-5", "-2", "-m"])
def test_users_of_htpasswd(proxy: Starter, tools: Tools, tmp_path: Path, kind: str) -> None:
    users = str(tmp_path / "users")
    tools.run("htpasswd", "-cb", kind, users, "zoë", "pässword")
    with origin() as server:
        running = proxy(web(server.uri, options='basic_auth = { users = "users" }'))
        curl = Curl(tools, running.uri("in"))
        assert curl.status() == "401"
        assert curl.status("-u", "zoë:pässword") == "200"
        assert curl.status("--anyauth", "-u", "zoë:pässword") == "200"
        assert curl.status("-u", "zoë:password") == "401"
        assert [each.fields.get("Authorization") for each in server.received] == [None, None]


def test_guesses_at_a_unix_socket_are_limited(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    """Its clients have no address."""
    tools.run("htpasswd", "-cbB", str(tmp_path / "users"), "anna", "right")
    rules = 'basic_auth = { users = "users", failures = 2, failure_delay = "0s" }'
    with origin() as server:
        text = web(server.uri, options=rules).replace("tcp://127.0.0.1:0", "unix:in.sock")
        running = proxy(text)
        curl = Curl(tools, "tcp://localhost")
        at = ("--unix-socket", str(tmp_path / "in.sock"))
        found = [curl.status(*at, "-u", f"anna:{guess}") for guess in range(3)]
        assert found == ["401", "401", "429"]
        running.wait_for("wrong password of 'anna' from a client without address")


def test_a_changed_file_of_users_is_used(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    users = tmp_path / "users"
    tools.run("htpasswd", "-cbB", str(users), "anna", "first")
    with origin() as server:
        running = proxy(web(server.uri, options='basic_auth = { users = "users" }'))
        curl = Curl(tools, running.uri("in"))
        assert curl.status("-u", "anna:first") == "200"
        running.file.write_text("half an edit, which is not to be used yet")
        tools.run("htpasswd", "-bB", str(users), "anna", "second")  # renames another file
        eventually(lambda: curl.status("-u", "anna:second") == "200", "the new password")
        assert curl.status("-u", "anna:first") == "401"
        users.write_text("anna:plain\n")
        running.wait_for("not reloaded; the previous configuration stays in use:")
        running.wait_for("users: line 1: the password is not hashed")
        assert curl.status("-u", "anna:second") == "200"
        tools.run("htpasswd", "-cbB", str(users), "ben", "third")
        eventually(lambda: curl.status("-u", "ben:third") == "200", "another user")
        assert curl.status("-u", "anna:second") == "401"
        assert "half an edit" not in running.log
        running.signal(signal.SIGHUP)
        running.wait_for("not reloaded", 2)


def test_with_workers_and_a_link(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    for name, token in (("one", TOKEN), ("two", OTHER)):
        (tmp_path / name).write_text(f"ci:{token}\n")
        (tmp_path / name).chmod(0o600)
    link = tmp_path / "tokens"
    link.symlink_to("one")
    with origin() as server:
        text = web(server.uri, options='bearer = { tokens = "tokens" }')
        running = proxy("[proxy]\nworkers = 2\n" + text)
        curl = Curl(tools, running.uri("in"))
        by_first, by_other = (f"Authorization: Bearer {each}" for each in (TOKEN, OTHER))
        assert [curl.status("-H", by_first) for _ in range(6)] == ["200"] * 6
        assert curl.status("-H", by_other) == "401"
        beside = tmp_path / "beside"
        beside.symlink_to("two")
        os.replace(beside, link)  # as Kubernetes does
        running.wait_for("reloaded .*: new connections use it")
        eventually(
            lambda: [curl.status("-H", by_other) for _ in range(6)] == ["200"] * 6, "the new token"
        )
        assert curl.status("-H", by_first) == "401"
        assert TOKEN not in running.log


def test_maintenance_is_switched_by_a_file(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>back soon")
    rules = (
        '{ file = "down", page = "page.html", bypass_cookie = "preview", secret = "open-sesame" }'
    )
    with origin() as server:
        running = proxy(web(server.uri, options=f"maintenance = {rules}"))
        curl = Curl(tools, running.uri("in"))
        assert curl.status() == "200"
        (tmp_path / "down").touch()
        eventually(lambda: curl.status() == "503", "maintenance")
        down = curl.response()
        assert "Retry-After: 300\n" in down
        assert down.endswith("<p>back soon")
        assert curl.status("-b", "preview=open-sesame; theme=dark") == "200"
        assert server.received[-1].fields["Cookie"] == "theme=dark"
        (tmp_path / "down").unlink()
        eventually(lambda: curl.status() == "200", "the end of maintenance")


def test_a_forward_proxy_with_passwords(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    tools.run("htpasswd", "-cbB", str(tmp_path / "users"), "anna", "secret")
    with origin() as server:
        running = proxy(
            '[[listener]]\nname = "in"\nbind = "tcp://127.0.0.1:0"\nplugin = "http_proxy"\n'
            '[listener.options]\nforward = { allow = ["127.0.0.1:*"] }\n'
            'connect = { allow = ["127.0.0.1:*"] }\nbasic_auth = { users = "users" }\n'
        )
        there = Curl(tools, server.uri)
        way = ("-x", running.uri("in").replace("tcp:", "http:"))
        assert there.status(*way) == "407"
        assert there.status(*way, "--proxy-user", "anna:secret") == "200"
        assert there.status(*way, "--proxy-anyauth", "--proxy-user", "anna:secret") == "200"
        assert there.status(*way, "-p", "--proxy-user", "anna:secret") == "200", "a tunnel"
        assert there.status(*way, "-u", "anna:secret") == "407"
        assert not any("Proxy-Authorization" in each.fields for each in server.received)
        both = ("--proxy-user", "anna:secret", "-u", "for:the-server")
        assert there.status(*way, *both) == "200"
        assert server.received[-1].fields["Authorization"].startswith("Basic ")


def test_a_recording_replays_without_the_hashes(
    proxy: Starter, tools: Tools, tmp_path: Path
) -> None:
    users = tmp_path / "users"
    tools.run("htpasswd", "-cbB", str(users), "anna", "secret")
    stored = users.read_bytes().partition(b":")[2].strip()
    (tmp_path / "tokens").write_text(f"ci:{TOKEN}\n")
    log = tmp_path / "run.log"
    with origin() as server:
        routes = 'basic_auth = { users = "users", failure_delay = "0s" }\n'
        routes += '[[listener.options.routes]]\npath = "/api"\nwithout = ["basic_auth"]\n'
        routes += 'bearer = { tokens = "tokens" }\n[[listener.options.routes]]\n'
        text = web(server.uri, options=routes)
        running = proxy(f'[record]\nfile = "{log}"\ncompress = false\n{text}')
        curl = Curl(tools, running.uri("in"))
        found = [
            curl.status("-u", "anna:secret"),
            curl.status("-u", "anna:wrong"),
            curl.status("-H", "Authorization: Bearer wrong-token-01234", path="/api"),
            curl.status("-H", f"Authorization: Bearer {TOKEN}", path="/api"),
        ]
        assert found == ["200", "401", "401", "200"]
        running.stop()
    assert stored not in log.read_bytes()
    users.unlink()
    (tmp_path / "tokens").unlink()
    replays(log)


def test_the_user_is_in_the_access_log(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    tools.run("htpasswd", "-cbB", str(tmp_path / "users"), "anna", "secret")
    log = tmp_path / "access.log"
    with origin() as server:
        text = web(server.uri, options='basic_auth = { users = "users", user_field = "X-User" }')
        running = proxy(f'[access_log]\nfile = "{log}"\nformat = "json"\n{text}')
        curl = Curl(tools, running.uri("in"))
        assert curl.status("-u", "anna:secret", "-H", "X-User: root") == "200"
        assert server.received[0].fields["X-User"] == "anna"
        running.stop()
    [record] = map(json.loads, log.read_text().splitlines())
    assert record["extra"] == {"user": "anna"}


@pytest.mark.parametrize("origin_", ["https://app.example", "https://other.example"])
def test_requests_of_a_script(proxy: Starter, tools: Tools, origin_: str) -> None:
    """What a browser sends: a preflight without credentials, then the request."""
    rules = '{ origins = ["https://app.example"], methods = ["PUT"], headers = ["X-A"] }'
    allowed = origin_ == "https://app.example"
    with origin() as server:
        running = proxy(web(server.uri, options=f"cors = {rules}"))
        curl = Curl(tools, running.uri("in"))
        asked = ("Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-a")
        fields = [part for each in (f"Origin: {origin_}", *asked) for part in ("-H", each)]
        preflight = curl.response("-X", "OPTIONS", *fields)
        assert preflight.startswith("HTTP/1.1 204" if allowed else "HTTP/1.1 403")
        got = curl.response("-X", "PUT", "-H", f"Origin: {origin_}", "-H", "X-A: 1", "-d", "x")
        assert got.startswith("HTTP/1.1 200"), "the server decides what it serves"
        for each in (preflight, got):
            assert (f"\nAccess-Control-Allow-Origin: {origin_}\n" in each) is allowed
            assert "\nVary: Origin" in each


def test_nginx_serves_the_same_users(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    users = tmp_path / "users"
    kinds = ("-B", "-5", "-2", "-m")
    for number, kind in enumerate(kinds):
        create = ("-c",) if not number else ()
        tools.run("htpasswd", *create, "-b", kind, str(users), f"u{number}", f"p{number}")
    users.chmod(0o644)
    tmp_path.chmod(0o711)
    (tmp_path / "page").write_text("in")
    serves = f'auth_basic "shop"; auth_basic_user_file {users}; root {tmp_path};'
    serves += " try_files /page =404;"
    theirs = Curl(tools, nginx(tools, tmp_path, f"location / {{ {serves} }}"))
    with origin() as server:
        rules = '{ users = "users", realm = "shop", failure_delay = "0s", failures = 1000 }'
        running = proxy(web(server.uri, options=f"basic_auth = {rules}"))
        ours = Curl(tools, running.uri("in"))
        given: list[tuple[str, ...]] = [(), ("-u", "nobody:p0"), ("-H", "Authorization: Basic !")]
        for number in range(len(kinds)):
            passwords = (f"p{number}", "", "p", f"p{number}x")
            given += [("-u", f"u{number}:{password}") for password in passwords]
        for each in given:
            assert ours.status(*each) == theirs.status(*each), each
        assert 'WWW-Authenticate: Basic realm="shop"' in theirs.response()
        assert 'WWW-Authenticate: Basic realm="shop"' in ours.response()
