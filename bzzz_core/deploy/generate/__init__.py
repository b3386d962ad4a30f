"""Texts for those who run BZZZ by something else than setup: Compose, Swarm, Kubernetes, systemd.

All of them come from the answers, as what setup does, and every function here is pure but those of
`writing`. The same answers give the same bytes. Nothing in them is secret: identities are made
where they are used (`bzzz-agent init`, `join`), and secrets are named, not written.

What containers cannot have as hosts have it, and what follows from that: ADR 0035.
"""
