"""Who makes a request: by the platform, a token, an API key, or as a test person on this machine."""
