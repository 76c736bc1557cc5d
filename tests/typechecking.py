"""The type checker of the tests."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

# As type checkers do, take an int where a float is asked for (PEP 484).
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
