"""A recording and a time come in; what a decision rested on goes out."""
