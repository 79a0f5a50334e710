"""Two TLS filters, connected by a wire that delivers pieces of any size."""

import datetime
import itertools
import re
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given, settings
from hypothesis import strategies as st
from trustme import CA, KeyType, LeafCert

from vcproxy.drivers.certificate_choice import Identity
from vcproxy.drivers.tls import MARK, RECORD, TlsFilter
from vcproxy.drivers.tls_context import client_context, server_context
from vcproxy.drivers.tls_errors import failure_of
from vcproxy.engine.failures import TlsError

OVERHEAD = 256  # header, tag and padding of one record in any cipher (RFC 5246, 6.2.3)
ENDLESS = 1 << 30
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Files(NamedTuple):
    ca: Path
    other_ca: Path
    site: Identity
    wild: Identity
    alice: Identity
    stranger: Identity
    expired: Identity


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("tls")
    # RSA: signatures of one length, so that whole conversations repeat in length
    ca, other = CA(key_type=KeyType.RSA), CA(key_type=KeyType.RSA)
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    other.cert_pem.write_to_path(str(folder / "other_ca.pem"))

    def keep(name: str, leaf: LeafCert) -> Identity:
        identity = Identity(folder / f"{name}.pem", folder / f"{name}.key")
        for part, mode in zip(leaf.cert_chain_pems, "wa", strict=False):
            part.write_to_path(str(identity.certificate), append=mode == "a")
        leaf.private_key_pem.write_to_path(str(identity.key))
        return identity

    def issue(issuer: CA, *names: str, cn: str | None = None, years: int = 1) -> LeafCert:
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=365 * years)
        since = until - datetime.timedelta(days=400)
        return issuer.issue_cert(
            *names, common_name=cn, key_type=KeyType.RSA, not_before=since, not_after=until
        )

    return Files(
        folder / "ca.pem",
        folder / "other_ca.pem",
        keep("site", issue(ca, "site.example", "127.0.0.1")),
        keep("wild", issue(ca, "*.wild.example")),
        keep("alice", issue(ca, "alice@site.example", cn="alice,O=root")),
        keep("stranger", issue(other, "stranger@site.example")),
        keep("expired", issue(ca, "site.example", years=-1)),
    )


def connected(
    client: ssl.SSLContext, server: ssl.SSLContext, name: str = "site.example"
) -> tuple[TlsFilter, TlsFilter]:
    """Return both ends, established."""
    ends = (
        TlsFilter(client, server_side=False, server_hostname=name),
        TlsFilter(server, server_side=True),
    )
    establish(*ends)
    return ends


def establish(client: TlsFilter, server: TlsFilter, cuts: Iterator[int] | None = None) -> None:
    cuts = cuts or itertools.repeat(ENDLESS)
    while not (client.established and server.established):
        for here, there in ((client, server), (server, client)):
            here.established or here.handshake()
            carry(here, there, cuts)
    carry(server, client, cuts)


def carry(source: TlsFilter, sink: TlsFilter, cuts: Iterable[int] = (ENDLESS,)) -> int:
    """Move pieces of these sizes along the wire; return the bytes moved."""
    moved = 0
    for cut in cuts:
        if not (piece := source.ciphertext()[:cut]):
            break
        sink.feed(piece)
        source.sent(len(piece))
        moved += len(piece)
    return moved


def send(source: TlsFilter, sink: TlsFilter, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[source.write([left]) :]
        carry(source, sink, itertools.repeat(ENDLESS))


def receive(end: TlsFilter, view_size: int = 1 << 18, by_record: bool = False) -> bytes:
    """Return all plaintext that the filter has now."""
    received = bytearray()
    if by_record:
        while data := end.read(view_size):
            received += data
        assert data is not None or not end.pending
        return bytes(received)
    view = memoryview(bytearray(view_size))
    while count := end.read_into(view):
        received += view[:count]
    if count is None:
        assert not end.pending
    return bytes(received)


def ended(end: TlsFilter) -> bool:
    """Return whether the next read is the orderly end."""
    return end.read_into(memoryview(bytearray(1))) == 0


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda version: str(version.name))
def contexts(files: Files, request: pytest.FixtureRequest) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    client, server = client_context(ca=files.ca), server_context(*files.site)
    client.maximum_version = request.param
    return client, server


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


