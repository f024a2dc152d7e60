"""Tracks of animals. Bearings come in; one direction per second and animal, with its standard deviation, goes out."""
