"""What stands on the wire, and nothing else."""
