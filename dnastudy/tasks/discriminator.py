"""Whether sequence can be told from real sequence: a regression on k-mers and a small CNN, cross-validated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dnastudy.files import InputError
from dnastudy.genes.codes import as_codes
from dnastudy.models.neural import pick_device
from dnastudy.tasks.composition import kmer_shares

FOLDS = 5
POOL = 8  # bases over which the CNN's first layer keeps the strongest match
_ROWS, _BASES = 1024, 2**24  # sequences that a CNN is applied to at once, at most, and bases with what pads them


def tell_apart(
    real: Sequence[str],
    other: Sequence[str],
    *,
    groups: tuple[Sequence, Sequence] | None = None,
    k: int = 5,
    epochs: int = 20,
    resamples: int = 1000,
    seed: int = 0,
    device: str | None = None,
) -> pd.DataFrame:
    """How well two classifiers that haven't seen a sequence tell whether it is real.

    The regression knows no order beyond ``k`` bases; the CNN knows motifs and what stands near them, but needs more
    examples. So 0.5 (no better than chance) doesn't say that the two are alike.
    """
    groups = groups or (np.arange(len(real)), np.arange(len(other)))
    numbers = [np.unique(names, return_inverse=True)[1] for names in groups]
    sizes = [len(np.unique(names)) for names in numbers]
    if min(sizes) < FOLDS:
        raise InputError(
            f"{len(real)} real sequences from {sizes[0]} loci and {len(other)} others from {sizes[1]}; to tell them "
            f"apart, expected at least {FOLDS} loci of each. Take more sequences"
        )
    split = _assign_folds(*numbers, seed)
    everything = [*real, *other]
    is_real = np.arange(len(everything)) < len(real)
    # Many k-mers and few sequences: a strong penalty keeps the classifier from learning the sample by heart.
    shares, classifier, length = kmer_shares(everything, k), logistic(0.01), max(map(len, everything))
    scores = {"k-mers": np.zeros(len(everything))} | ({"CNN": np.zeros(len(everything), np.float32)} if epochs else {})
    for fold in np.unique(split):
        train, test = np.flatnonzero(split != fold), np.flatnonzero(split == fold)
        scores["k-mers"][test] = classifier.fit(shares[train], is_real[train]).decision_function(shares[test])
        if epochs:
            examples = [everything[row] for row in train], is_real[train].astype(np.float32)
            score = train_cnn(*examples, epochs, seed, length=length, device=device)
            scores["CNN"][test] = score([everything[row] for row in test])[:, 0]
    rows = []
    for name, values in scores.items():
        wins, pairs = _compare_within_folds(values, is_real, split)
        rows.append((name, *_bootstrap(wins, pairs, numbers, resamples, seed), sum(sizes)))
    return pd.DataFrame(rows, columns=["classifier", "auroc", "low", "high", "n"])


def _assign_folds(real: np.ndarray, other: np.ndarray, seed: int) -> np.ndarray:
    """The fold of each sequence, real ones first, int64, [n]; a group stays together, both kinds are spread evenly."""
    from sklearn.model_selection import StratifiedGroupKFold

    group = np.concatenate([real, other + real.max() + 1])
    is_real = np.repeat([1, 0], [len(real), len(other)])
    split = np.zeros(len(group), dtype=np.int64)
    parts = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(group, is_real, group)
    for number, (_, held) in enumerate(parts):
        split[held] = number
    return split


def logistic(strength: float = 1.0, *, scaled: bool = True):
    """scikit-learn's logistic regression, ``strength`` the inverse of its penalty (C), on standardised features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=strength, max_iter=1000)
    return make_pipeline(StandardScaler(), regression) if scaled else regression


def one_hot(sequences: Sequence[str | np.ndarray], length: int | None = None) -> Tensor:
    """A channel a base, float32, [n, 4, longest]; zeros past a sequence's end and where a base is unknown."""
    inputs = torch.zeros(len(sequences), 4, max(POOL, length or 0, *map(len, sequences)))
    for row, sequence in zip(inputs, sequences, strict=True):
        codes = torch.from_numpy(as_codes(sequence).astype(np.int64))
        row[:, : len(codes)] = nn.functional.one_hot(codes, 5).T[:4]
    return inputs


