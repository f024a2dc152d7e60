"""The LSTM cell of the examination paper (docs/paper.md, 5.3) with every derivative written out, and the Elman cell.

`LSTMCell` is for reading, checking and short sequences. It has one step with named intermediate values, the explicit
derivatives of the step, and back-propagation through time made of them. `LSTM` and `Elman` compute the same equations
with the same weights by PyTorch's kernels, which is several times faster. Tests check that both give the same results.

Weights multiply b = concat(h, x): the first `hidden_size` columns belong to the state, the others to the input. There
are no biases; a constant 1 appended to x has the same effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from whalefinder.errors import OptionError
from whalefinder.networks.sizes import check_sizes

State = tuple[Tensor, Tensor]
Weights = tuple[Tensor, ...]

OPEN_FORGET_GATE = 1.0
"""Weight of the constant input on the forget gate before training. The gate keeps σ(1) = 0.73 of the memory."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """The values of one time step, named as in the examination paper.

    h_t is `d` and c_t is `a`.

    Shape:
        b `[batch, hidden + input]`, all others `[batch, hidden]`.
    """

    b: Tensor
    f: Tensor
    i: Tensor
    candidate: Tensor
    o: Tensor
    a: Tensor
    e: Tensor
    d: Tensor
    y: Tensor
    c_previous: Tensor


@dataclass(frozen=True, kw_only=True)
class Derivatives:
    """Derivatives of the loss L by each value of a `Step`, by its inputs and by the weights.

    Each has the shape of what it belongs to. Those of the weights are summed over the batch.
    """

    d: Tensor
    e: Tensor
    o: Tensor
    a: Tensor
    c_previous: Tensor
    f: Tensor
    i: Tensor
    candidate: Tensor
    b: Tensor
    h_previous: Tensor
    x: Tensor
    W1: Tensor
    W2: Tensor
    W3: Tensor
    W4: Tensor


class LSTMCell(nn.Module):
    """The paper's cell: forget gate W1, input gate W2, candidate W3, output gate W4, no biases.

        f = σ(W1 b)    i = σ(W2 b)    candidate = tanh(W3 b)    o = σ(W4 b)    b = concat(h, x)
        a = f * c + i * candidate    e = tanh(a)    d = e * o    c ← a    h ← d    ŷ = σ(d)

    Since |d| < 1, ŷ lies in (0.269, 0.731). So a regression does not use ŷ: it uses a linear node on h.

    Args:
        input_size: features of x.
        hidden_size: features of h and c.

    Raises:
        OptionError: a size below 1.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W1, self.W2, self.W3, self.W4 = (_uniform_weight(input_size, hidden_size) for _ in range(4))

    @property
    def weights(self) -> Weights:
        """W1 to W4, `[hidden, hidden + input]` each."""
        return self.W1, self.W2, self.W3, self.W4

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step, differentiable by autograd.

        Shape:
            x `[batch, input]`, h and c `[batch, hidden]` → ŷ, h, c `[batch, hidden]`
        """
        step = self.step(x, h, c)
        return step.y, step.d, step.a

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> Step:
        """One step with all its intermediate values.

        Shape:
            x `[batch, input]`, h and c `[batch, hidden]`
        """
        return _step(self.weights, x, h, c)

    def derivatives(self, step: Step, dy: Tensor, dh: Tensor, dc: Tensor) -> Derivatives:
        """Every partial derivative of a step, by explicit formulas (docs/paper.md, 5.3).

        Args:
            step: the result of `step`.
            dy: ∂L/∂ŷ of this step.
            dh, dc: ∂L/∂h and ∂L/∂c of this step, as the next step sends them back.

        Shape:
            dy, dh, dc `[batch, hidden]`
        """
        return _derivatives(self.weights, step, dy, dh, dc)

    @torch.no_grad()
    def backward(self, step: Step, dy: Tensor, dh: Tensor, dc: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The backward pass of one step. It adds to `.grad` of the weights, as autograd does, and returns the others.

        Shape:
            dy, dh, dc `[batch, hidden]` → ∂L/∂x `[batch, input]`, ∂L/∂h_previous and ∂L/∂c_previous `[batch, hidden]`
        """
        by = self.derivatives(step, dy, dh, dc)
        for weight, gradient in zip(self.weights, (by.W1, by.W2, by.W3, by.W4), strict=True):
            weight.grad = gradient if weight.grad is None else weight.grad + gradient
        return by.x, by.h_previous, by.c_previous

    def sequence(self, x: Tensor, h: Tensor | None = None, c: Tensor | None = None) -> tuple[Tensor, Tensor, State]:
        """All steps of a sequence. Its gradient uses the explicit derivatives, back through time.

        Args:
            x: the input.
            h, c: the state before the first step, or None for zeros.

        Shape:
            x `[batch, time, input]`, h and c `[batch, hidden]` → ŷ `[batch, time, hidden]`, h `[batch, time, hidden]`,
            and the last (h, c)

        Raises:
            OptionError: x or a state of another shape, or no step at all.
        """
        _check_sequence(x, self.input_size)
        h, c = _state(h, x, self.hidden_size), _state(c, x, self.hidden_size)
        y, hs, c = _ThroughTime.apply(x, h, c, *self.weights)
        return y, hs, (hs[:, -1], c)

    def kernel_weights(self) -> list[Tensor]:
        """The weights as PyTorch's LSTM takes them: of the input `[4 hidden, input]` and state `[4 hidden, hidden]`.

        PyTorch stacks input gate, forget gate, candidate, output gate: W2, W1, W3, W4.
        """
        stacked = torch.cat([self.W2, self.W1, self.W3, self.W4])
        return [stacked[:, self.hidden_size :], stacked[:, : self.hidden_size]]


