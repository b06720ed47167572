"""A small corpus whose genes are easily learnt."""

from pathlib import Path

import numpy as np
import pandas as pd

from dnastudy.genes.corpus import Corpus, write_corpus

LENGTHS = [300, 250, 20, 400, 200, 260, 300, 40]
SPLIT = [0, 0, 0, 0, 0, 1, 1, 2]


def periodic_corpus(folder: Path, *, split: list[int] = SPLIT, first_base: int = 0) -> Corpus:
    """Eight genes of a period of 7 bases, one of them short, one with an unknown base."""
    codes = [np.resize([0, 1, 2, 3, 3, 1, 0], length).astype(np.uint8) for length in LENGTHS]
    codes[0][50] = 4
    codes[0][0] = first_base
    genes = pd.DataFrame({"contig": "", "start": 0, "end": LENGTHS, "locus": range(len(LENGTHS))})
    return write_corpus(folder, codes, genes, np.array(split, dtype=np.uint8), {}, {})
