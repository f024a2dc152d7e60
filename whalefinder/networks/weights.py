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

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from whalefinder.errors import ModelError
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.refiner import Refiner
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.networks.tracker import Tracker
from whalefinder.words import count

SHIPPED = "segmenter"
KINDS = ("segmenter", "classifier", "tracker", "regressor", "refiner")
ALIKE = 0.8
"""Weights belong to a network if at least this share of their tensors has the names that it has."""
LONGEST = 160  # characters of a reason in a message


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


def load_refiner(path: Path | str | None = None) -> Refiner:
    """The refiner of the weights in `path`, or the shipped one, ready for inference.

    Raises:
        ModelError: as `load_network`.
    """
    return _load(Refiner, path, "refiner")


def load_classifier(path: Path | str | None = None) -> Classifier:
    """The classifier of the weights in `path`, or the shipped one, ready for inference.

    Raises:
        ModelError: as `load_network`.
    """
    return _load(Classifier, path, "classifier")


NAMING = ("head.", "temperature")  # the weights of a classifier that are not its trunk


def take_trunk(network: Classifier, path: Path | str) -> None:
    """Give a new classifier the trunk of other weights: of a pre-training, or of a classifier. Its head stays new.

    Raises:
        ModelError: the weights or their card cannot be read, or their trunk has other sizes.
    """
    given, own = _of_same_sizes(network, Path(path)), network.state_dict()
    with fitting(Path(path)):
        network.load_state_dict({name: own[name] if name.startswith(NAMING) else given[name] for name in own})


def take_all(network: Classifier, path: Path | str) -> None:
    """Give a new classifier all weights of another one, so that training goes on from them.

    Raises:
        ModelError: the weights or their card cannot be read, have other sizes, or are those of a trunk.
    """
    given = _of_same_sizes(network, Path(path))
    with fitting(Path(path)):
        network.load_state_dict(given)


def _of_same_sizes(network: Classifier, file: Path) -> dict[str, Tensor]:
    expect(file, "classifier")
    with fitting(file):
        sizes = dict(read_card(file)["config"])
    for name in ("widths", "input_channels", "marks"):
        if sizes.get(name) != network.config[name]:
            raise ModelError(
                f"{file}: {name} {sizes.get(name)}, but this classifier has {name} {network.config[name]}; "
                "give weights of a trunk or of a classifier with the same sizes"
            )
    with fitting(file):
        return load_file(file)


Network = TypeVar("Network", bound=nn.Module)


def _load(kind: type[Network], path: Path | str | None, shipped: str) -> Network:
    file = Path(path) if path else shipped_weights(shipped)
    expect(file, shipped)
    card = read_card(file)
    with fitting(file):
        network = kind(**card["config"])
        network.load_state_dict(load_file(file))
    return network.eval()


def expect(file: Path, wanted: str) -> None:
    """Refuse a file that holds no weights of the network `wanted`, by the names of its tensors. A missing file passes.

    Raises:
        ModelError: the file holds the weights of another network, or none.
    """
    if not file.is_file():
        return
    names = _names(file)
    shares = {kind: len(names & _names(shipped_weights(kind))) / max(1, len(names)) for kind in KINDS}
    best = max(shares, key=lambda kind: (shares[kind], kind == wanted))
    if best == wanted and shares[wanted]:
        return
    what = f"holds {count(len(names), 'tensor')} of no network of whalefinder" if names else "is no file of weights"
    if shares[best] >= ALIKE:
        what = f"holds the weights of a {best}"
    elif shares[wanted]:
        return
    raise ModelError(f"{file}: {what}; needed are those of a {wanted}, as whalefinder train {wanted} writes them")


@contextmanager
def fitting(file: Path) -> Iterator[None]:
    """Raise `ModelError` with one clear line if weights do not fit their card."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError, OSError) as reason:
        why = " ".join(str(reason).split())
        why = why if len(why) <= LONGEST else f"{why[:LONGEST]}…"
        raise ModelError(f"{file}: weights do not fit their card ({why}); train again or reinstall") from reason


def _names(file: Path) -> set[str]:
    """Names of the tensors in a file; none if it cannot be read."""
    try:
        with safe_open(file, "numpy") as tensors:
            return set(tensors.keys())
    except (SafetensorError, OSError):
        return set()


def read_card(weights: Path) -> dict[str, Any]:
    """Read the JSON card beside a weights file.

    Raises:
        ModelError: there are no weights or no card, or it cannot be read.
    """
    if not weights.is_file():
        raise ModelError(f"{weights}: no such file; give weights (.safetensors) with their card (.json) beside them")
    card = weights.with_suffix(".json")
    try:
        return json.loads(card.read_text())  # type: ignore[no-any-return]
    except (OSError, ValueError) as reason:
        raise ModelError(
            f"{card}: no readable model card ({reason}); it must be in the same folder as the weights"
        ) from reason


def shipped_weights(name: str = SHIPPED) -> Path:
    """Path of shipped weights inside the package."""
    return Path(str(resources.files("whalefinder") / "weights" / f"{name}.safetensors"))
