"""Trains our own face detector, and cuts YuNet in two."""
