"""What an operator sees, one screen a file."""
