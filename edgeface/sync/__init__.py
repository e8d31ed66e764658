"""One gallery for several devices."""
