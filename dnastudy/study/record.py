"""Start a notebook's run and write down what came of it: metrics, tables, figures, and where they come from."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

from dnastudy.files import InputError, atomic_path, read_json, sha256, write_json
from dnastudy.study.parameters import PROJECT, check_parameters, declared_parameters, listed, package_hash

FORMAT_TIME = "%Y-%m-%dT%H:%M:%SZ"


def start(notebook: str, namespace: dict) -> Run:
    """Check a notebook's parameters as they stand in its namespace and return its `Run`.

    A variable that it doesn't declare can only be a mistyped parameter (a list or dict in capitals is a constant).
    """
    declared = declared_parameters(notebook)
    given = {
        name: value
        for name, value in namespace.items()
        if name in declared
        or (isinstance(value, str | int | float | bool) and not name.startswith("_"))
        or (isinstance(value, list | dict) and not (name.startswith("_") or name.isupper() or name in {"In", "Out"}))
    }
    return Run(notebook, check_parameters(given, declared, notebook))


class Run:
    """One run of one notebook: where its inputs and outputs are, and the record it leaves."""

    def __init__(self, notebook: str, parameters: dict):
        self.notebook = notebook
        self.parameters = parameters
        self.out = Path(parameters["out"]).resolve() if parameters["out"] else PROJECT / "results" / "smoke" / notebook
        self.numbers: dict[str, dict] = {}
        self.data: dict[str, object] = {}
        self.notes: list[str] = []
        self._check_out()
        self._started = time.monotonic()
        _set_up_torch()

    def __getattr__(self, name: str):
        try:
            return self.parameters[name]
        except KeyError:
            raise AttributeError(f"{self.notebook} has no parameter {name!r}") from None

    def _check_out(self) -> None:
        """Refuse a folder that can't be made, or holds another chapter's results, before anything is computed."""
        standing = next(folder for folder in [self.out, *self.out.parents] if folder.exists())
        if not standing.is_dir() or not os.access(standing, os.W_OK):
            found = f"{standing} is no writable folder"
            raise InputError(f"out={self.parameters['out']!r}: can't be written, since {found}")
        if (self.out / "record.json").exists() and (other := load_record(self.out)["notebook"]) != self.notebook:
            raise InputError(f"out={self.parameters['out']!r}: the results of {other} stand there; give another folder")

    def is_default(self, name: str) -> bool:
        """Whether a parameter is left as the notebook has it."""
        return self.parameters[name] == declared_parameters(self.notebook)[name].default

    def note(self, text: str) -> None:
        """Say something that a reader of the numbers should know, here and in the record."""
        self.notes.append(text)
        print(f"note: {text}")

    def note_fewer(self, name: str, found: int) -> None:
        """Note that there is less of something than the parameter ``name`` asks for, if so."""
        if found < self.parameters[name]:
            self.note(f"asked for {self.parameters[name]:,} {name}; the test genes hold {found:,} that don't overlap")

    def folders(self, name: str) -> dict[str, Path]:
        """The comma-separated folders of a parameter, or ``hf:`` names, by their last part."""
        folders = {folder.resolve().name: folder for folder in self.listed(name, Path)}
        if len(folders) < len(self.listed(name)):
            raise InputError(f"{name}={self.parameters[name]!r}: two folders have the same name; rename one")
        return folders

    @property
    def bootstrap(self) -> dict:
        """How intervals are drawn, as keyword arguments: resamples and seed."""
        if self.parameters["resamples"] < 1:
            raise InputError(f"resamples={self.parameters['resamples']}: expected at least 1")
        return {"resamples": self.parameters["resamples"], "seed": self.parameters["seed"]}

    def listed(self, name: str, kind: type = str) -> list:
        """The comma-separated values of a parameter."""
        try:
            return [kind(part) for part in listed(self.parameters[name])]
        except ValueError:
            found = self.parameters[name]
            raise InputError(f"{name}={found!r}: expected {kind.__name__} values between commas") from None

    @property
    def device(self) -> str | None:
        """The device asked for, or None: CUDA if there is one, else the CPU."""
        return self.parameters["device"] or None

    @property
    def progress(self):
        """Where progress goes: a text stream outside the notebook's outputs, or False where nobody is listening."""
        return open(self.progress_file, "a", encoding="utf-8") if self.progress_file else False

    @property
    def progress_file(self) -> str | None:
        """The file that progress is appended to, which the engine follows; None where nobody is listening."""
        return os.environ.get("DNASTUDY_PROGRESS")

    def metric(self, name: str, value, *, unit: str, low=None, high=None, n: int | None = None) -> None:
        """Record one number: a bare one, with an interval beside it, or an `Interval`."""
        if hasattr(value, "_asdict"):
            value, low, high, n = value
        found = {"value": value, "low": low, "high": high}
        self.numbers[name] = {k: None if v is None else float(v) for k, v in found.items()}
        self.numbers[name] |= {"n": None if n is None else int(n), "unit": unit}

    def metrics(self, table, name: str, *, value: str, unit: str, low="low", high="high", n="n") -> None:
        """Record one number a row of a table: ``name`` and ``unit`` may hold columns in braces, "{model}/{stratum}".

        The others name columns; ``low``, ``high`` and ``n`` are left out where the table has no such column.
        """
        for cells in table.itertuples(index=False, name=None):
            row = dict(zip(table.columns, cells, strict=True))
            ends = {"low": row.get(low), "high": row.get(high), "n": row.get(n)}
            self.metric(name.format_map(row), row[value], unit=unit.format_map(row), **ends)

    def table(self, frame, name: str) -> None:
        """Write a DataFrame to ``<name>.tsv`` in `out`."""
        with atomic_path(self.out / f"{name}.tsv") as partial:
            frame.to_csv(partial, sep="\t", index=False, float_format="%.9g")

    def figure(self, axes, name: str):
        """Write the figure that ``axes`` stands in to ``<name>.svg`` in `out`, and return it for display."""
        import matplotlib.pyplot as plt

        figure = axes.get_figure() if hasattr(axes, "get_figure") else axes
        with atomic_path(self.out / f"{name}.svg") as partial:
            # No date and a fixed salt: the same figure is the same file.
            figure.savefig(partial, format="svg", bbox_inches="tight", metadata={"Date": None})
        plt.close(figure)
        return figure

    def finish(self) -> str:
        """Write ``record.json`` into `out` and return, for print, what the numbers rest on."""
        record = {
            "notebook": self.notebook,
            "profile": os.environ.get("DNASTUDY_PROFILE", "none"),
            "parameters": {k: _without_folders(v) for k, v in self.parameters.items()},
            "seed": self.parameters["seed"],
            "metrics": self.numbers,
            "data": self.data,
            "notes": self.notes,
            "code": code_identity(),
            "machine": machine(),
            "finished": time.strftime(FORMAT_TIME, time.gmtime()),
            "seconds": round(time.monotonic() - self._started, 2),
            "peak_memory_mb": round(peak_memory_mb(), 1),
        }
        write_json(self.out / "record.json", record)
        return summary(record)


