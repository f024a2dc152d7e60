"""The score of an event: log odds that it is a call, a sum of four figures that people can check by hand.

    score = ln(area) + 12 · mean share + 2 · flatness - 2.5 · noise towards it - 12.3

* *area*: number of bins with call, weighted by their share.
* *mean share*: mean share of those bins.
* *flatness* and *noise towards it* (`beam.flatness`, `beam.noise_towards`): these lower the score of a boat. When a
  boat changes its sound, noise came from its direction before; for a whale it did not. With noise from everywhere the
  two add a constant.

The weights and the threshold of arrays were chosen on the dev recordings (`docs/experiments.md`). The classifier's
probabilities are joined with this score later (`classification.with_array_score`).
"""

from __future__ import annotations

SHARE, FLATNESS, TOWARDS = 12.0, 2.0, 2.5
THRESHOLD_ARRAY = 12.3
THRESHOLD_SINGLE = 10.2
"""For one hydrophone, without directions. This score only says which events the classifier may skip."""


def event_score(evidence: dict[str, float]) -> float:
    """Score of an event from its evidence; 0 is the threshold.

    Without `noise_towards` in the evidence (one hydrophone) only area and mean share count.
    """
    score = evidence["log_area"] + SHARE * evidence["mean_share"]
    if "noise_towards" not in evidence:
        return score - THRESHOLD_SINGLE
    return score + FLATNESS * evidence["noise_flatness"] - TOWARDS * evidence["noise_towards"] - THRESHOLD_ARRAY
