"""The host: loads a function app and serves its triggers the way `func start` does."""
