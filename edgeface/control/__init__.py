"""The daemon's local socket: its server, its client, and how one finds the other."""
