"""Tables of 10_read_the_grammar's windows and sites: what probes read, and what masked models expect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dnastudy.study.classification import judge, paired
from dnastudy.study.grammar import Sites, cut
from dnastudy.study.statistics import weighted_sums
from dnastudy.tasks import regions, saliency
from dnastudy.tasks.discriminator import kmer_shares
from dnastudy.tasks.embeddings import principal_components
from dnastudy.tasks.next_kmer import blocks
from dnastudy.tasks.probe import probe

if TYPE_CHECKING:
    from dnastudy.models.bert import Bert

FEWEST = 20  # windows of each class that a probe is judged on, and learns from
COMPOSITION = ("GC", "dinucleotides", "4-mers")  # what probes of composition alone see


def claim_counts(claims: Mapping[str, Mapping[str, regions.Claim]]) -> pd.DataFrame:
    """How many windows of each class are asked: claim, class, train, test; ``claims`` by split and name."""
    rows = [
        (name, label, *((claims[split][name].labels == number).sum() for split in ("train", "test")))
        for name, claim in claims["train"].items()
        for number, label in enumerate(claim.classes)
    ]
    return pd.DataFrame(rows, columns=["claim", "class", "train", "test"])


def read_vectors(models: Mapping[str, Bert], codes: np.ndarray, drawn: pd.DataFrame) -> dict[str, np.ndarray]:
    """What probes are given of windows: the mean state of each model, and composition; float, [n, ...] by name."""
    from dnastudy.models.embed import embed

    windows = cut(codes, drawn)
    found = {name: embed(model, windows) for name, model in models.items()}
    gc = drawn["gc"].to_numpy()
    shares = dict(zip(COMPOSITION[1:], (kmer_shares(windows, k) for k in (2, 4)), strict=True))
    return found | {COMPOSITION[0]: np.stack([gc, gc**2], axis=1)} | shares


def probe_table(
    claims: Mapping[str, Mapping[str, regions.Claim]],
    vectors: Mapping[str, Mapping[str, np.ndarray]],
    places: np.ndarray,
    *,
    block: int,
    resamples: int,
    seed: int,
) -> tuple[pd.DataFrame, list[str]]:
    """Learn each claim from the windows of some contigs and judge it on those of others.

    Parameters
    ----------
    claims, vectors
        By split, "train" and "test": claims by name, and what probes are given by name.
    places
        Where the test windows begin, int64, [n]; those in one block of ``block`` bases are drawn together.

    Returns
    -------
    DataFrame: claim, seen (what the probe is given), classes, learnt, judged (windows); mcc, auroc and ahead (AUROC of
    the first that is seen, the model, minus this one's), each with _low and _high. And the claims left out, with the
    reason, as text: those with fewer than two classes of 20 windows; of others the smaller classes aren't asked.
    """
    rows, left_out = [], []
    first = next(iter(vectors["test"]))
    draws = {"resamples": resamples, "seed": seed}
    for name, test in claims["test"].items():
        train = claims["train"][name]
        kept = _common(train, test)
        if len(kept) < 2:
            few = f"fewer than two of its classes have {FEWEST} windows to learn from and {FEWEST} to judge"
            left_out.append(f"{name}: left out, since {few}")
            continue
        (learn, labels), (judged, truth) = (_asked(claim, kept) for claim in (train, test))
        groups = blocks(places[judged], block)
        told = {}
        for seen, its in vectors["test"].items():
            told[seen] = probe(vectors["train"][seen][learn], labels, its[judged], classes=len(kept))
            scores = judge(truth, told[seen], groups, **draws)
            scores["ahead"] = paired(truth, told[first], told[seen], groups, metric="auroc", **draws)
            row = {"claim": name, "seen": seen, "classes": ", ".join(test.classes[number] for number in kept)}
            row |= {"learnt": len(learn), "judged": len(judged)}
            for metric in ("mcc", "auroc", "ahead"):
                interval = scores[metric]
                row |= {metric: interval.value, f"{metric}_low": interval.low, f"{metric}_high": interval.high}
            rows.append(row)
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
        scores = (
            f"AUROC {model['auroc']:.2f} and {best['auroc']:.2f}, difference {ahead:+.2f}, {low:+.2f} to {high:+.2f}"
        )
        lines.append(f"{claim} ({model['classes']}): {model['seen']} tells {verdict} than {best['seen']} ({scores})")
    return lines


def project(vectors: np.ndarray, *, umap: bool, seed: int) -> dict[str, np.ndarray]:
    """Two coordinates of each vector ([n, width]) by name of the map: PCA and, if asked for, UMAP; float, [n, 2].

    UMAP (McInnes et al. 2018) is umap-learn's, as it comes, on standardised vectors.
    """
    found = {"PCA": principal_components(vectors, 2)[0]}
    if umap:
        from umap import UMAP

        scaled = (vectors - vectors.mean(axis=0)) / (vectors.std(axis=0) + 1e-9)
        found["UMAP"] = UMAP(random_state=seed, n_jobs=1).fit_transform(scaled)
    return found


def site_table(models: Mapping[str, Bert], sites: Sites, around: int, *, resamples: int, seed: int) -> pd.DataFrame:
    """What masked models expect at each place of sites and of some bases about them.

    Parameters
    ----------
    around
        Bases on either side of the motif that are looked at, or as many as there are.

    Returns
    -------
    DataFrame: model, place (0: the motif's first), motif (bits of information there, 0 outside), bits (by which the
    base that stands there is likelier than by its share in these flanks), low, high.
    """
    first, last = sites.core
    around = min(around, first)
    span = np.array([first - around, last + around])
    window = sites.codes[:, slice(*span)]
    motif = np.zeros(window.shape[1])
    motif[around : len(motif) - around] = saliency.information(sites.counts / sites.counts.sum(axis=1, keepdims=True))
    tables = []
    for name, model in models.items():
        told = saliency.base_probabilities(model, sites.codes, np.tile(span, (len(sites.codes), 1)))
        bits = saliency.bits_gained(told, window, _shares(sites))
        low, high = np.quantile(weighted_sums(bits.T, resamples, seed) / len(bits), [0.025, 0.975], axis=1)
        columns = {"model": name, "place": np.arange(len(motif)) - around, "motif": motif, "bits": bits.mean(axis=0)}
        tables.append(pd.DataFrame(columns | {"low": low, "high": high}))
    return pd.concat(tables, ignore_index=True)


def locus_table(model: Bert, sites: Sites, around: int) -> pd.DataFrame:
    """What a masked model says of the first of some sites, base by base.

    Returns
    -------
    DataFrame: place (0: the motif's first), code (of the base that stands there), bits (by which it is likelier than by
    its share in the flanks), cost (nats by which its surroundings are less likely, in the mean of the other three
    bases: see `dnastudy.tasks.saliency.substitution_effects`).
    """
    first, last = sites.core
    around = min(around, first)
    span = np.array([first - around, last + around])
    codes = sites.codes[0]
    told = saliency.base_probabilities(model, [codes], span[None])
    bits = saliency.bits_gained(told, codes[None, slice(*span)], _shares(sites))[0]
    cost = saliency.substitution_effects(model, codes, *span).sum(axis=1) / 3
    columns = {"place": np.arange(len(bits)) - around, "code": codes[slice(*span)], "bits": bits, "cost": cost}
    return pd.DataFrame(columns)


def motif_correlations(expected: pd.DataFrame, *, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Does a model expect the bases most where the motif is most sure of them?

    Parameters
    ----------
    expected
        As `site_table` returns it, of one motif.
    draws
        How often the motif is shuffled.

    Returns
    -------
    DataFrame: model, rho (Spearman's, of bits with the motif's information over its places), low, high (within which
    95% of shuffled motifs lie), p (share of those that go with the bits as well or better); mean_bits in the motif,
    and mean_bits_outside.
    """
    from scipy.stats import rankdata, zscore

    random = np.random.default_rng(seed)
    rows = []
    for name, part in expected.groupby("model", sort=False):
        inside = part[part["place"].between(0, part["place"].max() + part["place"].min())]
        motif, bits = (zscore(rankdata(inside[column])) for column in ("motif", "bits"))
        rho = (motif * bits).mean()
        shuffled = random.permuted(np.tile(motif, (draws, 1)), axis=1) @ bits / len(bits)
        low, high = np.quantile(shuffled, [0.025, 0.975])
        p = (1 + (shuffled >= rho).sum()) / (1 + draws)
        outside = part.drop(inside.index)["bits"].mean()
        rows.append((name, rho, low, high, p, inside["bits"].mean(), outside))
    return pd.DataFrame(rows, columns=["model", "rho", "low", "high", "p", "mean_bits", "mean_bits_outside"])


def _shares(sites: Sites) -> np.ndarray:
    """Share of each base in the flanks of sites, float64, [4]."""
    flanks = np.delete(sites.codes, np.arange(*sites.core), axis=1)
    return np.bincount(flanks.ravel(), minlength=4)[:4] / flanks.size


def _common(train: regions.Claim, test: regions.Claim) -> list[int]:
    """Classes with enough windows to learn from and to judge."""
    counts = [np.bincount(its.labels[its.labels >= 0], minlength=len(its.classes)) for its in (train, test)]
    return np.flatnonzero(np.minimum(*counts) >= FEWEST).tolist()


def _asked(claim: regions.Claim, kept: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the windows of some classes, and their class among those."""
    rows = np.flatnonzero(np.isin(claim.labels, kept))
    return rows, np.searchsorted(kept, claim.labels[rows])
