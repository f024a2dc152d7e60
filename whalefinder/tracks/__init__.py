"""Bearings come in; animals that move, one direction a second with its error, go out."""
