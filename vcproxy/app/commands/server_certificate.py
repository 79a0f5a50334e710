"""Fetch the certificates that a server presents, whatever their dates and signatures are.

Nothing is verified, because an expired certificate is to be shown too, and old versions and ciphers
are accepted: no data is exchanged after the handshake.
Tested in tests/app/commands/test_check_certificate_command.py.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from time import monotonic
from typing import NamedTuple

from vcproxy.app.commands.starttls import ANSWER_LIMIT, DIALOGUES, Dialogue, TlsRefused

DEFAULT_PORT = 443

_LEGACY_SERVERS = 0x4
"""SSL_OP_LEGACY_SERVER_CONNECT: servers before RFC 5746. Python names it from 3.12 on."""


class ServerPlace(NamedTuple):
    """Where a server is, as it was written."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class NoCertificate(Exception):
    """The server could not be reached, or showed no certificate; the text gives the reason."""


def server_place(text: str) -> ServerPlace:
    """Return the place that HOST, HOST:PORT, [IPv6]:PORT, or https:// or tls:// before it means.

    Raises ValueError.
    """
    rest = re.sub(r"^(https|tls)://([^/]*).*$", r"\2", text)
    if rest.count(":") > 1 and not rest.startswith("["):
        return ServerPlace(rest, DEFAULT_PORT)  # an IPv6 address
    match = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?|([^:\s]+)(?::(\d+))?", rest)
    if match is None or not 0 < (port := int(match[2] or match[4] or DEFAULT_PORT)) < 65536:
        raise ValueError(f'"{text}" is not a server: write one as a.example, or a.example:8443')
    return ServerPlace(match[1] or match[3], port)


def presented(place: ServerPlace, name: str, starttls: str, timeout_s: float) -> list[bytes]:
    """Return the certificates that a server presents, DER, its own first.

    Args:
        place: where it is.
        name: the name to request (SNI); an IP address is not sent (RFC 6066, 3).
        starttls: "" for TLS from the beginning, or the name of a dialogue.
        timeout_s: how long all this may take.

    Raises:
        NoCertificate: it cannot be reached or refuses TLS.
    """
    deadline = monotonic() + timeout_s
    try:
        with socket.create_connection(place, timeout_s) as plain:
            if starttls:
                _change_to_tls(plain, DIALOGUES[starttls](socket.gethostname()), deadline)
            plain.settimeout(_left(deadline))
            sni = name.removesuffix(".")  # it has no dot at its end (RFC 6066, 3)
            with _context().wrap_socket(
                plain, server_hostname=sni, do_handshake_on_connect=False
            ) as tls:
                return _shown_by(tls)
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).lower().replace("_", " ")
        hint = (
            "" if starttls else ": does it speak TLS at this port? For SMTP and others: --starttls"
        )
        raise NoCertificate(f"the TLS handshake failed ({reason}){hint}") from None
    except TlsRefused as error:
        raise NoCertificate(f"no TLS: {error}") from None
    except TimeoutError:
        raise NoCertificate(f"no answer within {timeout_s:g}s") from None
    except socket.gaierror as error:
        raise NoCertificate(
            "its address cannot be found, and there is no file of this name: "
            f"{(error.strerror or str(error)).lower()}"
        ) from None
    except ValueError:  # UnicodeError is one, too
        raise NoCertificate(f'"{place.host}" or "{name}" is not a valid host name') from None
    except OSError as error:
        raise NoCertificate(f"cannot be reached: {os.strerror(error.errno or 0).lower()}") from None


def _left(deadline: float) -> float:
    if (left := deadline - monotonic()) <= 0:
        raise TimeoutError
    return left


def _change_to_tls(plain: socket.socket, dialogue: Dialogue, deadline: float) -> None:
    """Hold the dialogue. Raises TlsRefused, OSError."""
    answer = None
    while True:
        try:
            turn = dialogue.send(answer)  # type: ignore[arg-type]  # None starts it
        except StopIteration:
            return
        plain.sendall(turn.sends)
        answer = b""
        while not (found := turn.answer.match(answer)):
            plain.settimeout(_left(deadline))
            piece = plain.recv(4096)
            answer += piece
            if not piece or len(answer) > ANSWER_LIMIT:
                what = "sent too much" if piece else "closed the connection"
                raise TlsRefused(f"the server {what} after {_shown(answer)}")
        if found.end() < len(answer):  # it would be mixed up with what follows in TLS (RFC 3207, 6)
            raise TlsRefused(f"the server sent more than its answer: {_shown(answer)}")


def _shown(answer: bytes) -> str:
    return f'"{answer[:200].decode(errors="backslashreplace").strip()}"' if answer else "nothing"


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.options |= _LEGACY_SERVERS
    return context


def _shown_by(tls: ssl.SSLSocket) -> list[bytes]:
    """Return all certificates that the server sends in the handshake. Raises OSError.

    It has sent them before it refuses a client that has no certificate, in TLS 1.2.
    """
    try:
        tls.do_handshake()
    except ssl.SSLError:
        if not (chain := _chain(tls)):
            raise
        return chain
    return _chain(tls)


def _chain(tls: ssl.SSLSocket) -> list[bytes]:
    """Return the certificates received, DER.

    Python has a public method for it from 3.13 on, and this one from 3.10 on.
    """
    if hasattr(tls, "get_unverified_chain"):
        return [bytes(each) for each in tls.get_unverified_chain()]
    received = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in received or ()]
