"""Records of many fields are made by name, so that no two of them are exchanged."""

import dataclasses
import importlib
import inspect
import pkgutil

import whalefinder

MOST_BY_PLACE = 4


def test_more_than_four_fields_are_keyword_only():
    by_place, seen = [], 0
    for module in pkgutil.walk_packages(whalefinder.__path__, "whalefinder."):
        if module.name.endswith("__main__"):
            continue
        for name, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if found.__module__ != module.name or not dataclasses.is_dataclass(found):
                continue
            made_of = [field for field in dataclasses.fields(found) if field.init]
            seen += 1
            if len(made_of) > MOST_BY_PLACE and not all(field.kw_only for field in made_of):
                by_place.append(f"{module.name}.{name}")
    assert seen > 60 and by_place == []
