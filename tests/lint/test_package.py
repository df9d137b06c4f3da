# SPDX-License-Identifier: Apache-2.0
"""The Debian packages of the programs that are built: their content, their relations, and that packing gives the same bytes twice."""
import os
import re
import subprocess
import sys

import pytest

from test_layering import BUILD, PROJECT, built

sys.path.insert(0, str(PROJECT / "scripts"))
from packages import stage

PACKAGES = ("teleport", "teleport-client")


def run(*words, **more):
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, check=True, **more).stdout


def make(directory, version="16.1.0", **environment):
    """{package: path}"""
    directory.mkdir(exist_ok=True)
    run(PROJECT / "scripts/package", f"--build={BUILD}", f"--output={directory}", f"--version={version}",
        env={**os.environ, "DEBFULLNAME": "Packager", "DEBEMAIL": "packager@debian.org", **environment})
    return {path.name.split("_")[0]: path for path in directory.glob("*.deb")}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    return make(tmp_path_factory.mktemp("deb") / "out")


@pytest.fixture(scope="module")
def roots(packages, tmp_path_factory):
    """The files of each package."""
    top = tmp_path_factory.mktemp("root")
    for name, path in packages.items():
        run("dpkg-deb", "-x", path, top / name)
    return {name: top / name for name in packages}


def files(root):
    return {str(p.relative_to(root)) for p in root.rglob("*") if not p.is_dir()}


def field(path, name):
    return run("dpkg-deb", "--field", path, name).strip()


def test_packing_twice_gives_the_same_bytes(packages, tmp_path):
    old = os.umask(0o077)
    try:
        again = make(tmp_path / "elsewhere", TZ="Asia/Tokyo", LC_ALL="C", HOME="/nonexistent")
    finally:
        os.umask(old)
    assert set(packages) == set(PACKAGES) and all(packages[name].read_bytes() == again[name].read_bytes() for name in packages)


def test_the_packages_have_the_programs_and_share_no_file(packages, roots):
    assert files(roots["teleport"]) & files(roots["teleport-client"]) == set()
    for package, names in (("teleport", ["teleport"]), ("teleport-client", ["tctl", "tsh"])):
        assert sorted(p.name for p in (roots[package] / "usr/bin").iterdir()) == names
        for name in names:
            assert "v16.1.0" in run(roots[package] / "usr/bin" / name, "version")
            assert run("man", "-M", roots[package] / "usr/share/man", "-w", name).strip().endswith(".gz")
            for path in (f"bash-completion/completions/{name}", f"zsh/vendor-completions/_{name}", f"fish/vendor_completions.d/{name}.fish"):
                assert (roots[package] / "usr/share" / path).stat().st_size > 1000
        owners = {line.split()[1] for line in run("dpkg-deb", "-c", packages[package]).splitlines()}
        assert owners == {"root/root"}
    assert run("man", "-M", roots["teleport"] / "usr/share/man", "-w", "teleport-start").strip().endswith("man8/teleport-start.8.gz")
    assert not any("systemd" in name or name.startswith("etc/") for name in files(roots["teleport-client"]))


def test_the_unit_is_that_of_teleport_install_systemd(roots):
    written = (roots["teleport"] / "lib/systemd/system/teleport.service").read_text()
    assert written.strip() == run(built("teleport"), "install", "systemd", "--teleport-path=/usr/bin/teleport", "--roles=auth,proxy,node").strip()
    assert "EnvironmentFile=-/etc/default/teleport" in written


def test_the_configuration_is_an_example_only(packages, roots, tmp_path):
    control = tmp_path / "control"
    run("dpkg-deb", "-e", packages["teleport"], control)
    assert (control / "conffiles").read_text() == "/etc/default/teleport\n"
    assert not (roots["teleport"] / "etc/teleport.yaml").exists()
    for name in ("teleport.yaml", "cluster.yaml"):
        example = roots["teleport"] / "usr/share/doc/teleport/examples" / name
        assert "FAIL" not in run(built("teleport"), "configure", f"--test={example}")  # it would end with 1


def test_dependencies_are_the_libraries_linked_and_loaded(packages):
    for package, least in (("teleport", 12), ("teleport-client", 6)):
        depends, programs = field(packages[package], "Depends"), [built(name) for name in stage.PROGRAMS[package]]
        linked = {name for program in programs for name in re.findall(r"NEEDED\s+(\S+)", run("objdump", "-p", program))}
        wanted = {name for name in [*linked, *(soname for soname, _, _ in stage.libraries(*programs))] if not name.startswith("ld-")}
        assert len(wanted) > least and "libyaml-0.so.2" in wanted - linked
        for soname in wanted:
            owners = {line.split(":")[0] for line in run("dpkg-query", "-S", f"*/{soname}").splitlines()}
            assert any(re.search(rf"(^|, ){re.escape(owner)}( \(|,|$)", depends) for owner in owners), f"{soname}: {owners} in {depends}"
    depends = field(packages["teleport"], "Depends")
    assert "teleport-client (= 16.1.0)" in depends and field(packages["teleport"], "Recommends") == "openssh-server"
    assert "openssh-client" in field(packages["teleport-client"], "Depends")


def test_accounts_and_directory_are_those_of_the_services(roots, tmp_path):
    (tmp_path / "etc").mkdir()
    run("systemd-sysusers", f"--root={tmp_path}", roots["teleport"] / "usr/lib/sysusers.d/teleport.conf")
    made = {line.split(":")[0] for line in (tmp_path / "etc/passwd").read_text().splitlines()}
    users = set(re.findall(r'"(teleport-\w+)"', (PROJECT / "src/services/services.c").read_text() + (PROJECT / "src/supervisor/accounts.c").read_text()))
    assert made == users and len(made) > 7
    run("systemd-tmpfiles", f"--root={tmp_path}", "--create", roots["teleport"] / "usr/lib/tmpfiles.d/teleport.conf")
    assert (tmp_path / "var/lib/teleport").stat().st_mode & 0o7777 == 0o700


def test_lintian_finds_nothing(packages):
    done = subprocess.run(["lintian", "--allow-root", "--tag-display-limit", "0", "--fail-on", "error,warning", *packages.values()], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def test_versions_of_commits_are_ordered_around_their_tag(tmp_path, monkeypatch):
    def git(*words):
        run("git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@debian.org", *words)

    def commit():
        git("commit", "-q", "--allow-empty", "-m", "change")
        return stage.version()

    monkeypatch.setattr(stage, "PROJECT", tmp_path)
    (tmp_path / "meson.build").write_text("project('x', 'c', version: '1.2.3')\n")
    assert stage.version() == "1.2.3"  # an archive of the sources
    git("init", "-q")
    first, second = commit(), commit()
    git("tag", "v1.2.3")
    tagged, after = stage.version(), commit()
    assert tagged == "1.2.3" and re.fullmatch(r"1\.2\.3~git1\.[0-9a-f]{10}", first) and re.fullmatch(r"1\.2\.3\+git3\.[0-9a-f]{10}", after)
    for lower, higher in ((first, second), (second, tagged), (tagged, after)):
        run("dpkg", "--compare-versions", lower, "lt", higher)
    git("checkout", "-q", "v1.2.3~1")
    assert stage.version() == first
