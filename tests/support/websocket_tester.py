"""A tester without a browser: Streamlit's own websocket, and the page that it describes as lines of text.

    with Tester(app.url) as tester:
        tester.ask("Why?")                  # returns once the answer has ended
        assert "Because" in tester.answer
        tester.rate(True)

Fifty of them cost less than one Chromium. They have nothing that only a browser has: no focus, scrolling or layout.
"""

import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.support.raw_websocket import rerun
from tests.support.waiting import ENOUGH_S, late

SHOWN = {
    "markdown": "body", "text": "body", "heading": "body", "alert": "body", "button": "label", "button_group": "label",
}  # fmt: skip
Path = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One element or block of the page, and the script run that drew it. `fragment` is empty outside of fragments."""

    run: str
    fragment: str
    kind: str
    proto: Any


class Tester:
    """One tab of one browser. `cookie` identifies the visitor (by default a new one), `conversation` is the id of the
    conversation to open, `page` the address of a page other than the chat. Unless `whole` is False, the first page is
    complete once the tester exists.

    `opened_s` is the number of seconds that the first page took, `first_s` that from the last question to the first
    words of its answer.
    """

    __test__ = False  # by its name pytest would collect it

    def __init__(
        self,
        url: str,
        *,
        cookie: str = "",
        conversation: str = "",
        page: str = "",
        whole: bool = True,
        within_s: float = ENOUGH_S,
    ) -> None:
        began = time.monotonic()
        self._url, self._within = url, within_s
        self.cookie = cookie or _new_cookie(url)
        self.conversation_id, self._page = conversation, page
        self.gone = False
        self.first_s = 0.0
        self._asked = 0.0
        self._nodes: dict[Path, Node] = {}
        self._votes: dict[str, int] = {}
        self._run, self._fragments = "", frozenset[str]()
        self._running, self._awaited = False, False
        self._news = threading.Condition()
        self._stack = ExitStack()
        opening = connect(
            url.replace("http", "ws", 1) + "/_stcore/stream", subprotocols=[Subprotocol("streamlit")], max_size=None,
            additional_headers={"Cookie": self.cookie}, compression=None, open_timeout=within_s, ping_interval=None,
            proxy=None,
        )  # fmt: skip
        self._socket = self._stack.enter_context(opening)
        self._reader = threading.Thread(target=self._read, name="tester", daemon=True)
        self._reader.start()
        self._rerun()
        if whole:
            self.idle()
        self.opened_s = time.monotonic() - began

    def __enter__(self) -> "Tester":
        return self

    def __exit__(self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the tab."""
        self._stack.close()
        self._reader.join(5)

    # The page

    @property
    def lines(self) -> list[str]:
        """Every text and button label on the page, from top to bottom, except those in popovers."""
        return self._visible_texts(())

    @property
    def headings(self) -> list[str]:
        """The headings on the page, from top to bottom."""
        return [node.proto.body for node in self._ordered() if node.kind == "heading"]

    @property
    def answer(self) -> str:
        """The text of the newest message, which after a question is its answer, and of everything in it."""
        with self._news:
            messages = [path for path, node in self._nodes.items() if node.kind == "chat_message"]
        return "\n".join(self._visible_texts(max(messages))) if messages else ""

    @property
    def answer_ids(self) -> list[str]:
        """The ids of the answers on the page that can be rated, oldest first."""
        return [node.proto.id.rpartition("rating_")[2] for node in self._ordered() if node.kind == "feedback"]

    @property
    def thumbs(self) -> list[int | None]:
        """The thumbs on the page, oldest first: 1 up, 0 down, None not rated."""
        shown = [node.proto for node in self._ordered() if node.kind == "feedback"]
        drawn = {proto.id: proto.default if proto.HasField("default") else None for proto in shown}
        return [self._votes.get(name, value) for name, value in drawn.items()]

    # The tester's actions

    def ask(self, text: str, within_s: float | None = None) -> None:
        """Ask a question and wait for its whole answer."""
        self.send(text)
        self.idle(within_s)

    def send(self, text: str) -> None:
        """Type a question and press Enter."""
        box = next(node for node in self._ordered() if node.kind == "chat_input")
        self._asked, self.first_s = time.monotonic(), 0.0
        self._rerun(box.proto.id, "chat_input_value", text)

    def rate(self, up: bool) -> None:
        """Click a thumb of the newest answer that has one."""
        thumbs = [node.proto.id for node in self._ordered() if node.kind == "feedback"]
        self._votes[thumbs[-1]] = int(up)
        self._rerun(thumbs[-1], "string_value", str(int(up)))

    def wait_until_saved(self) -> None:
        """Wait until the page says that a thumb is saved, with reruns that in a browser the page starts itself."""
        self.idle()
        deadline = time.monotonic() + self._within
        while "Saved, thank you" not in self.lines:
            assert time.monotonic() < deadline, self.lines
            self.look_again()

    def click(self, label: str) -> None:
        """Click the newest button of this name."""
        found = self._find("button", label)
        assert found, f"no button {label} in {self.lines}"
        self._rerun(found[-1].proto.id, "trigger_value", True)

    def look_again(self) -> None:
        """Rerun the page's script, as any interaction does, and wait for its end."""
        self._rerun()
        self.idle()

    def idle(self, within_s: float | None = None) -> None:
        """Wait until no script runs."""
        self.until(lambda: not self._running and not self._awaited, within_s)

    def until(self, holds: Callable[[], object], within_s: float | None = None) -> None:
        """Wait until a condition holds, as `waiting.until` does, and check it after every message."""
        deadline = time.monotonic() + (within_s or self._within)
        with self._news:
            while not holds():
                left = deadline - time.monotonic()
                assert not self.gone, f"the connection was closed; {self.lines}"
                assert left > 0, late(holds, within_s or self._within, show=lambda: self.lines)
                self._news.wait(left)

    # The protocol

    def _rerun(self, widget: str = "", field: str = "", value: Any = None) -> None:
        query = f"c={self.conversation_id}" if self.conversation_id else ""
        with self._news:
            self._awaited = True
        self._socket.send(rerun(query, [(widget, field, value)] if widget else (), page=self._page))

    def _read(self) -> None:
        try:
            for raw in self._socket:
                with self._news:
                    self._take(ForwardMsg.FromString(raw))
                    self._news.notify_all()
        except ConnectionClosed:
            pass
        with self._news:
            self.gone = True
            self._news.notify_all()

    def _take(self, message: ForwardMsg) -> None:
        match message.WhichOneof("type"):
            case "new_session":
                self._run = message.metadata.run.script_run_id
                self._fragments = frozenset(message.metadata.run.fragment_ids)
                self._running, self._awaited = True, False
            case "delta":
                self._draw(tuple(message.metadata.delta_path), message.delta)
            case "page_info_changed":
                query = parse_qs(message.page_info_changed.query_string)
                self.conversation_id = query.get("c", [""])[0]
            case "script_finished":
                if message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                    self._clear()
                    self._running = False
            case "ref_hash":
                raise AssertionError("a reference to a message that was never said to be kept")

    def _draw(self, path: Path, delta: Any) -> None:
        element = delta.WhichOneof("type") == "new_element"
        proto = delta.new_element if element else delta.add_block
        kind = proto.WhichOneof("type") or "block"
        if element:
            for below in [other for other in self._nodes if other[: len(path)] == path]:
                del self._nodes[below]
        self._nodes[path] = Node(self._run, delta.fragment_id, kind, getattr(proto, kind, None))
        words = proto.markdown.body if element and kind == "markdown" else ""
        if self._asked and not self.first_s and words and path[0] == 0 and ":shimmer" not in words:
            self.first_s = time.monotonic() - self._asked

    def _clear(self) -> None:
        """Remove the elements that the ended run owned and did not draw again."""
        for path, node in list(self._nodes.items()):
            if node.run != self._run and (not self._fragments or node.fragment in self._fragments):
                del self._nodes[path]

    def _visible_texts(self, below: Path) -> list[str]:
        with self._news:
            closed = [path for path, node in self._nodes.items() if node.kind == "popover"]
            inside = [
                (path, self._nodes[path])
                for path in sorted(self._nodes)
                if path[: len(below)] == below and not any(path[: len(each)] == each for each in closed)
            ]
        texts = [str(getattr(node.proto, SHOWN[node.kind])) for _, node in inside if node.kind in SHOWN]
        return [text for text in texts if text]

    def _ordered(self) -> list[Node]:
        with self._news:
            return [self._nodes[path] for path in sorted(self._nodes)]

    def _find(self, kind: str, label: str) -> list[Node]:
        return [node for node in self._ordered() if node.kind == kind and node.proto.label == label]


def _new_cookie(url: str) -> str:
    """Return the cookie that a new visitor's first request receives."""
    with urllib.request.urlopen(url + "/", timeout=ENOUGH_S) as page:
        return str(page.headers["Set-Cookie"]).partition(";")[0]