# Streams


def test_a_conversation_one_byte_at_a_time(contexts: Contexts) -> None:
    client = TlsFilter(contexts[0], server_side=False, server_hostname="site.example")
    server = TlsFilter(contexts[1], server_side=True)
    establish(client, server, itertools.repeat(1))
    for source, sink, data in ((client, server, b"request"), (server, client, b"reply")):
        source.write([data[:3], memoryview(data)[3:]])
        source.close_notify()
        received = b""
        while carry(source, sink, [1]):
            assert sink.pending
            received += receive(sink)
        assert received == data


sizes = st.integers(0, 3 * RECORD)


@settings(max_examples=60)
@given(
    messages=st.lists(st.tuples(st.booleans(), st.lists(sizes, max_size=5)), max_size=6),
    cuts=st.lists(st.integers(1, 2 * RECORD), min_size=1),
    view_size=st.integers(64, 1 << 17),
    by_record=st.booleans(),
    random=st.randoms(use_true_random=False),
)
def test_bytes_are_conserved_and_the_end_comes_after_them(
    contexts: Contexts,
    messages: list[tuple[bool, list[int]]],
    cuts: list[int],
    view_size: int,
    by_record: bool,
    random: Random,
) -> None:
    client, server = connected(*contexts)
    cut = itertools.cycle(cuts)
    ways = ((client, server), (server, client))
    for forward, lengths in messages:
        source, sink = ways[forward]
        views = [memoryview(random.randbytes(length)) for length in lengths]
        expected, received = b"".join(views), b""
        while received != expected:
            taken = source.write(views)
            assert source._outgoing.pending + len(source._wire) <= MARK + RECORD + OVERHEAD
            while taken:
                first = views.pop(0)
                if taken < len(first):
                    views.insert(0, first[taken:])
                taken -= min(taken, len(first))
            carry(source, sink, itertools.islice(cut, 3))
            received += receive(sink, view_size, by_record)
        assert not sink.pending
    for source, sink in ways:
        source.close_notify()
        carry(source, sink, itertools.repeat(1))
        assert ended(sink)
        assert not sink.pending


def test_the_mark_limits_unsent_ciphertext(contexts: Contexts) -> None:
    client, server = connected(*contexts)
    views = [bytes(100_000), bytes(50)]
    assert client.write(views) == 2 * RECORD
    assert client.write(views) == 0
    half = client.ciphertext()[: RECORD + 2 * OVERHEAD]
    server.feed(half)
    client.sent(len(half))
    assert client.write(views) == RECORD
    assert client.write(views) == 0
    carry(client, server, itertools.repeat(ENDLESS))
    assert receive(server) == bytes(3 * RECORD)


def test_small_views_share_a_record(contexts: Contexts) -> None:
    client, server = connected(*contexts)
    client.write([b"x"] * 1000)
    assert carry(client, server) <= 1000 + OVERHEAD
    assert receive(server) == b"x" * 1000


def test_a_large_transfer(contexts: Contexts) -> None:
    client, server = connected(*contexts)
    data = bytes(range(256)) * 4096 * 8
    left, received = memoryview(data), bytearray()
    while left:
        left = left[client.write([left]) :]
        carry(client, server, itertools.repeat(ENDLESS))
        received += receive(server)
    assert received == data


def test_one_read_takes_several_records_and_the_rest_stays_pending(contexts: Contexts) -> None:
    client, server = connected(*contexts)
    send(client, server, bytes(5 * RECORD))
    view = memoryview(bytearray(4 * RECORD + 1))
    assert server.read_into(view) == len(view)
    assert server.pending
    assert server.read_into(view) == RECORD - 1
    assert not server.pending


def test_one_read_by_record_takes_one_record_at_most(contexts: Contexts) -> None:
    client, server = connected(*contexts)
    client.write([bytes(RECORD), b"x" * 5])
    carry(client, server)
    assert server.read(2 * RECORD) == bytes(RECORD)
    assert server.pending
    assert server.read(4) == b"xxxx"
    assert server.pending
    assert server.read(4) == b"x"
    assert not server.pending
    assert server.read(4) is None


