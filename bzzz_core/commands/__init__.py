"""The commands of `bzzz-agent`, one module per group, loaded when they are called.

Rules: at the top a module imports only click and `options`; what a command needs it imports inside,
so that `--help` costs little and a command that needs no network loads none.
"""
