"""The framings of protocols: each at every cut, its inverse, its damaged messages, its errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy import api
from vcproxy.framing.checks import CHECKS
from vcproxy.framing.decoding import Damaged, FramingError
from vcproxy.framing.frame_scanner import FrameScanner
from vcproxy.framing.framing import Framing, reframe_with

INVALID, OVERSIZED, TRUNCATED = (
    FramingError.INVALID,
    FramingError.OVERSIZED,
    FramingError.TRUNCATED,
)

Decoding = tuple[list[bytes | Damaged], FramingError | None]


def decode(framing: Framing, *pieces: bytes) -> Decoding:
    decoder = framing.decoder()
    messages = [message for piece in pieces for message in decoder.feed(piece)]
    decoder.finish()
    return messages, decoder.fault


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


FIX = b"8=FIX.4.2\x019=5\x0135=0\x0110=161\x01"
LONG_FIX = b"8=FIX.4.4\x019=1010\x0135=0\x0158=%b\x01" % (b"\xff" * 1001)
LONG_FIX += b"10=%03d\x01" % (sum(LONG_FIX) % 256)
GGA = b"$GPGGA,092750.000,5321.6802,N,00630.3372,W,1,8,1.03,61.7,M,55.2,M,,*76"
AIS = b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C"
NEWLINE = "a message that ends in a newline may not contain one"
DIGIT = "a message that ends in a newline may not begin with a digit"
PACKET = b"G" + bytes(187)
STARTUP = b"\0\0\0\x0e\0\3\0\0user\0\0"
SSL = b"\0\0\0\x08\x04\xd2\x16\x2f"
QUERY = b"Q\0\0\0\x0dSELECT 1\0"


def rtu(frame: bytes) -> bytes:
    return frame + CHECKS["crc16-modbus"].of(frame)


@dataclass(frozen=True)
class Kind:
    """A framing, and messages of it, in the order of a stream."""

    framing: Framing
    messages: list[bytes]
    noise: list[bytes]
    """Bytes that streams are made of, besides its frames."""


KINDS = {
    "length-at": Kind(
        api.length_at(2, 2, "little", header=1, limit=20),
        [b"ab\3\0cdef", b"ab\0\0-"],
        [b"a", b"\0", b"\1", b"\x30"],
    ),
    "length-at frame": Kind(api.length_at(0, 1, counts="frame"), [b"\1", b"\3ab"], [b"\0", b"\2"]),
    "length-at field": Kind(
        api.length_at(1, 4, counts="field", limit=40),
        [b"Q\0\0\0\4", b"P\0\0\0\6ab"],
        [b"\0", b"\5", b"a"],
    ),
    "between": Kind(
        api.between(b"\2", b"\3", limit=5), [b"", b"abcde"], [b"\2", b"\3", b"a", b"\n"]
    ),
    "between blank": Kind(
        api.between(b"<<", b">>", "blank", limit=5),
        [b"", b"ab", b">a", b"a<"],
        [b"<", b">", b"a", b"\r\n", b" "],
    ),
    "between skip": Kind(
        api.between(b"aab", b"cc", "skip", limit=5),
        [b"", b"xyz", b"aa"],
        [b"a", b"b", b"c", b"x"],
    ),
    "mllp": Kind(api.mllp(20), [b"MSH|^~\\&|\r", b""], [b"\x0b", b"\x1c", b"\r", b"M"]),
    "rfc6587": Kind(
        api.rfc6587(limit=12), [b"<34>1 a", b"a\nb"], [b"<", b"\n", b"1", b"0", b" ", b"2 "]
    ),
    "rfc6587 newline": Kind(
        api.rfc6587("newline", limit=12), [b"<34>1 a", b"-"], [b"<", b"\n", b"1", b" "]
    ),
    "resp": Kind(
        api.resp(limit=60),
        [
            b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
            b"+OK\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"_\r\n",
            b"*0\r\n",
            b"%1\r\n+a\r\n*1\r\n:1\r\n",
            b"|1\r\n+ttl\r\n:3600\r\n#t\r\n",
            b"~1\r\n(12\r\n",
            b">2\r\n=5\r\ntxt:a\r\n!1\r\nE\r\n",
            b",1.5\r\n",
            b"-ERR\r\n",
        ],
        [b"*", b"$", b"1", b"\r\n", b"\n", b"+", b"x", b"-1"],
    ),
    "mbap": Kind(
        api.mbap(),
        [b"\0\1\0\0\0\6\1\3\0\0\0\1", b"\xff\xff\0\0\0\2\xff\x2b"],
        [b"\0", b"\1", b"\0\0\0\0\0\2"],
    ),
    "tpkt": Kind(
        api.tpkt(20), [b"\3\0\0\7\2\xf0\x80", b"\3\0\0\x08\2\xf0\x80x"], [b"\3", b"\0", b"\7"]
    ),
    "iec104": Kind(
        api.iec104(), [b"h\4\x43\0\0\0", b"h\5\0\0\0\0x"], [b"h", b"\4", b"\0", b"\xfe"]
    ),
    "dns-tcp": Kind(api.dns_tcp(), [b"a" * 12, b""], [b"\0", b"\1"]),
    "postgresql client": Kind(
        api.postgresql("client", 40),
        [SSL, STARTUP, QUERY, b"X\0\0\0\4"],
        [b"\0\0\0", b"\x08", b"Q", b"\4"],
    ),
    "postgresql server": Kind(
        api.postgresql("server", 40),
        [b"N", b"R\0\0\0\x08\0\0\0\0", b"Z\0\0\0\5I", b"N\0\0\0\5\0"],
        [b"\0\0\0", b"\5", b"S", b"Z"],
    ),
    "fix": Kind(api.fix(), [FIX, FIX], [b"8=", b"9=", b"\x01", b"5", b"10="]),
    "modbus-rtu": Kind(
        api.modbus_rtu("request"),
        [rtu(b"\1\3\0\0\0\1"), rtu(b"\xff\x10\0\0\0\1\2ab")],
        [b"\1", b"\3", b"\0\0", b"\x10", b"\xff"],
    ),
    "nmea": Kind(
        api.nmea(limit=100),
        [GGA, AIS, b"\\s:r1,c:1*4E\\" + AIS],
        [b"$", b"!", b"*", b"\r\n", b"\n", b"0", b"\\", b"$*00\n"],
    ),
    "between check": Kind(
        api.between(b"\2", b"\3", "blank", check="xor", limit=9),
        [b"ab", b"", b"a"],
        [b"\2", b"\3", b"a", b"\n", b"\0"],
    ),
    "slip": Kind(
        api.slip(20), [b"a\xc0b\xdbc", b"\xdc\xdd"], [b"\xc0", b"\xdb", b"\xdc", b"a" * 15]
    ),
    "hdlc": Kind(
        api.hdlc(limit=20),
        [b"", b"\xff\x03a", b"~}\x5e", b"a" * 20],
        [b"~", b"}", b"\x5e", b"a" * 15],
    ),
    "hdlc unchecked": Kind(
        api.hdlc("", limit=20), [b"\xff\x03a", b"~}\x5e"], [b"~", b"}", b"\x5e", b"a" * 15]
    ),
    "cobs": Kind(
        api.cobs(300),
        [b"", b"\0", b"\0a\0\0", b"a" * 253, b"a" * 254, b"b" * 254 + b"\0", b"c" * 300],
        [b"\0", b"\1", b"\2", b"\xff", b"a" * 254],
    ),
    "beast": Kind(
        api.beast(),
        [b"1" + b"\x1a" * 9, b"2" + bytes(14), b"3" + b"\x1a1" * 10 + b"x", b"4" + bytes(21)],
        [b"\x1a", b"1", b"2", b"\0\0", b"5", bytes(500)],
    ),
    "mqtt": Kind(
        api.mqtt(300),
        [b"\xc0\0", b"\x30\3ab-", b"\x30\x80\1" + bytes(128)],
        [b"\0", b"\x80", b"\xff", b"\3"],
    ),
    "header-fields": Kind(
        api.header_fields(limit=20),
        [b"{}", b"", b"\r\n\r\n"],
        [
            b"Content-Length: 2",
            b"\r\n",
            b"\r\n\r\n",
            b"content-length:3\r\n\r\n",
            b"A: b\r\n",
            b"2",
        ],
    ),
    "header-fields whole": Kind(
        api.header_fields(whole=True, limit=90),
        [
            b"REGISTER sip:a SIP/2.0\r\nContent-Length: 2\r\nV: b\r\n\r\nab",
            b"BYE a\r\nVia: b\r\n\r\n",
            b"content-length:1\r\n\r\na",
        ],
        [b"\r\n", b"Content-Length: 2\r\n", b"a", b":"],
    ),
    "stomp": Kind(
        api.stomp(90),
        [
            b"SEND\ndestination:/a\ncontent-length:3\n\na\0b\0",
            b"CONNECTED\r\nversion:1.2\r\n\r\n\0",
            b"MESSAGE\n\nhello\0",
        ],
        [b"\n", b"\r", b"\0", b"A", b"\ncontent-length:1\n", b"\n\n"],
    ),
    "checked": Kind(
        api.checked(api.delimiter(b"|", limit=20), "crc16-modbus"),
        [b"", b"ab", b"a" * 18],
        [b"|", b"a", b"ab||"],
    ),
    "checked inside": Kind(
        api.checked(api.length_at(0, 1, limit=20), "sum", at=-1, first=1),
        [b"\3ab\xc3", b"\1\0"],
        [b"\0", b"\1", b"\2", b"a"],
    ),
    "checked before": Kind(
        api.checked(api.fixed(4), "xor", at=0, first=1),
        [b"bab\x61", b"\0abb"[:0] + b"\0\0\0\0"],
        [b"a", b"\0"],
    ),
    "mpegts": Kind(
        api.mpegts(), [PACKET, PACKET[:-1] + b"G"], [b"G", b"\0", bytes(187), bytes(100)]
    ),
}

kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@kinds
def test_encoded_messages_are_decoded_at_every_cut(kind: Kind) -> None:
    stream = b"".join(map(kind.framing.encode, kind.messages))
    assert decode(kind.framing, stream) == (kind.messages, None)
    assert decode(kind.framing, *one_by_one(stream)) == (kind.messages, None)
    for at in range(len(stream)):
        assert decode(kind.framing, stream[:at], stream[at:]) == (kind.messages, None)


@kinds
@given(data=st.data())
def test_how_a_stream_is_cut_makes_no_difference(kind: Kind, data: st.DataObject) -> None:
    frames = [kind.framing.encode(message) for message in kind.messages]
    parts = data.draw(st.lists(st.sampled_from(frames + kind.noise), max_size=12))
    stream = b"".join(parts)
    whole = decode(kind.framing, stream)
    assert decode(kind.framing, *one_by_one(stream)) == whole
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode(kind.framing, *pieces) == whole


@kinds
@given(data=st.data())
def test_what_is_decoded_can_be_encoded(kind: Kind, data: st.DataObject) -> None:
    """What a decoder returns never fails later, when it is forwarded."""
    frames = [kind.framing.encode(message) for message in kind.messages]
    stream = b"".join(data.draw(st.lists(st.sampled_from(frames + kind.noise), max_size=12)))
    messages = [each for each in decode(kind.framing, stream)[0] if isinstance(each, bytes)]
    wire = b"".join(map(kind.framing.encode, messages))
    assert decode(kind.framing, wire) == (messages, None)
    assert b"".join(map(reframe_with(kind.framing, kind.framing), messages)) == wire


@kinds
@given(data=st.data())
def test_frames_are_the_bytes_that_arrived(kind: Kind, data: st.DataObject) -> None:
    frames = [kind.framing.encode(message) for message in kind.messages]
    parts = data.draw(st.lists(st.sampled_from(frames + kind.noise), max_size=12))
    scanner, decoder = FrameScanner(kind.framing), kind.framing.decoder()
    found, fed = [], b""
    for part in parts:
        if not scanner.stopped:
            fed += part
            found += scanner.feed(part)
    messages = decoder.feed(fed)
    assert b"".join(found) + scanner.take_rest() == fed
    before = [each for each in messages if not isinstance(each, Damaged)]
    if len(before) == len(messages) or not scanner.stopped:
        assert len(found) == len(before)


@pytest.mark.parametrize(
    ("framing", "data", "messages", "fault"),
    [
        (api.length_at(1, 2), b"a\0\1bc\0", [b"a\0\1b"], TRUNCATED),
        (api.length_at(0, 2, counts="frame"), b"\0\1", [], INVALID),
        (api.length_at(0, 2, limit=9), b"\0\x08", [], OVERSIZED),
        (api.between(b"\2", b"\3"), b"\2a\3\n\2b\3", [b"a"], INVALID),
        (api.between(b"\2", b"\3", "blank"), b"\r\n\2a\3 \n\2b\3\n", [b"a", b"b"], None),
        (api.between(b"\2", b"\3", "blank"), b"\2a\3x\2b\3", [b"a"], INVALID),
        (api.between(b"\2", b"\3", "skip"), b"x\2a\3\6\6\2b\3yz", [b"a", b"b"], None),
        (api.between(b"\2", b"\3", limit=2), b"\2abc\3", [], OVERSIZED),
        (api.between(b"\2", b"\3", limit=2), b"\2abcd", [], OVERSIZED),
        (
            api.mllp(),
            b"\x0bMSH|1\x0bMSH|2\x1c\r\x0bMSH|3\x1c\r",
            [Damaged(b"MSH|1\x0bMSH|2", "the start bytes b'\\x0b' stand inside of it"), b"MSH|3"],
            None,
        ),
        (api.mllp(), b"GET / HTTP/1.1", [], INVALID),
        (api.mllp(), b"\x0bMSH|half", [], TRUNCATED),
        (
            api.rfc6587(),
            b"7 <34>1 a<34>1 b\n8 <34>1 \nc\n",
            [b"<34>1 a", b"<34>1 b", b"<34>1 \nc"],
            None,
        ),
        (
            api.rfc6587("newline"),
            b"8 <34>1 \nc\n1 2<1>\n",
            [Damaged(b"<34>1 \nc", NEWLINE), Damaged(b"2", DIGIT), b"<1>"],
            None,
        ),
        (api.rfc6587(), b"07 <34>1 a", [], INVALID),
        (api.rfc6587(), b"7<34>1 a", [], INVALID),
        (api.rfc6587(limit=10), b"11 ", [], OVERSIZED),
        (api.rfc6587(limit=10), b"12345", [], OVERSIZED),
        (api.rfc6587(limit=5), b"<34>1 a", [], OVERSIZED),
        (api.rfc6587(), b"<34>1 a", [], TRUNCATED),
        (api.mbap(), b"\0\1\0\0\0\2\1\3\0\2\0\1\0\2\1\3", [b"\0\1\0\0\0\2\1\3"], INVALID),
        (api.mbap(), b"\0\1\0\0\0\1\1\3", [], INVALID),
        (api.mbap(), b"\0\1\0\0\0\xff\1\3", [], OVERSIZED),
        (api.mbap(), b"\0\1\0\0\0\6\1\3\0", [], TRUNCATED),
        (api.tpkt(), b"\4\0\0\7\2\xf0\x80", [], INVALID),
        (api.tpkt(), b"\3\0\0\6\2\xf0", [], INVALID),
        (api.iec104(), b"i\4\0\0\0\0", [], INVALID),
        (api.iec104(), b"h\3\0\0\0", [], INVALID),
        (api.iec104(), b"h\xfe", [], OVERSIZED),
        (api.postgresql("client"), b"\x16\3\1\2\0", [], INVALID),
        (api.postgresql("client"), SSL + b"\x16\3\1\2\0", [SSL], INVALID),
        (api.postgresql("client"), QUERY, [], INVALID),
        (api.postgresql("client"), STARTUP + SSL, [STARTUP], INVALID),
        (api.postgresql("client"), STARTUP + b"Q\0\0\0\3", [STARTUP], INVALID),
        (api.postgresql("client", 20), STARTUP + b"Q\0\1\0\0", [STARTUP], OVERSIZED),
        (api.postgresql("server"), b"S\x16\3\3\0\0", [b"S"], INVALID),
        (api.fix(), FIX.replace(b"161", b"162") + FIX,
         [Damaged(FIX.replace(b"161", b"162"), "CheckSum is 162, and must be 161"), FIX], None),
        (api.fix(), FIX.replace(b"9=5", b"9=4") + FIX, [], INVALID),
        (api.fix(), LONG_FIX, [LONG_FIX], None),
        (api.fix(), FIX[:-1], [], TRUNCATED),
        (api.fix(), b"9=5\x01", [], INVALID),
        (api.fix(limit=25), FIX, [], OVERSIZED),
        (api.between(b"\2", b"\3", check="xor"), b"\2a\3b\2a\3b", [b"a", b"a"], None),
        (
            api.between(b"\2", b"\3", check="xor"),
            b"\2a\3c\2a\3b",
            [Damaged(b"a\3c", "its check xor is wrong"), b"a"],
            None,
        ),
        (
            api.slip(4),
            b"\xc0a\xdb\xc0\xc0\xdb\xdc\xc0abcde\xc0abcdefghi\xc0x",
            [
                Damaged(b"a\xdb", "an ESC stands before neither ESC_END nor ESC_ESC"),
                b"\xc0",
                Damaged(b"abcd", "longer than 4B"),
                Damaged(b"abcd", "longer than 4B"),
            ],
            TRUNCATED,
        ),
        (
            api.hdlc(),
            b"~a~\xff\x03~abc}~" + api.hdlc().encode(b"ok"),
            [
                Damaged(b"a", "shorter than its check crc16-x25"),
                Damaged(b"\xff\x03", "its check crc16-x25 is wrong"),
                Damaged(b"abc}", "aborted by its sender"),
                b"ok",
            ],
            None,
        ),
        (
            api.cobs(),
            b"\5a\0\2b\0\0\3",
            [Damaged(b"\5a", "its last block is cut off"), b"b"],
            TRUNCATED,
        ),
        (
            api.beast(),
            b"xx\x1a\x1a\x1a1abcdef\xff\x1a\x1a-\x1a2abc\x1a1abcdef\xff++\x1a9",
            [
                Damaged(b"xx\x1a\x1a", "no message of a known type"),
                b"1abcdef\xff\x1a-",
                Damaged(b"\x1a2abc", "it is cut off"),
                b"1abcdef\xff++",
            ],
            TRUNCATED,
        ),
        (api.mqtt(), b"\x30\xff\xff\xff\xff\1", [], INVALID),
        (api.mqtt(100), b"\x30\x7f", [], OVERSIZED),
        (api.mqtt(), b"\xc0\0\x30\2a", [b"\xc0\0"], TRUNCATED),
        (
            api.header_fields(),
            b"Content-Type: a\r\nCONTENT-length:2 \r\n\r\n{}Content-Length: 0\r\n\r\n",
            [b"{}", b""],
            None,
        ),
        (api.header_fields(), b"A: b\r\n\r\n", [], INVALID),
        (api.header_fields(), b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", [], INVALID),
        (api.header_fields(), b"Content-Length : 1\r\n\r\na", [], INVALID),
        (api.header_fields(), b"Content-Length: +1\r\n\r\na", [], INVALID),
        (api.header_fields(), b"Content-Length: 1\n\na\r\n\r\n", [], INVALID),
        (api.header_fields(), b"A: b\r\n c\r\nContent-Length: 1\r\n\r\na", [], INVALID),
        (api.header_fields(limit=9), b"Content-Length: 10\r\n\r\n", [], OVERSIZED),
        (api.header_fields(), b"A: " + b"b" * 8200, [], OVERSIZED),
        (api.stomp(), b"\n\r\nSEND\n\na\0\n\n", [b"SEND\n\na\0"], None),
        (api.stomp(), b"SEND\ncontent-length: 1\ncontent-length:9\n\n\0\0",
         [b"SEND\ncontent-length: 1\ncontent-length:9\n\n\0\0"], None),
        (api.stomp(), b"SEND\ncontent-length:1\n\nabc\0", [], INVALID),
        (api.stomp(), b"SEND\ncontent-length:x\n\na\0", [], INVALID),
        (api.stomp(), b"SEND\0\n\n\0", [], INVALID),
        (api.stomp(9), b"SEND\n\nabcde\0", [], OVERSIZED),
        (
            api.checked(api.lines(), "sum-hex"),
            b"ab\nabC3\na\n",
            [Damaged(b"ab", "its check sum-hex is wrong"), b"ab",
             Damaged(b"a", "shorter than its check sum-hex")],
            None,
        ),
        (api.resp(), b"PING\r\n", [], INVALID),
        (api.resp(), b"$?\r\n", [], INVALID),
        (api.resp(), b"$3\r\nabcd\r\n", [], INVALID),
        (api.resp(), b"*1\r\n$-1\r\n:1\r\n", [b"*1\r\n$-1\r\n", b":1\r\n"], None),
        (api.resp(), b"$-2\r\n", [], INVALID),
        (api.resp(limit=30), b"*99999999\r\n", [], OVERSIZED),
        (api.resp(limit=30), b"$99\r\n", [], OVERSIZED),
        (api.resp(), b"*2\r\n+a\r\n", [], TRUNCATED),
        (
            api.nmea(),
            GGA[9:] + b"\r\n" + GGA + b"\r\n\r\n" + AIS[:-1] + b"D\n" + AIS + b"\n",
            [
                Damaged(GGA[9:], "it does not begin with $ or !"),
                GGA,
                Damaged(AIS[:-1] + b"D", "its checksum is '5D', and must be '5C'"),
                AIS,
            ],
            None,
        ),
        (api.nmea(), b"$PX,1\r\n", [Damaged(b"$PX,1", "it has no checksum")], None),
        (api.nmea(unchecked=True), b"$PX,1\r\n", [b"$PX,1"], None),
        (
            api.nmea(limit=4),
            b"$abcdefg\n$*00\r\n$*000\n",
            [Damaged(b"$abc", "longer than 4B"), b"$*00", Damaged(b"$*00", "longer than 4B")],
            None,
        ),
        (api.nmea(), GGA, [], TRUNCATED),
        (
            api.mpegts(),
            b"xyz" + PACKET * 2 + b"G",
            [Damaged(b"xyz", "no packet: no sync byte 0x47"), PACKET, PACKET],
            TRUNCATED,
        ),
        (api.mpegts(), bytes(940) + PACKET * 2,
         [Damaged(bytes(940), "no packet: no sync byte 0x47"), PACKET, PACKET], None),
    ],
)  # fmt: skip
def test_the_messages_and_the_fault_of_a_stream(
    framing: Framing, data: bytes, messages: list[bytes | Damaged], fault: FramingError | None
) -> None:
    assert decode(framing, data) == (messages, fault)
    assert decode(framing, *one_by_one(data)) == (messages, fault)


@pytest.mark.parametrize(
    ("framing", "message", "why"),
    [
        (api.length_at(1, 2), b"a\0\2b", "its end is missing"),
        (api.length_at(1, 2), b"a\0\1bc", "there is more than one"),
        (api.mbap(), b"\0\1\0\1\0\2\1\3", "invalid framing"),
        (api.between(b"\2", b"\3"), b"a\3b", "may not contain"),
        (api.between(b"\2", b"\3"), b"a\2b", "may not contain"),
        (api.mllp(limit=3), b"abcd", "over the limit 3B"),
        (api.rfc6587("newline"), b"a\nb", "may not contain"),
        (api.rfc6587("newline"), b"1 a", "may not begin with a digit"),
        (api.rfc6587(), b"", "has no octet count"),
        (api.fix(), FIX.replace(b"161", b"162"), "CheckSum is 162, and must be 161"),
        (api.nmea(), GGA[:-1], "checksum"),
        (api.nmea(), GGA + b"\n", "not one sentence"),
        (api.resp(), b"+OK\r\n+OK\r\n", "not one whole value"),
        (api.postgresql("server"), QUERY[:-1], "not one whole message of a server"),
        (api.mpegts(), b"x" * 188, "not one whole message"),
    ],
)
def test_what_is_no_message_is_not_encoded(framing: Framing, message: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        framing.encode(message)


@pytest.mark.parametrize(
    ("mistake", "why"),
    [
        (lambda: api.length_at(0, 9), "must have 1 to 8"),
        (lambda: api.length_at(-1), "at least 0"),
        (lambda: api.length_at(0, counts="frame", header=1), "counts header"),
        (lambda: api.length_at(0, counts="all"), 'counts = "all"'),  # type: ignore[arg-type]
        (lambda: api.between(b"", b"x"), "at least one byte"),
        (lambda: api.between(b"x", b"x", "any"), 'gaps = "any"'),  # type: ignore[arg-type]
        (lambda: api.rfc6587("lf"), 'encoding = "lf"'),  # type: ignore[arg-type]
        (lambda: api.postgresql("x"), 'sender = "x"'),  # type: ignore[arg-type]
    ],
)
def test_invalid_framings_are_refused(mistake: Callable[[], Framing], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        mistake()


LONG: dict[str, tuple[Framing, Callable[[int], bytes]]] = {
    "rfc6587": (api.rfc6587(limit="1MiB"), lambda size: b"<" + b"x" * size + b"\n"),
    "rfc6587 blank": (api.rfc6587(), lambda size: b"\n" * size + b"<1>\n"),
    "between": (api.between(b"<", b">>", limit="1MiB"), lambda size: b"<" + b"x" * size + b">>"),
    "between skip": (api.between(b"<", b">", "skip"), lambda size: b"x" * size + b"<a>"),
    "resp": (
        api.resp("1MiB"),
        lambda size: b"*%d\r\n" % (size // 8) + b"$2\r\nab\r\n" * (size // 8),
    ),
    "stomp": (api.stomp("1MiB"), lambda size: b"SEND\n\n" + b"x" * size + b"\0"),
    "stomp head": (api.stomp("1MiB"), lambda size: b"SEND\na:" + b"x" * size + b"\n\n\0"),
    "slip": (api.slip("1MiB"), lambda size: b"x" * size + b"\xc0"),
    "nmea": (api.nmea(unchecked=True, limit="1MiB"), lambda size: b"$" + b"x" * size + b"\n"),
    "cobs": (api.cobs("1MiB"), lambda size: b"\2x" * (size // 2) + b"\0"),
}


@pytest.mark.parametrize(("framing", "stream"), LONG.values(), ids=LONG)
def test_the_time_for_small_pieces_is_linear(
    framing: Framing, stream: Callable[[int], bytes]
) -> None:
    """Ten times the bytes take about ten times as long, not a hundred times."""

    def cost(size: int) -> float:
        data = stream(size)
        pieces = [data[at : at + 16] for at in range(0, len(data), 16)]
        times = []
        for _ in range(3):
            decoder = framing.decoder()
            begun = process_time()
            got = [message for piece in pieces for message in decoder.feed(piece)]
            times.append(process_time() - begun)
            assert [type(message) for message in got] == [bytes]
        return min(times)

    assert cost(400_000) < 40 * cost(40_000)