def train_cnn(
    sequences: Sequence[str | np.ndarray],
    labels: np.ndarray,
    epochs: int,
    seed: int,
    *,
    scores: int = 1,
    length: int | None = None,
    device: str | None = None,
) -> Callable[[Sequence[str | np.ndarray]], np.ndarray]:
    """Train a CNN in random batches of 16 and return what gives sequences its scores, float32 [n, scores].

    One score is the log-odds of label 1 (float32), more are logits of classes (int64). Sequences are padded to
    ``length`` bases; without one batch by batch, and what pads them isn't seen. The random state is left alone.
    """
    device = pick_device(device)
    targets = torch.from_numpy(labels).to(device)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = _Cnn(scores, whole=length is not None).to(device)
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
        steps = epochs * -(-len(sequences) // 16)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps)
        for _ in range(epochs):
            for batch in torch.randperm(len(sequences)).split(16):
                optimiser.zero_grad()
                found = network(one_hot([sequences[row] for row in batch], length).to(device))
                if scores == 1:
                    loss = nn.functional.binary_cross_entropy_with_logits(found[:, 0], targets[batch])
                else:
                    loss = nn.functional.cross_entropy(found, targets[batch])
                loss.backward()
                optimiser.step()
                schedule.step()
    network.eval()

    @torch.inference_mode()
    def score(others: Sequence[str | np.ndarray]) -> np.ndarray:
        found = np.zeros((len(others), scores), dtype=np.float32)
        for rows in _alike(np.array([max(len(one), length or 0) for one in others])):
            found[rows] = network(one_hot([others[row] for row in rows], length).to(device)).cpu().numpy()
        return found

    return score


def _alike(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of like length together, as many as are held at once, the longest first."""
    waiting = np.argsort(-lengths, kind="stable")
    while len(waiting):
        rows, waiting = np.split(waiting, [min(_ROWS, max(1, _BASES // max(1, lengths[waiting[0]])))])
        yield rows


class _Cnn(nn.Module):
    """Convolutions: motifs of 8 bases, then groups of them within some 40; what pads them counts if ``whole``."""

    def __init__(self, scores: int, *, whole: bool):
        super().__init__()
        self.whole = whole
        self.motifs = nn.Sequential(nn.Conv1d(4, 16, POOL, padding=4), nn.ReLU(), nn.MaxPool1d(POOL))
        self.groups = nn.Sequential(nn.Conv1d(16, 32, 4, padding=2), nn.ReLU())
        self.score = nn.Sequential(nn.Dropout(0.3), nn.Linear(64, scores))

    def forward(self, inputs: Tensor) -> Tensor:
        """Scores, float32 [rows, scores], of `one_hot` sequences."""
        length = torch.full(inputs.shape[:1], inputs.shape[2], device=inputs.device)
        if not self.whole:
            places = torch.arange(1, inputs.shape[2] + 1, device=inputs.device)
            length = (places * inputs.amax(1).long()).amax(1).clamp(min=POOL)
        ends = (length[:, None, None] + 1) // POOL  # of the motifs, and one more of their groups
        motifs = self.motifs(inputs)
        groups = self.groups(motifs * _before(ends, motifs))
        groups = groups * _before(ends + 1, groups)
        mean = groups.mean(dim=-1) * (groups.shape[2] / (ends[..., 0] + 1))
        return self.score(torch.cat([groups.amax(dim=-1), mean], dim=1))


def _before(ends: Tensor, values: Tensor) -> Tensor:
    """Which of the places of values [rows, channels, n] lie before each row's end [rows, 1, 1]."""
    return torch.arange(values.shape[2], device=values.device) < ends


def _compare_within_folds(scores: np.ndarray, is_real: np.ndarray, split: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which real sequences score above which others, ties one half, and which pairs count: float64, [real, other].

    Only pairs of one fold do: the scores of two folds are of two classifiers (Airola et al. 2011).
    """
    real, other = scores[is_real, None], scores[None, ~is_real]
    pairs = (split[is_real, None] == split[None, ~is_real]).astype(np.float64)
    return ((real > other) + 0.5 * (real == other)) * pairs, pairs


def _bootstrap(
    wins: np.ndarray, pairs: np.ndarray, groups: Sequence[np.ndarray], resamples: int, seed: int
) -> tuple[float, float, float]:
    """The AUROC (Mann-Whitney) and its interval over groups, drawn apart among real and other sequences."""
    rng, counts = np.random.default_rng(seed), [int(group.max()) + 1 for group in groups]
    times = [rng.multinomial(n, np.full(n, 1 / n), size=resamples) for n in counts]
    real, other = (each[:, group].astype(np.float64) for each, group in zip(times, groups, strict=True))
    totals = ((real @ pairs) * other).sum(axis=1)
    drawn = totals > 0
    low, high = np.quantile(((real @ wins) * other).sum(axis=1)[drawn] / totals[drawn], [0.025, 0.975])
    return float(wins.sum() / pairs.sum()), float(low), float(high)
