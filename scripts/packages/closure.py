# SPDX-License-Identifier: Apache-2.0
"""The shared libraries that programs need, those of these libraries included, and the Debian packages that they come from."""
import dataclasses
import functools
import pathlib
import re
import subprocess

from packages import stage


@dataclasses.dataclass(frozen=True)
class Package:
    """A package of Debian that is installed on this machine."""
    name: str
    version: str
    architecture: str
    source: str


def output(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True).stdout


@functools.cache
def resolved(path):
    """{name: path} of all that the loader would load for the file, and of the loader itself."""
    found = {}
    for line in output("ldd", path).splitlines():
        named = re.match(r"\s+(\S+) => (/\S+) \(", line) or re.match(r"\s+(?:(/\S+)) \(", line)
        if named:
            target = named.group(named.lastindex)
            found[pathlib.Path(named.group(1)).name] = target
    return found


def loaded(*programs):
    """Paths of the libraries that the programs load at run time."""
    paths = dict(re.findall(r"^\s+(\S+) \(.*\) => (/\S+)$", output("/sbin/ldconfig", "-p"), re.M)[::-1])  # the first of a name is the one that is loaded
    return {soname: paths[soname] for soname, _, _ in stage.libraries(*programs)}


def libraries(programs, with_loaded):
    """{name: path}: libraries of the programs and, with with_loaded, those that they load at run time."""
    found = {}
    for path in programs:
        found |= resolved(path)
    if with_loaded:
        for soname, path in loaded(*programs).items():
            found |= {soname: path} | resolved(path)
    return dict(sorted(found.items()))


def needed(path):
    """Names of the libraries that the file itself names."""
    return re.findall(r"^\s+NEEDED\s+(\S+)", output("objdump", "-p", path), re.M)


@functools.cache
def package_of(path):
    """The package of a file. dpkg knows a path with or without /usr."""
    real = str(pathlib.Path(path).resolve())
    for name in dict.fromkeys([path, real, real.removeprefix("/usr"), f"/usr{path}"]):
        done = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            owner = done.stdout.split(": ")[0].split(",")[0]
            return Package(*output("dpkg-query", "-W", "-f=${Package} ${Version} ${Architecture} ${source:Package}", owner).split())
    raise SystemExit(f"no package has {path}")
