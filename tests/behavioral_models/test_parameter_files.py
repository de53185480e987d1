"""Parameter files: every number says where it comes from, and a bad file says what is wrong."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from behavioral_models import parameter_files
from behavioral_models.parameter_files import SOURCES, Parameters, available, load, number, write

HEAD = 'kind = "amplifier"\nset = "mine"\nabout = "a test"\n'


def parameters(**tree):
    return Parameters("mine", "amplifier", "mine", "", tree)


def good(value):
    return {"value": value, "source": "assumed", "note": ""}


@pytest.mark.parametrize("name", available())
def test_every_number_of_the_project_says_where_it_comes_from(name):
    file = load(name)
    assert file.set == name.split("/")[0], "a folder is a set"
    rows = list(file.rows())
    assert rows
    for key, value, source, note in rows:
        assert source in SOURCES
        assert note.strip(), f"{name}: {key} says {source} and no more"
        assert file.number(key) == value and file.has(key)


@pytest.mark.parametrize("name", available())
def test_files_survive_being_written(name, tmp_path):
    """What a fit writes back is what was read, word for word."""
    copy = tmp_path / "folder" / "copy.toml"
    write(copy, load(name).tree)
    assert load(copy).tree == load(name).tree
    assert [path.name for path in copy.parent.iterdir()] == ["copy.toml"]


def test_available_chooses_by_kind():
    memristors = available("memristor")
    assert "jebali_2024/weak_set" in memristors
    assert "jebali_2024/amplifier" not in memristors
    assert set(memristors) < set(available())
    assert available("nothing") == []


@settings(deadline=None, max_examples=50)
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53))
def test_a_number_is_read_as_written(value):
    assert parameters(a={"b": good(value)}).number("a.b") == value


@pytest.mark.parametrize("value", ["1", True, [1.0], float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="Parameter file mine: a must be a number, not"):
        parameters(a=good(value)).number("a")


@pytest.mark.parametrize("tree", [{"a": 1.0}, {"a": {"source": "cited"}}, {"a": {"b": good(1)}}])
def test_a_number_without_source_is_refused(tree):
    with pytest.raises(ValueError, match="a must be { value, source, note }, not"):
        parameters(**tree).number("a")


@pytest.mark.parametrize("source", ["guessed", None, "Cited"])
def test_an_unknown_source_is_refused(source):
    bad = {"value": 1.0, "source": source}
    with pytest.raises(ValueError, match="source of a must be one of cited, fitted, assumed, not"):
        parameters(a=bad).number("a")
    with pytest.raises(ValueError, match="source of a parameter must be one of cited, fitted"):
        number(1.0, source, "")


@pytest.mark.parametrize(("low", "high", "value", "message"), [
    (1.0, None, 0.5, "a must be at least 1, not 0.5"),
    (None, 2.0, 3.0, "a must be at most 2, not 3"),
    (-1.0, 2.0, -3.0, "a must be at least -1 and at most 2, not -3"),
])
def test_bounds_are_named(low, high, value, message):
    with pytest.raises(ValueError, match=message):
        parameters(a=good(value)).number("a", low, high)
    for bound in (low, high):
        if bound is not None:
            assert parameters(a=good(bound)).number("a", low, high) == bound


@pytest.mark.parametrize("key", ["b", "a.b", "a.value.c"])
def test_what_is_missing_is_named(key):
    file = parameters(a=good(1.0))
    assert not file.has(key)
    with pytest.raises(ValueError, match=f"Parameter file mine has no {key}: add it"):
        file.number(key)


def test_texts_and_lists():
    file = parameters(word="yes", points=[1, 2.5], bad=[1, "2"], worse=[float("nan")])
    assert file.text("word") == file.text("word", ("yes", "no")) == "yes"
    assert file.numbers("points") == [1.0, 2.5]
    with pytest.raises(ValueError, match="word must be one of no, never, not 'yes'"):
        file.text("word", ("no", "never"))
    with pytest.raises(ValueError, match="points must be a string, not"):
        file.text("points")
    for key in ("word", "bad", "worse"):
        with pytest.raises(ValueError, match=f"{key} must be a list of numbers, not"):
            file.numbers(key)


@pytest.mark.parametrize(("content", "message"), [
    (b"kind =", "is not TOML"),
    (b"\xff\xfe", "is not TOML"),
    (b'kind = "amplifier"\n', "has no set: add it"),
    (HEAD.encode() + b"a = { value = 1 }\n", "source of a must be one of"),
    (HEAD.encode() + b'a = { value = nan, source = "cited" }\n', "a must be a number, not nan"),
])
def test_bad_files_are_refused_whole(tmp_path, content, message):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load(path)


def test_files_that_are_not_there_or_of_another_kind(tmp_path):
    with pytest.raises(ValueError, match="no parameters 'jebali_2024/no'; choose .*weak_set"):
        load("jebali_2024/no", "memristor")
    with pytest.raises(ValueError, match="Cannot read the parameter file .*: No such file"):
        load(tmp_path / "no.toml")
    with pytest.raises(ValueError, match="Cannot read the parameter file .*: Is a directory"):
        (tmp_path / "folder.toml").mkdir()
        load(tmp_path / "folder.toml")
    with pytest.raises(ValueError, match="weak_set is of kind memristor, not amplifier"):
        load("jebali_2024/weak_set", "amplifier")


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "mine.toml"
    write(path, {"a": good(1.0)})
    before = path.read_bytes()
    assert tomllib.loads(before.decode()) == {"a": good(1.0)}
    with pytest.raises(TypeError):
        write(path, {"a": good(2.0), "b": object()})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_folder_is_beside_the_module():
    assert parameter_files.FOLDER.is_dir()
