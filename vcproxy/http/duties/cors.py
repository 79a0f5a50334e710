"""cors: scripts of other origins may read the responses (Fetch, 3.2, https://fetch.spec.whatwg.org).

A preflight is answered here. Of all other responses the server's Access-Control-* fields are
replaced, so that there is one authority. Requests are not refused: CORS is a rule for browsers, and
protects the user's data from scripts, not the server from requests.

Tested in tests/http/duties/test_cors.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator

from vcproxy.config.values import Duration
from vcproxy.http.duties.duty import Duty, DutyPhases
from vcproxy.http.duties.refusal import refusal
from vcproxy.http.message.messages import Response
from vcproxy.http.message.vary import vary_by
from vcproxy.http.option_texts import Method, Token

if TYPE_CHECKING:
    from vcproxy.http.filters import PhaseResult
    from vcproxy.http.message.messages import Request
    from vcproxy.http.proxy.transaction import Transaction

ANY: Final = "*"

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\*\.)?([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}

_ALLOWED: Final = (
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Private-Network",
    "Access-Control-Expose-Headers",
    "Access-Control-Max-Age",
)
"""What a server may have set on its own."""


def _origin(text: str) -> str:
    if text in (ANY, "null"):
        return text
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise ValueError(
            f'"{text}" is not an origin: write SCHEME://HOST or SCHEME://HOST:PORT in lower case, '
            'as "https://app.example", "https://*.app.example" for all hosts below it, or "*"'
        )
    if match[4] and _DEFAULT_PORTS.get(match[1]) == match[4]:
        raise ValueError(
            f'"{text}" never matches, as browsers leave out the usual port: write '
            f'"{text.removesuffix(match[4])}"'
        )
    return text


@dataclass(frozen=True)
class Cors(Duty):
    """Which origins may read responses by scripts, and what their requests may have.

    On a route with `methods`, list OPTIONS too: preflights have it.
    """

    origins: tuple[Annotated[str, AfterValidator(_origin)], ...]
    """Origins as browsers send them: "https://app.example"; with `*.` all hosts below a name, but
    not the name itself; "*": all."""

    methods: tuple[Method, ...] = ("GET", "HEAD", "POST")
    """The methods that are allowed."""

    headers: tuple[Token, ...] = ()
    """The fields that requests may have beside those that are always allowed, as "Content-Type" or
    "Authorization". "*": all."""

    expose: tuple[Token, ...] = ()
    """The fields of responses that scripts may read beside those that they always may."""

    credentials: bool = False
    """Whether requests may have cookies, a password or a client certificate. Not with the origin
    "*": any web site could read what its visitors may read."""

    max_age: Duration = 600.0
    """For how long a browser keeps the answer to a preflight: 10 minutes, so that a change of the
    file has an effect soon. Chromium keeps none for more than two hours."""

    private_network: bool = False
    """Whether public web sites may send requests to this proxy in a private network, if browsers
    ask (https://wicg.github.io/private-network-access)."""

    def __post_init__(self) -> None:
        if not self.origins:
            raise ValueError("cors needs an origin")
        if self.credentials and (loose := {ANY, "null"}.intersection(self.origins)):
            raise ValueError(
                f'credentials cannot be allowed for the origin "{min(loose)}", which any web site '
                "may have: name the origins"
            )
        if self.credentials and ANY in (*self.methods, *self.expose):
            raise ValueError('with credentials, browsers do not take "*" for all: write the names')

    def phases(self) -> CorsPhases:
        """See Duty."""
        return CorsPhases(self)

    def allows(self, origin: str) -> bool:
        """Whether scripts of an origin may read responses."""
        if ANY in self.origins or origin in self.origins:
            return True
        scheme, slashes, host = origin.partition("://")
        return bool(slashes) and any(
            allowed.startswith(f"{scheme}://*.")
            and len(host) >= len(allowed) - len(scheme) - 3
            and host.endswith(allowed[len(scheme) + 4 :])
            for allowed in self.origins
        )


class CorsPhases(DutyPhases):
    """Answers preflights, and replaces the Access-Control-* fields of responses."""

    def __init__(self, options: Cors) -> None:
        super().__init__(options)
        self._rules = options
        self._for_all = ANY in options.origins
        methods = {} if ANY in options.methods else {"GET": 1, "HEAD": 1, "POST": 1}
        self._methods = ", ".join({**methods, **dict.fromkeys(options.methods)})
        self._headers = {each.lower() for each in options.headers}

    def request_head(self, tx: Transaction) -> PhaseResult:
        """See Phases: answer a preflight."""
        if not _is_preflight(tx.request):
            return None
        fields = tx.request.fields
        method = fields["Access-Control-Request-Method"]
        why = self._refused(fields["Origin"], method, _names(tx.request))
        return refusal(403, why) if why else Response(204)

    def every_response(self, tx: Transaction, response: Response) -> None:
        """See Phases: a refusal gets the fields too, as a script may read its status."""
        fields, rules, asked = response.fields, self._rules, tx.request.fields
        if b"\r\naccess-control-" in fields.lower:
            for name in _ALLOWED:
                fields.pop(name, None)
        origin = asked.get("Origin")
        preflight = origin is not None and _is_preflight(tx.request)
        if not self._for_all:
            vary_by(fields, "Origin")
        if preflight:
            vary_by(fields, "Access-Control-Request-Method", "Access-Control-Request-Headers")
        if origin is None or not rules.allows(origin):
            return
        fields.add("Access-Control-Allow-Origin", ANY if self._for_all else origin)
        if rules.credentials:
            fields.add("Access-Control-Allow-Credentials", "true")
        if not preflight:
            if rules.expose:
                fields.add("Access-Control-Expose-Headers", ", ".join(rules.expose))
            return
        fields.add("Access-Control-Allow-Methods", self._methods)
        names = _names(tx.request)
        allowed = names if ANY in self._headers else [n for n in names if n in self._headers]
        if allowed:
            fields.add("Access-Control-Allow-Headers", ", ".join(allowed))
        fields.add("Access-Control-Max-Age", str(int(rules.max_age)))
        if rules.private_network and "Access-Control-Request-Private-Network" in asked:
            fields.add("Access-Control-Allow-Private-Network", "true")

    def _refused(self, origin: str, method: str, names: list[str]) -> str:
        """Return why a request that a preflight asks for is not allowed; "": it is."""
        rules = self._rules
        if not rules.allows(origin):
            return "cors: this origin is not allowed"
        if method not in self._methods.split(", ") and ANY not in rules.methods:
            return "cors: this method is not allowed for other origins"
        if ANY not in self._headers and not self._headers.issuperset(names):
            return "cors: a field is not allowed in requests of other origins"
        return ""


def _is_preflight(request: Request) -> bool:
    return request.method == "OPTIONS" and all(
        name in request.fields for name in ("Origin", "Access-Control-Request-Method")
    )


def _names(request: Request) -> list[str]:
    """Return the fields that a preflight asks for, in lower case."""
    value = request.fields.get("Access-Control-Request-Headers", "")
    return [name for each in value.split(",") if (name := each.strip(" \t").lower())]
