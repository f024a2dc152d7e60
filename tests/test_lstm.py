"""The explicit cell against autograd, against PyTorch's cells, and against its own equations."""

from dataclasses import fields

import pytest
import torch
from torch import nn

from whalefinder.errors import OptionError
from whalefinder.networks.lstm import LSTM, Derivatives, Elman, ElmanCell, LSTMCell, Step

pytestmark = pytest.mark.networks

BATCH, TIME, INPUT, HIDDEN = 3, 7, 4, 5
EXACT = 1e-10
"""Double precision through a few dozen steps of numbers near 1."""


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def cell(kind=LSTMCell, seed=0):
    torch.manual_seed(seed)
    return kind(INPUT, HIDDEN).double()


def close(a, b):
    assert a.shape == b.shape
    return (a - b).abs().max() < EXACT


def step_inputs():
    return tuple(
        t.requires_grad_() for t in (draw(BATCH, INPUT), draw(BATCH, HIDDEN, seed=1), draw(BATCH, HIDDEN, seed=2))
    )


def test_one_step_by_hand():
    """All weights 0 but W3 = 1 on x: gates 1/2, candidate tanh(x)."""
    lstm = LSTMCell(1, 1).double()
    with torch.no_grad():
        for weight in lstm.weights:
            weight.zero_()
        lstm.W3[0, 1] = 1.0
    x, h, c = (torch.tensor([[v]], dtype=torch.float64) for v in (0.5, 0.3, 0.8))
    y, h, c = (float(value.detach()) for value in lstm(x, h, c))
    # c = 0.8/2 + tanh(0.5)/2 = 0.4 + 0.4621171573/2, h = tanh(c)/2, y = σ(h)
    assert c == pytest.approx(0.6310585786, abs=1e-9)
    assert h == pytest.approx(0.2793903493, abs=1e-9)
    assert y == pytest.approx(0.5693967536, abs=1e-9)


def test_every_derivative_of_a_step_agrees_with_autograd():
    lstm, (x, h, c) = cell(), step_inputs()
    step = lstm.step(x, h, c)
    dy, dh, dc = (draw(BATCH, HIDDEN, seed=s) for s in (3, 4, 5))
    # h is d and c is a, so their upstream derivatives enter there.
    scalar = (step.y * dy + step.d * dh + step.a * dc).sum()
    wanted = {name: getattr(step, name) for name in ("d", "e", "o", "a", "f", "i", "candidate", "b")}
    wanted |= {"c_previous": c, "h_previous": h, "x": x}
    wanted |= {name: getattr(lstm, name) for name in ("W1", "W2", "W3", "W4")}
    assert set(wanted) == {field.name for field in fields(Derivatives)}
    explicit = lstm.derivatives(step, dy, dh, dc)
    for name, gradient in zip(wanted, torch.autograd.grad(scalar, list(wanted.values())), strict=True):
        assert close(getattr(explicit, name), gradient), name


def test_backward_adds_to_the_weights_as_autograd_does():
    lstm, (x, h, c) = cell(), step_inputs()
    dy, dh, dc = (draw(BATCH, HIDDEN, seed=s) for s in (3, 4, 5))
    for _ in range(2):
        torch.autograd.backward(lstm(x, h, c), (dy, dh, dc))
    expected = [weight.grad.clone() for weight in lstm.weights]
    lstm.zero_grad()
    for _ in range(2):
        sent_back = lstm.backward(lstm.step(x, h, c), dy, dh, dc)
    assert all(close(weight.grad, gradient) for weight, gradient in zip(lstm.weights, expected, strict=True))
    assert all(close(2 * sent, leaf.grad) for sent, leaf in zip(sent_back, (x, h, c), strict=True))


def unrolled(lstm, x, h, c):
    """The sequence, one step after the other, left to autograd."""
    ys, hs = [], []
    for now in x.unbind(dim=1):
        y, h, c = lstm(now, h, c)
        ys.append(y)
        hs.append(h)
    return torch.stack(ys, 1), torch.stack(hs, 1), c


def gradients(outputs, leaves):
    upstream = [draw(*out.shape, seed=9 + k) for k, out in enumerate(outputs)]
    return torch.autograd.grad(outputs, leaves, upstream)


