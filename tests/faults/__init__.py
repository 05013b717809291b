"""Faults, one after the other, on a whole deployment; the ERP's own ledger is the independent record."""
