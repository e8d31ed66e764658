"""Run every experiment behind docs/autoencoders.md, the road to the network."""
