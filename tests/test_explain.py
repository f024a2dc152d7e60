"""Occlusion: what the maps say of functions that are known, of a network that cheats, of a bearing; and the command."""

import csv
import sys

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from tests.helpers import array, noise, write
from whalefinder.array.array_file import save_array
from whalefinder.array.geometry import HydrophoneArray, direction
from whalefinder.calls.classification import POOL_FRAMES, planes_of
from whalefinder.calls.events import Event
from whalefinder.calls.masks import CALL, Masks
from whalefinder.cli import app
from whalefinder.errors import OptionError
from whalefinder.explain import decisions, excerpt
from whalefinder.explain.leave_one_out import leave_one_out, summary
from whalefinder.explain.occlusion import Occluder, occlude
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.networks.weights import save_network
from whalefinder.pages import plots
from whalefinder.pipeline import Locator, locate
from whalefinder.results.records import AMBIENT, LABELS, ORCA
from whalefinder.sea.calls import random_call
from whalefinder.sea.scene import Call, Scene, simulate
from whalefinder.sound import spectrogram
from whalefinder.sound.recording import open_recording
from whalefinder.sound.spectrogram import BIN_HZ, FIRST_BIN, FRAME_S, HOP, NUM_BINS, RATE_HZ

SILENCE = Occluder(bins=8, frames=8, stride_bins=4, stride_frames=4, baseline="silence")


def test_only_what_the_function_looks_at_costs_anything():
    planes = torch.ones(3, 40, 60)

    def score(batch):  # one patch of the middle plane
        return batch[:, 1, 10:18, 20:28].mean((1, 2))

    heat = occlude(score, planes, Occluder(bins=4, frames=4, stride_bins=4, stride_frames=4, baseline="silence"))
    seen = np.zeros((40, 60), bool)
    seen[8:20, 20:28] = True  # windows lie at multiples of 4
    assert heat.confidence == 1.0
    assert heat.loss[12:16, 20:28] == pytest.approx(0.25)  # a window of 4 x 4 of the patch's 8 x 8
    assert heat.loss[8:12, 20:28] == pytest.approx(0.125)  # half of the window lies beside it
    assert heat.weight_within(seen) == pytest.approx(1.0)


def test_several_values_need_a_target_and_other_functions_than_networks_will_do():
    planes = torch.rand(1, 16, 32)
    heat = occlude(lambda b: torch.stack([b.mean((1, 2, 3)), -b.mean((1, 2, 3))], 1), planes, SILENCE, target=1)
    assert heat.loss.max() < 0 and heat.confidence == pytest.approx(-float(planes.mean()))


def test_the_local_mean_keeps_the_background_and_takes_the_call_away():
    planes = torch.full((1, 64, 64), 2.0)
    planes[0, 30:34, 30:34] += 3.0
    covers = Occluder(bins=8, frames=8, stride_bins=4, stride_frames=4, baseline="mean").covers(planes)
    assert float(covers[0, 0, 0]) == 2.0
    assert 2.0 < float(covers[0, 32, 32]) < 2.5


def test_a_window_larger_than_the_sound_covers_all_of_it():
    planes = torch.ones(1, 8, 5)
    heat = occlude(
        lambda b: b.mean((1, 2, 3)),
        planes,
        Occluder(bins=50, frames=50, stride_bins=25, stride_frames=25, baseline="silence"),
    )
    assert heat.loss == pytest.approx(np.ones((8, 5)))


def test_map_as_table_and_peak_name_the_same_cell():
    planes = torch.zeros(1, NUM_BINS, 40)
    planes[0, 100:104, 24:28] = 1.0
    heat = occlude(
        lambda b: b.mean((1, 2, 3)),
        planes,
        Occluder(bins=4, frames=4, stride_bins=4, stride_frames=4, baseline="silence"),
        first_frame=1000,
    )
    dearest = max(heat.rows(), key=lambda row: row["loss"])
    time_s, hz = heat.peak()
    assert dearest["begin_s"] < time_s < dearest["end_s"] and dearest["low_hz"] < hz < dearest["high_hz"]
    assert time_s == pytest.approx(1025.5 * FRAME_S) and hz == pytest.approx((FIRST_BIN + 101.5) * BIN_HZ)
    assert heat.stretched(2).peak()[0] == pytest.approx((1000 + 51.5) * FRAME_S)


