"""Execute one notebook with papermill, for the engine: checked parameters in, a finished notebook or nothing out."""

import argparse
import json
import os
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # this environment's kernel, not one of the user's
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")

from dnastudy.files import InputError, atomic_path
from dnastudy.study.parameters import NOTEBOOKS, PROJECT, check_parameters, declared_parameters, load_profile


def run_notebook(notebook: str, output: Path, parameters: dict, *, profile: str, threads: int, label: str) -> float:
    """Execute ``notebooks/<notebook>.ipynb`` into ``output`` and return the seconds it took.

    The output takes its name only once every cell has run; a failed one is kept as ``<name>.failed.ipynb``.

    Raises
    ------
    InputError
        When a parameter is unknown or of a wrong type, when a cell fails (its error's own line), or the kernel dies.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
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
    except DeadKernelError:
        raise InputError(
            f"{label}: its kernel was killed, most likely for want of memory; choose smaller sizes"
        ) from None
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
            while True:
                finished = done.is_set()
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", help="a notebook's name, or notebook/run")
    parser.add_argument("output", type=Path, help="the executed notebook to write")
    parser.add_argument("--profile", required=True, help="the profile that the job belongs to")
    parser.add_argument("--parameters", type=json.loads, default={}, help="the notebook's parameters, as JSON")
    parser.add_argument("--threads", type=int, default=1, help="threads for torch and numpy (1)")
    arguments = parser.parse_args()
    notebook = arguments.job.split("/")[0]
    try:
        jobs = list(load_profile(arguments.profile))
        label = f"[{jobs.index(arguments.job) + 1}/{len(jobs)}] {arguments.job}"
        print(f"{label} ...", file=sys.stderr, flush=True)
        profile = Path(arguments.profile).stem
        options = {"profile": profile, "threads": arguments.threads, "label": label}
        seconds = run_notebook(notebook, arguments.output, arguments.parameters, **options)
    except (InputError, OSError) as error:
        print(f"dnastudy: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"{label}: done in {seconds:.0f} s", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
