"""How likely an event is a call: a logistic score of a few figures that people can check by hand.

The coefficients are fitted by `whalefinder train events` on simulated mixtures and lie in
`weights/events.json`, one set with a bearing and one without.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from importlib import resources


@lru_cache(maxsize=1)
def coefficients() -> dict[str, dict[str, float]]:
    """`{"array": {figure: weight, "bias": …}, "single": {…}}`."""
    return json.loads((resources.files("whalefinder") / "weights" / "events.json").read_text())  # type: ignore[no-any-return]


def call_probability(evidence: dict[str, float]) -> float:
    """Probability that an event with these figures is a call, 0...1."""
    weights = coefficients()["array" if "log_likelihood" in evidence else "single"]
    score = weights["bias"] + sum(weights[name] * evidence[name] for name in weights if name != "bias")
    return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, score))))
