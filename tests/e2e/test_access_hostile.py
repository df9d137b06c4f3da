# SPDX-License-Identifier: Apache-2.0
"""People, nodes and strangers who try what they may not."""
import pathlib
import time

import pytest

from harness import wait_until
from people import Person, invite_url

NODE = "web-1.example.test"  # as plain ssh calls it


def logged_in(access, invite, login):
    person = invite(access, "mallory", "access", login)
    person.login()
    return person


# ---- before and beside the recorder ------------------------------------------------------------------------------


@pytest.fixture
def eager(accounts, tmp_path_factory):
    """An account whose shell reads a file beneath HOME whatever it is started for, as csh does."""
    shell = pathlib.Path("/var/tmp/ct-eager-sh")
    shell.write_text('#!/bin/sh\n[ -r "$HOME/.eagerrc" ] && . "$HOME/.eagerrc"\nexec /bin/sh "$@"\n')
    shell.chmod(0o755)
    made = accounts.make(shell=str(shell))
    yield made
    shell.unlink()


def test_a_start_up_file_does_not_run_in_the_place_of_the_recorder(access, invite, eager):
    (pathlib.Path(eager.pw_dir) / ".eagerrc").write_text('echo unrecorded; [ -n "$SSH_TELEPORT_USER" ] || exit 0\n')
    mallory = logged_in(access, invite, eager.pw_name)
    done = mallory.tsh("ssh", f"{eager.pw_name}@web-1", "echo $HOME")
    assert done.out == f"unrecorded\n{eager.pw_dir}\n", "the file is read once: inside of the session"
    assert wait_until(lambda: access.events("session.start"), "the start is audited")


def test_what_only_looks_like_the_nodes_sftp_server_is_a_command(access, invite, account):
    fake = pathlib.Path(account.pw_dir) / "sftp-server"
    fake.write_text("#!/bin/sh\necho 'remove name \"/etc/shadow\"' >&2\n")
    fake.chmod(0o755)
    mallory = logged_in(access, invite, account.pw_name)
    mallory.tsh("ssh", f"{account.pw_name}@web-1", f"{fake} -e -l INFO")
    wait_until(lambda: access.events("session.end"), "the end is audited")
    assert not access.events("sftp"), "its word is not the node's word"


# ---- people who were removed ---------------------------------------------------------------------------------------


def test_who_was_removed_stays_so_when_somebody_of_that_name_comes(access, alice, invite, tmp_path):
    since = int(time.time())
    access.tctl("users", "rm", "alice")
    wait_until(lambda: int(time.time()) > since, "the next second: certificates count in them")
    words = access.tctl("users", "add", "alice", "--roles=access,editor", "--logins=root").out
    other = Person(access, "alice", tmp_path / "other").accept(invite_url(words))
    other.login()
    assert other.tsh("ssh", "root@web-1", "echo in").out == "in\n"
    for done in (alice.tsh("ssh", "root@web-1", "echo in", check=False), alice.tsh("ls", check=False), alice.tctl("users", "ls", check=False)):
        assert done.code != 0 and "older than user" in done.err, done.err
