"""Measurements of speed. Each prints medians and ratios to something measured in the same run."""
