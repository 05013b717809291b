"""This engine as one of those that do the work of the comparison."""
