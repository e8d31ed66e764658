"""The loop, what it is made of, and the service around it."""
