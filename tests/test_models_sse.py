"""Bytes to frames, in chunks of any size."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.models.faults import Fault
from lib.models.sse import Events, Frame

CASES = {
    "an event": (b"data: 1\n\n", [b"1"]),
    "no space after the colon": (b"data:1\n\n", [b"1"]),
    "carriage returns": (b"data: 1\r\n\r\ndata: 2\r\n\r\n", [b"1", b"2"]),
    "carriage returns alone": (b"data: 1\r\rdata: 2\r\r", [b"1", b"2"]),
    "several lines of data": (b'data: {"a":\ndata: 1}\n\n', [b'{"a":\n1}']),
    "no empty lines between": (b'data: {"a": 1}\ndata: {"b":\ndata: 2}\n\n', [b'{"a": 1}', b'{"b":\n2}']),
    "a doubled prefix": (b'data: data: {"a": 1}\n\ndata:data:[DONE]\n\n', [b'{"a": 1}', b"[DONE]"]),
    "a byte order mark": (b"\xef\xbb\xbfdata: 1\n\n", [b"1"]),
    "blank lines before": (b"\n\r\n  \ndata: 1\n\n", [b"1"]),
    "comments": (b": hi\n\n:\n\ndata: 1\n: in between\n\n", [b"1"]),
    "empty data": (b"data:\n\ndata: \n\ndata\n\nevent: ping\ndata: \n\ndata: 1\n\n", [b"1"]),
    "other fields": (b"id: 3\nretry: 5\nevent: message\ndata: 1\n\n", [b"1"]),
    "no empty line at the end": (b"data: 1\n\ndata: 2", [b"1", b"2"]),
    "a JSON body": (b'{"a": 1}', [b'{"a": 1}']),
    "a JSON body in many lines": (b'\xef\xbb\xbf\n{\n "a": 1\n}\n', [b'{\n "a": 1\n}']),
    "a JSON list": (b'[\n{"error": 1}\n]', [b'[\n{"error": 1}\n]']),
    "lines of JSON": (b'{"a": 1}\n{"a": 2}\n', [b'{"a": 1}', b'{"a": 2}']),
    "a bare line of JSON between events": (b'data: 1\n\n{"error": 2}\n\n', [b"1", b'{"error": 2}']),
    "HTML": (b"<html>\n<body>Sign in</body>\n</html>", []),
    "nothing": (b"", []),
}  # fmt: skip


def frames(*chunks: bytes) -> list[Frame]:
    events = Events()
    return [frame for chunk in chunks for frame in events.feed(chunk)] + list(events.rest())


def bodies(*chunks: bytes) -> list[bytes]:
    return [frame.data.strip() for frame in frames(*chunks)]


@pytest.mark.parametrize("what", CASES)
def test_frames_are_found_however_the_bytes_are_cut(what: str) -> None:
    body, expected = CASES[what]
    assert bodies(body) == expected
    assert bodies(*(body[at : at + 1] for at in range(len(body)))) == expected
    assert bodies(*(body[at : at + 3] for at in range(0, len(body), 3))) == expected


@pytest.mark.parametrize(
    "body",
    [b"event: error\ndata: out of memory\n\n", b'event: error\ndata: {"code": 1}\n\n', b"event:error\ndata:\n\n",
     b"event: error\n\n", b'error: {"code": 500}\n\n', b'error:{"code": 500}\n'],
)  # fmt: skip
def test_errors_are_marked_with_any_data(body: bytes) -> None:
    assert [frame.error for frame in frames(b"data: 1\n\n", body)] == [False, True]


def test_an_error_marks_its_own_event_only() -> None:
    assert [frame.error for frame in frames(b"event: error\ndata: 1\n\ndata: 2\n\n")] == [True, False]


def test_a_body_without_end_is_not_collected_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.models.sse.MAX_EVENT_BYTES", 1_000)
    for endless in (b"data: x", b"data: x\n", b"{\n"):
        events = Events()
        with pytest.raises(Fault):
            for _ in range(2_000):
                list(events.feed(endless))


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), max_size=5), st.integers(1, 9))
def test_sent_events_are_read_unchanged(values: list[dict[str, str]], size: int) -> None:
    body = b"".join(b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n" for value in values)
    cut = [body[at : at + size] for at in range(0, len(body), size)]
    assert [json.loads(data) for data in bodies(*cut)] == values
