"""Error-correcting codes over single (1T1R) cells, beside which the 2T2R pair is measured.

SEC is the Hamming code, SECDED the extended Hamming code, each shortened to any number of data bits
(Hirtzlin 2020, Fig. 8b, c). A code protects a word of data bits; a 2T2R pair costs as much as a
code of redundancy 2, such as SECDED(8,4).
"""

from __future__ import annotations

from functools import cached_property
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

__all__ = ["LinearCode", "bit_error_rate", "sec", "secded"]

#: Check bits of the longest code: decoder and exact error rate are tables of 2 ^ check bits rows.
MAX_CHECK_BITS = 10


def _reduced(parity_check: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], list[int]]:
    """Row-reduce so that columns, taken from the right, become unit vectors; also those columns."""
    matrix = parity_check.copy()
    positions: list[int] = []
    for column in range(matrix.shape[1] - 1, -1, -1):
        done = len(positions)
        below = np.flatnonzero(matrix[done:, column])
        if not below.size:
            continue
        matrix[[done, done + below[0]]] = matrix[[done + below[0], done]]
        others = matrix[:, column].copy()
        others[done] = False
        matrix[others] ^= matrix[done]
        positions.append(column)
        if len(positions) == len(matrix):
            break
    return matrix, positions


class LinearCode:
    """Binary linear code with a systematic encoder and a syndrome decoder of single errors.

    A syndrome that is a column of the parity-check matrix flips that bit; any other syndrome but
    zero is detected and left uncorrected: the data bits pass through as read.

    Parameters
    ----------
    parity_check : bool array (check bits, code bits)
        H, its rows independent, its columns different from each other and from zero, so that every
        single error has a syndrome of its own.
    name : str
        For messages and legends.

    Attributes
    ----------
    n, k : int
        Code bits and data bits of a word.
    data_positions, check_positions : int arrays (k,), (n - k,)
        Where the word holds them, in order: data first, where H ends in an identity.
    parity_check : bool array (n - k, n)
        H as given.

    Raises
    ------
    ValueError
        If H is not such a matrix.
    """

    def __init__(self, parity_check: ArrayLike, name: str = "code") -> None:
        given = np.asarray(parity_check)
        if given.ndim != 2 or not 0 < given.shape[0] < given.shape[1]:
            raise ValueError(
                f"A parity-check matrix has shape (check bits, code bits) with fewer check bits "
                f"than code bits, not {given.shape}"
            )
        if given.shape[0] > MAX_CHECK_BITS:
            raise ValueError(f"A code has at most {MAX_CHECK_BITS} check bits, not {len(given)}")
        self.parity_check: NDArray[np.bool_] = _bits(given, given.shape[1], "Parity-check matrices")
        self.name = name
        reduced, pivots = _reduced(self.parity_check)
        if len(pivots) < len(reduced):
            raise ValueError(
                f"The {len(reduced)} rows of a parity-check matrix must be independent, "
                f"but its rank is {len(pivots)}"
            )
        self.n = reduced.shape[1]
        self.k = self.n - len(reduced)
        order = np.argsort(pivots)
        self.check_positions = np.array(pivots)[order]
        self.data_positions = np.setdiff1d(np.arange(self.n), self.check_positions)
        self._checks = reduced[order][:, self.data_positions]
        self._place = 1 << np.arange(len(reduced), dtype=np.int64)
        self._columns = self._place @ self.parity_check
        if len(set(self._columns.tolist()) - {0}) < self.n:
            raise ValueError(
                "The columns of a parity-check matrix must differ from each other and from zero, "
                "or single errors cannot be corrected"
            )
        # position a syndrome points to; n: no error; n + 1: none, detected
        self._target = np.full(1 << len(reduced), self.n + 1, dtype=np.int64)
        self._target[0] = self.n
        self._target[self._columns] = np.arange(self.n)

    def __repr__(self) -> str:
        return f"{self.name}({self.n},{self.k})"

    @property
    def redundancy(self) -> float:
        """Cells spent on one data bit, n / k; 2T2R spends 2."""
        return self.n / self.k

    @property
    def generator(self) -> NDArray[np.bool_]:
        """Generator matrix G (k, n): row i is the word of data bit i alone."""
        return self.encode(np.eye(self.k, dtype=bool))

    def encode(self, bits: ArrayLike) -> NDArray[np.bool_]:
        """Words (..., n) of data bits (..., k).

        Raises
        ------
        ValueError
            If the last dimension is not k, or a value is neither 0 nor 1.
        """
        data = _bits(bits, self.k, f"Data of {self!r}")
        words = np.empty((*data.shape[:-1], self.n), dtype=bool)
        words[..., self.data_positions] = data
        words[..., self.check_positions] = data.astype(np.uint8) @ self._checks.T % 2
        return words

    def decode(self, bits: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Decode words as read.

        Parameters
        ----------
        bits : bool array (..., n)

        Returns
        -------
        data : bool array (..., k)
            Data bits, a single error corrected.
        detected : bool array (...)
            Whether the word had errors that were seen but not corrected; its data are as read.

        Raises
        ------
        ValueError
            If the last dimension is not n, or a value is neither 0 nor 1.
        """
        words = _bits(bits, self.n, f"Words of {self!r}")
        checks = words.astype(np.uint16) @ self.parity_check.T.astype(np.uint16) % 2
        target = self._target[checks.astype(np.int64) @ self._place]
        corrected = words ^ (target[..., None] == np.arange(self.n))
        return corrected[..., self.data_positions], target == self.n + 1

    @cached_property
    def wrong_data_bits(self) -> NDArray[np.float64]:
        """Mean number of wrong data bits of a decoded word in which w code bits were wrong: (n+1,).

        Exact: counted in whole numbers. Let N(s, w) be the number of error patterns of weight w and
        syndrome s (built up code bit by code bit), and M_j(s, w) those of them in which bit j is
        right, M_j(s, w) = N(s, w) - M_j(s + h_j, w - 1) with h_j column j of H. Data bit j comes
        out wrong if it is read wrong and the syndrome is not h_j, or read right and it is.
        """
        n = self.n
        patterns = np.zeros((1 << n - self.k, n + 1), dtype=object)
        patterns[0, 0] = 1
        syndromes = np.arange(len(patterns))
        for column in self._columns:
            more = patterns[syndromes ^ column]
            patterns[:, 1:] += more[:, :-1]
        wrong = [0] * (n + 1)
        for column in self._columns[self.data_positions]:
            clean = column_right = 0  # M_j(0, w - 1), M_j(h_j, w - 1)
            for w in range(n + 1):
                read_wrong = comb(n - 1, w - 1) if w else 0
                wrong[w] += read_wrong - clean  # wrong, less those the syndrome h_j corrects
                clean, column_right = (
                    patterns[0, w] - column_right,
                    patterns[column, w] - clean,
                )
                wrong[w] += column_right  # right, but flipped
        return np.array([count / comb(n, w) for w, count in enumerate(wrong)])


def _bits(values: ArrayLike, width: int, what: str) -> NDArray[np.bool_]:
    """Values as bool (..., width); ValueError if misshapen or not bits."""
    array = np.asarray(values)
    if array.ndim < 1 or array.shape[-1] != width:
        raise ValueError(f"{what} have shape (..., {width}), not {array.shape}")
    if array.dtype != bool and not ((array == 0) | (array == 1)).all():
        raise ValueError(f"{what} hold bits 0 and 1 only")
    return array.astype(bool)


def _hamming_columns(k: int, name: str, most: int) -> tuple[int, list[int]]:
    """Check bits (at most `most`) of a Hamming code, and the columns of H of its k data bits."""
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise ValueError(f"Data bits of {name} must be a positive integer, not {k!r}")
    limit = (1 << most) - most - 1
    if k > limit:
        raise ValueError(f"Data bits of {name} are at most {limit}, not {k}")
    checks = next(r for r in range(2, most + 1) if k <= (1 << r) - r - 1)
    return checks, [column for column in range(1, 1 << checks) if column.bit_count() > 1][:k]


def _from_columns(data: list[int], checks: int, name: str) -> LinearCode:
    columns = np.array(data + [1 << i for i in range(checks)])
    return LinearCode((columns >> np.arange(checks)[:, None] & 1).astype(bool), name)


def sec(k: int) -> LinearCode:
    """Single-error-correcting code of k data bits: the Hamming code, shortened.

    Of the columns of H that are not unit vectors, data bits take the lowest in binary order.

    Raises
    ------
    ValueError
        If k is not a positive integer, or too large.
    """
    checks, data = _hamming_columns(k, "SEC", MAX_CHECK_BITS)
    return _from_columns(data, checks, "SEC")


def secded(k: int) -> LinearCode:
    """Single-error-correcting, double-error-detecting code: `sec(k)` and a parity over its word.

    The parity row of H is written on the data bits alone (systematic), which makes every column's
    weight odd: two errors give an even syndrome, which is no column, and so are detected.

    Raises
    ------
    ValueError
        If k is not a positive integer, or too large.
    """
    checks, data = _hamming_columns(k, "SECDED", MAX_CHECK_BITS - 1)
    odd = [column | (column.bit_count() + 1) % 2 << checks for column in data]
    return _from_columns(odd, checks + 1, "SECDED")


def bit_error_rate(code: LinearCode, rate: ArrayLike) -> NDArray[np.float64]:
    """Fraction of data bits that are wrong after decoding, for independent raw bit errors.

    Exact, not sampled: the binomial weights of the number of errors in a word times the exact mean
    number of wrong data bits for that many errors (`LinearCode.wrong_data_bits`). All terms are
    positive, so the relative error is that of double precision (below 1e-10) at any rate.

    Parameters
    ----------
    code : LinearCode
    rate : array
        Raw bit-error rate p of every cell, 0 to 1.

    Returns
    -------
    float array, shape of `rate`

    Raises
    ------
    ValueError
        If a rate is not from 0 to 1.
    """
    rates = np.asarray(rate, dtype=float)
    if not ((rates >= 0) & (rates <= 1)).all():
        raise ValueError("A bit-error rate is a probability from 0 to 1")
    weights = binom.pmf(np.arange(code.n + 1), code.n, rates[..., None])
    return (weights @ code.wrong_data_bits / code.k)[()]
