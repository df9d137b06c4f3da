# SPDX-License-Identifier: Apache-2.0
"""The programs of the last release, built from this repository's history."""
import pathlib
import re
import shutil
import subprocess
import tempfile

from users import reachable_programs

PROJECT = pathlib.Path(__file__).resolve().parents[2]
STAND_INS = pathlib.Path(__file__).with_name("previous_release")
PROGRAMS = ("src/cmd/teleport/teleport", "src/cmd/tctl/tctl", "src/cmd/tsh/tsh")
MINUTES = 1800  # seconds, for a compiler on a shared machine


def git(*words, **more):
    return subprocess.run(["git", "-C", PROJECT, *words], capture_output=True, timeout=MINUTES, **more)


def stand_in(purpose):
    """The commit that tests/e2e/previous_release names for this purpose."""
    found = re.search(rf"^{purpose} ([0-9a-f]{{40}})\b", STAND_INS.read_text(), re.M)
    assert found, f"{STAND_INS} names no commit for '{purpose}', and the repository has no tag"
    return found.group(1)


class Release:
    """A release in source: the last tag, or the commit that stands for it."""

    def __init__(self, purpose):
        tag = git("describe", "--tags", "--abbrev=0", text=True)
        self.is_tag = tag.returncode == 0
        self.name = tag.stdout.strip() if self.is_tag else stand_in(purpose)
        assert git("cat-file", "-e", f"{self.name}^{{commit}}").returncode == 0, (
            f"commit {self.name} of the last release is not in this clone: fetch the history (git fetch --unshallow --tags)")

    def source(self, path):
        """A file of it; "" if it has none."""
        return git("show", f"{self.name}:{path}", text=True).stdout

    @property
    def service_protocol(self):
        """The version of the messages between its processes; None: its supervisor cannot replace them."""
        return service_protocol(self.source("src/api/service.h"))

    def build(self):
        """Its programs, in a directory that every account may enter. The caller removes it."""
        with tempfile.TemporaryDirectory(prefix="ct-release.", dir="/var/tmp") as directory:
            tree = git("archive", self.name)
            assert tree.returncode == 0, tree.stderr
            subprocess.run(["tar", "xf", "-", "-C", directory], input=tree.stdout, check=True, timeout=MINUTES)
            self.set_version(pathlib.Path(directory) / "meson.build")
            for command in (["meson", "setup", "build"], ["ninja", "-C", "build", *PROGRAMS]):
                done = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=MINUTES)
                assert done.returncode == 0, f"{command} in the tree of {self.name}:\n{done.stdout[-3000:]}"
            return reachable_programs(pathlib.Path(directory) / "build")

    def set_version(self, path):
        """A commit between two releases has the number of the next one: it gets that of the minor version before."""
        text = path.read_text()
        number = re.search(r"version: '(\d+)\.(\d+)\.\d+'", text)
        if not self.is_tag and number.group(0) in (PROJECT / "meson.build").read_text():
            path.write_text(text.replace(number.group(0), f"version: '{number.group(1)}.{int(number.group(2)) - 1}.0'", 1))


def service_protocol(header):
    found = re.search(r'#define SERVICE_PROTOCOL "(\w+)"', header)
    return found and found.group(1)


def remove(build):
    shutil.rmtree(build)
