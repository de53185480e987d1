"""Relative closeness of small physical quantities."""

import pytest


def close(expected, rel=1e-6):
    """`pytest.approx` without the absolute tolerance of 1e-12 in which farads and joules vanish."""
    return pytest.approx(expected, rel=rel, abs=0.0)
