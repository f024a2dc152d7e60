"""Statements of the examination paper on optimisers and steps, each against a closed form, by hand, or with PyTorch as judge."""

import math

import numpy as np
import pytest
import torch

from tests.doubles import close, draw, largest
from whalefinder.training.losses import AzimuthLoss, ElevationLoss

# --- steps --------------------------------------------------------------------------------------------------------


def descent(curvature, rate, steps, momentum=0.0, start=1.0, optimiser=torch.optim.SGD):
    """Path of w on Σ curvature w² / 2. → `[step, w]`."""
    curvature = torch.tensor(curvature, dtype=torch.float64)
    w = torch.full_like(curvature, start).requires_grad_()
    rule = optimiser([w], lr=rate, momentum=momentum) if momentum else optimiser([w], lr=rate)
    path = []
    for _ in range(steps):
        loss = (curvature * w.square()).sum() / 2
        rule.zero_grad()
        loss.backward()
        rule.step()
        path.append(w.detach().clone())
    return torch.stack(path)


@pytest.mark.parametrize(
    ("rate", "behaviour"),
    [(0.25, "straight"), (0.9, "oscillates"), (1.1, "diverges")],  # curvature 2: limits at 1/2 and 2/2
)
def test_a_rate_beyond_two_over_the_curvature_diverges(rate, behaviour):
    """w_t = (1 - η c)ᵗ w_0."""
    path = descent([2.0], rate, 40)[:, 0]
    assert torch.allclose(path, (1 - 2 * rate) ** torch.arange(1, 41, dtype=torch.float64), rtol=1e-9)
    changes_side = bool((path[1:] * path[:-1] < 0).all())
    assert changes_side == (behaviour != "straight")
    assert (abs(float(path[-1])) > 1000) == (behaviour == "diverges")
    assert (abs(float(path[-1])) < 1e-3) == (behaviour != "diverges")


@pytest.mark.parametrize(("share", "arrives"), [(0.95, True), (1.05, False)])
def test_the_rate_that_the_papers_losses_bear(share, arrives):
    """Curvature of the azimuth loss (2π)², of the elevation loss 2 below the surface: 2 over it is the limit."""
    for loss, curvature, label in ((AzimuthLoss(), (2 * math.pi) ** 2, 0.3), (ElevationLoss(0.9), 2.0, 0.3)):
        node, true = torch.full((1, 1), label + 0.01, dtype=torch.float64), torch.full((1, 1), label).double()
        node.requires_grad_()
        optimiser = torch.optim.SGD([node], lr=share * 2 / curvature)
        for _ in range(100):
            value = loss(node, true)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
        error = abs(float(node.detach()) - label)
        assert (error < 1e-4) == arrives and (error > 0.02) != arrives


def test_momentum_helps_where_curvatures_differ():
    """Condition number κ = 100: the best plain rate shrinks by (κ-1)/(κ+1) a step, with momentum by (√κ-1)/(√κ+1)."""
    curvature = [1.0, 100.0]
    plain = descent(curvature, 2 / 101, 150)
    heavy = descent(curvature, 4 / 121, 150, momentum=(9 / 11) ** 2)
    assert largest(plain[-1]) == pytest.approx((99 / 101) ** 150, rel=1e-9)  # 0.05
    assert largest(heavy[-1]) < 150 * 11 * (9 / 11) ** 150  # a double root brings a factor t; 10⁻¹⁰


def test_an_adaptive_rate_does_not_see_the_curvature():
    """Adam divides every gradient by its own size: both axes go the very same way, once ε is out of the sum."""

    def adam(parameters, lr):
        return torch.optim.Adam(parameters, lr=lr, eps=1e-30)

    steep = descent([1.0, 100.0], 0.01, 60, optimiser=adam)
    assert close(steep[:, 0], steep[:, 1])
    plain = descent([1.0, 100.0], 0.01, 60)
    assert not close(plain[:, 0], plain[:, 1])


