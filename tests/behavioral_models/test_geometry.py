"""The dimensions: presets against the published numbers, derived sizes, refusals."""

import dataclasses
import json

import pytest

from behavioral_models.geometry import (
    HELIOBIT,
    JEBALI_2024,
    PRESETS,
    TEST_DIE,
    TINY,
    ChipGeometry,
    preset,
)

SMALLEST = ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1)


def test_published_chip():
    """Jebali 2024: four 8,192-memristor macros, 116 inputs, two layers of 64 neurons, 8 bits."""
    assert JEBALI_2024.memristors == 32_768
    assert JEBALI_2024.macros == 4
    assert JEBALI_2024.rows == 6 + 58
    assert JEBALI_2024.max_inputs == 2 * 58 == 116
    assert JEBALI_2024.neurons == 128
    assert JEBALI_2024.register_width == 8
    assert JEBALI_2024.max_planes == 1
    assert JEBALI_2024.image_shape == (4, 64, 64)
    assert not JEBALI_2024.sense_bypass


def test_heliobit_has_the_same_arrays_and_wider_registers():
    for name in ("banks", "macros_per_bank", "rows", "columns"):
        assert getattr(HELIOBIT, name) == getattr(JEBALI_2024, name)
    assert (HELIOBIT.max_inputs, HELIOBIT.max_planes) == (1024, 4)
    # 1,024 inputs x 15 = 15,360 takes 14 bits, and a sign
    assert HELIOBIT.max_sum == 15_360
    assert HELIOBIT.register_width == 15
    assert HELIOBIT.register_bytes == 2


def test_test_die():
    assert (TEST_DIE.macros, TEST_DIE.rows, TEST_DIE.columns) == (1, 64, 64)
    assert TEST_DIE.memristors == 8_192
    assert TEST_DIE.sense_bypass


@pytest.mark.parametrize("columns, expected", [(1, 1), (3, 1), (8, 1), (9, 2), (64, 8)])
def test_bytes_of_a_row(columns, expected):
    assert dataclasses.replace(SMALLEST, columns=columns).bank_bytes == expected


@pytest.mark.parametrize(
    "banks, macros, expected", [(1, 1, 1), (2, 2, 1), (3, 3, 2), (2, 4, 1), (16, 64, 128)]
)
def test_bytes_of_a_macro_mask(banks, macros, expected):
    geometry = ChipGeometry(banks, macros, rows=2, columns=1, max_inputs=64)
    assert geometry.macros == banks * macros
    assert geometry.mask_bytes == expected


@pytest.mark.parametrize("planes", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("inputs", [1, 2, 3, 116, 127, 128, 1024])
def test_register_holds_every_sum_and_no_bit_more(inputs, planes):
    geometry = ChipGeometry(1, 1, rows=2, columns=1, max_inputs=inputs, max_planes=planes)
    largest = inputs * (2**planes - 1)
    assert geometry.max_sum == largest
    half = 2 ** (geometry.register_width - 1)
    assert half > largest >= half / 2
    assert (
        8 * (geometry.register_bytes - 1) < geometry.register_width <= 8 * geometry.register_bytes
    )


@pytest.mark.parametrize("name", PRESETS)
def test_preset_by_name_in_any_case(name):
    assert preset(name) is preset(name.upper()) is PRESETS[name]


def test_unknown_preset_names_those_there_are():
    with pytest.raises(
        ValueError, match=r"no geometry preset 'huge'; choose one of jebali_2024, .*tiny"
    ):
        preset("huge")


@pytest.mark.parametrize(
    "name, low, high",
    [
        ("banks", 1, "255"),
        ("macros_per_bank", 1, "64"),
        ("rows", 2, "65,535"),
        ("columns", 1, "4,096"),
        ("max_inputs", 1, "1,048,576"),
        ("max_planes", 1, "8"),
    ],
)
def test_dimensions_outside_their_range_are_refused(name, low, high):
    words = name.replace("_", " ")
    for value in (low - 1, int(high.replace(",", "")) + 1, -1, 2.0, "2", None, True):
        with pytest.raises(
            ValueError, match=rf"^A chip's {words} must be an integer from {low} to {high}, not "
        ):
            dataclasses.replace(TINY, **{name: value})


@pytest.mark.parametrize(
    "name, extreme",
    [
        ("rows", 65_535),
        ("columns", 4_096),
        ("max_inputs", 1 << 20),
        ("max_planes", 8),
        ("banks", 255),
        ("macros_per_bank", 64),
        ("rows", 2),
        ("columns", 1),
        ("max_planes", 1),
        ("banks", 1),
    ],
)
def test_extremes_are_accepted(name, extreme):
    geometry = ChipGeometry(**{**TINY.as_dict(), "max_inputs": 64, name: extreme})
    assert getattr(geometry, name) == extreme


def test_registers_that_cannot_count_a_row_are_refused():
    with pytest.raises(ValueError, match="Registers for 2 inputs cannot count one row of 3 macros"):
        ChipGeometry(1, 3, rows=2, columns=1, max_inputs=2)
    ChipGeometry(1, 3, rows=2, columns=1, max_inputs=3)


def test_too_many_macros_are_refused():
    with pytest.raises(ValueError, match=r"17 banks x 64 macros has 1088 macros; at most 1,024"):
        ChipGeometry(17, 64, rows=2, columns=1, max_inputs=64)


def test_geometry_is_frozen_hashable_and_goes_through_json():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TINY.banks = 1
    assert ChipGeometry(**json.loads(json.dumps(TEST_DIE.as_dict()))) == TEST_DIE
    assert len({hash(geometry) for geometry in PRESETS.values()}) == len(PRESETS)
