"""A text is cut into characters and words without loss, split by chapters, and counted as DNA is."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnastudy.files import InputError
from dnastudy.models import NgramModel
from dnastudy.tasks.text import SymbolNgram, TextSource, fetch_text, neural_bits, read_chapters, read_text, spread

LINES = [
    '"01:001:001 In the beginning God created the heaven and the earth.",',
    '"01:001:002 And the earth was without form, and void;",',
    '"01:002:001 Thus the heavens were finished: man\'s.",',
    '"01:003:001 Now the serpent was more subtil.",',
]


@pytest.fixture(scope="module")
def excerpt(tmp_path_factory):
    """The sample's thirty chapters."""
    return fetch_text("sample")


@pytest.fixture(scope="module")
def texts(excerpt):
    return {unit: read_text(excerpt, unit, words=500, passage=200) for unit in ("characters", "words")}


def spelt(text, span):
    """What a span of a text in either unit says."""
    symbols = [text.alphabet[number] for number in text.symbols[slice(*span)]]
    return "".join(symbols) if text.unit == "characters" else "".join(f"{word} " for word in symbols)


def test_verses_become_words_and_marks_by_chapter(tmp_path):
    (tmp_path / "verses.txt").write_text("\n".join(["Bible = [" + LINES[0], *LINES[1:], "]"]))
    chapters = read_chapters(tmp_path / "verses.txt")
    assert list(chapters) == ["01:001", "01:002", "01:003"]
    assert chapters["01:001"][7:] == "and the earth . and the earth was without form , and void ;".split()
    assert chapters["01:002"] == ["thus", "the", "heavens", "were", "finished", ":", "man's", "."]


def test_too_little_text_and_unknown_units_are_refused(tmp_path, excerpt):
    path = tmp_path / "verses.txt"
    path.write_text("\n".join(LINES[:3]))
    with pytest.raises(InputError, match=r"verses.txt: 2 chapters found; expected three or more, of lines like"):
        read_chapters(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"verses.txt: not readable as text .*fetch it again"):
        read_chapters(path)
    with pytest.raises(InputError, match="unit 'letters'; expected characters or words"):
        read_text(excerpt, "letters")
    with pytest.raises(InputError, match=r"grch38: a dataset without a text; expected one with .* king-james"):
        fetch_text("grch38")


def test_both_units_hold_the_same_text_in_the_same_passages(texts):
    characters, words = texts["characters"], texts["words"]
    assert characters.ends[-1] == words.ends[-1] == len(characters.symbols)
    assert (characters.start, words.alphabet[words.start]) == (0, ".")
    for name, count in (("train", 24), ("validation", 3), ("test", 3)):
        lengths = [text.characters(text.spans[name]) for text in (characters, words)]
        assert list(lengths[0]) == list(lengths[1])
        if name == "train":
            assert len(lengths[0]) == count
        else:
            assert max(lengths[0]) <= 200 and np.median(lengths[0]) > 190
    assert list(characters.chapters) == list(words.chapters)
    assert len(set(words.chapters)) == 3
    for ours, theirs in zip(characters.spans["test"], words.spans["test"], strict=True):
        pairs = zip(spelt(characters, ours).split(), spelt(words, theirs).split(), strict=True)
        assert all(one == two or two == "<unknown>" for one, two in pairs)


def test_an_unknown_word_costs_its_spelling(texts):
    words = texts["words"]
    unknown = words.symbols == len(words.alphabet) - 1
    assert words.alphabet[-1] == "<unknown>" and len(words.alphabet) == 501
    assert ((words.spelling > 0) == unknown).all() and 0 < unknown.mean() < 0.2
    lengths = np.diff(words.ends)
    assert words.spelling[unknown] == pytest.approx(lengths[unknown] * np.log2(len(texts["characters"].alphabet)))
    assert not texts["characters"].spelling.any()


@given(st.integers(1, 80_000), st.integers(1, 80_000), st.integers(0, 3))
def test_subsets_have_the_size_asked_for_and_are_nested(texts, first, second, seed):
    small, large = sorted((first, second))
    for unit, most in (("characters", 0), ("words", 30)):
        text = texts[unit]
        inner, outer = text.subset(small, seed), text.subset(large, seed)
        assert 0 <= small - text.characters(inner).sum() <= most
        places = [{at for start, end in spans for at in range(start, end)} for spans in (inner, outer)]
        assert places[0] <= places[1]


def test_all_of_the_text_is_all_of_its_training_chapters(texts):
    text = texts["words"]
    assert sorted(map(tuple, text.subset(0, 5))) == sorted(map(tuple, text.spans["train"]))


