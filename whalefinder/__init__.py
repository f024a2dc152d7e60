"""whalefinder finds the calls of whales and the direction of each call. This module holds the public names.

array = whalefinder.load_array("array.toml")
for call in whalefinder.locate("night.wav", array):
    print(call.begin_s, call.azimuth_deg, call.elevation_deg)

A name is imported at its first use, so `import whalefinder` and `whalefinder --help` are fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from whalefinder.version import __version__

if TYPE_CHECKING:
    from whalefinder.array.array_file import load_array
    from whalefinder.array.geometry import HydrophoneArray
    from whalefinder.errors import (
        ArrayError,
        ModelError,
        OptionError,
        OutputError,
        RecordingError,
        WhalefinderError,
    )
    from whalefinder.pipeline import Locator, locate
    from whalefinder.results.records import Bearing, Detection, Track
    from whalefinder.sound.recording import Recording, open_recording
    from whalefinder.tracks.find import find_tracks

__all__ = [
    "ArrayError",
    "Bearing",
    "Detection",
    "HydrophoneArray",
    "Locator",
    "ModelError",
    "OptionError",
    "OutputError",
    "Recording",
    "RecordingError",
    "Track",
    "WhalefinderError",
    "__version__",
    "find_tracks",
    "load_array",
    "locate",
    "open_recording",
]

_NAMES_BY_MODULE = {
    "array.array_file": ("load_array",),
    "array.geometry": ("HydrophoneArray",),
    "errors": ("ArrayError", "ModelError", "OptionError", "OutputError", "RecordingError", "WhalefinderError"),
    "pipeline": ("Locator", "locate"),
    "results.records": ("Bearing", "Detection", "Track"),
    "sound.recording": ("Recording", "open_recording"),
    "tracks.find": ("find_tracks",),
}
_MODULES = {name: f"{__name__}.{module}" for module, names in _NAMES_BY_MODULE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
