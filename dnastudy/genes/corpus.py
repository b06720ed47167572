"""A corpus on disk: coded genes end to end, their splits and intervals, and windows that sample them."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dnastudy import __version__
from dnastudy.files import InputError, atomic_path, read_json, sha256, write_json
from dnastudy.genes.codes import decode

if TYPE_CHECKING:
    import pandas as pd


SPLITS = ("train", "validation", "test")
FILES = ("codes.npy", "offsets.npy", "split.npy", "genes.parquet", "intervals.parquet")


class Corpus:
    """Genes of one study, read from the folder that `extract_genes` or `load_sequences` wrote.

    Attributes
    ----------
    folder
        Where it stands.
    all_codes
        uint8, shape ``(bases,)``: A C G T = 0 1 2 3, anything else 4; genes end to end, each in its own
        orientation, memory-mapped.
    offsets
        int64, shape ``(genes + 1,)``: where each gene begins in ``all_codes``, and last its length.
    split
        uint8, shape ``(genes,)``: 0 train, 1 validation, 2 test (`SPLITS`).
    info
        Identity of the inputs, what was done to them, what was dropped and why.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.info = read_json(self.folder / "corpus.json")
        self.all_codes = np.load(self.folder / "codes.npy", mmap_mode="r", allow_pickle=False)
        self.offsets = np.load(self.folder / "offsets.npy", allow_pickle=False)
        self.split = np.load(self.folder / "split.npy", allow_pickle=False)

    @classmethod
    def load(cls, folder: str | Path) -> Corpus:
        """Open a corpus after checking that each of its files is the one that was written."""
        folder = Path(folder)
        if not (folder / "corpus.json").is_file():
            raise InputError(f"{folder}: no corpus there; expected a folder as notebook 01_extract_genes makes one")
        expected = read_json(folder / "corpus.json").get("files", {})
        for name in FILES:
            if not (folder / name).is_file():
                raise InputError(f"{folder / name}: missing from the corpus; extract it again")
            if (found := sha256(folder / name)) != expected.get(name):
                raise InputError(
                    f"{folder / name}: changed since the corpus was made; expected sha256 "
                    f"{expected.get(name)}, found {found}. Extract it again"
                )
        return cls(folder)

    def __len__(self) -> int:
        return len(self.split)

    @cached_property
    def genes(self) -> pd.DataFrame:
        """One row a gene: id, symbol, type, contig, start, end, strand, locus, tss; family where families were found.

        ``start`` and ``end`` are genomic, 0-based and half-open; ``locus`` numbers the merged overlapping
        spans of either strand in one split; ``tss`` lists genomic positions at which complete coding transcripts
        begin; ``family`` numbers homology families.
        """
        import pandas as pd

        return pd.read_parquet(self.folder / "genes.parquet")

    @cached_property
    def intervals(self) -> pd.DataFrame:
        """kind, start, end: half-open, in corpus coordinates, sorted and merged within each kind."""
        import pandas as pd

        return pd.read_parquet(self.folder / "intervals.parquet")

    def codes(self, gene: int) -> np.ndarray:
        """Base codes of one gene, uint8, in its own orientation."""
        return self.all_codes[self.offsets[gene] : self.offsets[gene + 1]]

    def indices(self, split: str) -> np.ndarray:
        """Numbers of the genes of a split, ascending, int64."""
        if split not in SPLITS:
            raise InputError(f"no split {split!r}; expected one of {', '.join(SPLITS)}")
        numbers = np.flatnonzero(self.split == SPLITS.index(split))
        if not len(numbers):
            raise InputError(f"{self.folder}: no {split} genes; extract it with a {split} split")
        return numbers

    def sequences(self, split: str) -> list[str]:
        """Genes of a split as strings over A C G T N, in corpus order."""
        return [decode(self.codes(gene)) for gene in self.indices(split)]

    def spans(self, split: str) -> np.ndarray:
        """Where the genes of a split begin and end in ``all_codes``; int64, shape ``(genes, 2)``."""
        numbers = self.indices(split)
        return np.stack([self.offsets[numbers], self.offsets[numbers + 1]], axis=1)

    def cut(self, windows: pd.DataFrame) -> list[str]:
        """The sequence of each window (``start`` and ``end`` in corpus coordinates), over A C G T N."""
        return [decode(self.all_codes[s:e]) for s, e in zip(windows["start"], windows["end"], strict=True)]

    def inside(self, kind: str) -> np.ndarray:
        """Whether each base lies in an interval of ``kind``; bool, shape ``(bases,)``."""
        chosen = self.intervals[self.intervals["kind"] == kind]
        mask = np.zeros(len(self.all_codes), dtype=bool)
        for start, end in zip(chosen["start"], chosen["end"], strict=True):
            mask[start:end] = True
        return mask


