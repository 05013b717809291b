"""A durable task hub in PostgreSQL: the service that `durabletask` clients and workers speak to."""
