"""Data hunger: a model trained on nested subsets of genes, or of a text, and evaluated on the same held-out rest."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes

from dnastudy.files import InputError, nearest
from dnastudy.genes.codes import known_bases
from dnastudy.genes.corpus import Corpus
from dnastudy.models import NgramModel, TrainingConfig, build, train
from dnastudy.models.batches import CorpusSource, training_spans
from dnastudy.models.neural import pick_device
from dnastudy.study.cache import begin, finished, keep
from dnastudy.study.figures import _LOOKS, FLOOR, colour
from dnastudy.study.statistics import Interval
from dnastudy.tasks import text as english
from dnastudy.tasks.likelihood import score_windows

KINDS = ("ngram", "lstm", "gru", "gpt")
UNITS = ("bases", *english.UNITS)
LEAST_SIZES = 4  # three parameters are fitted
_EXPONENTS = np.geomspace(0.02, 2, 200)
_LEVEL = (0.025, 0.975)


class Genes:
    """The training genes of a corpus, and windows of its test genes."""

    unit, alphabet, uniform = "bases", 4, 2.0

    def __init__(self, corpus: Corpus, windows: pd.DataFrame):
        self.corpus, self.windows = corpus, windows
        self.total = self.symbols = int(np.diff(corpus.spans("train")).sum())
        self.groups = windows["locus"].to_numpy()
        self.amounts = known_bases(corpus.cut(windows)).astype(np.float64)

    def identity(self) -> dict:
        """What decides the outcome beside the settings, as plain values."""
        places = self.windows[["start", "end"]].to_numpy(dtype=np.int64)
        return {"corpus": self.corpus.info["files"], "windows": hashlib.sha256(places.tobytes()).hexdigest()}

    def count(self, order: int, size: int, seed: int) -> np.ndarray:
        """Bits of each window under an n-gram of ``size`` bases or characters, drawn by ``seed``; float64."""
        codes, spans = self.corpus.all_codes, training_spans(self.corpus, size, seed)
        return self.evaluate(NgramModel(order).fit((codes, spans), validation=(codes, self.corpus.spans("validation"))))

    def source(self, size: int, config: TrainingConfig) -> CorpusSource:
        """Windows of a subset for `dnastudy.models.train`."""
        return CorpusSource(self.corpus, config)

    def evaluate(self, model) -> np.ndarray:
        """Bits of each window under a model; float64."""
        scored = score_windows(model, self.corpus, self.windows, strata=())
        return np.bincount(scored["window"], weights=scored["bits"], minlength=len(self.windows))


class English:
    """The training chapters of a text, and passages of its test chapters; it has what `Genes` has."""

    def __init__(self, text: english.Text, windows: int):
        self.text, self.unit, self.alphabet = text, text.unit, len(text.alphabet)
        self.total = int(text.characters(text.spans["train"]).sum())
        self.symbols = int(np.diff(text.spans["train"]).sum())
        chosen = english.spread(np.arange(len(text.chapters)), windows)
        self.groups, self._passages = text.chapters[chosen], text.spans["test"][chosen]
        self._validation = english.spread(text.spans["validation"], windows)
        self.amounts = text.characters(self._passages).astype(np.float64)
        self._lengths = self._passages[:, 1] - self._passages[:, 0]
        even = np.full(self._lengths.sum(), np.log2(self.alphabet))
        self.uniform = float(self._by_passage(even).sum() / self.amounts.sum())

    def identity(self) -> dict:
        digest = hashlib.sha256(self.text.symbols.tobytes() + self._passages.tobytes())
        return {"text": digest.hexdigest(), "validation": len(self._validation)}

    def count(self, order: int, size: int, seed: int) -> np.ndarray:
        model = english.SymbolNgram(order, self.alphabet)
        model.fit(self.text.symbols, self.text.subset(size, seed), self._validation)
        return self._by_passage(model.bits(self.text.symbols, self._passages))

    def source(self, size: int, config: TrainingConfig) -> english.TextSource:
        return english.TextSource(self.text, size, config)

    def evaluate(self, model) -> np.ndarray:
        return self._by_passage(english.neural_bits(model, self.text, self._passages))

    def _by_passage(self, bits: np.ndarray) -> np.ndarray:
        """Sums of bits of symbols, with what unknown words cost besides."""
        spelling = np.concatenate([self.text.spelling[start:end] for start, end in self._passages])
        return np.add.reduceat(bits + spelling, np.cumsum(self._lengths) - self._lengths)


def read_curves(curves: Sequence[str]) -> list[tuple[str, str]]:
    """Units and kinds of curves like ``bases/lstm``."""
    read = []
    for curve in curves:
        unit, _, kind = curve.partition("/")
        if unit not in UNITS:
            raise InputError(f"curve {curve!r}: unit {unit!r}; {nearest(unit, UNITS)}, and then /ngram, /lstm, ...")
        if kind not in KINDS:
            raise InputError(f"curve {curve!r}: model {kind!r}; {nearest(kind, KINDS)}")
        read.append((unit, kind))
    return read


class _How(NamedTuple):
    """Where runs are cached, how networks are trained, and what else decides an outcome."""

    out: str | Path
    training: dict | None = None
    code: str = ""
    device: str | None = None
    progress: bool | TextIO = False


def sweep(material: Genes | English, model: dict, sizes: Sequence[int], seeds: Sequence[int], **how) -> pd.DataFrame:
    """Train one kind of model on nested subsets of every size, with every seed; evaluate each on the same windows.

    Each finished run is cached in ``out``, and isn't repeated with the same settings, data and ``code``; an interrupted
    one goes on from its checkpoint. The other keywords are ``training``, ``device`` and ``progress``.
    """
    how, what = _How(**how), f"{model['kind']} of {material.unit}"
    if (least := min(sizes, default=0)) < 0:
        raise InputError(f"{what}: size {least}; expected 1 or more, or 0 for all there is")
    sizes = sorted({min(size or material.total, material.total) for size in sizes})
    if model["kind"] != "ngram":
        sizes = _seen_once(material, model, sizes, how.training or {}, what)
    if not sizes or not seeds:
        raise InputError(
            f"{what}: {len(sizes)} sizes and {len(seeds)} seeds; give one or more of each, and sizes of no more than "
            "steps x batch x window"
        )
    tables = []
    for size in sizes:
        for seed in seeds:
            # All of the data, counted, is the same whatever the seed.
            drawn = seeds[0] if model["kind"] == "ngram" and size == material.total else seed
            facts, bits = _outcome(material, model, size, drawn, how)
            about = {"unit": material.unit, "kind": model["kind"], "size": size, "seed": seed} | facts
            scored = {"group": material.groups, "bits": bits["bits"], "amount": material.amounts}
            tables.append(pd.DataFrame(about | scored))
    return pd.concat(tables, ignore_index=True)


def _seen_once(material: Genes | English, model: dict, sizes: list[int], training: dict, what: str) -> list[int]:
    """The sizes whose symbols (bases, characters, words) a network's steps can see at least once."""
    config = TrainingConfig.from_dict(training)
    if model.get("context", 0) > config.window:
        raise InputError(
            f"{what}: judged on {model['context']} positions at once, and trained on windows of {config.window}; make "
            "these as long, or the held-out ones shorter"
        )
    steps = config.steps * config.batch * config.window
    return [size for size in sizes if size * material.symbols / material.total <= steps]


