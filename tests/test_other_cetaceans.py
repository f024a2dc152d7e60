"""Other cetaceans: every species sounds and repeats, and keeps to what was measured of it."""

import numpy as np
import pytest

from whalefinder.sea.other_cetaceans import SPECIES, baleen, clicks, random_cetacean, toothed
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.sources import build_sources


def rng(seed=8):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("species", SPECIES)
def test_every_species_sounds_and_repeats(species):
    for seed in range(4):
        named, one = random_cetacean(rng(seed), species)
        assert named == species and np.isfinite(one).all() and np.abs(one).max() == pytest.approx(1.0)
        assert np.array_equal(one, random_cetacean(rng(seed), species)[1])
        assert 0.05 * RATE_HZ < len(one) <= 3.5 * RATE_HZ


def test_sources_hold_each_species_in_turn_and_those_like_orcas_more_often():
    sources = build_sources(3, real_split=None, num_calls=27, num_boats=1, num_nuisances=1)
    names = [source.name.removeprefix("simulated ").rsplit(" ", 1)[0] for source in sources.other]
    assert names == [*SPECIES, "humpback", "humpback", "beluga", "beluga", next(iter(SPECIES))]


def test_a_harsh_cry_has_lines_up_to_12_khz_and_a_spell_lies_within_it():
    high = []
    for seed in range(12):
        cry = baleen._harsh(rng(seed))
        power = np.abs(np.fft.rfft(cry)) ** 2
        hz = np.fft.rfftfreq(len(cry), 1 / RATE_HZ)
        assert 0.5 <= len(cry) / RATE_HZ <= 2.5 and power[hz < 120].sum() < 0.2 * power.sum()
        high.append(10 * np.log10(power[(hz > 8000) & (hz < 12_000)].max() / power[(hz > 500) & (hz < 4000)].max()))
    assert np.median(high) > -40
    place = np.linspace(0, 1, 400)
    spells = np.array([baleen._spell(rng(seed), place) for seed in range(200)])
    assert spells.min() == 0 and spells.max() == 1 and 0.1 < spells.mean() < 0.5


@pytest.mark.parametrize("measures", [toothed.BOTTLENOSE, toothed.COMMON, toothed.FALSE_KILLER])
def test_whistles_keep_within_their_measures(measures):
    contours = [toothed.contour(rng(seed), measures) for seed in range(40)]
    lowest, octaves = np.array([(hz.min(), np.log2(np.ptp(hz) / hz.min() + 1)) for hz in contours]).T
    assert measures.low_hz[0] <= lowest.min() and lowest.max() <= measures.low_hz[1]
    assert measures.octaves[0] <= octaves.min() + 1e-9 and octaves.max() <= measures.octaves[1]
    seconds = np.array([len(hz) for hz in contours]) / RATE_HZ
    assert measures.seconds[0] - 1e-3 <= seconds.min() and seconds.max() <= measures.seconds[1]


def test_a_sperm_whales_click_has_pulses_one_head_apart():
    click = clicks.in_the_head(np.array([1.0, -0.5]), 0.005, 0.5)
    at = np.flatnonzero(click > 0)
    assert at / RATE_HZ == pytest.approx([0, 0.005, 0.010, 0.015]) and click[at] == pytest.approx([1, 0.5, 0.25, 0.125])
    for seed in range(8):
        sound = np.abs(clicks.sperm_click(rng(seed)))
        assert sound.argmax() < 0.08 * RATE_HZ and sound.max() > 8 * sound.mean()


def test_usual_clicks_of_sperm_whales_are_half_a_second_to_a_second_apart():
    steps = np.array([np.diff(clicks.usual_times(rng(seed))).mean() for seed in range(100)])
    assert 0.47 < steps.min() < 0.55 and 0.95 < steps.max() < 1.05
    uneven = np.mean([np.diff(clicks.usual_times(rng(seed))).std() for seed in range(100)])
    assert 0.01 < uneven < 0.03  # two independent errors of 2 % of 0.75 s make 0.021 s


def test_a_boing_has_lines_as_far_apart_as_it_has_pulses_a_second():
    for seed in range(4):
        boing = baleen.minke_boing(rng(seed))
        spectrum = np.abs(np.fft.rfft(boing * np.hanning(len(boing))))
        hz = np.fft.rfftfreq(len(boing), 1 / RATE_HZ)
        near = (hz > 1000) & (hz < 1800)
        apart = np.correlate(spectrum[near], spectrum[near], "full")[near.sum() :]
        lag_hz = (1 + np.arange(len(apart))) * hz[1]
        found = lag_hz[lag_hz > 60][apart[lag_hz > 60].argmax()]
        assert min(abs(found / 92 - 1), abs(found / 115 - 1)) < 0.04, found
        assert 1200 < hz[near][spectrum[near].argmax()] < 1550


def test_burst_pulses_have_the_pitch_of_their_rate():
    rate = np.full(RATE_HZ, 400.0)
    burst = clicks._clicks(rng(), rate, clicks._dolphin_click(rng()))
    spectrum = np.abs(np.fft.rfft(burst**2))
    assert abs(spectrum[200:600].argmax() + 200 - 400) <= 2  # bins of 1 Hz
