"""`/v1/events`: what an agent knows, told as it changes. See `docs/formats/events.md`.

`board.py` holds the documents and knows what differs since when; `sampling.py` says what counts as
a difference in a status; `reading.py` is one reader; `hub.py` the service; `streaming.py` the wire.
"""
