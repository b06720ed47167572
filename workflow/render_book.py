"""Render the book from a finished run: prose pages filled from records, executed notebooks as they are."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import jinja2
import pandas as pd

from dnastudy.files import InputError, sha256
from dnastudy.genes.manifest import load_manifest
from dnastudy.study import load_profile, load_record
from dnastudy.study.parameters import PROJECT

BOOK = PROJECT / "book"
PLACES = {"results": PROJECT / "results", "archive": BOOK / "archive"}


def render(jobs: Iterable[str], run: Path, output: Path = BOOK) -> Path:
    """Render ``<output>/_build/html`` from the run in the folder ``run`` and return its first page.

    Nothing is executed. When neither pages nor run have changed since the last time, nothing is done.

    Raises
    ------
    InputError
        When the run isn't complete, a page asks for a number that no record holds, or Sphinx warns of anything.
    """
    jobs = list(jobs)
    missing = [job for job in jobs if not (run / job / "record.json").is_file() or not (run / f"{job}.ipynb").is_file()]
    if missing:
        how = "make book, then make archive" if PLACES["archive"] in run.parents else "make book"
        raise InputError(f"{run}: no finished run of {', '.join(missing)}; run the study first: {how}")
    if differing := set(jobs) ^ chapters(contents(jobs)):
        raise InputError(
            f"book/_toc.yml and the profile differ in {', '.join(sorted(differing))}; run it with --no-book"
        )
    page = output / "_build" / "html" / "index.html"
    stamp, state = output / "_build" / "state.sha256", _state(run)
    if page.is_file() and stamp.is_file() and stamp.read_text() == state:
        return page
    print(f"Rendering the book from {run} ...", flush=True)
    stamp.unlink(missing_ok=True)
    source = output / "_build" / "source"
    assemble(run, jobs, source)
    build(source, output)
    stamp.write_text(state)
    return page


def contents(jobs: list[str]) -> str:
    """The table of contents: ``book/_toc.yml`` with a line for each run of a notebook that runs several times."""
    template = jinja2.Template((BOOK / "_toc.yml").read_text(encoding="utf-8"), trim_blocks=True, lstrip_blocks=True)
    return template.render(runs=by_notebook(jobs))


def by_notebook(jobs: Iterable[str]) -> dict[str, list[str]]:
    """The jobs of each notebook, in order."""
    jobs = list(jobs)
    return {name: [job for job in jobs if job.split("/")[0] == name] for name in {job.split("/")[0] for job in jobs}}


def chapters(toc: str) -> set[str]:
    """The jobs that a table of contents names."""
    return set(re.findall(r"file: chapters/(\S+)", toc))


def assemble(run: Path, jobs: list[str], source: Path) -> None:
    """Put what Sphinx reads into one folder: filled pages, notebooks, figures, and scripts from installed packages."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for job in jobs:
        target = source / "chapters" / f"{job}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(chapter(run, job), encoding="utf-8")
        for figure in (run / job).glob("*.svg"):
            (source / "figures" / job).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(figure, source / "figures" / job / figure.name)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.globals |= Numbers(run, jobs).functions()
    toc = contents(jobs)
    for page in BOOK.glob("*.md"):
        if not re.search(rf"(root|file): {page.stem}$", toc, re.MULTILINE):
            continue  # it tells of runs that this profile doesn't have
        try:
            text = environment.from_string(page.read_text(encoding="utf-8")).render()
        except jinja2.TemplateError as error:
            raise InputError(f"{page.relative_to(PROJECT)}: {error}") from None
        (source / page.name).write_text(text, encoding="utf-8")
    for name in ("_config.yml", "references.bib"):
        shutil.copyfile(BOOK / name, source / name)
    (source / "_toc.yml").write_text(toc, encoding="utf-8")
    shutil.copytree(BOOK / "_static", source / "_static")
    (source / "extra").mkdir()
    shutil.copyfile(_mathjax(), source / "extra" / "tex-svg.js")


def chapter(run: Path, job: str) -> str:
    """An executed notebook; in one of several runs of a notebook, figures are labelled with the run's name too."""
    text = (run / f"{job}.ipynb").read_text(encoding="utf-8")
    if "/" not in job:
        return text
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        figure = cell["metadata"].get("mystnb", {}).get("figure", {})
        if "name" in figure:
            figure["name"] += "-" + job.split("/")[1].replace("_", "-")
    return json.dumps(notebook)


