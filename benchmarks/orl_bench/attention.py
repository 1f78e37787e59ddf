"""Operations that the transformer's training and its beams need; the rules are those of `arithmetic`."""

from __future__ import annotations

from dataclasses import dataclass

from orl_bench.arithmetic import product


@dataclass(frozen=True)
class Decoder:
    """A causal transformer over transitions of `dims` tokens, whose last (the value) is hidden from attention."""

    layers: int
    width: int
    bins: int
    dims: int

    def visible(self, place: int) -> int:
        """Tokens that the one at `place` attends to: those up to it, value tokens left out."""
        return place + 1 - (place + 1) // self.dims

    def block(self, place: int) -> float:
        """One layer for the token at `place`: queries, keys, values, their mixture, and the two-layer perceptron."""
        return product(1, self.width, 12 * self.width) + 2 * product(1, self.width, self.visible(place))

    def head(self) -> float:
        """Logits of one token."""
        return product(1, self.width, self.bins)

    def read(self, first: int, last: int) -> float:
        """Tokens at places first to last - 1, and the logits after each."""
        return sum(self.layers * self.block(place) + self.head() for place in range(first, last))

    def context(self, tokens: int) -> float:
        """`tokens` that are only read: the last layer needs no more than their keys and values, and one output."""
        early = (self.layers - 1) * sum(self.block(place) for place in range(tokens))
        return early + tokens * product(1, self.width, 2 * self.width) + self.block(tokens - 1) + self.head()


def training_update(decoder: Decoder, batch: int, window: int) -> float:
    """The loss of `batch` windows and its gradient: each product needs its weights' and its inputs' gradients,
    the embeddings being learned, and attention those of both its factors."""
    return 3 * batch * decoder.read(0, window * decoder.dims - 1)


def beam_search(decoder: Decoder, obs: int, window: int, context: int, beam: int, children: int, horizon: int) -> float:
    """One episode's plan, windows that are read anew included.

    Each step reads, for every beam, the value before it and its observation, and for every child the action and the
    reward. The first step's observation belongs to the context.
    """
    dims, total = decoder.dims, decoder.context(context * decoder.dims + obs)
    place = context  # transitions in the window before the running one
    for step in range(horizon):
        start = place * dims
        if step:
            if place == window:  # full: its last transitions are read anew
                place = max(context, 1)
                start = place * dims
                total += beam * decoder.context(start) + beam * decoder.read(start, start + obs)
            else:
                total += beam * decoder.read(start - 1, start + obs)
        total += beam * children * decoder.read(start + obs, start + dims - 1)
        place += 1
    return total
