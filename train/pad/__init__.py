"""Train the network that tells a live face from a screen and a print: presentation attack detection (ISO/IEC 30107-3)."""
