"""Turns photos and camera views of a person into templates, and assesses them."""
