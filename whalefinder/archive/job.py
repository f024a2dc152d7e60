"""The array and options for all recordings of an archive, in a form that can be sent to other machines."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path

from whalefinder.archive.units import digest
from whalefinder.array.array_file import load_array
from whalefinder.array.geometry import HydrophoneArray
from whalefinder.errors import ModelError
from whalefinder.networks.weights import shipped_weights
from whalefinder.options import LocateOptions
from whalefinder.pipeline import Locator
from whalefinder.version import __version__


@dataclass(frozen=True)
class Job:
    """An array and options, with hashes by which two runs can be compared.

    Args:
        array: the geometry, or None.
        options: how to search.
        hashes: SHA-256 of the array file and of the weights, by name.
        version: version of whalefinder. Another version may find other calls, so results of two versions are not mixed.
    """

    array: HydrophoneArray | None
    options: LocateOptions
    hashes: tuple[tuple[str, str], ...]
    version: str = __version__

    @property
    def key(self) -> str:
        """A text that is the same for the same job, without how times are read, which does not change the results."""
        kept = replace(self.options, segmenter=None, classifier=None, regressor=None, refiner=None)
        options = asdict(replace(kept, time_format=None, utc_offset=None, recorders=None))
        return digest([options, self.hashes, self.version])

    def locator(self) -> Locator:
        """The pipeline for this job. Each process keeps the last one.

        Raises:
            ModelError: this machine has other weights or another version than the machine that started the run.
        """
        if self.version != __version__:
            raise ModelError(
                f"whalefinder {__version__} here, {self.version} on the machine that started the run; install the same version everywhere"
            )
        hashes = _hashes_of_weights(self.options)
        if not set(hashes) <= set(self.hashes):
            raise ModelError(
                f"{self.options.segmenter or shipped_weights()}: the weights differ from those of the machine that started the run"
            )
        return _locator(self)


def make_job(array_path: Path | None, options: LocateOptions) -> Job:
    """Read the array file, and compute the hashes of it and of the weights.

    Raises:
        ArrayError, ModelError: a file is missing or wrong.
    """
    array = None if array_path is None else load_array(array_path)
    own = () if array_path is None else (("array", _sha256(array_path)),)
    return Job(array, options, (*own, *_hashes_of_weights(options)))


def _hashes_of_weights(options: LocateOptions) -> tuple[tuple[str, str], ...]:
    segmenter = options.segmenter or shipped_weights()
    hashes = [("weights", _sha256(segmenter)), ("card", _sha256(segmenter.with_suffix(".json")))]
    if options.method == "network":
        hashes.append(("refiner", _sha256(options.refiner or shipped_weights("refiner"))))
    if options.method == "regressor":
        hashes.append(("regressor", _sha256(options.regressor or shipped_weights("regressor"))))
    labels = Path(str(resources.files("whalefinder") / "labels.toml"))
    hashes += [
        ("classifier", _sha256(options.classifier or shipped_weights("classifier"))),
        ("labels", _sha256(labels)),
    ]
    return tuple(hashes)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as reason:
        raise ModelError(f"{path}: cannot be read ({reason.strerror}); every worker needs it at this path") from reason


_kept: dict[str, Locator] = {}
"""The pipeline of the last job, by the job's key. So a process reads weights only once."""


def _locator(job: Job) -> Locator:
    kept = _kept.get(job.key)
    if kept is None:
        kept = Locator.of(job.array, job.options)
        _kept.clear()
        _kept[job.key] = kept
    return kept
