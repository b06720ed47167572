"""Execute one notebook with papermill, for the engine: checked parameters in, a finished notebook or nothing out."""

import os
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # this environment's kernel, not one of the user's
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")

from dnastudy.files import InputError, atomic_path
from dnastudy.study.parameters import NOTEBOOKS, PROJECT, check_parameters, declared_parameters


def run_notebook(notebook: str, output: Path, parameters: dict, *, profile: str, threads: int, label: str) -> float:
    """Execute ``notebooks/<notebook>.ipynb`` into ``output`` and return the seconds it took.

    The output takes its name only once every cell has run; a failed one is kept as ``<name>.failed.ipynb``.

    Raises
    ------
    InputError
        When a parameter is unknown or of a wrong type, or when a cell fails (its error's own line).
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    check_parameters(parameters, declared_parameters(notebook), notebook)
    os.environ.update(DNASTUDY_PROFILE=profile, OMP_NUM_THREADS=str(threads), IPYTHONDIR=str(quiet_kernel()))
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_suffix(".partial.ipynb")
    failed = output.with_suffix(".failed.ipynb")
    started = time.monotonic()
    try:
        with progress_shown(output.with_suffix(".progress"), label):
            papermill.execute_notebook(
                NOTEBOOKS / f"{notebook}.ipynb",
                partial,
                parameters,
                kernel_name="python3",
                progress_bar=False,
            )
        partial.replace(output)
        failed.unlink(missing_ok=True)
    except PapermillExecutionError as error:
        partial.replace(failed)
        raise InputError(f"{label}: {error.ename}: {error.evalue} (the notebook as far as it came: {failed})") from None
    finally:
        partial.unlink(missing_ok=True)
    return time.monotonic() - started


def quiet_kernel() -> Path:
    """An IPython folder whose kernels keep no history and don't warn of their local TCP connection each time."""
    folder = PROJECT / "results" / ".ipython"
    settings = folder / "profile_default" / "ipython_kernel_config.py"
    with atomic_path(settings) as partial:
        partial.write_text("c.IPKernelApp.log_level = 50\nc.HistoryManager.enabled = False\n")
    return folder


@contextmanager
def progress_shown(path: Path, label: str):
    """Show on stderr what the kernel writes into ``path``: its own output belongs to the notebook."""
    path.write_text("")
    done = threading.Event()

    def follow() -> None:
        with path.open(encoding="utf-8") as lines:
            while not (finished := done.is_set()) or finished:
                for line in lines:
                    print(f"  {label}: {line.strip()}", file=sys.stderr, flush=True)
                if finished:
                    return
                time.sleep(0.5)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    os.environ["DNASTUDY_PROGRESS"] = str(path.resolve())
    try:
        yield
    finally:
        done.set()
        thread.join()
        del os.environ["DNASTUDY_PROGRESS"]
        path.unlink(missing_ok=True)


if "snakemake" in globals():
    job = snakemake  # noqa: F821 -- put here by Snakemake's `script:`
    print(f"{job.wildcards or ''}{job.params.label} ...", file=sys.stderr, flush=True)
    try:
        seconds = run_notebook(
            job.params.notebook,
            Path(job.output.notebook),
            dict(job.params.parameters),
            profile=job.params.profile,
            threads=job.threads,
            label=job.params.label,
        )
    except InputError as error:
        print(f"dnastudy: error: {error}", file=sys.stderr)
        sys.exit(1)
    print(f"{job.params.label}: done in {seconds:.0f} s", file=sys.stderr, flush=True)
