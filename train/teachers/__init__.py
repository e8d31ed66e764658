"""Run the networks whose embeddings the encoder learns, and fuse two of them."""
