# SPDX-License-Identifier: Apache-2.0
"""The manual pages that the build makes: one for each program, command and kind of resource, and valid for man and mandoc."""
import os
import re
import subprocess
import sys

import pytest

from test_layering import BUILD, PROJECT, built

sys.path.insert(0, str(PROJECT / "scripts"))
import tables

MAN = BUILD / "src/cmd/man"
PAGES = sorted(MAN.rglob("*.[158]"))
NAMES = {tuple(page.name.rsplit(".", 1)) for page in PAGES}


@pytest.fixture(scope="module", autouse=True)
def made():
    assert PAGES, f"{MAN} is not built: ninja -C {BUILD}"


def test_every_program_command_and_kind_has_a_page():
    wanted = {("teleport.yaml", "5"), *((f"teleport-{kind}", "5") for _, kind in tables.RESOURCES)}
    for program, section in (("teleport", "8"), ("tctl", "1"), ("tsh", "1")):
        wanted |= {("-".join([program, *c.name.split()]), section) for c in tables.commands_of(built(program))}
    assert NAMES == wanted


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_is_valid(page):
    formatted = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", page], capture_output=True, text=True, check=True, env={**os.environ, "MANROFFSEQ": "", "LC_ALL": "C.UTF-8"})
    assert formatted.stderr == "" and "DESCRIPTION" in formatted.stdout
    linted = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True, check=False).stdout
    # mandoc looks for the pages that are referred to among the installed ones: here they are looked for beside this one.
    assert [line for line in linted.splitlines() if "referenced manual not found" not in line] == []
    assert set(re.findall(r"^\.Xr (\S+) (\d)", page.read_text(), re.M)) <= NAMES


def test_flags_arguments_and_values_are_on_the_page():
    text = subprocess.run(["man", "-E", "ascii", "-l", MAN / "man1/tsh-ssh.1"], capture_output=True, text=True, check=True, env={**os.environ, "MANWIDTH": "80"}).stdout
    assert "tsh ssh [flags] [login@]node [command ...]" in text and "-L, --forward=SPEC" in text and "TELEPORT_PROXY" in text and "     255 " in text
    text = subprocess.run(["man", "-E", "ascii", "-l", MAN / "man5/teleport.yaml.5"], capture_output=True, text=True, check=True, env={**os.environ, "MANWIDTH": "80"}).stdout
    assert "proxy_service.https_keypairs" in text and "cert_file: string" in text and "token_name: iam-token" in text
