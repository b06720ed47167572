"""Turn the parameters of 10_read_the_grammar into a model, windows with what lies in them, and sites of two motifs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dnastudy.files import InputError
from dnastudy.genes import intervals
from dnastudy.genes.codes import UNKNOWN, reverse_complement
from dnastudy.genes.contigs import Contigs
from dnastudy.genes.intervals import read_track
from dnastudy.genes.motifs import DINUCLEOTIDES, FEWEST_SITES, WIDTHS, Motif, log_odds, scan
from dnastudy.genes.repeat_classes import classification_error, classify_repeats, read_rmsk
from dnastudy.genes.tracks import read_regions
from dnastudy.models.bert import Bert
from dnastudy.models.pooled import count_in_pieces, embed
from dnastudy.study.inputs import locate_tracks, note_silent, read_annotated, read_run_tracks, refuse_unannotated
from dnastudy.study.metrics import judge, paired
from dnastudy.study.model_inputs import load_models, model_folders
from dnastudy.tasks import probe_windows
from dnastudy.tasks.composition import kmer_shares
from dnastudy.tasks.embeddings import principal_components
from dnastudy.tasks.floors import probe
from dnastudy.tasks.next_kmer import blocks

MOTIF_BITS = 10.0  # the least score of a CTCF site
DRAWN = ("CpG islands", "TSS")  # so rare that windows are drawn about them
FEWEST_WINDOWS = 20  # windows of each class that a probe is judged on, and learns from
COMPOSITION = ("GC", "dinucleotides", "4-mers")  # what probes of composition alone see


class Marks(NamedTuple):
    """What is marked on contigs in a row, in the coordinates of `Contigs.codes`, and what it takes to read it."""

    intervals: dict[str, pd.DataFrame]
    silent: dict[str, pd.DataFrame]
    own: dict[str, pd.DataFrame]
    consensus: dict[str, np.ndarray]
    motif: Motif | None


class Sites(NamedTuple):
    """Sites of one motif in held-out sequence, each read on its own strand."""

    counts: np.ndarray
    codes: np.ndarray
    names: list[str]

    @property
    def core(self) -> tuple[int, int]:
        """Where the motif begins and ends."""
        flank = (self.codes.shape[1] - len(self.counts)) // 2
        return flank, flank + len(self.counts)


def read_bert(run) -> tuple[str, Path, Bert]:
    """The first BERT among the run's models: its name, its folder (or ``hf:`` name) and itself."""
    folders = model_folders(run)
    models = load_models(run, folders, causal=False)
    for name, model in models.items():
        if model.kind == "bert":
            return name, folders[name], model
    raise InputError(
        f"models={run.parameters['models']!r}: {', '.join(models) or 'none'}, and no bert among them; this chapter "
        "reads a masked model: name a folder that 04 made of one, or hf:NAME"
    )


def read_marks(run, contigs: dict[str, Contigs]) -> dict[str, Marks]:
    """Read annotation, repeats and regulatory tracks of the contigs, and the user's regions."""
    genome = {name: codes for part in contigs.values() for name, codes in _by_contig(part).items()}
    annotations, repeats = locate_tracks(run)
    tables, consensus, motif = {}, {}, None
    if annotations:
        its = read_annotated(run, annotations, genome)
        refuse_unannotated(run, contigs["test"].contigs, its.genes["contig"])
        tables["any gene"], tables["genes"] = its.genes, its.genes[its.genes["type"] == "protein_coding"]
        for name, starts in (("TSS", its.starts), ("any start", its.known_starts)):
            tables[name] = starts.assign(start=starts["position"], end=starts["position"] + 1)
        borders = its.sites.query("kind == 'donor'")
        tables["donors"] = borders.assign(start=borders["border"], end=borders["border"])
    if run.rmsk:
        tables["repeats"] = read_rmsk(run.rmsk, genome)
    elif repeats:
        tables["repeats"] = read_track(repeats, genome)
    if tracks := read_run_tracks(run, genome):
        tables |= {"CTCF": tracks.ctcf, "CpG islands": tracks.cpg}
        consensus, motif = tracks.consensus, tracks.motif
    silent = {}
    for name in (each for each in probe_windows.TOLD_BY if each in tables):
        lacking = note_silent(run, genome, tables[name]["contig"], name)
        silent[name] = pd.DataFrame({"contig": lacking, "start": 0, "end": [len(genome[each]) for each in lacking]})
    paths = run.listed("regions", Path)
    if len({path.name for path in paths}) < len(paths):
        raise InputError(f"regions={run.regions!r}: two files have the same name; rename one")
    own = {path.name: read_regions(path, genome) for path in paths}
    own = {name: table.rename(columns={"name": "klass"}) for name, table in own.items()}
    return {
        split: Marks(*(_in_a_row(its, part) for its in (tables, silent, own)), consensus, motif)
        for split, part in contigs.items()
    }


