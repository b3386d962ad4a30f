"""Installs clusters over SSH: facts, a pure plan, phases that apply and verify it, events."""