def test_back_propagation_through_time_agrees_with_autograd():
    lstm, x = cell(), draw(BATCH, TIME, INPUT, seed=6).requires_grad_()
    _, h, c = step_inputs()
    leaves = [x, h, c, *lstm.weights]
    y, hs, (h_last, c_last) = lstm.sequence(x, h, c)
    expected = unrolled(lstm, x, h, c)
    assert all(close(a, b) for a, b in zip((y, hs, c_last), expected, strict=True))
    assert torch.equal(h_last, hs[:, -1])
    pairs = zip(gradients((y, hs, c_last), leaves), gradients(expected, leaves), strict=True)
    assert all(close(a, b) for a, b in pairs)


@pytest.mark.parametrize("output", [0, 1])
def test_sequence_gradient_by_finite_differences(output):
    lstm, x = cell(), draw(2, 3, INPUT, seed=6).requires_grad_()
    h, c = (draw(2, HIDDEN, seed=s).requires_grad_() for s in (1, 2))

    def run(x, h, c, *weights):
        y, hs, state = lstm.sequence(x, h, c)
        return (y, hs)[output], *state

    assert torch.autograd.gradcheck(run, (x, h, c, *lstm.weights))


def test_sequence_refuses_a_second_derivative_rather_than_give_a_wrong_one():
    lstm, x = cell(), draw(2, 3, INPUT).requires_grad_()
    (first,) = torch.autograd.grad(lstm.sequence(x)[0].square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_the_kernel_of_pytorch_gives_the_same_states_and_gradients():
    lstm, x = cell(), draw(BATCH, TIME, INPUT, seed=6).requires_grad_()
    theirs = nn.LSTM(INPUT, HIDDEN, batch_first=True).double()
    with torch.no_grad():
        # Gates in PyTorch's order: input, forget, candidate, output. Columns of b: state first, then input.
        stacked = torch.cat([lstm.W2, lstm.W1, lstm.W3, lstm.W4])
        theirs.weight_hh_l0.copy_(stacked[:, :HIDDEN])
        theirs.weight_ih_l0.copy_(stacked[:, HIDDEN:])
        theirs.bias_ih_l0.zero_()
        theirs.bias_hh_l0.zero_()
    _, h, c = step_inputs()
    _, hs, (h_last, c_last) = lstm.sequence(x, h, c)
    their_hs, (their_h, their_c) = theirs(x, (h.unsqueeze(0), c.unsqueeze(0)))
    assert close(hs, their_hs) and close(h_last, their_h[0]) and close(c_last, their_c[0])
    ours = gradients((hs, c_last), [x, h, c, *lstm.weights])
    reference = gradients((their_hs, their_c[0]), [x, h, c, theirs.weight_hh_l0, theirs.weight_ih_l0])
    assert all(close(a, b) for a, b in zip(ours[:3], reference[:3], strict=True))
    dW = torch.cat([ours[4], ours[3], ours[5], ours[6]])
    assert close(dW[:, :HIDDEN], reference[3]) and close(dW[:, HIDDEN:], reference[4])


@pytest.mark.parametrize("constant", [True, False])
def test_lstm_is_the_cell_on_long_sequences(constant):
    torch.manual_seed(1)
    lstm, x = LSTM(INPUT, HIDDEN, constant=constant).double(), draw(BATCH, TIME, INPUT).requires_grad_()
    longer = torch.cat([x, torch.ones(BATCH, TIME, 1, dtype=x.dtype)], dim=2) if constant else x
    _, expected, (h, c) = lstm.cell.sequence(longer)
    hs, state = lstm(x)
    assert close(hs, expected) and close(state[0], h) and close(state[1], c)
    leaves = [x, *lstm.cell.weights]
    pairs = zip(gradients((hs, state[1]), leaves), gradients((expected, c), leaves), strict=True)
    assert all(close(a, b) for a, b in pairs)


def test_single_precision_takes_another_kernel_and_agrees_to_its_digits():
    torch.manual_seed(1)
    lstm, x = LSTM(INPUT, HIDDEN), torch.randn(BATCH, TIME, INPUT)
    assert torch.allclose(lstm(x)[0].double(), lstm.double()(x.double())[0], atol=1e-6)


@pytest.mark.parametrize("kind", [LSTM, Elman])
def test_a_sequence_in_pieces_is_the_sequence(kind):
    torch.manual_seed(2)
    network, x = kind(INPUT, HIDDEN).double(), draw(BATCH, TIME, INPUT)
    whole, _ = network(x)
    first, state = network(x[:, :3])
    second, _ = network(x[:, 3:], state)
    assert close(torch.cat([first, second], dim=1), whole)


def test_the_output_of_the_cell_cannot_reach_every_azimuth():
    lstm, wild = cell(), 100 * draw(50, 20, INPUT)
    with torch.no_grad():
        for weight in lstm.weights:
            weight *= 10
        y, hs, _ = lstm.sequence(wild)
    assert hs.abs().max() > 0.99  # so the states were driven to their ends
    assert 0.2689 < y.min() < 0.28 and 0.72 < y.max() < 0.7311  # σ(-1) and σ(1)


@torch.no_grad()
def test_without_the_constant_memory_starts_halved_at_every_step():
    torch.manual_seed(0)
    quiet = 0.1 * torch.randn(64, INPUT)
    state = torch.zeros(64, 32), torch.zeros(64, 32)
    plain, open_gate = LSTM(INPUT, 32, constant=False), LSTM(INPUT, 32)
    assert float(plain.cell.step(quiet, *state).f.mean()) == pytest.approx(0.5, abs=0.01)
    with_one = nn.functional.pad(quiet, (0, 1), value=1.0)
    assert float(open_gate.cell.step(with_one, *state).f.mean()) == pytest.approx(0.731, abs=0.01)  # σ(1)


@pytest.mark.parametrize("constant", [True, False])
def test_elman_cell_against_pytorch(constant):
    torch.manual_seed(3)
    elman, x = Elman(INPUT, HIDDEN, constant=constant).double(), draw(BATCH, TIME, INPUT).requires_grad_()
    theirs = nn.RNN(INPUT + constant, HIDDEN, bias=False, batch_first=True).double()
    with torch.no_grad():
        theirs.weight_hh_l0.copy_(elman.cell.W[:, :HIDDEN])
        theirs.weight_ih_l0.copy_(elman.cell.W[:, HIDDEN:])
    longer = torch.cat([x, torch.ones(BATCH, TIME, 1, dtype=x.dtype)], dim=2) if constant else x
    hs, last = elman(x)
    expected, _ = theirs(longer)
    assert close(hs, expected) and close(last, expected[:, -1])
    h = torch.zeros(BATCH, HIDDEN, dtype=x.dtype)
    for t in range(TIME):
        h = elman.cell(longer[:, t], h)
        assert close(h, expected[:, t])
    ours, reference = gradients((hs,), [x, elman.cell.W]), gradients((expected,), [x, theirs.weight_hh_l0])
    assert close(ours[0], reference[0]) and close(ours[1][:, :HIDDEN], reference[1])


@pytest.mark.parametrize("kind", [LSTMCell, ElmanCell, LSTM, Elman])
def test_the_same_seed_gives_the_same_weights_within_their_bounds(kind):
    first, second = (cell(kind, seed=4).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    drawn = torch.cat([weight[:, :-1].flatten() for weight in first.values()])  # without the constant's column
    assert drawn.abs().max() <= HIDDEN**-0.5 and drawn.std() > 0.5 * HIDDEN**-0.5
    assert len(drawn.unique()) == len(drawn)


def test_a_step_keeps_the_papers_intermediates():
    step = cell().step(*step_inputs())
    assert [field.name for field in fields(Step)] == ["b", "f", "i", "candidate", "o", "a", "e", "d", "y", "c_previous"]
    assert close(step.a, step.f * step.c_previous + step.i * step.candidate)
    assert close(step.d, torch.tanh(step.a) * step.o) and close(step.y, torch.sigmoid(step.d))


@pytest.mark.parametrize("shape", [(2, 3), (2, 0, INPUT), (2, 3, INPUT + 1)])
@pytest.mark.parametrize("run", [LSTMCell(INPUT, HIDDEN).sequence, LSTM(INPUT, HIDDEN), Elman(INPUT, HIDDEN)])
def test_wrong_sequences_are_refused(run, shape):
    with pytest.raises(OptionError, match=rf"need \[batch, time, {INPUT}\]"):
        run(torch.zeros(shape))


def test_a_state_that_would_be_broadcast_is_refused():
    x, small = torch.zeros(2, 3, INPUT), torch.zeros(1, HIDDEN)
    for run in (lambda: LSTMCell(INPUT, HIDDEN).sequence(x, small), lambda: Elman(INPUT, HIDDEN)(x, small)):
        with pytest.raises(OptionError, match=r"state of shape \(1, 5\); need \(2, 5\)"):
            run()
    with pytest.raises(OptionError, match="must be a whole number above 0"):
        LSTMCell(4, 0)
