"""The single statements of the specification (§2, §5), each against a closed form, by hand, or with SciPy or PyTorch as judge.

`docs/paper.md` says them in words and names these tests. Where the product uses a statement, its own object is tested.
"""

import copy
import math
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from whalefinder.networks.classifier import Classifier, Residual
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.networks.weights import load_network
from whalefinder.sound.features import FEATURES
from whalefinder.training.loop import descend
from whalefinder.training.losses import AzimuthLoss, ElevationLoss

EXACT = 1e-10
"""Double precision after a few hundred operations on numbers near 1."""
CORNERS = list(product((0.0, 1.0), repeat=2))


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def largest(x):
    return float(x.detach().abs().max())


def close(a, b):
    assert a.shape == b.shape
    return largest(a - b) < EXACT


def segmenter(hidden=4):
    """Convolutions and ReLUs alone, one plane in."""
    torch.manual_seed(0)
    return SegmentationNetwork(1, hidden, 3, normalise=False).double()


def classifier(**options):
    torch.manual_seed(0)
    return Classifier(2, (4, 6), **options).double()


# --- linear or not ------------------------------------------------------------------------------------------------


def test_every_convolution_is_linear():
    """f(αx + βy) = αf(x) + βf(y), of what is left of a convolution without its constant, the bias."""
    network = SegmentationNetwork(2, 6, 3).double()
    for convolution in (getattr(network, f"conv{letter}") for letter in "ABCDEF"):
        nn.init.uniform_(convolution.bias)
        x, y = (draw(1, convolution.in_channels, 9, 11, seed=s) for s in (1, 2))
        zero = convolution(torch.zeros_like(x))
        together = convolution(2.0 * x - 3.0 * y) - zero
        assert close(together, 2.0 * (convolution(x) - zero) - 3.0 * (convolution(y) - zero))
    stem = classifier().stem
    assert stem.bias is None and not stem(torch.zeros(1, 3, 8, 8, dtype=torch.float64)).any()


