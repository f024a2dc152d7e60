"""How likely an event is a call: a sum of four figures that people can check by hand.

    score = ln(area) + 12 · mean share + 2 · flatness - 2.5 · noise towards it - 12.3

*area*: call-dominated bins, weighted by their share; *mean share* over those bins; *flatness* and *noise towards it*
(`beam.flatness`, `beam.noise_towards`): a boat that changes its sound is where noise came from already, a
whale is not. With noise from everywhere the two add a constant. The weights and the array's threshold were chosen on the dev
recordings (`docs/experiments.md`). The classifier has its say besides (`classification.with_array_score`).
"""

from __future__ import annotations

SHARE, FLATNESS, TOWARDS = 12.0, 2.0, 2.5
THRESHOLD_ARRAY = 12.3
THRESHOLD_SINGLE = 10.2
"""One hydrophone knows no direction: the mask alone scores, and says only which events are not worth the classifier."""


def event_score(evidence: dict[str, float]) -> float:
    """Score of an event, 0 at the threshold."""
    score = evidence["log_area"] + SHARE * evidence["mean_share"]
    if "noise_towards" not in evidence:
        return score - THRESHOLD_SINGLE
    return score + FLATNESS * evidence["noise_flatness"] - TOWARDS * evidence["noise_towards"] - THRESHOLD_ARRAY
