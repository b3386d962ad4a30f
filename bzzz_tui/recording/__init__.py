"""A feed written down, and played again: `docs/formats/recording.md`.

`format.py` is the file, `recorder.py` writes what a feed emits, `replay.py` stands in for a feed.
"""
