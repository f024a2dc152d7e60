"""The classifier: its network, what it sees, which frames it is to name, and how an event gets its name."""

import json
from importlib import resources

import numpy as np
import pytest
import torch

import whalefinder
from tests.helpers import RATE, noise, write
from whalefinder.calls import classification
from whalefinder.calls.classification import (
    classify_samples,
    classify_spectra,
    load_labels,
    planes_of,
    windows_of,
    with_array_score,
)
from whalefinder.errors import ModelError
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.weights import load_classifier, save_network
from whalefinder.results.records import AMBIENT, BOAT, LABELS, ORCA, OTHER_CETACEAN
from whalefinder.sea.calls import pulsed_call
from whalefinder.sound import spectrogram
from whalefinder.training import labelled

pytestmark = pytest.mark.networks


def spectra(frames: int = 282, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, spectrogram.NUM_BINS, frames, dtype=torch.complex64, generator=generator)


# The network ---------------------------------------------------------------------------------------------------------


def test_labels_stand_in_the_order_of_the_shipped_networks_outputs():
    card = json.loads((resources.files("whalefinder") / "weights/classifier.json").read_text("utf-8"))
    order = {"orca": ORCA, "other_cetacean": OTHER_CETACEAN, "boat": BOAT, "ambient": AMBIENT}
    assert {name: card["classes"].index(name) for name in LABELS} == order


@pytest.mark.parametrize("frames", [16, 94, 141])
def test_any_length_gives_a_logit_a_class(frames):
    network = Classifier(widths=(4, 8)).eval()
    planes = torch.randn(2, 3, spectrogram.NUM_BINS, frames)
    assert network(planes).shape == (2, len(LABELS))
    assert torch.allclose(network.probabilities(planes).sum(1), torch.ones(2))


def test_folding_the_normalisation_changes_nothing():
    torch.manual_seed(0)
    network, planes = Classifier(widths=(4, 8)), torch.randn(8, 3, 64, 40)
    for _ in range(3):
        network(planes)  # running means that are not 0 and 1
    network.eval()
    assert torch.allclose(network(planes), network.folded()(planes), atol=1e-4)


def test_weights_come_back_with_their_temperature(tmp_path):
    network = Classifier(widths=(4, 8), dropout=0.1)
    network.temperature.fill_(1.7)
    save_network(network, tmp_path / "classifier.safetensors", {})
    loaded = load_classifier(tmp_path / "classifier.safetensors")
    planes = torch.randn(1, 3, 64, 40)
    assert float(loaded.temperature) == pytest.approx(1.7) and not loaded.training
    assert torch.equal(loaded.probabilities(planes), network.eval().probabilities(planes))


def test_weights_start_at_random_and_as_wide_as_he_says():
    torch.manual_seed(0)
    weight = Classifier().stages[3].second.weight
    assert float(weight.detach().std()) == pytest.approx((2 / (96 * 9)) ** 0.5, rel=0.05)


# What it sees --------------------------------------------------------------------------------------------------------


def test_planes_do_not_depend_on_gain():
    x = spectra()
    assert torch.allclose(planes_of(x), planes_of(1e-4 * x), atol=1e-3)
    assert planes_of(x).shape == (3, spectrogram.NUM_BINS, 141)


def test_a_hydrophones_response_leaves_the_contrast_as_it_is():
    x, response = spectra(), torch.linspace(0.2, 5.0, spectrogram.NUM_BINS)[:, None]
    assert torch.allclose(planes_of(x)[0], planes_of(x * response)[0], atol=0.01)


def test_what_a_recorder_cannot_hold_is_zero_and_says_nothing():
    valid = torch.arange(spectrogram.NUM_BINS) < 100
    x = spectra()
    other = torch.where(valid[:, None], x, 30 * spectra(seed=1))
    assert torch.equal(planes_of(x, valid), planes_of(other, valid))
    assert (planes_of(x, valid)[:, 100:] == 0).all()


def test_digital_silence_is_finite():
    x = spectra()
    x[..., :100] = 0
    assert planes_of(x).isfinite().all() and planes_of(torch.zeros_like(x)).isfinite().all()


