# SPDX-License-Identifier: Apache-2.0
"""./check: a test that fails once fails the run, and is reported as flaky if it passes the second time."""
import importlib.util
import pathlib
import subprocess
import sys
import textwrap
import types

PROJECT = pathlib.Path(__file__).resolve().parents[2]

# A meson whose tests "flaky" and "broken" fail when all tests run; when they run alone, only "broken" fails.
MESON = """\
#!/usr/bin/python3
import json, pathlib, sys
logs = pathlib.Path(sys.argv[sys.argv.index("-C") + 1], "meson-logs")
logs.mkdir(parents=True, exist_ok=True)
names = [n for n in ("good", "flaky", "broken") if n in sys.argv] or ["good", "flaky", "broken"]
bad = {"broken"} if "--num-processes" in sys.argv else {"flaky", "broken"}
lines = [json.dumps({"name": f"project:unit / {n}", "result": "FAIL" if n in bad else "OK"}) for n in names]
(logs / "testlog.json").write_text("\\n".join(lines))
sys.exit(1)
"""

# Fails when it runs the first time.
FLAKY = """\
import pathlib

def test_flaky():
    before = pathlib.Path("ran-before")
    ran = before.exists()
    before.touch()
    assert ran

def test_good():
    pass
"""


def run(tmp_path, call):
    script = f'set -euo pipefail; summary=(); . {PROJECT}/scripts/run_tests.sh; {call} && echo PASSED || echo FAILED; printf "%s\\n" "${{summary[@]}}"'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, timeout=120)
    return done.stdout.splitlines()


def test_a_flaky_unit_test_fails_the_run(tmp_path):
    (tmp_path / "meson").write_text(MESON)
    (tmp_path / "meson").chmod(0o755)
    lines = run(tmp_path, "unit build")
    assert lines[-3:] == ["FAILED", "unit test flaky: flaky: failed once, passed alone", "unit test broken: failed"]


def test_a_flaky_end_to_end_test_fails_the_run(tmp_path):
    (tmp_path / "build").mkdir()
    (tmp_path / "tests/e2e").mkdir(parents=True)
    (tmp_path / "tests/e2e/test_story.py").write_text(textwrap.dedent(FLAKY))
    lines = run(tmp_path, "e2e build")
    assert lines[-2:] == ["FAILED", "end to end tests/e2e/test_story.py::test_flaky: flaky: failed once, passed alone"]


# Each test notes the worker that runs it.
WORKERS = """\
import os, pathlib, pytest

@pytest.mark.parametrize("number", range(10))
def test_worker(number):
    with open(pathlib.Path(__file__).with_suffix(".workers"), "a") as workers:
        workers.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
"""


def conftest():
    sys.path.insert(0, str(PROJECT / "tests/e2e"))
    spec = importlib.util.spec_from_file_location("conftest_e2e", PROJECT / "tests/e2e/conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_worker_runs_the_tests_of_a_file(tmp_path):
    (tmp_path / "tests/e2e").mkdir(parents=True)
    names = [f"test_{name}" for name in "abcdefgh"]
    for name in names:
        (tmp_path / f"tests/e2e/{name}.py").write_text(WORKERS)
    assert "PASSED" in run(tmp_path, "e2e build")
    workers = {name: (tmp_path / f"tests/e2e/{name}.workers").read_text().split() for name in names}
    assert all(len(ran) == 10 and len(set(ran)) == 1 for ran in workers.values()) and len({ran[0] for ran in workers.values()}) > 1, workers


def test_the_longest_files_begin_first():
    module = conftest()
    assert [name for name in module.LONGEST_FIRST if not (PROJECT / f"tests/e2e/{name}.py").exists()] == []
    items = [types.SimpleNamespace(path=path) for path in sorted((PROJECT / "tests/e2e").glob("test_*.py"))]
    module.pytest_collection_modifyitems(items)
    assert [item.path.stem for item in items][:len(module.LONGEST_FIRST)] == module.LONGEST_FIRST
