"""The checks, a subject a file. `every` (in `health.wiring`) puts a node's together."""