@pytest.mark.parametrize(
    ("function", "x", "y", "whole", "parts"),
    [
        (nn.MaxPool1d(2), [1.0, 0.0], [0.0, 1.0], [1.0], [2.0]),  # max(1, 1) against max(1, 0) + max(0, 1)
        (nn.ReLU(), [1.0], [-1.0], [0.0], [1.0]),
        (nn.Softmax(-1), [1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [1.0, 1.0]),  # each sums to 1, so two of them to 2
        (nn.AvgPool1d(2), [1.0, 0.0], [0.0, 1.0], [1.0], [1.0]),  # the control: a mean is linear
    ],
)
def test_max_pooling_relu_and_softmax_are_not_linear(function, x, y, whole, parts):
    """f(x + y) against f(x) + f(y)."""
    x, y = torch.tensor([[x]]), torch.tensor([[y]])
    assert function(x + y).flatten().tolist() == pytest.approx(whole)
    assert (function(x) + function(y)).flatten().tolist() == pytest.approx(parts)


def test_without_its_relus_the_segmenter_is_one_matrix():
    network, x = segmenter(), draw(5, 1, 8, 8)

    def linear(x):
        for letter in "ABCDEF":
            x = getattr(network, f"conv{letter}")(x)
        return network.upsample(x).flatten(1)

    for letter in "ABCDEF":
        nn.init.uniform_(getattr(network, f"conv{letter}").bias)
    basis = torch.eye(64, dtype=torch.float64).view(64, 1, 8, 8)
    constant = linear(torch.zeros(1, 1, 8, 8, dtype=torch.float64))
    matrix = linear(basis) - constant  # rows are the images of the 64 unit pictures
    assert close(linear(x), x.flatten(1) @ matrix + constant)
    # With them no matrix fits: -x would have to give the opposite change.
    zero = network(torch.zeros_like(x))
    assert largest(network(x) + network(-x) - 2 * zero) > 0.1


def separable(points, labels):
    """Whether a line keeps the labels apart: w·x + b ≥ 1 on one side, ≤ -1 on the other; a linear programme decides."""
    rows = [[-s * x, -s * y, -s] for (x, y), s in zip(points, labels, strict=True)]
    return linprog(np.zeros(3), A_ub=rows, b_ub=-np.ones(len(rows)), bounds=(None, None)).status == 0


def test_one_perceptron_does_every_function_of_two_bits_but_xor():
    impossible = {labels for labels in product((-1, 1), repeat=4) if not separable(CORNERS, labels)}
    xor = (-1, 1, 1, -1)
    assert impossible == {xor, tuple(-s for s in xor)}
    for left_out in range(4):  # three of four is what it can reach
        keep = [k for k in range(4) if k != left_out]
        assert separable([CORNERS[k] for k in keep], [xor[k] for k in keep])


def test_one_hidden_layer_does_xor():
    hidden, out = nn.Linear(2, 2), nn.Linear(2, 1)
    with torch.no_grad():
        hidden.weight.fill_(1.0)
        hidden.bias.copy_(torch.tensor([0.0, -1.0]))
        out.weight.copy_(torch.tensor([[1.0, -2.0]]))  # relu(x + y) - 2 relu(x + y - 1)
        out.bias.zero_()
    assert out(torch.relu(hidden(torch.tensor(CORNERS)))).flatten().tolist() == [0.0, 1.0, 1.0, 0.0]


def hat_network(target, units):
    """One hidden layer that joins target(0), target(1/units), …, target(1) by straight lines."""
    knots = torch.linspace(0, 1, units + 1, dtype=torch.float64)
    slope = target(knots).diff() * units
    hidden, out = nn.Linear(1, units).double(), nn.Linear(units, 1).double()
    with torch.no_grad():
        hidden.weight.fill_(1.0)
        hidden.bias.copy_(-knots[:-1])
        out.weight.copy_(torch.cat([slope[:1], slope.diff()])[None])  # every unit bends the line at its knot
        out.bias.copy_(target(knots[:1]))
    return nn.Sequential(hidden, nn.ReLU(), out)


def test_one_hidden_layer_comes_as_close_as_asked():
    """Interpolation errs by at most h²/8 max|f''|, so twice the units leave a quarter of the error."""
    x = torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None]

    def target(x):
        return torch.sin(2 * math.pi * x)

    errors = [largest(hat_network(target, n)(x) - target(x)) for n in (16, 32, 64, 128)]
    for units, error in zip((16, 32, 64, 128), errors, strict=True):
        assert error <= (2 * math.pi / units) ** 2 / 8
    assert all(fine == pytest.approx(coarse / 4, rel=0.03) for coarse, fine in pairwise(errors))


def test_the_chain_rule_is_for_training_only():
    """At inference nothing is kept for it, and the answer is the same to the last bit."""
    network, x = load_network(), torch.randn(1, len(FEATURES), 32, 32, generator=torch.Generator().manual_seed(0))
    kept = []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        training = network(x)
        in_training = sum(kept)
        kept.clear()
        with torch.inference_mode():
            inference = network(x)
    assert in_training > x.numel() and kept == []
    assert training.requires_grad and not inference.requires_grad
    assert torch.equal(training.detach(), inference)


# --- convolution against the flattened image ----------------------------------------------------------------------


def test_a_convolution_shares_its_weights():
    network, x = SegmentationNetwork(1, 96, 3), torch.zeros(1, 1, 64, 64)
    first = network.convA
    flattened = x.numel() * first(x).numel()  # every output its own weight for every pixel
    assert sum(p.numel() for p in first.parameters()) == 96 * (3 * 3 + 1)
    assert flattened == 64 * 64 * 96 * 32 * 32
    assert first(torch.zeros(1, 1, 640, 640)).shape == (1, 96, 320, 320)  # the same weights serve any size


def test_what_moves_in_the_picture_moves_in_the_answer():
    """Strides of 2 · 2, so by steps of 4; away from the edges, where padding is seen. The network sees 27 pixels far."""
    network, x = segmenter(), draw(1, 1, 128, 128)
    with torch.no_grad():
        here, there = network(x), network(x.roll((8, -4), dims=(-2, -1)))
    inside = (..., slice(40, 88), slice(40, 88))
    assert close(here.roll((8, -4), dims=(-2, -1))[inside], there[inside])
    assert not close(here[inside], there[inside])


