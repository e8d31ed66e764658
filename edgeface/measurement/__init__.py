"""Measures how long each step takes and how often edgeface errs."""
