"""The same answers on every processor: the instruction sets that oneDNN may use, and PyTorch without oneDNN."""

import json
import os
import subprocess
import sys

import pytest
import soundfile
import torch
from torch import nn

from whalefinder import demo
from whalefinder.networks.classifier import Classifier, Residual
from whalefinder.networks.regressor import Regressor
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.sea.writing import write_simulation
from whalefinder.training.clips import find_clips

LOCATE = """
import json, sys, torch, whalefinder
torch.backends.mkldnn.enabled = sys.argv[1] == "mkldnn"
for path, array in json.load(sys.stdin):
    for d in whalefinder.locate(path, array and whalefinder.load_array(array), all_events=True):
        print(json.dumps([d.recording, d.label, d.begin_s, d.end_s, d.probability, d.azimuth_deg, d.elevation_deg]))
"""


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(4, 8, 2), (8, 16, 2), (16, 32, 2), (8, 8, 1), (4, 8, 3)])
def test_the_way_past_a_block_is_the_strided_convolution(inputs, outputs, stride):
    torch.manual_seed(0)
    block = Residual(inputs, outputs, stride).double().eval()
    x = torch.randn(2, inputs, 13, 10, dtype=torch.double, requires_grad=True)
    change = block.second_norm(block.second(torch.relu(block.first_norm(block.first(x)))))
    past = x
    if isinstance(block.past, nn.Conv2d):
        past = nn.functional.conv2d(x, block.past.weight, stride=stride)
    expected = torch.relu(past + change)
    assert torch.allclose(block(x), expected, atol=1e-12)
    assert torch.allclose(*(torch.autograd.grad(y.square().sum(), x)[0] for y in (block(x), expected)), atol=1e-10)


def test_no_network_has_a_strided_convolution_of_one_bin():
    # PyTorch 2.13 writes outside its memory in the backward pass of these (docs/experiments.md).
    networks = [Classifier(), SegmentationNetwork(4, 8, 3), Regressor(4, 0.5)]
    convolutions = [m for network in networks for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) > 15
    assert [m for m in convolutions if max(m.kernel_size) == 1 and max(m.stride) > 1] == []


def decisions(sounds, isa=None, mkldnn=True):
    """What `locate` says in a process of its own, rows of [recording, label, begin, end, probability, azimuth, elevation]."""
    environment = os.environ | ({} if isa is None else {"ONEDNN_MAX_CPU_ISA": isa})
    done = subprocess.run(
        [sys.executable, "-c", LOCATE, "mkldnn" if mkldnn else "none"],
        input=json.dumps(sounds), env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """The minute of the demo with its array, and 20 s of three real recordings where they are there."""
    folder = tmp_path_factory.mktemp("processors")
    write_simulation(demo.scene(), demo.SEED, folder, "demo")
    real = find_clips("field", "train")[:2] + find_clips("boats", "dev")[:1]
    for number, clip in enumerate(real):
        samples, rate = soundfile.read(clip.path, frames=20 * clip.rate_hz)
        soundfile.write(folder / f"real-{number}.wav", samples, rate, subtype="FLOAT")
    alone = [(str(folder / f"real-{number}.wav"), None) for number in range(len(real))]
    return [(str(folder / "demo.wav"), str(folder / "array.toml")), *alone]


@pytest.fixture(scope="module")
def usual(sounds):
    return decisions(sounds)


@pytest.mark.parametrize(("isa", "mkldnn"), [("AVX2", True), ("SSE41", True), (None, False)])
def test_every_processor_decides_alike(sounds, usual, isa, mkldnn):
    found = decisions(sounds, isa, mkldnn)
    assert len({row[0] for row in usual}) == len(sounds)
    assert [row[:2] for row in found] == [row[:2] for row in usual]
    for one, other in zip(found, usual, strict=True):
        assert one[2:4] == pytest.approx(other[2:4], abs=0.02)
        assert one[4] == pytest.approx(other[4], abs=1e-3)
        if other[5] is not None:
            assert abs((one[5] - other[5] + 180) % 360 - 180) < 0.05 and one[6] == pytest.approx(other[6], abs=0.05)
