"""Photos and views of a person to templates, and how they fare."""
