"""The road to the network: every experiment behind docs/autoencoders.md."""
