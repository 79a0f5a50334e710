"""FileResponse: the response with a file, with parts of it, or with none."""

from __future__ import annotations

from tests.engine.test_file_range import stored_file
from vcproxy.engine.file_range import FileRange
from vcproxy.engine.sources.stored_file import FileOpened
from vcproxy.http.files.file_response import FileResponse, respond_to, validators, whole
from vcproxy.http.message.messages import Request

FACTS = FileOpened("file", 0, 1000, 1_700_000_000_123_456_789)


def file() -> FileResponse:
    return whole(stored_file(), FACTS, {"Content-Type": "a/b"}, "", 1_800_000_000)


def get(method: str = "GET", **fields: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return Request(method, "/", named, host="a")


def answered(request: Request) -> FileResponse:
    return respond_to(request, file(), lambda: "MARK")


def shown(response: FileResponse) -> list[object]:
    return [
        (each.offset, each.size) if isinstance(each, FileRange) else each
        for each in response.pieces
    ]


def test_the_whole_file() -> None:
    got = answered(get())
    assert (got.status, got.length, shown(got)) == (200, 1000, [(0, 1000)])
    assert dict(got.fields.items()) == {
        "Content-Type": "a/b",
        "Last-Modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "ETag": '"17979cfe3d85cd15-3e8"',
        "Accept-Ranges": "bytes",
    }


def test_each_request_gets_a_copy() -> None:
    common = file()
    one = respond_to(get(), common, str)
    one.fields["X"] = "1"
    assert "X" not in respond_to(get(), common, str).fields


def test_a_time_in_the_future_counts_as_now() -> None:
    assert validators(FACTS, "", 5).modified == 5
    assert validators(FACTS, "", 0).modified == 1_700_000_000  # the time of day is not known


def test_encodings_have_tags_of_their_own() -> None:
    assert validators(FACTS, "br", 0).etag == '"17979cfe3d85cd15-3e8-br"'


def test_one_range() -> None:
    got = answered(get(Range="bytes=10-19"))
    assert (got.status, got.length, shown(got)) == (206, 10, [(10, 10)])
    assert got.fields["Content-Range"] == "bytes 10-19/1000"


def test_several_ranges() -> None:
    got = answered(get(Range="bytes=0-0,-2"))
    assert got.status == 206
    assert got.fields["Content-Type"] == "multipart/byteranges; boundary=MARK"
    assert shown(got) == [
        b"\r\n--MARK\r\nContent-Type: a/b\r\nContent-Range: bytes 0-0/1000\r\n\r\n",
        (0, 1),
        b"\r\n--MARK\r\nContent-Type: a/b\r\nContent-Range: bytes 998-999/1000\r\n\r\n",
        (998, 2),
        b"\r\n--MARK--\r\n",
    ]


def test_ranges_are_for_get_only() -> None:
    assert answered(get("HEAD", Range="bytes=0-0")).status == 200


def test_no_range_of_it() -> None:
    got = answered(get(Range="bytes=1000-"))
    assert (got.status, got.fields["Content-Range"]) == (416, "bytes */1000")


def test_conditions_come_before_ranges() -> None:
    assert answered(get(Range="bytes=1000-", If_None_Match="*")).status == 304
    assert answered(get(Range="bytes=0-0", If_Match='"x"')).status == 412
    assert answered(get(Range="bytes=0-0", If_Range='"x"')).status == 200


def test_not_modified() -> None:
    got = answered(get(If_None_Match=file().fields["ETag"]))
    assert (got.status, shown(got)) == (304, [])
    assert [name for name, _ in got.fields.items()] == ["ETag", "Last-Modified"]
