# SPDX-License-Identifier: Apache-2.0
"""Fixtures: `aws` (the stand-in), `cluster` (auth and proxy, running), and hosts that join it.

The programs come from $CTELEPORT_BUILD (default: build/ beside the project's meson.build). Everything
listens on loopback, on ports the kernel picks, and is gone after the test.
"""
import os
import pathlib

import pytest

from harness import Aws, Cluster

PROJECT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def build():
    path = pathlib.Path(os.environ.get("CTELEPORT_BUILD", PROJECT / "build"))
    for program in ("teleport", "tctl"):
        assert (path / program).exists() or list(path.rglob(program)), f"{program} is not built in {path}"
    return path


@pytest.fixture(scope="session")
def aws_process(tmp_path_factory):
    aws = Aws(tmp_path_factory.mktemp("aws"))
    yield aws
    aws.stop()


@pytest.fixture
def aws(aws_process):
    aws_process.reset()
    return aws_process


@pytest.fixture
def make_cluster(build, aws, tmp_path):
    """Starts clusters with other settings than the usual ones."""
    clusters = []

    def make(**settings):
        cluster = Cluster(build, aws, tmp_path / f"cluster{len(clusters)}", **settings)
        clusters.append(cluster)
        cluster.start()
        return cluster

    yield make
    for cluster in reversed(clusters):
        cluster.stop()


@pytest.fixture
def cluster(make_cluster):
    return make_cluster()
