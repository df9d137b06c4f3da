# SPDX-License-Identifier: Apache-2.0
"""An image of the Auth Service and the Proxy Service for containers: a tar archive in OCI's layout, with one layer.

It has `teleport`, its libraries, certificates of CAs, and the copyright files of the libraries. It has no shell, and no sshd: an agent belongs on its host.
"""
import datetime
import gzip
import hashlib
import io
import json
import pathlib
import tarfile

from packages import closure, deb, stage

PORTS = ("3025/tcp", "3080/tcp")
ETC = {"etc/passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n", "etc/group": "root:x:0:\nnogroup:x:65534:\n",
       "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n"}
DIRECTORIES = {"root": 0o700, "run": 0o755, "tmp": 0o1777, "var/lib/teleport": 0o700, "proc": 0o755, "sys": 0o755, "dev": 0o755}
LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}


class Archive:
    """A tar archive whose bytes depend on its content only."""

    def __init__(self, epoch):
        self.bytes, self.epoch, self.made = io.BytesIO(), epoch, set()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, kind, mode, content=b"", target=""):
        for parent in reversed(pathlib.PurePosixPath(name).parents):
            if str(parent) != "." and str(parent) not in self.made:
                self.add(str(parent), tarfile.DIRTYPE, DIRECTORIES.get(str(parent), 0o755))
        self.made.add(name)
        member = tarfile.TarInfo(name)
        member.type, member.mode, member.size, member.linkname, member.mtime = kind, mode, len(content), target, self.epoch
        self.tar.addfile(member, io.BytesIO(content))

    def file(self, name, content, mode=0o644):
        self.add(name, tarfile.REGTYPE, mode, content)

    def finish(self):
        self.tar.close()
        return self.bytes.getvalue()


def layer(build, root):
    made = Archive(build.epoch)
    program = root / "usr/bin/teleport"
    for name, target in LINKS.items():
        made.add(name, tarfile.SYMTYPE, 0o777, target=target)
    for name, mode in DIRECTORIES.items():
        made.add(name, tarfile.DIRTYPE, mode)
    for name, text in ETC.items():
        made.file(name, text.encode())
    made.file("etc/ssl/certs/ca-certificates.crt", pathlib.Path("/etc/ssl/certs/ca-certificates.crt").read_bytes())
    made.file("usr/bin/teleport", program.read_bytes(), 0o755)
    packages = set()
    for path in closure.libraries([program], True).values():
        inside = path.lstrip("/") if path.startswith("/usr/") else f"usr{path}"
        made.file(inside, pathlib.Path(path).read_bytes(), 0o755)
        packages.add(closure.package_of(path).name)
    for name in sorted(packages | {"ca-certificates"}):
        made.file(f"usr/share/doc/{name}/copyright", pathlib.Path(f"/usr/share/doc/{name}/copyright").read_bytes())
    made.file("usr/share/doc/teleport/copyright", (stage.HERE / "copyright").read_bytes())
    return made.finish()


def write(build, roots, out, work):
    del work
    blobs = {}

    def blob(media, content):
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": f"application/vnd.oci.image.{media}", "digest": f"sha256:{digest}", "size": len(content)}

    def as_json(value):
        return json.dumps(value, sort_keys=True).encode()

    plain = layer(build, roots[stage.SERVER])
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, packed, mtime=0) as stream:
        stream.write(plain)
    created = datetime.datetime.fromtimestamp(build.epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = blob("config.v1+json", as_json({
        "created": created, "architecture": deb.architecture(), "os": "linux",
        "config": {"Entrypoint": ["/usr/bin/teleport"], "Cmd": ["start", "--config=/etc/teleport.yaml"], "ExposedPorts": {port: {} for port in PORTS},
                   "Volumes": {"/var/lib/teleport": {}}, "WorkingDir": "/", "Env": ["PATH=/usr/bin"], "StopSignal": "SIGTERM",
                   "Labels": {"org.opencontainers.image.version": build.version, "org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.title": "teleport"}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}"]}, "history": [{"created": created, "created_by": "scripts/package oci"}]}))
    manifest = blob("manifest.v1+json", as_json({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
                                                 "layers": [blob("layer.v1.tar+gzip", packed.getvalue())]}))
    # A tag has no "~" and no "+".
    manifest["annotations"] = {"org.opencontainers.image.ref.name": build.version.replace("~", "-").replace("+", "-")}
    archive = Archive(build.epoch)
    archive.file("oci-layout", as_json({"imageLayoutVersion": "1.0.0"}))
    archive.file("index.json", as_json({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]}))
    for digest, content in sorted(blobs.items()):
        archive.file(f"blobs/sha256/{digest}", content)
    path = pathlib.Path(out) / f"teleport_{build.version}_{deb.architecture()}.oci.tar"
    path.write_bytes(archive.finish())
    return [path]
