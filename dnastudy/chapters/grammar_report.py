"""Tables of 10_read_the_grammar's tokens: what components go with, what stays itself in context, the vocabulary."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata, zscore

from dnastudy.chapters.read_the_grammar import Sites
from dnastudy.models.bert import Bert
from dnastudy.study.statistics import mean_bootstrap, rank_correlations, weighted_sums
from dnastudy.tasks import embeddings, zero_shot

COMPONENTS = 6  # of the embeddings that are looked at
MIDDLE = 64  # bases of a window whose tokens are masked, one at a time
ALIKE = 0.99  # cosine of any two tokens from which a layer tells them hardly apart
FEWEST_TOKENS = 10  # to correlate anything over
_PAGE = """\
<div class="searchable">
<p><input type="search" placeholder="filter by letters" aria-label="filter" size="24"> <span></span></p>
<div style="max-height: 28em; overflow: auto"><table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody></table></div>
<script>
(function (root) {{
  const rows = [...root.querySelectorAll("tbody tr")], shown = root.querySelector("span");
  const value = (row, at) => row.cells[at].textContent;
  const compare = (one, other) => one - other || one.localeCompare(other);
  function filter(text) {{
    for (const row of rows) row.hidden = !value(row, 0).includes(text.toUpperCase());
    shown.textContent = rows.filter(row => !row.hidden).length + " of " + rows.length;
  }}
  root.querySelector("input").addEventListener("input", event => filter(event.target.value.trim()));
  root.querySelectorAll("th").forEach((head, at) => head.addEventListener("click", () => {{
    const up = head.dataset.up = head.dataset.up === "1" ? "" : "1";
    rows.sort((a, b) => (up ? 1 : -1) * compare(value(a, at), value(b, at)));
    rows.forEach(row => row.parentNode.append(row));
  }}));
  filter("");
}})(document.currentScript.parentNode);
</script>
</div>
"""


def masked_table(
    models: Mapping[str, Bert],
    windows: Sequence[np.ndarray],
    properties: pd.DataFrame,
    *,
    flank: int,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """What it costs to restore a masked token in the middle of windows, one at a time."""
    costs = {}
    length = min(map(len, windows))
    for name, model in models.items():
        middle = min(MIDDLE, model.context - 2, length)
        side = min(flank, (min(model.context - 2, length) - middle) // 2)
        middles = [codes[len(codes) // 2 - middle // 2 - side :][: middle + 2 * side] for codes in windows]
        cores = np.tile([side, side + middle], (len(middles), 1))
        window, token, nats = zero_shot.token_log_likelihoods(model, middles, cores)
        costs[name] = -nats / np.log(2)
    counts = np.bincount(properties.index, weights=properties["count"], minlength=token.max() + 1) + 1
    floor = costs["frequency"] = -np.log2(counts / counts.sum())[token]
    rows = []
    for name, bits in costs.items():
        cost, saved = (mean_bootstrap(each, window, resamples=resamples, seed=seed) for each in (bits, floor - bits))
        rows.append((name, *cost, *saved[:3]))
    return pd.DataFrame(rows, columns=["predictor", "bits", "low", "high", "n", "saved", "saved_low", "saved_high"])


def masked_finding(cost: pd.DataFrame) -> str:
    """In words, whether a model (the first of `masked_table`) restores tokens better than by frequency alone."""
    model, floor = cost.iloc[0], cost.set_index("predictor").loc["frequency"]
    verdict = "reads more than" if model["saved_low"] > 0 else "has little more to show than"
    saved = f"{model['saved']:+.2f} ({model['saved_low']:+.2f} to {model['saved_high']:+.2f})"
    return (
        f"{model['predictor']} {verdict} frequencies: a masked token costs {model['bits']:.2f} bits, "
        f"by frequency alone {floor['bits']:.2f}; saved {saved}"
    )


def gather_embeddings(
    models: Mapping[str, Bert],
    contexts: Mapping[str, embeddings.Contexts],
    properties: pd.DataFrame,
    word2vec: np.ndarray | None = None,
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Embeddings of the tokens that all of them have, by name: float, [tokens, width]."""
    model, untrained = models.values()
    found = {"embedding": _embedding(model), "in context": next(iter(contexts.values())).means()}
    found |= {} if word2vec is None else {"Word2Vec": word2vec}
    found["random start"] = _embedding(untrained)
    known = np.all([np.isfinite(its[properties.index]).all(axis=1) for its in found.values()], axis=0)
    properties = properties[known]
    return {name: its[properties.index] for name, its in found.items()}, properties


