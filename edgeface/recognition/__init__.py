"""A frame to observations, and observations to events."""
