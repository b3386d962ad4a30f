"""What a node measures of itself and writes down."""
