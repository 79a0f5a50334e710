"""The command `vcproxy check-certificate`: when the certificate of a server or a file expires.

Source: eventdispatcher.md 6, `check-certificate`.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vcproxy.app.commands.argument_types import some_seconds
from vcproxy.app.commands.command_error import CommandError
from vcproxy.app.commands.starttls import BY_PORT, DIALOGUES
from vcproxy.printable_text import printable

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from cryptography.x509 import Certificate

ABOUT = """\
Report when a certificate expires, that of a server or of a file. Of a chain, the certificate that
expires first counts.

  vcproxy check-certificate a.example                    port 443
  vcproxy check-certificate --limit 30d a.example:8443
  vcproxy check-certificate --info mail.example:25       STARTTLS, as for 587, 143 and 5432
  vcproxy check-certificate --starttls smtp mail.example:2525
  vcproxy check-certificate /etc/ssl/site.pem            PEM or DER

In a script:

  vcproxy check-certificate a.example || echo "renew it" | mail -s certificate admin

It checks the dates, not the signature. A certificate that is not for the requested name is reported
on standard error.
"""

EPILOG = """\
exit status: 0 valid for longer than the limit, 1 it expires within the limit, has expired, or is
not valid yet, 2 wrong command line, or the library cryptography is not installed, 3 the server
could not be reached, or showed no certificate, or the file could not be read.
"""

LIMIT = "14d"
"""Two weeks: what the original takes as enough to renew a certificate by hand."""

_DAYS = {"": 1.0, "h": 1 / 24, "d": 1.0, "w": 7.0, "y": 365.0}


class CertificateUnavailable(CommandError):
    """There is no certificate to check."""

    status = 3


class NoLibrary(CommandError):
    """The library cryptography is not installed."""

    status = 2


def add_to(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> dict[str, argparse.ArgumentParser]:
    """Add the command `check-certificate` to the command line; return its parser."""
    parser = commands.add_parser(
        "check-certificate",
        help="report when the certificate of a server or a file expires",
        description=ABOUT,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(act=_check)
    parser.add_argument(
        "-i", "--info", action="store_true", help="print the fields of the certificate"
    )
    parser.add_argument(
        "-l",
        "--limit",
        metavar="TIME",
        type=days,
        default=days(LIMIT),
        help=f"how long before its end it should be renewed: 14d, 4w, 1y, 36h, or a number of days "
        f"(default: {LIMIT})",
    )
    parser.add_argument(
        "--starttls",
        choices=[*DIALOGUES, "none"],
        help="how the connection changes to TLS, if it begins in plain text; by default the port "
        "decides: 25 and 587 smtp, 143 imap, 5432 postgres, all others none",
    )
    parser.add_argument(
        "--server-name",
        metavar="NAME",
        help="the name to request of the server (SNI), by default its host",
    )
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=some_seconds,
        default=10.0,
        help="how long the server may take: 2s, or a number of seconds (default: 10s)",
    )
    parser.add_argument(
        "place",
        metavar="HOST[:PORT]|FILE",
        help="the server, or a file: what exists as a file, or contains a slash, is one",
    )
    return {"check-certificate": parser}


def days(text: str) -> float:
    """Return the days of a limit such as 14d, 1y, or 14."""
    match = re.fullmatch(r"(\d{1,5}(?:\.\d+)?)([hdwy]?)", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a time: write a number of days, or with a unit: 36h, 14d, 4w, 1y'
        )
    return float(match[1]) * _DAYS[match[2]]


def _check(chosen: argparse.Namespace) -> int:
    try:
        from vcproxy.app.commands import certificate_facts as facts
    except ImportError:
        raise NoLibrary(
            "vcproxy check-certificate needs the library cryptography: pip install cryptography"
        ) from None

    from datetime import UTC, datetime, timedelta

    found = _found(chosen)
    first = min(found, key=lambda each: each.not_valid_after_utc)
    status, text = judged(
        first.not_valid_before_utc,
        first.not_valid_after_utc,
        datetime.now(UTC),
        timedelta(days=chosen.limit),
    )
    if chosen.info:
        _print("domain", chosen.place)
        for name, value in facts.fields(found[0]):
            _print(name, value)
        for other in found[1:]:
            until = facts.shown_time(other.not_valid_after_utc)
            _print("chain", f"{facts.title(other)}, until {until}")
    which = "" if first is found[0] else f"{facts.title(first)}, which belongs to its chain, "
    print(printable(f"{chosen.place}: {which}{text}"))
    return status


def judged(begin: datetime, end: datetime, now: datetime, limit: timedelta) -> tuple[int, str]:
    """Return exit status and text for a certificate's time, at a time, with a limit."""
    none, left, until = now - now, end - now, f"{end:%Y-%m-%d %H:%M:%S} UTC"
    if now < begin:
        return 1, f"is not valid yet, but from {begin:%Y-%m-%d %H:%M:%S} UTC on"
    if left <= none:
        return 1, f"has expired, {_days(-left)} ago: {until}"
    if left < limit:
        return 1, f"expires in {_days(left)}, less than the limit of {_days(limit)}: {until}"
    return 0, f"expires in {_days(left)}: {until}"


def _days(time: timedelta) -> str:
    """Return a time in whole days, or in hours if it is shorter than two days."""
    hours = int(time.total_seconds() // 3600)
    count, unit = (time.days, "day") if time.days >= 2 else (hours, "hour")
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _print(name: str, value: str) -> None:
    print(f"{name}: {printable(value)}")


def _found(chosen: argparse.Namespace) -> list[Certificate]:
    """Return the certificates of the file or server: first its own. Raises CommandError."""
    from vcproxy.app.commands import certificate_facts as facts
    from vcproxy.app.commands.server_certificate import NoCertificate, presented, server_place

    file = Path(chosen.place)
    try:
        if file.is_file() or ("/" in chosen.place and "://" not in chosen.place):
            return facts.from_file(file.read_bytes())
        place = server_place(chosen.place)
        starttls = chosen.starttls or BY_PORT.get(place.port, "none")
        name = chosen.server_name or place.host
        chain = presented(place, name, "" if starttls == "none" else starttls, chosen.timeout)
        found = facts.from_server(chain)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CertificateUnavailable(f"{file}: cannot be read: {reason}") from None
    except (ValueError, NoCertificate, facts.UnreadableCertificate) as error:
        raise CertificateUnavailable(printable(f"{chosen.place}: {error}")) from None
    if not facts.is_for(found[0], name):
        those = ", ".join(facts.names(found[0])) or "no name"
        print(printable(f"{place}: it is not for {name}, but for {those}"), file=sys.stderr)
    return found
