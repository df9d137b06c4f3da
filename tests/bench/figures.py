# SPDX-License-Identifier: Apache-2.0
"""Of all benchmarks in Python: the options and the directories that they run with, and how figures are printed."""
import argparse
import contextlib
import json
import pathlib
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def options(**numbers):
    """The given options: json, build (the resolved directory), and each of `numbers` with its default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--build", default=str(ROOT / "build"), type=lambda path: pathlib.Path(path).resolve())
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


@contextlib.contextmanager
def directories():
    """One for the cluster, and one with a short name for the user's home, where sockets are."""
    with tempfile.TemporaryDirectory(prefix="ct-bench.") as directory, tempfile.TemporaryDirectory(prefix="b.", dir="/tmp") as home:
        yield pathlib.Path(directory), pathlib.Path(home)


def print_figures(figures, as_json):
    if as_json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:28} {value}")
