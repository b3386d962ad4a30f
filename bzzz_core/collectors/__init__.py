"""What reads the figures of an agent's parts, one module for each kind of part.

Each function takes the part, or something to call that gives its figures, and returns a collector
(`telemetry.metrics`). Parts that this agent does not have yet, or not any more, are given as a call
that returns nothing.
"""