def write_corpus(
    out: str | Path,
    codes: list[np.ndarray],
    genes: pd.DataFrame,
    split: np.ndarray,
    intervals: dict[str, tuple[np.ndarray, np.ndarray]],
    info: dict,
) -> Corpus:
    """Write a corpus and open it."""
    import pandas as pd

    from dnastudy.genes.intervals import runs, union_length
    from dnastudy.genes.kmers import shared_mask

    offsets = np.cumsum([0, *map(len, codes)], dtype=np.int64)
    flat = np.concatenate(codes)
    mask = shared_mask(flat, offsets, split)
    intervals = {**intervals, "shared": runs(mask, offsets)}
    tables = [pd.DataFrame({"kind": kind, "start": s, "end": e}) for kind, (s, e) in intervals.items()]
    line = contig_line(genes)
    splits = {}
    for number, name in enumerate(SPLITS):
        here = split == number
        span = genes["end"][here] - genes["start"][here]
        starts = genes["start"][here] + line[here]
        splits[name] = {
            "genes": int(here.sum()),
            "loci": int(genes["locus"][here].nunique()),
            "span_bases": int(span.sum()),
            "union_bases": union_length(starts, starts + span),
        }
    # All files are written before the first takes its name; corpus.json, with the digests of the others, is the last
    # (a stack is left in reverse order), so that a corpus replaced by half is noticed on loading.
    with ExitStack() as stack:
        partial = {name: stack.enter_context(atomic_path(Path(out) / name)) for name in ("corpus.json", *FILES)}
        for name, array in (("codes.npy", flat), ("offsets.npy", offsets), ("split.npy", split.astype(np.uint8))):
            with open(partial[name], "wb") as handle:
                np.save(handle, array)
        genes.to_parquet(partial["genes.parquet"], index=False)
        pd.concat(tables, ignore_index=True).to_parquet(partial["intervals.parquet"], index=False)
        files = {name: sha256(partial[name]) for name in FILES}
        write_json(partial["corpus.json"], {"dnastudy": __version__, **info, "splits": splits, "files": files})
    return Corpus(out)


def contig_line(genes: pd.DataFrame) -> np.ndarray:
    """Offset that lays each gene's contig after the one before it, so that one axis holds them all; int64."""
    # One base apart, so that no interval touches the next contig. A ready sequence lies on a line of its own.
    names = genes["contig"].where(genes["contig"] != "", genes.index.astype(str))
    lengths = genes["end"].groupby(names, sort=False).max() + 1
    return names.map(lengths.cumsum() - lengths).to_numpy(dtype=np.int64)


def whole_genes(corpus: Corpus, split: str) -> pd.DataFrame:
    """Every gene of a split as a window of its own; the columns are those of `windows`."""
    import pandas as pd

    spans, numbers = corpus.spans(split), corpus.indices(split)
    locus = corpus.genes["locus"].to_numpy()[numbers]
    return pd.DataFrame({"gene": numbers, "start": spans[:, 0], "end": spans[:, 1], "locus": locus})


def windows(corpus: Corpus, split: str, *, length: int = 1024, count: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Choose windows that sample a split's loci evenly, whatever genes overlap there.

    The split's merged loci are laid end to end and ``count`` evenly spaced positions are taken on them, with
    one random offset. At each position, a random gene that covers it gives a window of ``length`` bases
    around it, moved to lie inside the gene; a shorter gene gives all of itself. A window that would hold a
    genomic base a second time is left out, so there may be fewer than ``count``.
    """
    import pandas as pd

    if length < 1 or count < 1:
        raise InputError(f"windows: expected length and count of 1 or more, found {length} and {count}")
    numbers = corpus.indices(split)
    random = np.random.default_rng(seed)
    genes = corpus.genes.iloc[numbers]
    locus = genes["locus"].to_numpy()
    left, right = genes["start"].to_numpy(), genes["end"].to_numpy()
    loci = genes.groupby("locus").agg(start=("start", "min"), end=("end", "max"))
    reach = np.cumsum(loci["end"] - loci["start"]).to_numpy()
    step = reach[-1] / count
    positions = np.minimum((random.uniform(0, step) + step * np.arange(count)).astype(np.int64), reach[-1] - 1)
    rows, taken = [], {}
    for position in positions:
        place = int(np.searchsorted(reach, position, side="right"))
        name = loci.index[place]
        base = loci["end"].iloc[place] - (reach[place] - position)
        gene = random.choice(np.flatnonzero((locus == name) & (left <= base) & (base < right)))
        start = max(left[gene], min(base - length // 2, right[gene] - length))
        end = min(start + length, right[gene])
        before = taken.setdefault(name, [])
        if any(start < other_end and other_start < end for other_start, other_end in before):
            continue
        before.append((start, end))
        forward = genes["strand"].iloc[gene] == "+"
        first = corpus.offsets[numbers[gene]] + (start - left[gene] if forward else right[gene] - end)
        rows.append((numbers[gene], first, first + end - start, name))
    return pd.DataFrame(rows, columns=["gene", "start", "end", "locus"]).astype(np.int64)
