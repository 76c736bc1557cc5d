# MuJoCo is compiled and ships no types of its own.
from typing import Any

def __getattr__(name: str) -> Any: ...
