"""Statements of the examination paper on networks, each against a closed form, by hand, or with SciPy or PyTorch as judge.

`docs/paper.md` says them in words and names these tests; `test_statements_steps.py` and `test_statements_samples.py` have the
others. Where the product uses a statement, its own object is tested.
"""

import copy
import math
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from tests.doubles import EXACT, close, draw, largest
from whalefinder.networks.classifier import Classifier, Residual
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.networks.weights import load_network
from whalefinder.sound.features import FEATURES
from whalefinder.training.loop import descend

CORNERS = list(product((0.0, 1.0), repeat=2))


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


# --- capacity ---------------------------------------------------------------------------------------------------------


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


# --- autoencoder, GAN, self-supervision: in no product of ours, so small ones ---------------------------------------


def test_a_sparse_autoencoder_penalises_activations_not_weights():
    """Twelve hidden units for six inputs. L1 on the activations leaves less than half as many at work; L2 on the weights does not."""
    directions = nn.functional.normalize(draw(12, 6), dim=1)
    x = directions.repeat(20, 1) * (1 + draw(240, 1, seed=1).abs())  # every sample is one of twelve directions

    def at_work(on_activations=0.0, on_weights=0.0):
        """Units above 0 for a sample, after training."""
        encoder, decoder = ((0.3 * draw(12, 6, seed=2)).requires_grad_() for _ in range(2))
        threshold = torch.zeros(12, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.Adam([encoder, decoder, threshold], lr=0.02)
        for _ in range(600):
            code = torch.relu(x @ encoder.T + threshold)
            # Rows of length 1, or small codes with large weights would get round the penalty.
            error = (code @ nn.functional.normalize(decoder, dim=1) - x).square().sum(1).mean()
            weights = encoder.square().sum() + decoder.square().sum()
            optimiser.zero_grad()
            (error + on_activations * code.sum(1).mean() + on_weights * weights).backward()
            optimiser.step()
        assert float(error.detach()) < 0.01 * float(x.square().sum(1).mean())  # all of them copy well
        return float((code > 0).double().sum(1).mean())

    assert at_work(on_activations=0.1) < at_work() / 2
    assert at_work(on_weights=0.003) > 0.9 * at_work()


def test_the_l1_norm_gives_exact_zeros_where_the_l2_norm_gives_none():
    """Codes h of x that minimise ½(x - h)² + λ|h| are x shrunk by λ, 0 below it; with λh² they are x / (1 + 2λ), never 0."""
    x, lam = torch.linspace(-2, 2, 41, dtype=torch.float64), 0.7
    for penalty, expected in ((torch.abs, x.sign() * (x.abs() - lam).clamp(min=0)), (torch.square, x / (1 + 2 * lam))):
        h = x.clone().requires_grad_()
        optimiser = torch.optim.SGD([h], lr=0.002)
        for _ in range(6000):
            optimiser.zero_grad()
            ((x - h).square() / 2 + lam * penalty(h)).sum().backward()
            optimiser.step()
        assert largest(h - expected) < 0.004  # two steps of descent across the kink of |h|


def test_a_gan_learns_with_alternating_steps():
    """Noise into the generator, labels real and generated for the discriminator, one step each in turn, from a poor start.

    True numbers have mean 3. At the end the generated ones have it too, and the discriminator says ½ to everything.
    """
    noise = torch.erfinv(torch.linspace(-0.998, 0.998, 400, dtype=torch.float64)[:, None]) * math.sqrt(2)
    real, shift = noise + 3.0, torch.zeros(1, dtype=torch.float64, requires_grad=True)
    discriminator = nn.Linear(1, 1).double()
    nn.init.constant_(discriminator.weight, -1.0)  # the wrong way round: what is real, it calls generated
    judge = nn.functional.binary_cross_entropy_with_logits
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    steps = [torch.optim.SGD(p, lr=rate) for p, rate in ((discriminator.parameters(), 0.3), ([shift], 0.1))]
    for _ in range(2000):
        for optimiser in steps:
            fake = discriminator(noise + shift)
            labelled = judge(discriminator(real), ones) + judge(discriminator((noise + shift).detach()), zeros)
            optimiser.zero_grad()
            (
                labelled if optimiser is steps[0] else -judge(fake, zeros)
            ).backward()  # minimax: the same game, other sign
            optimiser.step()
    assert float(shift.detach()) == pytest.approx(3.0, abs=0.01)
    assert largest(discriminator(real).sigmoid() - 0.5) < 0.01


def test_self_supervision_needs_no_labels():
    """Fill in a covered sample from its neighbours. Where each is 0.9 of the last one plus noise, the best weights are
    0.9 / (1 + 0.9²) for both: found from the data alone.
    """
    rng = np.random.default_rng(0)
    noise, series = rng.standard_normal((4000, 60)), np.zeros((4000, 60))
    series[:, 0] = noise[:, 0] / math.sqrt(1 - 0.9**2)
    for t in range(1, 60):
        series[:, t] = 0.9 * series[:, t - 1] + noise[:, t]
    pieces = torch.from_numpy(series).unfold(1, 3, 3).reshape(-1, 3)
    fill = nn.Linear(2, 1).double()
    optimiser = torch.optim.SGD(fill.parameters(), lr=0.02)
    for batch in pieces.split(400):
        descend(fill, optimiser, nn.functional.mse_loss(fill(batch[:, [0, 2]]), batch[:, [1]]))
    assert torch.allclose(fill.weight.detach(), torch.tensor(0.9 / (1 + 0.9**2)).double(), atol=0.02)
