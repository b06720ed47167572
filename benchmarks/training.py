"""How fast models train: the loop against a bare one, bf16 against fp32, nanoGPT's shape, and torch.compile.

Rates are bases a second, validation apart. Compared loops take turns, so that a busy machine slows both, each
run in a process of its own, so that no setting of one reaches the other.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measure import in_fresh_process, machine, print_table
from torch import Tensor, nn
from torch.nn import functional

from dnastudy.genes import Corpus, extract_genes, fetch
from dnastudy.models import TrainingConfig, build, train
from dnastudy.models.batches import CorpusSource
from dnastudy.models.neural import IGNORED, keep_freed_memory
from dnastudy.models.training import parameter_groups, use_bf16

LSTM = {"kind": "lstm", "layers": 2, "width": 256}
GPT = {"kind": "gpt", "layers": 4, "width": 256, "heads": 4, "context": 256}
BATCHES = {"lstm": 16, "gpt": 8}  # small, since on two cores many updates are worth more than many windows
PUBLISHED_BATCH = 64
WINDOW = 256


class PlainGPT(nn.Module):
    """The shape of nanoGPT's model: learned positions, pre-norm blocks, one matrix for q, k and v, a tied head."""

    def __init__(self, layers: int, width: int, heads: int, context: int, vocabulary: int = 9):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(PlainBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        self.apply(self._initialise)

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        hidden = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            hidden = block(hidden)
        logits = functional.linear(self.norm(hidden), self.tokens.weight)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


class PlainBlock(nn.Module):
    """Attention and a feed-forward net, without biases."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.attend, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        rows, positions, width = hidden.shape
        parts = self.attend(self.first(hidden)).split(width, dim=2)
        shape = (rows, positions, self.heads, width // self.heads)
        mixed = functional.scaled_dot_product_attention(*(p.view(shape).transpose(1, 2) for p in parts), is_causal=True)
        hidden = hidden + self.out(mixed.transpose(1, 2).reshape(rows, positions, width))
        return hidden + self.down(functional.gelu(self.up(self.second(hidden))))


def ours(
    model: dict, corpus: Path, steps: int, device: str, precision: str, batch: int = 0, compile: bool = False
) -> float:
    """The rate of `train`: validated once half-way, which is not counted, and at the end."""
    config = TrainingConfig(
        steps=2 * steps,
        batch=batch or BATCHES[model["kind"]],
        window=WINDOW,
        warmup=0,
        validate_every=steps,
        validation_windows=8,
        precision=precision,
        compile=compile,
    )
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as out:
        network = build(model, device=device)
        history = train(network, CorpusSource(Corpus.load(corpus), config), out, config, device=device, progress=False)
    return history[-1]["bases_per_second"]  # of the second half: compiled, warm


def bare(
    model: dict, corpus: Path, steps: int, device: str, precision: str, batch: int = 0, *, allocator: bool = True
) -> float:
    """The rate of the same model, batch and optimiser with nothing else in the loop, the batches drawn beforehand.

    Without ``allocator`` freed memory goes back to the system, as by default.
    """
    if allocator:
        keep_freed_memory()
    config = TrainingConfig(batch=batch or BATCHES[model["kind"]], window=WINDOW)
    source = CorpusSource(Corpus.load(corpus), config)
    batches = [tuple(part.to(device) for part in source.draw(step)) for step in range(steps)]
    torch.manual_seed(0)
    network = build(model, device=device).train()
    autocast = autocast_of(device, precision)
    groups = parameter_groups(list(network.parameters()), config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=device == "cuda")

    def step(inputs: Tensor, targets: Tensor) -> None:
        with autocast:
            logits, _ = network(inputs)
        loss = functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    seconds = timed_steps(step, batches)
    return sum(source.bases(*batch) for batch in batches) / seconds


def plain_gpt(corpus: Path, steps: int, device: str, precision: str, *, allocator: bool = False) -> float:
    """The rate of nanoGPT's published loop: a batch from a memory map, autocast, forward, backward, clip, AdamW."""
    if allocator:
        keep_freed_memory()
    stream = np.asarray(Corpus.load(corpus).all_codes)
    batch = BATCHES["gpt"]

    def draw() -> tuple[Tensor, Tensor]:
        starts = torch.randint(len(stream) - WINDOW - 1, (batch,))
        rows = [torch.from_numpy(stream[start : start + WINDOW + 1].astype(np.int64)) for start in starts]
        rows = torch.stack(rows).to(device)
        return rows[:, :-1], rows[:, 1:]

    torch.manual_seed(0)
    model = PlainGPT(GPT["layers"], GPT["width"], GPT["heads"], GPT["context"]).to(device)
    autocast = autocast_of(device, precision)
    groups = parameter_groups(list(model.parameters()), 0.1)
    optimizer = torch.optim.AdamW(groups, lr=6e-4, betas=(0.9, 0.95), fused=device == "cuda")
    inputs, targets = draw()

    def step() -> None:
        nonlocal inputs, targets
        with autocast:
            loss = model(inputs, targets)
        inputs, targets = draw()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return steps * batch * WINDOW / timed_steps(step, [()] * steps)


def autocast_of(device: str, precision: str) -> torch.autocast:
    return torch.autocast(device, torch.bfloat16, enabled=use_bf16(precision, torch.device(device)))


def timed_steps(step: Callable[..., None], batches: list[tuple]) -> float:
    """Seconds for one step with each batch, after three that aren't counted."""
    for batch in batches[:3]:
        step(*batch)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    for batch in batches:
        step(*batch)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def compared(what: str, one: Callable[[], float], other: Callable[[], float], goal: float, repeat: int) -> dict:
    """Both rates, taking turns, each in a process of its own, and the median of their ratios."""
    rates = [(in_fresh_process(one)[0], in_fresh_process(other)[0]) for _ in range(repeat)]
    ratio = statistics.median(first / second for first, second in rates)
    return {
        "comparison": what,
        "bases/s": statistics.median(first for first, _ in rates),
        "against": statistics.median(second for _, second in rates),
        "ratio": ratio,
        "goal": "" if math.isnan(goal) else f">= {goal}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="corpus folder (default: the embedded sample's)")
    parser.add_argument("--steps", type=int, default=20, help="steps timed in each run (default 20)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, taking turns (default 3)")
    parser.add_argument("--precision", default="auto", help="of the comparisons but bf16/fp32 (default auto)")
    parser.add_argument("--only", default="", help="only the comparisons with this in their name")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile, which takes a minute")
    parser.add_argument("--json", type=Path, help="write the table there too")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = arguments.precision

    with tempfile.TemporaryDirectory() as folder:
        corpus = arguments.corpus or sample_corpus(Path(folder))
        common = {"corpus": corpus, "steps": arguments.steps, "device": device}
        lstm, gpt = ({"model": model, "precision": precision} | common for model in (LSTM, GPT))
        many = {"batch": PUBLISHED_BATCH, "steps": max(1, arguments.steps // 3)}
        bf16, fp32 = {"precision": "bf16"}, {"precision": "fp32"}
        pairs = [
            ("LSTM 2x256: train / bare loop", partial(ours, **lstm), partial(bare, **lstm), 0.95),
            ("GPT 4x256: train / bare loop", partial(ours, **gpt), partial(bare, **gpt), 0.95),
            *(
                row
                for size, settings in ((BATCHES["lstm"], {}), (PUBLISHED_BATCH, many))
                for row in (
                    (
                        f"LSTM 2x256, batch {size}: bf16, memory kept / plain fp32 loop",
                        partial(ours, **lstm | settings | bf16),
                        partial(bare, **lstm | settings | fp32, allocator=False),
                        1.8,
                    ),
                    (
                        f"LSTM 2x256, batch {size}: bf16 / fp32",
                        partial(ours, **lstm | settings | bf16),
                        partial(ours, **lstm | settings | fp32),
                        1.8,
                    ),
                )
            ),
            ("GPT 4x256: bf16 / fp32", partial(ours, **gpt | bf16), partial(ours, **gpt | fp32), math.nan),
            *(
                (
                    f"GPT 4x256: train / nanoGPT's loop{', memory kept' * kept}",
                    partial(ours, **gpt),
                    partial(plain_gpt, **common, precision=precision, allocator=kept),
                    1.0,
                )
                for kept in (False, True)
            ),
        ]
        if arguments.compile:
            pairs += [
                ("LSTM 2x256: compiled / not", partial(ours, **lstm, compile=True), partial(ours, **lstm), math.nan),
                ("GPT 4x256: compiled / not", partial(ours, **gpt, compile=True), partial(ours, **gpt), math.nan),
            ]
        rows = [compared(*pair, arguments.repeat) for pair in pairs if arguments.only in pair[0]]
    print(f"{machine()}; {torch.get_num_threads()} threads, {arguments.steps} steps, {arguments.repeat} runs of each")
    print_table(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


def sample_corpus(folder: Path) -> Path:
    files = fetch("sample", dest=folder / "sample")
    genomes = [files["chr19.fa.gz"], files["chr22.fa.gz"]]
    return extract_genes(genomes, [files["chr19.gff3.gz"], files["chr22.gtf.gz"]], folder / "corpus").folder


if __name__ == "__main__":
    main()
