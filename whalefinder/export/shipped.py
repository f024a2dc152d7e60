"""Export of networks: which ones, in which format, with which file names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from whalefinder.errors import OptionError
from whalefinder.export.onnx_file import write_classifier, write_segmenter
from whalefinder.export.pamguard import write_spectrogram_package, write_wave_package
from whalefinder.files import locked, untouched
from whalefinder.networks.weights import load_classifier, load_network, read_card, shipped_weights

What = Literal["segmenter", "classifier", "all"]
Format = Literal["onnx", "pamguard"]
PAMGUARD = {
    "whalefinder_pamguard_wave.zip": write_wave_package,
    "whalefinder_pamguard_spectrogram.zip": write_spectrogram_package,
}


def export_models(
    out: Path,
    what: What = "all",
    format: Format = "onnx",
    channels: Sequence[int] = (1, 4),
    segmenter: Path | None = None,
    classifier: Path | None = None,
    *,
    overwrite: bool = False,
) -> Iterator[Path]:
    """Write models to the folder `out`, and yield the path of each file when it is written.

    Args:
        out: the folder. It is made if it does not exist.
        what: which network.
        format: `onnx`, or `pamguard`, which has only the classifier.
        channels: write one segmentation network for each of these numbers of hydrophones.
        segmenter, classifier: paths of weights, or None for the shipped ones.
        overwrite: replace files that exist.

    Raises:
        OptionError: the format does not have the network, or an option is outside its range.
        ModelError: weights cannot be used.
        OutputError: a file cannot be written, or exists and may not be replaced.
    """
    if format == "pamguard" and what == "segmenter":
        raise OptionError("PAMGuard takes one answer for a segment of sound, not a mask; export `what` classifier")
    with locked(out):
        untouched((out / name for name in _names(what, format, channels)), overwrite=overwrite)
        yield from _written(out, what, format, channels, segmenter, classifier)


def _names(what: What, format: Format, channels: Sequence[int]) -> Iterator[str]:
    """Names of the files that are to be written. A model in ONNX has a card beside it."""
    if format == "pamguard":
        yield from PAMGUARD
        return
    stems = [] if what == "classifier" else [f"segmenter_{number}ch" for number in channels]
    for stem in [*stems, *([] if what == "segmenter" else ["classifier"])]:
        yield from (f"{stem}.onnx", f"{stem}.json")


def _written(
    out: Path, what: What, format: Format, channels: Sequence[int], segmenter: Path | None, classifier: Path | None
) -> Iterator[Path]:
    if what != "classifier" and format == "onnx":
        network, about = load_network(segmenter), read_card(segmenter or shipped_weights())
        for number in sorted(set(channels)):
            path = out / f"segmenter_{number}ch.onnx"
            write_segmenter(network, path, number, about)
            yield path
    if what == "segmenter":
        return
    labeller, about = load_classifier(classifier), read_card(classifier or shipped_weights("classifier"))
    if format == "onnx":
        path = out / "classifier.onnx"
        write_classifier(labeller, path, about)
        yield path
        return
    for name, write in PAMGUARD.items():
        write(labeller, out / name, about)
        yield out / name
