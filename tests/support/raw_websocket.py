"""Streamlit's websocket, raw: any message that a client other than our page may send, and every byte that comes back.

`websocket_tester.Tester` plays an honest tester. This client may forge ids, pages, cookies and sessions.
"""

import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.support.waiting import ENOUGH_S, late


@dataclass(frozen=True)
class Answer:
    """The response to an HTTP request."""

    status: int
    headers: Any
    body: str

    @property
    def cookies(self) -> dict[str, str]:
        """The values of the cookies that the response sets, by name."""
        jar = SimpleCookie("; ".join(line.split(";")[0] for line in self.headers.get_all("Set-Cookie", [])))
        return {name: morsel.value for name, morsel in jar.items()}

    @property
    def set_cookies(self) -> list[str]:
        """The values of the `Set-Cookie` headers."""
        return [str(line) for line in self.headers.get_all("Set-Cookie", [])]


def rerun(query: str = "", states: Sequence[tuple[str, str, Any]] = (), *, page: str = "", fragment: str = "") -> bytes:
    """Return the message that reruns a page's script. Each of `states` is a widget's id, a field and its value."""
    message = BackMsg()
    asked = message.rerun_script
    asked.query_string, asked.page_name, asked.fragment_id = query, page, fragment
    for widget, field, value in states:
        state = asked.widget_states.widgets.add()
        state.id = widget
        if field == "chat_input_value":
            state.chat_input_value.data = value
        else:
            setattr(state, field, value)
    return bytes(message.SerializeToString())


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def http(url: str, method: str = "GET", body: bytes | None = None, /, **headers: str) -> Answer:
    """Send one request without following redirects. In the names of headers `_` stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, named, method=method)
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=ENOUGH_S) as answer:
            return Answer(answer.status, answer.headers, answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read().decode(errors="replace"))


def accept(link: str, **headers: str) -> dict[str, str]:
    """Open an invitation's link and press its button; return the cookies, none if the page has no button."""
    opened = http(link, **headers)
    if opened.status != 200 or "<button" not in opened.body:
        return {}
    entered = http(link, "POST", b"", **headers, Cookie=header(opened.cookies))
    return opened.cookies | entered.cookies


def header(cookies: Mapping[str, str]) -> str:
    """Return the `Cookie` header with which a browser sends these cookies."""
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def refused_with(url: str, **headers: str) -> int | None:
    """Open a websocket with these headers; return the status that refuses it, None if it is accepted."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with _connect(url, named, ["streamlit"]):
            return None
    except InvalidStatus as refusal:
        return refusal.response.status_code


def _connect(url: str, headers: Mapping[str, str], protocols: Sequence[str]) -> Any:
    named = [Subprotocol(name) for name in protocols]
    return connect(
        url.replace("http", "ws", 1) + "/_stcore/stream",
        subprotocols=named,
        additional_headers=dict(headers),
        open_timeout=ENOUGH_S,
        close_timeout=2,
        ping_interval=None,
        max_size=None,
        max_queue=None,
        compression=None,
        proxy=None,
    )


class RawWebsocket:
    """One connection. `messages` are the received ones, `raw` their bytes, `session` the id of Streamlit's session."""

    def __init__(
        self, url: str, cookies: Mapping[str, str] | None = None, *, session: str = "", **headers: str
    ) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if cookies:
            named["Cookie"] = header(cookies)
        protocols = ["streamlit", "nobody", session] if session else ["streamlit"]
        self._until_closed = ExitStack()
        self._socket = self._until_closed.enter_context(_connect(url, named, protocols))
        self.messages: list[ForwardMsg] = []
        self.raw = b""
        self.session = ""

    def __enter__(self) -> "RawWebsocket":
        return self

    def __exit__(self, *_: object) -> None:
        self._until_closed.close()

    def run(self, query: str = "", page: str = "", states: Sequence[tuple[str, str, Any]] = ()) -> "RawWebsocket":
        """Run the script once, to its end. Each of `states` is a widget's id, a field and its value."""
        self._socket.send(rerun(query, states, page=page))
        while True:
            raw = self._socket.recv(ENOUGH_S)
            self.raw += raw
            came = ForwardMsg.FromString(raw)
            self.messages.append(came)
            if came.WhichOneof("type") == "new_session":
                self.session = came.new_session.initialize.session_id
            if came.WhichOneof("type") == "script_finished" and (
                came.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
            ):
                return self

    def download(self, file_id: str) -> str:
        """Ask for the download behind a button; return its address, or the error message where there is none."""
        message = BackMsg()
        asked = message.backend_operation_request
        asked.request_id, asked.session_id, asked.deferred_file.file_id = file_id, self.session, file_id
        self._socket.send(bytes(message.SerializeToString()))
        before = len(self.messages)
        self.until(lambda: any(one.HasField("backend_operation_response") for one in self.messages[before:]))
        found = self.messages[-1].backend_operation_response
        return str(found.error_msg or found.deferred_file.url)

    def send(self, message: BackMsg) -> None:
        """Send any message without waiting for a response."""
        self._socket.send(bytes(message.SerializeToString()))

    def until(self, holds: Callable[[], bool]) -> None:
        """Read messages until a condition holds."""
        while not holds():
            try:
                raw = self._socket.recv(ENOUGH_S)
            except TimeoutError as error:
                raise AssertionError(late(holds, ENOUGH_S, show=lambda: self.text[-2000:])) from error
            self.raw += raw
            self.messages.append(ForwardMsg.FromString(raw))

    @property
    def text(self) -> str:
        """All received bytes as text to search in."""
        return self.raw.decode("utf-8", "replace")

    def forget(self) -> None:
        """Delete the messages received so far."""
        self.messages, self.raw = [], b""

    def widgets(self, kind: str) -> list[Any]:
        """Return every received element of this kind, oldest first."""
        drawn = [came.delta.new_element for came in self.messages if came.WhichOneof("type") == "delta"]
        return [getattr(element, kind) for element in drawn if element.WhichOneof("type") == kind]

    @property
    def address(self) -> str:
        """The id in the page's address of the conversation; empty where there is none."""
        told = [came.page_info_changed.query_string for came in self.messages if came.HasField("page_info_changed")]
        return told[-1].removeprefix("c=") if told else ""

    def ask(self, text: str) -> "RawWebsocket":
        """Ask a question and wait until its answer has ended."""
        return self.run(states=[(self.widgets("chat_input")[-1].id, "chat_input_value", text)])
