"""Compare two runs of the study: metrics with ==, tables byte by byte, corpora, tokenizers and weights by SHA-256.

``python tests/engine/compare_runs.py results/before results/after [--allow allowed.yaml]`` prints what differs and
exits with 1 if there is anything that no line of the allow-list explains. The allow-list is YAML: a pattern (as of
`fnmatch`) on ``<job>/<file or metric>`` and the reason why that may differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from fnmatch import fnmatch
from pathlib import Path

import yaml

COMPARED = ("*.tsv", "*.npy", "*.parquet", "*.fa", "*.json", "*.safetensors", "*.npz")
LEFT_OUT = (
    "record.json",
    "config.json",
    "history.json",
)  # they hold seconds, dates and hashes of code, or stand as a TSV
TIMES = ("seconds*", "*_per_second", "minutes*")  # columns of tables that are never the same twice
FIELDS = ("value", "low", "high", "n", "unit")


def metrics(record: Path) -> dict[str, tuple]:
    """Value, low, high and n of each metric of a record, and its unit."""
    found = json.loads(record.read_text())["metrics"]
    return {name: tuple(repr(its.get(field)) for field in FIELDS) for name, its in found.items()}


def files(job: Path) -> dict[str, str]:
    """SHA-256 of what a job made, by path; caches of pieces apart."""
    paths = {path for pattern in COMPARED for path in job.rglob(pattern)}
    named = {str(path.relative_to(job)): path for path in paths if not any(fnmatch(path.name, out) for out in LEFT_OUT)}
    own = {name: path for name, path in named.items() if not nested(path, job) and "runs/" not in name}
    return {name: hashlib.sha256(content(path)).hexdigest() for name, path in own.items()}


def content(path: Path) -> bytes:
    """Bytes of a file, of a table without its columns of times."""
    if path.suffix != ".tsv":
        return path.read_bytes()
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    stay = (
        [place for place, name in enumerate(rows[0]) if not any(fnmatch(name, time) for time in TIMES)] if rows else []
    )
    return "\n".join("\t".join(row[place] for place in stay if place < len(row)) for row in rows).encode()


def nested(path: Path, job: Path) -> bool:
    """Whether a file belongs to a job inside this one's folder."""
    return any((folder / "record.json").exists() for folder in path.parents if folder != job and job in folder.parents)


def differences(before: Path, after: Path) -> tuple[dict[str, str], int]:
    """What differs, by ``<job>/<name>``, and how many metrics and files were compared."""
    jobs = sorted({str(path.parent.relative_to(run)) for run in (before, after) for path in run.rglob("record.json")})
    jobs = [job for job in jobs if "runs/" not in job]
    found, compared = {}, 0
    for job in jobs:
        sides = [run / job for run in (before, after)]
        if missing := [str(side) for side in sides if not (side / "record.json").exists()]:
            found[job] = f"no record in {', '.join(missing)}"
            continue
        for kind, read in (("metric", lambda side: metrics(side / "record.json")), ("file", files)):
            one, other = (read(side) for side in sides)
            compared += len(one.keys() | other.keys())
            for name in sorted(one.keys() | other.keys()):
                if one.get(name) != other.get(name):
                    found[f"{job}/{name}"] = f"{kind}: {one.get(name, 'absent')} -> {other.get(name, 'absent')}"
    return found, compared


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--allow", type=Path, help="YAML: pattern on <job>/<name>, and why it may differ")
    arguments = parser.parse_args()
    allowed = yaml.safe_load(arguments.allow.read_text()) if arguments.allow else {}
    found, compared = differences(arguments.before, arguments.after)
    excused = {pattern: [name for name in found if fnmatch(name, pattern)] for pattern in allowed}
    for pattern, names in excused.items():
        print(f"allowed: {pattern} ({len(names)}): {allowed[pattern]}")
    left = {name: what for name, what in found.items() if not any(name in names for names in excused.values())}
    for name, what in left.items():
        print(f"differs: {name}: {what}")
    equal = f"{compared - len(found)} of {compared} metrics and files equal"
    print(f"{equal}, {len(found) - len(left)} allowed, {len(left)} not")
    return int(bool(left))


if __name__ == "__main__":
    sys.exit(main())
