"""whalefinder finds a whale by ear. The public names, in the order of the data.

array = whalefinder.load_array("array.toml")
for call in whalefinder.locate("night.wav", array):
    print(call.begin_s, call.azimuth_deg, call.elevation_deg)
"""

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
from whalefinder.version import __version__

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
