"""Seconds to score pairs of real and mutated genes, side by side and one sequence at a time."""

import argparse

import numpy as np
import torch
from measure import machine, print_table, timed

from dnastudy.models import build

MODELS = {
    "LSTM 2x256": {"kind": "lstm", "layers": 2, "width": 256},
    "GPT 4x256, context 256": {"kind": "gpt", "layers": 4, "width": 256, "context": 256},
    "GPT 4x256, context 1,024": {"kind": "gpt", "layers": 4, "width": 256, "context": 1024},
}


def pairs(count: int, length: int) -> list[np.ndarray]:
    """Random genes of about ``length`` bases, each followed by a copy with one base changed."""
    random = np.random.default_rng(0)
    sequences = []
    for bases in random.integers(length - length // 20, length + length // 20 + 1, size=count):
        real = random.integers(4, size=bases).astype(np.uint8)
        mutated = real.copy()
        place = random.integers(bases)
        mutated[place] = (mutated[place] + 1) % 4
        sequences += [real, mutated]
    return sequences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1000, help="pairs for the LSTM; a tenth of them for a GPT")
    parser.add_argument("--length", type=int, default=1000, help="bases in each, about")
    arguments = parser.parse_args()
    print(f"{machine()}, {torch.get_num_threads()} threads")
    print(f"goal: {arguments.pairs:,} pairs of {arguments.length:,} bases within 20 s for the LSTM on 2 cores")
    rows = []
    for name, config in MODELS.items():
        torch.manual_seed(0)
        model = build(config)
        some = pairs(max(1, arguments.pairs // (1 if config["kind"] == "lstm" else 10)), arguments.length)
        few = some[: max(2, len(some) // 50)]
        rate = sum(map(len, some)) / timed(lambda model=model, some=some: model.log_likelihood(some), repeat=1)
        alone = sum(map(len, few)) / timed(
            lambda model=model, few=few: [model.log_likelihood([one]) for one in few], repeat=1
        )
        rows.append(
            {
                "model": name,
                "pairs timed": len(some) // 2,
                f"seconds for {arguments.pairs:,}": 2 * arguments.pairs * arguments.length / rate,
                "kb/s": rate / 1e3,
                "kb/s one at a time": alone / 1e3,
                "times": rate / alone,
            }
        )
    print_table(rows)


if __name__ == "__main__":
    main()