def build(source: Path, output: Path) -> None:
    """Run Jupyter Book, warnings being errors."""
    for name in ("html", ".doctrees"):
        shutil.rmtree(output / "_build" / name, ignore_errors=True)
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(source), "--path-output", str(output)]
    environment = os.environ | {"NO_COLOR": "1"}
    done = subprocess.run([*command, "-W", "-n", "--keep-going"], capture_output=True, text=True, env=environment)
    if done.returncode or not (output / "_build" / "html" / "index.html").is_file():
        lines = (done.stdout + done.stderr).splitlines()
        told = [line for line in lines if "WARNING" in line or "ERROR" in line or "Error" in line]
        raise InputError("Jupyter Book stopped:\n" + "\n".join(told or lines[-20:]))


class Records(dict):
    """The records of a run by job; a page that asks for a job that isn't there is told so."""

    def __missing__(self, job: str) -> dict:
        raise jinja2.TemplateRuntimeError(f"the run has no {job}")


class Numbers:
    """What a prose page may ask for: numbers, tables and figures of a run, never typed by hand."""

    def __init__(self, run: Path, jobs: list[str]):
        self.run = run
        self.records = Records({job: load_record(run / job) for job in jobs})

    def functions(self) -> dict:
        return {
            "number": self.number,
            "interval": self.interval,
            "count": self.count,
            "ranked": self.ranked,
            "parameter": lambda job, name: self.records[job]["parameters"][name],
            "data": lambda job: self.records[job]["data"],
            "table": self.table,
            "figure": lambda job, name: f"figures/{job}/{name}.svg",
            "seconds": lambda job: f"{self.records[job]['seconds']:,.0f} s",
            "executions": self.executions,
            "not_beaten": self.not_beaten,
            "protocol": self.protocol,
            "unbeaten": self.unbeaten,
            "archives": lambda name: ", ".join(f"`{file}`" for file in load_manifest(name).archives),
            "machine": self.machine,
            "profile": self.run.name,
            "runs": by_notebook(self.records),
        }

    def number(self, job: str, metric: str, form: str = ".3f") -> str:
        """One metric of a record, in a format of Python's."""
        return format(self._metric(job, metric)["value"], form)

    def interval(self, job: str, metric: str, form: str = ".3f", *, ends: bool = False) -> str:
        """A metric with its 95% interval, or the two ends alone."""
        value = self._metric(job, metric)
        between = f"{value['low']:{form}} {'and' if ends else 'to'} {value['high']:{form}}"
        return between if ends else f"{value['value']:{form}} ({between})"

    def count(self, job: str, metric: str) -> int:
        """How many loci, pairs or runs a metric rests on."""
        return self._metric(job, metric)["n"]

    def ranked(self, job: str, metric: str, *, highest: bool = False) -> str:
        """The three models from the lowest to the highest in a metric, whose name has ``{}`` for theirs, or back."""
        value = {name: self._metric(job, metric.format(name))["value"] for name in ("ngram", "lstm", "gpt")}
        return ", ".join(sorted(value, key=value.get, reverse=highest))

    def _metric(self, job: str, metric: str) -> dict:
        if metric not in self.records[job]["metrics"]:
            raise jinja2.TemplateRuntimeError(f"{job} has no metric {metric!r}")
        return self.records[job]["metrics"][metric]

    def table(self, job: str, name: str, columns: dict[str, str], digits: int = 3, query: str = "") -> str:
        """A TSV of a run as a Markdown table; ``columns`` maps its columns to headings."""
        frame = pd.read_csv(self.run / job / f"{name}.tsv", sep="\t")
        frame = frame.query(query) if query else frame
        return markdown(frame[list(columns)].rename(columns=columns), digits)

    def not_beaten(self) -> str:
        """Which floors which models don't beat on all test windows, in words."""
        frame = pd.read_csv(self.run / "05_compare_models" / "floors_not_beaten.tsv", sep="\t")
        told = [
            f"the {row.model} doesn't beat the {row.floor} ({row.difference:+.3f}, {row.low:+.3f} to {row.high:+.3f})"
            for row in frame[frame["stratum"] == "all"].itertuples()
        ]
        strata = frame[(frame["floor"] == "uniform") & (frame["stratum"] != "all")]
        told += [
            f"in the stratum *{row.stratum}* the {row.model} is no better than guessing" for row in strata.itertuples()
        ]
        return "**Floors not beaten:** " + ("; ".join(told) if told else "none") + "."

    def unbeaten(self, model: str, floor: str) -> bool:
        """Whether a model isn't shown to be better than a floor on all test windows."""
        frame = pd.read_csv(self.run / "05_compare_models" / "floors_not_beaten.tsv", sep="\t")
        return bool(len(frame.query("stratum == 'all' and model == @model and floor == @floor")))

    def protocol(self) -> str:
        """Perplexity under the published protocol: a row a model, a column a corpus, the paper's first."""
        frame = pd.read_csv(self.run / "05_compare_models" / "protocol.tsv", sep="\t")

        def told(row: pd.Series) -> str:
            interval = "" if pd.isna(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
            return ("infinite" if math.isinf(row["perplexity"]) else f"{row['perplexity']:.3f}") + interval

        frame["told"] = frame.apply(told, axis=1)
        wide = frame.pivot(index="model", columns="corpus", values="told")
        wide = wide.loc[frame["model"].unique(), frame["corpus"].unique()]
        wide.loc[:, "paper"] = wide["paper"].fillna("")
        return markdown(wide.fillna("not run").rename_axis(columns=None).reset_index(), 3)

    def executions(self) -> str:
        """How long each notebook took, with what, and on what."""
        rows = [
            {
                "notebook": job,
                "seconds": round(record["seconds"]),
                "peak memory (MB)": round(record["peak_memory_mb"]),
                "threads": record["machine"]["threads"],
                "commit": (record["code"]["commit"] or "none")[:7]
                + (" + changes" if record["code"]["changed"] else ""),
                "package": record["code"]["package_sha256"][:7],
            }
            for job, record in self.records.items()
        ]
        return markdown(pd.DataFrame(rows), 0)

    def machine(self) -> str:
        """The machine of the run, in words; more than one where parts ran elsewhere."""
        kinds = {
            f"{m['accelerator'] or m['processor']}, {m['cores']} cores, {m['memory_gb']:.0f} GB, torch {m['torch']}"
            for m in (record["machine"] for record in self.records.values())
        }
        return "; ".join(sorted(kinds))


def markdown(frame: pd.DataFrame, digits: int) -> str:
    """A small Markdown table; numbers to the right."""

    def text(value: object) -> str:
        if isinstance(value, float):
            return "" if pd.isna(value) else f"{value:,.{digits}f}"
        return f"{value:,}" if isinstance(value, int) else str(value)

    numeric = [pd.api.types.is_numeric_dtype(frame[column]) for column in frame]
    lines = ["| " + " | ".join(map(str, frame.columns)) + " |"]
    lines.append("|" + "|".join("---:" if n else "---" for n in numeric) + "|")
    lines += ["| " + " | ".join(text(v) for v in row) + " |" for row in frame.astype(object).itertuples(index=False)]
    return "\n".join(lines)


def _mathjax() -> Path:
    """MathJax out of an installed package, so that formulas show without a network and no script is copied here."""
    files = importlib.metadata.files("sphinx-mathjax-offline") or []
    return Path(next(file for file in files if file.name == "tex-svg.js").locate())


def _state(run: Path) -> str:
    """A digest of everything that a rendering reads."""
    pages = [p for p in BOOK.rglob("*") if p.is_file() and not {"_build", "archive"} & set(p.relative_to(BOOK).parts)]
    results = [p for p in run.rglob("*") if p.suffix in {".ipynb", ".svg", ".tsv"} or p.name == "record.json"]
    return "\n".join(f"{p} {sha256(p)}" for p in sorted([*pages, *results, Path(__file__)]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="laptop", help="whose run to render (laptop)")
    parser.add_argument("--from", dest="place", choices=sorted(PLACES), default="results", help="where it stands")
    arguments = parser.parse_args()
    try:
        print(f"The book: {render(load_profile(arguments.profile), PLACES[arguments.place] / arguments.profile)}")
    except InputError as error:
        print(f"dnastudy: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
