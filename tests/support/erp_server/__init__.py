"""An ERP over HTTP for tests: a process of its own, a ledger that survives it, and faults on demand."""