def _outcome(material: Genes | English, model: dict, size: int, seed: int, how: _How) -> tuple[dict, pd.DataFrame]:
    """Facts and bits of one run, from the cache where it is there."""
    identity = {"material": material.identity(), "model": model, "size": size, "seed": seed, "code": how.code}
    if model["kind"] != "ngram":
        identity |= {"training": how.training, "torch": torch.__version__, "device": pick_device(how.device).type}
    folder = Path(how.out) / f"{material.unit}-{model['kind']}-{size}-{seed}"
    if (found := finished(folder, identity, ["bits"])) is None:
        begin(folder, identity)
        if model["kind"] == "ngram":
            bits, facts = material.count(model["order"], size, seed), {"seen": size, "limited": False}
        else:
            bits, facts = _trained(material, model, size, seed, folder, how)
        found = facts, pd.DataFrame({"bits": bits})
        keep(folder, identity, facts, bits=found[1])
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return found


def _trained(
    material: Genes | English, model: dict, size: int, seed: int, folder: Path, how: _How
) -> tuple[np.ndarray, dict]:
    """Train and evaluate a network: bits of the windows, and what is known of its training."""
    subset = {"seed": seed, "train_bases": size % material.total}  # 0: all
    config = TrainingConfig.from_dict((how.training or {}) | subset)
    vocabulary = {} if material.unit == "bases" else {"vocabulary": material.alphabet}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(model | vocabulary, device=how.device)
    history = train(network, material.source(size, config), folder, config, device=how.device, progress=how.progress)
    costs = [row["validation_bits_per_base"] for row in history]
    limited = len(costs) - 1 - int(np.argmin(costs)) < max(1, config.patience)
    return material.evaluate(network), {"seen": history[-1]["bases"], "limited": limited}


