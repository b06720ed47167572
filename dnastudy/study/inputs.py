"""Turn a notebook's parameters into its inputs: a corpus from whatever was given, and small ones where nothing was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from dnastudy.files import InputError, sha256
from dnastudy.study.parameters import PROJECT, declared_parameters, language_model, load_profile
from dnastudy.study.record import package_hash

CHANGES = {
    "lower_case_read_as_upper": ("lower case, read as upper", "bases"),
    "iupac_read_as_unknown": ("IUPAC codes, read as unknown", "bases"),
    "unknown": ("unknown bases in all", "bases"),
    "crlf_lines": ("line ends of the Windows kind (CRLF)", "lines"),
    "no_final_newline": ("no newline at the end", "files"),
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

    if parameters["train_sequences"] and (parameters["fasta"] or parameters["annotation"]):
        raise InputError(
            "train_sequences and fasta are both given: name ready sequences, or a FASTA with its annotation"
        )
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
    rows += [(what, sum(each[field] for each in letters), unit) for field, (what, unit) in CHANGES.items()]
    aliases = [{contig["name"], contig["name_in_annotation"] or name, name} for name, contig in contigs.items()]
    renamed = sum(len(names) > 1 for names in aliases)
    rows.append(("contigs under another name", renamed, "contigs"))
    return pd.DataFrame(rows, columns=["what", "count", "unit"])


def build_pairs(run):
    """Real and mutated sequences for 08_detect_mutations: the user's, or stretches of test genes with edits.

    Returns
    -------
    DataFrame of `dnastudy.tasks.make_pairs` with a column ``group``, which bootstraps resample: the merged locus of
    a stretch, or the id of a user's pair.
    """
    import pandas as pd

    from dnastudy.genes import windows
    from dnastudy.tasks import make_pairs, read_pairs

    if run.pairs:
        return read_pairs(run.pairs).assign(group=lambda pairs: pairs["id"])
    corpus = run.corpus
    stretches = windows(corpus, "test", length=run.length, count=run.genes, seed=run.seed)
    run.note_fewer("genes", len(stretches))
    ids = corpus.genes["id"].to_numpy()[stretches["gene"]]
    starts = stretches["start"].to_numpy() - corpus.offsets[stretches["gene"]] + 1
    names = [f"{name}:{start}" for name, start in zip(ids, starts, strict=True)]
    real = corpus.cut(stretches)
    design = [(kind, edits) for kind in run.listed("kinds") for edits in run.listed("edits", int)]
    parts = [
        make_pairs(real, edits=edits, kinds=[kind], seed=run.seed + place, ids=names).assign(
            group=stretches["locus"].to_numpy()
        )
        for place, (kind, edits) in enumerate(design)
    ]
    return pd.concat(parts, ignore_index=True)


def smoke_corpus() -> Path:
    """Folder of the corpus of the embedded sample, built if it isn't there (a second or two)."""
    defaults = {name: p.default for name, p in declared_parameters("01_extract_genes").items()}
    folder = _cache(defaults, "files.py", "genes", "study/inputs.py") / "corpus"
    if not (folder / "corpus.json").is_file():
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
        code = ("files.py", "genes", "tokens", "models", "study/inputs.py", "study/parameters.py")
        folder = _cache(parameters, *code) / run
        if not (folder / "config.json").is_file():
            train_from_config(language_model(parameters), smoke_corpus(), folder, device="cpu", progress=False)
        folders.append(folder)
    return folders


def _cache(parameters: dict, *code: str) -> Path:
    """A folder whose name changes with what fills it (parameters, code, sample), so that nothing stale is read."""
    from dnastudy.genes.manifest import MANIFESTS

    state = [parameters, package_hash(*code), sha256(MANIFESTS / "sample.yaml")]
    name = hashlib.sha256(json.dumps(state).encode()).hexdigest()[:12]
    return PROJECT / "results" / "smoke" / "inputs" / name


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