def test_one_step_encrypts_as_write_does_and_keeps_what_was_not_sent(contexts: Contexts) -> None:
    client, server = connected(*contexts)
    first = client.encrypt(b"a" * RECORD)
    server.feed(first[:100])
    client.keep(first[100:])
    assert client.has_ciphertext
    client.write([b"b"])
    carry(client, server, itertools.repeat(ENDLESS))
    assert not client.has_ciphertext
    assert receive(server) == b"a" * RECORD + b"b"
    client.close_notify()
    with pytest.raises(TlsError):
        client.encrypt(b"too late")


def test_lengths_on_the_wire_repeat(contexts: Contexts) -> None:
    def run() -> list[int]:
        client = TlsFilter(contexts[0], server_side=False, server_hostname="site.example")
        server = TlsFilter(contexts[1], server_side=True)
        lengths = []
        for _ in range(4):
            for here, there in ((client, server), (server, client)):
                here.established or here.handshake()
                lengths.append(carry(here, there))
        for views in ([b"a"], [b"b" * 9, b"c" * 30_000], [b"d"] * 40):
            client.write(views)
            lengths.append(carry(client, server, itertools.repeat(ENDLESS)))
        client.close_notify()
        return [*lengths, carry(client, server)]

    assert run() == run()


# Ends


def result(end: TlsFilter, view: memoryview, by_record: bool = False) -> int | str | None:
    try:
        if by_record:
            data = end.read(len(view))
            return None if data is None else len(data)
        return end.read_into(view)
    except TlsError as error:
        return str(error)


@settings(max_examples=60)
@given(
    length=st.integers(0, RECORD + 99),
    share=st.floats(0, 1),
    closing=st.booleans(),
    by_record=st.booleans(),
)
def test_a_truncated_stream_is_an_error_after_the_data(
    contexts: Contexts, length: int, share: float, closing: bool, by_record: bool
) -> None:
    client, server = connected(*contexts)
    client.write([bytes(length)])
    if closing:
        client.close_notify()
    stream = bytes(client.ciphertext())
    delivered = stream[: int(share * len(stream))]
    server.feed(delivered)
    server.feed_eof()
    assert server.pending
    view = memoryview(bytearray(2 * RECORD))
    complete = closing and delivered == stream
    truncated = "the stream was truncated: it ended without close_notify"
    whole = 0
    while isinstance(size := result(server, view, by_record), int) and size:
        whole += size
    assert whole in (0, min(length, RECORD), length)
    assert size == (0 if complete else truncated)
    assert not server.pending


def test_damage_is_an_error_after_the_data_and_sends_an_alert(contexts: Contexts) -> None:
    client, server = connected(*contexts)
    send(client, server, b"good")
    client.write([b"bad"])
    stream = bytearray(client.ciphertext())
    stream[-1] ^= 1
    server.feed(stream)
    view = memoryview(bytearray(100))
    assert server.read_into(view) == 4
    assert server.pending
    with pytest.raises(TlsError, match=r"damaged or forged in transit$"):
        server.read_into(view)
    assert not server.pending
    carry(server, client)
    with pytest.raises(TlsError, match=r"damaged or forged in transit \(reported by the peer\)"):
        receive(client)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[SSL] record layer failure (_ssl.c:2580)", "the stream was damaged or forged in transit"),
        ("[SSL] no suitable key share (_ssl.c:1)", "no group for the key exchange in common "),
        ("[SSL] something new (_ssl.c:1)", "TLS failed: SOMETHING_NEW"),
        ("unknown error (0x1)", "TLS failed: "),
    ],
)
def test_a_reason_without_a_name_in_this_python(text: str, message: str) -> None:
    assert str(failure_of(ssl.SSLError(1, text))).startswith(message)


@pytest.mark.parametrize(
    ("code", "unknown"), [(2, True), (18, True), (19, True), (20, True), (21, True), (10, False)]
)
def test_verify_codes_of_an_unknown_ca(code: int, unknown: bool) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "why"
    reason = "unknown CA (why)" if unknown else "why"
    assert str(failure_of(error)) == f"the peer's certificate is refused: {reason}"


