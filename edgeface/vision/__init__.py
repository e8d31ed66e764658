"""Arrays in, values out: images, chips, quality, the networks."""
