"""Settings that do not fit together are refused, and the message names the one to change."""

from __future__ import annotations

import pytest
from made_sequences import tiny_config

from orl.config import build
from orl.errors import UsageError
from orl.sequence.config import TransformerConfig
from orl.sequence.model import SequenceModel


def test_a_width_that_the_heads_cannot_share_is_refused() -> None:
    with pytest.raises(UsageError, match=r"model\.width is 18, which 4 heads cannot share"):
        tiny_config(width=18, heads=4)
    assert tiny_config(width=20, heads=4).width == 20
    assert tiny_config(width=18, heads=4, arch="lstm").width == 18  # which has no heads


def test_a_batch_that_is_not_a_multiple_of_the_chunk_is_refused() -> None:
    with pytest.raises(UsageError, match=r"model\.batch_size is 12, not a multiple of model\.chunk \(8\)"):
        tiny_config(batch_size=12, chunk=8)
    assert tiny_config(batch_size=12, chunk=6).chunk == 6
    assert tiny_config(batch_size=13, chunk=0).batch_size == 13  # 0 takes it whole


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bins", 1),
        ("bins", 257),
        ("window", 1),
        ("dropout", 1.0),
        ("discount", 1.0),
        ("expectile", 0.0),
        ("learning_rate", 0.0),
        ("final_rate", 1.5),
        ("action_weight", -1.0),
        ("holdout_fraction", 1.0),
        ("arch", "rnn"),
        ("timeouts", "none"),
    ],
)
def test_a_value_out_of_range_is_refused(name, value) -> None:
    with pytest.raises(UsageError, match=rf"setting model\.{name} = {value!r}"):
        build(TransformerConfig, {name: value}, "model.")


def test_the_limits_themselves_are_allowed() -> None:
    values = {"bins": 256, "window": 2, "dropout": 0.0, "final_rate": 1.0, "action_weight": 0.0, "chunk": 0}
    config = build(TransformerConfig, values, "model.")
    assert {name: getattr(config, name) for name in values} == values
    assert build(TransformerConfig, {"bins": 2}, "model.").bins == 2


def test_an_lstm_that_reads_value_tokens_is_refused() -> None:
    with pytest.raises(UsageError, match=r'model\.value_input = "token" would let an LSTM'):
        SequenceModel(tiny_config(arch="lstm", value_input="token"), 2, 1)
    assert SequenceModel(tiny_config(arch="gpt", value_input="token"), 2, 1).layout.dims == 5
    assert SequenceModel(tiny_config(arch="lstm"), 2, 1).layout.dims == 5


def test_steps_are_rounded_up_to_whole_epochs() -> None:
    assert [tiny_config(steps=steps, epoch_steps=10).epochs for steps in (1, 10, 11, 20, 21)] == [1, 1, 2, 2, 3]


def test_the_defaults_are_those_of_the_paper() -> None:
    """And of its code: 4 layers of 4 heads, 128 wide, quantiles, actions weighted 5 times, no decay of embeddings."""
    config = TransformerConfig()
    assert (config.layers, config.heads, config.width, config.bins, config.window) == (4, 4, 128, 100, 10)
    assert (config.dropout, config.learning_rate, config.weight_decay, config.clip) == (0.1, 6e-4, 0.1, 1.0)
    assert (config.beta1, config.beta2, config.discount) == (0.9, 0.95, 0.99)
    assert (config.obs_weight, config.action_weight, config.reward_weight, config.value_weight) == (1, 5, 1, 1)
