"""Time the first words and the whole of the Results page, in new processes, on a store that `fill_store` wrote.

    python -m tests.bench.time_results FILE [--rounds 3] [--after 0]

Each round opens the page in a new process, and then once more in another tab. Printed are the seconds from the request
to the verdict's sentence and to the end of the script, the app's processor time until then, and the machine's load. The
first tab opens `--after` seconds after the start. The file is dropped from the page cache before each start.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import psutil

from tests.support import app_process
from tests.support.websocket_tester import Tester

PATIENCE_S = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--after", type=float, default=0.0)
    options = parser.parse_args()
    for _ in range(options.rounds):
        drop(options.file)
        with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
            environ = {"DATABASE_URL": f"sqlite:///{options.file.resolve()}"}
            app = app_process.start(Path(folder), environ, plain=True)
            try:
                time.sleep(options.after)
                for name in ("first", "second"):
                    words, whole = look(app.url, psutil.Process(app.process.pid))
                    print(f"{name:8} verdict {words}   whole {whole}   load {os.getloadavg()[0]:.1f}", flush=True)
            finally:
                app.stop(60)


def look(url: str, process: psutil.Process) -> tuple[str, str]:
    """Open the page; return the clock and processor seconds until the verdict's sentence and until the script's end."""
    began, busy = time.perf_counter(), _busy(process)

    def elapsed() -> str:
        return f"{time.perf_counter() - began:6.2f} s ({_busy(process) - busy:5.2f})"

    with Tester(url, page="results", whole=False, within_s=PATIENCE_S) as tab:
        tab.until(lambda: [one for one in tab.headings if one != "Results"])
        words = elapsed()
        tab.idle()
        return words, elapsed()


def _busy(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def drop(file: Path) -> None:
    """Drop the file, and those whose names begin with its name, from the page cache."""
    for each in file.parent.glob(file.name + "*"):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


if __name__ == "__main__":
    main()
