"""Score the variants of a VCF: a table, a list of those that can't be scored, and a record of what both rest on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dnastudy.files import InputError, atomic_path, sha256, write_json
from dnastudy.study.inputs import learnt_from, warnings
from dnastudy.study.record import FORMAT_TIME, code_identity, machine

if TYPE_CHECKING:
    import pandas as pd


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
    progress: bool = False,
) -> dict:
    """Score each alternative allele of a VCF with a model, after comparing REF with the sequence."""
    from dnastudy.genes import check_assembly, check_variants, read_genome, read_variants
    from dnastudy.genes.contigs import names_in
    from dnastudy.models import load
    from dnastudy.models.store import digest_of
    from dnastudy.tasks import score_variants

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
    contigs = set(variants["contig"])
    files = fasta or _fetch(dataset, contigs)
    found = read_genome(files, contigs)
    genome = {name: codes for name, (codes, _) in found.items()}
    agreeing, refused = check_variants(variants, genome)
    listed, beside = out.with_suffix(".refused.tsv"), out.with_name(f"{out.name}.json")
    for stale in (out, beside):  # the list is not of that run
        stale.unlink(missing_ok=True)
    _write(refused.assign(position=refused["position"] + 1), listed)
    check_assembly(agreeing, refused, vcf, listed)
    reasons = refused["reason"].value_counts().to_dict()
    if agreeing.empty:
        told = ", ".join(f"{reason} ({number:,})" for reason, number in reasons.items())
        held = ", ".join((list(found) or names_in(files))[:5])
        raise InputError(
            f"{vcf}: no variant to score: {told}; expected some on contigs of the sequence ({held}), found "
            f"{', '.join(sorted(contigs)[:5])}"
        )
    name, on = Path(model).resolve().name, agreeing["contig"].value_counts()
    states = learnt_from(model, {contig: found[contig][1] for contig in on.index})
    scored = score_variants(scorer, genome, agreeing, context=context, progress=progress)
    record = {
        "model": {"name": name, "kind": scorer.kind, "digest": digest_of(model)},
        "vcf": {"file": vcf.name, "sha256": sha256(vcf)},
        "contigs": {name: {"length": len(codes), "m5": its} for name, (codes, its) in found.items()},
        "learnt_from": states,
        "warnings": [
            f"{line}; {sum(on[contig] for contig in its):,} of {len(scored):,} alleles scored lie there"
            for line, its in warnings(name, states).items()
        ],
        "context": context,
        "counts": {"alleles": len(variants), "scored": len(scored), "refused": reasons},
        "code": code_identity(),
        "machine": machine(),
        "finished": time.strftime(FORMAT_TIME, time.gmtime()),
        "seconds": round(time.monotonic() - started, 2),
    }
    _write(scored, out)
    write_json(beside, record)
    return record


def _fetch(dataset: str, contigs: set[str]) -> list[Path]:
    """The files of a dataset that hold any of the contigs."""
    from dnastudy.genes import fetch, load_manifest

    held = load_manifest(dataset).contigs
    if not contigs & held.keys():
        raise InputError(
            f"dataset={dataset!r}: none of {', '.join(sorted(contigs)[:5])} in it; expected a contig of "
            f"{', '.join(sorted(held)[:5])}. Name another dataset, or a FASTA file"
        )
    return list(fetch(dataset, members=sorted({held[name] for name in contigs & held.keys()})).values())


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic_path(path) as partial:
        table.to_csv(partial, sep="\t", index=False, float_format="%.6f")
