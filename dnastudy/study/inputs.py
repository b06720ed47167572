"""Turn a notebook's parameters into its inputs: a corpus from whatever was given, and small ones where nothing was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dnastudy.files import InputError, nearest, sha256
from dnastudy.study.parameters import PROJECT, declared_parameters, language_model, listed, load_profile
from dnastudy.study.record import package_hash

if TYPE_CHECKING:
    from filelock import BaseFileLock

CHANGES = {
    "lower_case_read_as_upper": ("lower case, read as upper", "bases"),
    "iupac_read_as_unknown": ("IUPAC codes, read as unknown", "bases"),
    "unknown": ("unknown bases in all", "bases"),
    "crlf_lines": ("line ends of the Windows kind (CRLF)", "lines"),
    "no_final_newline": ("no newline at the end", "files"),
}


def build_corpus(parameters: dict, out: Path):
    """Build the corpus that the parameters of 01_extract_genes describe, in ``out``, and return it.

    Ready sequences come first, then a FASTA with its annotation, then the named dataset, which may hold either.

    Raises
    ------
    InputError
        When only half of a pair was given, or as `extract_genes` and `load_sequences` say.
    """
    from dnastudy.genes import SPLITS, canonical_contig, extract_genes, load_sequences

    if parameters["train_sequences"] and (parameters["fasta"] or parameters["annotation"]):
        raise InputError(
            "train_sequences and fasta are both given: name ready sequences, or a FASTA with its annotation"
        )
    given = {k: paths_of(v) for k, v in parameters.items() if k in ("fasta", "annotation")}
    ready = {name: parameters[f"{name}_sequences"] or None for name in SPLITS}
    if any(ready.values()) and not ready["train"]:
        raise InputError("train_sequences is empty, but other sequences are given: name the file to train from too")
    if len(given["annotation"]) not in {len(given["fasta"]), min(1, len(given["fasta"]))}:
        raise InputError(
            f"fasta and annotation go together, one annotation a FASTA or one for all: found {len(given['fasta'])} and "
            f"{len(given['annotation'])} files"
        )
    named = {name: listed(parameters[name]) for name in ("train_contigs", "test_contigs")}
    repeats = None
    if not ready["train"] and not given["fasta"]:
        contigs = named["train_contigs"] and named["train_contigs"] + named["test_contigs"]
        ready, given, repeats = _dataset(parameters["dataset"], {canonical_contig(name) for name in contigs})
    rules = {name: parameters[name] for name in ("split", "family_method", "family_share", "allow_duplicates", "seed")}
    if ready.get("train"):
        if any(named.values()):
            raise InputError("train_contigs or test_contigs names contigs, but ready sequences lie on none; empty both")
        shares = {name: parameters[name] for name in ("validation_share", "test_share")}
        return load_sequences(out, **ready, **shares, **rules)
    biotypes = listed(parameters["biotypes"])
    return extract_genes(
        **given,
        out=out,
        biotypes=None if biotypes in ([], ["all"]) else biotypes,
        min_length=parameters["min_length"],
        max_length=parameters["max_length"] or None,
        max_n=parameters["max_n"],
        **{name: names or None for name, names in named.items()},
        validation=parameters["validation_share"],
        test=parameters["test_share"],
        **rules,
        repeats=member_of(parameters["repeats"], "intervals") if parameters["repeats"] else repeats,
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
    rows.append(("contigs without an annotated gene", len(contigs) - len(annotated(corpus)), "contigs"))
    return pd.DataFrame(rows, columns=["what", "count", "unit"])


def annotated(corpus) -> list[str]:
    """The contigs of a corpus that a gene of its annotation lies on; none where it has no contigs."""
    return [name for name, its in corpus.info.get("contigs", {}).items() if its["name_in_annotation"]]


def chromosomes(run, *, halves: bool = True):
    """The contigs that a run learns from, and those that it holds out.

    They come from the user's FASTA files, else from the named dataset, of which no more than the contigs asked for
    is fetched. Of a single one the second half is held out, if ``halves``.

    Returns
    -------
    dict of `dnastudy.genes.contigs.Contigs`: ``train`` and ``test``.

    Raises
    ------
    InputError
        As `dnastudy.genes.read_contigs` says.
    """
    from dnastudy.genes import read_contigs

    named = {split: run.listed(f"{split}_contigs") for split in ("train", "test")}
    paths, track = locate_sequences(run)
    track = member_of(run.repeats, "intervals") if run.repeats else track
    found = read_contigs(paths, **named, repeats=track, halves=halves)
    run.data["corpus"] = {"contigs": {name: its for part in found.values() for name, its in part.contigs.items()}}
    if track:
        run.data["repeats"] = {"file": track.name, "sha256": sha256(track)}
    for split, part in found.items():
        run.note(f"{'learnt from' if split == 'train' else 'held out'}: {', '.join(part.contigs)}")
    return found


def locate_sequences(run) -> tuple[list[Path], Path | None]:
    """Where the contigs stand that a run names: the user's FASTA files, else those of its dataset, with its repeats."""
    from dnastudy.genes.contigs import name_contigs

    if run.fasta:
        return paths_of(run.fasta), None
    named = name_contigs(run.listed("train_contigs"), run.listed("test_contigs"))
    return _sequences(run.dataset, {*named["train"], *named["test"]} if all(named.values()) else set())


