"""Runs the loop, builds its parts, and serves its status."""
