"""The human-genes paper's own protocol: its n-grams, its perplexity, and the figures that both papers report."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from dnastudy.genes import Corpus
from dnastudy.genes.codes import known_bases
from dnastudy.models import CausalModel, NgramModel
from dnastudy.tasks.floors import fit_floors

# From Ihtiyar & Ozgur 2024, Scientific Reports 14:22204 (arXiv 2307.10634v2).
# Test perplexity per symbol on human genes of at most 1,000 nt. The n-grams' figures also count one end
# symbol a gene, the neural models' don't, so the two aren't the same quantity. The 6-gram without smoothing
# met an n-gram that it had never seen.
PUBLISHED_PERPLEXITY = {
    "1-gram": 3.9959,
    "2-gram": 3.9215,
    "3-gram": 3.8985,
    "4-gram": 3.8834,
    "5-gram": 3.8723,
    "6-gram": float("inf"),
    "Laplace 6-gram": 3.86165,
    "Laplace 7-gram": 3.83902,
    "Laplace 8-gram": 3.82630,
    "Transformer": 3.6905,
    "LSTM": 3.2878,
}
# Share of 1,000 pairs in which the real gene scored better than the one with 1 to N edits: one figure for
# each of three seeds, ties counted as wrong. Keys: how the two were scored, model, N.
PUBLISHED_ACCURACY = {
    ("perplexity", "Laplace 8-gram", 1): (0.649, 0.647, 0.653),
    ("perplexity", "Laplace 8-gram", 5): (0.749, 0.741, 0.729),
    ("perplexity", "Laplace 8-gram", 10): (0.787, 0.793, 0.782),
    ("perplexity", "LSTM", 1): (0.728, 0.745, 0.721),
    ("perplexity", "LSTM", 5): (0.816, 0.785, 0.814),
    ("perplexity", "LSTM", 10): (0.840, 0.846, 0.853),
    ("perplexity", "Transformer", 1): (0.638, 0.652, 0.665),
    ("perplexity", "Transformer", 5): (0.711, 0.700, 0.690),
    ("perplexity", "Transformer", 10): (0.766, 0.745, 0.753),
    ("probability", "Laplace 8-gram", 1): (0.607, 0.585, 0.625),
    ("probability", "Laplace 8-gram", 5): (0.680, 0.695, 0.678),
    ("probability", "Laplace 8-gram", 10): (0.717, 0.723, 0.716),
    ("probability", "LSTM", 1): (0.671, 0.682, 0.674),
    ("probability", "LSTM", 5): (0.740, 0.737, 0.758),
    ("probability", "LSTM", 10): (0.788, 0.785, 0.777),
    ("probability", "Transformer", 1): (0.619, 0.627, 0.643),
    ("probability", "Transformer", 5): (0.671, 0.659, 0.669),
    ("probability", "Transformer", 10): (0.716, 0.681, 0.690),
}
# MCC of fine-tuned models on held-out examples: Sanabria et al. 2024, Nature Machine Intelligence 6:911-923, as others
# restate it. By the label sets' and predictors' names here. Its examples lie in the genome that the models were
# pre-trained on; negatives of Prom300 are the same promoter with its tokens shuffled; splice sites are those of the
# Nucleotide Transformer's benchmark. It has no counterpart of "DNase".
PUBLISHED_MCC = {
    "Prom300": {"GROVER": 0.996, "4-mer BERT": 0.79, "TF-IDF + forest": 0.67},
    "PromScan": {"GROVER": 0.63, "Nucleotide Transformer": 0.52, "TF-IDF + forest": 0.39},
    "CTCF": {"GROVER": 0.60, "DNABERT-2": 0.59, "TF-IDF + forest": 0.26},
    "splice": {"GROVER": 0.94, "Nucleotide Transformer": 0.96, "DNABERT": 0.96},
}
MLE_ORDERS = range(1, 7)
LAPLACE_ORDERS = range(6, 9)
NEURAL = {"gpt": "Transformer", "lstm": "LSTM"}  # the paper's names of our kinds


def fit_published(corpus: Corpus, names: Collection[str] | None = None) -> dict[str, NgramModel]:
    """Count the paper's n-grams (those in ``names``) on the training and validation genes together, as it does."""
    spans = np.concatenate([corpus.spans("train"), corpus.spans("validation")])
    kinds = {f"{order}-gram": (order, "mle") for order in MLE_ORDERS}
    kinds |= {f"Laplace {order}-gram": (order, "laplace") for order in LAPLACE_ORDERS}
    return {
        name: NgramModel(order, smoothing=smoothing).fit((corpus.all_codes, spans))
        for name, (order, smoothing) in kinds.items()
        if names is None or name in names
    }


def published_name(model: CausalModel, corpus: Corpus) -> str | None:
    """What the paper calls a model, if that is of the published form and was trained on this very corpus."""
    if not model.trained_on or model.config.get("form") != "as_published":
        return None
    same = all(corpus.info["files"].get(file) == digest for file, digest in model.trained_on.items())
    return NEURAL.get(model.kind) if same else None


def score_protocol(
    corpus: Corpus, models: Mapping[str, CausalModel] | None = None, *, orders: tuple[int, ...] = (8, 24)
) -> pd.DataFrame:
    """Score the test genes under the paper's protocol, and with what it lacked: smoothed n-grams and a copy model.

    The paper's n-grams are counted on training and validation genes and score one end symbol a gene (Scientific
    Reports 14:22204, Methods). Its neural models score no end symbol, and so do the n-grams added here, which
    are counted on the training genes alone.
    """
    genes = corpus.indices("test")
    codes = [corpus.codes(gene) for gene in genes]
    bases = known_bases(codes)
    rows = {}
    for name, model in fit_published(corpus).items():
        # NLTK pads no unigrams, so that a 1-gram has no end to score.
        rows[name] = (-model.log_likelihood(codes, include_end=model.order > 1), bases + (model.order > 1))
    named = [(published_name(model, corpus), model) for model in (models or {}).values()]
    for name in dict.fromkeys(name for name, _ in named if name):
        of_runs = [model for other, model in named if other == name]
        nats = -np.mean([model.log_likelihood(codes) for model in of_runs], axis=0)
        rows[name] = (nats, np.minimum(bases, known_bases([one[: of_runs[0].limit] for one in codes])))
    for name, model in fit_floors(corpus, orders, copy=True).items():
        rows[name if name == "copy" else f"interpolated {name}"] = (-model.log_likelihood(codes), bases)
    locus = corpus.genes["locus"].to_numpy()[genes]
    return pd.concat(
        pd.DataFrame({"model": name, "gene": genes, "locus": locus, "nats": nats, "symbols": symbols})
        for name, (nats, symbols) in rows.items()
    )
