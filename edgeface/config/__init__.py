"""The settings: their types, where they are read from, and the paths that follow from them."""
