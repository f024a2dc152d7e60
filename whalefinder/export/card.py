"""The card of an exported model: what its user must know. It is in the model itself, and in a JSON file beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from whalefinder.files import replacing
from whalefinder.sound import spectrogram as sp
from whalefinder.version import __version__

Card = dict[str, Any]


def analysis() -> Card:
    """The constants of the spectrogram inside the models."""
    return {
        "rate_hz": sp.RATE_HZ,
        "window": sp.WINDOW,
        "hop": sp.HOP,
        "frame_s": sp.FRAME_S,
        "frequency_hz": {"first": sp.FIRST_BIN * sp.BIN_HZ, "step": sp.BIN_HZ, "count": sp.NUM_BINS},
    }


def card_of(name: str, classes: tuple[str, ...], about: Card, **more: Any) -> Card:
    """The card of a model.

    Args:
        name: name of the model, one word.
        classes: names of the outputs, in order.
        about: card of the weights, for their licence and their training data.
        more: format, inputs and outputs of the model.
    """
    origin: Card = {key: about[key] for key in ("licence", "data") if key in about}
    return {
        "name": f"whalefinder {name}",
        "version": __version__,
        "classes": list(classes),
        **more,
        **analysis(),
        **origin,
    }


def as_text(card: Card) -> dict[str, str]:
    """A card as ONNX stores it: text by key. Values that are not text become JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in card.items()}


def write_card(path: Path, card: Card) -> None:
    """Write the card beside the model in `path`.

    Raises:
        OutputError: the card cannot be written.
    """
    with replacing(path.with_suffix(".json")) as part:
        part.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