def test_no_group_in_common(files: Files) -> None:
    client, server = client_context(ca=files.ca), server_context(*files.site)
    client.set_ecdh_curve("prime256v1")
    server.set_ecdh_curve("secp384r1")
    assert failures(client, server, "site.example") == (
        "no cipher, group or certificate type in common (reported by the peer)",
        "no group for the key exchange in common with the peer",
    )


def lengths(stream: bytes) -> list[int]:
    """Return the plaintext length of each record (AES-GCM or ChaCha20, TLS 1.3)."""
    found = []
    while stream:
        size = int.from_bytes(stream[3:5])
        found.append(size - 17)  # minus 1 byte of content type and 16 bytes of tag
        stream = stream[5 + size :]
    return found


def test_a_record_is_as_long_as_tls_allows(files: Files) -> None:
    """RFC 8446, 5.1: 2^14 bytes."""
    client, _ = connected(client_context(ca=files.ca), server_context(*files.site))
    assert client.write([bytes(40_000)]) == 32_768
    assert lengths(bytes(client.ciphertext())) == [16_384, 16_384]


@pytest.mark.parametrize(("middle", "taken"), [(212, 16_384 + 212 + 4096), (213, 16_384 + 213)])
def test_the_mark_is_one_record_with_the_largest_overhead(
    middle: int, taken: int, files: Files
) -> None:
    """16,384 + 212 bytes become 16,640 in two records, each with 22 bytes of overhead: this does
    not exceed the mark, so a third record is written."""
    client, _ = connected(client_context(ca=files.ca), server_context(*files.site))
    assert client.write([bytes(16_384), bytes(middle), bytes(4096)]) == taken


@pytest.mark.parametrize("by_record", [False, True])
@pytest.mark.parametrize("first", [0, 1], ids=["client", "server"])
@pytest.mark.parametrize("inside", ["nothing", "part", "record", "plaintext", "all", "end"])
def test_half_close_while_the_other_direction_continues(
    contexts: Contexts, first: int, inside: str, by_record: bool
) -> None:
    ends = connected(*contexts)
    closer, other = ends[first], ends[1 - first]
    other.write([b"early " * 1000])
    if inside == "end":
        other.close_notify()
    carry(other, closer, {"nothing": [], "part": [700]}.get(inside, [ENDLESS]))
    received = b""
    if inside in ("part", "plaintext"):
        view = memoryview(bytearray(10))
        received = bytes(view[: closer.read_into(view) or 0])

    closer.close_notify()
    closer.close_notify()
    carry(closer, other)
    assert ended(other)

    assert closer.pending == (inside not in ("nothing", "part"))
    if inside == "end":
        assert received + receive(closer, by_record=by_record) == b"early " * 1000
        return
    carry(other, closer)
    received += receive(closer, 7, by_record)
    send(other, closer, b"late " * 20_000)
    received += receive(closer, by_record=by_record)
    other.close_notify()
    carry(other, closer)
    assert received == b"early " * 1000 + b"late " * 20_000
    assert ended(closer)


def test_a_truncation_after_a_half_close_is_an_error(contexts: Contexts) -> None:
    client, server = connected(*contexts)
    send(server, client, b"part of an answer")
    client.feed_eof()
    client.close_notify()
    view = memoryview(bytearray(100))
    assert client.read_into(view) == 17
    with pytest.raises(TlsError, match="truncated"):
        client.read_into(view)


def test_nothing_is_written_after_close_notify(contexts: Contexts) -> None:
    client, _ = connected(*contexts)
    client.close_notify()
    with pytest.raises(TlsError):
        client.write([b"too late"])


# Names and certificates


def test_sni_chooses_the_certificate(files: Files) -> None:
    server = server_context(*files.site, names={"*.Wild.example": files.wild})
    for name in ("a.wild.example", "A.WILD.example", "site.example"):
        _, end = connected(client_context(ca=files.ca), server, name)
        assert end.sni == name.lower()
    for name in ("a.b.wild.example", "unknown.example"):
        with pytest.raises(TlsError, match="Hostname mismatch"):
            connected(client_context(ca=files.ca), server, name)
    client, end = connected(client_context(ca=files.ca), server, "127.0.0.1")
    assert end.sni is None
    assert client.peer is not None


