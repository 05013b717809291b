"""Persistence: PostgreSQL tables and named queries, blobs, the vault and sealed context."""
