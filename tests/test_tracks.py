"""From fixes to tracks: filters against closed forms, association against drawn answers, the network against rotation."""

import csv
import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

import whalefinder
from whalefinder.array.geometry import angles, direction, great_circle_rad
from whalefinder.networks.tracker import Tracker
from whalefinder.networks.weights import load_tracker
from whalefinder.results.ambiguity import Cone, Mirror
from whalefinder.results.records import Bearing, Detection
from whalefinder.tracks import follow as tracking
from whalefinder.tracks.association import Prior, animals, follow_hypotheses
from whalefinder.tracks.find import _pieces, find_tracks
from whalefinder.tracks.fixes import Fixes, grid_of, merge
from whalefinder.tracks.kalman import FilterSettings, kalman, smooth
from whalefinder.training import tracker as recipe
from whalefinder.training.swims import SCENARIOS, draw_crossing, draw_swim, draw_training_swim


def steady(count=40, every_s=4.0, rate_deg_s=0.2, azimuth_deg=350.0, sd_deg=0.5, noise=0.0, seed=0):
    """An animal that swims through north at a steady rate."""
    rng = np.random.default_rng(seed)
    time = np.arange(count) * every_s + 0.5
    azimuth = np.radians(azimuth_deg + rate_deg_s * time + noise * rng.standard_normal(count))
    elevation = np.radians(-10 + noise * rng.standard_normal(count))
    same = np.ones(count)
    return Fixes(
        time_s=time,
        u=direction(azimuth, elevation),
        sd_rad=np.radians(np.full((count, 2), sd_deg)),
        snr_db=5 * same,
        low_hz=1e3 * same,
        high_hz=4e3 * same,
    )


def truth_at(time_s, rate_deg_s=0.2, azimuth_deg=350.0):
    azimuth = np.radians(azimuth_deg + rate_deg_s * time_s)
    return direction(azimuth, np.full_like(azimuth, np.radians(-10.0)))


def test_merge_puts_a_fix_before_a_question_at_the_same_time():
    fixes = steady(3, every_s=1.0).of(np.array([0, 1, 2]))
    steps = merge([fixes], [np.array([0.5, 1.0, 2.5])])
    assert steps.present[0].tolist() == [True, False, False, True, True, False]
    assert steps.asked[0].tolist() == [False, True, True, False, False, True]
    assert steps.dt_s[0].tolist() == [0, 0, 0.5, 0.5, 1.0, 0.0]


def test_merge_pads_and_marks_the_padding():
    steps = merge([steady(5), steady(2)], [np.zeros(0), np.zeros(0)])
    assert steps.valid.tolist() == [[True] * 5, [True, True, False, False, False]]


def test_kalman_of_a_still_source_is_the_mean():
    """Without acceleration and rate the filter is the weighted mean: its variance is R / n."""
    fixes = steady(25, rate_deg_s=0.0, noise=0.5)
    filtered = kalman(
        merge([fixes], [np.zeros(0)]), FilterSettings(acceleration=0.0, rate_sd=0.0, gate=np.inf, sd_scale=1.0)
    )
    mean = fixes.u.mean(axis=0)
    assert great_circle_rad(filtered.u[0, -1], mean / np.linalg.norm(mean)) < np.radians(0.01)
    variance = np.trace(filtered.covariance[0, -1, :3, :3]) / 3
    assert variance == pytest.approx(np.radians(0.5) ** 2 / 25, rel=1e-6)


def test_kalman_follows_through_north_and_the_smoother_is_better():
    fixes = steady(60, noise=0.5, seed=3)
    grid = grid_of(fixes)
    steps = merge([fixes], [grid])
    filtered = kalman(steps, FilterSettings())
    mean, _ = smooth(steps, filtered)
    asked = steps.asked[0]
    errors = [np.degrees(great_circle_rad(u, truth_at(grid))) for u in (filtered.u[0, asked], mean[0, asked, :3])]
    assert np.median(errors[0]) < 0.8 and np.median(errors[1]) < 0.7 * np.median(errors[0])


def test_hypotheses_take_a_wrong_beginning_back():
    fixes = steady(20, noise=0.3)
    fixes.u[0] = direction(2.0, -0.1)  # the first fix points somewhere else
    found = follow_hypotheses(merge([fixes], [np.zeros(0)]), Prior())
    assert found.believed[0].tolist() == [False] + [True] * 19


