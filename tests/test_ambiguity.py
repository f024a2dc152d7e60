"""Ambiguities: their words are the table's, byte for byte, and every kind is read back from its words."""

import pytest

from whalefinder.results.ambiguity import Cone, Kind, Lobe, Mirror, is_one_of_two, kind_of, words


def cone(azimuths_deg):
    return Cone(angle_deg=30.04, axis_azimuth_deg=10.0, axis_elevation_deg=-1.26, azimuths_deg=azimuths_deg)


CASES = [
    (cone((40.0, 340.0)), "cone: 30.0 deg from axis azimuth 10.0 elevation -1.3; azimuth 40.0 or 340.0 at elevation 0"),
    (cone(()), "cone: 30.0 deg from axis azimuth 10.0 elevation -1.3; none at elevation 0"),
    (cone(None), "cone: 30.0 deg from axis azimuth 10.0 elevation -1.3"),
    (Mirror(azimuth_deg=150.0, elevation_deg=-10.0), "plane: or azimuth 150.0 elevation -10.0"),
    (Lobe(margin=2.34), "lobe: another direction is nearly as likely (log likelihood 2.3 less)"),
]


@pytest.mark.parametrize(("ambiguity", "text"), CASES)
def test_words(ambiguity, text):
    assert words(ambiguity) == text
    kind = {Cone: Kind.CONE, Mirror: Kind.PLANE, Lobe: Kind.LOBE}[type(ambiguity)]
    assert kind_of(text) is kind and is_one_of_two(kind) == (kind is not Kind.LOBE)


@pytest.mark.parametrize("text", ["", None, "angles of before 2017, not converted", "conelike", "Cone: 30"])
def test_no_kind_of_ours(text):
    assert kind_of(text) is None and not is_one_of_two(kind_of(text))


def test_a_unique_direction_has_no_words():
    assert words(None) == ""
