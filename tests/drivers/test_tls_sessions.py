"""TLS sessions that are resumed, by clients of a listener and by connections to servers."""

import gc
import itertools
import math
import ssl
import weakref

import pytest

from vcproxy.drivers import tls as tls_module
from vcproxy.drivers import tls_sessions
from vcproxy.drivers.tls import TlsFilter
from vcproxy.drivers.tls_context import client_context, server_context
from vcproxy.drivers.tls_sessions import MOST_SERVERS, ClientTls, ServerNames
from vcproxy.engine.failures import CertificateRefused, TlsError

from .test_tls import (
    VERSIONS,
    Files,
    carry,
    connected,
    ended,
    establish,
    files,
    receive,
    send,
)

__all__ = ["files"]  # a fixture

ADDRESS = "tls://192.0.2.1:443"


@pytest.fixture(params=VERSIONS, ids=lambda version: str(version.name))
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    assert isinstance(request.param, ssl.TLSVersion)
    return request.param


def trusting(files: Files, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """A context of clients that support one version of TLS only."""
    context = client_context(ca=files.ca, certificate=files.alice.certificate, key=files.alice.key)
    context.minimum_version = context.maximum_version = version
    return context


def talk(
    client: ClientTls,
    server: ssl.SSLContext,
    name: str = "site.example",
    address: str = ADDRESS,
    say: bytes = b"hello",
) -> tuple[TlsFilter, TlsFilter]:
    """Connect and send data in both directions; return both ends."""
    ends = client.connection(address, name), TlsFilter(server, server_side=True)
    establish(*ends)
    for source, sink in (ends, ends[::-1]):
        send(source, sink, say)
        assert receive(sink) == say
    return ends


def test_a_session_is_resumed_with_all_that_was_verified(
    files: Files, version: ssl.TLSVersion
) -> None:
    server = server_context(
        *files.site, client_ca=files.ca, alpn=["b"], names={"*.wild.example": files.wild}
    )
    context = trusting(files, version)
    context.set_alpn_protocols(["a", "b"])
    client = ClientTls(context)
    for name in ("site.example", "x.wild.example"):
        first = talk(client, server, name)
        assert [end.resumed for end in first] == [False, False]
        for _ in range(3):
            again = talk(client, server, name)
            assert [end.resumed for end in again] == [True, True]
            assert [(end.peer, end.alpn, end.sni) for end in again] == [
                (end.peer, end.alpn, end.sni) for end in first
            ]
            assert again[1].certificate == first[1].certificate is not None
            assert again[1].peer is not None
            assert again[1].peer.startswith("CN=alice")


def test_a_session_belongs_to_one_context_name_and_address(
    files: Files, version: ssl.TLSVersion
) -> None:
    server = server_context(*files.site)
    client = ClientTls(trusting(files, version))
    talk(client, server)
    assert talk(client, server)[0].resumed
    assert not talk(client, server, "127.0.0.1")[0].resumed
    assert not talk(client, server, address="tls://192.0.2.2:443")[0].resumed
    assert not talk(ClientTls(trusting(files, version)), server)[0].resumed
    with pytest.raises(TlsError, match="Hostname mismatch"):
        talk(client, server, "other.example")


def test_another_context_of_the_server_makes_a_full_handshake(
    files: Files, version: ssl.TLSVersion
) -> None:
    """A reload creates another context, because the authorities for clients may have changed."""
    client = ClientTls(trusting(files, version))
    talk(client, server_context(*files.site))
    later = server_context(*files.site)
    assert not talk(client, later)[1].resumed
    assert talk(client, later)[1].resumed


def test_a_listener_without_client_certificates_makes_no_session_for_one_with(
    files: Files, version: ssl.TLSVersion
) -> None:
    context = client_context(ca=files.ca)
    context.minimum_version = context.maximum_version = version
    client = ClientTls(context)
    talk(client, server_context(*files.site))
    with pytest.raises(TlsError, match="the peer sent no certificate, and one is required"):
        talk(client, server_context(*files.site, client_ca=files.ca))


def test_tickets_wait_for_the_first_data_of_the_server(files: Files) -> None:
    client = ClientTls(trusting(files))
    ends = (
        client.connection(ADDRESS, "site.example"),
        TlsFilter(server_context(*files.site), server_side=True),
    )
    establish(*ends)
    assert not ends[1].has_ciphertext
    assert not ends[1].ciphertext()
    send(*ends, b"uploaded")
    assert receive(ends[1]) == b"uploaded"
    assert not ends[1].has_ciphertext
    waiting = ends[1]._outgoing.pending
    assert waiting > 100
    assert len(ends[1].encrypt(b"thanks")) > waiting


@pytest.mark.parametrize("by_record", [False, True])
def test_tickets_go_before_the_first_data(files: Files, by_record: bool) -> None:
    client = ClientTls(trusting(files))
    server = server_context(*files.site)
    for resumed in (False, True):
        ends = client.connection(ADDRESS, "site.example"), TlsFilter(server, server_side=True)
        establish(*ends)
        send(ends[1], ends[0], b"data")
        assert receive(ends[0], by_record=by_record) == b"data"
        assert ends[0].resumed is resumed


def test_tickets_go_before_an_end_without_data(files: Files) -> None:
    client = trusting(files)
    ends = connected(client, server_context(*files.site))
    ends[1].close_notify()
    carry(ends[1], ends[0], itertools.repeat(1))
    assert ended(ends[0])


def test_a_session_ends_with_its_lifetime(
    files: Files, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_context(*files.site)
    client = ClientTls(trusting(files, version))
    talk(client, server)
    session = client.connection(ADDRESS, "site.example")._object.session
    assert session is not None
    monkeypatch.setattr(tls_sessions, "time", lambda: session.time + 7199)
    assert talk(client, server)[0].resumed
    monkeypatch.setattr(tls_sessions, "time", lambda: session.time + 7200)
    assert not talk(client, server)[0].resumed


def test_a_certificate_that_has_expired_since_is_refused(
    files: Files, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_context(*files.site, client_ca=files.ca)
    client = ClientTls(trusting(files, version))
    talk(client, server)
    assert talk(client, server)[1].resumed
    monkeypatch.setattr(tls_module, "time", lambda: math.inf)
    ends = client.connection(ADDRESS, "site.example"), TlsFilter(server, server_side=True)
    with pytest.raises(CertificateRefused, match="refused: certificate has expired"):
        establish(*ends)
    assert not ends[1].has_ciphertext


def test_a_server_certificate_that_has_expired_since_is_verified_again(
    files: Files, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_context(*files.site)
    client = ClientTls(trusting(files, version))
    monkeypatch.setattr(tls_module, "expiry", lambda _: 0.0)
    talk(client, server)
    assert not talk(client, server)[0].resumed


def test_a_failed_handshake_forgets_the_session_that_it_offered(
    files: Files, version: ssl.TLSVersion
) -> None:
    server = server_context(*files.site)
    client = ClientTls(trusting(files, version))
    talk(client, server)
    broken = client.connection(ADDRESS, "site.example")
    broken.feed(b"\0" * 64)
    with pytest.raises(TlsError):
        broken.handshake()
    assert not talk(client, server)[0].resumed
    assert talk(client, server)[0].resumed


def test_the_longest_unused_session_is_forgotten(files: Files) -> None:
    server = server_context(*files.site)
    client = ClientTls(trusting(files))
    talk(client, server, address="first")
    talk(client, server, address="second")
    talk(client, server, address="first")
    for number in range(MOST_SERVERS - 1):
        client.connection(number, "site.example")
    assert talk(client, server, address="first")[0].resumed
    assert not talk(client, server, address="second")[0].resumed


def test_sessions_end_with_their_context_without_a_garbage_collection(files: Files) -> None:
    context = trusting(files)
    client = ClientTls(context)
    talk(client, server_context(*files.site))
    alive = weakref.ref(context)
    gc.disable()
    try:
        del client, context
        assert alive() is None
    finally:
        gc.enable()


# Names that are sent and verified


def toward(
    files: Files, sent: str | None, verified: str | None, *, resume: bool = True
) -> ClientTls:
    names = ServerNames(sent, verified)
    context = client_context(ca=files.ca, check_name=names.checked_by_openssl)
    return ClientTls(context, names, resume=resume)


@pytest.mark.parametrize(
    ("host", "sent", "verified", "arrives"),
    [
        ("site.example", None, None, "site.example"),
        ("10.0.0.7", "site.example", None, "site.example"),
        ("elsewhere.example", "site.example", None, "site.example"),
        ("elsewhere.example", None, "site.example", "elsewhere.example"),
        ("10.0.0.7", None, "site.example", None),
        ("elsewhere.example", "third.example", "site.example", "third.example"),
        ("elsewhere.example", None, "127.0.0.1", "elsewhere.example"),
        ("site.example", "", None, None),
        ("127.0.0.1", "", None, None),
        ("elsewhere.example", "", "site.example", None),
    ],
)
def test_the_name_that_is_sent_and_the_one_that_is_verified(
    files: Files, host: str, sent: str | None, verified: str | None, arrives: str | None
) -> None:
    """The certificate is for site.example and 127.0.0.1."""
    server = server_context(*files.site)
    client = toward(files, sent, verified)
    for resumed in (False, True):
        here, there = talk(client, server, host)
        assert (there.sni, here.resumed) == (arrives, resumed)


@pytest.mark.parametrize(
    ("host", "sent", "verified", "reason"),
    [
        ("site.example", "other.example", None, "Hostname mismatch"),
        ("site.example", None, "other.example", "it is not for other.example"),
        ("127.0.0.2", "", None, "it is not for 127.0.0.2"),
        ("site.example", "", "127.0.0.2", "it is not for 127.0.0.2"),
    ],
)
def test_a_server_with_another_name_is_refused(
    files: Files, host: str, sent: str | None, verified: str | None, reason: str
) -> None:
    server = server_context(*files.site)
    with pytest.raises(CertificateRefused, match=f"the peer's certificate is refused: {reason}"):
        talk(toward(files, sent, verified), server, host)


def test_a_name_is_not_verified_where_nothing_is(files: Files) -> None:
    client = ClientTls(client_context(verify=False), ServerNames("", None))
    assert talk(client, server_context(*files.stranger))[1].sni is None


def test_an_unknown_authority_is_refused_with_a_name_of_its_own_too(files: Files) -> None:
    names = ServerNames(None, "site.example")
    context = client_context(ca=files.other_ca, check_name=names.checked_by_openssl)
    with pytest.raises(CertificateRefused, match="unknown CA"):
        talk(ClientTls(context, names), server_context(*files.site), "elsewhere.example")


def test_sessions_need_not_be_resumed(files: Files, version: ssl.TLSVersion) -> None:
    server = server_context(*files.site)
    client = ClientTls(trusting(files, version), resume=False)
    assert [talk(client, server)[0].resumed for _ in range(3)] == [False, False, False]
