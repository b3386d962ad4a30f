"""Widgets that paint lines themselves: cheap to repaint, and told apart from what they show."""
