# SPDX-License-Identifier: Apache-2.0
"""Of all benchmarks in Python: the options and the directories that they run with, agents that a program plays, and how figures are printed."""
import argparse
import contextlib
import json
import os
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


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


ACCESS_KEY = "ASIAEXAMPLE000000000"  # of the agents that a program plays (load.c)
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVzLWVhc3QtMSJHMEUCIEXAMPLE"


def allow_played_agents(aws):
    """The stand-in for AWS knows the one key of all agents that the program plays."""
    aws.identity(key=ACCESS_KEY)
    aws.state["keys"][ACCESS_KEY].update(secret=SECRET_KEY, token=TOKEN)
    aws.write()


def print_figures(figures, as_json):
    if as_json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:28} {value}")
