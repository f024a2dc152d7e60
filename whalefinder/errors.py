"""The errors that whalefinder raises, named after what the user has to look at.

    WhalefinderError          catch this one to catch them all
    ├── ArrayError            an array file, or a geometry that cannot give a bearing
    ├── RecordingError        a sound file that is missing, damaged or does not fit the array
    ├── ModelError            weights or a model card that cannot be used
    ├── OptionError           an option outside its range
    ├── LossError             predictions or labels that a loss cannot compare (a ValueError too)
    └── OutputError           a result that could not be written

Each message is one line: the file or argument concerned, the value found, the limit, and what to do.
"""


class WhalefinderError(Exception):
    """Parent of every error that whalefinder raises on purpose."""


class ArrayError(WhalefinderError):
    """An array description is wrong or does not fit its use."""


class RecordingError(WhalefinderError):
    """A recording cannot be read, or holds nothing that can be analysed."""


class ModelError(WhalefinderError):
    """Weights are missing, damaged, or belong to another architecture."""


class OptionError(WhalefinderError):
    """An option or argument is outside its allowed range."""


class LossError(WhalefinderError, ValueError):
    """Predictions or labels have a shape, a type or values that a loss cannot compare."""


class OutputError(WhalefinderError):
    """A result could not be written; files that are already written are kept."""
