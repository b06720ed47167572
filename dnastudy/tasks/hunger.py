"""Data hunger: a model trained on nested subsets of the genes, or of a text, and judged on the same held-out rest."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from dnastudy.files import InputError, nearest, read_json, write_json
from dnastudy.tasks import text as english
from dnastudy.tasks.likelihood import known_bases, score_windows

if TYPE_CHECKING:
    import pandas as pd

    from dnastudy.genes import Corpus
    from dnastudy.models import TrainingConfig
    from dnastudy.models.neural import NeuralModel

KINDS = ("ngram", "lstm", "gru", "gpt")
UNITS = ("bases", *english.UNITS)


class Genes:
    """The training genes of a corpus, and windows of its test genes.

    Attributes
    ----------
    unit
        One of ``UNITS``.
    total
        How much there is to train on: bases, or characters for words too.
    alphabet
        Symbols that a model tells apart.
    amounts
        float64 [windows]: what the bits of each held-out window are divided by (bases or characters).
    groups
        int64 [windows]: the locus or chapter of each, which bootstraps resample.
    uniform
        Bits per base or character when every symbol is equally likely (and an unknown word spelt out).
    """

    unit, alphabet, uniform = "bases", 4, 2.0

    def __init__(self, corpus: Corpus, windows: pd.DataFrame):
        self.corpus, self.windows = corpus, windows
        self.total = int(np.diff(corpus.spans("train")).sum())
        self.groups = windows["locus"].to_numpy()
        self.amounts = known_bases(corpus.cut(windows)).astype(np.float64)

    def identity(self) -> dict:
        """What decides the outcome beside the settings, as plain values."""
        places = self.windows[["start", "end"]].to_numpy(dtype=np.int64)
        return {"corpus": self.corpus.info["files"], "windows": hashlib.sha256(places.tobytes()).hexdigest()}

    def count(self, order: int, size: int, seed: int) -> np.ndarray:
        """Bits of each window under an n-gram of ``size`` bases or characters, drawn by ``seed``; float64."""
        from dnastudy.models import NgramModel
        from dnastudy.models.windows import training_spans

        codes, spans = self.corpus.all_codes, training_spans(self.corpus, size, seed)
        return self.judge(NgramModel(order).fit((codes, spans), validation=(codes, self.corpus.spans("validation"))))

    def source(self, size: int, config: TrainingConfig) -> object:
        """Windows of a subset for `dnastudy.models.train`."""
        from dnastudy.models.windows import CorpusSource

        return CorpusSource(self.corpus, config)

    def judge(self, model) -> np.ndarray:
        """Bits of each window under a model; float64."""
        scored = score_windows(model, self.corpus, self.windows, strata=())
        return np.bincount(scored["window"], weights=scored["bits"], minlength=len(self.windows))


class English:
    """The training chapters of a text, and passages of its test chapters; it has what `Genes` has.

    Parameters
    ----------
    text
        In characters or words (`dnastudy.tasks.text.read_text`).
    windows
        Passages, spread evenly, that are judged, and as many that n-gram weights are fitted on.
    """

    def __init__(self, text: english.Text, windows: int):
        self.text, self.unit, self.alphabet = text, text.unit, len(text.alphabet)
        self.total = int(text.characters(text.spans["train"]).sum())
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

    def judge(self, model: NeuralModel) -> np.ndarray:
        return self._by_passage(english.neural_bits(model, self.text, self._passages))

    def _by_passage(self, bits: np.ndarray) -> np.ndarray:
        """Sums of bits of symbols, with what unknown words cost besides."""
        spelling = np.concatenate([self.text.spelling[start:end] for start, end in self._passages])
        return np.add.reduceat(bits + spelling, np.cumsum(self._lengths) - self._lengths)


def read_curves(curves: Sequence[str]) -> list[tuple[str, str]]:
    """Units and kinds of curves like ``bases/lstm``.

    Raises
    ------
    InputError
        For another form, or an unknown unit or kind of model, with the nearest right one.
    """
    read = []
    for curve in curves:
        unit, _, kind = curve.partition("/")
        if unit not in UNITS:
            raise InputError(f"curve {curve!r}: unit {unit!r}; {nearest(unit, UNITS)}, and then /ngram, /lstm, ...")
        if kind not in KINDS:
            raise InputError(f"curve {curve!r}: model {kind!r}; {nearest(kind, KINDS)}")
        read.append((unit, kind))
    return read


def sweep(
    material: Genes | English,
    model: dict,
    sizes: Sequence[int],
    seeds: Sequence[int],
    *,
    out: str | Path,
    training: dict | None = None,
    code: str = "",
    device: str | None = None,
    progress: bool | TextIO = False,
) -> pd.DataFrame:
    """Train one kind of model on subsets of every size, with every seed, and judge each on the same windows.

    Subsets of one seed are nested; the seed draws weights and batches too. Each finished run is a file in
    ``out``, and isn't repeated when it is there with the same settings, data and code; a run that was
    interrupted goes on from its checkpoint.

    Parameters
    ----------
    material
        `Genes` or `English`.
    model
        ``{"kind": ..., hyper-parameters}`` as `dnastudy.models.build` takes them.
    sizes
        Bases or characters to train on; what is more than there is, or 0, stands for all. One that a neural
        model's steps can't see even once is left out.
    training
        Settings of `dnastudy.models.TrainingConfig` for a neural model. Its ``patience`` ends a run that no
        longer gets better on the validation set; one that ran out of ``steps`` first is ``limited``: what it
        reached says more about the computing than about the data.
    code
        Digest of the code that the outcome depends on.

    Returns
    -------
    A row a size, seed and window: unit, kind, size, seed, seen (symbols trained on, repeats counted), limited,
    group, bits, amount.

    Raises
    ------
    InputError
        When there is no size or seed, or as the training says.
    """
    import pandas as pd

    from dnastudy.models import TrainingConfig

    if (least := min(sizes, default=0)) < 0:
        raise InputError(f"{model['kind']} of {material.unit}: size {least}; expected 1 or more, or 0 for all there is")
    sizes = sorted({min(size or material.total, material.total) for size in sizes})
    if model["kind"] != "ngram":
        config = TrainingConfig.from_dict(training or {})
        if model.get("context", 0) > config.window:
            raise InputError(
                f"{model['kind']} of {material.unit}: judged on {model['context']} positions at once, and trained on "
                f"windows of {config.window}; make these as long, or the held-out ones shorter"
            )
        sizes = [size for size in sizes if size <= config.steps * config.batch * config.window]
    if not sizes or not seeds:
        raise InputError(
            f"{model['kind']} of {material.unit}: {len(sizes)} sizes and {len(seeds)} seeds; give one or more of "
            "each, and sizes of no more than steps x batch x window"
        )
    tables = []
    for size in sizes:
        for seed in seeds:
            # All of the data, counted, is the same whatever the seed.
            drawn = seeds[0] if model["kind"] == "ngram" and size == material.total else seed
            identity = {"material": material.identity(), "model": model, "size": size, "seed": drawn, "code": code}
            if model["kind"] != "ngram":
                identity["training"] = training
            path = Path(out) / f"{material.unit}-{model['kind']}-{size}-{drawn}.json"
            outcome = _finished(path, identity)
            if outcome is None:
                # A checkpoint of other settings or code is never gone on from.
                digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
                folder = path.with_name(f"{path.stem}-{digest[:8]}")
                outcome = _run(material, model, size, drawn, training or {}, folder, device, progress)
                write_json(path, {"identity": identity} | outcome)
            about = {"unit": material.unit, "kind": model["kind"], "size": size, "seed": seed}
            about |= {name: outcome[name] for name in ("seen", "limited")}
            judged = {"group": material.groups, "bits": outcome["bits"], "amount": material.amounts}
            tables.append(pd.DataFrame(about | judged))
    return pd.concat(tables, ignore_index=True)


def _finished(path: Path, identity: dict) -> dict | None:
    """What an earlier call wrote for the very same run, if it did."""
    try:
        found = read_json(path)
    except InputError:
        return None
    return found if found.get("identity") == identity else None


def _run(
    material: Genes | English,
    model: dict,
    size: int,
    seed: int,
    training: dict,
    folder: Path,
    device: str | None,
    progress: bool | TextIO,
) -> dict:
    """Train and judge one model: bits (a list), seen, limited."""
    if model["kind"] == "ngram":
        return {"bits": material.count(model["order"], size, seed).tolist(), "seen": size, "limited": False}

    import torch

    from dnastudy.models import TrainingConfig, build, train

    config = TrainingConfig.from_dict(training | {"seed": seed, "train_bases": size % material.total})  # 0: all
    vocabulary = {} if material.unit == "bases" else {"vocabulary": material.alphabet}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(model | vocabulary, device=device)
    history = train(network, material.source(size, config), folder, config, device=device, progress=progress)
    shutil.rmtree(folder)
    costs = [row["validation_bits_per_base"] for row in history]
    return {
        "bits": material.judge(network).tolist(),
        "seen": history[-1]["bases"],
        "limited": len(costs) - 1 - int(np.argmin(costs)) < max(1, config.patience),
    }
