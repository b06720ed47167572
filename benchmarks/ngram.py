"""How fast n-gram and copy models count and score, and their peak memory; beside NLTK's Laplace of order 8.

NLTK counts a part of the genes, as many as take it seconds; its dictionaries grow slower with more, so the
ratio is kind to it. The peak is that of a process that fits, weights too, and scores a million bases.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import in_fresh_process, machine, print_table, timed

from dnastudy.genes import Corpus, decode, extract_genes, fetch
from dnastudy.models import CopyModel, NgramModel

MODELS = {
    "order 8, laplace": lambda: NgramModel(8, "laplace"),
    "order 8": lambda: NgramModel(8),
    "orders 1-13": lambda: NgramModel(13),
    "orders 1-24": lambda: NgramModel(24),
    "copy model": CopyModel,
}


def spans(corpus: Corpus, split: str, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """All codes, and the spans of a split's genes, up to ``most`` bases of them."""
    places = corpus.spans(split)
    lengths = places[:, 1] - places[:, 0]
    return corpus.all_codes, places if most is None else places[np.cumsum(lengths) - lengths < most]


def bases(sequences: tuple[np.ndarray, np.ndarray]) -> int:
    return int((sequences[1][:, 1] - sequences[1][:, 0]).sum())


def fit(name: str, corpus: Corpus, validation: bool = True):
    """A fitted model. Without ``validation`` it is counted alone, save the copy model."""
    given = spans(corpus, "validation") if validation or name == "copy model" else None
    return MODELS[name]().fit(spans(corpus, "train"), validation=given)


def fit_and_score(name: str, folder: str) -> None:
    corpus = Corpus.load(folder)
    fit(name, corpus).base_log_likelihoods(spans(corpus, "test", 1_000_000))


def nltk_seconds(genes: tuple[np.ndarray, np.ndarray], order: int) -> float:
    """Seconds that NLTK's Laplace takes to count the genes."""
    from nltk.lm import Laplace
    from nltk.lm.preprocessing import padded_everygram_pipeline

    sentences = [list(decode(genes[0][start:end])) for start, end in genes[1]]
    start = time.perf_counter()
    ngrams, vocabulary = padded_everygram_pipeline(order, sentences)
    Laplace(order).fit(ngrams, vocabulary)
    return time.perf_counter() - start


def rows(corpus: Corpus, nltk_bases: int, repeat: int) -> list[dict]:
    """The table: a row for each thing timed."""
    found, test = [], spans(corpus, "test")

    def add(what: str, count: int, seconds: float, peak: float = float("nan")) -> None:
        rate = count / seconds / 1e6
        nltk = found[0]["Mb/s"] if found else rate
        ratio = rate / nltk if what.startswith("count") else float("nan")
        found.append({"": what, "bases": count, "seconds": seconds, "Mb/s": rate, "times NLTK": ratio, "MB": peak})

    genes = spans(corpus, "train", nltk_bases)
    add("count: NLTK Laplace(8)", bases(genes), nltk_seconds(genes, 8))
    for name in MODELS:
        _, _, peak = in_fresh_process(fit_and_score, name, str(corpus.folder))
        count = bases(spans(corpus, "train"))
        if name != "copy model":
            add(f"count: {name}", count, timed(lambda name=name: fit(name, corpus, validation=False), repeat), peak)
        if name.startswith("orders") or name == "copy model":
            # Once each: the process before has left the compiled code behind.
            start = time.perf_counter()
            model = fit(name, corpus)
            fitted = time.perf_counter()
            model.base_log_likelihoods(test)
            add(f"fit: {name}", count, fitted - start, peak)
            add(f"score: {name}", bases(test), time.perf_counter() - fitted, peak)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="corpus folder (default: genes of chr19 and chr22, extracted)")
    parser.add_argument("--nltk-bases", type=int, default=300_000, help="bases that NLTK counts (default 300000)")
    parser.add_argument("--repeat", type=int, default=3, help="times that counting is timed; the median counts")
    parser.add_argument("--json", type=Path, help="write the table there too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus.load(arguments.corpus) if arguments.corpus else chromosomes(Path(folder))
        table = rows(corpus, arguments.nltk_bases, arguments.repeat)
    print(machine())
    print_table(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "rows": table}, indent=2) + "\n")


def chromosomes(folder: Path) -> Corpus:
    files = fetch("chr19-chr22")
    genomes = [files["chr19.fa"], files["chr22.fa"]]
    return extract_genes(genomes, [files["chr19.gff3"], files["chr22.gtf"]], folder / "corpus")


if __name__ == "__main__":
    main()
