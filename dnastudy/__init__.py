"""A reproducible study of DNA language models: genes > tokens > models > tasks > study."""

import atexit
import hashlib
import os
import shutil
import tempfile
import time
import warnings
from importlib import import_module
from pathlib import Path

__version__ = "0.1.0"
# A library of ours looks for Jupyter's widgets, which a rendered book couldn't show anyway.
warnings.filterwarnings("ignore", message="IProgress not found")
_UNUSED = 14 * 24 * 3600  # seconds after which a cache of compiled code is taken for one of an older state


def _keep_compiled_code_apart() -> None:
    """Give numba a cache of its own for each state of the package.

    A compiled function is compiled again when its file changes, but not when a function that it calls in another
    file does: after an update, old code would go on computing under a new version's name.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    state = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        state.update(path.read_bytes())
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dnastudy" / "numba"
        folder = caches / state.hexdigest()[:12]
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # as numba tries whether it may write there
        os.utime(folder)
        if is_new:
            _remove_unused(caches)
    except (OSError, RuntimeError):  # no home, or one that can't be written to
        folder = Path(tempfile.mkdtemp(prefix="dnastudy-numba-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = str(folder)


def _remove_unused(caches: Path) -> None:
    """Remove the caches of states that nothing has imported for two weeks; another checkout's stays."""
    for folder in caches.iterdir():
        ours = len(folder.name) == 12 and set(folder.name) <= set("0123456789abcdef")
        if ours and folder.is_dir() and time.time() - folder.stat().st_mtime > _UNUSED:
            shutil.rmtree(folder, ignore_errors=True)


_keep_compiled_code_apart()


def lazy(package: str, where: dict[str, str]):
    """Return a module ``__getattr__`` that imports each public name on first use.

    ``where`` maps a public name to the module of ``package`` that defines it. Training then runs on a
    machine that has only torch, numpy and safetensors, since nothing else is imported before it is asked for.
    """

    def __getattr__(name: str):
        if name in where:
            return getattr(import_module(f"{package}.{where[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__
