"""The experiments' framework on toy experiments, its statistics, and the real ones' form."""

import gc
import json
import os
import subprocess
import sys
import textwrap
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

import sim.experiments.provenance as provenance_module
import sim.experiments.workers as workers_module
from behavioral_models.files import write_whole
from sim.experiments import style
from sim.experiments.experiment import (
    Experiment,
    ExperimentError,
    Options,
    canonical,
    choose,
    discover,
    generator,
)
from sim.experiments.provenance import code_hash, file_hashes, provenance
from sim.experiments.runner import PointStore, run_experiment
from sim.experiments.statistics import binomial_rate, cluster_rate, merge_counts
from sim.experiments.workers import Workers
from tests.needs import need

ROOT = Path(__file__).parents[2]


# Dask's workers import this module: what takes long is imported where it is used.


def main(arguments):
    from sim.__main__ import main

    return main(arguments)


def toy_points(options):
    return [{"vdd_v": vdd_v, "chip": chip} for vdd_v in (0.9, 1.2) for chip in range(options.chips)]


def toy_run(point, seed):
    time.sleep(0.02 if point["chip"] == 0 else 0)  # the first is not done first
    random = generator(seed, "chip", point["chip"])
    errors = random.binomial(100, random.random() * (1.3 - point["vdd_v"]), size=3)
    return {"errors": errors, "trials": np.full(3, 100), "energy_j": random.random() * 1e-9}


def toy_gather(points, results):
    counts = [{name: each[name] for name in ("errors", "trials")} for each in results]
    merged = merge_counts(points, counts, by=("vdd_v",), clusters=("chip",))
    return {"energy_j": [each["energy_j"] for each in results], "series": [
        {"vdd_v": vdd_v, **cluster_rate(each["errors"], each["trials"]).as_dict()}
        for (vdd_v,), each in merged.items()]}


def toy_draw(data, figure):
    axis = figure.subplots()
    for index, each in enumerate(data["series"]):
        style.band(axis, range(3), each["rate"], each["low"], each["high"], series=index,
                   label=f"{each['vdd_v']} V")
    style.published(axis, [0, 1], [0.1, None], "Nobody 2000, Fig. 1", low=[0.05, None],
                    high=[0.2, None], inferred=True)
    axis.set_ylabel("error rate")
    axis.legend()


TOY = Experiment(
    name="toy", title="Errors of toy chips", figure="Nobody 2000, Fig. 1", duration="1 s",
    status="Fitted: nothing. Held out: everything.", chips=4, points=toy_points, run=toy_run,
    gather=toy_gather, draw=toy_draw,
)


def logged_points(options):
    return [{"x": x, "log": os.environ["TOY_LOG"]} for x in range(6)]


def logged_run(point, seed):
    Path(point["log"], f"{point['x']}-{time.time_ns()}").touch()
    reason = Path(point["log"], f"stop{point['x']}")
    if reason.exists():
        if reason.read_text() == "interrupt":
            raise KeyboardInterrupt
        raise ValueError("a memristor\n  broke")
    return point["x"] ** 2 + seed


def logged_gather(points, results):
    return {"squares": results}


def logged_draw(data, figure):
    figure.subplots().plot(data["squares"])


LOGGED = replace(TOY, name="logged", chips=None, points=logged_points, run=logged_run,
                 gather=logged_gather, draw=logged_draw)


@pytest.fixture
def log(tmp_path, monkeypatch):
    """Folder with a file for each point that ran; empties it when called, and says which ran.

    Nothing is drawn: that would take most of the time.
    """
    monkeypatch.setattr(style, "pictures", lambda *_: {"png": b"", "svg": b""})
    folder = tmp_path / "log"
    folder.mkdir()
    monkeypatch.setenv("TOY_LOG", str(folder))

    def ran():
        files = [path for path in folder.iterdir() if not path.name.startswith("stop")]
        for path in files:
            path.unlink()
        return sorted(int(path.name.split("-")[0]) for path in files)

    ran.folder = folder
    return ran


