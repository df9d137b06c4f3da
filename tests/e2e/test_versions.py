# SPDX-License-Identifier: Apache-2.0
"""Hosts of other major versions: those of the one before are accepted, others are refused with a reason. Programs of the last release: test_skew.py."""
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import program
from users import reachable_programs


@pytest.fixture
def of_major(programs):
    """of_major(n): the programs, with a major version that is n higher; and the version."""
    own = re.search(r"Teleport v((\d+)\S+)", subprocess.run([program(programs, "teleport"), "version"], capture_output=True, text=True, check=True).stdout)
    made = []

    def make(n):
        version = f"{int(own[2]) + n}{own[1][len(own[2]):]}"
        assert len(version) == len(own[1]), "it fits in the place of the other"
        made.append(reachable_programs(programs))
        path = pathlib.Path(program(made[-1], "teleport"))
        path.write_bytes(path.read_bytes().replace(own[1].encode(), version.encode()))
        return made[-1], version

    yield make
    for directory in made:
        shutil.rmtree(directory)


@pytest.mark.parametrize("distance, remedy", [(1, "upgrade that first"), (-2, "one major version older at most")])
def test_a_host_of_a_distant_version_does_not_join(shared, aws, of_major, distance, remedy):
    build, version = of_major(distance)
    host = shared.host(f"distant-{distance}", env=aws.identity(), build=build).start()
    host.process.wait_for(rf"Can not join the cluster as Instance.*this host runs version {re.escape(version)} of teleport, and the Auth Service version .*{remedy}")
    event = shared.event("instance.join", success=False, client_version=version)
    assert event["check"] == "version"
    host.stop()
    shared.hosts.remove(host)


def test_a_host_that_is_upgraded_too_far_keeps_its_identity(shared, aws, of_major):
    host = shared.join("web-1", env=aws.identity())
    identity = host.identity()["tls_cert"]
    host.stop()
    host.own_build, version = of_major(1)
    host.start()
    host.process.wait_for(rf"This host is not connected to the cluster .*this host runs version {re.escape(version)} of teleport")
    assert host.identity()["tls_cert"] == identity
    host.stop()
    host.own_build, version = of_major(-1)
    host.start()
    host.wait_joined()
    shared.event("instance.join", success=True, node_name="web-1")
    counted = shared.json("inventory", "status")["versions"]
    assert counted[version] == 1
