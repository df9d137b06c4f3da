# SPDX-License-Identifier: Apache-2.0
"""The files of the packages, in a directory each, from built programs. Every kind of package is made of these two directories."""
import dataclasses
import gzip
import os
import pathlib
import re
import shutil
import subprocess

import tables
from tables import PROJECT

HERE = pathlib.Path(__file__).resolve().parent
SERVER, CLIENT = "teleport", "teleport-client"
PROGRAMS = {SERVER: ["teleport"], CLIENT: ["tctl", "tsh"]}
SUMMARY = {SERVER: "Services of a cluster that gives access by SSH, and of its hosts", CLIENT: "Clients of a cluster that gives access by SSH"}
UNIT_FLAGS = ["--teleport-path=/usr/bin/teleport", "--roles=auth,proxy,node"]
ABOUT = {
    SERVER: """\
Machines join the cluster with their AWS identity or a token. Users reach them by SSH, with certificates that are valid for hours.

This package has the Auth Service, the Proxy Service and the SSH Service of the agent, with a unit for systemd that is not enabled. It writes no
/etc/teleport.yaml: `teleport configure` and `teleport node configure` do.""",
    CLIENT: """\
The programs tsh, for users of a cluster, and tctl, for its administrators. Both work from any machine, after `tsh login`. There is no service in this package.""",
}


@dataclasses.dataclass
class Build:
    """Programs, and what the packages say of them."""
    directory: pathlib.Path
    version: str
    epoch: int  # seconds, the date of all files
    maintainer: str

    def program(self, name):
        return tables.find_program(self.directory, name)