class PowerLaw(NamedTuple):
    """bits(D) = limit + scale (D / largest D)^-exponent; arrays of one shape where many were fitted at once."""

    limit: np.ndarray
    scale: np.ndarray
    exponent: np.ndarray


def fit_power_law(sizes: np.ndarray, bits: np.ndarray) -> PowerLaw:
    """Fit a power law with a limit by least squares, the form of Hestness et al. 2017 (arXiv 1712.00409, eq. 1).

    For each exponent limit and scale are linear least squares with neither below 0; the best exponent is taken.
    """
    bits = np.asarray(bits, dtype=np.float64)
    powers = (np.asarray(sizes) / sizes[-1]) ** -_EXPONENTS[:, None]  # [exponents, S]
    means, centre = bits.mean(-1), powers.mean(-1)
    spread = powers - centre[:, None]
    scale = np.maximum((bits @ spread.T) / (spread**2).sum(-1), 0)
    limit = means[..., None] - scale * centre
    # Where the best limit is below 0 it is 0, and the line goes through the origin.
    scale = np.where(limit < 0, (bits @ powers.T) / (powers**2).sum(-1), scale)
    limit = np.maximum(limit, 0)
    error = ((limit[..., None] + scale[..., None] * powers - bits[..., None, :]) ** 2).sum(-1)
    best = error.argmin(-1)
    chosen = (np.take_along_axis(part, best[..., None], -1)[..., 0][()] for part in (limit, scale))
    return PowerLaw(*chosen, _EXPONENTS[best])


