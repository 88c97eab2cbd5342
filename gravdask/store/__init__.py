"""How results are kept: one Zarr v3 hierarchy of fixed span, a ledger of finished units, a lease per client."""
