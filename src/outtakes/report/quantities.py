"""Numbers as a reader sees them."""

from __future__ import annotations

import math


def signed(text: str) -> str:
    """The same number with a true minus sign."""
    return text.replace("-", "−")


def significant(value: float, digits: int = 3) -> str:
    """A number with this many significant digits and no exponent where that stays short."""
    if value == 0 or not math.isfinite(value):
        return signed(f"{value:.0f}")
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    if decimals > 6:
        return signed(f"{value:.{digits - 1}e}")
    return signed(f"{value:.{max(decimals, 0)}f}")


def percentage(share: float) -> str:
    """A share in [0, 1] as "71.0", to be followed by a per cent sign."""
    return signed(f"{100 * share:.1f}")


def probability(p: float) -> str:
    """A p-value: two significant digits, never a bare zero."""
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def sentence(text: str) -> str:
    """The same text with its first letter capital."""
    return text[:1].upper() + text[1:]


def hard_spaces(text: str) -> str:
    """The same text with per cent signs that stay on the line of their number."""
    return text.replace(" %", "\u202f%")


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, ..."""
    suffix = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{suffix}"
