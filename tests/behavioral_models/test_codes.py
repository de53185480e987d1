"""Hamming and extended Hamming codes: against galois, exhaustively, and their exact error rates."""

import itertools
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from behavioral_models.codes import MAX_CHECK_BITS, LinearCode, bit_error_rate, sec, secded
from tests.close import close
from tests.needs import need

SEC_SIZES = [(7, 4), (12, 8), (21, 16), (38, 32), (71, 64)]
SECDED_SIZES = [(8, 4), (13, 8), (22, 16), (39, 32), (72, 64)]
CODES = [sec(k) for _, k in SEC_SIZES] + [secded(k) for _, k in SECDED_SIZES]
SMALL = [sec(1), sec(3), sec(4), sec(8), sec(11), secded(1), secded(3), secded(4), secded(8),
         secded(11)]


def all_words(width):
    return (np.arange(1 << width)[:, None] >> np.arange(width) & 1).astype(bool)


def flips(n, weight):
    """Every error pattern of this weight: (patterns, n)."""
    positions = np.array(list(itertools.combinations(range(n), weight)))
    patterns = np.zeros((len(positions), n), dtype=bool)
    np.put_along_axis(patterns, positions, True, axis=1)
    return patterns


@pytest.fixture(scope="module")
def galois():
    # a thousand data words need no just-in-time compiler, which takes 12 s a code
    need("galois")
    import galois as module

    for bits in (3, 4, 5):
        module.GF(1 << bits).compile("python-calculate")
    return module


@pytest.mark.parametrize(("make", "sizes"), [(sec, SEC_SIZES), (secded, SECDED_SIZES)])
def test_sizes_are_those_of_the_field(make, sizes):
    for n, k in sizes:
        code = make(k)
        assert (code.n, code.k, code.redundancy) == (n, k, n / k)
        assert repr(code) == f"{code.name}({n},{k})"
    assert secded(4).redundancy == 2, "as many cells a bit as 2T2R"


@pytest.mark.parametrize("code", CODES, ids=repr)
def test_encode_decode_returns_the_data(code):
    data = np.random.default_rng(1).integers(0, 2, (5, 20, code.k)).astype(bool)
    words = code.encode(data)
    assert words.shape == (5, 20, code.n)
    assert not (words.astype(int) @ code.parity_check.T % 2).any()
    np.testing.assert_array_equal(words[..., : code.k], data, "systematic, data first")
    decoded, detected = code.decode(words)
    np.testing.assert_array_equal(decoded, data)
    assert detected.shape == (5, 20)
    assert not detected.any()


@pytest.mark.parametrize("code", CODES, ids=repr)
def test_every_single_error_is_corrected(code):
    data = np.random.default_rng(2).integers(0, 2, code.k).astype(bool)
    decoded, detected = code.decode(code.encode(data) ^ flips(code.n, 1))
    assert (decoded == data).all()
    assert not detected.any()


@pytest.mark.parametrize("k", [1, 4, 8, 16, 32, 64])
def test_secded_detects_every_double_error_and_passes_the_data_as_read(k):
    code = secded(k)
    data = np.random.default_rng(3).integers(0, 2, k).astype(bool)
    read = code.encode(data) ^ flips(code.n, 2)
    decoded, detected = code.decode(read)
    assert detected.all()
    np.testing.assert_array_equal(decoded, read[:, code.data_positions])


def test_secded_8_4_exhaustively():
    """All 256 words: one codeword within one flip is decoded to, two flips are detected."""
    code = secded(4)
    words, data = all_words(8), all_words(4)
    distance = (words[:, None, :] ^ code.encode(data)[None]).sum(axis=-1)
    near = distance.min(axis=1)
    assert set(near.tolist()) == {0, 1, 2}
    decoded, detected = code.decode(words)
    np.testing.assert_array_equal(detected, near == 2)
    np.testing.assert_array_equal(decoded[near < 2], data[distance.argmin(axis=1)][near < 2])
    np.testing.assert_array_equal(decoded[near == 2], words[near == 2][:, code.data_positions])