def build_pairs(run):
    """Real and mutated sequences for 08_detect_mutations: the user's, or stretches of test genes with edits.

    Returns
    -------
    DataFrame of `dnastudy.tasks.make_pairs` with the columns ``group``, which bootstraps resample: the merged locus
    of a stretch, or the id of a user's pair; and ``places``: the corpus coordinates of a stretch's substituted bases,
    between commas, missing for all other pairs.
    """
    import pandas as pd

    from dnastudy.tasks import make_pairs, read_pairs
    from dnastudy.tasks.likelihood import known_bases
    from dnastudy.tasks.pairs import substituted_places

    if run.pairs:
        pairs = read_pairs(run.pairs)
        letters = pd.concat([pairs["real"], pairs["mutated"]])
        if unknown := letters.str.len().sum() - known_bases(letters).sum():
            run.note(f"{unknown:,} letters of the pairs aren't A, C, G or T; they are read as unknown and not scored")
        return pairs.assign(group=pairs["id"], places=None)
    stretches = _stretches(run)
    run.note_fewer("genes", len(stretches))
    design = [
        (kind, edits)
        for kind in run.listed("kinds")
        for edits in run.listed("edits" if kind == "substitution" else "indel_edits", int)
    ]
    if not design:
        raise InputError("no pair to make: name one or more kinds, and a number of edits for each")
    most = max(edits for _, edits in design)
    enough = known_bases(stretches["real"]) > most
    if 0 < enough.sum() < len(enough):
        run.note(f"{(~enough).sum()} test genes hold no more than {most} known bases, too few to edit: left out")
        stretches = stretches[enough].reset_index(drop=True)
    parts = [
        make_pairs(stretches["real"], edits=edits, kinds=[kind], seed=run.seed + number, ids=stretches["id"]).assign(
            group=stretches["locus"], places=lambda pairs: substituted_places(pairs, stretches["start"])
        )
        for number, (kind, edits) in enumerate(design)
    ]
    return pd.concat(parts, ignore_index=True)


def build_published_pairs(run):
    """Pairs of the published protocol: whole test genes where none is longer than the paper's, else stretches.

    Where there are none, a note says why.

    Returns
    -------
    DataFrame of `dnastudy.tasks.make_published_pairs` with the columns ``most`` (edits) and ``group``; empty when
    none are asked for, or the user's own pairs are judged.
    """
    import pandas as pd

    from dnastudy.genes import whole_genes
    from dnastudy.tasks import make_published_pairs
    from dnastudy.tasks.pairs import LONGEST_GENE

    most_edits = run.listed("published_most", int)
    reasons = {"published_draws is 0": run.published_draws < 1, "published_most is empty": not most_edits}
    if _left_out(run, "the published protocol", reasons):
        return pd.DataFrame()
    chosen = _named(run.corpus, whole_genes(run.corpus, "test"))
    if chosen["real"].str.len().max() > LONGEST_GENE:
        chosen = _stretches(run)
        run.note(f"test genes are longer than {LONGEST_GENE:,} bases: the published protocol is run on the stretches")
    locus = dict(zip(chosen["id"], chosen["locus"], strict=True))
    parts = [
        make_published_pairs(
            chosen["real"], most=most, draws=run.published_draws, seed=run.seed + most, ids=chosen["id"]
        ).assign(most=most, group=lambda pairs: pairs["id"].map(locus))
        for most in most_edits
    ]
    return pd.concat(parts, ignore_index=True)


