"""Exported models against the networks that they came from, and PAMGuard's transforms made again in NumPy."""

import io
import json
import zipfile

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from tests.helpers import noise
from whalefinder.calls.classification import WINDOW_S, classify_samples, planes_of
from whalefinder.calls.masks import masks_of
from whalefinder.cli import app
from whalefinder.errors import OptionError
from whalefinder.export import write_segmenter
from whalefinder.export.features import ClassifierPlanes, Features, Smoothing, Spectra
from whalefinder.export.graphs import SegmenterGraph
from whalefinder.export.shipped import export_models
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.weights import load_network, save_network
from whalefinder.results.records import LABELS
from whalefinder.sound import covariance, features
from whalefinder.sound import spectrogram as sp

PARITY = 1e-4


def sound(channels, samples, seed):
    """Noise with a whistle that begins late, `[channel, time]` float32."""
    time = np.arange(samples) / sp.RATE_HZ
    whistle = np.sin(2 * np.pi * (3000 + 900 * np.sin(5 * time)) * time) * (time > 0.6 * time[-1])
    samples = noise(channels, samples / sp.RATE_HZ, seed=seed).T[:, :samples] + 0.02 * whistle
    return np.ascontiguousarray(samples, np.float32)


@pytest.fixture(scope="module")
def classifier():
    """A classifier with random weights, statistics and temperature: its answers differ from sound to sound."""
    torch.manual_seed(2)
    network = Classifier().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0.0, 0.3)
            module.running_var.uniform_(0.5, 3.0)
    network.head.weight.data.mul_(0.2)
    network.temperature.fill_(1.6)
    return network


@pytest.fixture(scope="module")
def folder(classifier, tmp_path_factory):
    """Everything that the command writes, of the shipped segmenter and the random classifier."""
    folder = tmp_path_factory.mktemp("models")
    save_network(classifier, folder / "weights.safetensors", {"licence": "BSD-3-Clause", "data": "none"})
    for options in (["--channels", "1", "--channels", "2"], ["--what", "classifier", "--format", "pamguard"]):
        command = ["export", "--out", str(folder), "--classifier", str(folder / "weights.safetensors"), *options]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
    return folder


@pytest.mark.parametrize("channels", [1, 3])
def test_planes_are_those_of_the_spectrogram(channels):
    for length in (5000, 900_000):  # less than a block of cells, and more than two
        spectra = sp.stft(torch.from_numpy(sound(channels, length, seed=channels)))
        ours = Features()(spectra.real, spectra.imag)
        assert torch.allclose(ours, features.segmenter_planes(spectra), atol=1e-5)


def test_planes_of_the_classifier_are_its_own():
    for length in (16_000, 144_000, 144_000 + sp.HOP):
        spectra = sp.stft(torch.from_numpy(sound(1, length, seed=7)))
        ours = ClassifierPlanes()(sp.power(spectra))
        assert torch.allclose(ours, planes_of(spectra), atol=1e-5)


def test_spectra_are_those_of_the_spectrogram():
    for length in (1, 511, 512, 48_001):
        samples = torch.from_numpy(sound(2, length + 100, seed=1))[:, :length]
        theirs = sp.stft(samples)
        re, im = Spectra()(samples)
        assert torch.allclose(torch.complex(re, im), theirs, atol=3e-6 * float(theirs.abs().max()))


def test_smoothing_is_that_of_the_spectrogram_to_the_last_cell():
    x = torch.rand(3, 5, 2 * covariance.SMOOTH_BLOCK + 7, generator=torch.Generator().manual_seed(0))
    for ours, e_folding in zip(Smoothing()(x), (covariance.SHORT_CELLS, covariance.LONG_CELLS), strict=True):
        assert torch.allclose(ours, covariance.smooth_over_cells(x, e_folding, covariance.GAP_CELLS), rtol=1e-5)


@torch.inference_mode()
def test_four_hydrophones_before_export():
    samples = torch.from_numpy(sound(4, 100_000, seed=4))
    network = load_network()
    shares = SegmenterGraph(network).eval()(samples)
    assert torch.allclose(
        shares, masks_of(network, samples, torch.ones(sp.NUM_BINS, dtype=torch.bool)).shares, atol=1e-5
    )


