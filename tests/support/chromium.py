"""Chromium for the tests: the system's own, else Playwright's download. Run as a script, this file installs one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

SHELL = "chromium-headless-shell"
"""Debian's Chromium without a window, which takes less processor time than the complete browser."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", SHELL)
OUTPUT = Path(__file__).parents[1] / "output"
"""The folder of the tests' pictures."""

DISABLED = (
    "WebUIOmniboxPopup", "WebUIOmniboxAimPopup",  # the popups of an invisible address bar: 0.7 s for each window
    # Playwright's own list, which this one replaces:
    "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "PaintHolding", "ThirdPartyStoragePartitioning",
    "AvoidCorsURLLoaderRestartOnRedirect", "TcpPortRandomizationWin", "OptimizationHints", "NetworkTimeServiceQuerying",
    "AimEnabled", "PreconnectToSearch",
)  # fmt: skip
"""Chromium's features that tests switch off. Seconds are of processor time."""
ARGUMENTS = [  # the second half keeps it from calling home at every start
    "--disable-gpu", "--disable-quic", "--no-first-run", f"--disable-features={','.join(DISABLED)}",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",  # no request leaves this machine
]  # fmt: skip
INTERPRETED = "--js-flags=--no-turbofan --no-maglev"
"""Compile no script with optimisation: the page of a test lives for seconds."""


def launch(playwright: Playwright, *, light: bool = False) -> Browser:
    """Start a headless Chromium. Raise Playwright's error, which says what to install, where there is none.

    `light` is for tests, and neither for measurements nor for the documents' pictures. It takes 15 % less
    processor time on a quiet machine, more on a busy one.
    """
    no_sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # it refuses root otherwise
    more = [INTERPRETED] if light else []
    path = (light and shutil.which(SHELL)) or system()
    return playwright.chromium.launch(executable_path=path, args=ARGUMENTS + more + no_sandbox)


def system() -> str | None:
    """Return the path of an installed Chromium or Chrome; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def available(playwright: Playwright) -> bool:
    """Return True where `launch` will find a browser."""
    return bool(system()) or Path(playwright.chromium.executable_path).exists()


def picture(name: str) -> Path:
    """Return the path of a picture in the tests' output, whose folder is created if it is missing."""
    OUTPUT.mkdir(exist_ok=True)
    return OUTPUT / f"{name}.png"


def get() -> bool:
    """Install a Chromium: Playwright's download, or, where that cannot be reached, Debian's package (as root)."""
    with sync_playwright() as playwright:
        if available(playwright):
            return True
    print("No Chromium found; fetching Playwright's")
    if subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False).returncode == 0:
        return True
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        installed = subprocess.run(["apt-get", "install", "-y", "-qq", "chromium", "fonts-liberation"], check=False)
        return installed.returncode == 0
    return False


if __name__ == "__main__" and not get():
    sys.exit("The browser tests need Chromium. Install Chromium or Chrome, then try again.")
