"""A reproducible study of DNA language models: genes > tokens > models > tasks > study."""

from importlib import import_module

__version__ = "0.1.0"


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
