"""ONNX files of the networks, with the spectrogram inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from whalefinder.calls.classification import WINDOW_FRAMES
from whalefinder.errors import OptionError
from whalefinder.export.card import Card, as_text, card_of, write_card
from whalefinder.export.graphs import ClassifierGraph, SegmenterGraph
from whalefinder.files import replacing
from whalefinder.networks import segmentation
from whalefinder.networks.classifier import Classifier
from whalefinder.optional import needs
from whalefinder.results.records import LABELS
from whalefinder.sound import spectrogram as sp

OPSET = 18
MAX_CHANNELS = 8  # the graph of the whitening grows with the cube of the number of hydrophones
SHORTEST_CLASSIFIED = (WINDOW_FRAMES - 1) * sp.HOP  # samples that make one window
EXAMPLE_S = 20.0  # several blocks, so that the exporter takes no number of blocks for a constant


def write_segmenter(network: segmentation.SegmentationNetwork, path: Path, channels: int, about: Card) -> Card:
    """Write the segmentation network for a number of hydrophones to `path` (.onnx), and its card.

    Args:
        network: the network, ready for inference.
        path: the file.
        channels: number of hydrophones of the recordings. Each number needs its own model.
        about: card of the weights.

    Returns:
        The card, which is also in the model.

    Raises:
        OptionError: `channels` is outside 1...`MAX_CHANNELS`, or the extra `export` is not installed.
        OutputError: the file cannot be written.
    """
    if not 1 <= channels <= MAX_CHANNELS:
        raise OptionError(f"{channels} channels: 1 to {MAX_CHANNELS} can be exported; take the best hydrophones")
    example = torch.zeros(channels, int(EXAMPLE_S * sp.RATE_HZ))
    card = card_of(
        "segmenter",
        segmentation.CLASSES,
        about,
        format="ONNX",
        opset=OPSET,
        input={"name": "samples", "shape": [channels, "time"], "type": "float32", "shortest": 1},
        output={"name": "shares", "shape": ["class", "frequency", f"time // {sp.HOP} + 1"], "type": "float32"},
    )
    # For the exporter, fewer than two covariance cells would be another graph. The model works with any length.
    return _write(SegmenterGraph(network), example, sp.CELL_FRAMES * sp.HOP, path, card)


def write_classifier(network: Classifier, path: Path, about: Card) -> Card:
    """Write the classifier for one hydrophone to `path` (.onnx), and its card. The rest is as for `write_segmenter`."""
    card = card_of(
        "classifier",
        LABELS,
        about,
        format="ONNX",
        opset=OPSET,
        input={"name": "samples", "shape": ["time"], "type": "float32", "shortest": SHORTEST_CLASSIFIED},
        output={"name": "probabilities", "shape": ["class"], "type": "float32"},
    )
    # For the exporter, one window would be another graph. The model works with one window too.
    shortest = SHORTEST_CLASSIFIED + sp.HOP
    return _write(ClassifierGraph(network), torch.zeros(int(EXAMPLE_S * sp.RATE_HZ)), shortest, path, card)


def _write(graph: nn.Module, example: Tensor, shortest: int, path: Path, card: Card) -> Card:
    proto = _model(graph.eval(), example, shortest, card["input"]["name"], card["output"]["name"])
    proto.doc_string = f"{card['name']} {card['version']}: samples to {card['output']['name']}"
    for key, value in as_text(card).items():
        proto.metadata_props.add(key=key, value=value)
    with replacing(path) as part:
        part.write_bytes(proto.SerializeToString())
    write_card(path, card)
    return card


def _model(graph: nn.Module, example: Tensor, shortest: int, source: str, result: str) -> Any:
    """The ONNX model of a module. The last axis of its input can have any length from `shortest` on."""
    needs("onnx", "onnxscript", what="ONNX")
    from onnxscript import optimizer

    median = _median_translation()
    time = torch.export.Dim("time", min=shortest)
    with _quietly(), torch.no_grad():
        graph(example)  # fills caches of constants before the exporter would put placeholders there
        program = torch.export.export(
            graph,
            (example,),
            dynamic_shapes=({example.ndim - 1: time},),
            strict=False,
            # Some lengths are right for every input, but the exporter cannot prove it.
            prefer_deferred_runtime_asserts_over_guards=True,
        )
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[source],
            output_names=[result],
            custom_translation_table={torch.ops.aten.median.dim: median},
            verbose=False,
            optimize=False,
        )
    assert exported is not None  # it is None only if a file name is given
    # Runtimes optimise the model themselves. The exporter's optimisation takes minutes and brings nothing.
    optimizer.fold_constants(exported.model)
    optimizer.remove_unused_nodes(exported.model)
    return exported.model_proto


def _median_translation() -> Any:
    """`median` over the last axis for PyTorch's exporter, which does not know it: the largest of the lower half."""
    from onnxscript import opset18

    op: Any = opset18  # its type hints are not those of values in a graph

    def median(x: Any, dim: int, keepdim: bool = False) -> Any:
        if dim != -1 or not keepdim:
            raise NotImplementedError("only the median over the last axis, which stays")
        half = op.Div(op.Add(op.Shape(x, start=-1), 1), 2)
        lower, where = op.TopK(x, half, axis=-1, largest=0, sorted=1)
        return tuple(op.Slice(part, [-1], [torch.iinfo(torch.int64).max], [-1]) for part in (lower, where))

    return median


@contextmanager
def _quietly() -> Iterator[None]:
    """Hide messages of the exporter about its own deprecated calls and about packages that are not used."""
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated", category=FutureWarning)
            yield
    finally:
        registry.setLevel(level)
