"""The refiner: before training it changes nothing, a turned scene gives the turned answer, and its errors are calibrated."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench import stated
from tests.plane_waves import U, cells_of, heard, made
from whalefinder.array.geometry import HydrophoneArray, direction, great_circle_rad, tangents, tetrahedron
from whalefinder.bearings import steering
from whalefinder.bearings.event_bearing import to_bearing
from whalefinder.bearings.fit import Fit, goodness_of_fit
from whalefinder.bearings.refine import FACTS, MOST_PEAKS, MOST_TIMES, PROFILE_SIZE, Refinement, moved, views_of
from whalefinder.networks.refiner import Answer, Refiner
from whalefinder.networks.weights import load_refiner, read_card, save_network
from whalefinder.results.ambiguity import Lobe, words
from whalefinder.training import refiner as recipe
from whalefinder.training import refiner_lessons
from whalefinder.training.refiner import Batch, calibrate, coverage, log_errors, loss_of, mirrored


def given(array: HydrophoneArray) -> tuple[steering.Cells, HydrophoneArray, steering.Fix, Fit]:
    """What steering says of a sweep from `U` on an array."""
    cells = cells_of(*heard(array.delays_s(U)))
    fix = steering.find_direction(cells, array)
    assert fix is not None
    return cells, array, fix, goodness_of_fit(cells, array, fix.u)


def new_network() -> Refiner:
    return Refiner(PROFILE_SIZE, len(FACTS)).eval()


def test_before_training_the_best_fix_stays():
    cells, array, fix, fit = given(made())
    refined = Refinement(new_network())(cells, array, fix, fit)
    assert refined is not None
    assert great_circle_rad(refined.u, fix.u) < 1e-6  # no peak has a higher score, and no offset
    assert refined.circles_rad is not None and refined.circles_rad[1] > refined.circles_rad[0] > 0


def turned(array: HydrophoneArray, heading_rad: float) -> HydrophoneArray:
    cosine, sine = math.cos(heading_rad), math.sin(heading_rad)
    clockwise = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return replace(array, positions_m=array.positions_m @ clockwise.T)


@pytest.mark.parametrize("heading_deg", [37.0, 180.0, 301.5])
def test_a_turned_scene_gives_the_turned_answer(heading_deg):
    cells, array, fix, fit = given(replace(made(), depth_m=5.0))
    refinement, heading = Refinement.of(), math.radians(heading_deg)
    before = to_bearing(refinement(cells, array, fix, fit) or fix, array)
    there = turned(array, heading)
    fix = steering.find_direction(cells, there)
    assert fix is not None
    after = to_bearing(refinement(cells, there, fix, goodness_of_fit(cells, there, fix.u)) or fix, there)
    assert (after.azimuth_deg - before.azimuth_deg - heading_deg + 180) % 360 - 180 == pytest.approx(0, abs=0.02)
    assert after.elevation_deg == pytest.approx(before.elevation_deg, abs=0.02)
    assert after.error_90_deg == pytest.approx(before.error_90_deg, rel=0.05)


def test_the_order_of_hydrophones_does_not_matter():
    array, order = made(), [3, 1, 0, 4, 2]
    cells, _, fix, fit = given(array)
    mixed = replace(cells, inverse=cells.inverse[:, order][:, :, order], scatter=cells.scatter[:, order][:, :, order])
    one, other = views_of(cells, array, fix, fit), views_of(mixed, array.of(order), fix, fit)
    assert torch.allclose(one.profiles, other.profiles, atol=0.02)  # single precision
    assert torch.allclose(one.facts, other.facts, atol=0.02)


def test_padding_changes_no_answer():
    torch.manual_seed(1)
    network = new_network()
    for node in (network.score, network.azimuth, network.elevation, network.spread, network.circles):
        torch.nn.init.normal_(node.weight, std=0.3)
    profiles, facts = torch.randn(1, 3, 5, PROFILE_SIZE), torch.randn(1, 3, len(FACTS))
    plain = network(profiles, facts, torch.tensor([5]), torch.ones(1, 3, dtype=torch.bool))
    wide, more = torch.randn(1, MOST_PEAKS, MOST_TIMES, PROFILE_SIZE), torch.randn(1, MOST_PEAKS, len(FACTS))
    wide[:, :3, :5], more[:, :3] = profiles, facts
    padded = network(wide, more, torch.tensor([5]), torch.arange(MOST_PEAKS)[None] < 3)
    for one, other in zip(plain, padded, strict=True):
        assert torch.allclose(one, other[:, :3], atol=1e-5)
    assert torch.softmax(padded.score, 1)[0, 3:].max() == 0


def test_moving_is_along_great_circles():
    u = direction(np.radians([10.0, 200.0]), np.radians([-20.0, -70.0]))
    offset = np.radians([[3.0, 4.0], [-0.6, 0.8]])
    found = moved(u, offset, made())
    assert np.degrees(great_circle_rad(found, u)) == pytest.approx([5.0, 1.0])
    level, up = tangents(u)
    assert np.degrees(np.arctan2((found * level).sum(-1), (found * up).sum(-1))) == pytest.approx(
        np.degrees(np.arctan2(offset[:, 0], offset[:, 1])), abs=1e-6
    )


def test_no_answer_lies_above_the_water():
    array = replace(made(), depth_m=2.0)
    highest = array.max_elevation_rad()
    found = moved(direction([0.3], [highest - 0.01]), np.array([[0.0, 0.2]]), array)
    assert math.asin(float(found[0, 2])) == pytest.approx(highest, abs=1e-9)


def drawn(errors: np.ndarray) -> Batch:
    """Calls with one peak whose true direction is `errors` `[call, 2]` standard deviations (of 1°) away."""
    count, sd = len(errors), math.radians(1.0)
    offset = torch.from_numpy(errors).float()[:, None]
    u = torch.from_numpy(direction(0.3, -0.2)).float().expand(count, 1, 3)
    return Batch(
        profiles=torch.zeros(count, 1, 2, PROFILE_SIZE), facts=torch.zeros(count, 1, len(FACTS)),
        lengths=torch.full((count,), 2), present=torch.ones(count, 1, dtype=torch.bool), u=u, truth=u,
        sd=torch.full((count, 1, 2), sd), offset=offset, distance=offset.norm(dim=-1) * sd, highest=torch.full((count,), 1.0),
    )  # fmt: skip


def test_calibrated_circles_hold_new_errors():
    rng, network = np.random.default_rng(5), new_network()
    calibrate(network, drawn(2.5 * rng.standard_normal((2000, 2))))
    held = coverage(network, drawn(2.5 * rng.standard_normal((2000, 2))))
    assert held == pytest.approx({"one_sd": 0.393, "50": 0.5, "90": 0.9}, abs=0.035)
    # The radii of a normal distribution in two dimensions are those of Rayleigh's, σ √(-2 ln(1 - share)).
    answer = network(
        *(torch.zeros(1, 1, 2, PROFILE_SIZE), torch.zeros(1, 1, len(FACTS))), torch.tensor([2]), torch.ones(1, 1).bool()
    )
    assert answer.log_radius[0, 0].exp().tolist() == pytest.approx(
        [2.5 * math.sqrt(-2 * math.log(1 - share)) for share in (0.5, 0.9)], rel=0.06
    )


def test_the_loss_is_least_at_the_truth():
    batch = drawn(np.array([[0.5, -1.0]]))
    exact = torch.asinh(torch.tensor([[0.5]])), torch.asinh(torch.tensor([[-1.0]]))

    def at(azimuth: torch.Tensor, elevation: torch.Tensor) -> float:
        sd, radius = torch.zeros(1, 1, 2), torch.full((1, 1, 2), math.log(1e-3))
        return float(loss_of(Answer(torch.zeros(1, 1), azimuth, elevation, sd, radius), batch))

    least = at(*exact)
    for step in (-0.2, 0.2):
        assert at(exact[0] + step, exact[1]) > least and at(exact[0], exact[1] + step) > least


def test_the_radius_that_is_learned_is_the_quantile():
    rng = np.random.default_rng(2)
    batch = drawn(rng.standard_normal((1000, 2)))
    radius = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.Adam([radius], 0.05)
    zero = torch.zeros(1000, 1)
    for _ in range(150):
        optimiser.zero_grad()
        answer = Answer(zero, zero, zero, torch.zeros(1000, 1, 2), radius.expand(1000, 1, 2))
        loss_of(answer, batch).backward()
        optimiser.step()
    errors = log_errors(answer, batch).detach().numpy()
    assert radius.detach().numpy() == pytest.approx(np.quantile(errors, recipe.SHARES), abs=0.03)


def test_a_plane_may_be_right_about_either_side():
    square = HydrophoneArray(
        name="square", positions_m=[[1, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]], sound_speed_m_s=1500.0
    )
    below = direction(0.4, -0.3)
    assert mirrored(below, square)[1] == pytest.approx(below * [1, 1, -1])
    assert len(mirrored(below, made())) == 1


def test_other_directions_are_told_with_their_probability():
    fix = steering.Fix(
        u=direction(0.1, -0.1), covariance=np.eye(2) * 1e-4, log_likelihood=10.0, margin=2.0, circles_rad=(0.01, 0.03),
        others=((direction(math.radians(200), math.radians(-5)), 0.25),),
    )  # fmt: skip
    array = HydrophoneArray(name="a", positions_m=tetrahedron(0.5), sound_speed_m_s=1500.0)
    bearing = to_bearing(fix, array)
    assert words(bearing.ambiguity) == "lobe: or azimuth 200.0 elevation -5.0 (25 %)"
    assert bearing.error_50_deg == pytest.approx(math.degrees(0.01)) and bearing.correlation == 0.0
    assert to_bearing(replace(fix, others=()), array).ambiguity is None
    assert isinstance(bearing.ambiguity, Lobe) and bearing.ambiguity.margin is None
    assert bearing.ambiguity.others[0] == pytest.approx((200.0, -5.0, 0.25))


def test_lessons_are_kept_and_the_same_when_drawn_again(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "build_sounds", lambda seed, split: refiner_lessons.build_sounds(seed, "train", 3))
    monkeypatch.setattr(refiner_lessons, "CALLS", 1)
    monkeypatch.setattr(refiner_lessons, "SECONDS", 4.0)
    recipe._drawn.clear()
    one = recipe.draw_lessons(tmp_path / "a", "train", 3, 1)
    first = sorted(path.name for path in (tmp_path / "a").iterdir())
    other = recipe.draw_lessons(tmp_path / "b", "train", 3, 1)
    assert first == ["train-3-000000.safetensors"] and len(one.lengths) > 0
    assert all(torch.equal(vars(one)[name], vars(other)[name]) for name in vars(one))
    taught = recipe.draw_lessons(tmp_path / "a", "train", 3, 1)  # from the file
    assert torch.equal(taught.offset, one.offset)


def test_the_last_factors_are_those_that_hold_reported_calls(tmp_path):
    weights = tmp_path / "refiner.safetensors"
    save_network(new_network(), weights, {"data": "none"})
    ratios = np.linspace(0.1, 3.0, 99)
    stated.calibrate([stated.Outcome(0.0, 0.0, r, 2 * r, r, r) for r in ratios], weights)
    factors = load_refiner(weights).log_radius_factor.double().exp().tolist()
    assert [np.mean(ratios <= factors[0] + 1e-4), np.mean(2 * ratios <= factors[1] + 1e-4)] == pytest.approx(
        [50 / 99, 90 / 99]
    )
    assert "calls that locate found" in read_card(weights)["calibrated_on"]
