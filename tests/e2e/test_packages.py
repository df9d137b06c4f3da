# SPDX-License-Identifier: Apache-2.0
"""The Debian packages on a fresh Debian 12: installed, joined, upgraded under a session, removed, purged. Two builds, compared. The other kinds of packages."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest
import yaml

from booted import Machine
from harness import Cluster, clean_env, program, wait_until
from users import User, invite_url

PROJECT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = "a-secret-for-machines-of-the-tests"
MINUTES = 1800  # seconds, for compilers and downloads
BESIDE = "systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,ca-certificates,procps,man-db,bash-completion"


def run(*words, **more):
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=MINUTES, **more)
    assert done.returncode == 0, f"{words} ended with {done.returncode}:\n{done.stdout[-3000:]}"
    return done.stdout


def package(source, output, version, *kinds):
    """{package: path}, compiled by the one command that the documentation has."""
    run(source / "scripts/package", f"--output={output}", f"--version={version}", *kinds)
    return {path.name.split("_")[0]: path for path in output.glob(f"*_{version}_*.deb")}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Two versions of the packages: {version: {package: path}}"""
    out = tmp_path_factory.mktemp("packages")
    return {version: package(PROJECT, out / version, version, *kinds) for version, kinds in (("16.1.0", ["deb", "rpm", "oci", "spdx"]), ("16.1.1", ["deb", "rpm"]))}