def test_a_flattened_image_has_no_neighbours():
    """Pixels in any other order, weights in the same: the same answer, so position was never in it. A convolution has it."""
    dense, convolution, x = nn.Linear(64, 5).double(), nn.Conv2d(1, 5, 3).double(), draw(3, 1, 8, 8)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    shuffled = x.flatten(1)[:, order]
    assert close(nn.functional.linear(shuffled, dense.weight[:, order], dense.bias), dense(x.flatten(1)))
    # What matters to a convolution is the neighbourhood: no answer of the shuffled picture is one of the first.
    first, second = convolution(x).flatten(2), convolution(shuffled.view_as(x)).flatten(2)
    apart = (first[..., None] - second[..., None, :]).detach().abs().amax(1)
    assert float(apart.min()) > 1e-3


# --- max pooling and residual blocks ------------------------------------------------------------------------------


def test_max_pooling_sends_the_error_to_the_winner_alone():
    """By hand on the classifier's own pooling: 3 x 3, step 2, so that a pixel can win in several windows."""
    pool, x = classifier().pool, draw(1, 1, 7, 9).requires_grad_()
    upstream = draw(*pool(x).shape, seed=1)
    expected = torch.zeros(7, 9, dtype=torch.float64)
    for row, column in np.ndindex(*upstream.shape[-2:]):
        window = [(r, c) for r in range(2 * row - 1, 2 * row + 2) for c in range(2 * column - 1, 2 * column + 2)]
        inside = [(r, c) for r, c in window if 0 <= r < 7 and 0 <= c < 9]
        winner = max(inside, key=lambda at: float(x[0, 0, at[0], at[1]].detach()))
        expected[winner] += upstream[0, 0, row, column]
    (gradient,) = torch.autograd.grad(pool(x), x, upstream)
    assert close(gradient[0, 0], expected)
    assert 0 < int((expected != 0).sum()) <= upstream.numel() < x.numel()


def test_the_classifier_goes_through_its_pooling():
    network, passed = classifier(), []
    network.pool.register_forward_hook(lambda module, given, answer: passed.append((given[0].shape, answer.shape)))
    network(draw(1, 2, 32, 40))
    assert passed == [((1, 4, 16, 20), (1, 4, 8, 10))]  # halved by the stem's step, and again here


def test_the_largest_answer_anywhere_learns_at_one_place():
    x = draw(2, 3, 5, 6).requires_grad_()
    x.amax((-2, -1)).sum().backward()  # the classifier's last pooling
    assert torch.equal(x.grad.flatten(2).argmax(-1), x.detach().flatten(2).argmax(-1))
    assert (x.grad.flatten(2).sort(-1).values[..., :-1] == 0).all()


def test_a_residual_block_that_has_learned_nothing_passes_everything():
    block, x = Residual(4, 4, 1).double(), draw(2, 4, 6, 6).requires_grad_()
    nn.init.zeros_(block.second.weight)
    answer = block(x)
    assert torch.equal(answer, torch.relu(x))
    (gradient,) = torch.autograd.grad(answer.sum(), x)
    assert torch.equal(gradient, (x > 0).double())  # undiminished, however many blocks lie above


# --- dropout ------------------------------------------------------------------------------------------------------


def test_dropout_is_off_at_inference_and_random_in_training():
    network, planes = classifier(dropout=0.5), draw(2, 2, 32, 32)
    for module in network.modules():  # batch statistics would differ as well; dropout alone is asked here
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
    network.eval()
    assert torch.equal(network(planes), network(planes))
    network.train()
    assert not torch.equal(network(planes), network(planes))
    network.dropout.eval()
    assert torch.equal(network(planes), network(planes))


def test_dropout_keeps_the_expectation():
    """What stays is scaled by 1 / (1 - p), so the head, which is linear, sees on average what it sees at inference."""
    network, features, draws = classifier(dropout=0.3).train(), draw(1, 12).abs(), 20_000
    torch.manual_seed(0)
    logits = network.head(network.dropout(features.expand(draws, -1)))
    expected = network.head(features)
    # A kept feature has variance p / (1 - p) x²; the weights carry it to the logits.
    deviation = (0.3 / 0.7 * features.square() @ network.head.weight.square().T / draws).sqrt()
    assert ((logits.mean(0) - expected).abs() < 4 * deviation).all()
    assert torch.allclose(logits.std(0), (deviation * math.sqrt(draws))[0], rtol=0.03)