def draw_regions(run, contigs: dict[str, Contigs], marks: dict[str, Marks]) -> dict[str, pd.DataFrame]:
    """Windows of the contigs and what lies in them (see `probe_windows`), by split; notes say what is missing.

    Repeats that a window has a base of get a class from the consensus sequences, where they have none.
    """
    found = {}
    for split, part in contigs.items():
        its = marks[split].intervals
        places = {name: its[name]["start"].to_numpy() for name in DRAWN if name in its}
        drawn = probe_windows.draw_regions(
            part.codes, count=run.windows, length=run.length, places=places, most=run.about, seed=run.seed
        )
        tracks = {name: its[name] for name in ("genes", "any gene", "any start", *DRAWN) if name in its}
        near = its["repeats"][intervals.touched(its["repeats"], drawn)] if "repeats" in its else pd.DataFrame()
        if "klass" in near:
            tracks["repeats"] = near
        elif len(near) and marks[split].consensus:
            row = near.assign(contig="row")
            tracks["repeats"] = classify_repeats({"row": part.codes}, row, marks[split].consensus)
        found[split] = probe_windows.describe(drawn, part.codes, tracks, marks[split].silent)
    if missing := [name for name in ("genes", *DRAWN, "repeats") if name not in tracks]:
        run.note(f"nothing to tell {', '.join(missing)} by: what they are asked about is left out")
    return found


def class_errors(run, marks: Marks) -> pd.DataFrame:
    """How often the classes of repeats are right, by `dnastudy.genes.repeat_classes.classification_error`."""
    repeats = marks.intervals.get("repeats")
    if repeats is None or repeats.empty or "klass" in repeats or not marks.consensus:
        return pd.DataFrame()
    lengths = (repeats["end"] - repeats["start"]).to_numpy()
    return classification_error(marks.consensus, lengths, copies=run.planted, seed=run.seed)


def cut(codes: np.ndarray, drawn: pd.DataFrame) -> list[np.ndarray]:
    """The bases of windows (start, end): uint8, [bases] each."""
    return [codes[start:end] for start, end in zip(drawn["start"], drawn["end"], strict=True)]


def note_pieces(run, model: Bert, contigs: dict[str, Contigs], drawn: dict[str, pd.DataFrame]) -> None:
    """Book how many windows are longer than the model's context, and note it where any are."""
    windows = [window for split, part in contigs.items() for window in cut(part.codes, drawn[split])]
    found = run.data["longer than the context"] = count_in_pieces(model, windows)
    if found["in_pieces"]:
        run.note(
            f"{found['in_pieces']:,} of {len(windows):,} windows have more than the {found['seen']} tokens that the "
            "model takes: probes see them in pieces, self-similarity one piece from about their middle; a smaller "
            "length mends it"
        )


def gather_claims(drawn: dict[str, pd.DataFrame], marks: dict[str, Marks]) -> dict[str, dict[str, probe_windows.Claim]]:
    """What windows of all splits can be asked, by split: `probe_windows.claims`, and the user's regions."""
    asked = {split: probe_windows.claims(table) for split, table in drawn.items()}
    both = set.intersection(*(set(its) for its in asked.values()))
    found = {split: {name: claim for name, claim in its.items() if name in both} for split, its in asked.items()}
    for name in marks["train"].own:
        classes = tuple(sorted({label for its in marks.values() for label in its.own[name]["klass"]}))
        for split, table in drawn.items():
            found[split][name] = probe_windows.claim_of(table, marks[split].own[name], classes)
    return found