def git(*arguments):
    done = subprocess.run(["git", "-C", PROJECT, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def version():
    """That of meson.build; of a commit that is not its tag, with the number of commits before and its hash: after the tag higher, before it lower."""
    number = re.search(r"version: '([\d.]+)'", (PROJECT / "meson.build").read_text()).group(1)
    tag, commit = f"v{number}", git("rev-parse", "--short=10", "HEAD")
    if not commit or git("rev-parse", "--short=10", f"{tag}^{{commit}}") == commit:
        return number
    is_after = git("describe", "--tags", "--match", tag) != ""
    return f"{number}{'+' if is_after else '~'}git{git('rev-list', '--count', 'HEAD')}.{commit}"


def build_of(directory, given_version=None):
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct") or (PROJECT / "CHANGELOG.md").stat().st_mtime)
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch)  # for all that is run from here on
    name, mail = os.environ.get("DEBFULLNAME"), os.environ.get("DEBEMAIL")
    return Build(pathlib.Path(directory).resolve(), given_version or version(), epoch, f"{name or mail} <{mail}>" if mail else git("log", "-1", "--format=%an <%ae>"))


def users():
    """[(account, title)]: those of the table of services, and that of sshd's query."""
    rows = re.findall(r'\.user = \{ "([\w-]+)", ID_\w+ \}', (PROJECT / "src/services/services.c").read_text())
    assert len(rows) > 5, "services.c: the users of the services have another form"
    return [(name, f"Teleport {name.removeprefix('teleport-')}") for name in sorted({*rows, "teleport-authorize"})]


def libraries(*programs):
    """[(soname, package, version or None)] of the libraries that the programs load at run time, from the rows for base/library.h."""
    texts = [pathlib.Path(program).read_bytes() for program in programs]
    rows = []
    for path in sorted((PROJECT / "src").rglob("*.c")):
        for soname, package, least in re.findall(r'\.file = "(lib[\w.-]+\.so\.\d+)",\s*\.package = "([\w.+-]+)(?: \(version ([\d.]+) or newer\))?"', path.read_text()):
            if not path.name.endswith("_test.c"):
                rows.append((soname, package, least or None))
    assert len(rows) >= 5, "the rows of the libraries have another form"
    return sorted(row for row in rows if any(b"\0" + row[0].encode() + b"\0" in text for text in texts))


def write(path, text, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def compress(path):
    with path.open("rb") as plain, open(f"{path}.gz", "wb") as out, gzip.GzipFile("", "wb", 9, out, mtime=0) as packed:
        shutil.copyfileobj(plain, packed)
    shutil.copymode(path, f"{path}.gz")
    path.unlink()


def stage_programs(build, package, root):
    for name in PROGRAMS[package]:
        target = root / "usr/bin" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["strip", "--strip-unneeded", "--remove-section=.comment", "--remove-section=.note", "-o", target, build.program(name)], check=True)
        target.chmod(0o755)


def stage_generated(build, roots, work):
    """Manual pages and completions: each belongs to the package of its program."""
    programs = [build.program(name) for name in tables.PROGRAMS]
    subprocess.run([PROJECT / "scripts/manual", work / "man", *programs], check=True)
    subprocess.run([PROJECT / "scripts/completions", *(work / shell for shell in ("bash", "zsh", "fish")), *programs], check=True)
    for page in (work / "man").rglob("*.*"):
        package = SERVER if page.name.startswith("teleport") else CLIENT
        target = roots[package] / "usr/share/man" / page.parent.name / page.name
        write(target, page.read_text())
        compress(target)
    for package, names in PROGRAMS.items():
        for name in names:
            for source, target in ((f"bash/completions/{name}", f"bash-completion/completions/{name}"), (f"zsh/site-functions/_{name}", f"zsh/vendor-completions/_{name}"),
                                   (f"fish/vendor_completions.d/{name}.fish", f"fish/vendor_completions.d/{name}.fish")):
                write(roots[package] / "usr/share" / target, (work / source).read_text())


def stage_service(build, root):
    """The unit, the accounts and the directory of the service; its environment; examples of its configuration."""
    unit = root / "lib/systemd/system/teleport.service"
    unit.parent.mkdir(parents=True)
    subprocess.run([build.program("teleport"), "install", "systemd", "--roles=auth,proxy,node", "--teleport-path=/usr/bin/teleport", "-o", unit], check=True, stdout=subprocess.DEVNULL)
    unit.chmod(0o644)
    write(root / "etc/default/teleport", (HERE / "default").read_text())
    write(root / "usr/lib/sysusers.d/teleport.conf", "# Each service of teleport has an account of its own.\n" + "".join(f'u {name} - "{title}"\n' for name, title in users()))
    write(root / "usr/lib/tmpfiles.d/teleport.conf", "# State of teleport: for root only. Each service opens its own directory before it changes its user.\nd /var/lib/teleport 0700 root root -\n")

    def example(name, *arguments):
        text = subprocess.run([build.program("teleport"), *arguments], capture_output=True, text=True, check=True).stdout
        write(root / "usr/share/doc/teleport/examples" / name, text.strip() + "\n")

    example("cluster.yaml", "configure", "--cluster-name=example.com", "--public-addr=teleport.example.com:443", "--node-name=teleport",
            "--acme", "--acme-email=admin@example.com", "--roles=auth,proxy")
    example("teleport.yaml", "node", "configure", "--proxy=teleport.example.com:443", "--token=iam-token", "--join-method=iam", "--node-name=web-1")


def same_dates(root, epoch):
    for path in [root, *root.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def stage(build, work):
    """{package: directory}"""
    shutil.rmtree(work, ignore_errors=True)
    roots = {package: work / package for package in PROGRAMS}
    for package, root in roots.items():
        stage_programs(build, package, root)
        doc = root / "usr/share/doc" / package
        write(doc / "copyright", (HERE / "copyright").read_text())
        write(doc / "NEWS", (PROJECT / "CHANGELOG.md").read_text())
        compress(doc / "NEWS")
    stage_generated(build, roots, work / "generated")
    stage_service(build, roots[SERVER])
    for root in roots.values():
        same_dates(root, build.epoch)
    return roots
