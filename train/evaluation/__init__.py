"""How often a network, or the whole, errs."""
