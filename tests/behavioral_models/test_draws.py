"""Draws: what a cell gets depends on its own numbers alone, and looks random."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from behavioral_models.draws import WORDS, Stream, normal, uniform

MANY = 100_000


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**64 - 1),
    chip=st.integers(0, 2**64 - 1),
    stream=st.sampled_from(Stream),
    index=st.integers(0, 2**64 - 1),
    first=st.integers(0, 2**40),
    cell=st.integers(0, 40),
    more=st.integers(0, 10),
)
def test_a_cell_draws_the_same_alone_and_among_others(
    seed, chip, stream, index, first, cell, more
):
    whole = normal(seed, chip, stream, index, first, count=cell + 1 + more)
    alone = normal(seed, chip, stream, index, first + cell)
    assert whole.shape == (cell + 1 + more, WORDS)
    assert (whole[cell] == alone[0]).all()
    assert (uniform(seed, chip, stream, index, first + cell, 2)[:1] ==
            uniform(seed, chip, stream, index, first + cell)).all()


def test_order_and_number_of_draws_do_not_matter():
    cells = np.random.default_rng(0).permutation(200)
    whole = uniform(3, 1, Stream.CELL, count=200)
    for cell in cells:
        uniform(4, 1, Stream.CELL, count=3)
        assert (uniform(3, 1, Stream.CELL, first=int(cell))[0] == whole[cell]).all()


@pytest.mark.parametrize("words", [1, 2, WORDS])
def test_fewer_words_are_the_first_ones(words):
    assert (normal(1, 2, Stream.LATCH, count=9, words=words) ==
            normal(1, 2, Stream.LATCH, count=9)[:, :words]).all()


def test_words_are_those_of_philox():
    """Block of cell n: the counter (n, index, stream, 0) under the key (seed, chip)."""
    generator = np.random.Philox(
        counter=np.array([17, 5, Stream.XNOR, 0], np.uint64), key=np.array([8, 9], np.uint64))
    expected = generator.random_raw(WORDS) / 2.0**64
    np.testing.assert_allclose(uniform(8, 9, Stream.XNOR, 5, 17)[0], expected, atol=2.0**-52)


@pytest.mark.parametrize("word, end", [(0, 0.0), (2**64 - 1, 1.0)], ids=["least", "most"])
def test_no_draw_reaches_an_end(monkeypatch, word, end):
    """Strictly between 0 and 1, so that no normal draw is infinite."""
    class Extreme:
        def __init__(self, **_):
            pass

        def random_raw(self, count):
            return np.full(count, word, np.uint64)

    monkeypatch.setattr(np.random, "Philox", Extreme)
    value = uniform(0, 0, Stream.CELL)
    assert ((value > 0) & (value < 1)).all()
    assert abs(value[0, 0] - end) < 1e-15
    assert np.isfinite(normal(0, 0, Stream.CELL)).all()


@pytest.mark.parametrize("stream", list(Stream))
def test_draws_are_normal(stream):
    """Kolmogorov and Smirnov; the seed is fixed, so that the outcome is too."""
    draws = normal(11, 0, stream, count=MANY // WORDS)
    assert draws.size == MANY
    assert kstest(draws.ravel(), "norm").pvalue > 1e-3
    for word in range(WORDS):
        assert abs(draws[:, word].mean()) < 4 / np.sqrt(len(draws))


BASE = {"seed": 5, "chip": 2, "stream": Stream.PROGRAMMING, "index": 3}
OTHERS = [
    {"seed": 6}, {"chip": 3}, {"index": 4}, {"seed": 2, "chip": 5}, {"index": 5, "seed": 3},
    {"first": 1}, {"first": 2**32}, {"seed": 5 + 2**32}, {"chip": 2 + 2**32}, {"index": 3 + 2**32},
    *({"stream": stream} for stream in Stream if stream != BASE["stream"]),
]  # fmt: skip


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_draws_of_different_keys_are_independent(other):
    """Correlation of n independent pairs has the standard deviation 1 / sqrt(n)."""
    count = 20_000
    one = normal(**BASE, count=count).ravel()
    two = normal(**{**BASE, **other}, count=count).ravel()
    assert not np.intersect1d(one, two).size or "first" in other
    assert abs(np.corrcoef(one, two)[0, 1]) < 4.5 / np.sqrt(one.size)


def test_words_and_neighbouring_cells_are_independent():
    draws = normal(1, 0, Stream.DEVICE, count=50_000)
    correlation = np.corrcoef(np.concatenate([draws[:-1].T, draws[1:].T]))
    assert abs(correlation - np.eye(2 * WORDS)).max() < 4.5 / np.sqrt(50_000)


@pytest.mark.parametrize(("key", "name"), [
    ("seed", "seed"), ("chip", "chip"), ("index", "index"), ("first", "cell")
])
@pytest.mark.parametrize("value", [-1, 2**64])
def test_numbers_that_are_no_key_are_refused(key, name, value):
    arguments = {"seed": 0, "chip": 0, "stream": Stream.CELL, key: value}
    message = rf"draw's {name} must be from 0 to 2\^64 - 1, not {value}"
    with pytest.raises(ValueError, match=message):
        uniform(**arguments)
