"""Deals with the machine, and knows nothing of faces."""
