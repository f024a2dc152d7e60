"""`min_probability` is the number in the table's column: what is below it is no call, what reaches it is one."""

import numpy as np
import pytest

from tests.helpers import array, needs_data
from whalefinder.calls.classification import LabelSettings
from whalefinder.calls.events import EventSettings
from whalefinder.pipeline import locate
from whalefinder.results.records import LABELS, WHALE_LABELS, classes_of
from whalefinder.results.tables import row_of

SHIPPED = LabelSettings(orca=0.7, other_cetacean=0.5, cetacean=0.7)


def shown(probabilities, label):
    return round(sum(probabilities[k] for k in classes_of(label)), 4)


@pytest.mark.parametrize("asked", [0.05, 0.3, 0.5, 0.6, 0.7, 0.9, 1.0])
def test_a_whales_name_is_given_exactly_from_the_number_in_the_table_on(asked):
    rng = np.random.default_rng(1)
    named = 0
    for probabilities in rng.dirichlet([0.5] * len(LABELS), 500):
        label = SHIPPED.name(probabilities, asked)
        likelier = max(("orca", "other_cetacean"), key=lambda whale: shown(probabilities, whale))
        assert (label in WHALE_LABELS) == (shown(probabilities, "cetacean") >= asked)
        named += label in WHALE_LABELS
        if label in WHALE_LABELS:
            assert label == (likelier if shown(probabilities, likelier) >= asked else "cetacean")
        else:  # refused: the likelier of what is no whale
            assert label == max(("boat", "ambient"), key=lambda other: probabilities[LABELS.index(other)])
    assert named or asked == 1.0


def test_both_whales_together_have_a_name_of_their_own():
    split = np.array([0.45, 0.45, 0.08, 0.02])
    assert SHIPPED.name(split) == "cetacean"  # a whale for sure, though not which
    assert SHIPPED.name(split, 0.5) == "cetacean" and SHIPPED.name(split, 0.45) == "orca"
    assert SHIPPED.name(split, 0.9) == "cetacean" and SHIPPED.name(split, 0.91) == "boat"


def test_what_is_rounded_up_to_the_number_in_the_table_reaches_it():
    assert SHIPPED.name(np.array([0.69996, 0.0, 0.15, 0.15004]), 0.7) == "orca"
    assert SHIPPED.name(np.array([0.69994, 0.0, 0.15, 0.15006]), 0.7) == "ambient"
    assert SHIPPED.name(np.array([0.39996, 0.3, 0.15, 0.15004]), 0.7) == "cetacean"
    assert SHIPPED.name(np.array([0.39994, 0.3, 0.15, 0.15006]), 0.7) == "ambient"


def test_no_probability_at_all_is_no_call():
    assert SHIPPED.name(np.array([0.0, 0.0, 0.4, 0.6]), 0.0) == "ambient"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tables_with_and_without_all():
    """Of a ship: nothing by default, and whatever is asked of the number in the column holds in both kinds of table."""
    path = sorted(needs_data("boats").rglob("*.flac"))[0]
    probable = []
    for asked in (0.02, 0.4, 0.95):
        settings = EventSettings(min_probability=asked)
        everything = [row_of(d) for d in locate(path, settings=settings, all_events=True)]
        calls = [row_of(d) for d in locate(path, settings=settings)]
        assert [row for row in everything if row["label"] in WHALE_LABELS] == calls
        assert all(row["probability"] >= asked for row in calls)
        probable.append(len(calls))
    assert probable[0] >= probable[1] >= probable[2]


def test_a_low_number_asks_the_classifier_about_events_that_are_hopeless_otherwise():
    from whalefinder.pipeline import Locator

    usual, low = Locator(array()), Locator(array(), settings=EventSettings(min_probability=0.05))
    assert usual.judge.hopeless == -1.5
    # sigmoid(score + 2 * 0.75) = 0.05
    assert low.judge.hopeless == pytest.approx(np.log(0.05 / 0.95) - 1.5)
    assert Locator(array(), settings=EventSettings(min_probability=0.99)).judge.hopeless == -1.5
