"""The stages: each plans its units from what the store and the ledger hold, and does one unit's work on a worker.

These modules join the kernels of the other packages to the store; they hold no numerics of their own.
"""
