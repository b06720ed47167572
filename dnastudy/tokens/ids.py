"""Token numbers that every vocabulary shares."""

from __future__ import annotations

import numpy as np

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BASES = ("A", "C", "G", "T")
FIRST_BASE = len(SPECIALS)
BASE_TO_ID = np.array([FIRST_BASE, FIRST_BASE + 1, FIRST_BASE + 2, FIRST_BASE + 3, UNK], dtype=np.int32)


def single_base_ids(codes: np.ndarray) -> np.ndarray:
    """Ids (int32, [n]) of base codes (uint8, [n]), one a base, in numpy alone."""
    return BASE_TO_ID[codes]