def test_capacity_at_inference_does_not_know_the_dropout_rate():
    one, other = classifier(dropout=0.0).eval(), classifier(dropout=0.9).eval()
    other.load_state_dict(one.state_dict())
    planes = draw(3, 2, 32, 32)
    assert torch.equal(one(planes), other(planes))


# --- where weights start ------------------------------------------------------------------------------------------


def trained(network, x, target):
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(10):
        descend(network, optimiser, nn.functional.cross_entropy(network(x), target))
    return network


def spread_of_units(weight):
    """How much the units of a layer differ: 0 if all are the same."""
    return largest(weight - weight[:1])


@pytest.mark.parametrize("start", [0.0, 0.1])
def test_weights_that_start_alike_stay_alike(start):
    """Units with equal weights get equal errors, so equal steps; at 0 the ReLUs even let no error through."""
    x = draw(4, 1, 16, 16)
    pictures, labels = (x[:, 0] > 0).long(), torch.tensor([0, 1, 0, 1])
    layers = {
        "convA convB convC convD convE": (segmenter(), x, pictures),
        "stem stages.0.first stages.0.second stages.1.first stages.1.second": (
            classifier(num_classes=2, dropout=0.0),  # or it would tell the last units apart by chance
            x.expand(-1, 2, -1, -1),
            labels,
        ),
    }
    for names, (network, planes, target) in layers.items():
        alike = copy.deepcopy(network)
        for name, parameter in alike.named_parameters():
            if "norm" not in name:
                nn.init.constant_(parameter, start)
        before = {name: alike.get_submodule(name).weight.clone() for name in names.split()}
        trained(alike, planes, target)
        trained(network, planes, target)
        for name in names.split():
            weight = alike.get_submodule(name).weight
            assert spread_of_units(weight) < EXACT, name
            assert spread_of_units(network.get_submodule(name).weight) > 0.1, name
            if start == 0.0:
                assert torch.equal(weight, before[name]), name
        moved = [not torch.equal(alike.get_submodule(name).weight, before[name]) for name in names.split()]
        assert any(moved) == (start > 0)  # it did learn, all units the same


