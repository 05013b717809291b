"""The work of the comparison, how it is measured, and the peers that do it, one file each.

Modules here run in the peers' own Python environment: they import the standard library, psycopg, psutil and
one peer, never the product.
"""
