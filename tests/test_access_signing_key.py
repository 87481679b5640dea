"""The signing key: made once and the same for every process, also on a disk without hard links."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lib.access.signing_key import signing_key
from lib.settings import Settings, SettingsError, load

NOWHERE = Path("no/secrets.toml")
RACE = "import sys; from lib.settings import load; from lib.access.signing_key import signing_key; "
NO_LINKS = """
import os

def link(*_: object, **__: object) -> None:
    raise OSError(95, "Operation not supported")

os.link = link
"""


def _settings_in(folder: Path) -> Settings:
    return load({"DATABASE_URL": f"sqlite:///{folder}/new/parley.db"}, NOWHERE)


def test_the_key_that_was_set_is_used(tmp_path: Path) -> None:
    settings = load({"PARLEY_SIGNING_KEY": "k" * 16, "DATABASE_URL": f"sqlite:///{tmp_path}/p.db"}, NOWHERE)
    assert signing_key(settings) == "k" * 16
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("links", [True, False])
def test_a_key_is_made_once_and_only_its_owner_can_read_it(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", _no_links)
    first = signing_key(_settings_in(tmp_path))
    assert signing_key(_settings_in(tmp_path)) == first
    assert len(first) >= 40
    (file,) = (tmp_path / "new").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def _no_links(*_: object, **__: object) -> None:
    raise OSError(95, "Operation not supported")


@pytest.mark.parametrize("links", [True, False])
def test_processes_that_race_for_the_key_get_the_same(tmp_path: Path, links: bool) -> None:
    code = ("" if links else NO_LINKS) + RACE + "sys.stdin.readline(); print(signing_key(load()))"
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path}/new/parley.db", "PATH": ""}
    racers = [
        subprocess.Popen([sys.executable, "-c", code], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(b"\n")
        racer.stdin.flush()
    keys = {racer.communicate()[0] for racer in racers}
    assert len(keys) == 1 and len(keys.pop().strip()) >= 40
    assert len(list((tmp_path / "new").iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"half", b"\xff" * 40])
def test_a_damaged_key_is_reported_and_not_replaced(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "parley.db.signing-key"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match="PARLEY_SIGNING_KEY"):
        signing_key(load({"DATABASE_URL": f"sqlite:///{tmp_path}/parley.db"}, NOWHERE))
    assert file.read_bytes() == content
