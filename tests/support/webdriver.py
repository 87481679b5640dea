"""A real WebKit and a real Firefox, driven over the W3C's own protocols: WebDriver by HTTP, BiDi by a websocket.

Both take the same input actions, so that a test reads the same for each. Playwright drives builds of its own of these
two, which no tester has. This module does not know Parley's page; `RealPage` does.
"""

import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from glob import glob
from pathlib import Path
from typing import Any, Protocol

from PIL import Image, ImageGrab
from websockets.sync.client import ClientConnection, connect

from tests.support.ports import free_port
from tests.support.waiting import ENOUGH_S, until

SMALL_TOOLBAR = "toolbar *, headerbar *, entry, button { min-width: 0; padding: 0; margin: 0; border: 0; }"
"""GTK's style for MiniBrowser: its own toolbar would keep the window wider than a phone."""
QUIET = {
    "network.proxy.type": 1, "network.proxy.http": "127.0.0.1", "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1", "network.proxy.ssl_port": 9, "network.proxy.no_proxies_on": "127.0.0.1",
    "app.update.disabledForTesting": True, "browser.startup.page": 0, "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False, "remote.active-protocols": 1,
    "ui.prefersReducedMotion": 0, "dom.disable_beforeunload": True,
}  # fmt: skip
"""Firefox's preferences: its requests to other machines go to a closed port of this one."""


class Driver(Protocol):
    """One window of a browser."""

    def open(self, url: str) -> None:
        """Load an address; return once its document is loaded.

        A script that WebKit is given between two documents may never be answered.
        """

    def reload(self) -> None:
        """Load the same address anew; return once its document is loaded."""

    def run(self, body: str) -> Any:
        """Run the body of a function in the page; return its result as decoded JSON."""

    def act(self, kind: str, *actions: Mapping[str, Any]) -> None:
        """Perform input actions of one device: `key`, `pointer` or `wheel`."""

    def resize(self, width: int, height: int) -> None:
        """Give the page this size, in CSS pixels."""

    def picture(self) -> Image.Image:
        """Return a screenshot of the visible part of the page."""


def missing(browser: str) -> str | None:
    """Return the Debian packages to install for a browser; None where it is installed."""
    if browser == "firefox":
        return None if _firefox() else "firefox-esr"
    there = shutil.which("WebKitWebDriver") and shutil.which("Xvfb") and _minibrowser()
    return None if there else "webkit2gtk-driver xvfb"


@contextmanager
def launch(browser: str) -> Iterator[Driver]:
    """Run a browser with a profile of its own until the block ends."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        yield (_Firefox if browser == "firefox" else _Webkit)(stack, folder)


class _Webkit:
    """Debian's WebKitGTK in its MiniBrowser, on a display of its own."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        style = folder / "gtk-3.0" / "gtk.css"
        style.parent.mkdir()
        style.write_text(SMALL_TOOLBAR)
        environ = os.environ | {
            "DISPLAY": (display := stack.enter_context(_display())), "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "WEBKIT_DISABLE_COMPOSITING_MODE": "1", "WEBKIT_DISABLE_DMABUF_RENDERER": "1",
            "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
        }  # fmt: skip
        self._display, port = display, free_port()
        self._url = f"http://127.0.0.1:{port}/session"
        stack.enter_context(_process("WebKitWebDriver", f"--port={port}", "--host=127.0.0.1", environ=environ))
        options = {"binary": _minibrowser(), "args": ["--automation"]}
        wanted = {"alwaysMatch": {"pageLoadStrategy": "normal", "webkitgtk:browserOptions": options}}
        self._url += "/" + until(lambda: self._begin({"capabilities": wanted}))
        stack.callback(self._ask, "DELETE", "")

    def _begin(self, wanted: Mapping[str, Any]) -> str | None:
        try:
            return str(self._ask("POST", "", wanted)["sessionId"])
        except ConnectionError:  # the driver does not listen yet
            return None

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=ENOUGH_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"WebKit: {error.read().decode()[:500]}") from None
        except urllib.error.URLError as error:
            raise error.reason if isinstance(error.reason, OSError) else error from None

    def open(self, url: str) -> None:
        self._ask("POST", "/url", {"url": url})

    def reload(self) -> None:
        self._ask("POST", "/refresh", {})

    def run(self, body: str) -> Any:
        return self._ask("POST", "/execute/sync", {"script": body, "args": []})

    def act(self, kind: str, *actions: Mapping[str, Any]) -> None:
        self._ask("POST", "/actions", {"actions": [_device(kind, *actions)]})

    def resize(self, width: int, height: int) -> None:
        def fits() -> bool:
            inside = self.run("return [innerWidth, innerHeight, outerHeight - innerHeight]")
            if inside[:2] == [width, height]:
                return True
            toolbar = max(0, int(inside[2]))  # may be wrong while the window is being resized: `fits` tries again
            self._ask("POST", "/window/rect", {"x": 0, "y": 0, "width": width, "height": height + toolbar})
            return False

        until(fits)

    def picture(self) -> Image.Image:
        width, height, outer = self.run("return [innerWidth, innerHeight, outerHeight]")
        screen = ImageGrab.grab(xdisplay=self._display)  # its own screenshots hang
        return screen.crop((0, outer - height, width, outer))