def test_the_n_gram_is_that_of_dna_on_four_symbols():
    random = np.random.default_rng(0)
    codes = random.choice(4, p=[0.4, 0.3, 0.2, 0.1], size=4000).astype(np.uint8)
    codes[2::3] = codes[1::3][: len(codes[2::3])]
    train, validation, test = (
        np.array([[0, 1200], [1200, 2500]]),
        np.array([[2500, 3200]]),
        np.array([[3200, 3210], [3210, 4000]]),
    )
    dna = NgramModel(4).fit((codes, train), validation=(codes, validation))
    ours = SymbolNgram(4, 4).fit(codes.astype(np.int64), train, validation)
    assert ours.weights == pytest.approx(dna.weights, rel=0.02)
    ours.weights = dna.weights
    bits = np.concatenate(dna.base_log_likelihoods((codes, test))) / -np.log(2)
    assert ours.bits(codes.astype(np.int64), test) == pytest.approx(bits, rel=1e-5)


def test_an_n_gram_counts_by_hand():
    symbols = np.array([0, 1, 0, 1, 0, 2, 1, 1])
    model = SymbolNgram(2, 3).fit(symbols, np.array([[0, 6]]), np.array([[0, 6]]))
    model.weights = np.array([3.0, 1.0])
    first = (np.array([3, 2, 1]) + 1) / (6 + 3)  # three times 0, twice 1, once 2; the weight spread over three
    after_0 = (np.array([0, 2, 1]) + first) / (3 + 1)
    found = 2 ** -model.bits(symbols, np.array([[4, 7], [7, 8]]))
    assert found == pytest.approx([first[0], after_0[2], first[1], first[1]])  # nothing was seen after 2


def test_a_size_below_one_word_is_refused(texts):
    text = texts["words"]
    with pytest.raises(InputError, match="no symbol in the training text; take a larger part"):
        SymbolNgram(2, 501).fit(text.symbols, text.subset(1, 0), text.spans["validation"])


def test_a_source_draws_windows_of_its_subset_by_the_step(texts):
    text = texts["characters"]
    config = SimpleNamespace(batch=6, window=50, validation_windows=4, seed=3)
    source = TextSource(text, 3000, config)
    inputs, targets = source.draw(7)
    assert inputs.shape == targets.shape == (6, 50)
    assert (inputs[:, 0] == text.start).all() and (inputs[:, 1:] == targets[:, :-1]).all()
    subset = [spelt(text, span) for span in text.subset(3000, 3)]
    for row in targets.numpy():
        assert any("".join(text.alphabet[number] for number in row) in chapter for chapter in subset)
    assert (source.draw(7)[1] == targets).all() and not (source.draw(8)[1] == targets).all()
    assert source.bases(inputs, targets) == 300
    validation, wanted = source.validation()
    assert validation.shape == (4, 50) and source.bases(validation, wanted) == 200
    assert source.identity()["characters"] == 3000


def test_short_chapters_are_padded_and_not_learnt_from(texts):
    text = texts["words"]
    source = TextSource(text, 60, SimpleNamespace(batch=3, window=500, validation_windows=2, seed=0))
    inputs, targets = source.draw(0)
    assert inputs.shape == (3, int(text.subset(60, 0)[0] @ [-1, 1]))
    assert source.bases(inputs, targets) == targets.numel()  # one chapter, cut, thrice
    inputs, targets = source.validation()
    lengths = np.diff(spread(text.spans["validation"], 2), axis=1)[:, 0]
    assert source.bases(inputs, targets) == lengths.sum() and targets.shape[1] == lengths.max()


def test_a_network_is_scored_symbol_by_symbol(texts):
    from dnastudy.models import RecurrentModel

    text = texts["characters"]
    model = RecurrentModel("lstm", layers=1, width=8, vocabulary=len(text.alphabet))
    spans = text.spans["test"][:5]
    together = neural_bits(model, text, spans)
    alone = np.concatenate([neural_bits(model, text, span[None]) for span in spans])
    assert len(together) == text.characters(spans).sum()
    assert together == pytest.approx(alone, rel=1e-4)
    assert together.mean() == pytest.approx(np.log2(len(text.alphabet)), abs=0.3)  # untrained


@pytest.mark.data
def test_the_whole_text_has_its_known_size():
    text = read_text(fetch_text("king-james"), "characters")
    assert (len(text.symbols), len(text.alphabet)) == (4_261_439, 37)
    assert (len(text.spans["train"]), len(set(text.chapters))) == (953, 118)
    assert "".join(text.alphabet) == " !'(),-.:;?abcdefghijklmnopqrstuvwxyz"