@pytest.mark.parametrize("network", [SegmentationNetwork(4, 16, 3), Classifier()])
def test_weights_start_as_he_says(network):
    """Variance 2 / fan-in, so that signals neither die nor explode through the ReLUs."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(layers) > 5
    for layer in layers:
        expected = math.sqrt(2 / layer.weight[0].numel())
        slack = 5 / math.sqrt(2 * layer.weight.numel())  # five standard errors of a standard deviation
        assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=slack)


def test_hes_start_keeps_the_size_of_signals():
    network, x = segmenter(24), draw(4, 1, 64, 64)
    sizes = []
    with torch.no_grad():
        for letter in "ABCDE":
            x = torch.relu(getattr(network, f"conv{letter}")(x))
            sizes.append(float(x.square().mean()))
    # Padding with zeros costs a little at the edges; a tenth of the weights would leave 10⁻¹⁰.
    assert all(0.3 < size < 3 for size in sizes)


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


def test_adam_is_momentum_and_an_adaptive_rate():
    w = draw(5).requires_grad_()
    optimiser = torch.optim.Adam([w], lr=0.05, betas=(0.9, 0.999), eps=1e-8)
    ours = w.detach().clone()
    m = v = torch.zeros_like(ours)
    for step in range(1, 31):
        (g,) = torch.autograd.grad(bumpy(at := ours.clone().requires_grad_()), at)
        m = 0.9 * m + 0.1 * g  # momentum: a running mean of gradients
        v = 0.999 * v + 0.001 * g**2  # adaptive rate: a running mean of their squares
        # Both start at 0; dividing takes that bias away.
        ours = ours - 0.05 * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
        optimiser.zero_grad()
        bumpy(w).backward()
        optimiser.step()
        assert close(ours, w.detach())


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


# --- capacity, samples and time -----------------------------------------------------------------------------------


def pieces(network, samples=4097):
    """Straight pieces of a network of one input on [0, 1]."""
    x = torch.linspace(0, 1, samples, dtype=torch.float64)[:, None]
    slope = network(x)[:, 0].detach().diff() * (samples - 1)
    bends = slope.diff().abs() > 1e-6
    # A bend between two samples changes the slope twice, one after the other.
    return 1 + int(bends[0]) + int((bends[1:] & ~bends[:-1]).sum())


def test_capacity_grows_with_hidden_layers():
    """The tent 2 relu(x) - 4 relu(x - 1/2) folds [0, 1] upon itself: k layers of two units have 2ᵏ pieces, while the same
    2k units in one layer have no more than 2k + 1, one bend each.
    """

    def tents(layers):
        network = []
        for _ in range(layers):
            hidden, out = nn.Linear(1, 2).double(), nn.Linear(2, 1).double()
            with torch.no_grad():
                hidden.weight.fill_(1.0)
                hidden.bias.copy_(torch.tensor([0.0, -0.5]))
                out.weight.copy_(torch.tensor([[2.0, -4.0]]))
                out.bias.zero_()
            network += [hidden, nn.ReLU(), out]
        return nn.Sequential(*network)

    assert [pieces(tents(layers)) for layers in (1, 2, 3, 6)] == [2, 4, 8, 64]
    torch.manual_seed(0)
    wide = [nn.Sequential(nn.Linear(1, 12), nn.ReLU(), nn.Linear(12, 1)).double() for _ in range(50)]
    assert 5 < max(pieces(network) for network in wide) <= 12 + 1
    assert pieces(hat_network(torch.exp, 12)) == 12  # its first unit bends at the edge, where nothing shows


def waves(x, count):
    """`[sample, count]` columns 1, cos πx, cos 2πx, …"""
    return np.cos(np.pi * np.arange(count) * x[:, None])


def test_the_learning_rate_changes_the_way_not_the_capacity():
    """Any rate that converges reaches what least squares allows; more columns allow more."""
    rng = np.random.default_rng(0)
    x = (np.arange(200) + 0.5) / 200
    y = np.abs(x - 0.4) + 0.1 * rng.standard_normal(200)
    best = []
    for count in (2, 4, 8):
        columns = waves(x, count)
        solution, residual, _, _ = np.linalg.lstsq(columns, y, rcond=None)
        best.append(residual[0])
        for rate in (0.1, 0.5, 0.9):
            w = np.zeros(count)
            for _ in range(500):
                w -= rate * columns.T @ (columns @ w - y) / 200
            assert np.abs(w - solution).max() < EXACT
    assert best[0] > best[1] > best[2]


def regression(samples, features, noise, rng):
    return (x := rng.standard_normal((samples, features))), x @ np.ones(features) + noise * rng.standard_normal(samples)


def test_more_independent_samples_close_the_gap():
    """Least squares of d weights on n samples of noise 1: training 1 - d/n rises, test 1 + d/(n-d-1) falls, both to 1."""
    rng, d = np.random.default_rng(0), 10
    gaps = []
    for n in (20, 40, 160):
        training, test = [], []
        for _ in range(1000):
            x, y = regression(n, d, 1.0, rng)
            w = np.linalg.lstsq(x, y, rcond=None)[0]
            training.append(np.mean((y - x @ w) ** 2))
            test.append(1 + np.sum((w - 1) ** 2))  # the expectation over all new samples
        assert np.mean(training) == pytest.approx(1 - d / n, rel=0.05)
        assert np.mean(test) == pytest.approx(1 + d / (n - d - 1), rel=0.08)
        gaps.append(np.mean(test) - np.mean(training))
    assert gaps[0] > gaps[1] > gaps[2]


def test_with_time_the_test_loss_falls_and_rises_again():
    """Finite data, much noise: descent learns what is there first and the noise afterwards."""
    x, y = regression(60, 50, 4.0, np.random.default_rng(0))
    w, training, test = np.zeros(50), [], []
    for _ in range(3000):
        training.append(np.mean((y - x @ w) ** 2))
        test.append(16.0 + np.sum((w - 1) ** 2))
        w -= 0.2 * x.T @ (x @ w - y) / 60
    assert all(later <= earlier for earlier, later in pairwise(training))
    turn = int(np.argmin(test))
    assert 0 < turn < 1000 and test[turn] < 0.95 * test[0] and test[-1] > 1.5 * test[turn]


def test_augmentation_adds_no_independent_samples():
    """n samples of variance 1, k noisy copies of each (variance 1/4): the mean has 1/n + 1/(4nk), never below 1/n."""
    rng, n = np.random.default_rng(0), 10
    for k in (1, 4, 64):
        samples = rng.standard_normal((4000, n, 1))
        copies = samples + 0.5 * rng.standard_normal((4000, n, k))
        measured = copies.mean((1, 2)).var()
        assert measured == pytest.approx(1 / n + 0.25 / (n * k), rel=0.1)
        assert measured > 0.9 / n
    independent = (1 + 0.25) / (n * 64)  # what 64 times as many samples would have brought
    assert independent < measured / 40


def test_augmentation_improves_generalisation():
    """Noise of variance s on n inputs is a ridge n s: with few samples the copies help as much as the ridge does."""
    rng = np.random.default_rng(0)
    plain, augmented, ridge = [], [], []
    for _ in range(20):
        x, y = regression(24, 20, 2.0, rng)
        copies = np.concatenate([x + 0.5 * rng.standard_normal(x.shape) for _ in range(200)])
        plain.append(np.linalg.lstsq(x, y, rcond=None)[0])
        augmented.append(np.linalg.lstsq(copies, np.tile(y, 200), rcond=None)[0])
        ridge.append(np.linalg.solve(x.T @ x + 24 * 0.25 * np.eye(20), x.T @ y))
    errors = [np.mean([np.sum((w - 1) ** 2) for w in found]) for found in (plain, augmented, ridge)]
    assert errors[1] < errors[0] / 2
    assert errors[1] == pytest.approx(errors[2], rel=0.1)


def nearest_is_right(features, labels, allowed):
    """Share of windows whose nearest other window, of those allowed, has their label."""
    distance = np.linalg.norm(features[:, None] - features[None], axis=-1)
    distance[~allowed] = np.inf
    return np.mean(labels[distance.argmin(1)] == labels)


def test_a_split_by_window_flatters():
    """Ten windows of each of 60 recordings, labels by coin: nothing can be learned, and a split by window scores 100 %."""
    rng = np.random.default_rng(0)
    recording = np.repeat(np.arange(60), 10)
    labels = rng.integers(0, 2, 60)[recording]
    features = rng.standard_normal((60, 8))[recording] + 0.1 * rng.standard_normal((600, 8))
    other_window = ~np.eye(600, dtype=bool)
    other_recording = recording[:, None] != recording[None]
    assert nearest_is_right(features, labels, other_window) > 0.99
    assert nearest_is_right(features, labels, other_recording) == pytest.approx(0.5, abs=0.2)  # 3 σ of 60 coins


def test_more_windows_of_one_recorder_do_not_teach_the_next_one():
    """Recorders differ by τ² = 1, windows by σ² = 4: the mean of R recorders of n windows misses a new one by τ²(1 + 1/R) + σ²/(Rn)."""
    rng = np.random.default_rng(0)
    missed = {}
    for recorders, windows in ((1, 10), (1, 1000), (10, 100)):
        means = rng.standard_normal((20_000, recorders)) + np.sqrt(4 / windows) * rng.standard_normal(
            (20_000, recorders)
        )
        missed[recorders, windows] = np.mean((means.mean(1) - rng.standard_normal(20_000)) ** 2)
        expected = 1 + 1 / recorders + 4 / (recorders * windows)
        assert missed[recorders, windows] == pytest.approx(expected, rel=0.05)
    assert missed[1, 1000] > 1.9  # a hundred times the windows: the recorder's own offset stays
    assert missed[10, 100] < 1.2  # the same thousand windows from ten recorders
