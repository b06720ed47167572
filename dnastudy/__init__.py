"""A reproducible study of DNA language models: genes > tokens > models > tasks > study."""

import hashlib
import os
from importlib import import_module
from pathlib import Path

__version__ = "0.1.0"


def _keep_compiled_code_apart() -> None:
    """Give numba a cache of its own for each state of the package.

    A compiled function is compiled again when its file changes, but not when a function that it calls in another
    file does: after an update, old code would go on computing under a new version's name.
    """
    state = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        state.update(path.read_bytes())
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "dnastudy" / "numba" / state.hexdigest()[:12]
    if "NUMBA_CACHE_DIR" not in os.environ:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return  # numba finds a place of its own
        os.environ["NUMBA_CACHE_DIR"] = str(folder)


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