@settings(deadline=None, max_examples=60)
@given(k=st.integers(1, 120), seed=st.integers(0, 1000), double=st.booleans())
def test_codes_of_any_length_correct_one_error_and_secded_detects_two(k, seed, double):
    rng = np.random.default_rng(seed)
    code = secded(k) if double else sec(k)
    data = rng.integers(0, 2, k).astype(bool)
    word = code.encode(data)
    first, second = rng.choice(code.n, 2, replace=False)
    word[first] ^= True
    decoded, detected = code.decode(word)
    assert (decoded == data).all()
    assert not detected
    if double:
        word[second] ^= True
        assert code.decode(word)[1]


@pytest.mark.parametrize("code", CODES, ids=repr)
def test_galois_finds_the_ranks_and_null_spaces(galois, code):
    h = galois.GF2(code.parity_check.astype(np.uint8))
    g = galois.GF2(code.generator.astype(np.uint8))
    assert np.linalg.matrix_rank(h) == code.n - code.k
    assert np.linalg.matrix_rank(g) == code.k
    assert not (g @ h.T).any()
    np.testing.assert_array_equal(h.null_space(), g.row_reduce())
    np.testing.assert_array_equal(g.null_space(), h.row_reduce())


@pytest.mark.parametrize(("n", "k"), [(7, 4), (15, 11), (31, 26)])
def test_decoder_agrees_with_that_of_galois(galois, n, k):
    reference = galois.BCH(n, k, extension_field=galois.GF(n + 1))
    code = LinearCode(np.asarray(reference.H), "BCH")
    words = all_words(n) if n == 7 else np.random.default_rng(4).integers(0, 2, (300, n))
    expected, errors = reference.decode(galois.GF2(words.astype(np.uint8)), errors=True)
    decoded, detected = code.decode(words)
    np.testing.assert_array_equal(decoded, np.asarray(expected))
    assert not detected.any(), "perfect codes detect nothing: every word is within one flip"
    assert (errors >= 0).all()
    data = words[:, :k]
    np.testing.assert_array_equal(
        code.encode(data), np.asarray(reference.encode(galois.GF2(data.astype(np.uint8)))))


def test_a_parity_check_matrix_in_any_order():
    """Check bits need not come last: their positions are found."""
    order = np.random.default_rng(5).permutation(12)
    code = LinearCode(sec(8).parity_check[:, order])
    assert sorted([*code.data_positions, *code.check_positions]) == list(range(12))
    data = all_words(8)
    words = code.encode(data)
    np.testing.assert_array_equal(words[:, code.data_positions], data)
    for error in flips(12, 1):
        np.testing.assert_array_equal(code.decode(words ^ error)[0], data)


@pytest.mark.parametrize("code", SMALL, ids=repr)
def test_error_rate_is_the_sum_over_all_error_patterns(code):
    """n <= 16: decode all 2 ^ n words read in place of the zero word."""
    read = all_words(code.n)
    wrong = code.decode(read)[0].sum(axis=1)
    weight = read.sum(axis=1)
    for w in range(code.n + 1):
        assert code.wrong_data_bits[w] == close(wrong[weight == w].mean(), rel=1e-14)
    for p in (1e-6, 1e-3, 0.1, 0.5, 0.9):
        expected = (wrong * p**weight * (1 - p) ** (code.n - weight)).sum() / code.k
        assert bit_error_rate(code, p) == close(expected, rel=1e-12)


@pytest.mark.parametrize("code", [sec(64), secded(64)], ids=repr)
def test_error_rate_of_long_codes_agrees_with_sampling(code):
    p, words = 0.02, 40_000
    read = np.random.default_rng(6).random((words, code.n)) < p
    wrong = code.decode(read)[0].sum(axis=1) / code.k
    assert abs(wrong.mean() - bit_error_rate(code, p)) < 4 * wrong.std() / np.sqrt(words)


@pytest.mark.parametrize("code", CODES, ids=repr)
def test_two_errors_set_the_slope_at_low_rates(code):
    """Analytic: residual = p^2 (wrong data bits over all double errors) / k."""
    wrong = code.decode(flips(code.n, 2))[0].sum()
    for p in (1e-6, 1e-8):
        assert bit_error_rate(code, p) == close(wrong / code.k * p**2, rel=300 * p)
    assert code.wrong_data_bits[2] == close(wrong / comb(code.n, 2))
    np.testing.assert_array_equal(code.wrong_data_bits[:2], 0)


