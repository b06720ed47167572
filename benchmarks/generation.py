"""Bases a second sampled from a GPT and an LSTM: with their cache, without one, and by transformers' generate."""

import argparse

import numpy as np
import torch
from measure import machine, print_table, timed
from torch import Tensor

from dnastudy.models import build
from dnastudy.models.base import draw
from dnastudy.models.neural import NeuralModel
from dnastudy.tokens.tokenizer import CLS, FIRST_BASE

TEMPERATURE, TOP_K, TOP_P = 0.9, 3, 0.95


def without_cache(model: NeuralModel, n: int, length: int) -> Tensor:
    """Ids of ``n`` sequences sampled together, the whole of each read again for every base."""
    uniform = torch.from_numpy(np.random.default_rng(0).random((length, n))).to(model.device)
    ids = torch.full((n, 1), CLS, device=model.device)
    with model.evaluating():
        for step in range(length):
            logits, _ = model(ids)
            bases = draw(logits[:, -1, FIRST_BASE:], uniform[step], TEMPERATURE, TOP_K, TOP_P)
            ids = torch.cat([ids, bases[:, None] + FIRST_BASE], dim=1)
    return ids


def transformers_models(config: dict, device: torch.device) -> dict:
    """GPT-2 and Llama of the same layers, width, heads and context, with weights as they are drawn."""
    import transformers

    transformers.logging.set_verbosity_error()
    shared = {"vocab_size": 9, "bos_token_id": CLS, "eos_token_id": None, "pad_token_id": 0}
    layers, width, heads, context = (config[name] for name in ("layers", "width", "heads", "context"))
    gpt2 = transformers.GPT2Config(n_layer=layers, n_embd=width, n_head=heads, n_positions=context, **shared)
    llama = transformers.LlamaConfig(
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=heads,
        # Three matrices in place of two: a third less wide, for as many weights as ours has.
        intermediate_size=8 * width // 3,
        max_position_embeddings=context,
        **shared,
    )
    return {
        "transformers GPT-2": transformers.GPT2LMHeadModel(gpt2).eval().to(device),
        "transformers Llama": transformers.LlamaForCausalLM(llama).eval().to(device),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=32, help="sampled side by side")
    parser.add_argument("--length", type=int, default=250, help="bases in each")
    parser.add_argument("--context", type=int, default=1024, help="of the GPT")
    parser.add_argument("--repeat", type=int, default=1, help="times that each is timed; the median counts")
    arguments = parser.parse_args()
    n, length = arguments.sequences, arguments.length
    sampling = {"temperature": TEMPERATURE, "top_k": TOP_K, "top_p": TOP_P}
    print(f"{machine()}, {torch.get_num_threads()} threads; {n} sequences of {length} bases")
    rows = []

    def measure(name: str, call, count: int = n) -> None:
        rate = count * length / timed(call, repeat=arguments.repeat)
        rows.append({"": name, "bases/s": rate, "ours is times as fast": ours / rate if ours else 1.0})

    torch.manual_seed(0)
    for name, config in {
        "LSTM 2x256": {"kind": "lstm", "layers": 2, "width": 256},
        "GPT 4x256": {"kind": "gpt", "layers": 4, "width": 256, "heads": 4, "context": arguments.context},
    }.items():
        model = build(config)
        ours = None
        measure(f"{name}", lambda model=model: model.generate(n, length, **sampling))
        ours = rows[-1]["bases/s"]
        few = max(1, n // 8)  # its rate hardly depends on the batch: it is minutes for all of them
        measure(f"{name}, no cache", lambda model=model, few=few: without_cache(model, few, length), few)
    start = torch.full((n, 1), CLS, device=model.device)
    for name, other in transformers_models(config, model.device).items():
        measure(
            name,
            lambda other=other: other.generate(
                start,
                attention_mask=torch.ones_like(start),
                do_sample=True,
                min_new_tokens=length,
                max_new_tokens=length,
                **sampling,
            ),
        )
    print_table(rows)


if __name__ == "__main__":
    main()