def test_two_animals_far_apart_and_noise_are_told_apart():
    first, second = steady(30, noise=0.3), steady(20, every_s=6.0, azimuth_deg=90.0, noise=0.3, seed=1)
    order = np.argsort(np.concatenate([first.time_s, second.time_s]), kind="stable")
    both = Fixes(**{name: np.concatenate([part, vars(second)[name]])[order] for name, part in vars(first).items()})
    label = animals(both)
    source = (np.arange(50) >= 30).astype(int)[order]
    assert (label == source).mean() > 0.98
    lonely = both.of(np.array([3]))
    assert animals(lonely).tolist() == [-1]


def test_crossing_animals_keep_their_names_more_often_than_by_nearest_neighbour():
    from bench.rivals import nearest_neighbour
    from bench.tracks import identity_switches

    ours = nearest = 0
    for seed in range(2):
        swim = draw_crossing(np.random.default_rng(400 + seed))
        ours += identity_switches(animals(swim.fixes), swim.source)
        nearest += identity_switches(nearest_neighbour(swim.fixes), swim.source)
    assert ours <= nearest / 2


def tracker(smoother):
    """The shipped network, or an untrained one that looks both ways."""
    if not smoother:
        return load_tracker()
    torch.manual_seed(0)
    network = Tracker(tracking.FEATURES, 12, smoother=True)
    for node in (network.azimuth, network.elevation, network.spread):
        torch.nn.init.normal_(node.weight, std=0.3)
    return network.eval()


def swims(count=6, scenario="outliers"):
    drawn = [draw_swim(np.random.default_rng(70 + k), SCENARIOS[scenario]) for k in range(count)]
    return drawn, merge([s.fixes for s in drawn], [s.grid_s for s in drawn])


@pytest.mark.parametrize("smoother", [False, True])
def test_rotating_the_scene_rotates_the_track(smoother):
    _, steps = swims(3)
    turn = math.radians(123.0)
    rotation = np.array([[math.cos(turn), math.sin(turn), 0], [-math.sin(turn), math.cos(turn), 0], [0, 0, 1.0]])
    network = tracker(smoother)
    plain = tracking.follow(steps, network).u
    turned = tracking.follow(tracking.replace(steps, u=steps.u @ rotation.T), network).u
    assert np.degrees(great_circle_rad(turned, plain @ rotation.T))[steps.valid].max() < 0.01


@pytest.mark.parametrize("smoother", [False, True])
def test_neighbours_in_the_batch_do_not_matter(smoother):
    """Padding is not heard, not even by the layer that runs backwards."""
    drawn, steps = swims(3)
    network = tracker(smoother)
    together = tracking.follow(steps, network).u
    alone = tracking.follow(merge([drawn[0].fixes], [drawn[0].grid_s]), network).u
    assert np.degrees(great_circle_rad(alone[0], together[0, : alone.shape[1]])).max() < 0.01


def test_the_causal_tracker_does_not_know_the_future():
    _, steps = swims(1)
    network = load_tracker()
    whole = tracking.follow(steps, network).u[0]
    half = steps.dt_s.shape[1] // 2
    first = tracking.follow(tracking.Steps(**{name: part[:, :half] for name, part in vars(steps).items()}), network).u[
        0
    ]
    assert np.degrees(great_circle_rad(first, whole[:half])).max() < 0.01


def test_the_shipped_tracker_beats_its_own_reference():
    drawn, steps = swims(30, "turn")
    truth = np.zeros_like(steps.u)
    for row, swim in enumerate(drawn):
        truth[row, steps.asked[row]] = swim.truth[0]

    def rms(u):
        square = np.where(steps.asked, great_circle_rad(u, truth) ** 2, 0).sum(1) / steps.asked.sum(1)
        return np.median(np.sqrt(square))

    assert rms(tracking.follow(steps, load_tracker()).u) < 0.95 * rms(tracking.reference(steps, causal=True).u)
    assert rms(tracking.look_back(steps).u) < 0.6 * rms(tracking.follow(steps, load_tracker()).u)


def test_an_untrained_tracker_answers_the_reference():
    _, steps = swims(2)
    seen = tracking.reference(steps, causal=True)
    followed = tracking.follow(steps, Tracker(tracking.FEATURES, 8))
    assert np.allclose(followed.u, seen.u, atol=1e-6) and np.allclose(followed.sd_rad, seen.sd_rad)


def test_displacement_against_spherical_geometry():
    u = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    level, up = torch.tensor([[1.0, 0, 0]]).double(), torch.tensor([[0, 0, 1.0]]).double()
    moved = tracking.displaced(u, level, up, torch.tensor([[math.radians(90.0), 0.0]]).double())
    assert np.degrees(angles(moved.numpy())[0])[0] == pytest.approx(90.0)
    moved = tracking.displaced(u, level, up, torch.tensor([[0.0, math.radians(-30.0)]]).double())
    assert np.degrees(angles(moved.numpy())[1])[0] == pytest.approx(-30.0)