class ElmanCell(nn.Module):
    """The cell without gates: h ← tanh(W concat(h, x)).

    Every step multiplies the state by W and applies tanh. So gradients shrink or grow like a power of W.

    Args:
        input_size: features of x.
        hidden_size: features of h.

    Raises:
        OptionError: a size below 1.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W = _uniform_weight(input_size, hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """One step: x `[batch, input]`, h `[batch, hidden]` → h `[batch, hidden]`."""
        return torch.tanh(torch.cat([h, x], dim=-1) @ self.W.T)

    def kernel_weights(self) -> list[Tensor]:
        """W as PyTorch's kernel takes it: of the input `[hidden, input]`, of the state `[hidden, hidden]`."""
        return [self.W[:, self.hidden_size :], self.W[:, : self.hidden_size]]


class LSTM(nn.Module):
    """`LSTMCell` over sequences, computed by PyTorch's kernel.

    Args:
        input_size: features of x.
        hidden_size: features of h and c.
        constant: append a constant 1 to x. Its column of the weights acts as a bias. That of the forget gate starts at
            `OPEN_FORGET_GATE`: with small random weights alone the gate is near 0.5, and memory halves at every step.

    Raises:
        OptionError: a size below 1.
    """

    def __init__(self, input_size: int, hidden_size: int, *, constant: bool = True) -> None:
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.constant = input_size, constant
        self.cell = LSTMCell(input_size + constant, hidden_size)
        if constant:
            with torch.no_grad():
                self.cell.W1[:, -1] = OPEN_FORGET_GATE

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The h of every step, and the last (h, c), with which the next piece of the sequence can go on.

        Shape:
            x `[batch, time, input]`, state two `[batch, hidden]` (zeros if None) → h `[batch, time, hidden]`, state

        Raises:
            OptionError: x or a state of another shape, or no step at all.
        """
        _check_sequence(x, self.input_size)
        layers = tuple(_state(s, x, self.cell.hidden_size).unsqueeze(0) for s in state or (None, None))
        x = _with_one(x) if self.constant else x
        hs, h, c = torch.lstm(x, layers, self.cell.kernel_weights(), False, 1, 0.0, self.training, False, True)
        return hs, (h[0], c[0])


class Elman(nn.Module):
    """`ElmanCell` over sequences, computed by PyTorch's kernel.

    Args:
        input_size: features of x.
        hidden_size: features of h.
        constant: append a constant 1 to x. Its column of the weights acts as a bias.

    Raises:
        OptionError: a size below 1.
    """

    def __init__(self, input_size: int, hidden_size: int, *, constant: bool = True) -> None:
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.constant = input_size, constant
        self.cell = ElmanCell(input_size + constant, hidden_size)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The h of every step, and the last h.

        Shape:
            x `[batch, time, input]`, state `[batch, hidden]` (zeros if None) → h `[batch, time, hidden]`, state

        Raises:
            OptionError: x or a state of another shape, or no step at all.
        """
        _check_sequence(x, self.input_size)
        layer = _state(state, x, self.cell.hidden_size).unsqueeze(0)
        x = _with_one(x) if self.constant else x
        hs, h = torch.rnn_tanh(x, layer, self.cell.kernel_weights(), False, 1, 0.0, self.training, False, True)
        return hs, h[0]


