"""Copy a finished run into book/archive/<profile>: notebooks, records, tables and figures; nothing that is large."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from clean_notebook import clean, write

from dnastudy.files import InputError, atomic_folder
from dnastudy.study import load_profile, load_record
from dnastudy.study.parameters import PROJECT

LARGEST = 1_000_000  # bytes of one file: the archive is tracked


def archive(profile: str) -> Path:
    """Replace the archived run by the finished one in results/<profile>.

    Raises
    ------
    InputError
        When the run isn't finished.
    """
    run, target = PROJECT / "results" / profile, PROJECT / "book" / "archive" / profile
    with atomic_folder(target) as folder:
        for job in load_profile(profile):
            load_record(run / job)
            copy(run / job, folder / job)
            write(clean(run / f"{job}.ipynb"), folder / f"{job}.ipynb")
    return target


def copy(source: Path, target: Path) -> None:
    """Copy a job's record, tables and figures."""
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.name != "record.json" and path.suffix not in {".tsv", ".svg"}:
            continue
        if path.stat().st_size > LARGEST:
            print(f"left out, {path.stat().st_size / 1e6:.1f} MB: {path.relative_to(PROJECT)}")
            continue
        shutil.copyfile(path, target / path.name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="laptop", help="the run to keep (laptop)")
    try:
        target = archive(parser.parse_args().profile)
    except (InputError, FileNotFoundError) as error:
        print(f"dnastudy: error: {error}; finish the run first: make book", file=sys.stderr)
        return 1
    print(f"Archived in {target.relative_to(PROJECT)}; commit it to publish it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
