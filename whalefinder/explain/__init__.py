"""Explanations. A recording and a time come in; the parts of the sound on which the answer depends go out."""