def build_variant_pairs(run):
    """Known variants in test genes, reference beside alternative allele, with controls; notes say what is left out.

    Returns
    -------
    DataFrame of `dnastudy.tasks.make_variant_pairs` with the column ``group`` (locus); empty when none are asked
    for or none lies in a test gene, or the user's own pairs are judged.

    Raises
    ------
    InputError
        When most genes don't have the reference allele: the variants are of another assembly.
    """
    import pandas as pd

    from dnastudy.genes import place_variants, read_variants
    from dnastudy.tasks import make_variant_pairs

    section = "variants that people carry"
    test = set(run.corpus.genes["contig"].iloc[run.corpus.indices("test")])
    reasons = {"variants is 0": run.variants < 1, "ready sequences have no place on a contig": test == {""}}
    if _left_out(run, section, reasons):
        return pd.DataFrame()
    path = member_of(run.variants_dataset, "variants")
    variants = read_variants(path)
    elsewhere = ~variants["contig"].isin(test)
    unmatched = (
        f"{path.name} has variants on {some_of(variants['contig'])}, and the test genes are on {some_of(test)}; "
        "name contigs alike (22 and chr22 are the same), or give another file as variants_dataset"
    )
    reasons = {f"{path.name} holds no single-base variant": variants.empty, unmatched: elsewhere.all()}
    if _left_out(run, section, reasons):
        return pd.DataFrame()
    placed = place_variants(run.corpus, variants[~elsewhere])
    agreeing = placed[placed["agrees"]]
    other = list(placed["id"][~placed["agrees"]])
    run.data["variants"] = {
        "file": path.name,
        "sha256": sha256(path),
        "on_other_contigs": int(elsewhere.sum()),
        "in_test_genes": len(placed),
        "not_the_reference_allele": other,
    }
    if 2 * len(other) > len(placed):
        raise InputError(
            f"{path}: at {len(other):,} of {len(placed):,} variants in test genes the corpus doesn't have the "
            "reference allele; check that both are of the same assembly, or set variants to 0"
        )
    run.note(
        f"{path.name}: {len(variants):,} single-base variants, {elsewhere.sum():,} of which on contigs without test "
        f"genes; {len(placed):,} in test genes, {len(other):,} of which left out since the gene doesn't have the "
        f"reference allele; {min(run.variants, len(agreeing)):,} scored"
    )
    chosen = agreeing.sample(min(run.variants, len(agreeing)), random_state=run.seed).sort_index()
    return make_variant_pairs(run.corpus, chosen, length=run.length, seed=run.seed).rename(columns={"locus": "group"})


def smoke_corpus() -> Path:
    """Folder of the corpus of the embedded sample, built if it isn't there (a second or two)."""
    defaults = {name: p.default for name, p in declared_parameters("01_extract_genes").items()}
    folder = _cache(defaults, "files.py", "genes", "study/inputs.py") / "corpus"
    with _one_at_a_time(folder):
        if not (folder / "corpus.json").is_file():
            build_corpus(defaults, folder)
    return folder


def smoke_models(kinds: Sequence[str]) -> list[Path]:
    """Folders of the smoke profile's models of some kinds, trained on the sample if they aren't there (ten seconds)."""
    from dnastudy.models import train_from_config

    folders = []
    for job, parameters in load_profile("smoke").items():
        notebook, _, run = job.partition("/")
        if notebook != "04_train_language_model" or parameters["model"] not in kinds:
            continue
        code = ("files.py", "genes", "tokens", "models", "study/inputs.py", "study/parameters.py")
        folder = _cache(parameters, *code) / run
        with _one_at_a_time(folder):
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


def _one_at_a_time(folder: Path) -> BaseFileLock:
    """A lock for the time that a folder takes to fill: of two notebooks that run at once, one waits for the other."""
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{folder}.lock")


