"""The networks for other programs. The spectrogram is computed inside the model.

ONNX for every program that runs it, a package for PAMGuard. So the answer is the same everywhere: no other program must
compute the spectrogram, perhaps in another way.
"""

from whalefinder.export.onnx_file import write_classifier, write_segmenter
from whalefinder.export.pamguard import write_spectrogram_package, write_wave_package

__all__ = ["write_classifier", "write_segmenter", "write_spectrogram_package", "write_wave_package"]
