"""What the handwritten answers of the examination paper got wrong: each formula beside the right one, autograd or NumPy as judge."""

import math

import pytest
import torch

from tests.doubles import close, draw, largest
from whalefinder.networks.lstm import LSTMCell
from whalefinder.training.losses import AzimuthLoss


@pytest.fixture(scope="module")
def cell():
    """A step, its explicit derivatives and autograd's."""
    torch.manual_seed(0)
    cell = LSTMCell(3, 4).double()
    with torch.no_grad():
        for number, weight in enumerate(cell.weights):
            weight.copy_(draw(4, 7, seed=number) / 2)
    x, h, c, dy, dh, dc = (draw(2, n, seed=10 + n + k) for k, n in enumerate((3, 4, 4, 4, 4, 4)))
    x, h, c = (tensor.requires_grad_() for tensor in (x, h, c))
    step = cell.step(x, h, c)
    loss = (step.y * dy + step.d * dh + step.a * dc).sum()
    d, a, c_previous, b = torch.autograd.grad(loss, [step.d, step.a, c, step.b])
    return cell, step, (dy, dh, dc), {"d": d, "a": a, "c_previous": c_previous, "b": b}


def far(a, b):
    """No slip of rounding, which `close` bears up to 10⁻¹⁰: derivatives here are near 1."""
    return largest(a - b) > 0.05


def test_what_was_written_for_the_sigmoids_derivative_is_that_of_tanh():
    """4 σ(2x) (1 - σ(2x)) = tanh'(x), since tanh(x) = 2 σ(2x) - 1; the sigmoid's own is σ (1 - σ), a quarter of it at 0."""
    x = torch.linspace(-4, 4, 81, dtype=torch.float64, requires_grad=True)
    written = 4 * torch.sigmoid(2 * x) * (1 - torch.sigmoid(2 * x))
    of_sigmoid, of_tanh = (torch.autograd.grad(f(x).sum(), x)[0] for f in (torch.sigmoid, torch.tanh))
    assert close(written.detach(), of_tanh)
    assert close((torch.sigmoid(x) * (1 - torch.sigmoid(x))).detach(), of_sigmoid)
    assert float(written[40].detach()) == pytest.approx(4 * float(of_sigmoid[40]))


def test_two_drafts_of_d_of_which_one_is_right(cell):
    """d leaves the step as h, with factor 1, and through ŷ = σ(d), with σ'. One draft puts σ' on both."""
    _, step, (dy, dh, _), true = cell
    slope = step.y * (1 - step.y)
    assert close(dy * slope + dh, true["d"])
    assert far((dy + dh) * slope, true["d"])


def test_two_drafts_of_c_previous_of_which_one_is_right(cell):
    """a leaves the step as c and through e = tanh(a). One draft forgets the path through e."""
    _, step, (_, _, dc), true = cell
    assert close((true["d"] * step.o * (1 - step.e**2) + dc) * step.f, true["c_previous"])
    assert far(dc * step.f, true["c_previous"])


def test_the_slope_of_tanh_is_taken_at_a_not_at_e(cell):
    """e = tanh(a), so tanh'(a) = 1 - e²; tanh'(e) = 1 - tanh²(e) is squashed twice."""
    _, step, (_, _, dc), true = cell
    assert close(true["d"] * step.o * (1 - torch.tanh(step.a) ** 2) + dc, true["a"])
    assert far(true["d"] * step.o * (1 - torch.tanh(step.e) ** 2) + dc, true["a"])


def test_every_gate_has_its_own_derivative(cell):
    """∂L/∂b with the forget gate's error for all four matrices, or through f alone, is not ∂L/∂b."""
    lstm, step, given, true = cell
    by = lstm.derivatives(step, *given)
    through_f = by.f * step.f * (1 - step.f)
    assert close(by.b, true["b"])
    assert far(sum(through_f @ weight for weight in lstm.weights), true["b"])
    assert far(through_f @ lstm.W1, true["b"])


def test_wrapping_the_difference_closes_the_circle_and_its_gradient_jumps():
    """ "Subtract 180°" read kindly: wrap p - l into ± half a turn and square it. Right at 0° = 360°, but just short of the
    opposite it pushes one way with all its might and just beyond it the other way; the cosine's push dies down there.
    """

    def wrapped(p, l):
        return (torch.remainder(p - l + 0.5, 1) - 0.5).square().mean()

    def push(loss, p):
        node, label = torch.full((1, 1), p, dtype=torch.float64, requires_grad=True), torch.zeros(1, 1).double()
        return float(torch.autograd.grad(loss(node, label), node)[0])

    close_by = 1e-6
    assert push(wrapped, 1 - close_by) == pytest.approx(-2 * close_by)  # 359.9…° against 0°: nearly right
    assert push(wrapped, 0.5 - close_by) == pytest.approx(1, abs=1e-4)
    assert push(wrapped, 0.5 + close_by) == pytest.approx(-1, abs=1e-4)
    assert push(AzimuthLoss(), 0.5 - close_by) == pytest.approx((2 * math.pi) ** 2 * close_by, rel=1e-4)
    assert push(AzimuthLoss(), 0.5 + close_by) == pytest.approx(-((2 * math.pi) ** 2) * close_by, rel=1e-4)


# --- the order of a training step (6.2) -----------------------------------------------------------------------------


def weight_after(order, steps=20):
    """One weight on (w - 3)², after steps in an order of A backward, B batch, C loss, D step, E forward, F zero the gradients."""
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser, now = torch.optim.SGD([w], lr=0.1), {}
    do = {
        "A": lambda: now["loss"].backward(),
        "B": lambda: now.update(x=torch.ones(1, dtype=torch.float64)),
        "C": lambda: now.update(loss=(now["y"] - 3).square().sum()),
        "D": optimiser.step,
        "E": lambda: now.update(y=w * now["x"]),
        "F": optimiser.zero_grad,
    }
    for _ in range(steps):
        for letter in order:
            do[letter]()
    return float(w.detach())


@pytest.mark.parametrize("order", ["BECFAD", "BEFCAD", "BFECAD", "FBECAD"])
def test_zeroing_anywhere_before_backward_is_the_same(order):
    """The error shrinks by 1 - 2 · 0.1 a step."""
    assert weight_after(order) == pytest.approx(3 * (1 - 0.8**20), rel=1e-12)


def test_other_orders_do_not_learn_what_they_should():
    assert weight_after("BECAFD") == 0.0  # handwritten: zeroed between backward and step
    assert weight_after("BECADF") == pytest.approx(
        3 * (1 - 0.8**20)
    )  # after the step is before the next one's backward
    assert abs(weight_after("BECAD") - 3) > abs(weight_after("BECFAD") - 3)  # never zeroed: old gradients add up
