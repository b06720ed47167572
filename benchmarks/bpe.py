"""How fast byte-pair merges are learnt, in how much memory, and sequences encoded; beside the usual trainers.

All learn on the known bases in chunks of 10 kb: the trainer of `tokenizers` keeps each chunk as a word, and slows
down with its length. Where merges must be the same, they are compared. Each run is a process of its own; its peak
counts all that the process holds. The seconds are those of the training alone.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from measure import in_fresh_process, machine, print_table, timed

from dnastudy.genes import decode, fetch, read_fasta

CHUNK = 10_000
GENOME = 3_100_000_000


def texts(path: Path, bases: int) -> Iterator[str]:
    """The chunks of known bases as strings."""
    codes = np.load(path, mmap_mode="r")[:bases]
    for start in range(0, len(codes), CHUNK):
        yield decode(codes[start : start + CHUNK])


def ours(path: Path, bases: int, merges: int, *, stream: bool = False) -> tuple[float, list]:
    """`train_bpe`; compiled beforehand."""
    from dnastudy.tokens import train_bpe

    codes = np.load(path, mmap_mode="r")[:bases]
    train_bpe(np.array(codes[:100_000]), 40)
    start = time.perf_counter()
    learnt = train_bpe(codes, merges, None if stream else np.arange(0, len(codes), CHUNK))
    return time.perf_counter() - start, learnt.merges


def by_tokenizers(path: Path, bases: int, merges: int) -> tuple[float, list]:
    from tokenizers import Tokenizer, models, trainers

    library = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=4 + merges, initial_alphabet=list("ACGT"), show_progress=False)
    start = time.perf_counter()
    library.train_from_iterator(texts(path, bases), trainer)
    seconds = time.perf_counter() - start
    return seconds, [tuple(pair) for pair in json.loads(library.to_str())["model"]["merges"]]


def by_sentencepiece(path: Path, bases: int, merges: int) -> tuple[float, None]:
    import sentencepiece

    start = time.perf_counter()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=texts(path, bases),
        model_writer=io.BytesIO(),
        model_type="bpe",
        vocab_size=7 + merges,
        max_sentence_length=2 * CHUNK,
        max_sentencepiece_length=64,
        add_dummy_prefix=False,
        minloglevel=2,
    )
    return time.perf_counter() - start, None


def by_bpeasy(path: Path, bases: int, merges: int) -> tuple[float, None]:
    import bpeasy

    start = time.perf_counter()
    bpeasy.train_bpe(texts(path, bases), "[ACGT]+", CHUNK, 256 + merges)
    return time.perf_counter() - start, None


def by_rustbpe(path: Path, bases: int, merges: int) -> tuple[float, None]:
    import rustbpe

    start = time.perf_counter()
    rustbpe.Tokenizer().train_from_iterator(texts(path, bases), 256 + merges, pattern="[ACGT]+")
    return time.perf_counter() - start, None


OTHERS = {
    "tokenizers": by_tokenizers,
    "sentencepiece": by_sentencepiece,
    "bpeasy": by_bpeasy,
    "rustbpe": by_rustbpe,
}


def row(
    name: str, trainer: Callable, path: Path, bases: int, merges: int, beside: dict | None = None, repeat: int = 1
) -> tuple:
    """A row of the table, and the merges learnt; ratios are to the row ``beside``, or to itself."""
    runs = [in_fresh_process(trainer, path, bases, merges) for _ in range(repeat)]
    seconds = statistics.median(seconds for (seconds, _), _, _ in runs)
    (_, learnt), _, peak = runs[0]
    found = {"trainer": name, "Mb": bases / 1e6, "merges": merges, "seconds": seconds, "MB": peak}
    beside = beside or found
    found |= {"times as fast": beside["seconds"] / seconds, "of its memory": peak / beside["MB"]}
    return found, learnt


def encoding(path: Path, merges: list) -> list[dict]:
    """Seconds to encode a chromosome, a megabase and a thousand bases, beside `tokenizers`."""
    from tokenizers import Tokenizer as Library
    from tokenizers import models

    from dnastudy.tokens import Tokenizer

    tokenizer, rows = Tokenizer(merges), []
    library = Library(models.BPE({token: number for number, token in enumerate(tokenizer.tokens)}, merges))
    codes = np.load(path)
    for bases in (1_000, 1_000_000, len(codes)):
        part = codes[:bases]
        found = {"Mb": bases / 1e6, "seconds": timed(lambda part=part: tokenizer.encode(part))}
        if bases <= 1_000_000:
            text = decode(part)
            theirs = timed(lambda text=text: library.encode(text).ids)
            assert library.encode(text).ids == tokenizer.encode(part).tolist()
        rows.append(found | {"tokenizers": theirs if bases <= 1_000_000 else float("nan")})
    return rows


def known_bases(folder: Path) -> tuple[Path, Path]:
    """Known bases of chr19, and of chr19 and chr22, as files."""
    files = fetch("chr19-chr22")
    codes = [next(read_fasta(files[name])).codes for name in ("chr19.fa", "chr22.fa")]
    codes = [one[one < 4] for one in codes]
    np.save(folder / "chr19.npy", codes[0])
    np.save(folder / "both.npy", np.concatenate(codes))
    return folder / "chr19.npy", folder / "both.npy"


def synthetic_genome(both: Path, path: Path) -> None:
    """3.1 Gb out of 98 Mb: copies in which each base is replaced by a random one with a chance of a tenth."""
    codes, random = np.load(both), np.random.default_rng(0)
    genome = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(GENOME,))
    for start in range(0, GENOME, len(codes)):
        copy = codes[: GENOME - start].copy()
        places = random.integers(len(copy), size=len(copy) // 10)
        copy[places] = random.integers(4, size=len(places), dtype=np.uint8)
        genome[start : start + len(copy)] = copy
    genome.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--merges", type=int, default=600)
    parser.add_argument("--bases", type=int, default=0, help="of chr19 for the first comparison (default: all)")
    parser.add_argument("--other-bases", type=int, default=3_000_000, help="for the slower trainers (default 3 Mb)")
    parser.add_argument("--genome", action="store_true", help="also 3.1 Gb of synthetic genome: 16 GB, some minutes")
    parser.add_argument("--json", type=Path, help="write the tables there too")
    arguments = parser.parse_args()
    merges = arguments.merges
    with tempfile.TemporaryDirectory() as folder:
        chr19, both = known_bases(Path(folder))
        bases = arguments.bases or len(np.load(chr19, mmap_mode="r"))
        theirs, expected = row("tokenizers", by_tokenizers, chr19, bases, merges)
        mine, learnt = row("train_bpe", ours, chr19, bases, merges, theirs, repeat=3)
        if learnt != expected:
            raise SystemExit("train_bpe and tokenizers learnt different merges")
        stream, _ = row("train_bpe, one stream", partial(ours, stream=True), chr19, bases, merges, theirs)
        many, _ = row("train_bpe", ours, chr19, bases, 5000, theirs)
        print(f"{machine()}; the same {merges} merges as tokenizers learns; goals: 40 times as fast, 0.2 of its memory")
        print_table(first := [theirs, mine, stream, many])
        small = min(arguments.other_bases, bases)
        reference, _ = row("train_bpe", ours, chr19, small, merges)
        others = [row(name, trainer, chr19, small, merges, reference)[0] for name, trainer in OTHERS.items()]
        print_table(second := [reference, *others])
        sizes = [10_000_000, 30_000_000, len(np.load(both, mmap_mode="r"))]
        grown = [row("train_bpe", ours, both, size, merges)[0] for size in sizes]
        slope, rest = np.polyfit([one["Mb"] for one in grown], [one["seconds"] for one in grown], 1)
        each, held = np.polyfit([one["Mb"] for one in grown], [one["MB"] for one in grown], 1)
        print_table(grown)
        genome = GENOME / 1e6
        print(
            f"linear fit: {rest:.2f} s + {slope * 1e3:.1f} s a Gb; 3.1 Gb: {(rest + slope * genome) / 60:.1f} min, "
            f"{(held + each * genome) / 1e3:.1f} GB (goals: 5 min, 16 GB)"
        )
        if arguments.genome:
            synthetic_genome(both, Path(folder) / "genome.npy")
            whole, _ = row("train_bpe", ours, Path(folder) / "genome.npy", GENOME, merges)
            print_table([whole])
            grown.append(whole)
        print("encoding with these merges")
        print_table(encoded := encoding(chr19, learnt))
    if arguments.json:
        tables = {"same chunks": first, "others": second, "size": grown, "encoding": encoded}
        arguments.json.write_text(json.dumps({"machine": machine(), **tables}, indent=2) + "\n")


if __name__ == "__main__":
    main()
