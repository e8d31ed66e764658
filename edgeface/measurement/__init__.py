"""How long each step takes and how often edgeface errs."""
