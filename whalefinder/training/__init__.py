"""Recipes: one module per network."""
