"""Training: one recipe per network."""
