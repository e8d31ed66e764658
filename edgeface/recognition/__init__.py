"""Turns frames into observations, and observations into events."""
