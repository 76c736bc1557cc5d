"""Outtakes."""
