"""Colour themes: data in YAML and the loader that checks it."""
