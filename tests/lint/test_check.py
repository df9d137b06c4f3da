# SPDX-License-Identifier: Apache-2.0
"""./check: a test that fails once fails the run, and is reported as flaky if it passes the second time."""
import pathlib
import subprocess
import textwrap

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

@pytest.mark.parametrize("number", range(40))
def test_worker(number):
    with open(pathlib.Path(__file__).with_suffix(".workers"), "a") as workers:
        workers.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
"""


def test_one_worker_runs_the_tests_of_a_costly_place(tmp_path):
    (tmp_path / "conftest.py").write_text(f"""\
import importlib.util, sys
sys.path.insert(0, {str(PROJECT / "tests/e2e")!r})
spec = importlib.util.spec_from_file_location("conftest_e2e", {str(PROJECT / "tests/e2e/conftest.py")!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
pytest_xdist_make_scheduler = module.pytest_xdist_make_scheduler
""")
    for name in ("test_names", "test_outages", "test_status"):
        (tmp_path / f"{name}.py").write_text(WORKERS)
    subprocess.run(["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "3", tmp_path], capture_output=True, check=True, timeout=120)
    workers = {name: (tmp_path / f"{name}.workers").read_text().split() for name in ("test_names", "test_outages", "test_status")}
    assert all(len(names) == 40 for names in workers.values())
    assert len(set(workers["test_outages"])) == 1 and len(set(workers["test_names"])) > 1 and len(set(workers["test_status"])) > 1, workers
