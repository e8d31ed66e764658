"""Defines and runs every operation on the gallery and the daemon."""
