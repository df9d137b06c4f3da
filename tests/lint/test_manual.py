# SPDX-License-Identifier: Apache-2.0
"""The manual pages: one for each program, command and kind of resource, and valid for man and mandoc."""
import os
import re
import subprocess
import sys

import pytest

from test_layering import PROJECT, built

sys.path.insert(0, str(PROJECT / "scripts"))
import tables


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """{(name, section): path}"""
    out = tmp_path_factory.mktemp("man")
    subprocess.run([PROJECT / "scripts/manual", out, built("teleport"), built("tctl"), built("tsh")], check=True)
    return {tuple(page.name.rsplit(".", 1)): page for page in sorted(out.rglob("*.*"))}


def formatted(page):
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", page], capture_output=True, text=True, check=True, env={**os.environ, "MANROFFSEQ": "", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"})
    assert done.stderr == "", page
    return done.stdout


def test_every_program_command_and_kind_has_a_page(pages):
    wanted = {("teleport.yaml", "5"), *((f"teleport-{kind}", "5") for _, kind in tables.RESOURCES)}
    for program, section in (("teleport", "8"), ("tctl", "1"), ("tsh", "1")):
        wanted |= {("-".join([program, *c.name.split()]).rstrip("-"), section) for c in tables.commands_of(built(program))}
    assert set(pages) == wanted and len(wanted) > 50


def test_man_and_mandoc_accept_every_page(pages):
    for page in pages.values():
        assert "DESCRIPTION" in formatted(page)
        linted = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True, check=False).stdout
        # mandoc looks for the pages that are referred to among the installed ones: here they are looked for beside this one.
        assert [line for line in linted.splitlines() if "referenced manual not found" not in line] == []
        assert set(re.findall(r"^\.Xr (\S+) (\d)", page.read_text(), re.M)) <= set(pages), page


def test_flags_arguments_and_keys_are_on_the_page(pages):
    text = formatted(pages["tsh-ssh", "1"])
    assert "tsh ssh [flags] [login@]node [command ...]" in text and "-L, --forward=SPEC" in text and "TELEPORT_PROXY" in text and "     255 " in text
    text = formatted(pages["teleport.yaml", "5"])
    assert "proxy_service.https_keypairs" in text and "cert_file: string" in text and "token_name: iam-token" in text