def find_sites(run, model: Bert, contigs: dict[str, Contigs], marks: dict[str, Marks]) -> dict[str, Sites]:
    """Sites of CTCF and splice donors on the held-out contigs; a motif with none is left out, and a note says so.

    CTCF's are the best match in each bound interval, of at least 10 bits; donors have the usual GT, and their motif
    is counted on the contigs to learn from. Flanks are as long as asked for, or as the model's context takes.
    """
    part, its, motif = contigs["test"], marks["test"].intervals, marks["test"].motif
    found = {}
    if motif is not None:
        found["CTCF"] = motif, _motif_matches(part.codes, its["CTCF"], log_odds(motif))
    if "donors" in its:
        motif = _donor_motif(contigs["train"].codes, marks["train"].intervals["donors"])
        if motif is not None:
            found["splice donor"] = motif, _donors(part.codes, its["donors"], log_odds(motif))
    sites = {}
    for name, (motif, places) in found.items():
        flank = max(0, min(run.flank, (model.context - 2 - len(motif.counts)) // 2))
        places = places[(places["start"] >= flank) & (places["end"] + flank <= len(part.codes))]
        codes = _cut(part.codes, places, flank)
        known = (codes < UNKNOWN).all(axis=1)
        if not known.any():
            continue
        best = int(places["score"].where(known).argmax())
        others = np.random.default_rng(run.seed).permutation(np.flatnonzero(known))
        chosen = [best, *others[others != best][: run.sites - 1]]
        names = [_name(part, row, its.get("any gene")) for row in places.iloc[chosen].itertuples()]
        sites[name] = Sites(motif.counts, codes[chosen], names)
    for name in [name for name in ("CTCF", "splice donor") if name not in sites]:
        run.note(f"{name}: left out, since no site of it is known in the held-out contigs, or too few in the others")
    return sites


def _by_contig(part: Contigs) -> dict[str, np.ndarray]:
    """Base codes of each contig, by name."""
    return {name: part.codes[start : start + part.contigs[name]["length"]] for name, start in _starts(part).items()}


def _starts(part: Contigs) -> dict[str, int]:
    """Where each contig begins in the row, an unknown base between two."""
    lengths = [its["length"] + 1 for its in part.contigs.values()]
    return dict(zip(part.contigs, np.cumsum([0, *lengths[:-1]]).tolist(), strict=True))


def _in_a_row(tables: dict[str, pd.DataFrame], part: Contigs) -> dict[str, pd.DataFrame]:
    """Intervals of contigs in the coordinates of the row, those on other contigs left out."""
    starts, found = _starts(part), {}
    for name, table in tables.items():
        table = table[table["contig"].isin(starts)]
        shift = table["contig"].map(starts).astype(np.int64)
        moved = table.assign(start=table["start"] + shift, end=table["end"] + shift)
        found[name] = moved.sort_values(["start", "end"], kind="stable", ignore_index=True)
    return found


def _motif_matches(codes: np.ndarray, intervals: pd.DataFrame, weights: np.ndarray) -> pd.DataFrame:
    """The best match in each interval that has a good one: start, end, strand, score (bits)."""
    rows = []
    for start, end in zip(intervals["start"], intervals["end"], strict=True):
        strands = dict(zip("+-", scan(codes[start:end], weights), strict=True))
        best = max(strands, key=lambda strand: strands[strand].max(initial=-np.inf))
        if strands[best].max(initial=-np.inf) >= MOTIF_BITS:
            rows.append((start + int(strands[best].argmax()), best, float(strands[best].max())))
    table = pd.DataFrame(rows, columns=["start", "strand", "score"]).drop_duplicates("start")
    return table.assign(end=table["start"] + len(weights))


def _donors(codes: np.ndarray, borders: pd.DataFrame, weights: np.ndarray) -> pd.DataFrame:
    """The bases about each border that a donor's motif takes in: start, end, strand, score (bits)."""
    places = _donor_places(codes, borders)
    return places.assign(score=[float(scan(site, weights)[0][0]) for site in _cut(codes, places, 0)])


def _donor_motif(codes: np.ndarray, borders: pd.DataFrame) -> Motif | None:
    """Which bases stand about the borders; None where there are too few to count."""
    sites = _cut(codes, _donor_places(codes, borders), 0)
    if len(sites) < FEWEST_SITES:
        return None
    return Motif("donor", "splice donor", (sites[:, :, None] == np.arange(4)).sum(axis=0).astype(np.float64))


def _donor_places(codes: np.ndarray, borders: pd.DataFrame) -> pd.DataFrame:
    """Where donors of the usual GT stand, with as much of the exon and the intron as the motif has."""
    before, after = WIDTHS["donor"]
    start = borders["start"] - np.where(borders["strand"] == "+", before, after)
    places = borders.assign(start=start, end=start + before + after)
    places = places[(start >= 0) & (places["end"] <= len(codes))]
    return places[(_cut(codes, places, 0)[:, before : before + 2] == DINUCLEOTIDES["donor"][1]).all(axis=1)]


def _cut(codes: np.ndarray, places: pd.DataFrame, flank: int) -> np.ndarray:
    """The bases of places (of one length) and their flanks, each on its own strand: uint8, [n, bases]."""
    cuts = [
        codes[start - flank : end + flank] if strand == "+" else reverse_complement(codes[start - flank : end + flank])
        for start, end, strand in zip(places["start"], places["end"], places["strand"], strict=True)
    ]
    return np.stack(cuts) if cuts else np.empty((0, sum(WIDTHS["donor"])), dtype=np.uint8)


def _name(part: Contigs, row, genes: pd.DataFrame | None) -> str:
    """Contig, first and last base (1-based) and strand of a place in the row, and the genes that it lies in."""
    contig, begin = max(_starts(part).items(), key=lambda item: (item[1] <= row.start, item[1]))
    name = f"{contig}:{row.start - begin + 1:,}-{row.end - begin:,} ({row.strand})"
    if genes is None:
        return name
    around = genes["symbol"][(genes["start"] <= row.start) & (row.end <= genes["end"])].unique()
    return f"{name}, in {' and '.join(around)}" if len(around) else name


def claim_counts(claims: Mapping[str, Mapping[str, probe_windows.Claim]]) -> pd.DataFrame:
    """How many windows of each class are asked: claim, class, train, test; ``claims`` by split and name."""
    rows = [
        (name, label, *((claims[split][name].labels == number).sum() for split in ("train", "test")))
        for name, claim in claims["train"].items()
        for number, label in enumerate(claim.classes)
    ]
    return pd.DataFrame(rows, columns=["claim", "class", "train", "test"])


def read_vectors(models: Mapping[str, Bert], codes: np.ndarray, drawn: pd.DataFrame) -> dict[str, np.ndarray]:
    """What probes are given of windows: the mean state of each model, and composition; float, [n, ...] by name."""
    windows = cut(codes, drawn)
    found = {name: embed(model, windows) for name, model in models.items()}
    gc = drawn["gc"].to_numpy()
    composition = np.stack([gc, gc**2], axis=1), kmer_shares(windows, 2), kmer_shares(windows, 4)
    return found | dict(zip(COMPOSITION, composition, strict=True))


def probe_table(
    claims: Mapping[str, Mapping[str, probe_windows.Claim]],
    vectors: Mapping[str, Mapping[str, np.ndarray]],
    places: np.ndarray,
    *,
    block: int,
    resamples: int,
    seed: int,
) -> tuple[pd.DataFrame, list[str]]:
    """Learn each claim from the windows of some contigs and judge it on those of others."""
    rows, left_out = [], []
    first = next(iter(vectors["test"]))
    draws = {"resamples": resamples, "seed": seed}
    for name, test in claims["test"].items():
        train = claims["train"][name]
        kept = _common(train, test)
        if len(kept) < 2:
            few = f"have {FEWEST_WINDOWS} windows to learn from and {FEWEST_WINDOWS} to judge"
            left_out.append(f"{name}: left out, since fewer than two of its classes {few}")
            continue
        (learn, labels), (judged, truth) = (_asked(claim, kept) for claim in (train, test))
        groups = blocks(places[judged], block)
        told = {}
        for seen, its in vectors["test"].items():
            told[seen] = probe(vectors["train"][seen][learn], labels, its[judged], classes=len(kept))
            scores = judge(truth, told[seen], groups, **draws)
            scores["ahead"] = paired(truth, told[first], told[seen], groups, metric="auroc", **draws)
            about = (name, seen, ", ".join(test.classes[number] for number in kept), len(learn), len(judged))
            rows.append((*about, *(end for metric in ("mcc", "auroc", "ahead") for end in scores[metric][:3])))
    columns = ["claim", "seen", "classes", "learnt", "judged"]
    columns += [f"{metric}{end}" for metric in ("mcc", "auroc", "ahead") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=columns), left_out


def findings(probes: pd.DataFrame) -> list[str]:
    """For each claim, in words, whether the model's probe is clearly better than the best that knows no model."""
    lines = []
    for claim, part in probes.groupby("claim", sort=False):
        model, others = part.iloc[0], part.iloc[1:]
        best = others.loc[others["auroc"].idxmax()]
        verdict = "more" if best["ahead_low"] > 0 else "less" if best["ahead_high"] < 0 else "not clearly more"
        ahead, low, high = best[["ahead", "ahead_low", "ahead_high"]]
        lines.append(
            f"{claim} ({model['classes']}): {model['seen']} tells {verdict} than {best['seen']} (AUROC "
            f"{model['auroc']:.2f} and {best['auroc']:.2f}, difference {ahead:+.2f}, {low:+.2f} to {high:+.2f})"
        )
    return lines


def project(vectors: np.ndarray, *, umap: bool, seed: int) -> dict[str, np.ndarray]:
    """Two coordinates of each vector ([n, width]) by name of the map: PCA and, if asked for, UMAP; float, [n, 2]."""
    found = {"PCA": principal_components(vectors, 2)[0]}
    if umap:
        from umap import UMAP

        scaled = (vectors - vectors.mean(axis=0)) / (vectors.std(axis=0) + 1e-9)
        found["UMAP"] = UMAP(random_state=seed, n_jobs=1).fit_transform(scaled)
    return found


def _common(train: probe_windows.Claim, test: probe_windows.Claim) -> list[int]:
    """Classes with enough windows to learn from and to judge."""
    counts = [np.bincount(its.labels[its.labels >= 0], minlength=len(its.classes)) for its in (train, test)]
    return np.flatnonzero(np.minimum(*counts) >= FEWEST_WINDOWS).tolist()


def _asked(claim: probe_windows.Claim, kept: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the windows of some classes, and their class among those."""
    rows = np.flatnonzero(np.isin(claim.labels, kept))
    return rows, np.searchsorted(kept, claim.labels[rows])
