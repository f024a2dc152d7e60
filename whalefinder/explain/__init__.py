"""Explanations. A recording and a time come in; the parts of the sound that decided go out."""