def curve_table(runs: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """Cost by unit, kind and size, resampling groups and seeds."""
    rows = []
    for (unit, kind), part in runs.groupby(["unit", "kind"], sort=False):
        sizes, bits, draws, groups = _resampled(part, resamples, seed)
        by_run = part.drop_duplicates(["size", "seed"]).groupby("size")
        for column, size in enumerate(sizes):
            interval, few = _interval(bits[column], draws[:, column], groups), by_run.get_group(size)
            counts = len(few), few["seen"].mean(), int(few["limited"].sum())
            rows.append((unit, kind, size, *interval[:3], *counts, interval))
    names = ["unit", "kind", "size", "bits", "low", "high", "runs", "seen", "limited", "interval"]
    return pd.DataFrame(rows, columns=names)


def fit_table(runs: pd.DataFrame, uniform: dict[str, float], *, resamples: int, seed: int) -> pd.DataFrame:
    """What each curve says of its model's hunger, from the sizes at which no run was limited by its steps.

    ``saving`` and ``tenth`` need no fit; ``largest``, of which this is a tenth, is the same for all curves of a kind.
    """
    free = runs[~runs.groupby(["unit", "kind", "size"])["limited"].transform("any")]
    ends = free.groupby(["kind", "unit"])["size"].agg(["min", "max"])
    unknown = Interval(float("nan"), float("nan"), float("nan"), 0)
    rows = []
    for unit, kind in runs[["unit", "kind"]].drop_duplicates().itertuples(index=False):
        part = free[(free["unit"] == unit) & (free["kind"] == kind)]
        row = {"unit": unit, "kind": kind, "sizes": part["size"].nunique(), "largest": 0, "identified": False}
        row |= dict.fromkeys(("saving", "tenth", *PowerLaw._fields, "halving"), unknown)
        if row["sizes"] >= 2:
            curve = _resampled(part, resamples, seed)
            row["saving"], row["largest"] = _saving(curve), ends.loc[kind, "max"].min()
            if ends.loc[kind, "min"].max() <= row["largest"] / 10:
                row["tenth"] = _tenth(curve, uniform[unit], row["largest"]) or unknown
            if row["sizes"] >= LEAST_SIZES:
                row |= _law(curve)
        rows.append(row)
    return pd.DataFrame(rows)


def _saving(curve: _Curve) -> Interval:
    """Share of the cost that a doubling of the data saved over the last ten-fold."""
    sizes = curve.sizes
    first = min(int(np.searchsorted(sizes, sizes[-1] / 10)), len(sizes) - 2)
    doublings = np.log2(sizes[-1] / sizes[first])
    savings = (1 - (bits[..., -1] / bits[..., first]) ** (1 / doublings) for bits in (curve.bits, curve.draws))
    return _interval(*savings, curve.groups)


def _tenth(curve: _Curve, uniform: float, largest: int) -> Interval | None:
    """Share of the gain over the uniform model at ``largest`` that a tenth gives; None where no gain is sure."""
    gains = ([_along(curve.sizes, uniform - bits, largest / n) for n in (10, 1)] for bits in (curve.bits, curve.draws))
    (tenth, whole), (tenths, wholes) = gains
    if tenth > 0 and min(whole, np.quantile(wholes, _LEVEL[0])) > 0:
        return _interval(tenth / whole, tenths / wholes, curve.groups)
    return None


def _law(curve: _Curve) -> dict:
    """Parameters of the power law, as far as the draws settle them; else a bound of the limit alone."""
    law, laws = fit_power_law(curve.sizes, curve.bits), fit_power_law(curve.sizes, curve.draws)
    at_an_end = (laws.limit <= 0) | (laws.exponent <= _EXPONENTS[0]) | (laws.exponent >= _EXPONENTS[-1])
    if at_an_end.mean() > _LEVEL[0]:
        return {"limit": Interval(float("nan"), 0.0, float(np.quantile(laws.limit, _LEVEL[1])), curve.groups)}
    found = {name: _interval(getattr(law, name), getattr(laws, name), curve.groups) for name in law._fields}
    halving = _interval(2 ** (1 / law.exponent), 2 ** (1 / laws.exponent), curve.groups)
    return {"identified": True, **found, "halving": halving}


def fitted_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """The power law through the unlimited sizes of each curve of `curve_table`, to be drawn: unit, kind, size, bits."""
    parts = []
    for (unit, kind), part in curves[curves["limited"] == 0].groupby(["unit", "kind"], sort=False):
        if len(part) >= LEAST_SIZES:
            sizes = part["size"].to_numpy()
            law, along = fit_power_law(sizes, part["bits"].to_numpy()), np.geomspace(sizes[0], sizes[-1], 60)
            bits = law.limit + law.scale * (along / sizes[-1]) ** -law.exponent
            parts.append(pd.DataFrame({"unit": unit, "kind": kind, "size": along, "bits": bits}))
    return pd.concat(parts) if parts else pd.DataFrame(columns=["unit", "kind", "size", "bits"])


def gain_table(curves: pd.DataFrame, fits: pd.DataFrame, uniform: dict[str, float]) -> pd.DataFrame:
    """The share of its gain at ``largest`` that a curve with a ``tenth`` has at each size: unit, kind, size, share."""
    known = fits[[tenth.value == tenth.value for tenth in fits["tenth"]]]
    joined = curves[curves["limited"] == 0].merge(known[["unit", "kind", "largest"]], on=["unit", "kind"])
    parts = []
    for (unit, kind), part in joined.groupby(["unit", "kind"], sort=False):
        gains = uniform[unit] - part["bits"].to_numpy()
        whole = _along(part["size"].to_numpy(), gains, part["largest"].iloc[0])
        parts.append(pd.DataFrame({"unit": unit, "kind": kind, "size": part["size"], "share": gains / whole}))
    return pd.concat(parts) if parts else pd.DataFrame(columns=["unit", "kind", "size", "share"])


def _along(sizes: np.ndarray, values: np.ndarray, size: float) -> np.ndarray:
    """Values [..., S] interpolated at ``size`` along the logarithm of the sizes."""
    right = max(1, int(np.searchsorted(sizes, size)))
    way = np.log(size / sizes[right - 1]) / np.log(sizes[right] / sizes[right - 1])
    return (1 - way) * values[..., right - 1] + way * values[..., right]


def _interval(value: float, draws: np.ndarray, groups: int) -> Interval:
    low, high = np.quantile(draws, _LEVEL) if groups > 1 else (float("nan"),) * 2
    return Interval(float(value), float(low), float(high), groups)


class _Curve(NamedTuple):
    """Sizes [S], costs [S], resampled costs [resamples, S], and how many groups there are."""

    sizes: np.ndarray
    bits: np.ndarray
    draws: np.ndarray
    groups: int


def _resampled(runs: pd.DataFrame, resamples: int, seed: int) -> _Curve:
    """The costs of one model by size, each the mean over seeds of a ratio of sums."""
    # The same groups are drawn for all sizes, which saw the same windows; seeds are drawn for each size apart.
    random = np.random.default_rng(seed)
    sums = runs.groupby(["group", "size", "seed"])[["bits", "amount"]].sum()
    groups, sizes, seeds = (level.to_numpy() for level in sums.index.levels)
    bits = sums["bits"].to_numpy().reshape(len(groups), len(sizes), len(seeds))
    amounts = sums["amount"].to_numpy().reshape(bits.shape)[:, 0, 0]
    drawn = random.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=resamples)
    drawn = drawn[drawn @ amounts > 0]
    costs = np.tensordot(drawn, bits, 1) / (drawn @ amounts)[:, None, None]
    picks = random.integers(len(seeds), size=costs.shape)
    point = (bits.sum(0) / amounts.sum()).mean(-1)
    return _Curve(sizes, point, np.take_along_axis(costs, picks, -1).mean(-1), len(groups))


