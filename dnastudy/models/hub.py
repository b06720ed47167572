"""BERT to and from folders of the ``transformers`` library: equal logits either way, safetensors alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError

from dnastudy.files import InputError, read_json
from dnastudy.genes.codes import UNKNOWN, as_codes, decode
from dnastudy.models.base import KINDS
from dnastudy.models.bert import EPSILON, Bert
from dnastudy.models.checkpoint import into
from dnastudy.models.neural import pick_device
from dnastudy.tokens.tokenizer import SPECIALS, UNK, Tokenizer, load_foreign

_TYPES = "bert.embeddings.token_type_embeddings.weight"
_SETTINGS = {
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "context": "max_position_embeddings",
}
_NAMES = {  # parts of a tensor's name there, in the order in which they are replaced by ours
    "bert.embeddings.word_embeddings": "embedding",
    "bert.embeddings.position_embeddings": "positions",
    "bert.embeddings.LayerNorm": "norm",
    "bert.encoder.layer": "blocks",
    "attention.self.query": "attention.queries_keys_values",
    "attention.self.key": "attention.queries_keys_values",
    "attention.self.value": "attention.queries_keys_values",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "feed_forward.0",
    "output.dense": "feed_forward.2",
    "output.LayerNorm": "feed_forward_norm",
    "cls.predictions.transform.dense": "transform.0",
    "cls.predictions.transform.LayerNorm": "transform.2",
    "cls.predictions.bias": "bias",
}
_PROBE = "ACGTTTTAGGGCATTACGATTTTACGGCGACCATGCATGCCAGTTTTTTTAC"  # what a tokenizer is compared on


class ForeignTokenizer(Tokenizer):
    """A tokenizer of ``transformers`` whose tokens aren't those of this package; ids here have special tokens first."""

    def __init__(self, theirs):
        super().__init__()
        roles = [token.strip("[]").lower() for token in SPECIALS]
        specials = [getattr(theirs, f"{role}_token_id") for role in roles]
        if None in specials:
            raise InputError(f"a tokenizer without a {roles[specials.index(None)]} token; a masked model needs one")
        self._theirs = theirs
        spelt = {number: token.removeprefix("##").strip("▁Ġ") for token, number in theirs.get_vocab().items()}
        others = sorted(spelt.keys() - set(specials))
        self.numbers = np.array([*specials, *others], dtype=np.int64)
        self.tokens = (*SPECIALS, *(spelt[number] for number in others))
        self._ids = np.zeros(self.numbers.max() + 1, dtype=np.int32)
        self._ids[self.numbers] = np.arange(len(self.numbers))

    def encode(self, sequence: str | np.ndarray) -> np.ndarray:
        """Token ids (int32, [n tokens]) of a string or base codes (uint8, [n]), no special tokens added."""
        codes = as_codes(sequence)
        ids = self._call([codes])[0]
        if self.lengths[ids].sum() != len(codes):
            # Some join unknown bases, or give one token for a word that has any: each run of known ones by itself.
            edges = np.flatnonzero((codes[1:] >= UNKNOWN) | (codes[:-1] >= UNKNOWN)) + 1
            runs = [run for run in np.split(codes, edges) if len(run)]
            found = iter(self._call([run for run in runs if run[0] < UNKNOWN]))
            ids = np.concatenate([next(found) if run[0] < UNKNOWN else np.array([UNK], dtype=np.int32) for run in runs])
        if (spelt := int(self.lengths[ids].sum())) != len(codes):
            what = f"the tokenizer of another library spells {spelt} of {len(codes)} bases (some read no long words)"
            raise InputError(f"{what}; use one of merges or k-mers, or shorter sequences")
        return ids

    def _call(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
        """Ids (int32) of base codes, each by itself."""
        texts = [decode(piece) for piece in pieces]
        found = self._theirs(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []
        return [self._ids[np.array(ids, dtype=int)] for ids in found]

    def save(self, path: str | Path) -> None:
        """Refuse: there is no form for it here."""
        raise InputError(f"{path}: the tokenizer is of another library and can't be saved here; load the model anew")


def import_from_transformers(name: str, *, device: str | None = None) -> Bert:
    """Load a BERT for masked tokens from a folder of ``transformers``, or by its name from the hub."""
    transformers = _library(f"hf:{name}")
    with _explained(name):
        config = _read_config(transformers, name)
        theirs, report = transformers.BertForMaskedLM.from_pretrained(
            name, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
        tokenizer, numbers = _tokenizer(transformers, name)
    if missing := sorted(report["missing_keys"]):
        raise InputError(f"hf:{name}: no weights for {missing[0]}; expected a BERT with its head for masked tokens")
    if (last := numbers.max()) >= (size := config.vocab_size):
        raise InputError(f"hf:{name}: its tokenizer has the id {last}, but the model {size} tokens; get both anew")
    model = Bert(
        **{ours: getattr(config, theirs) for ours, theirs in _SETTINGS.items()},
        dropout=float(config.hidden_dropout_prob),
        vocabulary=len(tokenizer),
    )
    given = theirs.state_dict()
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in model.state_dict()}
    for part, value in given.items():
        parts.get(_ours(part), []).append(value)
    weights = {name: torch.cat(values) for name, values in parts.items()}
    weights["positions.weight"] += given[_TYPES][0]  # all tokens are of the first type
    for part in ("embedding.weight", "bias"):  # tokens get the ids that they have everywhere here
        weights[part] = weights[part][numbers]
    model.load_state_dict(weights)
    model.tokenizer = tokenizer
    return model.to(pick_device(device)).eval()


def check_transformers(name: str) -> None:
    """Refuse, by its configuration alone, a model that `import_from_transformers` can't load (`InputError`)."""
    transformers = _library(f"hf:{name}")
    with _explained(name):
        _read_config(transformers, name)


def export_to_transformers(model: Bert, folder: str | Path) -> None:
    """Write a folder that ``AutoModelForMaskedLM`` and ``AutoTokenizer`` of ``transformers`` load."""
    folder = Path(folder)
    if model.kind != "bert":
        raise InputError(f"{folder}: a {model.kind} model can't be written for transformers; expected a bert")
    if (folder / "config.json").exists() and "kind" in read_json(folder / "config.json"):
        raise InputError(f"{folder}: a model of this package stands there; give another folder to export to")
    transformers = _library(str(folder))
    settings = model.config
    config = transformers.BertConfig(
        **{theirs: settings[ours] for ours, theirs in _SETTINGS.items()},
        vocab_size=settings["vocabulary"],
        intermediate_size=4 * settings["width"],
        hidden_dropout_prob=settings["dropout"],
        attention_probs_dropout_prob=settings["dropout"],
        layer_norm_eps=EPSILON,
    )
    theirs = transformers.BertForMaskedLM(config)
    weights = theirs.state_dict()
    weights[_TYPES] = torch.zeros_like(weights[_TYPES])
    state = {name: list(value.cpu().chunk(3 if "queries" in name else 1)) for name, value in model.state_dict().items()}
    for part in weights:
        if ours := state.get(_ours(part)):
            weights[part] = ours.pop(0)
    theirs.load_state_dict(weights)  # the head's, tied to the embedding's, change with those
    with into(folder) as staging:
        theirs.save_pretrained(staging)
        model.tokenizer.save_for_transformers(staging)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Say of what is wrong with a model which one it is."""
    try:
        yield
    except InputError as error:
        raise InputError(f"hf:{name}: {error}") from None
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"hf:{name}: can't be loaded ({reason}); expected the name of a model on the hub, or a folder with "
            "config.json, model.safetensors and a tokenizer"
        ) from None


def _ours(theirs: str) -> str:
    """What a tensor of theirs, or what it is a part of, is called here."""
    for part, ours in _NAMES.items():
        theirs = theirs.replace(part, ours)
    return theirs


def _read_config(transformers, name: str):
    """A model's configuration, if its architecture is the one that is read here."""
    settings, _ = transformers.PretrainedConfig.get_config_dict(name)
    if not isinstance(settings, dict):
        raise InputError("its config.json holds no settings; expected a JSON object")
    if asked := settings.get("auto_map"):  # of a known type, transformers would pass over it and misread the weights
        names = ", ".join(map(str, asked.values()))
        raise InputError(f"asks to run its own code (auto_map in its config.json names {names}), which is never done")
    if settings.get("kind") in KINDS:
        raise InputError("a model of this package, not of transformers; give its folder without hf:")
    if (kind := settings.get("model_type")) != "bert":
        raise InputError(f"a model of type {kind!r}; expected 'bert', no other architecture is read")
    config = transformers.BertConfig.from_dict(settings)
    expected = {
        "hidden_act": "gelu",
        "intermediate_size": 4 * config.hidden_size,
        "layer_norm_eps": EPSILON,
        "position_embedding_type": "absolute",
        "tie_word_embeddings": True,
        "is_decoder": False,
    }
    for setting, value in expected.items():
        if (found := getattr(config, setting, value)) != value:
            found = f"{setting} = {found!r} in its config.json"
            raise InputError(f"{found}; expected {value!r}, no other form of BERT is read")
    return config


def _tokenizer(transformers, name: str) -> tuple[Tokenizer, np.ndarray]:
    """A model's tokenizer, and its own id of each token (int64, [tokens])."""
    from transformers.utils import cached_file

    files = "tokenizer.json", "vocab.txt"
    path, words = (cached_file(name, file, _raise_exceptions_for_missing_entries=False) for file in files)
    if not path and not words:  # AutoTokenizer would make one that knows nothing
        raise InputError(f"no tokenizer; expected {files[0]} or {files[1]} there")
    with suppress(InputError):
        tokenizer, numbers = load_foreign(path or words)
        # The same merges or k-mers may be used by another rule: k-mers that overlap, say, or stand between spaces.
        theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=path)
        if theirs.encode(_PROBE, add_special_tokens=False) == numbers[tokenizer.encode(_PROBE)].tolist():
            return tokenizer, numbers
    tokenizer = ForeignTokenizer(transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False))
    return tokenizer, tokenizer.numbers


def _library(what: str):
    try:
        import transformers
    except ImportError:
        raise InputError(
            f"{what}: transformers isn't installed; install it with: pip install 'dnastudy[hub]'"
        ) from None
    transformers.utils.logging.disable_progress_bar()  # for weights that load in a moment
    return transformers