def test_silence_that_somebody_padded_with_says_nothing(shipped):
    rng = np.random.default_rng(5)
    sound = rng.standard_normal(2 * 48_000).astype(np.float32)
    padded = np.concatenate([np.zeros(24_064, np.float32), sound, np.zeros(24_064, np.float32)])
    plain, answer = (classification.classify_samples(shipped, x) for x in (sound, padded))
    assert np.allclose(plain, answer, atol=0.05)
    x = spectra()
    x[..., 100:150] = 0  # a drop-out within stays
    x[..., :20] = 0
    frames = x.shape[-1]
    assert classification.sounding_frames(x) == slice(21, frames)
    assert classification.sounding_frames(0 * x) == slice(0, frames)


def test_windows_of_any_clip_and_the_one_with_most_whale():
    network = Classifier(widths=(4, 8)).eval()
    for frames, windows in ((20, 1), (282, 1), (283, 2), (800, 5)):
        found = classification.classify_spectra(network, spectra(frames))
        assert found.shape == (windows, len(LABELS)) and np.allclose(found.sum(1), 1)
    pair = np.array([[0.2, 0.1, 0.7, 0.0], [0.1, 0.5, 0.3, 0.1]])
    assert classification.most_whale(pair) is not None and classification.most_whale(pair)[1] == 0.5


# Names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[orca", "cannot be read"),
        ("[orca]\nthreshold = 0.5\n", "[other_cetacean] needs threshold"),
        ("[orca]\nthreshold = 2\n[other_cetacean]\nthreshold = 0.5\n", "from 0 to 1, not 2"),
        ("[orca]\nthreshold = true\n[other_cetacean]\nthreshold = 0.5\n", "not True"),
        ("[orca]\nthreshold = 0.5\n[seal]\nthreshold = 0.5\n", "'seal' has no threshold"),
        ("orca = 0.5\n", "[orca] needs threshold"),
    ],
)
def test_a_wrong_settings_file_is_named(tmp_path, text, words):
    path = tmp_path / "labels.toml"
    path.write_text(text)
    with pytest.raises(ModelError) as reason:
        load_labels(path)
    assert words in str(reason.value) and str(path) in str(reason.value)
    with pytest.raises(ModelError, match="cannot be read"):
        load_labels(tmp_path / "none.toml")


def test_names_by_threshold():
    settings = classification.LabelSettings(orca=0.8, other_cetacean=0.6, cetacean=0.85)
    for probabilities, name in (
        ([0.85, 0.1, 0.05, 0.0], "orca"),
        ([0.7, 0.1, 0.15, 0.05], "boat"),
        ([0.1, 0.7, 0.1, 0.1], "other_cetacean"),
        ([0.2, 0.2, 0.25, 0.35], "ambient"),
        ([0.55, 0.35, 0.05, 0.05], "cetacean"),  # a whale for sure, though not which
        ([0.35, 0.55, 0.05, 0.05], "cetacean"),
        ([0.45, 0.3, 0.2, 0.05], "boat"),  # 0.75 together is not enough
    ):
        assert settings.name(np.array(probabilities)) == name
    shipped = load_labels()
    assert 0 < shipped.orca < 1 and 0 < shipped.other_cetacean < 1


def test_the_arrays_score_and_the_classifier_move_the_same_way():
    sound = np.array([0.6, 0.1, 0.2, 0.1])
    joined = [with_array_score(sound, score) for score in (-3.0, 0.0, 3.0)]
    assert all(np.isclose(p.sum(), 1) for p in joined)
    assert joined[0][0] < joined[1][0] < joined[2][0]
    assert joined[1][0] / joined[1][1] == pytest.approx(6.0)  # which whale it is is the classifier's word
    boat = np.array([0.01, 0.0, 0.9, 0.09])
    assert with_array_score(boat, 1.0)[0] < with_array_score(sound, 1.0)[0]


@pytest.fixture(scope="module")
def shipped():
    try:
        return load_classifier()
    except ModelError as reason:
        pytest.skip(f"no shipped classifier yet: {reason}")


