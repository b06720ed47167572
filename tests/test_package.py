"""dnastudy itself: where compiled code is kept, and that it works where there is nowhere to keep it."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import dnastudy

PACKAGE = Path(dnastudy.__file__).parent
SHOW = "import os, dnastudy; print(os.environ['NUMBA_CACHE_DIR'])"


def run(program, folder, **environment):
    """What a program prints that finds the package in ``folder``."""
    unset = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "PYTHONPATH")
    given = {name: value for name, value in os.environ.items() if name not in unset} | environment
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, env=given | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, cwd=folder)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_caches_of_older_states_are_removed_once_nothing_uses_them(tmp_path):
    caches = tmp_path / "dnastudy" / "numba"
    for name in ("0123456789ab", "ba9876543210", "not ours"):
        (caches / name).mkdir(parents=True)
    for name in ("0123456789ab", "not ours"):
        os.utime(caches / name, (0, time.time() - 20 * 24 * 3600))
    own = Path(run(SHOW, PACKAGE.parent, XDG_CACHE_HOME=str(tmp_path)))
    assert own.parent == caches
    assert {path.name for path in caches.iterdir()} == {own.name, "ba9876543210", "not ours"}
    os.utime(own, (0, 0))
    assert run(SHOW, PACKAGE.parent, XDG_CACHE_HOME=str(tmp_path)) == str(own)
    assert time.time() - own.stat().st_mtime < 1000  # in use


def test_a_read_only_install_with_no_home_to_write_to_computes(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "dnastudy", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in {path.parent for path in (tmp_path / "dnastudy").rglob("*.py")}:
        (folder / "__pycache__").write_text("")  # a file, so that even root can't write below it
    (tmp_path / "file").write_text("")
    (tmp_path / "tmp").mkdir()
    program = f"{SHOW}; from dnastudy.models import NgramModel; print(NgramModel(2).fit(['ACGT' * 9]).order)"
    places = {"HOME": str(tmp_path / "file" / "home"), "TMPDIR": str(tmp_path / "tmp")}
    cache, order = run(program, tmp_path, **places, PYTHONDONTWRITEBYTECODE="1").splitlines()
    assert Path(cache).parent == tmp_path / "tmp" and order == "2"
    assert list((tmp_path / "tmp").glob("dnastudy-numba-*")) == []  # gone with the process
