"""The networks for other programs: ONNX files, and packages for PAMGuard.

The spectrogram is computed inside the models. So their answers are the same in every program.
"""

from whalefinder.export.onnx_file import write_classifier, write_segmenter
from whalefinder.export.pamguard import write_spectrogram_package, write_wave_package

__all__ = ["write_classifier", "write_segmenter", "write_spectrogram_package", "write_wave_package"]
