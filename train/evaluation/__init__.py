"""Measure how often a network, or the whole system, errs."""