@pytest.mark.parametrize("m", [3, 4, 5])
def test_perfect_codes_have_their_textbook_slope(m):
    """Hamming: every double error becomes a triple one, so 3 (n - 1) / 2 p^2; extended: n - 1."""
    n = 2**m - 1
    assert bit_error_rate(sec(n - m), 1e-7) == close(1.5 * (n - 1) * 1e-14, rel=1e-4)
    assert bit_error_rate(secded(n - m), 1e-7) == close(n * 1e-14, rel=1e-4)


@pytest.mark.parametrize("code", CODES, ids=repr)
def test_error_rate_is_monotone_and_vectorised(code):
    rates = np.logspace(-9, np.log10(0.5), 60).reshape(3, 20)
    residual = bit_error_rate(code, rates)
    assert residual.shape == (3, 20)
    assert (np.diff(residual.ravel()) > 0).all()
    assert bit_error_rate(code, 0.0) == 0
    assert bit_error_rate(code, 0.5) == close(0.5)
    low = rates.ravel() < 1e-3
    assert (residual.ravel()[low] < rates.ravel()[low]).all()


def test_more_redundancy_is_better_within_a_family():
    for make in (sec, secded):
        residual = [bit_error_rate(make(k), 1e-4) for k in (4, 8, 16, 32, 64)]
        assert residual == sorted(residual)
    for k in (4, 8, 16, 32, 64):
        assert bit_error_rate(secded(k), 1e-4) < bit_error_rate(sec(k), 1e-4)


@pytest.mark.parametrize(("matrix", "message"), [
    (np.zeros(3), r"has shape \(check bits, code bits\) .* not \(3,\)"),
    (np.eye(3), r"fewer check bits than code bits, not \(3, 3\)"),
    (np.zeros((11, 20)), f"at most {MAX_CHECK_BITS} check bits, not 11"),
    ([[1, 2, 0]], "Parity-check matrices hold bits 0 and 1 only"),
    ([[1, 0, 1], [1, 0, 1]], "2 rows .* must be independent, but its rank is 1"),
    ([[1, 0, 1, 1], [0, 1, 1, 1]], "columns .* must differ from each other and from zero"),
    ([[1, 0, 1, 0], [0, 1, 1, 0]], "columns .* must differ from each other and from zero"),
])
def test_bad_matrices_are_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        LinearCode(matrix)


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "4"])
@pytest.mark.parametrize(("make", "name"), [(sec, "SEC"), (secded, "SECDED")])
def test_bad_lengths_are_refused(make, name, k):
    with pytest.raises(ValueError, match=f"Data bits of {name} must be a positive integer, not"):
        make(k)


def test_lengths_are_limited_by_the_check_bits():
    assert sec(1013).parity_check.shape == (MAX_CHECK_BITS, 1023)
    assert secded(502).parity_check.shape == (MAX_CHECK_BITS, 512)
    with pytest.raises(ValueError, match="Data bits of SEC are at most 1013, not 1014"):
        sec(1014)
    with pytest.raises(ValueError, match="Data bits of SECDED are at most 502, not 503"):
        secded(503)


def test_bad_words_and_rates_are_refused():
    code = sec(4)
    with pytest.raises(ValueError, match=r"Data of SEC\(7,4\) have shape \(..., 4\), not \(2, 7\)"):
        code.encode(np.zeros((2, 7)))
    with pytest.raises(ValueError, match=r"Words of SEC\(7,4\) have shape \(..., 7\), not \(\)"):
        code.decode(0)
    with pytest.raises(ValueError, match=r"Words of SEC\(7,4\) hold bits 0 and 1 only"):
        code.decode(np.full(7, 2))
    for rate in (-0.1, 1.1, np.nan, [0.1, 2]):
        with pytest.raises(ValueError, match="bit-error rate is a probability from 0 to 1"):
            bit_error_rate(code, rate)