def token_map(vectors: np.ndarray, properties: pd.DataFrame) -> pd.DataFrame:
    """Properties of tokens with the first two components of their embeddings ([tokens, width]), as PC1 and PC2."""
    scores, _ = embeddings.principal_components(vectors, 2)
    return properties.assign(PC1=scores[:, 0], PC2=scores[:, 1])


def _embedding(model: Bert) -> np.ndarray:
    return model.embedding.weight.detach().cpu().numpy()


def variance_table(vectors: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Share of variance of the first components of each embedding ([tokens, width]): embedding, component, share."""
    shares = {name: embeddings.principal_components(its)[1] for name, its in vectors.items()}
    rows = [(name, number, share) for name, its in shares.items() for number, share in enumerate(its, 1)]
    return pd.DataFrame(rows, columns=["embedding", "component", "share"])


def component_table(
    vectors: Mapping[str, np.ndarray], properties: pd.DataFrame, *, resamples: int, seed: int
) -> pd.DataFrame:
    """Spearman's rho of the first components of each embedding with properties of its tokens."""
    names = list(embeddings.PROPERTIES)
    rows = []
    for name, its in vectors.items():
        scores, _ = embeddings.principal_components(its, COMPONENTS)
        found = rank_correlations(scores, properties[names], resamples=resamples, seed=seed)
        rows += [
            (name, component + 1, names[number], *found[component, number])
            for component in range(scores.shape[1])
            for number in range(len(names))
        ]
    return pd.DataFrame(rows, columns=["embedding", "component", "property", "rho", "low", "high"])


def strongest(components: pd.DataFrame) -> pd.DataFrame:
    """The component that each property goes with most, by embedding, beside GROVER's."""
    known = components.dropna(subset="rho")
    best = known.loc[known["rho"].abs().groupby([known["property"], known["embedding"]], sort=False).idxmax()]
    ends = np.sort(best[["low", "high"]].mul(np.sign(best["rho"]), axis=0).to_numpy(), axis=1)
    theirs: dict[str, list[str]] = {}
    for name, component, rho in embeddings.GROVER_CORRELATIONS:
        theirs.setdefault(name, []).append(f"{abs(rho):.2f} (PC{component})")
    grover = best["property"].map({name: ", ".join(its) for name, its in theirs.items()})
    table = best.assign(rho=best["rho"].abs(), low=ends[:, 0], high=ends[:, 1], GROVER=grover)
    return table[["property", "embedding", "component", "rho", "low", "high", "GROVER"]].reset_index(drop=True)


def similarity_table(contexts: Mapping[str, embeddings.Contexts], properties: pd.DataFrame, least: int) -> pd.DataFrame:
    """How alike a token's states are from window to window, by model and layer, anisotropy taken off."""
    tables = []
    for name, its in contexts.items():
        alike, anisotropy = embeddings.self_similarity(its, least)
        ids = properties.index[np.isfinite(alike[0, properties.index])]
        for layer, (values, between) in enumerate(zip(alike, anisotropy, strict=True)):
            columns = {"model": name, "layer": layer, "anisotropy": between, "id": ids}
            tables.append(pd.DataFrame(columns | {"similarity": values[ids] - between}))
    return pd.concat(tables, ignore_index=True).merge(properties, left_on="id", right_index=True)


def collapsed(similarity: pd.DataFrame) -> list[str]:
    """In words, which models' layers have nearly one state for all tokens, so that nothing is to be read off them."""
    lines = []
    for name, part in similarity.query("anisotropy > @ALIKE").groupby("model", sort=False):
        layers = ", ".join(map(str, sorted(set(part["layer"]))))
        lines.append(f"{name}: all tokens have nearly one state after layer {layers}, which say little of any of them")
    return lines


def similarity_correlations(similarity: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """Spearman's rho of self-similarity with what a token is, over tokens: model, layer, property, rho, low, high."""
    names = [name for name in ("in_repeats", "log frequency", "length") if name in similarity]
    rows = []
    for (model, layer), part in similarity.groupby(["model", "layer"], sort=False):
        if len(part) >= FEWEST_TOKENS:
            found = rank_correlations(part[["similarity"]], part[names], resamples=resamples, seed=seed)[0]
            rows += [(model, layer, name, *its) for name, its in zip(names, found, strict=True)]
    return pd.DataFrame(rows, columns=["model", "layer", "property", "rho", "low", "high"])


def vocabulary_table(
    properties: pd.DataFrame, similarity: pd.DataFrame, vectors: np.ndarray, nearest: int = 4
) -> pd.DataFrame:
    """All tokens that come, the commonest first: what they are, and how they stand to the model."""
    names = {"token": "token", "length": "length", "count": "count", "per Mb": "per Mb", "GC": "GC"}
    names |= {"in_repeats": "in repeats"} if "in_repeats" in properties else {}
    layers = similarity.pivot(index="id", columns="layer", values="similarity").reindex(properties.index)
    close = embeddings.neighbours(vectors, nearest)
    tokens = properties["token"].to_numpy()
    table = properties[list(names)].rename(columns=names)
    for name, layer in (("first", 1), ("last", layers.columns.max())):
        table[f"self-similarity, {name}"] = layers[layer] if layer in layers else np.nan
    table["nearest"] = [" ".join(tokens[row]) for row in close]
    return table.sort_values("count", ascending=False, kind="stable", ignore_index=True)


def searchable(table: pd.DataFrame) -> str:
    """A table as HTML: what is typed is looked for in the first column, and a click on a header sorts by its column."""
    head = "".join(f'<th style="cursor: pointer">{html.escape(str(name))}</th>' for name in table.columns)
    rows = ("".join(f"<td>{html.escape(_text(value))}</td>" for value in row) for row in table.itertuples(index=False))
    return _PAGE.format(head=head, body="\n".join(f"<tr>{row}</tr>" for row in rows))


def _text(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.3f}"
    return str(value)


def site_table(models: Mapping[str, Bert], sites: Sites, around: int, *, resamples: int, seed: int) -> pd.DataFrame:
    """What masked models, the untrained one last, expect at each place of sites and of some bases about them."""
    first, last = sites.core
    around = min(around, first)
    span = np.array([first - around, last + around])
    window = sites.codes[:, slice(*span)]
    motif = np.zeros(window.shape[1])
    motif[around : len(motif) - around] = zero_shot.information(sites.counts / sites.counts.sum(axis=1, keepdims=True))
    spans, found = np.tile(span, (len(sites.codes), 1)), {}
    for name, model in models.items():
        chances = zero_shot.base_probabilities(model, sites.codes, spans)
        found[name] = zero_shot.bits_gained(chances, window, _shares(sites))
    untrained, tables = list(found.values())[-1], []
    for name, bits in found.items():
        columns = {"model": name, "place": np.arange(len(motif)) - around, "motif": motif}
        for column, values in (("", bits), ("_over_untrained", bits - untrained)):
            ends = np.quantile(weighted_sums(values.T, resamples, seed) / len(values), [0.025, 0.975], axis=1)
            columns |= {f"bits{column}": values.mean(axis=0), f"low{column}": ends[0], f"high{column}": ends[1]}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def locus_table(model: Bert, sites: Sites, around: int) -> pd.DataFrame:
    """What a masked model says of the first of some sites, base by base."""
    first, last = sites.core
    around = min(around, first)
    span = np.array([first - around, last + around])
    codes = sites.codes[0]
    told = zero_shot.base_probabilities(model, [codes], span[None])
    bits = zero_shot.bits_gained(told, codes[None, slice(*span)], _shares(sites))[0]
    cost = zero_shot.substitution_effects(model, codes, *span).sum(axis=1) / 3
    columns = {"place": np.arange(len(bits)) - around, "code": codes[slice(*span)], "bits": bits, "cost": cost}
    return pd.DataFrame(columns)


def motif_correlations(expected: pd.DataFrame, *, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Does a model expect the bases most where the motif is most sure of them?"""
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
