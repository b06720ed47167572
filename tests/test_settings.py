"""Training settings: what is refused, how epochs become steps, and the learning rate of each step."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from dnastudy.files import InputError
from dnastudy.models.settings import TrainingConfig, learning_rate


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lerning_rate": 1}, r"'lerning_rate' is no setting of it; did you mean 'learning_rate'\?"),
        ({"steps": 0}, "steps = 0; expected a whole number, 1 or more"),
        ({"steps": 1.5}, "steps = 1.5; expected a whole number"),
        ({"learning_rate": "1e-3"}, r"learning_rate = '1e-3'; expected a number, 0 or more \(.* the dot of 1.0e-3"),
        ({"accumulate": True}, "accumulate = True; expected a whole number"),
        ({"compile": 1}, "compile = 1; expected true or false"),
        ({"patience": -1}, "patience = -1; expected a whole number, 0 or more"),
        ({"keep": "first"}, "keep 'first'; expected one of best, last"),
        ({"precision": "fp23"}, r"precision 'fp23'; did you mean 'fp32'\?"),
    ],
)
def test_bad_settings(values, message):
    with pytest.raises(InputError, match=message):
        TrainingConfig.from_dict(values)


def test_numbers_of_numpy_are_kept_as_pythons():
    settings = TrainingConfig(steps=np.int64(3), learning_rate=np.float32(0.5))
    assert json.dumps([settings.steps, settings.learning_rate]) == "[3, 0.5]"


def test_learning_rate_rises_then_falls_along_a_cosine():
    config = TrainingConfig(steps=110, warmup=10, learning_rate=1.0, final=0.1)
    assert learning_rate(0, config) == pytest.approx(0.1)
    assert learning_rate(9, config) == pytest.approx(1.0)
    assert learning_rate(10, config) == pytest.approx(1.0)
    assert learning_rate(60, config) == pytest.approx(0.55)
    assert learning_rate(110, config) == pytest.approx(0.1)


def test_constant_rate_after_the_rise():
    config = TrainingConfig(steps=110, warmup=2, learning_rate=1.0, schedule="constant")
    assert [learning_rate(step, config) for step in (0, 1, 2, 109)] == [0.5, 1.0, 1.0, 1.0]


def test_epochs_are_turned_into_steps():
    source = SimpleNamespace(epoch_steps=7)
    config = TrainingConfig(epochs=3, validate_every=0).in_steps(source)
    assert (config.steps, config.validate_every) == (21, 7)
    config = TrainingConfig(steps=5, validate_every=0).in_steps(source)
    assert (config.steps, config.validate_every) == (5, 7)
    config = TrainingConfig(epochs=2, validate_every=5).in_steps(source)
    assert (config.steps, config.validate_every) == (14, 5)
    assert TrainingConfig(steps=5).in_steps(object()).steps == 5
    with pytest.raises(InputError, match="this source has no epochs"):
        TrainingConfig(epochs=2).in_steps(object())


def test_identity_leaves_out_what_teaches_nothing():
    one, other = TrainingConfig(), TrainingConfig(accumulate=2, checkpoint_every=3, compile=True)
    assert one.identity() == other.identity()
    assert one.identity() != TrainingConfig(end=False).identity()
