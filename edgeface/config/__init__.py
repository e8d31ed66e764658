"""Defines the settings, reads them, and expands the paths that they give."""