@pytest.mark.parametrize("configured", ["a.wild.example", "A.Wild.example.", "*.wild.example."])
@pytest.mark.parametrize("requested", ["a.wild.example", "a.wild.example.", "A.WILD.Example."])
def test_a_final_dot_and_case_make_no_difference_to_sni(
    files: Files, configured: str, requested: str
) -> None:
    server = server_context(*files.site, names={configured: files.wild})
    plain = ssl.create_default_context(cafile=files.ca)
    plain.check_hostname = False  # Python's own client sends the name unchanged
    client = TlsFilter(plain, server_side=False)
    client._object = plain.wrap_bio(
        client._incoming, client._outgoing, server_side=False, server_hostname=requested
    )
    end = TlsFilter(server, server_side=True)
    establish(client, end)
    certificate = client._object.getpeercert()
    assert certificate is not None
    assert certificate["subjectAltName"] == (("DNS", "*.wild.example"),)
    assert end.sni == "a.wild.example"


def test_a_server_name_with_a_final_dot_is_verified(files: Files) -> None:
    _, end = connected(client_context(ca=files.ca), server_context(*files.site), "site.example.")
    assert end.sni == "site.example"


def test_a_server_name_with_control_characters_is_ignored(files: Files) -> None:
    client = TlsFilter(
        client_context(verify=False), server_side=False, server_hostname="site.example"
    )
    client.handshake()
    hello = bytes(client.ciphertext()).replace(b"site.example", b"site\nexample")
    server = TlsFilter(server_context(*files.site), server_side=True)
    server.feed(hello)
    assert not server.handshake()
    assert getattr(server._object, "sni", "none") is None


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), (["smtp"], None), ([], None)],
)
def test_alpn_follows_the_server_and_may_have_no_result(
    files: Files, offered: list[str], chosen: str | None
) -> None:
    names = {"*.wild.example": files.wild}
    server = server_context(*files.site, alpn=["h2", "http/1.1"], names=names)
    for name in ("site.example", "a.wild.example"):
        ends = connected(client_context(ca=files.ca, alpn=offered), server, name)
        assert [end.alpn for end in ends] == [chosen, chosen]


def test_the_subject_of_a_client_certificate_is_escaped(files: Files) -> None:
    certificate, key = files.alice
    client = client_context(ca=files.ca, certificate=certificate, key=key)
    names = {"*.wild.example": files.wild}
    server = server_context(*files.site, client_ca=files.ca, names=names)
    for name in ("site.example", "a.wild.example"):
        _, end = connected(client, server, name)
        assert end.peer is not None
        assert end.peer.startswith(r"CN=alice\2CO\3Droot,OU=")
        assert end.certificate is not None
        assert end.certificate.subject == end.peer
        assert end.certificate.names == ("alice@site.example",)


def test_without_verification_there_is_no_peer_name(files: Files) -> None:
    client, server = connected(
        client_context(verify=False), server_context(*files.stranger), "x.example"
    )
    assert (client.peer, server.peer) == (None, None)


def failures(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> tuple[str, str]:
    """Return the errors of client and server of a failed handshake ("": none)."""
    ends = (
        TlsFilter(client, server_side=False, server_hostname=name),
        TlsFilter(server, server_side=True),
    )
    errors = ["", ""]
    for _ in range(4):
        for side in (0, 1):
            here, there = ends[side], ends[1 - side]
            if not errors[side]:
                try:
                    if here.established or here.handshake():
                        receive(here)
                except TlsError as error:
                    errors[side] = str(error)
            carry(here, there)
    return errors[0], errors[1]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: str(version.name))