def bumpy(w):
    return (w.square() / 2 + torch.sin(3 * w)).sum()


def sgd_with_momentum(memory, g, step):
    """0.9 of the last step goes on: momentum, one rate for all weights."""
    memory["m"] = 0.9 * memory["m"] + g
    return memory["m"]


def rmsprop(memory, g, step):
    """Over the root of a running mean of squares: an adaptive rate, no momentum."""
    memory["v"] = 0.99 * memory["v"] + 0.01 * g**2
    return g / (memory["v"].sqrt() + 1e-8)


def adam(memory, g, step):
    """Both. The running means start at 0; dividing takes that bias away."""
    memory["m"] = 0.9 * memory["m"] + 0.1 * g
    memory["v"] = 0.999 * memory["v"] + 0.001 * g**2
    return memory["m"] / (1 - 0.9**step) / ((memory["v"] / (1 - 0.999**step)).sqrt() + 1e-8)


RULES = {
    "sgd": (sgd_with_momentum, lambda w: torch.optim.SGD([w], lr=0.05, momentum=0.9)),
    "rmsprop": (rmsprop, lambda w: torch.optim.RMSprop([w], lr=0.05, alpha=0.99, eps=1e-8)),
    "adam": (adam, lambda w: torch.optim.Adam([w], lr=0.05, betas=(0.9, 0.999), eps=1e-8)),
}


@pytest.mark.parametrize("name", RULES)
def test_adam_is_momentum_and_an_adaptive_rate(name):
    """RMSProp has the adaptive rate alone, SGD may have the momentum alone: Adam is the two together."""
    rule, make = RULES[name]
    w = draw(5).requires_grad_()
    optimiser, ours = make(w), w.detach().clone()
    memory = {"m": torch.zeros_like(ours), "v": torch.zeros_like(ours)}
    for step in range(1, 31):
        (g,) = torch.autograd.grad(bumpy(at := ours.clone().requires_grad_()), at)
        ours = ours - 0.05 * rule(memory, g, step)
        optimiser.zero_grad()
        bumpy(w).backward()
        optimiser.step()
        assert close(ours, w.detach())


@pytest.mark.parametrize(("name", "momentum", "adaptive"), [("sgd", 1, 0), ("rmsprop", 0, 1), ("adam", 1, 1)])
def test_who_has_momentum_and_who_an_adaptive_rate(name, momentum, adaptive):
    """Momentum: without a gradient the step goes on. Adaptive rate: a hundred times the gradient, the same step."""

    def steps(*gradients):
        w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimiser, before, lengths = RULES[name][1](w), 0.0, []
        for g in gradients:
            w.grad = torch.tensor([g], dtype=torch.float64)
            optimiser.step()
            lengths.append(float(w.detach()) - before)
            before = float(w.detach())
        return lengths

    assert (steps(1.0, 0.0)[1] != 0) == bool(momentum)
    assert (steps(100.0)[0] == pytest.approx(steps(1.0)[0], rel=1e-6)) == bool(adaptive)


def saddle(w):
    """x²/2 + y³/3 + y⁴/4: at (0, 0) flat along y, uphill to one side and downhill to the other; its lowest place is y = -1."""
    x, y = w
    return x**2 / 2 + y**3 / 3 + y**4 / 4


