"""Run the study at one scale and render its book: what `make book` calls."""

from __future__ import annotations

import argparse
import fcntl
import signal
import subprocess
import sys
import time
from pathlib import Path

from dnastudy.files import InputError
from dnastudy.genes import fetch
from dnastudy.study.parameters import DATASETS, PROJECT, load_profile

sys.path.insert(0, str(Path(__file__).parent))
from render_book import render


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, epilog="Any further options go to snakemake as they are.")
    parser.add_argument("--profile", default="laptop", help="a name in workflow/profiles/, or a YAML file (laptop)")
    parser.add_argument("--cores", type=int, default=2, help="processor cores to use (2)")
    parser.add_argument("--results", type=Path, help="where the run is to stand (results/<profile>)")
    parser.add_argument("--no-book", dest="book", action="store_false", help="execute, but render nothing")
    arguments, engine = parser.parse_known_args()
    started = time.monotonic()
    try:
        jobs = load_profile(arguments.profile)
        results = (arguments.results or PROJECT / "results" / Path(arguments.profile).stem).resolve()
        fetch_data(jobs)
        execute(arguments.profile, results, arguments.cores, engine)
        page = render(jobs, results) if arguments.book else results
    except (InputError, OSError) as error:
        print(f"dnastudy: error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print("dnastudy: stopped; what is done is kept, and the same command goes on from there", file=sys.stderr)
        return error.returncode
    except KeyboardInterrupt:
        print("\ndnastudy: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    print(f"{len(jobs)} of {len(jobs)} notebooks up to date, {time.monotonic() - started:.0f} s. The book: {page}")
    return 0


def fetch_data(jobs: dict) -> None:
    """Fetch what the notebooks will read, here rather than in them, so that the progress bars are seen."""
    readers: dict[str, str] = {}
    for job, parameters in jobs.items():
        for field in DATASETS:
            readers.setdefault(parameters.get(field, ""), job)
    for name, job in readers.items():
        if name and not Path(name).exists():
            files = fetch(name)
            print(f"data: {name}: {len(files)} files, verified ({job} reads them)", flush=True)


def execute(profile: str, results: Path, cores: int, engine: list[str]) -> None:
    """Let Snakemake execute whatever isn't up to date.

    Raises
    ------
    InputError
        When another run of the study is going on in this project.
    CalledProcessError
        When a notebook failed; its error has been printed.
    """
    if Path(profile).suffix:
        profile = str(Path(profile).resolve())
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "workflow" / "Snakefile")]
    command += ["--cores", str(cores), "--config", f"profile={profile}", f"results={results}"]
    lock_file = PROJECT / "results" / ".lock"
    lock_file.parent.mkdir(exist_ok=True)
    with open(lock_file, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError("another run of the study is going on in this project; wait for it, or stop it") from None
        if any((PROJECT / ".snakemake" / "locks").glob("*")):  # left by a run that was killed, since we hold ours
            subprocess.run([*command, "--unlock"], cwd=PROJECT, check=True, capture_output=True)
        snakemake = subprocess.Popen([*command, "--rerun-incomplete", "--quiet", "all", *engine], cwd=PROJECT)
        try:
            code = snakemake.wait()
        except KeyboardInterrupt:
            try:
                snakemake.wait(timeout=10)  # a terminal's Ctrl-C has reached it too, and it stops its notebooks
            except subprocess.TimeoutExpired:
                snakemake.send_signal(signal.SIGINT)
                snakemake.wait()
            raise
        if code:
            raise subprocess.CalledProcessError(code, "snakemake")


if __name__ == "__main__":
    sys.exit(main())
