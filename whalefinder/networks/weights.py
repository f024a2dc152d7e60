"""Reading and writing weights of networks: a safetensors file with a JSON card beside it.

Nothing is unpickled, so a weights file cannot run code. At worst its weights are wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from whalefinder.errors import ModelError
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.networks.tracker import Tracker

SHIPPED = "segmenter"


def save_network(network: nn.Module, path: Path, card: dict[str, Any]) -> None:
    """Write the weights to `path` (.safetensors), and beside it a card (.json) with the network's sizes and `card`."""
    weights = {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, path)
    path.with_suffix(".json").write_text(json.dumps({"config": network.config, **card}, indent=1) + "\n")


def load_network(path: Path | str | None = None) -> SegmentationNetwork:
    """The segmentation network of the weights in `path`, or the shipped one, ready for inference.

    Raises:
        ModelError: the weights or their card cannot be read, or they do not fit each other.
    """
    network = _load(SegmentationNetwork, path, SHIPPED)
    network.largest = read_card(Path(path) if path else shipped_weights(SHIPPED)).get("largest", {})
    return network


def load_tracker(path: Path | str | None = None) -> Tracker:
    """The tracker of the weights in `path`, or the shipped one, which is causal.

    Raises:
        ModelError: as `load_network`.
    """
    return _load(Tracker, path, "tracker")


def load_classifier(path: Path | str | None = None) -> Classifier:
    """The classifier of the weights in `path`, or the shipped one, ready for inference.

    Raises:
        ModelError: as `load_network`.
    """
    return _load(Classifier, path, "classifier")


Network = TypeVar("Network", bound=nn.Module)


def _load(kind: type[Network], path: Path | str | None, shipped: str) -> Network:
    file = Path(path) if path else shipped_weights(shipped)
    card = read_card(file)
    with fitting(file):
        network = kind(**card["config"])
        network.load_state_dict(load_file(file))
    return network.eval()


@contextmanager
def fitting(file: Path) -> Iterator[None]:
    """Raise `ModelError` with one clear line if weights do not fit their card."""
    try:
        yield
    except (KeyError, TypeError, RuntimeError, SafetensorError, OSError) as reason:
        raise ModelError(f"{file}: weights do not fit their card ({reason}); train again or reinstall") from reason


def read_card(weights: Path) -> dict[str, Any]:
    """Read the JSON card beside a weights file.

    Raises:
        ModelError: there is no card, or it cannot be read.
    """
    card = weights.with_suffix(".json")
    try:
        return json.loads(card.read_text())  # type: ignore[no-any-return]
    except (OSError, json.JSONDecodeError) as reason:
        raise ModelError(
            f"{card}: no readable model card ({reason}); it must be in the same folder as the weights"
        ) from reason


def shipped_weights(name: str = SHIPPED) -> Path:
    """Path of shipped weights inside the package."""
    return Path(str(resources.files("whalefinder") / "weights" / f"{name}.safetensors"))
