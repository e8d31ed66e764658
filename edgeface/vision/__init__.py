"""Decodes images, aligns and judges faces, and runs the networks: arrays in, values out."""