@pytest.fixture(scope="module")
def debian(packages):
    """The root of a fresh Debian 12 from this machine's mirror, where apt has installed version 16.1.0."""
    sources = pathlib.Path("/etc/apt/sources.list.d/debian.sources")
    mirror = re.search(r"^URIs: (\S+)$", sources.read_text(), re.M).group(1)
    with tempfile.TemporaryDirectory(prefix="ct-debian.", dir="/var/tmp") as directory:
        root = pathlib.Path(directory) / "root"
        run("debootstrap", "--variant=minbase", f"--include={BESIDE}", "bookworm", root, mirror)
        for path in [sources, *pathlib.Path("/etc/apt/apt.conf.d").glob("*registry*"), pathlib.Path("/etc/resolv.conf")]:
            shutil.copy(path, root / path.relative_to("/"))
        (root / "etc/apt/sources.list").unlink(missing_ok=True)
        for path in packages["16.1.0"].values():
            shutil.copy(path, root / "tmp")
        run("chroot", root, "apt-get", "update", "-q")
        run("chroot", root, "apt-get", "install", "-y", "-q", "--no-install-recommends", *(f"/tmp/{path.name}" for path in packages["16.1.0"].values()),
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        yield root


@pytest.mark.nightly
def test_two_builds_in_two_places_give_the_same_bytes(packages, tmp_path):
    copy = tmp_path / "elsewhere" / "cteleport"
    run("git", "clone", "-q", "--no-hardlinks", PROJECT, copy)
    dirty = run("git", "-C", PROJECT, "diff", "HEAD", "--binary")
    if dirty:
        (tmp_path / "diff").write_text(dirty)
        run("git", "-C", copy, "apply", tmp_path / "diff")
    package(copy, tmp_path / "out", "16.1.0", "deb", "rpm", "oci", "spdx")
    first = {path.name: path.read_bytes() for path in packages["16.1.0"]["teleport"].parent.iterdir()}
    again = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert len(first) == 6 and {name for name in first if first[name] != again.get(name)} == set()


@pytest.mark.nightly
def test_meson_install_brings_programs_pages_and_completions(tmp_path):
    run("meson", "install", "--no-rebuild", "-C", PROJECT / "build", "--destdir", tmp_path)
    root = tmp_path / "usr/local"
    assert run("man", "-M", root / "share/man", "-w", "teleport-start").endswith("man8/teleport-start.8\n")
    for path in ("bin/teleport", "bin/tctl", "bin/tsh", "share/bash-completion/completions/tsh", "share/zsh/site-functions/_tsh", "share/fish/vendor_completions.d/tsh.fish"):
        assert (root / path).is_file()


class Site:
    """A cluster outside, a booted machine with packages that can be installed on it, and a user of the cluster."""

    def __init__(self, build, aws, directory, files, lower="/"):
        self.cluster = Cluster(build, aws, directory / "cluster")
        self.cluster.start()
        self.cluster.create({"kind": "token", "version": "v2", "metadata": {"name": TOKEN}, "spec": {"roles": ["Node"], "join_method": "token"}})
        words = self.cluster.tctl("users", "add", "alice", "--roles=access", "--logins=root").out
        self.alice = User(self.cluster, "alice", directory / "home").accept(invite_url(words))
        self.alice.login()
        environment = [f"SSL_CERT_FILE=/etc/proxy.pem\n", *(f"{name}={os.environ[name]}\n" for name in ("CTELEPORT_LANDLOCK",) if name in os.environ)]
        self.environment = "".join(environment)
        self.machine = Machine(directory / "machine", {"/etc/proxy.pem": (self.cluster.data_dir / "webproxy_cert.pem").read_text(), "/etc/default/teleport": self.environment,
                                                       **files}, lower)

    def run(self, *words, **more):
        return self.machine.run(*words, **more).stdout

    def there(self, path):
        return os.path.lexists(self.machine.root / path.lstrip("/"))

    def states(self):
        return {node["spec"]["hostname"] for node in self.cluster.json("nodes", "ls")}

    def joined(self):
        wait_until(lambda: self.machine.run("teleport", "status", check=False).returncode == 0, "the agent has joined")
        wait_until(lambda: self.alice.tsh("ssh", "root@fresh", "true", check=False).code == 0, "the agent is reachable")

    def stop(self):
        self.machine.stop()
        self.cluster.stop()


@pytest.fixture
def make_site(build, aws):
    with tempfile.TemporaryDirectory(prefix="ct-boot.", dir="/var/tmp") as directory, contextlib.ExitStack() as stops:
        pathlib.Path(directory).chmod(0o755)

        def make(*files, **more):
            made = Site(build, aws, pathlib.Path(directory), *files, **more)
            stops.callback(made.stop)
            return made

        yield make


@pytest.fixture
def site(make_site, debian, packages):
    upgrades = {"/usr/share/upgrade.deb": packages["16.1.1"]["teleport"], "/usr/share/upgrade-client.deb": packages["16.1.1"]["teleport-client"]}
    return make_site({**upgrades, **{f"/usr/share/{name}.deb": path for name, path in packages["16.1.0"].items()}}, lower=debian)


@pytest.mark.nightly
def test_a_fresh_debian_installs_joins_upgrades_removes_and_purges(site):
    assert site.run("dpkg", "--audit") == "" and "16.1.0" in site.run("dpkg-query", "-W", "teleport", "teleport-client")
    assert {line.split(":")[0] for line in site.run("getent", "passwd").splitlines()} >= {"teleport-auth", "teleport-ssh", "teleport-authorize"}
    assert site.machine.run("systemctl", "is-enabled", "teleport", check=False).stdout == "disabled\n" and not site.there("/etc/teleport.yaml")
    assert site.machine.run("systemd-analyze", "verify", "/lib/systemd/system/teleport.service").stderr == ""
    assert "teleport-start" in site.run("man", "-w", "teleport-start")
    assert site.run("bash", "-c", ". /usr/share/bash-completion/bash_completion; _completion_loader tsh; complete -p tsh") == "complete -F _tsh tsh\n"

    # The commands of the guide.
    site.run("teleport", "node", "configure", f"--proxy={site.cluster.proxy_addr}", f"--token={TOKEN}", f"--ca-pin={site.cluster.ca_pin}", "--node-name=fresh", "-o", "file")
    site.run("systemctl", "enable", "teleport")
    site.run("systemctl", "start", "teleport")
    site.joined()
    owner = site.run("stat", "-c", "%U", "/var/lib/teleport/proc/ids")
    assert owner == "teleport-instance\n"

    # Upgrade, while a user works.
    shell = site.alice.shell("root@fresh")
    site.run("dpkg", "-i", "/usr/share/upgrade.deb", "/usr/share/upgrade-client.deb")
    assert "16.1.1" in site.run("dpkg-query", "-W", "teleport") and site.run("systemctl", "is-active", "teleport") == "active\n"
    assert (site.machine.root / "etc/default/teleport").read_text() == site.environment
    shell.sendline("echo still-$((6*7))")
    shell.expect_exact("still-42")
    assert site.alice.tsh("ssh", "root@fresh", "echo new sessions too").out == "new sessions too\n"

    # An upgrade beside a broken configuration is complete, and the service goes on as it was.
    config = site.machine.root / "etc/teleport.yaml"
    valid = config.read_text()
    config.write_text(valid + "no_such_key: 1\n")
    assert "the service goes on as it was" in site.machine.run("dpkg", "-i", "/usr/share/upgrade.deb").stderr
    assert site.run("dpkg", "--audit") == "" and site.run("systemctl", "is-active", "teleport") == "active\n"
    config.write_text(valid)
    shell.sendline("echo and-$((6*8))")
    shell.expect_exact("and-48")
    shell.sendline("exit")
    shell.expect_exact("exit")
    site.run("systemctl", "restart", "teleport")
    site.joined()

    # Removal keeps configuration and identity: installed again, the host is the same one.
    host = site.run("cat", "/var/lib/teleport/host_uuid")
    site.run("dpkg", "--remove", "teleport")
    assert site.machine.run("pgrep", "teleport", check=False).stdout == "" and site.there("/etc/teleport.yaml") and site.there("/var/lib/teleport/host_uuid")
    site.cluster.tctl("rm", f"token/{TOKEN}")
    site.run("dpkg", "-i", "/usr/share/upgrade.deb")
    assert site.run("systemctl", "is-enabled", "teleport") == "enabled\n"
    site.run("systemctl", "start", "teleport")
    site.joined()
    assert site.run("cat", "/var/lib/teleport/host_uuid") == host

    # Purge leaves nothing.
    site.run("dpkg", "--purge", "teleport", "teleport-client")
    left = site.run("find", "/etc", "/usr", "/lib", "/var/lib", "-name", "*teleport*", "-not", "-path", "/usr/share/*.deb").split()
    assert left == [] and site.machine.run("pgrep", "teleport", check=False).stdout == ""
    assert site.machine.run("dpkg-query", "-W", "teleport", check=False).returncode == 1


# ---- other kinds --------------------------------------------------------------------------------------------------


def other(packages, end, version="16.1.0"):
    return sorted(packages[version]["teleport"].parent.glob(f"*{end}"))


IN_CONTAINER = """set -e
cd "$1"
mount --bind . .
cd "$1"
mount -t proc proc proc
mount -t tmpfs tmpfs dev
for node in null zero random urandom; do : >dev/$node; mount --bind /dev/$node dev/$node; done
exec setpriv --bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,+kill,+net_bind_service,+setfcap,+setgid,+setpcap,+setuid,+sys_chroot \\
    chroot . /usr/bin/teleport start --config=/etc/teleport.yaml
"""  # the capabilities that podman gives by default


@pytest.mark.nightly
def test_the_image_runs_a_cluster_with_its_own_libraries(packages, build, tmp_path):
    (archive,) = other(packages, ".oci.tar")
    inspected = json.loads(run("skopeo", "inspect", "--config", f"oci-archive:{archive}"))
    assert inspected["config"]["Entrypoint"] == ["/usr/bin/teleport"] and len(inspected["rootfs"]["diff_ids"]) == 1
    run("skopeo", "copy", "-q", f"oci-archive:{archive}", f"oci:{tmp_path / 'image'}:tested")
    run("umoci", "unpack", "--image", f"{tmp_path / 'image'}:tested", tmp_path / "bundle")
    root = tmp_path / "bundle/rootfs"
    config = {"version": "v3", "teleport": {"nodename": "image", "data_dir": "/var/lib/teleport"}, "ssh_service": {"enabled": "no"},
              "auth_service": {"enabled": "yes", "cluster_name": "example.com", "listen_addr": "127.0.0.1:0"},
              "proxy_service": {"enabled": "yes", "web_listen_addr": "127.0.0.1:0", "public_addr": "localhost:3080"}}
    (root / "etc/teleport.yaml").write_text(yaml.safe_dump(config))
    config["teleport"]["data_dir"] = str(root / "var/lib/teleport")
    (tmp_path / "outside.yaml").write_text(yaml.safe_dump(config))
    with (tmp_path / "log").open("w") as log:
        inside = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", IN_CONTAINER, "sh", root], stdout=log, stderr=log, env=clean_env())
        try:
            tctl = [program(build, "tctl"), "-c", tmp_path / "outside.yaml", "users", "ls"]
            wait_until(lambda: inside.poll() is None and subprocess.run(tctl, capture_output=True, check=False).returncode == 0, "the cluster answers")
            assert "libsqlite3.so.0" in {path.name for path in root.glob("usr/lib/*/lib*.so.*")}
        except AssertionError as late:
            raise AssertionError((tmp_path / "log").read_text()[-3000:]) from late
        finally:
            inside.kill()
            inside.wait()


@pytest.mark.nightly
def test_the_rpms_have_the_files_of_the_debian_packages(packages, tmp_path):
    server, client = sorted(other(packages, ".rpm"), key=lambda path: "client" in path.name)
    query = lambda *words: run("rpm", "--dbpath", tmp_path / "none", *words)  # else it makes one in ~
    run("rpm", "--root", tmp_path, "--nodeps", "--noscripts", "-i", server, client)
    for name in ("teleport", "tctl", "tsh"):
        assert "v16.1.0" in run(tmp_path / "usr/bin" / name, "version")
    debian = {line.split()[-1].removeprefix(".") for line in run("dpkg-deb", "-c", packages["16.1.0"]["teleport"]).splitlines() if not line.startswith("d")}
    moved = {name.replace("/lib/systemd", "/usr/lib/systemd").replace("vendor-completions", "site-functions") for name in debian}
    assert moved - set(query("-qlp", server).split()) == {"/usr/share/doc/teleport/changelog.gz"}
    assert query("-qcp", server) == "/etc/default/teleport\n"
    required = query("-qRp", server)
    assert "libssl.so.3()(64bit)" in required and "libsqlite3.so.0()(64bit)" in required and "teleport-client = 16.1.0-1" in required
    run("rpm", "--root", tmp_path, "--noscripts", "-e", "teleport", "teleport-client")
    assert not (tmp_path / "usr/bin/teleport").exists()


@pytest.fixture
def rpm_site(make_site, packages):
    """A machine of this Debian, where rpm can install the packages. Their names are those of Debian's libraries, but its database has none of these."""
    return make_site({f"/usr/share/{version}{'-client' if 'client' in path.name else ''}.rpm": path for version in packages for path in other(packages, ".rpm", version)})


@pytest.mark.nightly
def test_rpm_installs_upgrades_and_removes_a_running_agent(rpm_site):
    site = rpm_site
    site.run("rpm", "-i", "--nodeps", "/usr/share/16.1.0.rpm", "/usr/share/16.1.0-client.rpm")
    assert {line.split(":")[0] for line in site.run("getent", "passwd").splitlines()} >= {"teleport-auth", "teleport-ssh", "teleport-authorize"}
    assert site.run("stat", "-c", "%U %a", "/var/lib/teleport") == "root 700\n"
    assert site.machine.run("systemctl", "is-enabled", "teleport", check=False).stdout == "disabled\n" and not site.there("/etc/teleport.yaml")
    assert site.run("systemctl", "show", "-P", "LoadState", "teleport") == "loaded\n"
    assert (site.machine.root / "etc/default/teleport").read_text() == site.environment
    assert site.run("rpm", "-V", "--nodeps", "teleport-client") == ""

    site.run("teleport", "node", "configure", f"--proxy={site.cluster.proxy_addr}", f"--token={TOKEN}", f"--ca-pin={site.cluster.ca_pin}", "--node-name=fresh", "-o", "file")
    site.run("systemctl", "enable", "--now", "teleport")
    site.joined()
    shell = site.alice.shell("root@fresh")
    main = site.run("systemctl", "show", "-P", "MainPID", "teleport")

    # The old package's scriptlets run after the new one's: they must neither stop nor disable the service.
    site.run("rpm", "-U", "--nodeps", "/usr/share/16.1.1.rpm", "/usr/share/16.1.1-client.rpm")
    assert "teleport-16.1.1-1" in site.run("rpm", "-q", "teleport") and site.run("systemctl", "is-active", "teleport") == "active\n"
    assert site.run("systemctl", "is-enabled", "teleport") == "enabled\n" and site.run("systemctl", "show", "-P", "MainPID", "teleport") == main
    wait_until(lambda: "The services run from the program on the disk" in site.run("journalctl", "-u", "teleport"), "the services run from the new program")
    assert (site.machine.root / "etc/default/teleport").read_text() == site.environment
    shell.sendline("echo still-$((6*7))")
    shell.expect_exact("still-42")
    shell.sendline("exit")
    shell.expect_exact("exit")

    site.run("rpm", "-e", "teleport", "teleport-client")
    assert site.machine.run("pgrep", "teleport", check=False).stdout == "" and not site.there("/usr/bin/teleport")
    assert site.machine.run("systemctl", "is-enabled", "teleport", check=False).returncode != 0
    assert site.there("/etc/teleport.yaml") and site.there("/var/lib/teleport/host_uuid")


@pytest.mark.nightly
def test_the_list_names_every_library_and_its_version(packages, build):
    (path,) = other(packages, ".spdx.json")
    document = json.loads(path.read_text())
    listed = {package["SPDXID"]: package for package in document["packages"]}
    assert document["spdxVersion"] == "SPDX-2.3" and len(listed) == len(document["packages"]) > 30
    for relation in document["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= {*listed, "SPDXRef-DOCUMENT"}
    linked = {listed[r["relatedSpdxElement"]]["name"] for r in document["relationships"] if (r["spdxElementId"], r["relationshipType"]) == ("SPDXRef-Program-teleport", "DYNAMIC_LINK")}
    loaded = {listed[r["spdxElementId"]]["name"] for r in document["relationships"] if (r["relationshipType"], r["relatedSpdxElement"]) == ("RUNTIME_DEPENDENCY_OF", "SPDXRef-Program-teleport")}
    assert {"libc6", "libssl3", "libuv1", "libnghttp2-14"} <= linked and {"libsqlite3-0", "zlib1g", "libcurl4"} <= loaded
    assert listed["SPDXRef-Library-libssl3"]["versionInfo"] == run("dpkg-query", "-W", "-f=${Version}", "libssl3")
