"""Calibration of an array by boats: delays of boats go in, positions, delays, gains and sound speed of the array come out."""
