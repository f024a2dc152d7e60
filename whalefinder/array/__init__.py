"""Hydrophone arrays. An array file comes in; positions, delays and the smallest possible errors go out."""
