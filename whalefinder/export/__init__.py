"""The networks for other programs, with the way from samples to their input inside the model.

ONNX for everything that runs it, a package for PAMGuard. Like this the answer is the same everywhere: there is no
spectrogram to be made again, and made differently, on the other side.
"""

from whalefinder.export.onnx_file import write_classifier, write_segmenter
from whalefinder.export.pamguard import write_spectrogram_package, write_wave_package

__all__ = ["write_classifier", "write_segmenter", "write_spectrogram_package", "write_wave_package"]
