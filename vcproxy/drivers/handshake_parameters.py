"""HandshakeParameters: the versions, ciphers and groups that a TLS handshake may agree on.

They are checked one by one: OpenSSL ignores unknown names in a list of ciphers, as long as it has
one of them. Tested in tests/drivers/test_handshake_parameters.py.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

_OPERATORS: Final = ("!", "-", "+", "@")
"""The first characters of rules that select no cipher (openssl-ciphers, cipher list format)."""

_BY_CERTIFICATE: Final = "auth-rsa", "auth-ecdsa"
"""How ciphers of TLS 1.2 authenticate the server, in the words of Python's get_ciphers()."""

_SHORT_NAMES: Final = {"P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1"} | {
    "secp256r1": "prime256v1"
}
"""Names of groups in RFC 8446 and of NIST that OpenSSL has no short name for."""


class HandshakeParameters(NamedTuple):
    """What a handshake may agree on; by default what OpenSSL and Python choose."""

    min_version: str = "1.2"
    max_version: str = "1.3"
    ciphers: Sequence[str] = ()
    """In the order of preference: names and rules of OpenSSL for TLS 1.2, and the cipher suites of
    TLS 1.3, which begin with "TLS_". Empty: the defaults, of each version on its own."""
    groups: Sequence[str] = ()
    """For the key exchange, in the order of preference. Empty: the defaults."""

    def apply(self, context: ssl.SSLContext) -> None:
        """Set them in a context. Raises ValueError: see set_ciphers and set_groups."""
        context.minimum_version = VERSIONS[self.min_version]
        context.maximum_version = VERSIONS[self.max_version]
        set_ciphers(context, self.ciphers)
        set_groups(context, self.groups)


def set_ciphers(context: ssl.SSLContext, ciphers: Sequence[str]) -> None:
    """Set the ciphers: see HandshakeParameters. Raises ValueError for one that is not available."""
    suites = [each for each in ciphers if each.startswith("TLS_")]
    older = [each for each in ciphers if not each.startswith("TLS_")]
    for rule in older:
        if not rule.startswith(_OPERATORS) and not _selects(rule):
            raise ValueError(
                f'"{rule}" is no cipher of {ssl.OPENSSL_VERSION} that encrypts and authenticates: '
                "see openssl ciphers"
            )
    if older:
        try:
            context.set_ciphers(":".join(older))
        except ssl.SSLError:
            raise ValueError(f'"{":".join(older)}" leaves no cipher: see openssl ciphers') from None
    if suites:
        set_suites = _from_3_15(context, "set_ciphersuites")
        if set_suites is None:
            raise ValueError(
                f'"{suites[0]}" is a cipher suite of TLS 1.3, and those cannot be chosen before '
                "Python 3.15: remove it; OpenSSL's defaults are used, which are all safe"
            )
        try:
            set_suites(":".join(suites))
        except ssl.SSLError:
            text = f'"{":".join(suites)}" has a name that {ssl.OPENSSL_VERSION} does not have'
            raise ValueError(f"{text}: see openssl ciphers -tls1_3") from None


def set_groups(context: ssl.SSLContext, groups: Sequence[str]) -> None:
    """Set the groups: see HandshakeParameters. Raises ValueError for those that cannot be set."""
    if not groups:
        return
    set_all = _from_3_15(context, "set_groups")
    if set_all is None and len(groups) > 1:
        raise ValueError(
            "several groups can be set from Python 3.15 on, before that one: write one of them, or "
            "none for the defaults of OpenSSL"
        )
    try:
        if set_all is not None:
            set_all(":".join(groups))
        else:
            context.set_ecdh_curve(_SHORT_NAMES.get(groups[0], groups[0]))
    except (ValueError, ssl.SSLError):
        names = '", "'.join(groups)
        raise ValueError(
            f'"{names}": {ssl.OPENSSL_VERSION} has no such group; it has X25519, P-256, P-384, ...'
        ) from None


def _from_3_15(context: ssl.SSLContext, method: str) -> Callable[[str], None] | None:
    found: Callable[[str], None] | None = getattr(context, method, None)
    return found


def _selects(rule: str) -> bool:
    """Whether a rule selects, alone, a cipher that encrypts, with a certificate: OpenSSL has others
    (NULL, ADH), whose handshakes fail at Python's security level."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.set_ciphers(rule)
    except ssl.SSLError:
        return False
    return any(
        each["strength_bits"] and each["auth"] in _BY_CERTIFICATE
        for each in context.get_ciphers()
        if each["protocol"] != "TLSv1.3"  # those are always there
    )