def draw_hunger(curves: pd.DataFrame, laws: pd.DataFrame) -> Axes:
    """Costs of `curve_table` and laws of `fitted_curves`, a line a model; marks of limited sizes are open."""
    axes = plt.subplots()[1]
    for (unit, kind), part in curves.groupby(["unit", "kind"], sort=False):
        law = laws[(laws["unit"] == unit) & (laws["kind"] == kind)]
        marker, dashes = _LOOKS[unit]
        axes.plot(law["size"], law["bits"], color=colour(kind), lw=1, ls=dashes)
        for filled, points in part.groupby(part["limited"] == 0):
            ends = [points["bits"] - points["low"], points["high"] - points["bits"]]
            fill = {} if filled else {"mfc": "white"}
            axes.errorbar(points["size"], points["bits"], ends, fmt=marker, color=colour(kind), lw=1.5, ms=6, **fill)
        axes.plot([], [], marker=marker, color=colour(kind), ls=dashes, label=f"{kind}, {unit}")
    what = "base" if set(curves["unit"]) == {"bases"} else "character"
    axes.set(xscale="log", xlabel=f"{what}s trained on", ylabel=f"bits per {what}, held out")
    axes.legend()
    return axes


def draw_gains(gains: pd.DataFrame) -> Axes:
    """Share of what a model gained at a common size, by training data. Columns: unit, kind, size, share."""
    axes = plt.subplots()[1]
    for (unit, kind), part in gains.groupby(["unit", "kind"], sort=False):
        marker, dashes = _LOOKS[unit]
        axes.plot(part["size"], part["share"], marker=marker, ls=dashes, color=colour(kind), label=f"{kind}, {unit}")
    axes.axhline(1, color=FLOOR, ls=":", lw=1)
    axes.set(xscale="log", xlabel="bases or characters trained on", ylabel="share of the gain")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return axes