def paths_of(value: str) -> list[Path]:
    """The files that a parameter names, between commas."""
    return [Path(part).resolve() for part in listed(value)]


def _dataset(name: str, contigs: set[str]) -> tuple[dict[str, Path], dict[str, list[Path]], Path | None]:
    """What a dataset holds: tables by split, sequence (see `_sequences`) with its annotation, repeats."""
    from dnastudy.genes import SPLITS, fetch
    from dnastudy.genes.manifest import load_manifest

    members = load_manifest(name).members
    tables = {Path(member).stem: member for member, its in members.items() if its.kind == "table"}
    tables = {split: tables[split] for split in SPLITS if split in tables}
    sequence, annotation = ([m for m, its in members.items() if its.kind == k] for k in ("sequence", "annotation"))
    if "train" not in tables and not (sequence and annotation):
        raise InputError(
            f"dataset={name!r}: expected sequence and annotation, or tables of ready sequences named train, validation "
            f"and test; found {', '.join(members)}. Name another dataset"
        )
    fasta, track = _sequences(name, contigs) if sequence else ([], None)
    if len(annotation) == len(sequence):  # one a FASTA, in the manifest's order
        taken = {path.name for path in fasta}
        annotation = [its for member, its in zip(sequence, annotation, strict=True) if member in taken]
    files = fetch(name, members=[*tables.values(), *annotation])
    ready = {split: files[member] for split, member in tables.items()}
    return ready, {"fasta": fasta, "annotation": [files[member] for member in annotation]}, track


def _sequences(name: str, contigs: set[str]) -> tuple[list[Path], Path | None]:
    """The sequence of a dataset, or the files of it that hold some contigs, and its repeats if it has any."""
    from dnastudy.genes import fetch
    from dnastudy.genes.manifest import load_manifest

    manifest = load_manifest(name)
    held = manifest.contigs
    if not held:
        raise InputError(f"dataset={name!r}: holds no sequence; name another, or a FASTA file of your own")
    for contig in sorted(contigs - held.keys()):
        raise InputError(f"dataset={name!r}: no contig {contig!r} in it; {nearest(contig, held)}")
    sequence = list(dict.fromkeys(member for contig, member in held.items() if contig in (contigs or held)))
    track = [member for member, its in manifest.members.items() if its.kind == "intervals"][:1]
    files = fetch(name, members=[*sequence, *track])
    return [files[member] for member in sequence], files[track[0]] if track else None


def _stretches(run):
    """Evenly spread stretches of test genes: the windows chosen, with ``id`` and ``real`` (letters)."""
    from dnastudy.genes import windows

    return _named(run.corpus, windows(run.corpus, "test", length=run.length, count=run.genes, seed=run.seed))


def _named(corpus, chosen):
    """Windows with the letters in them (``real``) and a name each (``id``): gene and first base, 1-based."""
    ids = corpus.genes["id"].to_numpy()[chosen["gene"]]
    first = chosen["start"].to_numpy() - corpus.offsets[chosen["gene"]] + 1
    return chosen.assign(id=[f"{i}:{at}" for i, at in zip(ids, first, strict=True)], real=corpus.cut(chosen))


def _left_out(run, section: str, reasons: dict[str, bool]) -> bool:
    """Note the first reason that holds for leaving a section of 08_detect_mutations out, if one does."""
    reasons = {"your own pairs are judged": bool(run.pairs)} | reasons
    reason = next((reason for reason, holds in reasons.items() if holds), None)
    if reason:
        run.note(f"{section}: left out, since {reason}")
    return reason is not None


def some_of(names: Iterable[str]) -> str:
    """The first few of some names, for a note."""
    names = sorted(set(names))
    return ", ".join(names[:5] + ["..."] * (len(names) > 5))


def member_of(value: str, kind: str) -> Path:
    """A user's own file, or the first file of a kind in the named dataset."""
    from dnastudy.genes import fetch
    from dnastudy.genes.manifest import load_manifest

    if Path(value).is_file():
        return Path(value).resolve()
    name = next((name for name, member in load_manifest(value).members.items() if member.kind == kind), None)
    if name is None:
        raise InputError(f"{value}: the dataset holds no {kind}; name another, or a file of your own")
    return fetch(value, members=[name])[name]
