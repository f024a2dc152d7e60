"""Packages for PAMGuard's deep-learning module: a ZIP archive with a TorchScript model and a JSON file of transforms.

`docs/export.md` describes the format, names its sources, and says what could not be tried.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from whalefinder.calls.classification import WINDOW_S
from whalefinder.export.card import Card, card_of
from whalefinder.export.graphs import SpectrogramClassifier, WaveClassifier
from whalefinder.files import replacing
from whalefinder.networks.classifier import Classifier
from whalefinder.results.records import LABELS
from whalefinder.sound import spectrogram as sp

SEGMENT_MS = round(1000 * WINDOW_S)
SEGMENT = SEGMENT_MS * sp.RATE_HZ // 1000  # samples
SPECTROGRAM_SHAPE = (-(-SEGMENT // sp.HOP), sp.WINDOW // 2)  # frames and bins that PAMGuard makes of a segment

LOAD = {"name": "load_audio", "params": {"sr": sp.RATE_HZ}}
# PAMGuard's spectrogram has a Hamming window, in which loud low frequencies leak into all others. So low frequencies
# are reduced before it, and the model raises them again.
EMPHASIS = 0.97
PRE_EMPHASIS = {"name": "pre_emph", "params": {"pre_empf_factor": EMPHASIS}}
SPECTROGRAM = {"name": "spectrogram", "params": {"fft": sp.WINDOW, "hop": sp.HOP}}


def write_wave_package(network: Classifier, path: Path, about: Card) -> Card:
    """Write a package to `path` (.zip) with the spectrogram inside the model. PAMGuard only resamples the sound.

    Args:
        network: the classifier, ready for inference.
        path: the archive.
        about: card of the weights.

    Returns:
        The metadata that the archive has in its `.pdtf` file.

    Raises:
        OutputError: the file cannot be written.
    """
    metadata = _metadata([LOAD], (SEGMENT,))
    return _write(WaveClassifier(network), torch.zeros(2, SEGMENT), path, metadata, about)


def write_spectrogram_package(network: Classifier, path: Path, about: Card) -> Card:
    """Write a package to `path` (.zip) that uses PAMGuard's spectrogram. The rest is as for `write_wave_package`."""
    metadata = _metadata([LOAD, PRE_EMPHASIS, SPECTROGRAM], SPECTROGRAM_SHAPE)
    graph = SpectrogramClassifier(network, EMPHASIS)
    return _write(graph, torch.ones(2, *SPECTROGRAM_SHAPE), path, metadata, about)


def _metadata(transforms: list[dict[str, Any]], shape: tuple[int, ...]) -> Card:
    return {
        "version_info": {"version": 1.0},
        "description": "Metadata for acoustic deep learning",
        "framework_info": {"framework": "Bespoke"},
        "model_info": {"input_shape": [-1, *shape], "output_shape": [-1, len(LABELS)]},
        "class_info": {"name_class": list(LABELS), "num_class": len(LABELS)},
        "seg_size": {"size_ms": SEGMENT_MS},
        "species": {"name": ["Orcinus orca", "Cetacea"]},
        "transforms": transforms,
    }


def _write(graph: nn.Module, example: Tensor, path: Path, metadata: Card, about: Card) -> Card:
    model = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # PAMGuard reads TorchScript, but no newer format.
        warnings.filterwarnings(
            "ignore", message=".*torch.jit.* is (deprecated|not supported)", category=DeprecationWarning
        )
        torch.jit.save(torch.jit.trace(graph.eval(), example, check_trace=False), model)
    card = card_of("classifier", LABELS, about, format="TorchScript for PAMGuard", segment_ms=SEGMENT_MS)
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        # PAMGuard takes the first file with .pb in its name, else with .py, for the model.
        archive.writestr(f"{path.stem}.py", model.getvalue())
        archive.writestr(f"{path.stem}.pdtf", json.dumps(metadata, indent=1) + "\n")
        archive.writestr("card.json", json.dumps(card, indent=1) + "\n")
    return metadata
