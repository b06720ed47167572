"""Turn a notebook's parameters into its inputs: a corpus from whatever was given, and small ones where nothing was."""

from __future__ import annotations

from pathlib import Path

from dnastudy.files import InputError
from dnastudy.study.parameters import PROJECT, declared_parameters, language_model, load_profile
from dnastudy.study.record import package_hash

LETTERS = {
    "lower_case_read_as_upper": "lower case, read as upper",
    "iupac_read_as_unknown": "IUPAC codes, read as unknown",
    "unknown": "unknown bases in all",
}


def build_corpus(parameters: dict, out: Path):
    """Build the corpus that the parameters of 01_extract_genes describe, in ``out``, and return it.

    Ready sequences come first, then a FASTA with its annotation, then the named dataset.

    Raises
    ------
    InputError
        When only half of a pair was given, or as `extract_genes` and `load_sequences` say.
    """
    from dnastudy.genes import extract_genes, load_sequences

    given = {k: _paths(v) for k, v in parameters.items() if k in ("fasta", "annotation")}
    if parameters["train_sequences"]:
        files = {s: parameters[f"{s}_sequences"] or None for s in ("train", "validation", "test")}
        return load_sequences(out, **files, seed=parameters["seed"])
    if parameters["validation_sequences"] or parameters["test_sequences"]:
        raise InputError("train_sequences is empty, but other sequences are given: name the file to train from too")
    if len(given["fasta"]) != len(given["annotation"]):
        raise InputError(
            f"fasta and annotation go together, one annotation a FASTA: found {len(given['fasta'])} and "
            f"{len(given['annotation'])} files"
        )
    fasta, annotation, repeats = _dataset(parameters) if not given["fasta"] else (*given.values(), None)
    return extract_genes(
        fasta,
        annotation,
        out,
        biotypes=tuple(b.strip() for b in parameters["biotypes"].split(",")),
        min_length=parameters["min_length"],
        max_length=parameters["max_length"] or None,
        max_n=parameters["max_n"],
        test_contigs=[c.strip() for c in parameters["test_contigs"].split(",") if c.strip()] or None,
        validation=parameters["validation_share"],
        repeats=_repeats(parameters["repeats"]) or repeats,
    )


def input_counts(corpus):
    """What the extraction dropped and what it did to its input: DataFrame of what, count, unit."""
    import pandas as pd

    rows = [(reason, count, "genes") for reason, count in corpus.info["dropped"].items()]
    contigs = corpus.info.get("contigs", {})
    letters = list(contigs.values()) or [corpus.info["letters"]]  # ready sequences have no contigs
    rows += [(what, sum(each[field] for each in letters), "bases") for field, what in LETTERS.items()]
    renamed = sum(name != contig["name"] for name, contig in contigs.items())
    rows.append(("contigs under another name", renamed, "contigs"))
    return pd.DataFrame(rows, columns=["what", "count", "unit"])


def smoke_corpus() -> Path:
    """Folder of the corpus of the embedded sample, built if it isn't there (a second or two)."""
    folder = _cache("genes") / "corpus"
    if not (folder / "corpus.json").is_file():
        defaults = {name: p.default for name, p in declared_parameters("01_extract_genes").items()}
        build_corpus(defaults, folder)
    return folder


def smoke_models() -> list[Path]:
    """Folders of the models of the smoke profile, trained on the sample if they aren't there (some ten seconds)."""
    from dnastudy.models import train_from_config

    folders = []
    for job, parameters in load_profile("smoke").items():
        notebook, _, run = job.partition("/")
        if notebook != "04_train_language_model":
            continue
        folder = _cache("genes", "tokens", "models") / run
        if not (folder / "config.json").is_file():
            train_from_config(language_model(parameters), smoke_corpus(), folder, device="cpu", progress=False)
        folders.append(folder)
    return folders


def _cache(*rooms: str) -> Path:
    """A folder that changes its name with the code of the rooms that fill it, so that nothing stale is read."""
    return PROJECT / "results" / "smoke" / "inputs" / package_hash(*rooms)[:12]


def _paths(value: str) -> list[Path]:
    return [Path(part.strip()).resolve() for part in value.split(",") if part.strip()]


def _dataset(parameters: dict) -> tuple[list[Path], list[Path], Path | None]:
    """Sequence and annotation files of the dataset, paired in the manifest's order, and its repeats if it has them."""
    from dnastudy.genes import fetch
    from dnastudy.genes.manifest import load_manifest

    name = parameters["dataset"]
    files = fetch(name)
    by_kind = {kind: [] for kind in ("sequence", "annotation", "intervals")}
    for member, described in load_manifest(name).members.items():
        if described.kind in by_kind:
            by_kind[described.kind].append(files[member])
    return by_kind["sequence"], by_kind["annotation"], next(iter(by_kind["intervals"]), None)


def _repeats(value: str) -> Path | None:
    """A BED or Parquet file of repeats, given by path or as the name of a manifest with one."""
    from dnastudy.genes import fetch

    if not value or Path(value).exists():
        return Path(value).resolve() if value else None
    return next(iter(fetch(value).values()))