class _Firefox:
    """Firefox without a window, by WebDriver BiDi."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in QUIET.items())
        (folder / "user.js").write_text("".join(lines))
        log = folder / "firefox.log"
        arguments = ("--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", "0")
        environ = os.environ | {"HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"}
        stack.enter_context(_process(_firefox() or "firefox", *arguments, environ=environ, log=log))
        listens = until(lambda: re.search(r"BiDi listening on (ws://\S+)", log.read_text(errors="replace")))
        self._socket: ClientConnection = stack.enter_context(
            connect(listens[1] + "/session", open_timeout=ENOUGH_S, max_size=None, proxy=None)
        )
        self._asked = 0
        self._ask("session.new", {"capabilities": {}})
        self._tab = self._ask("browsingContext.getTree", {})["contexts"][0]["context"]

    def _ask(self, method: str, params: Mapping[str, Any]) -> Any:
        self._asked += 1
        self._socket.send(json.dumps({"id": self._asked, "method": method, "params": params}))
        while (came := json.loads(self._socket.recv(ENOUGH_S))).get("id") != self._asked:
            pass
        assert came["type"] == "success", came
        return came["result"]

    def open(self, url: str) -> None:
        self._ask("browsingContext.navigate", {"context": self._tab, "url": url, "wait": "complete"})

    def reload(self) -> None:
        self._ask("browsingContext.reload", {"context": self._tab, "wait": "complete"})

    def run(self, body: str) -> Any:
        expression = f"JSON.stringify((() => {{ {body} }})()) ?? 'null'"
        params = {"expression": expression, "target": {"context": self._tab}, "awaitPromise": False}
        came = self._ask("script.evaluate", params)
        assert came["type"] == "success", came
        return json.loads(came["result"]["value"])

    def act(self, kind: str, *actions: Mapping[str, Any]) -> None:
        self._ask("input.performActions", {"context": self._tab, "actions": [_device(kind, *actions)]})

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height}
        self._ask("browsingContext.setViewport", {"context": self._tab, "viewport": size})

    def picture(self) -> Image.Image:
        taken = self._ask("browsingContext.captureScreenshot", {"context": self._tab})
        return Image.open(io.BytesIO(base64.b64decode(taken["data"])))


def _device(kind: str, *actions: Mapping[str, Any]) -> dict[str, Any]:
    more = {"parameters": {"pointerType": "mouse"}} if kind == "pointer" else {}
    return {"type": kind, "id": kind, "actions": actions, **more}


def _firefox() -> str | None:
    return shutil.which("firefox-esr") or shutil.which("firefox")


def _minibrowser() -> str | None:
    places = ("/usr/lib/*/webkit2gtk-4.*/MiniBrowser", "/usr/libexec/webkit2gtk-4.*/MiniBrowser")
    return next((path for place in places for path in glob(place)), None)


@contextmanager
def _display() -> Iterator[str]:
    """Run an X server with a screen in memory until the block ends; yield its name."""
    end, other = os.pipe()
    try:
        command = ("Xvfb", "-displayfd", str(other), "-screen", "0", "1400x1000x24", "-nolisten", "tcp")
        with _process(*command, environ=os.environ, pass_fds=(other,)):
            yield f":{os.read(end, 16).decode().strip()}"  # written once the display is there
    finally:
        os.close(end)
        os.close(other)


@contextmanager
def _process(
    *command: str, environ: Mapping[str, str], log: Path | None = None, pass_fds: tuple[int, ...] = ()
) -> Iterator[None]:
    """Run a program until the block ends, and then kill it with all that it started."""
    with (log or Path(os.devnull)).open("wb") as sink:
        process = subprocess.Popen(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, pass_fds=pass_fds,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
