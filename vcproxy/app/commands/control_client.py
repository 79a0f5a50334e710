"""ControlClient: sends requests to the HTTP door of a running proxy.

Tested in tests/app/commands/test_ctl_command.py and tests/e2e/test_ctl.py.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from vcproxy.app.commands.command_error import CommandError
from vcproxy.app.commands.running_proxies import running_proxies, socket_folders
from vcproxy.engine.address import Address
from vcproxy.printable_text import printable

TIMEOUT_S: Final = 100.0
"""How long an answer may take: a restart replaces the workers one by one, and the proxy itself
gives up after 90 s."""

PROBE_S: Final = 5.0
"""How long each of several proxies may take to say which configuration it has."""

LARGEST: Final = 1 << 30
"""Bytes of an answer. That of 100,000 connections has 50 MB."""


class Refused(CommandError):
    """The proxy has refused the request."""

    status = 1


class WrongCall(CommandError):
    """An option is wrong."""

    status = 2


class NotReached(CommandError):
    """Nothing runs there, or no answer came."""

    status = 3


class SeveralRun(CommandError):
    """It is not certain which proxy is meant."""

    status = 4


class ControlClient:
    """One proxy, at the address of its HTTP door."""

    def __init__(self, address: Address, token: str = "", *, timeout_s: float = TIMEOUT_S) -> None:
        """`token`: for an address of TCP."""
        self.address = address
        self._token = token
        self._timeout_s = timeout_s

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the answer to a GET. Raises CommandError."""
        return self._request("GET", _target(path, query), None)

    def post(self, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Return the answer to a POST with parameters. Raises CommandError."""
        return self._request("POST", _target(path), json.dumps(parameters))

    def events(self, path: str) -> Iterator[str]:
        """Yield "" when they begin, then the data of each server-sent event until the proxy ends
        them. Raises CommandError."""
        try:
            with closing(self._connect()) as connection:
                if connection.sock is None:
                    connection.connect()
                sock = connection.sock
                response = self._send(connection, "GET", _target(path), None)
                sock.settimeout(None)  # nothing may happen for long
                yield ""
                data: list[str] = []
                for raw in response:
                    line = raw.decode("utf-8", "replace").rstrip("\r\n")
                    if line.startswith("data:"):
                        data.append(line[5:].removeprefix(" "))
                    elif not line and data:
                        yield "\n".join(data)
                        data.clear()
        except (OSError, http.client.HTTPException) as error:
            raise self._not_reached(error) from None

    def _request(self, method: str, target: str, body: str | None) -> dict[str, Any]:
        try:
            with closing(self._connect()) as connection:
                answer = json.loads(self._send(connection, method, target, body).read(LARGEST))
        except (OSError, http.client.HTTPException) as error:
            raise self._not_reached(error) from None
        except ValueError:
            raise NotReached(f"{self.address}: the answer is not JSON: is it a vcproxy?") from None
        if not isinstance(answer, dict):
            raise NotReached(f"{self.address}: the answer is no object: is it a vcproxy?")
        return answer

    def _send(
        self, connection: http.client.HTTPConnection, method: str, target: str, body: str | None
    ) -> http.client.HTTPResponse:
        """Send a request; return the response. Raises Refused if it is an error."""
        fields = {"Connection": "close"}
        if body is not None:
            fields["Content-Type"] = "application/json"
        if self._token:
            fields["Authorization"] = f"Bearer {self._token}"
        connection.request(method, target, body, fields)
        response = connection.getresponse()
        if response.status >= 400:
            raise self._refused(response)
        return response

    def _refused(self, response: http.client.HTTPResponse) -> CommandError:
        try:
            answer = json.loads(response.read(1 << 20))
            text = str(answer["error"])
            if answer.get("reply") == "NOT_RELOADED":
                text = f"not reloaded; the previous configuration stays in use:\n{text}"
        except (ValueError, LookupError, TypeError, AttributeError):
            text = f"{response.status} {response.reason}: is it a vcproxy?"
        if response.status == 401:
            return WrongCall(f"{self.address}: {printable(text)}: name the file with --token-file")
        return Refused(printable(text))

    def _not_reached(self, error: Exception) -> NotReached:
        if isinstance(error, TimeoutError):
            return NotReached(f"{self.address}: no answer within {self._timeout_s:g}s")
        if isinstance(error, http.client.HTTPException):
            reason = "the connection was closed without an answer"
        else:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
        return NotReached(f"{self.address}: {printable(reason)}")

    def _connect(self) -> http.client.HTTPConnection:
        address = self.address
        if address.scheme == "unix":
            connection = http.client.HTTPConnection("vcproxy", timeout=self._timeout_s)
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(self._timeout_s)
            try:
                sock.connect(address.path)
            except OSError:
                sock.close()
                raise
            connection.sock = sock
            return connection
        return http.client.HTTPConnection(address.host, address.port, timeout=self._timeout_s)


def _target(path: str, query: Mapping[str, str] | None = None) -> str:
    target = "/v1/" + quote(path, safe="/:")
    return f"{target}?{urlencode(query)}" if query else target


# -- which proxy is meant ------------------------------------------------------------------------


def client_at(text: str, token_file: Path | None, timeout_s: float) -> ControlClient:
    """Return a client for an address. Raises CommandError."""
    try:
        address = Address.parse(text)
    except ValueError as error:
        raise WrongCall(f"--at: {error}") from None
    if address.scheme not in ("unix", "tcp"):
        raise WrongCall(f"--at: {address}: write unix:PATH or tcp://HOST:PORT")
    token = ""
    if token_file is not None:
        token = read_token(token_file)
    elif address.scheme == "tcp":
        token = _only_token()
    return ControlClient(address, token, timeout_s=timeout_s)


def found_client(pid: int | None, file: Path | None, timeout_s: float) -> ControlClient:
    """Return a client for the only proxy that runs, or for that with a process number or with a
    configuration. Raises CommandError."""
    folders = socket_folders()
    found = running_proxies(folders, pid, suffix=".ctl.sock")
    permitted = [each for each in found if each.permitted]
    clients = {
        each.pid: ControlClient(Address("unix", path=str(each.socket)), timeout_s=timeout_s)
        for each in permitted
    }
    if file is not None:
        clients = {
            number: each for number, each in clients.items() if _configuration(number, each) == file
        }
    if len(clients) == 1:
        return next(iter(clients.values()))
    if clients:
        raise SeveralRun(_listed(clients))
    if found and not permitted:
        text = f"{found[0].socket}: permission denied: only its user and root may use it"
        raise NotReached(text)
    which = "no proxy"
    if pid is not None:
        which = f"no proxy with the number {pid}"
    elif file is not None:
        which = f"no proxy with the configuration {file}"
    raise NotReached(
        f"{which} has a control socket in {' or '.join(map(str, folders))}: start one, or name its "
        "address with --at, if its [control] http is another"
    )


def _listed(clients: Mapping[int, ControlClient]) -> str:
    lines = [f"{len(clients)} proxies run; nothing was sent. Choose one:"]
    for number, client in clients.items():
        file = _configuration(number, client)
        lines.append(f"  --pid {number}" + (f"   -c {file}" if file is not None else ""))
    return "\n".join(lines)


def _configuration(pid: int, client: ControlClient) -> Path | None:
    """Return the configuration of a proxy, an absolute path; None: it does not answer."""
    probe = ControlClient(client.address, timeout_s=PROBE_S)
    try:
        named = str(probe.get("show/process")["rows"][0]["configuration"])
        folder = "/" if named.startswith("/") else os.readlink(f"/proc/{pid}/cwd")
    except (CommandError, LookupError, TypeError, OSError):
        return None
    return Path(folder, named).resolve()


def configured_client(
    file: Path, token_file: Path | None, timeout_s: float
) -> ControlClient | None:
    """Return a client for the address that a configuration has for its HTTP door; None: it has the
    default, which depends on the process. Raises CommandError."""
    found = _control_keys(file)
    http_key, folder = found.get("http", ("unix", file.parent))
    addresses = [http_key] if isinstance(http_key, str) else list(http_key)
    if "unix" in addresses or not addresses:
        return None
    if addresses == ["off"]:
        raise NotReached(f'{file}: control.http is "off": this proxy takes no requests')
    unix = [each for each in addresses if each.startswith("unix:")]
    chosen = (unix or addresses)[0]
    if token_file is None and "token_file" in found:
        named, its_folder = found["token_file"]
        token_file = its_folder / named
    if chosen.startswith("unix:") and not chosen.startswith("unix:/"):
        path = chosen.removeprefix("unix:")
        chosen = f"unix:{(folder / path).absolute()}"
    return client_at(chosen, token_file, timeout_s)


def _control_keys(file: Path) -> dict[str, tuple[Any, Path]]:
    """Return the keys of [control], each with the folder of the file that it stands in. Raises
    WrongCall."""
    import tomllib  # few commands read a configuration

    try:
        text = file.read_text(encoding="utf-8-sig")
        tree = tomllib.loads(text)
        tables = [(tree.get("control", {}), file.parent)]
        if "include" in tree or "${" in text:
            from vcproxy.config.errors import ConfigError
            from vcproxy.config.loader import read_documents

            try:
                documents = read_documents(file).all
            except ConfigError as error:
                raise WrongCall(error) from None
            tables = [(each.tree.get("control", {}), each.file.parent) for each in documents]
        return {key: (value, at) for table, at in tables for key, value in table.items()}
    except OSError as error:
        raise WrongCall(f"{file}: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, AttributeError) as error:
        raise WrongCall(f"{file}: {error}") from None


def read_token(file: Path) -> str:
    """Return the token of a file. Raises WrongCall."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise WrongCall(f"--token-file: {file}: {reason}") from None
    if not text.isascii() or not text.isprintable() or len(text) > 8192:
        raise WrongCall(f"--token-file: {file}: it has no token in one line")
    return text


def _only_token() -> str:
    """Return the token of the only proxy that has made one; "" if there is none. Raises
    CommandError."""
    for folder in socket_folders():
        tokens = [file for file in folder.glob("*.token") if os.access(file, os.R_OK)]
        if len(tokens) == 1:
            return read_token(tokens[0])
        if tokens:
            names = ", ".join(map(str, sorted(tokens)))
            raise WrongCall(f"choose the token of one proxy with --token-file: {names}")
    return ""