def _step(weights: Weights, x: Tensor, h: Tensor, c: Tensor) -> Step:
    W1, W2, W3, W4 = weights
    b = torch.cat([h, x], dim=-1)  # one row per sequence, so W b of the examination paper is b Wᵀ here
    f, i, o = torch.sigmoid(b @ W1.T), torch.sigmoid(b @ W2.T), torch.sigmoid(b @ W4.T)
    candidate = torch.tanh(b @ W3.T)
    a = f * c + i * candidate
    e = torch.tanh(a)
    d = e * o
    return Step(b=b, f=f, i=i, candidate=candidate, o=o, a=a, e=e, d=d, y=torch.sigmoid(d), c_previous=c)


def _derivatives(weights: Weights, step: Step, dy: Tensor, dh: Tensor, dc: Tensor) -> Derivatives:
    # d leaves the step twice: through ŷ = σ(d), with σ' = σ (1 - σ), and as h = d itself, with factor 1.
    d = dy * step.y * (1 - step.y) + dh
    # d = e * o
    e, o = d * step.o, d * step.e
    # a leaves the step twice: through e = tanh(a), with tanh' = 1 - tanh², and as c = a itself.
    a = e * (1 - step.e**2) + dc
    # a = f * c_previous + i * candidate
    c_previous, f, i, candidate = a * step.f, a * step.c_previous, a * step.candidate, a * step.i
    # Each gate is σ or tanh of z = W b: its derivative by z, then z's by b (Wᵀ) and by W (the outer product with b).
    z = (
        f * step.f * (1 - step.f),
        i * step.i * (1 - step.i),
        candidate * (1 - step.candidate**2),
        o * step.o * (1 - step.o),
    )
    # One row per sequence: Wᵀ z is z W, and zᵀ b sums the outer products over the batch.
    b = sum((dz @ W for dz, W in zip(z, weights, strict=True)), start=torch.zeros_like(step.b))
    W1, W2, W3, W4 = (dz.T @ step.b for dz in z)
    hidden = d.shape[-1]
    return Derivatives(
        d=d, e=e, o=o, a=a, c_previous=c_previous, f=f, i=i, candidate=candidate,
        b=b, h_previous=b[:, :hidden], x=b[:, hidden:], W1=W1, W2=W2, W3=W3, W4=W4,
    )  # fmt: skip


class _ThroughTime(torch.autograd.Function):
    """A sequence as one operation. It keeps the values of every step; backward goes over them from last to first."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        steps: list[Step] = []
        for now in x.unbind(dim=1):
            steps.append(_step(weights, now, h, c))
            h, c = steps[-1].d, steps[-1].a
        ctx.save_for_backward(*weights, *(tensor for step in steps for tensor in vars(step).values()))
        return torch.stack([s.y for s in steps], dim=1), torch.stack([s.d for s in steps], dim=1), c.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dys: Tensor, dhs: Tensor, dc: Tensor) -> tuple[Tensor, ...]:
        weights, kept = ctx.saved_tensors[:4], ctx.saved_tensors[4:]
        names = tuple(Step.__dataclass_fields__)
        steps = [
            Step(**dict(zip(names, kept[k : k + len(names)], strict=True))) for k in range(0, len(kept), len(names))
        ]
        dh, dx = torch.zeros_like(dc), []
        dW = [torch.zeros_like(W) for W in weights]
        for t in reversed(range(len(steps))):
            # h_t is an output and also an input of the next step, so its gradient is the sum of two.
            by = _derivatives(weights, steps[t], dys[:, t], dhs[:, t] + dh, dc)
            dh, dc = by.h_previous, by.c_previous
            dx.append(by.x)
            for total, now in zip(dW, (by.W1, by.W2, by.W3, by.W4), strict=True):
                total += now
        return torch.stack(dx[::-1], dim=1), dh, dc, *dW


def _uniform_weight(input_size: int, hidden_size: int) -> nn.Parameter:
    """Random weights `[hidden, hidden + input]`, uniform within ±1/√hidden, as in PyTorch's cells."""
    bound = hidden_size**-0.5
    return nn.Parameter(torch.empty(hidden_size, hidden_size + input_size).uniform_(-bound, bound))


def _with_one(x: Tensor) -> Tensor:
    return nn.functional.pad(x, (0, 1), value=1.0)


def _check_sequence(x: Tensor, input_size: int) -> None:
    if x.ndim != 3 or x.shape[1] < 1 or x.shape[2] != input_size:
        raise OptionError(f"a sequence of shape {tuple(x.shape)}; need [batch, time, {input_size}] with time ≥ 1")


def _state(state: Tensor | None, x: Tensor, hidden_size: int) -> Tensor:
    """The given state, or zeros. The shape is checked, since PyTorch broadcasts a smaller one without a warning."""
    expected = (len(x), hidden_size)
    if state is not None and state.shape != expected:
        raise OptionError(f"a state of shape {tuple(state.shape)}; need {expected}, [batch, hidden]")
    return x.new_zeros(expected) if state is None else state