@pytest.mark.parametrize(
    ("case", "client_error", "server_error"),
    [
        ("unknown CA", "refused: unknown CA", "refused our certificate: unknown CA"),
        ("expired", "refused: certificate has expired", "refused our certificate: expired"),
        ("wrong name", "refused: Hostname mismatch", "refused our certificate"),
        ("wrong address", "refused: IP address mismatch", "refused our certificate"),
        ("no certificate", "", "the peer sent no certificate, and one is required"),
        ("strange certificate", "refused our certificate: unknown CA", "refused: unknown CA"),
        ("no cipher", "no cipher, group or certificate", "no cipher in common"),
    ],
)
def test_the_texts_of_failed_handshakes(
    files: Files, version: ssl.TLSVersion, case: str, client_error: str, server_error: str
) -> None:
    client, server, name = client_context(ca=files.ca), server_context(*files.site), "site.example"
    match case:
        case "unknown CA":
            client = client_context(ca=files.other_ca)
        case "expired":
            server = server_context(*files.expired)
        case "wrong name":
            name = "other.example"
        case "wrong address":
            name = "127.0.0.2"
        case "no certificate":
            server = server_context(*files.site, client_ca=files.ca)
        case "strange certificate":
            client = client_context(
                ca=files.ca, certificate=files.stranger.certificate, key=files.stranger.key
            )
            server = server_context(*files.site, client_ca=files.ca)
        case "no cipher":
            version = ssl.TLSVersion.TLSv1_2  # all TLS 1.3 ciphers are always shared
            client.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
            server.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")
    client.maximum_version = version
    client_text, server_text = failures(client, server, name)
    assert client_error in client_text
    assert server_error in server_text


def test_no_version_in_common(files: Files) -> None:
    client, server = client_context(ca=files.ca), server_context(*files.site)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    client_text, server_text = failures(client, server, "site.example")
    assert client_text == "no TLS version in common (reported by the peer)"
    assert server_text == "no TLS version in common with the peer"


@pytest.mark.parametrize("server_side", [True, False])
@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "the peer sent plain HTTP, not TLS"),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", "plain HTTP \\(CONNECT\\), not TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the peer does not speak TLS"),
        (b"\0" * 64, "the peer does not speak TLS"),
        (b"\x16\x03\x01", "closed the connection during the handshake"),
        (b"", "closed the connection during the handshake"),
    ],
)
def test_a_peer_without_tls(files: Files, server_side: bool, sent: bytes, text: str) -> None:
    context = server_context(*files.site) if server_side else client_context(ca=files.ca)
    name = None if server_side else "site.example"
    end = TlsFilter(context, server_side=server_side, server_hostname=name)
    end.feed(sent)
    end.feed_eof()
    with pytest.raises(TlsError, match=text):
        end.handshake()
    assert not end.established
    end.close_notify()


@pytest.mark.parametrize("by_record", [False, True])
def test_key_updates_without_reading_the_replies_fail_the_connection(
    files: Files, by_record: bool
) -> None:
    """Each key update requests a reply (RFC 8446, 4.6.3), and OpenSSL queues any number of them."""
    keys = files.ca.with_name("keys.log")
    client = client_context(ca=files.ca)
    client.keylog_filename = str(keys)
    _, peer = connected(client, server_context(*files.site))
    secret = bytes.fromhex(re.findall(r"CLIENT_TRAFFIC_SECRET_0 \w+ (\w+)", keys.read_text())[-1])
    view = memoryview(bytearray(1024))
    most = 0
    with pytest.raises(TlsError, match="does not read them"):  # noqa: PT012
        for _ in range(10_000):
            peer.feed(key_update(secret))
            assert peer.read(1024) is None if by_record else peer.read_into(view) is None
            most = len(peer.ciphertext()) + peer._outgoing.pending
            secret = expanded(secret, b"traffic upd", 48)
    assert most <= 4 * MARK


def expanded(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446, 7.1)."""
    name = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(name)]) + name + b"\0"
    return HKDFExpand(SHA384(), size, info).derive(secret)


def key_update(secret: bytes) -> bytes:
    """The first record under a secret: KeyUpdate with update_requested."""
    sealed = AESGCM(expanded(secret, b"key", 32))
    inner = bytes([24, 0, 0, 1, 1, 22])
    head = bytes([23, 3, 3, 0, len(inner) + 16])
    return head + sealed.encrypt(expanded(secret, b"iv", 12), inner, head)
