"""The page of model cards, made from the cards beside the weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open

WEIGHTS = Path(__file__).parent.parent / "whalefinder" / "weights"
CARDS = {
    "segmenter": (
        "Divides the power of every time-frequency bin into call, boat and ambient.",
        "`whalefinder train segmenter`",
        "Any array from 1 to 64 hydrophones, 0.4–12.3 kHz. It does not know the positions of the hydrophones.",
    ),
    "classifier": (
        "Labels an event orca, other cetacean, boat or ambient, with a calibrated probability.",
        "`whalefinder train classifier`",
        "It gives one of four labels to every sound, also to sounds that were not in its training. "
        "See [how good it is](evaluation.md) and [which properties of the sound decide](confounds.md).",
    ),
    "tracker": (
        "Follows one animal through silences and wrong bearings.",
        "`whalefinder train tracker`",
        "Trained on simulated swims only. See [tracks](tracking.md).",
    ),
    "refiner": (
        "Refines the bearings of steering, and states their errors: ellipse, and circles that hold 50 and 90 %.",
        "`whalefinder train refiner`",
        "Arrays of 3 or more hydrophones that are no line and narrower than 2 m in training. Its circles are right on average "
        "over seas like those of its training; the benchmark has each cell by itself.",
    ),
    "regressor": (
        "Gives a bearing at once, as in the examination paper (`--method regressor`).",
        "`whalefinder train regressor`",
        "One array only, the 0.5 m tetrahedron. Its errors are degrees where those of the default method are tenths of a degree.",
    ),
}
"""What each network is for, the command that trained it, and its limits."""


def parameters(path: Path) -> int:
    """Number of parameters in a file of weights."""
    total = 0
    with safe_open(path, "numpy") as tensors:
        for name in tensors.keys():
            size = 1
            for length in tensors.get_slice(name).get_shape():
                size *= length
            total += size
    return total


def said(value: Any) -> str:
    """A value of a card as text for a cell."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {said(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return "; ".join(said(inner) if not isinstance(inner, list) else ", ".join(map(said, inner)) for inner in value)
    return "–" if value is None else str(value)


def card(name: str) -> list[str]:
    """The section of a network as lines of Markdown: purpose, limits, and the content of its card."""
    purpose, command, limits = CARDS[name]
    known = json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))
    file = WEIGHTS / f"{name}.safetensors"
    rows = {
        "trained by": command,
        "limits": limits,
        "parameters": f"{parameters(file):,}",
        "file": f"`whalefinder/weights/{name}.safetensors`, {file.stat().st_size / 1e6:.1f} MB",
    }
    names = {
        "data": "learned from", "chosen_on": "chosen on", "licence": "licence", "classes": "answers", "step": "best step",
        "minutes": "minutes of training", "validation": "on validation", "temperature": "temperature of the softmax",
        "sd_deg": "standard deviation of azimuth and elevation, degrees", "largest": "largest inputs of the 8-bit layers",
        "config": "sizes", "settings": "settings of training", "array": "array",
    }  # fmt: skip
    rows |= {shown: said(known[key]) for key, shown in names.items() if key in known}
    rows |= {key: said(value) for key, value in known.items() if key not in names}
    table = ["| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows.items())]
    return [f"## {name.capitalize()}", "", purpose, "", *table, ""]


def page() -> str:
    """The page as Markdown."""
    lines = [
        "# Model cards",
        "",
        "Four networks come with the program. This page is made from the cards (JSON) beside",
        "",
    ]
    lines[2] += " their weights when the site is built."
    for name in CARDS:
        lines += card(name)
    return "\n".join(lines)