@pytest.fixture
def toys(monkeypatch):
    """The command line sees the toys alone."""
    import sim.experiments.command as command_module

    monkeypatch.setattr(command_module, "discover", lambda: {"toy": TOY, "logged": LOGGED})


@pytest.fixture(scope="module")
def one_worker():
    """One local cluster for the tests that can share it."""
    need("figures")
    with Workers(1) as workers:
        yield workers


def run(experiment, folder, workers=0, fresh=False, said=None, **options):
    with nullcontext(workers) if isinstance(workers, Workers) else Workers(workers) as pool:
        return run_experiment(experiment, experiment.options(**options), folder, pool, fresh,
                              (lambda line: None) if said is None else said.append)


def test_same_files_whatever_the_workers(tmp_path, one_worker):
    need("figures")
    for name, workers in (("0", 0), ("1", one_worker), ("2", 2)):
        run(TOY, tmp_path / name, workers, seed=7)
    here = {path.relative_to(tmp_path / "0"): path.read_bytes()
            for path in (tmp_path / "0").rglob("*") if path.is_file()}
    assert len(here) == 3 + 8  # JSON, two pictures, the points
    for workers in ("1", "2"):
        for name, data in here.items():
            assert (tmp_path / workers / name).read_bytes() == data, name
    assert json.loads(here[Path("toy.json")])["data"] != run(
        replace(TOY, draw=print), tmp_path / "3", seed=8)["data"]


def test_the_json_says_what_made_it(tmp_path):
    need("figures")
    run(TOY, tmp_path, seed=3, chips=2)
    text = (tmp_path / "toy.json").read_text()
    document = json.loads(text)
    assert document["command"] == "python -m sim figure toy --seed 3 --chips 2"
    assert (document["seed"], document["chips"], document["points"]) == (3, 2, 4)
    assert document["status"] == TOY.status
    assert document["version"]["code"] == code_hash(toy_run)[0]
    assert document["version"]["heliobit"].count(".") == 2
    assert [each["vdd_v"] for each in document["data"]["series"]] == [0.9, 1.2]
    assert str(tmp_path) not in text
    assert not list(tmp_path.rglob("*.new"))


