"""One versioned schema: wizard forms, answers file, agent configuration, environment and docs."""
