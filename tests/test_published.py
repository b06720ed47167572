"""dnastudy.tasks.published: the paper's protocol on a corpus, and its own figures."""

import numpy as np
import pytest

from dnastudy.models import build
from dnastudy.models.batches import digests
from dnastudy.tasks.published import (
    PUBLISHED_ACCURACY,
    PUBLISHED_MCC,
    PUBLISHED_PERPLEXITY,
    fit_published,
    published_name,
    score_protocol,
)


def test_published_figures():
    assert PUBLISHED_PERPLEXITY["LSTM"] == 3.2878
    assert list(PUBLISHED_PERPLEXITY.values())[:5] == sorted(list(PUBLISHED_PERPLEXITY.values())[:5], reverse=True)
    assert [of["GROVER"] for of in PUBLISHED_MCC.values()] == [0.996, 0.63, 0.60, 0.94]
    assert len(PUBLISHED_ACCURACY) == 2 * 3 * 3
    assert np.mean(PUBLISHED_ACCURACY["perplexity", "LSTM", 10]) == pytest.approx(0.8463, abs=1e-4)
    # By either score and for every N the LSTM is ahead of the n-gram.
    for score, model, edits in PUBLISHED_ACCURACY:
        if model == "LSTM":
            assert min(PUBLISHED_ACCURACY[score, model, edits]) > max(
                PUBLISHED_ACCURACY[score, "Laplace 8-gram", edits]
            )


def test_the_papers_n_grams_learn_from_validation_genes_too(corpus):
    models = fit_published(corpus)
    assert list(models) == [name for name in PUBLISHED_PERPLEXITY if name.endswith("gram")]
    assert models["6-gram"].config["smoothing"] == "mle" and models["Laplace 8-gram"].order == 8
    # A gene that is counted holds no n-gram that was never seen.
    assert np.isfinite(models["6-gram"].log_likelihood(corpus.sequences("validation"), include_end=True)).all()


def test_the_protocol_gives_a_perplexity_as_nltk_would(corpus):
    scored = score_protocol(corpus, orders=(4,))
    totals = scored.groupby("model", sort=False)[["nats", "symbols"]].sum()
    assert list(totals.index) == [*fit_published(corpus), "interpolated 4-gram", "copy"]
    laplace = np.exp(totals.loc["Laplace 6-gram", "nats"] / totals.loc["Laplace 6-gram", "symbols"])
    expected = fit_published(corpus)["Laplace 6-gram"].perplexity(corpus.sequences("test"), convention="nltk")
    assert laplace == pytest.approx(expected, rel=1e-9)
    # The paper's n-grams score an end symbol a gene, but for the 1-gram; those added here don't.
    bases = totals.loc["interpolated 4-gram", "symbols"]
    assert totals.loc[["1-gram", "2-gram"], "symbols"].tolist() == [bases, bases + len(corpus.indices("test"))]
    one = fit_published(corpus)["1-gram"].perplexity(corpus.sequences("test"), convention="nltk")
    assert np.exp(totals.loc["1-gram", "nats"] / bases) == pytest.approx(one, rel=1e-9)


def test_a_neural_column_is_filled_by_a_model_of_the_published_form_and_this_corpus(corpus):
    config = {"kind": "gpt", "form": "as_published", "layers": 1, "width": 6, "heads": 2, "context": 1023}
    published, tuned = build(config, device="cpu"), build({"kind": "gpt", "layers": 1, "width": 8, "heads": 2})
    published.trained_on = tuned.trained_on = digests(corpus)
    scored = score_protocol(corpus, {"a": tuned, "b": published}, orders=(2,))
    rows = scored[scored["model"] == "Transformer"]
    assert len(rows) == len(corpus.indices("test")) and rows["symbols"].max() == 1023
    assert (published_name(published, corpus), published_name(tuned, corpus)) == ("Transformer", None)
    for trained_on in ({"codes.npy": "another"}, {}):
        published.trained_on = trained_on
        assert published_name(published, corpus) is None
    assert "Transformer" not in set(score_protocol(corpus, {"b": published}, orders=(2,))["model"])