@pytest.mark.parametrize("channels", [1, 2])
def test_segmenter_in_onnxruntime(folder, channels):
    session = onnxruntime.InferenceSession(folder / f"segmenter_{channels}ch.onnx")
    network, valid = load_network(), torch.ones(sp.NUM_BINS, dtype=torch.bool)
    for seed, length in enumerate((1, 700, 4096, 48_000, 150_123, 480_000)):
        samples = sound(channels, length + 100, seed)[:, :length]
        shares = session.run(None, {"samples": samples})[0]
        expected = masks_of(network, torch.from_numpy(samples), valid).shares.numpy()
        assert shares.shape == expected.shape == (3, sp.NUM_BINS, length // sp.HOP + 1)
        assert np.abs(shares - expected).max() < PARITY


def test_classifier_in_onnxruntime(folder, classifier):
    session = onnxruntime.InferenceSession(folder / "classifier.onnx")
    answers = []
    for seed, length in enumerate((144_000, 144_384, 200_001, 500_000)):  # one window, two, more
        samples = sound(1, length, seed)[0]
        answers.append(session.run(None, {"samples": samples})[0])
        assert np.abs(answers[-1] - classify_samples(classifier, samples)).max() < PARITY
    assert np.ptp(answers, axis=0).max() > 0.01  # they are answers to the sound


def test_models_say_what_they_are(folder):
    model = onnx.load(folder / "segmenter_2ch.onnx")
    onnx.checker.check_model(model)
    said = {entry.key: entry.value for entry in model.metadata_props}
    card = json.loads((folder / "segmenter_2ch.json").read_text())
    assert {key: value if isinstance(value, str) else json.dumps(value) for key, value in card.items()} == said
    assert card["classes"] == ["call", "boat", "ambient"] and card["licence"] == "BSD-3-Clause"
    assert (card["rate_hz"], card["hop"], card["opset"]) == (48_000, 512, model.opset_import[0].version)
    assert card["frequency_hz"] == {"first": 375.0, "step": 46.875, "count": 256}
    assert model.graph.input[0].type.tensor_type.shape.dim[1].dim_param  # any length
    assert json.loads((folder / "classifier.json").read_text())["classes"] == list(LABELS)


def pamguard_segments(metadata, samples, rate_hz):
    """The documented transforms of a package, in NumPy: `[batch, ...]` float32, what PAMGuard hands to the model."""
    length = int(metadata["seg_size"]["size_ms"] * rate_hz / 1000)
    segments = [samples[begin : begin + length] for begin in range(0, len(samples) - length + 1, length)]
    values = np.array(segments, float)
    for transform in metadata["transforms"]:
        parameters = transform["params"]
        if transform["name"] == "load_audio":
            assert parameters["sr"] == rate_hz  # then it changes nothing
        elif transform["name"] == "pre_emph":
            values[:, 1:] -= parameters["pre_empf_factor"] * values[:, :-1].copy()
        elif transform["name"] == "spectrogram":
            values = np.array([pamguard_spectrogram(row, parameters["fft"], parameters["hop"]) for row in values])
        else:
            raise NotImplementedError(transform["name"])
    assert list(values.shape[1:]) == metadata["model_info"]["input_shape"][1:]
    return values.astype(np.float32)


def pamguard_spectrogram(samples, fft, hop):
    """Magnitudes `[frame, bin]`: Hamming window, frames from sample 0 on, zeros behind the end, fft / 2 bins."""
    frames = -(-len(samples) // hop)
    # After the first frame its loop begins each one sample late.
    begins = np.arange(frames) * hop + (np.arange(frames) > 0)
    padded = np.concatenate([samples, np.zeros(2 * fft)])
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(fft) / fft)
    return np.abs(np.fft.rfft(padded[begins[:, None] + np.arange(fft)] * window))[:, : fft // 2]


# With the spectrogram inside the model nothing is left to differ; PAMGuard's own has another window, half a window later.
@pytest.mark.parametrize(("package", "tolerance"), [("wave", 1e-4), ("spectrogram", 0.06)])
def test_pamguard_package_gives_our_answer(folder, classifier, package, tolerance):
    with zipfile.ZipFile(folder / f"whalefinder_pamguard_{package}.zip") as archive:
        (model,) = [name for name in archive.namelist() if ".py" in name]
        (settings,) = [name for name in archive.namelist() if ".pdtf" in name]
        assert not any(".pb" in name for name in archive.namelist())
        assert model.endswith(".py") and settings.endswith(".pdtf")
        metadata = json.loads(archive.read(settings))
        network = torch.jit.load(io.BytesIO(archive.read(model)))
    assert metadata["class_info"] == {"name_class": list(LABELS), "num_class": len(LABELS)}
    assert metadata["seg_size"] == {"size_ms": 1000 * WINDOW_S}
    samples = sound(1, 3 * 144_000, seed=5)[0]
    with torch.inference_mode():
        answers = network(torch.from_numpy(pamguard_segments(metadata, samples, sp.RATE_HZ))).numpy()
    expected = [classify_samples(classifier, part) for part in samples.reshape(3, -1)]
    assert np.abs(answers - expected).max() < tolerance
    assert answers.shape == (3, len(LABELS)) and np.allclose(answers.sum(1), 1.0, atol=1e-5)


def test_what_cannot_be_exported_is_said_in_one_line(tmp_path, monkeypatch):
    with pytest.raises(OptionError, match="export `what` classifier"):
        list(export_models(tmp_path, "segmenter", "pamguard"))
    with pytest.raises(OptionError, match="1 to 8 can be exported"):
        write_segmenter(load_network(), tmp_path / "a.onnx", 0, {})
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    result = CliRunner().invoke(app, ["export", "--out", str(tmp_path), "--what", "segmenter"])
    assert result.exit_code == 1 and "whalefinder[export]" in result.output and "Traceback" not in result.output
