"""The benchmark of Parley beside Streamlit's tutorial chat and a page without framework: `make bench` prints the table
in Markdown.

    python -m tests.bench [--only first,long] [--peer chainlit] [--count 22] [--few 5] [--json FILE] [--write]

It starts a stand-in model server, every app and a headless Chromium on this machine, in a temporary folder, and at the
end ends their processes. Progress goes to standard error. `--write` puts the figures into docs/understand/speed.md.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from playwright.sync_api import Browser, Error, sync_playwright

from tests.bench import apps, table
from tests.bench.sections import SECTIONS, Bench, Raw
from tests.support import app_process
from tests.support import chromium as chromium
from tests.support.ports import free_port

SPEED = app_process.ROOT / "docs" / "understand" / "speed.md"


def main() -> None:
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):  # as an ordinary exit, which ends the started processes
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    load = os.getloadavg()[0]
    with open_bench(options) as bench:
        measured, failed = _measurement_note(bench, load), False
        for name in options.only:
            failed |= not _measure_section(name, bench)
            if options.json:
                _save(options.json, measured, bench)
    full = table.markdown(bench.values, bench.imported)
    print(measured, full, sep="\n\n")
    if failed:
        sys.exit("Not everything could be measured; the documents are as they were.")
    if options.write:
        SPEED.write_text(table.renewed(SPEED.read_text(encoding="utf-8"), measured, full), encoding="utf-8")


def _measure_section(name: str, bench: Bench) -> bool:
    """Measure a section; if it fails, print the reason and return False, so that the others are still measured."""
    _print_progress(f"{name} …")
    began = time.monotonic()
    try:
        SECTIONS[name](bench)
    except (Error, RuntimeError) as error:
        _print_progress(f"! {name}: {error}")
        if not bench.browser.is_connected():  # Ctrl-C ends it too
            sys.exit("The browser is gone.")
        return False
    _print_progress(f"{name}: {time.monotonic() - began:.0f} s")
    return True


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=_sections, default=list(SECTIONS), help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--peer", action="append", default=[], choices=apps.OPTIONAL, help="measure this one too")
    parser.add_argument("--count", type=int, default=22, help="questions of which many are asked")
    parser.add_argument("--few", type=int, default=5, help="questions and starts that take long")
    parser.add_argument("--json", type=Path, help="every single value")
    parser.add_argument("--write", action="store_true", help="put the figures into the documents")
    return parser.parse_args()


def _sections(names: str) -> list[str]:
    wanted = names.split(",")
    if unknown := set(wanted) - set(SECTIONS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return [name for name in SECTIONS if name in wanted]


@contextmanager
def open_bench(options: argparse.Namespace) -> Iterator[Bench]:
    """Start everything that the measurement needs, and end it with the block."""
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="parley-bench-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(temporary))
        model_url = stack.enter_context(_model())
        made = [apps.parley(folder / "parley", model_url)]
        made += [apps.tutorial(folder / "tutorial", model_url), apps.bare(folder / "bare", model_url)]
        made += [apps.OPTIONAL[name](folder / name, model_url) for name in options.peer]
        demo = stack.enter_context(apps.parley(folder / "demo", None))
        for app in made:
            stack.enter_context(app).start()
        raw = stack.enter_context(_raw(model_url))
        browser = stack.enter_context(_browser())
        yield Bench(browser, model_url, {app.name: app for app in made}, demo, raw, options.count, options.few)


@contextmanager
def _child(command: list[str], **more: object) -> Iterator["subprocess.Popen[str]"]:
    process: subprocess.Popen[str] = subprocess.Popen(
        [sys.executable, *command], cwd=app_process.ROOT, text=True, start_new_session=True, **more
    )  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def _model() -> Iterator[str]:
    """Run a stand-in model server in a process of its own; yield its base URL."""
    port = free_port()
    with _child(["-m", "tests.bench.model", str(port)]) as process:
        while app_process.status(f"http://127.0.0.1:{port}/") is None:
            if process.poll() is not None:
                raise RuntimeError("the stand-in model server ended")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def _raw(model_url: str) -> Iterator[Raw]:
    environ = apps.clean_environ() | apps.connected(model_url)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with _child([str(apps.PEERS / "raw_client.py")], env=environ, **pipes) as process:
        yield Raw(process, model_url)


@contextmanager
def _browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        try:
            yield browser
        finally:
            with suppress(Error):  # Ctrl-C has ended it already
                browser.close()


def _measurement_note(bench: Bench, load: float) -> str:
    """Return the paragraph above the table: the date, the machine, its load before the run, and the versions."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    programs = [f"Python {platform.python_version()}", f"Chromium {bench.browser.version}"]
    programs += [f"{name} {version(name)}" for name in ("streamlit", "openai")]
    machine = f"{os.cpu_count()} cores, {memory_gb:.0f} GB, load {load:.1f} before the run"
    return f"Measured on {time.strftime('%Y-%m-%d')}: {machine};\n{', '.join(programs)}."


def _save(path: Path, measured: str, bench: Bench) -> None:
    found = {"measured": measured, "values": bench.values, "imported": bench.imported}
    path.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _print_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
