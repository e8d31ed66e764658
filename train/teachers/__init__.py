"""The networks whose embeddings the encoder learns, and what is made of two of them."""
