"""The verdict of the Results page appears before the sections below it."""

from pathlib import Path

from tests.support import app_process, invented_traffic
from tests.support.websocket_tester import Tester

SLOW = """
import sys, time
from pathlib import Path

here = Path(__file__).parent
while not (here / "loaded").exists():
    time.sleep(0.02)
sys.path.remove(str(here))
del sys.modules["altair"]
import altair
"""
"""A module that stands in for Altair on a slow disk: its import waits until a file `loaded` is beside it."""
DETAILS = "### Response time"
PATIENCE_S = 120.0


def test_the_verdict_waits_neither_for_the_charts_nor_for_the_details(tmp_path: Path) -> None:
    packages, folder = tmp_path / "packages", tmp_path / "app"
    packages.mkdir()
    folder.mkdir()
    (packages / "altair.py").write_text(SLOW)
    url = f"sqlite:///{tmp_path}/parley.db"
    invented_traffic.fill(url, invented_traffic.better())
    app = app_process.start(folder, {"DATABASE_URL": url, "PYTHONPATH": str(packages)})
    try:
        with Tester(app.url, page="results", whole=False, within_s=PATIENCE_S) as tab:
            tab.until(lambda: "Test is better" in " ".join(tab.headings))
            assert DETAILS not in tab.lines
            (packages / "loaded").touch()
            tab.until(lambda: DETAILS in tab.lines)
    finally:
        (packages / "loaded").touch()
        app.stop(60)