def test_pictures(tmp_path):
    need("figures")
    import matplotlib

    before = dict(matplotlib.rcParams)
    run(TOY, tmp_path)
    png = (tmp_path / "toy.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert tuple(int.from_bytes(png[at:at + 4], "big") for at in (16, 20)) == (1200, 780)
    assert b"<svg" in (tmp_path / "toy.svg").read_bytes()
    assert dict(matplotlib.rcParams) == before


def test_resume_runs_what_is_missing(tmp_path, log):
    said = []
    first = run(LOGGED, tmp_path / "out", said=said)
    assert log() == list(range(6))
    assert said == []
    assert first["data"] == {"squares": [0, 1, 4, 9, 16, 25]}
    stored = PointStore(tmp_path / "out" / ".points" / "logged", LOGGED, 0)
    points = logged_points(None)
    stored.path(points[2]).unlink()
    assert run(LOGGED, tmp_path / "out", said=said) == first
    assert log() == [2]
    assert said == ["logged: 5 of 6 points were stored, 1 to compute"]
    run(LOGGED, tmp_path / "out")
    assert log() == []
    run(LOGGED, tmp_path / "out", seed=1)
    assert log() == list(range(6))
    run(LOGGED, tmp_path / "out", fresh=True)
    assert log() == list(range(6))


@pytest.mark.parametrize("damage", [
    lambda text: "", lambda text: text[: len(text) // 2], lambda text: "[]\n",
    lambda text: text.replace('"result":9', '"result":8'),
    lambda text: text.replace('"x":3', '"x":4')])
def test_a_damaged_point_is_computed_again(tmp_path, log, damage):
    first = run(LOGGED, tmp_path / "out")
    log()
    path = PointStore(tmp_path / "out" / ".points" / "logged", LOGGED, 0).path(
        logged_points(None)[3])
    good = path.read_text()
    assert damage(good) != good
    path.write_text(damage(good))
    assert run(LOGGED, tmp_path / "out") == first
    assert log() == [3]
    assert path.read_text() == good


@pytest.mark.parametrize("workers", ["none", "one_worker"])
def test_a_failing_point_is_named_and_the_others_are_kept(tmp_path, log, workers, request):
    workers = 0 if workers == "none" else request.getfixturevalue(workers)
    (log.folder / "stop3").write_text("fail")
    with pytest.raises(ExperimentError) as caught:
        run(LOGGED, tmp_path / "out", workers)
    message = str(caught.value)
    assert message.startswith('Experiment logged failed at point 3 {"log":')
    assert "ValueError: a memristor broke (traceback in " in message
    assert message.endswith("5 of 6 points are stored)")
    assert "\n" not in message
    trace = tmp_path / "out" / ".points" / "logged" / "failure.txt"
    assert "in logged_run" in trace.read_text()
    assert not (tmp_path / "out" / "logged.json").exists()
    log()
    (log.folder / "stop3").unlink()
    run(LOGGED, tmp_path / "out")
    assert log() == [3]
    assert not trace.exists()


def test_an_interrupt_keeps_what_is_done(tmp_path, log, toys, capsys):
    need("figures")
    (log.folder / "stop4").write_text("interrupt")
    arguments = ["figure", "logged", "toy", "--workers", "0", "--output", str(tmp_path / "out")]
    assert main(arguments) == 130
    assert "logged: interrupted; 4 of 6 points are stored" in capsys.readouterr().err
    log()
    (log.folder / "stop4").unlink()
    assert main(arguments) == 0
    assert log() == [4, 5]
    assert "logged: 4 of 6 points were stored, 2 to compute" in capsys.readouterr().out


def test_a_worker_with_other_code_refuses(tmp_path, monkeypatch):
    need("figures")
    import sim.experiments.runner as runner

    answers = iter([code_hash(toy_run), ("theirs", False)] + [code_hash(toy_run)] * 99)
    monkeypatch.setattr(runner, "code_hash", lambda function: next(answers))
    with pytest.raises(ExperimentError, match="the worker has other code than this checkout"):
        run(TOY, tmp_path)


@pytest.mark.parametrize("change, message", [
    ({"points": lambda options: [{"x": 1}, {"x": 1}]}, "Points 0 and 1 of .* are the same"),
    ({"points": lambda options: []}, "toy has no points"),
    ({"gather": lambda points, results: {"rate": float("nan")}}, "failed while gathering"),
    ({"draw": lambda data, figure: data["nothing"]}, "failed while drawing: KeyError: 'nothing'"),
    ({"files": ("no/such.npz",)}, "Experiment toy: There is no file no/such.npz"),
    ({"parameters": ("nobody_2000/*",)}, "no file behavioral_models/parameters/nobody_2000"),
])
def test_an_experiment_that_is_wrong(tmp_path, change, message):
    need("figures")
    with pytest.raises(ExperimentError, match=message):
        run(replace(TOY, **change), tmp_path)


@pytest.mark.parametrize("change, message", [
    ({"name": "two words"}, "name must be a module's, not 'two words'"),
    ({"name": "all"}, "name must be a module's, not 'all'"),
    ({"run": lambda point, seed: 0}, "must be a function at the top of its module"),
])
def test_an_experiment_that_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        replace(TOY, **change)


def test_options():
    assert TOY.options() == Options(0, 4)
    assert TOY.options(1, 9) == Options(1, 9)
    assert LOGGED.options(1, 9) == Options(1, None)
    assert LOGGED.command(Options(1)) == "python -m sim figure logged --seed 1"
    for experiment in (TOY, LOGGED):
        with pytest.raises(ValueError, match="number of chips must be at least 1, not 0"):
            experiment.options(0, 0)
        with pytest.raises(ValueError, match="seed must be at least 0, not -1"):
            experiment.options(-1)


# Command line


def test_figure_command(tmp_path, toys, log, capsys):
    need("figures")
    arguments = ["--workers", "0", "--output", str(tmp_path)]
    (log.folder / "stop0").write_text("fail")
    assert main(["figure", "logged", "toy", "toy", *arguments]) == 1  # the second is made
    said = capsys.readouterr()
    assert "python -m sim figure: Experiment logged failed at point 0" in said.err
    assert said.out == f"toy: {tmp_path}/toy.json, {tmp_path}/toy.png, {tmp_path}/toy.svg\n"
    (log.folder / "stop0").unlink()
    assert main(["figure", "all", *arguments]) == 0
    assert {path.name for path in tmp_path.glob("*.json")} == {"toy.json", "logged.json"}


def test_list_shows_all(toys, capsys):
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    for experiment in (TOY, LOGGED):
        for text in (experiment.name, experiment.title, experiment.figure, experiment.duration):
            assert text in said


@pytest.mark.parametrize("arguments, message", [
    (["nothing"], "There is no experiment 'nothing'; choose from toy, logged, all"),
    (["toy", "--chips", "0", "--workers", "0"], "number of chips must be at least 1, not 0"),
    (["toy", "--workers", "-1"], "number of workers must be at least 0, not -1"),
    (["toy", "--workers", "2", "--scheduler", "tcp://localhost:1"], "--workers is for the local"),
    *((["toy", "--scheduler", address], f"address must be like tcp://host:8786, not {address!r}")
      for address in ("foo", "foo:1", "tcp://host", "tcp://:1", "nonsense://host:1",
                      "tcp://host:0", "tcp://host:65536", "")),
])
def test_what_the_command_refuses(toys, capsys, tmp_path, arguments, message):
    need("figures")
    assert main(["figure", *arguments, "--output", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers, message", [
    ("1", "There is no matplotlib and no dask and no distributed here: `make figures` installs"),
    ("0", "There is no matplotlib here: `make figures` installs"),
])
def test_missing_packages(toys, capsys, monkeypatch, tmp_path, workers, message):
    monkeypatch.setattr("sim.experiments.command.find_spec", lambda name: None)
    assert main(["figure", "toy", "--workers", workers, "--output", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err


def test_commands_work_without_dask_and_matplotlib():
    """Nothing that the other commands and `list` import needs the figures' packages."""
    program = textwrap.dedent("""
        import sys
        for name in ("dask", "distributed", "matplotlib", "pvlib"):
            sys.modules[name] = None
        from sim.__main__ import main
        assert main(["list"]) == 0
        main(["figure", "-h"])
    """)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--scheduler" in done.stdout


def test_a_scheduler_that_is_not_there(toys, capsys, monkeypatch, tmp_path):
    need("figures")
    assert workers_module.SCHEDULER_TIMEOUT_S == 10
    monkeypatch.setattr(workers_module, "SCHEDULER_TIMEOUT_S", 0.5)
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    address = "tcp://127.0.0.1:1"
    assert main(["figure", "toy", "--scheduler", address, "--output", str(tmp_path)]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"Cannot reach the Dask scheduler {address} within 0.5 s" in said
    gc.collect()
    assert not unraisable  # such as of the client's finaliser


def test_a_scheduler_without_and_with_workers(tmp_path, monkeypatch):
    need("figures")
    import distributed

    monkeypatch.setattr(workers_module, "SCHEDULER_TIMEOUT_S", 1.0)
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0",
                                  protocol="tcp", threads_per_worker=1,
                                  local_directory=tmp_path) as cluster:
        with Workers(scheduler=cluster.scheduler_address) as workers:
            with pytest.raises(ExperimentError, match=r"^The Dask scheduler tcp.* has no workers"):
                run_experiment(TOY, TOY.options(), tmp_path / "there", workers)
        cluster.scale(1)
        monkeypatch.setattr(workers_module, "SCHEDULER_TIMEOUT_S", 10.0)
        with Workers(scheduler=cluster.scheduler_address) as workers:
            there = run_experiment(TOY, TOY.options(), tmp_path / "there", workers)
    assert there == run(TOY, tmp_path / "here")


def test_no_workers_are_started_for_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(style, "pictures", lambda *_: {})
    run(TOY, tmp_path)
    monkeypatch.setattr(Workers, "_connected", lambda self: pytest.fail("started"))
    run(TOY, tmp_path, workers=2)
    run(replace(TOY, in_process=True), tmp_path / "other", workers=2)


# What may not be here


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """A folder of four small idx files with the names of MNIST's."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for prefix, count in (("train", 6000), ("t10k", 8)):
        pixels = np.zeros((count, 784), np.uint8)
        header = np.array([2051, count, 28, 28], ">i4").tobytes()
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        header = np.array([2049, count], ">i4").tobytes()
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(header + bytes(count))
    monkeypatch.setenv("MNIST_DIR", str(folder))
    return folder


@pytest.mark.parametrize("change, message", [
    ({"files": ("no/such.npz",)}, "There is no file no/such.npz"),
    ({"data": ("mnist:test",)}, "MNIST is not in this repository: set MNIST_DIR to the folder"),
])
def test_what_is_not_here_is_skipped_or_named(log, capsys, monkeypatch, tmp_path, change, message):
    """Skipped where all are made, an error where it is named, and the list says so."""
    need("figures")
    import sim.experiments.command as command_module

    monkeypatch.delenv("MNIST_DIR", raising=False)
    toys = {"toy": TOY, "logged": replace(LOGGED, **change)}
    monkeypatch.setattr(command_module, "discover", lambda: toys)
    arguments = ["--workers", "0", "--output", str(tmp_path / "out")]
    assert main(["figure", "all", *arguments]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("toy: ")
    assert said[1].startswith(f"logged: skipped: {message}")
    assert main(["figure", "logged", "toy", *arguments]) == 1
    said = capsys.readouterr()
    complaints = [line for line in said.err.splitlines() if line.startswith("python -m sim")]
    assert len(complaints) == 1
    assert complaints[0].startswith(f"python -m sim figure: Experiment logged: {message}")
    assert main(["list"]) == 0
    assert f"Cannot be made here: {message}" in capsys.readouterr().out
    assert log() == []


def test_data_of_others_count_for_stored_points(tmp_path, log, mnist):
    """Other contents under the same names: every point is computed again."""
    lit = replace(LOGGED, data=("mnist:test",))
    first = run(lit, tmp_path / "out")
    assert log() == list(range(6))
    assert run(lit, tmp_path / "out") == first
    assert log() == []
    assert list(first["version"]["data"]) == ["mnist:test"]
    path = mnist / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert run(lit, tmp_path / "out")["version"]["data"] != first["version"]["data"]
    assert log() == list(range(6))
    assert "data" not in run(LOGGED, tmp_path / "out")["version"]


def test_data_that_no_one_knows(tmp_path):
    with pytest.raises(ExperimentError, match="toy: data 'mnist' are not a set .mnist. and its"):
        run(replace(TOY, data=("mnist",)), tmp_path)


# Discovery


def package(folder, monkeypatch, **modules):
    """A package of experiments, imported from a folder."""
    name = f"experiments_{folder.name.replace('-', '_')}"
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    for module, text in modules.items():
        (folder / name / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    return name


GOOD = """
from sim.experiments.experiment import Experiment
def run(point, seed): return 0
EXPERIMENT = Experiment("good", "t", "f", "1 s", "s", list, run, dict, print)
"""


def test_discovery_is_a_listing(tmp_path, monkeypatch):
    assert list(discover(package(tmp_path, monkeypatch, good=GOOD, helper="X = 1"))) == ["good"]


def test_discovery_checks_the_name(tmp_path, monkeypatch):
    with pytest.raises(ExperimentError, match=r"\.renamed must be called renamed, not good"):
        discover(package(tmp_path, monkeypatch, renamed=GOOD))


def test_discovery_names_a_module_that_breaks(tmp_path, monkeypatch):
    with pytest.raises(ExperimentError, match=r"\.bad cannot be imported: ValueError: no"):
        discover(package(tmp_path, monkeypatch, bad="raise ValueError('no')"))


def test_choose():
    experiments = {"toy": TOY, "logged": LOGGED}
    assert choose(["logged", "all"], experiments) == [LOGGED, TOY]


def test_every_experiment_is_documented():
    page = (ROOT / "docs" / "experiments.md").read_text()
    for name, experiment in discover().items():
        assert f"| `{name}` |" in page, f"docs/experiments.md has no row for {name}"
        assert experiment.points(experiment.options()), name
        provenance(experiment)


# Provenance


@pytest.fixture
def rooms(tmp_path, monkeypatch):
    """A checkout of its own: code_hash sees its files and not ours."""
    monkeypatch.setattr(provenance_module, "ROOT", tmp_path)
    (tmp_path / "sim").mkdir()
    (tmp_path / "behavioral_models").mkdir()
    files = {
        "sim/a.py": '''
            import numpy as np
            from behavioral_models import cell
            from behavioral_models.supply import solar
            from sim import style
            LIMIT = 3
            UNUSED = 4
            TABLE = {}
            TABLE["x"] = 1
            def helper(x):
                """Help."""
                return x + LIMIT  # comment
            def run(point, seed):
                from . import late
                return helper(point) + cell.read() + solar()
            def draw(): style.draw()
            ''',
        "sim/style.py": "def draw(): pass",
        "sim/late.py": "Z = 1",
        "behavioral_models/__init__.py": "",
        "behavioral_models/cell.py": "def read(): return 1\n",
        "behavioral_models/supply.py": "def solar(): return 1\ndef wind(): return 2\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(textwrap.dedent(text))

    def hashed():
        reach = provenance_module._Reach()
        reach.name(tmp_path / "sim" / "a.py", "run")
        monkeypatch.setattr(provenance_module.inspect, "getsourcefile",
                            lambda function: str(tmp_path / "sim" / "a.py"))
        def run(): pass
        return code_hash.__wrapped__(run)[0]

    def changed(name, old, new):
        path, before = tmp_path / name, hashed()
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        after = hashed()
        path.write_text(text)
        return before != after

    return changed


@pytest.mark.parametrize("name, old, new, counts", [
    ("sim/a.py", "LIMIT = 3", "LIMIT = 5", True),
    ("sim/a.py", "x + LIMIT", "x - LIMIT", True),
    ("sim/a.py", '["x"] = 1', '["x"] = 2', True),
    ("sim/late.py", "1", "2", True),
    ("behavioral_models/cell.py", "1", "2", True),
    ("behavioral_models/supply.py", "return 1", "return 3", True),
    ("sim/a.py", "UNUSED = 4", "UNUSED = 5", False),
    ("sim/a.py", "# comment", "# note", False),
    ("sim/a.py", "Help.", "Helps.", False),
    ("sim/a.py", "style.draw()", "style.draw", False),
    ("sim/style.py", "pass", "return 1", False),
    ("behavioral_models/supply.py", "return 2", "return 3", False),
])
def test_the_code_that_counts(rooms, name, old, new, counts):
    assert rooms(name, old, new) == counts


def test_parameter_files_count(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance_module, "ROOT", tmp_path)
    (tmp_path / "a.toml").write_text("x = 1")
    before = file_hashes(tmp_path, ["*.toml"])
    assert list(before) == ["a.toml"]
    (tmp_path / "a.toml").write_text("x = 2")
    assert file_hashes(tmp_path, ["*.toml"]) != before


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_whole(path, "old")
    monkeypatch.setattr(Path, "chmod", lambda self, mode: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# Numbers


def test_generator_depends_on_seed_and_keys_alone():
    draws = {generator(seed, *keys).integers(1 << 62)
             for seed in (0, 1) for keys in ((), (1,), ("1",), ({"a": 1, "b": 2},))}
    assert len(draws) == 8
    one = generator(3, {"a": np.int64(1), "b": (2.5,)}).random(4)
    assert (one == generator(3, {"b": [2.5], "a": 1}).random(4)).all()


def test_canonical_json():
    assert canonical({"b": np.float64(0.1), "a": np.arange(2)}) == '{"a":[0,1],"b":0.1}'
    with pytest.raises(TypeError, match="set"):
        canonical({1})
    with pytest.raises(ValueError):
        canonical(float("nan"))


@pytest.mark.parametrize("trials", [1, 7, 50])
def test_binomial_interval_is_the_inverse_of_the_test(trials):
    """Clopper-Pearson: at either end, what was seen or more extreme has probability 2.5 %."""
    errors = np.arange(trials + 1)
    rate, low, high = binomial_rate(errors, trials)
    assert np.allclose(rate, errors / trials)
    assert (low[0], high[-1]) == (0, 1)
    assert np.allclose(binom.sf(errors[1:] - 1, trials, low[1:]), 0.025)
    assert np.allclose(binom.cdf(errors[:-1], trials, high[:-1]), 0.025)


def test_binomial_interval_covers():
    rate = 0.01
    errors = np.random.default_rng(1).binomial(300, rate, 20_000)
    _, low, high = binomial_rate(errors, 300)
    assert np.mean((low <= rate) & (rate <= high)) >= 0.95


def test_nothing_tried():
    for rate in (binomial_rate([0], [0]), cluster_rate([[0], [0]], [[0], [0]])):
        assert rate.as_dict() == {"rate": [None], "low": [0.0], "high": [1.0]}


@pytest.mark.parametrize("function", [binomial_rate, cluster_rate])
def test_wrong_counts(function):
    for errors in ([3], [-1]):
        with pytest.raises(ValueError, match="Errors must be from 0 to the number of trials"):
            function(errors, [2])
    with pytest.raises(ValueError, match="confidence must be between 0 and 1, not 95"):
        function([1], [2], 95)
    with pytest.raises(ValueError, match="at least one chip"):
        cluster_rate(3, 4)


def test_cluster_interval_sees_the_correlation():
    """Chips of rate 0 or 1 are worth one trial each, however many trials they have."""
    errors = np.repeat([0, 1000], [75, 25])
    rate, low, high = cluster_rate(errors, np.full(100, 1000))
    assert rate == 0.25
    spread = 1.96 * np.sqrt(0.25 * 0.75 / 100)
    assert np.allclose([low, high], [0.25 - spread, 0.25 + spread], atol=0.012)
    assert high - low > 20 * np.subtract(*binomial_rate(errors.sum(), 100_000)[:0:-1])


def test_cluster_interval_covers():
    random = np.random.default_rng(2)
    chips = random.beta(1, 9, size=(60, 400))  # rate 0.1, spread over chips
    errors = random.binomial(50, chips)
    _, low, high = cluster_rate(errors, np.full(errors.shape, 50), resamples=500)
    assert np.mean((low <= 0.1) & (0.1 <= high)) > 0.91


def test_cluster_interval_is_deterministic_and_shaped():
    errors = np.random.default_rng(3).binomial(10, 0.3, size=(20, 2, 3))
    one, two = cluster_rate(errors, 10, seed=5), cluster_rate(errors, 10, seed=5)
    for a, b in zip(one, two, strict=True):
        assert a.shape == (2, 3)
        assert (a == b).all()
    assert (cluster_rate(errors, 10, seed=6).low != one.low).any()


def test_cluster_interval_where_nothing_or_all_err():
    """Of 100 chips none errs: the share of chips that do is below 3.62 % (Clopper-Pearson)."""
    upper = 1 - 0.025 ** (1 / 100)
    rate, low, high = cluster_rate(np.array([[0, 9]] * 100), 9)
    assert rate.tolist() == [0, 1]
    assert np.allclose(low, [0, 1 - upper])
    assert np.allclose(high, [upper, 1])
    assert cluster_rate([1], [9])[1:] == (0, 1)  # one chip says nothing about others


def test_merge_counts():
    points = [{"v": v, "chip": chip, "read": read}
              for v in (2, 1) for chip in (1, 0) for read in (0, 1)]
    results = [{"errors": [index, 1]} for index in range(8)]
    merged = merge_counts(points, results, by=("v",))
    assert list(merged) == [(2,), (1,)]
    assert merged[2,]["errors"].tolist() == [6, 4]
    chips = merge_counts(points, results, by=("v",), clusters=("chip",))
    assert chips[2,]["errors"].tolist() == [[5, 2], [1, 2]]
    with pytest.raises(ValueError, match=r"'errors' have shapes \(2,\) and \(1,\)"):
        merge_counts([{}, {}], [{"errors": [1, 2]}, {"errors": [1]}], by=())
    with pytest.raises(ValueError):
        merge_counts([{}], [], by=())
