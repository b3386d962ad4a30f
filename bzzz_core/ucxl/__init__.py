"""UCXL addresses: reading, normal form, patterns, and the choice of a version.

The authority is `docs/formats/ucxl.md`; nothing here does I/O, knows a store, or reads a clock.
"""
