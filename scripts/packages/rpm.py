# SPDX-License-Identifier: Apache-2.0
"""Packages for distributions with rpm, by rpmbuild: the staged files, at the places where these distributions have them."""
import pathlib
import shutil
import subprocess

from packages import stage

MOVED = (("lib/systemd", "usr/lib/systemd"), ("usr/share/zsh/vendor-completions", "usr/share/zsh/site-functions"))

SPEC = """\
%global debug_package %{{nil}}
%global _build_id_links none
%global __os_install_post %{{nil}}
%global _buildhost localhost
%global use_source_date_epoch_as_buildtime 1
%global clamp_mtime_to_source_date_epoch 1
Name: teleport
Version: {version}
Release: 1
Summary: {summary[teleport]}
License: Apache-2.0
Requires: teleport-client = %{{version}}-%{{release}}, ca-certificates, systemd
{loaded[teleport]}
Recommends: openssh-server

%description
{about[teleport]}

Removing the package keeps /etc/teleport.yaml and /var/lib/teleport.

%package -n teleport-client
Summary: {summary[teleport-client]}
Requires: openssh-clients >= 8.5
{loaded[teleport-client]}

%description -n teleport-client
{about[teleport-client]}

%install
cp -a {tree}/. %{{buildroot}}/

%files
{files[teleport]}

%files -n teleport-client
{files[teleport-client]}

%post
systemd-sysusers teleport.conf
systemd-tmpfiles --create teleport.conf 2>/dev/null || install -d -m 0700 /var/lib/teleport
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    # After an upgrade the sessions of users go on.
    if [ $1 -gt 1 ] && systemctl --quiet is-active teleport.service; then systemctl reload teleport.service || :; fi
fi

%preun
if [ $1 -eq 0 ] && [ -d /run/systemd/system ]; then systemctl --quiet disable --now teleport.service || :; fi

%postun
if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
"""


def lines_of(root):
    lines = []
    for path in sorted(p for p in root.rglob("*") if not p.is_dir()):
        name = f"/{path.relative_to(root)}"
        lines.append(f"{'%config(noreplace) ' if name.startswith('/etc/') else '%doc ' if '/doc/' in name else ''}{name}")
    return "\n".join(lines)


def write(build, roots, out, work):
    top, trees = work / "rpm", {}
    shutil.rmtree(top, ignore_errors=True)
    for package, root in roots.items():
        trees[package] = top / package
        shutil.copytree(root, trees[package])
        for old, new in MOVED:
            if (trees[package] / old).exists():
                (trees[package] / new).parent.mkdir(parents=True, exist_ok=True)
                (trees[package] / old).rename(trees[package] / new)
                if not any((trees[package] / old).parent.iterdir()):
                    (trees[package] / old).parent.rmdir()
    both = top / "both"
    for tree in trees.values():
        shutil.copytree(tree, both, dirs_exist_ok=True)
    stage.same_dates(both, build.epoch)
    loaded = {package: "\n".join(f"Requires: {soname}()(64bit)" for soname, _, _ in stage.libraries(*(root / "usr/bin" / name for name in stage.PROGRAMS[package])))
              for package, root in roots.items()}
    stage.write(top / "teleport.spec", SPEC.format(version=build.version, summary=stage.SUMMARY, about=stage.ABOUT, loaded=loaded, tree=both,
                                                    files={p: lines_of(t) for p, t in trees.items()}))
    places = [word for name, place in (("_topdir", top), ("_rpmdir", top / "made"), ("_dbpath", top / "db")) for word in ("--define", f"{name} {place}")]  # nothing in ~
    subprocess.run(["rpmbuild", "-bb", "--quiet", *places, top / "teleport.spec"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = []
    for path in sorted((top / "made").rglob("*.rpm")):
        found.append(pathlib.Path(out) / path.name)
        shutil.copyfile(path, found[-1])
    return found