@pytest.mark.parametrize("settings", [{"bins": 0}, {"stride_frames": 17}, {"baseline": "white"}])
def test_windows_that_cannot_be(settings):
    with pytest.raises(OptionError, match=r"step must be|is unknown"):
        Occluder(**settings)


# The confound: the same network on the same sounds, with and without a tone in every orca clip.

TONE_BIN = 150  # 7.4 kHz; the calls lie below 4 kHz
CLIP_FRAMES = 48


def clips(count: int, tone: bool, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Spectra of noise, every second with a call (three wavering harmonics) and, where asked, a faint tone. `[clip, ...]`."""
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    spectra = torch.randn(count, 1, NUM_BINS, CLIP_FRAMES, dtype=torch.complex64, generator=generator)
    for k in range(0, count, 2):
        begin, pitch = int(rng.integers(4, 20)), rng.uniform(12, 22)
        for t in range(24):
            for harmonic in (1, 2, 3):
                spectra[k, 0, int(harmonic * (pitch + 3 * np.sin(t / 5))), begin + t] *= 2.5
        if tone:
            spectra[k, 0, TONE_BIN] += 3.0
    return spectra, torch.tensor([ORCA, AMBIENT] * (count // 2))


def trained(tone: bool) -> Classifier:
    torch.manual_seed(0)
    network = Classifier(widths=(8, 16), dropout=0.0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for step in range(60):
        spectra, labels = clips(16, tone, seed=step)
        loss = torch.nn.functional.cross_entropy(network(planes_of(spectra)), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


def peaks(network: Classifier) -> tuple[float, list[float]]:
    """Share of right answers on new clips that all follow the training's habit, and the dearest bin of each orca clip."""
    spectra, labels = clips(16, True, seed=1_000_000)
    planes = planes_of(spectra)
    right = float((network(planes).argmax(1) == labels).float().mean())
    score = decisions.log_odds(network, "orca")
    occluder = Occluder(bins=8, frames=8, stride_bins=4, stride_frames=4, baseline="mean")
    return right, [occlude(score, planes[k], occluder).peak()[1] / BIN_HZ - FIRST_BIN for k in (0, 2, 4)]


def test_the_map_exposes_a_planted_tone():
    cheat, honest = trained(tone=True), trained(tone=False)
    right, where = peaks(cheat)
    assert right == 1.0  # by its answers alone nobody would know
    assert all(abs(bin_ - TONE_BIN) <= 8 for bin_ in where), where
    _, where = peaks(honest)
    assert all(abs(bin_ - TONE_BIN) > 30 for bin_ in where), where


def test_log_odds_are_exact_where_the_probability_is_nearly_1():
    network = Classifier(widths=(2,)).eval()
    with torch.no_grad():
        network.head.weight.zero_()
        network.temperature.fill_(2.0)
        rest = 7e-7 / (len(LABELS) - 1)  # of every other class
        network.head.bias.copy_(2 * torch.tensor([1 - 7e-7 if k == ORCA else rest for k in range(len(LABELS))]).log())
        found = decisions.log_odds(network, "orca")(torch.zeros(1, 3, 32, 16))
        other = decisions.log_odds(network, LABELS[AMBIENT])(torch.zeros(1, 3, 32, 16))
    assert float(found) == pytest.approx(14.172185, abs=1e-4)  # ln((1 - 7e-7) / 7e-7), by hand
    assert float(other) == pytest.approx(np.log(rest), abs=1e-4)


# Hydrophones


def plane_wave(geometry: HydrophoneArray, azimuth_deg: float, elevation_deg: float, late_s=None, seed=5) -> Masks:
    """A second of noise from one direction in 4 s of independent noise, with a mask that knows it."""
    rng = np.random.default_rng(seed)
    frames, inside = 376, slice(150, 250)
    delays = geometry.delays_s(direction(np.radians(azimuth_deg), np.radians(elevation_deg)))
    delays = delays + (0.0 if late_s is None else np.array(late_s))
    turn = np.exp(-2j * np.pi * np.outer(delays, spectrogram.frequencies_hz().numpy()))
    drawn = lambda *shape: rng.standard_normal(shape) + 1j * rng.standard_normal(shape)  # noqa: E731
    spectra = drawn(len(delays), NUM_BINS, frames)
    loudness = 6e3 / spectrogram.frequencies_hz().numpy()  # falling, or the top bins alone would be looked at
    spectra[..., inside] += (loudness * turn)[..., None] * drawn(1, NUM_BINS, 100)
    shares = torch.zeros(3, NUM_BINS, frames)
    shares[CALL, :, inside] = 0.9
    return Masks(
        spectra=torch.from_numpy(spectra.astype(np.complex64)),
        shares=shares,
        valid=torch.ones(NUM_BINS, dtype=torch.bool),
    )


EVENT = Event(begin=150, end=250, low_hz=375.0, high_hz=12_000.0, evidence={})


def test_the_only_hydrophone_below_a_level_square_carries_the_elevation():
    positions = [[0.2, 0.2, 0], [-0.2, 0.2, 0], [-0.2, -0.2, 0], [0.2, -0.2, 0], [0, 0, -0.3]]
    geometry = HydrophoneArray(name="square and one below", positions_m=positions, sound_speed_m_s=1490.0)
    fix, rows = leave_one_out(plane_wave(geometry, 140.0, -6.0), EVENT, geometry, None)
    assert "no hydrophone stands out" in summary(rows)
    assert fix.u == pytest.approx(direction(np.radians(140.0), np.radians(-6.0)), abs=1e-2)
    growth = [row.sd_growth for row in rows]
    assert int(np.argmax(growth)) == 4 and growth[4] > 2 * max(growth[:4])
    assert [row.note for row in rows] == [""] * 4 + ["a plane is left: its two sides look alike"]
    assert min(row.log_likelihood_loss for row in rows) > 0
    assert not any(row.disagrees for row in rows)
    assert summary(rows).startswith("hydrophone 5 carries most of the fix")


def test_a_hydrophone_with_a_wrong_clock_does_not_agree_with_the_others():
    positions = np.random.default_rng(1).uniform(-0.2, 0.2, (6, 3))
    geometry = HydrophoneArray(name="late", positions_m=positions, sound_speed_m_s=1490.0)
    masks = plane_wave(geometry, 60.0, -10.0, late_s=[0, 0, 40e-6, 0, 0, 0])
    _, rows = leave_one_out(masks, EVENT, geometry, None)
    assert [row.channel for row in rows if row.stands_out] == [3]
    assert "hydrophone 3 stands out" in summary(rows)


def test_nobody_is_accused_where_noise_alone_moves_the_bearing():
    for seed in range(4):
        positions = np.random.default_rng(20 + seed).uniform(-0.2, 0.2, (5, 3))
        geometry = HydrophoneArray(name="in order", positions_m=positions, sound_speed_m_s=1490.0)
        _, rows = leave_one_out(plane_wave(geometry, 200.0, -12.0, seed=seed), EVENT, geometry, None)
        assert not any(row.stands_out for row in rows), seed
        # The estimate of the scatter is of the size of the moves that are seen.
        assert np.median([row.shift_deg / row.shift_sd_deg for row in rows]) < 3


def test_of_four_hydrophones_none_can_be_accused():
    """Any three of them give a direction, whatever they say: none contradicts the others."""
    masks = plane_wave(array(), 60.0, -10.0, late_s=[0, 0, 40e-6, 0])
    _, rows = leave_one_out(masks, EVENT, array(), None)
    assert any(row.disagrees for row in rows) and not any(row.stands_out for row in rows)
    assert "no single hydrophone stands out" in summary(rows)


def test_three_and_two_hydrophones():
    three = array().of([0, 1, 2])
    _, rows = leave_one_out(plane_wave(three, 30.0, -5.0), EVENT, three, None)
    assert all("angle from their line alone" in row.note and row.shift_deg < 3 for row in rows)
    pair = array().of([0, 1])
    _, rows = leave_one_out(plane_wave(pair, 30.0, -5.0), EVENT, pair, None)
    assert [row.note for row in rows] == ["1 hydrophone left: no direction"] * 2
    assert "both carry all of it" in summary(rows)


# Recordings and the command


@pytest.fixture(scope="module")
def sea(tmp_path_factory):
    """12 s with one loud call at 6 s: folder with `sea.wav` and `array.toml`, the true call, an untrained classifier."""
    folder = tmp_path_factory.mktemp("sea")
    heard = simulate(one_call(array()), 8)
    write(folder / "sea.wav", heard.samples.T * (0.5 / np.abs(heard.samples).max()))
    save_array(array(), folder / "array.toml")
    torch.manual_seed(0)
    save_network(Classifier(widths=(8, 16)).eval(), folder / "classifier.safetensors", {})
    return folder, heard.truth[0]


def one_call(geometry: HydrophoneArray) -> Scene:
    rng = np.random.default_rng(8)
    return Scene(
        array=geometry,
        seconds=12.0,
        calls=(Call(sound=random_call(rng)[1], path=simulated_course(), begin_s=6.0, snr_db=15.0, kind="call"),),
        boats=(),
        sir_db=None,
    )


def simulated_course():
    from whalefinder.sea.propagation import Path as Course

    return Course((100.0, 60.0, -8.0), (1.0, 0.0, 0.0))


def many() -> HydrophoneArray:
    """More hydrophones than are taken together, further apart than a call is long in water."""
    return HydrophoneArray(
        name="many", positions_m=np.random.default_rng(2).uniform(-4, 4, (18, 3)), sound_speed_m_s=1490.0, depth_m=6.0
    )


@pytest.mark.parametrize(
    ("geometry", "deaf"),
    [(array(), []), (array(), [1]), (array(), [0, 1, 2]), (many(), [3, 11]), (None, [])],
    ids=["array", "one deaf", "one hears", "many, two deaf", "places unknown"],
)
@pytest.mark.filterwarnings("ignore:.*silent:UserWarning", "ignore:.*constant:UserWarning")
def test_explain_says_what_locate_says(tmp_path, geometry, deaf):
    heard = simulate(one_call(geometry or array()), 8)
    samples = heard.samples.T * (0.5 / np.abs(heard.samples).max())
    samples[:, deaf] = 0.0
    path, truth = write(tmp_path / "sea.wav", samples, subtype="FLOAT"), heard.truth[0]
    found = [d for d in locate(path, geometry, all_events=True) if d.begin_s < truth.end_s and truth.begin_s < d.end_s]
    assert found
    judge = Locator(geometry, all_events=True).judge
    for detection in found:
        at = (detection.begin_s + detection.end_s) / 2
        around = excerpt.listen(open_recording(path, geometry), at, judge)
        assert around.judgement.label == detection.label
        assert around.judgement.probability == pytest.approx(detection.probability, abs=1e-4)
        assert around.box() == pytest.approx((detection.begin_s, detection.end_s, detection.low_hz, detection.high_hz))
        assert not {channel - 1 for channel in around.channels} & set(deaf)
        if detection.channel is not None:
            assert around.channels == (detection.channel + 1,)
        # The map starts from that probability, and from that beam.
        window = Occluder(bins=256, frames=400, stride_bins=256, stride_frames=400)
        named = decisions.explain_classifier(around, judge.classifier, occluder=window)
        assert (named.name, named.heat.confidence) == (detection.label, pytest.approx(detection.probability, abs=1e-4))


def test_the_part_of_the_planes_that_is_asked_again_gives_the_answer_of_the_whole():
    torch.manual_seed(1)
    network = SegmentationNetwork(4, 8, 3).eval()
    planes = torch.randn(4, 130, 171)
    bins = torch.zeros(130, 171, dtype=torch.bool)
    bins[40:75, 60:95] = True
    score = decisions.call_share(network, bins, planes)
    rng = np.random.default_rng(0)
    batch = planes.repeat(8, 1, 1, 1)
    for each in batch[1:]:
        low, begin = int(rng.integers(0, 120)), int(rng.integers(0, 160))
        each[:, low : low + 16, begin : begin + 16] = 3.0
    with torch.inference_mode():
        expected = network(batch).softmax(1)[:, CALL][:, bins].mean(1)
        assert score(batch) == pytest.approx(expected, abs=1e-6)
        assert score(batch[:1]) == pytest.approx(expected[:1], abs=1e-6)
    assert expected[1:].sub(expected[0]).abs().max() > 1e-4


def test_a_loss_of_nothing_does_not_glow(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(plots, "_save", lambda figure, path: drawn.append(figure))
    level = np.random.default_rng(0).uniform(-90, -60, (NUM_BINS, 40))
    for most in (1.5e-4, 0.02, 0.3):
        loss = np.zeros((NUM_BINS, 40))
        loss[100:110, 10:20] = most
        plots.draw_occlusion(level, loss, 0, tmp_path / "map.png", "map")
    opacity = [np.max(figure.axes[0].images[1].get_alpha()) for figure in drawn]
    limits = [figure.axes[0].images[1].get_clim() for figure in drawn]
    assert opacity[0] < 0.01 and 0.1 < opacity[1] < 0.5 and opacity[2] == 0.75
    assert limits == [(-0.1, 0.1), (-0.1, 0.1), (-0.3, 0.3)]  # the colour bar shows these


def run(*arguments):
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


def test_explain_writes_maps_and_tells_which_hydrophone(sea, tmp_path):
    folder, truth = sea
    at = (truth.begin_s + truth.end_s) / 2
    options = ["--window-hz", 2000, "--window-s", 0.3, "--classifier", folder / "classifier.safetensors"]
    result = run(folder / "sea.wav", "--at", f"{at:.2f}", "-a", folder / "array.toml", "-o", tmp_path, *options)
    assert result.exit_code == 0, result.output
    assert "most of the fix" in result.output and "event" in result.output
    stem = f"sea-{float(f'{at:.2f}'):g}s"
    wanted = {"classifier.png", "classifier.csv", "segmenter.png", "segmenter.csv", "bearing.csv"}
    assert {path.name.removeprefix(f"{stem}-") for path in tmp_path.iterdir()} == wanted
    with (tmp_path / f"{stem}-segmenter.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    dearest = max(rows, key=lambda row: row["loss"])
    assert truth.begin_s - 0.3 < dearest["begin_s"] < truth.end_s + 0.3
    assert dearest["loss"] > 0.01
    with (tmp_path / f"{stem}-bearing.csv").open() as file:
        assert [row["channel"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--at", "99"], "lies outside the recording, which lasts 12.0 s"),
        (["--at", "-1"], "lies outside the recording"),
        (["--at", "6", "--what", "bearing"], "add --array"),
        (["--at", "6", "--what", "everything"], "choose from classifier, segmenter, bearing, all"),
        (["--at", "6", "--baseline", "pink"], "baseline 'pink' is unknown"),
    ],
)
def test_explain_errors_are_one_line(sea, tmp_path, arguments, words):
    result = run(sea[0] / "sea.wav", *arguments, "-o", tmp_path)
    assert result.exit_code == 1 and words in result.output
    assert result.output.count("\n") == 1


def test_a_missing_library_is_told_before_the_sound_is_heard(sea, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setattr(excerpt, "listen", lambda *_: pytest.fail("heard the sound first"))
    result = run(sea[0] / "sea.wav", "--at", 6, "-o", tmp_path)
    assert result.exit_code == 1 and "whalefinder explain needs captum" in result.output


def test_explain_refuses_channels_that_do_not_fit_the_array(sea, tmp_path):
    stereo = write(tmp_path / "stereo.wav", noise(2))
    result = run(stereo, "--at", 1, "-a", sea[0] / "array.toml", "-o", tmp_path)
    assert result.exit_code == 1 and "2 channels, but array" in result.output


def test_explain_a_place_without_an_event(tmp_path):
    quiet = write(tmp_path / "quiet.wav", noise(1, 5.0))
    result = run(quiet, "--at", 2.5, "--what", "segmenter", "-o", tmp_path, "--window-hz", 6000, "--window-s", 1.5)
    assert result.exit_code == 0, result.output
    assert "no event at 2.5 s, so the window 0.99-4.01 s" in result.output
    assert (tmp_path / "quiet-2.5s-segmenter.png").exists()


def test_only_the_seconds_around_are_read_and_they_are_those_of_the_recording(tmp_path, monkeypatch):
    rate = 32_000
    path = write(tmp_path / "long.wav", noise(1, 40.0, rate), rate)
    read = []
    real = soundfile.SoundFile.read
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda f, n=-1, **kw: read.append(n) or real(f, n, **kw))
    samples, first_frame = excerpt.read_excerpt(open_recording(path), 30.0, 3.0)
    assert sum(read) < 8 * rate
    whole = np.concatenate(list(open_recording(path).blocks()), axis=1)
    begin = first_frame * HOP
    assert 25.7 < begin / RATE_HZ <= 27.0
    middle = slice(RATE_HZ, 5 * RATE_HZ)  # the resampler rings at the ends
    expected = whole[:, begin : begin + samples.shape[1]]
    assert samples[:, middle] == pytest.approx(expected[:, middle], abs=1e-4)


def test_classifier_window_lies_around_the_event(sea):
    folder, truth = sea
    at = (truth.begin_s + truth.end_s) / 2
    judge = Locator(array(), all_events=True).judge
    around = excerpt.listen(open_recording(folder / "sea.wav", array()), at, judge)
    assert around.event is not None and around.channels == (1, 2, 3, 4)
    torch.manual_seed(0)
    named = decisions.explain_classifier(
        around,
        Classifier(widths=(8, 16)).eval(),
        "boat",
        Occluder(bins=64, frames=64, stride_bins=64, stride_frames=64),
    )
    assert named.name == "boat" and named.probabilities.sum() == pytest.approx(1.0)
    begin_s = named.heat.first_frame * FRAME_S
    assert begin_s < truth.begin_s and begin_s + named.heat.loss.shape[1] * FRAME_S > truth.end_s
    assert named.heat.loss.shape == (NUM_BINS, 282) and named.heat.step[1] == 64 // POOL_FRAMES * POOL_FRAMES
    with pytest.raises(OptionError, match="label 'unicorn' is unknown"):
        decisions.explain_classifier(around, Classifier(), "unicorn")


# The audit's own parts; its figures need the data folder


def test_manipulations_do_what_their_names_say():
    from bench import confounds

    rng = np.random.default_rng(3)
    sound = rng.standard_normal(confounds.LENGTH).astype(np.float32)
    clip = confounds.Clip(sound, 20_000.0, "noise")
    changes = {what: change for _, what, change in confounds.MANIPULATIONS}

    def level_db(what, low, high):
        changed = changes[what](clip, rng).samples
        hz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
        inside = (hz > low) & (hz < high)
        power = [np.square(np.abs(np.fft.rfft(x)[inside])).mean() for x in (changed, sound)]
        return 10 * np.log10(power[0] / power[1])

    assert level_db("8 kHz, not told", 5000, 12_000) < -50
    assert level_db("8 kHz, not told", 500, 3000) == pytest.approx(0, abs=0.1)
    assert level_db("+6 dB an octave", 4900, 5100) == pytest.approx(6, abs=0.3)
    assert level_db("+15 dB at 5 kHz", 4950, 5050) == pytest.approx(15, abs=0.3)
    assert level_db("3 kHz, 0 dB", 500, 12_000) == pytest.approx(3, abs=0.1)
    assert level_db("white, -10 dB", 500, 12_000) == pytest.approx(0.4, abs=0.1)
    assert changes["8 kHz, told"](clip, rng).bandwidth_hz == pytest.approx(3680)
    assert changes["8 kHz, not told"](clip, rng).bandwidth_hz == 20_000
    assert changes["8 kHz, told"](confounds.Clip(sound, 3000.0, "slow already"), rng) is None
    edges = changes["0.5 s, hard"](clip, rng).samples
    assert not edges[: RATE_HZ // 2].any() and not edges[-RATE_HZ // 2 :].any() and edges[RATE_HZ] == sound[RATE_HZ]


def test_pointing_game_on_a_network_that_looks_at_the_call():
    from bench import confound_maps, confounds

    rng = np.random.default_rng(4)
    noise_, call = 0.1 * rng.standard_normal(confounds.LENGTH), np.zeros(confounds.LENGTH)
    time = np.arange(RATE_HZ) / RATE_HZ
    call[RATE_HZ : 2 * RATE_HZ] = np.sin(2 * np.pi * (3000 * time + 500 * time**2))
    parts = [x.astype(np.float32) for x in (noise_ + call, call, 0 * call)]
    clip = confounds.Clip(parts[0], 24_000.0, "one", parts[1], parts[2])
    near = confound_maps._near(clip)
    assert 0.02 < near.mean() < 0.2
    looked = []
    for bins in (slice(56, 80), slice(200, 224)):  # 3-4 kHz, where the call is, and 9.8-10.9 kHz

        def score(planes, bins=bins):
            return planes[:, 0, bins, 50:90].mean((1, 2))

        heat = occlude(score, confound_maps._planes(clip), confound_maps.OCCLUDER)
        looked.append(confound_maps.Looked("orca, right", heat, near, "one"))
    assert [m.peak_is_near for m in looked] == [True, False]
    assert "| orca, right | 2 |" in confound_maps.table(looked)
