"""Trained weights to the int8 files that run on the device."""