def load_record(folder: str | Path) -> dict:
    """Read the ``record.json`` of a finished run."""
    path = Path(folder) / "record.json"
    record = read_json(path)
    missing = {"notebook", "parameters", "metrics", "data", "code", "machine"} - record.keys()
    if missing:
        raise InputError(f"{path}: not a record: it lacks {', '.join(sorted(missing))}; run its notebook again")
    return record


def code_identity() -> dict:
    """The commit, whether the tree had changes, and hashes of the package and of the lock."""
    lock = PROJECT / "constraints.txt"
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--", "dnastudy", "notebooks", "workflow", "constraints.txt")),
        "package_sha256": package_hash(),
        "lock_sha256": sha256(lock) if lock.is_file() else None,
    }


def machine() -> dict:
    """What the run stood on: processor, cores, memory, accelerator and the versions that numbers depend on."""
    import numpy
    import torch

    accelerator = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "accelerator": accelerator,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _set_up_torch() -> None:
    """One thread unless told otherwise: results are bit-identical only for the same number of threads."""
    import torch

    # One number a level of nesting, as in "4,2"; what is no number is left to torch.
    first = os.environ.get("OMP_NUM_THREADS", "1").partition(",")[0].strip()
    if first.isdecimal() and int(first):
        torch.set_num_threads(int(first))
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def _without_folders(value: object) -> object:
    """Keep the last parts of a path: where a folder stands on some machine is nobody's business."""
    if not isinstance(value, str) or os.sep not in value:
        return value
    return ",".join(_short(part.strip()) for part in value.split(","))


def _short(path: str) -> str:
    if path.startswith("hf:"):
        return f"hf:{_short(path.removeprefix('hf:'))}"
    path = Path(path)
    if path.is_absolute() and path.is_relative_to(PROJECT):
        return path.relative_to(PROJECT).as_posix()
    return path.name if path.is_absolute() else path.as_posix()


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as handle:
            return next(line.split(":", 1)[1].strip() for line in handle if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(PROJECT), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def summary(record: dict) -> str:
    """What a chapter ends with: how much was recorded, and the data, code and machine that it rests on."""
    code, machine, data = record["code"], record["machine"], record["data"]
    commit = code["commit"][:12] + (" with changes" if code["changed"] else "") if code["commit"] else "none"
    lines = [
        f"record    {record['notebook']}: {len(record['metrics'])} metrics, profile {record['profile']}",
        f"code      commit {commit}, package {code['package_sha256'][:12]}",
        f"machine   {machine['accelerator'] or machine['processor']}, {machine['threads']} of {machine['cores']} cores",
        f"versions  torch {machine['torch']}, numpy {machine['numpy']}, Python {machine['python']}",
        f"cost      {record['seconds']:.1f} s, {record['peak_memory_mb']:.0f} MB at most",
    ]
    contigs = data.get("corpus", {}).get("contigs", {})
    lines += [f"contig    {name}: {contig['length']:,} bases, M5 {contig['m5']}" for name, contig in contigs.items()]
    for name, digest in data.get("models", {}).items():
        lines.append(f"model     {name}: {digest if digest.startswith('hf:') else f'config sha256 {digest[:12]}'}")
    lines += [f"note      {note}" for note in record["notes"]]
    return "\n".join(lines)
