"""Whether sequence can be told from real sequence: a regression on k-mers and a small CNN, cross-validated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from dnastudy.files import InputError
from dnastudy.genes.codes import as_codes
from dnastudy.models.neural import pick_device
from dnastudy.tasks.composition import kmer_shares

FOLDS = 5
POOL = 8  # bases over which the CNN's first layer keeps the strongest match


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

    A logistic regression on k-mer shares knows what sequence is made of, but no order beyond ``k`` bases; a small
    convolutional network knows motifs and what stands near them, but needs more examples. So 0.5 (no better than
    chance) doesn't say that the two are alike.
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
    shares, classifier = kmer_shares(everything, k), logistic(0.01)
    scores = {"k-mers": np.zeros(len(everything))}
    for train, test in _parts(split):
        scores["k-mers"][test] = classifier.fit(shares[train], is_real[train]).decision_function(shares[test])
    if epochs:
        scores["CNN"] = _cnn_scores(everything, is_real, split, epochs, seed, device)
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


def _parts(split: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Training and test sequences, fold by fold."""
    for fold in np.unique(split):
        yield np.flatnonzero(split != fold), np.flatnonzero(split == fold)


def logistic(strength: float = 1.0, *, scaled: bool = True):
    """scikit-learn's logistic regression, ``strength`` the inverse of its penalty (C), on standardised features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=strength, max_iter=1000)
    return make_pipeline(StandardScaler(), regression) if scaled else regression


def _cnn_scores(
    sequences: Sequence[str], is_real: np.ndarray, split: np.ndarray, epochs: int, seed: int, device: str | None
) -> np.ndarray:
    """Log-odds of being real, by a CNN that hasn't seen the sequence's fold: float32, [n]."""
    device = pick_device(device)
    inputs = one_hot(sequences).to(device)
    labels = torch.tensor(is_real, dtype=torch.float32, device=device)
    scores = np.zeros(len(inputs), dtype=np.float32)
    for train, test in _parts(split):
        network = train_cnn(inputs, labels, torch.from_numpy(train), epochs, seed)
        with torch.no_grad():
            scores[test] = network(inputs[torch.from_numpy(test)])[:, 0].cpu().numpy()
    return scores


def one_hot(sequences: Sequence[str | np.ndarray]) -> torch.Tensor:
    """A channel a base, float32, [n, 4, longest]; zeros past a sequence's end and where a base is unknown."""
    inputs = torch.zeros(len(sequences), 4, max(POOL, *map(len, sequences)))
    for row, sequence in zip(inputs, sequences, strict=True):
        codes = torch.from_numpy(as_codes(sequence).astype(np.int64))
        row[:, : len(codes)] = nn.functional.one_hot(codes, 5).T[:4]
    return inputs


def train_cnn(
    inputs: torch.Tensor, labels: torch.Tensor, chosen: torch.Tensor, epochs: int, seed: int, *, scores: int = 1
) -> nn.Module:
    """Train on the rows ``chosen`` of `one_hot` inputs, in random batches of 16.

    With one score a row its label is 0 or 1 (float), and the score its log-odds; with more the label is the class
    (int64), and the scores are logits. The random state is left alone; the network is ready to be applied.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = _cnn(scores).to(inputs.device)
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
        steps = epochs * -(-len(chosen) // 16)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps)
        for _ in range(epochs):
            for batch in chosen[torch.randperm(len(chosen))].split(16):
                optimiser.zero_grad()
                found = network(inputs[batch])
                if scores == 1:
                    loss = nn.functional.binary_cross_entropy_with_logits(found[:, 0], labels[batch])
                else:
                    loss = nn.functional.cross_entropy(found, labels[batch])
                loss.backward()
                optimiser.step()
                schedule.step()
    return network.eval()


def _cnn(scores: int) -> nn.Module:
    """Two layers of convolutions: motifs of 8 bases, then groups of them within some 40 bases."""
    return nn.Sequential(
        nn.Conv1d(4, 16, 8, padding=4),
        nn.ReLU(),
        nn.MaxPool1d(POOL),
        nn.Conv1d(16, 32, 4, padding=2),
        nn.ReLU(),
        _PeakAndMean(),
        nn.Dropout(0.3),
        nn.Linear(64, scores),
    )


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


class _PeakAndMean(nn.Module):
    """Strongest and mean response along the sequence: [rows, channels, length] to [rows, 2 channels]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.amax(dim=-1), x.mean(dim=-1)], dim=1)