def from_above(steps=400, rate=0.05, **options):
    """y after plain descent from (1, 1)."""
    w = torch.ones(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([w], lr=rate, **options)
    for _ in range(steps):
        optimiser.zero_grad()
        saddle(w).backward()
        optimiser.step()
    return float(w[1].detach())


def test_momentum_leaves_a_saddle_that_plain_descent_does_not():
    """y ← y (1 - η y (1 + y)) stays above 0 for ever, and 1/y grows by η a step: y is about 1 / (η t)."""
    assert from_above(4000) == pytest.approx(1 / (0.05 * 4000), rel=0.05)
    assert from_above(momentum=0.9) == pytest.approx(-1.0, abs=1e-3)


def test_weight_decay_is_no_remedy_for_slow_descent():
    """Handwritten as one. It pulls to 0, where the saddle is; and on curvatures c about 1 it ends at c / (c + λ), not at 1."""
    assert 0 < from_above(weight_decay=0.1) < from_above()
    curvature, decay = torch.tensor([1.0, 100.0], dtype=torch.float64), 0.5
    w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([w], lr=2 / 102, weight_decay=decay)
    for _ in range(2000):
        optimiser.zero_grad()
        (curvature * (w - 1).square()).sum().div(2).backward()
        optimiser.step()
    assert close(w.detach(), curvature / (curvature + decay))


def one_step(kind, start, **options):
    w = start.clone().requires_grad_()
    optimiser = kind([w], lr=0.1, **options)
    bumpy(w).backward()
    gradient = w.grad.clone()
    optimiser.step()
    return w.detach(), gradient


def test_l2_shrinks_the_weights_by_1_minus_2_eta_lambda():
    eta, lam, w = 0.1, 0.03, draw(6)
    theirs, gradient = one_step(torch.optim.SGD, w, weight_decay=2 * lam)
    assert close(theirs, (1 - 2 * eta * lam) * w - eta * gradient)
    penalised = w.clone().requires_grad_()
    (bumpy(penalised) + lam * penalised.square().sum()).backward()  # L + λ‖w‖², no decay in the optimiser
    assert close(theirs, w - eta * penalised.grad)
    # Handwritten: η missing and the sign wrong, w - η ∂L/∂w + 2λw. It blows the weights up.
    handwritten = w - eta * gradient + 2 * lam * w
    assert (handwritten + eta * gradient).norm() > w.norm() > (theirs + eta * gradient).norm()


def test_adamw_decouples_what_adam_divides():
    eta, decay, w = 0.1, 0.5, draw(6)
    coupled, gradient = one_step(torch.optim.Adam, w, weight_decay=decay, eps=1e-30)
    decoupled, _ = one_step(torch.optim.AdamW, w, weight_decay=decay, eps=1e-30)
    # Adam's first step has length η whatever the gradient, so a penalty inside can only turn its sign.
    assert close(coupled, w - eta * torch.sign(gradient + decay * w))
    assert close(decoupled, (1 - eta * decay) * w - eta * torch.sign(gradient))
    assert not close(coupled, decoupled)


# --- mini-batches -------------------------------------------------------------------------------------------------


def test_noise_of_a_mini_batch_gradient_falls_like_one_over_its_size():
    """Labels all round the circle: a row's gradient 2π sin has variance (2π)² / 2."""
    rng, batches = np.random.default_rng(0), 4000
    for size in (1, 4, 16, 64):
        nodes = torch.zeros(batches, 1, dtype=torch.float64, requires_grad=True)
        labels = torch.from_numpy(rng.random((batches * size, 1)))
        rows = nodes.repeat_interleave(size, 0)
        (gradient,) = torch.autograd.grad(batches * AzimuthLoss()(rows, labels), nodes)
        # 4000 draws tell a variance to about 2 %.
        assert float(gradient.var()) == pytest.approx((2 * math.pi) ** 2 / 2 / size, rel=0.1)


def noisy_descent(rate, steps=400, chains=4000):
    """w of many chains after steps w ← w - η (w + noise of variance 1)."""
    rng, w = np.random.default_rng(0), np.zeros(chains)
    for step in range(1, steps + 1):
        w -= rate(step) * (w + rng.standard_normal(chains))
    return w


def test_a_constant_rate_gets_stuck_in_the_noise_and_a_schedule_does_not():
    """The variance stops at η / (2 - η); a rate 1/t makes w the mean of all noise, of variance 1/t."""
    for eta in (0.2, 0.1, 0.05):
        assert noisy_descent(lambda _, eta=eta: eta).var() == pytest.approx(eta / (2 - eta), rel=0.1)
    assert noisy_descent(lambda step: 1 / step).var() == pytest.approx(1 / 400, rel=0.1)
