"""Settings of the Trajectory Transformer. Defaults are those of its paper and reference code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from orl.data.split import HOLDOUT_FRACTION, HOLDOUT_MAX_ROWS
from orl.errors import UsageError
from orl.sequence.discretiser import MAX_BINS, Method, Reconstruction

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class TransformerConfig:
    """What `orl fit-model --kind transformer` fits.

    Attributes:
        arch: "gpt", or "lstm": another autoregressive density of the same tokens.
        layers, heads, width: of the network (an LSTM has no heads). dropout: of embeddings, attention and branches.
        window: transitions the model sees at once. bins, discretiser, reconstruction: see `sequence.discretiser`.
        discount: of the value token, and of every planner on this model.
        reward_to_go: the value token of step t holds the discounted rewards after t ("excluding", as the reference
            code), or those from t on ("including", the paper's definition). Planners score each by its own formula.
        value: what a value token holds: "returns", the discounted rewards that were logged, or "iql", the value of the
            next observation by implicit Q-learning (the paper's TT(+Q)). A return also tells who was acting, and where
            several behaviours wrote the log, a planner then prefers the habits of the good one to its results.
        expectile: with "iql", which expectile of what the log's behaviour earns is learned; 0.5 is the mean, near 1
            the best that was seen.
        timeouts: at the end of an episode that was cut off there are rewards nobody saw: "bootstrap" completes them
            with a fitted value of the behaviour, "mask" leaves out the loss of value tokens whose unseen part counts
            for more than 0.1, "ignore" takes them for zero (as the reference does).
        termination_penalty: the reward of a truly terminal step is *replaced* by this, where given (the reference
            uses -100 on D4RL). Time-outs are never touched.
        value_input: "fixed" feeds a learned constant at value positions, so nothing depends on a value token;
            "token" feeds the token itself as the reference does, and the next observation's first token sees it.
        obs_weight, action_weight, reward_weight, value_weight: of the tokens' cross-entropies.
        steps, epoch_steps, batch_size: updates in all, updates an epoch, windows an update.
        chunk: windows of a batch whose gradient is taken at once, 0 for all; a batch is accumulated from chunks.
        learning_rate, warmup_steps, final_rate: the rate rises over `warmup_steps` updates, then falls by a cosine to
            `final_rate` of itself. beta1, beta2, weight_decay, clip: of AdamW; the decay is on matrices only.
        dtype: what activations are computed in; parameters and losses stay float32.
        keep: parameters after the last update, or those of the epoch with the best held-out loss.
        holdout_fraction, holdout_max_rows: how much is held out, in whole episodes.
    """

    arch: Literal["gpt", "lstm"] = "gpt"
    layers: Positive = 4
    heads: Positive = 4
    width: Positive = 128
    dropout: Fraction = 0.1
    window: Annotated[int, Field(ge=2)] = 10
    bins: Annotated[int, Field(ge=2, le=MAX_BINS)] = 100
    discretiser: Method = "quantile"
    reconstruction: Reconstruction = "midpoint"
    discount: Annotated[float, Field(gt=0, lt=1)] = 0.99
    reward_to_go: Literal["excluding", "including"] = "excluding"
    value: Literal["returns", "iql"] = "returns"
    expectile: Annotated[float, Field(gt=0, lt=1)] = 0.9
    timeouts: Literal["bootstrap", "mask", "ignore"] = "bootstrap"
    termination_penalty: float | None = None
    value_input: Literal["fixed", "token"] = "fixed"
    obs_weight: NonNegative = 1.0
    action_weight: NonNegative = 5.0
    reward_weight: NonNegative = 1.0
    value_weight: NonNegative = 1.0
    steps: Positive = 200_000
    epoch_steps: Positive = 500
    batch_size: Positive = 256
    chunk: Annotated[int, Field(ge=0)] = 8
    learning_rate: Rate = 6e-4
    warmup_steps: Annotated[int, Field(ge=0)] = 2000
    final_rate: Annotated[float, Field(ge=0, le=1)] = 0.1
    beta1: Fraction = 0.9
    beta2: Fraction = 0.95
    weight_decay: NonNegative = 0.1
    clip: Rate = 1.0
    dtype: Literal["float32", "bfloat16"] = "float32"
    keep: Literal["last", "best"] = "last"
    holdout_fraction: Annotated[float, Field(gt=0, lt=1)] = HOLDOUT_FRACTION
    holdout_max_rows: Positive = HOLDOUT_MAX_ROWS

    def __post_init__(self) -> None:
        if self.arch == "gpt" and self.width % self.heads:
            raise UsageError(f"model.width is {self.width}, which {self.heads} heads cannot share; make it a multiple")
        if self.chunk and self.batch_size % self.chunk:
            raise UsageError(
                f"model.batch_size is {self.batch_size}, not a multiple of model.chunk ({self.chunk}); 0 takes it whole"
            )

    @property
    def epochs(self) -> int:
        """Epochs in all; the steps are rounded up to whole epochs."""
        return -(-self.steps // self.epoch_steps)
