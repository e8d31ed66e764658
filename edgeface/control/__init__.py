"""Serves the daemon's local socket, finds it, and asks through it."""
