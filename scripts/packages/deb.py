# SPDX-License-Identifier: Apache-2.0
"""Packages for Debian and its derivatives, by dpkg-deb."""
import datetime
import hashlib
import pathlib
import shutil
import subprocess
import textwrap

from packages import stage

# systemd-sysusers makes the accounts, in containers too.
SYSUSERS = "systemd | systemd-standalone-sysusers | systemd-sysusers"

PURGE = """\
Purging the package deletes /etc/teleport.yaml and /var/lib/teleport: on a host of the Auth Service also the keys of its CAs and the audit log. Removing it deletes neither."""


def linked(programs, work):
    """The packages of the libraries that the programs are linked with, with the versions they need: as dpkg-shlibdeps finds them."""
    (work / "debian").mkdir(exist_ok=True)
    (work / "debian/control").write_text("Source: teleport\n\nPackage: teleport\nArchitecture: any\n")
    done = subprocess.run(["dpkg-shlibdeps", "-O", *(f"-e{path}" for path in programs)], cwd=work, capture_output=True, text=True, check=True)
    return done.stdout.strip().removeprefix("shlibs:Depends=").split(", ")


def relations(build, package, root, work):
    programs = [root / "usr/bin" / name for name in stage.PROGRAMS[package]]
    depends = [*linked(programs, work), *(f"{name} (>= {least})" if least else name for _, name, least in stage.libraries(*programs))]
    if package == stage.CLIENT:
        # tsh runs ssh, scp and sftp.
        return {"Depends": [*depends, "openssh-client (>= 1:8.5)"]}
    # Of Depends, all are used by every role but the agent's. openssh-server is used by the agent only: a host of Auth and Proxy needs no sshd.
    return {"Depends": [*depends, "ca-certificates", f"{stage.CLIENT} (= {build.version})", SYSUSERS], "Recommends": ["openssh-server"]}


def description(package):
    lines = [stage.SUMMARY[package]]
    for paragraph in [*stage.ABOUT[package].split("\n\n"), *([PURGE] if package == stage.SERVER else [])]:
        lines += ([" ."] if len(lines) > 1 else []) + [f" {line}" for line in textwrap.wrap(paragraph, 78, break_on_hyphens=False)]
    return "\n".join(lines)


def changelog(build, package):
    """Of the package; the changes of the programs are in NEWS.gz."""
    date = datetime.datetime.fromtimestamp(build.epoch, datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S +0000")
    return f"teleport ({build.version}) unstable; urgency=medium\n\n  * Version {build.version}; NEWS.gz has the changes.\n\n -- {build.maintainer}  {date}\n"


def control(build, package, root, work):
    size = sum((path.stat().st_size + 1023) // 1024 if path.is_file() else 1 for path in root.rglob("*"))
    fields = {"Package": package, "Source": None if package == stage.SERVER else "teleport", "Version": build.version, "Architecture": architecture(), "Maintainer": build.maintainer,
              "Installed-Size": str(size), **{name: ", ".join(values) for name, values in relations(build, package, root, work).items()},
              "Section": "net", "Priority": "optional", "Description": description(package)}
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)


def architecture():
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


def write_one(build, package, root, out, work):
    """Makes one package; the path of its file."""
    tree = work / f"deb-{package}"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(root, tree, symlinks=True)
    doc = tree / "usr/share/doc" / package
    stage.write(doc / "changelog", changelog(build, package))
    stage.compress(doc / "changelog")
    overrides = stage.HERE / f"{package}.lintian-overrides"
    if overrides.exists():
        stage.write(tree / "usr/share/lintian/overrides" / package, overrides.read_text())
    text = control(build, package, tree, work)
    sums = "".join(f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(tree)}\n" for path in sorted(tree.rglob("*")) if path.is_file() and "etc" not in path.relative_to(tree).parts[:1])
    stage.write(tree / "DEBIAN/control", text)
    stage.write(tree / "DEBIAN/md5sums", sums)
    conffiles = sorted(f"/{path.relative_to(tree)}" for path in (tree / "etc").rglob("*") if path.is_file())
    if conffiles:
        stage.write(tree / "DEBIAN/conffiles", "".join(f"{name}\n" for name in conffiles))
    for script in ("postinst", "prerm", "postrm"):
        source = stage.HERE / f"{package}.{script}"
        if source.exists():
            stage.write(tree / "DEBIAN" / script, source.read_text(), 0o755)
    stage.same_dates(tree, build.epoch)
    path = pathlib.Path(out) / f"{package}_{build.version}_{architecture()}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zxz", "--build", tree, path], check=True, stdout=subprocess.DEVNULL)
    return path


def write(build, roots, out, work):
    """Makes both; their paths."""
    return [write_one(build, package, root, out, work) for package, root in roots.items()]
