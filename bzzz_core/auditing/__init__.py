"""Audits of nodes, watched by each other: what is told, held, verified and shown."""
