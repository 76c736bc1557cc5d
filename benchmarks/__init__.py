"""Outtakes beside its peers: each comparison in one process, on the same data and shapes."""
