"""Directories: who is in which group."""