def test_mirrored_swims_are_consistent():
    """Mirroring the fixes and mirroring the features is the same."""
    pool = recipe._chunk((5, 0, 3, True))
    mirrored = recipe.mirrored(pool)
    rng = np.random.default_rng([5, 0])
    drawn = [draw_training_swim(rng) for _ in range(3)]
    flip = np.array([-1.0, 1.0, 1.0])
    steps = merge([s.fixes for s in drawn], [s.grid_s for s in drawn])
    seen = tracking.reference(tracking.replace(steps, u=steps.u * flip), causal=True)
    assert np.allclose(mirrored.features.numpy(), seen.features.numpy(), atol=1e-4)
    assert np.allclose(mirrored.u.numpy(), seen.u, atol=1e-6)


def test_training_runs_keeps_the_best_and_resumes(tmp_path):
    settings = recipe.Settings(swims=6, held_out=4, steps=4, batch=3, hidden=8, validate_every=2, workers=1)
    half = recipe.Settings(**{**vars(settings), "patience": 1})
    path = recipe.train(tmp_path / "a", settings)
    assert load_tracker(path).config["hidden_size"] == 8
    with (tmp_path / "a" / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4"]
    with pytest.raises(whalefinder.ModelError, match="settings differ"):
        recipe.train(tmp_path / "a", half, resume=True)


def detections(fixes):
    azimuth, elevation = np.degrees(angles(fixes.u))
    sd = np.degrees(fixes.sd_rad)
    return [
        Detection(
            recording="a.wav",
            begin_s=t - 0.5,
            end_s=t,
            start_utc=None,
            low_hz=1e3,
            high_hz=4e3,
            label="orca",
            probability=0.9,
            snr_db=5.0,
            bearing=Bearing(azimuth_deg=az, elevation_deg=el, azimuth_sd_deg=s[0], elevation_sd_deg=s[1]),
        )
        for t, az, el, s in zip(fixes.time_s, azimuth, elevation, sd, strict=True)
    ]


def test_tracks_of_detections():
    fixes = steady(40, noise=0.4, seed=2)
    (track,) = find_tracks(detections(fixes))
    assert track.calls.sum() == 40 and np.all(np.diff(track.time_s) == 1.0)
    found = direction(np.radians(track.azimuth_deg), np.radians(track.elevation_deg))
    assert np.degrees(np.median(great_circle_rad(found, truth_at(track.time_s)))) < 0.3
    assert 0.02 < np.median(track.elevation_sd_deg) < 0.6
    causal = find_tracks(detections(fixes), causal=True)[0]
    assert (
        np.degrees(
            great_circle_rad(
                direction(np.radians(causal.azimuth_deg[-1]), 0), direction(np.radians(track.azimuth_deg[-1]), 0)
            )
        )
        < 1.0
    )


def test_what_has_no_direction_is_in_no_track():
    known = Bearing(azimuth_deg=1.0, elevation_deg=-2.0, azimuth_sd_deg=1.0, elevation_sd_deg=1.0)
    cone = Cone(angle_deg=10.0, axis_azimuth_deg=0.0, axis_elevation_deg=0.0, azimuths_deg=(10.0, 350.0))
    mirror = Mirror(azimuth_deg=179.0, elevation_deg=-2.0)
    bearings = [
        dataclasses.replace(known, elevation_deg=None, elevation_sd_deg=None, ambiguity=cone),
        dataclasses.replace(known, ambiguity=mirror),
    ]
    line, plane = (dataclasses.replace(detections(steady(1))[0], bearing=bearing) for bearing in bearings)
    assert find_tracks([]) == [] and find_tracks([line, plane] * 5) == []


def test_a_long_silence_begins_a_new_track():
    early, late = steady(10), steady(10)
    late = dataclasses.replace(late, time_s=late.time_s + 400.0)
    both = [*detections(early), *detections(late)]
    assert len(find_tracks(both)) == 2
    time = np.arange(0, 9000.0, 5.0)
    pieces = _pieces(time)
    assert pieces[0][0] == 0 and pieces[-1][1] == len(time) and all(a[1] == b[0] for a, b in itertools.pairwise(pieces))
    assert max(time[b - 1] - time[a] for a, b in pieces) <= 3605.0
