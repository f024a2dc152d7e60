"""Digital silence, held values and single wrong samples in a stream of blocks, placed by hand in noise."""

import numpy as np
import pytest

from whalefinder.sound.holes import HELD, SILENCE, HoleFinder, mended

RATE = 8000


def noise(seconds, channels=2, seed=0):
    return np.random.default_rng(seed).standard_normal((round(seconds * RATE), channels)).astype(np.float32)


def found(samples, size, begin=0):
    finder = HoleFinder(rate_hz=RATE, begin=begin, holes=[])
    out = np.concatenate(list(finder.blocks(samples[k : k + size] for k in range(0, len(samples), size))))
    return out, [(round(h.begin_s, 6), round(h.end_s, 6), h.what) for h in finder.holes]


@pytest.mark.parametrize("size", [100_000, 4000, 999, 37])
def test_holes_are_found_and_filled_for_any_size_of_blocks(size):
    samples = noise(6)
    samples[8000:8080] = 0
    samples[16_000:36_000] = 0
    samples[40_000:40_400] = samples[40_000]
    out, holes = found(samples, size)
    assert holes == [(1.0, 1.01, SILENCE), (2.0, 4.5, SILENCE), (5.0, 5.05, HELD)]
    hole = np.zeros(len(samples), bool)
    hole[8000:8080] = hole[16_000:36_000] = hole[40_000:40_400] = True
    assert np.array_equal(out[~hole], samples[~hole]) and out.shape == samples.shape
    assert 0.8 < out[hole].std() < 1.2  # as loud as the sea around it
    assert np.array_equal(out, found(samples, len(samples))[0])


def test_places_count_from_the_begin_of_the_file():
    samples = noise(1)
    samples[800:1600] = 0
    assert found(samples, 500, begin=RATE)[1] == [(1.1, 1.2, SILENCE)]


def test_a_dead_channel_hides_no_hole_and_makes_none():
    samples = noise(2, 3)
    samples[:, 1] = 0.25
    assert found(samples, 1000)[1] == []
    samples[4000:8000, (0, 2)] = 0
    assert found(samples, 1000)[1] == [(0.5, 1.0, SILENCE)]


def test_a_channel_that_dies_alone_is_no_hole():
    samples = noise(2)
    samples[6000:, 0] = 0
    assert found(samples, 1000)[1] == []


def test_quiet_sound_is_no_hole():
    samples = np.round(1.5 * noise(2)) / 2**15  # most samples of a channel are -1, 0 or 1
    out, holes = found(samples, 1000)
    assert holes == [] and np.array_equal(out, samples)


def test_silence_at_the_begin_and_throughout():
    samples = noise(2)
    samples[:4000] = 0
    out, holes = found(samples, 1000)
    assert holes == [(0.0, 0.5, SILENCE)] and not out[:4000].any()
    assert found(np.zeros_like(samples), 1000)[1] == [(0.0, 2.0, SILENCE)]


@pytest.mark.parametrize("size", [100_000, 999, 50])
def test_single_wrong_samples_are_mended(size):
    smooth = np.stack([np.cumsum(noise(3)[:, 0]) * 1e-3, np.sin(np.arange(3 * RATE) / 9) * 0.02], 1).astype(np.float32)
    spoiled = smooth.copy()
    for at, channel, value in ((777, 0, 0.99), (5000, 1, -0.99), (20_001, 0, -0.5)):
        spoiled[at, channel] = value
    finder = HoleFinder(rate_hz=RATE, begin=RATE, holes=[])
    out = np.concatenate(list(finder.blocks(spoiled[k : k + size] for k in range(0, len(spoiled), size))))
    assert sorted(finder.wrong) == [RATE + 777, RATE + 5000, RATE + 20_001] and not finder.holes
    assert np.abs(out - smooth).max() < 0.005


def test_clicks_and_steps_are_not_mended():
    samples = 1e-3 * noise(2)
    samples[5000:5006] += np.array([0.3, 0.8, -0.7, 0.4, -0.2, 0.1], np.float32)[:, None]  # a click with its ringing
    samples[9000:] += 0.5
    places: set[int] = set()
    assert mended(samples, places) is samples and not places


@pytest.mark.parametrize("before_end", [241, 245, 253, 300, 470])
def test_a_hole_near_the_end_of_a_block_is_not_missed(before_end):
    samples = noise(2)
    begin = 8000 - before_end
    samples[begin : begin + 60] = 0
    assert found(samples, 8000)[1] == [(begin / RATE, round((begin + 60) / RATE, 6), SILENCE)]


def test_a_hole_is_filled_with_the_quietest_sound_before_it():
    samples = 0.01 * noise(6)
    samples[3 * RATE : 4 * RATE] *= 50  # a call
    samples[round(4.1 * RATE) : 5 * RATE] = 0
    out, _ = found(samples, 3000)
    assert 0.005 < out[round(4.1 * RATE) : 5 * RATE].std() < 0.02


def test_sound_of_few_bits_and_clipped_sound_are_left_alone():
    rng = np.random.default_rng(3)
    quiet = np.round(np.cumsum(rng.standard_normal((4 * RATE, 1)) * 0.05, axis=0) % 3).astype(np.float32) / 2**15
    places: set[int] = set()
    assert mended(quiet, places) is quiet and not places
    hum = np.clip(3 * np.sin(2 * np.pi * 20 * np.arange(4 * RATE) / RATE), -1, 1)[:, None].astype(np.float32)
    assert found(np.repeat(hum, 2, axis=1), 3000)[1] == []
    constant = np.full((RATE, 2), 0.5, np.float32)
    assert found(constant, 3000)[1] == [(0.0, 1.0, HELD)]