def test_locate_names_a_call_in_wind_and_nothing_in_wind_alone(shipped, tmp_path):
    wind = noise(1, 12.0)[:, 0]
    call = pulsed_call(np.random.default_rng(1))
    called = wind.copy()
    called[6 * RATE : 6 * RATE + len(call)] += 0.05 * call / np.abs(call).max()
    found = whalefinder.locate(write(tmp_path / "call.wav", called, RATE, subtype="FLOAT"))
    assert [d.label for d in found] == ["orca"] and found[0].is_call and found[0].probability > 0.5
    assert abs(found[0].begin_s - 6.0) < 0.5
    quiet = write(tmp_path / "wind.wav", wind, RATE, subtype="FLOAT")
    assert whalefinder.locate(quiet) == []
    assert all(d.label in LABELS and not d.is_call for d in whalefinder.locate(quiet, all_events=True))


def test_loud_or_soft_is_the_same(shipped):
    samples = noise(1, 3.0)[:, 0].astype(np.float32)
    samples[RATE : RATE + RATE // 2] += 0.05 * np.sin(np.arange(RATE // 2) * 0.3).astype(np.float32)
    loud, soft = (classify_samples(shipped, gain * samples) for gain in (1.0, 1e-3))
    assert np.allclose(loud, soft, atol=0.01)


def test_real_calls_of_the_dev_split_are_told_from_their_ships(shipped):
    """A floor under what `docs/experiments.md` reports; SIR −10…+10."""
    mixtures = labelled.evaluation_mixtures("dev", 40)
    if not mixtures:
        pytest.skip("real recordings are absent (set WHALEFINDER_DATA)")
    orca = np.array([clip.label == "orca" for clip in mixtures])
    threshold = load_labels().orca
    found = np.array([classify_samples(shipped, c.samples, c.bandwidth_hz)[0] >= threshold for c in mixtures])
    assert found[orca].mean() >= 0.85 and found[~orca].mean() <= 0.1


# What is to be named ---------------------------------------------------------------------------------------------------


def test_the_mark_lies_over_the_event_alone():
    spectra = torch.randn(1, 256, 400, dtype=torch.complex64)
    begins, planes = windows_of(spectra, marked=(150, 190))
    assert begins == [0, 118] and planes.shape[1] == 4
    for begin, mark in zip(begins, planes[:, 3], strict=True):
        assert bool((mark == mark[0]).all())  # alike at every frequency
        assert torch.nonzero(mark[0])[:, 0].tolist() == list(range((150 - begin) // 2, (190 - begin) // 2))
    assert torch.equal(planes[:, :3], windows_of(spectra)[1])


def test_without_a_mark_the_whole_window_is_named():
    torch.manual_seed(3)
    network = Classifier(widths=(4, 8), marks=True).eval()
    planes = torch.randn(2, 3, 256, 40)
    ones, none = torch.ones(2, 1, 256, 40), torch.zeros(2, 1, 256, 40)
    assert torch.equal(network(planes), network(torch.cat([planes, ones], 1)))
    assert not torch.allclose(network(planes), network(torch.cat([planes, none], 1)))
    assert torch.allclose(network.folded()(planes), network(planes), atol=1e-5)


def test_an_event_is_named_by_itself_and_not_by_its_neighbour():
    """A network that answers by the mean of the marked frames alone gives two events of one window two answers."""

    class Loudest(Classifier):
        def features(self, planes):
            inside = planes[:, 3] > 0
            return ((planes[:, 0] * inside).sum((-2, -1)) / inside.sum((-2, -1)))[:, None]

    spectra = torch.randn(1, 256, 282, dtype=torch.complex64)
    spectra[..., 200:230] *= 30.0
    network = Loudest(widths=(4,), marks=True)
    network.head = torch.nn.Linear(1, 4, bias=False)
    network.head.weight.data = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    loud, quiet = (classify_spectra(network, spectra, marked=span)[0, 0] for span in ((200, 230), (60, 90)))
    assert loud > 0.7 and quiet < 0.3
