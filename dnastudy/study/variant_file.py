"""Score the variants of a VCF: a table, a list of those that can't be scored, and a record of what both rest on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dnastudy.files import InputError, atomic_path, sha256, write_json
from dnastudy.genes import check_assembly, check_variants, fetch, load_manifest, read_genome, read_variants
from dnastudy.genes.contigs import names_in
from dnastudy.models import load
from dnastudy.models.store import digest_of
from dnastudy.study.contamination import learnt_from, warnings
from dnastudy.study.record import FORMAT_TIME, code_identity, machine
from dnastudy.tasks import score_variants


def score_vcf(
    model: str,
    vcf: str | Path,
    out: str | Path,
    *,
    fasta: Sequence[str | Path] | None = None,
    dataset: str | None = None,
    context: int = 512,
    device: str | None = None,
    overwrite: bool = False,
) -> dict:
    """Score each alternative allele of a VCF with a model, after comparing REF with the sequence.

    What stands at ``out`` is replaced at the end, table, list and record together. Where there is nothing to score,
    the list alone is written, unless it would stand beside the table of another run.
    """
    out, vcf = Path(out), Path(vcf)
    if out.exists() and not overwrite:
        raise InputError(f"{out}: stands there already; give another file, or overwrite it (--overwrite)")
    if context < 0:
        raise InputError(f"context {context}: expected 0 or more bases on each side of a variant")
    started = time.monotonic()
    scorer = load(model, device=device)
    variants = read_variants(vcf, every_allele=True)
    if variants.empty:
        raise InputError(f"{vcf}: no variant lines; expected contig, position, id, ref, alt between tabs, a line each")
    files = fasta or _fetch(dataset, set(variants["contig"]))
    found = read_genome(files, set(variants["contig"]))
    genome = {name: codes for name, (codes, _) in found.items()}
    agreeing, refused = check_variants(variants, genome)
    _check_scorable(vcf, out, agreeing, refused, list(found) or names_in(files))
    states = learnt_from(model, {contig: found[contig][1] for contig in agreeing["contig"].value_counts().index})
    scored = score_variants(scorer, genome, agreeing, context=context, progress=True)
    name, on = Path(model).resolve().name, scored["contig"].value_counts()
    warned = [
        f"{line}; {sum(on[contig] for contig in its):,} of {len(scored):,} alleles scored lie there"
        for line, its in warnings(name, states).items()
    ]
    record = {
        "model": {"name": name, "kind": scorer.kind, "digest": digest_of(model)},
        "vcf": {"file": vcf.name, "sha256": sha256(vcf)},
        "contigs": {name: {"length": len(codes), "m5": its} for name, (codes, its) in found.items()},
        "learnt_from": states,
        "warnings": warned,
        "context": context,
        "counts": {"alleles": len(variants), "scored": len(scored), "refused": dict(refused["reason"].value_counts())},
        "code": code_identity(),
        "machine": machine(),
        "finished": time.strftime(FORMAT_TIME, time.gmtime()),
        "seconds": round(time.monotonic() - started, 2),
    }
    record_file = out.with_name(f"{out.name}.json")
    # All three are whole before any takes its name.
    with atomic_path(out) as table, atomic_path(refused_list(out)) as refusals, atomic_path(record_file) as about:
        _write(scored, table)
        _write(refused.assign(position=refused["position"] + 1), refusals)
        write_json(about, record)
    return record


def refused_list(out: Path) -> Path:
    """The list of refused alleles of a table: scores.refused.tsv of scores.tsv, scores.txt.refused of scores.txt."""
    own = f"{out.stem}.refused.tsv" if out.suffix == ".tsv" else f"{out.name}.refused"
    return out.with_name(own)


def _check_scorable(vcf: Path, out: Path, agreeing: pd.DataFrame, refused: pd.DataFrame, held: list[str]) -> None:
    """Refuse variants of another assembly or of no contig of the sequence; list them, if nothing stands at ``out``."""
    listed = None if out.exists() else refused_list(out)
    if listed:
        with atomic_path(listed) as partial:
            _write(refused.assign(position=refused["position"] + 1), partial)
    check_assembly(agreeing, refused, vcf, listed)
    if agreeing.empty:
        reasons = ", ".join(f"{reason} ({number:,})" for reason, number in refused["reason"].value_counts().items())
        contigs = ", ".join(sorted(set(refused["contig"]))[:5])
        raise InputError(
            f"{vcf}: no variant to score: {reasons}; expected some on contigs of the sequence "
            f"({', '.join(held[:5])}), found {contigs}"
        )


def _fetch(dataset: str, contigs: set[str]) -> list[Path]:
    """The files of a dataset that hold any of the contigs."""
    held = load_manifest(dataset).contigs
    if not contigs & held.keys():
        raise InputError(
            f"dataset={dataset!r}: none of {', '.join(sorted(contigs)[:5])} in it; expected a contig of "
            f"{', '.join(sorted(held)[:5])}. Name another dataset, or a FASTA file"
        )
    return list(fetch(dataset, members=sorted({held[name] for name in contigs & held.keys()})).values())


def _write(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, sep="\t", index=False, float_format="%.6f")
