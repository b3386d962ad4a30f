"""The eight-step setup wizard, one step a file."""
