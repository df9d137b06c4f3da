# SPDX-License-Identifier: Apache-2.0
"""The list of what is linked into the programs, and of what they load at run time, in SPDX 2.3 (JSON)."""
import datetime
import hashlib
import json
import pathlib
import re
import urllib.parse

from packages import closure, deb, stage


def identifier(kind, name):
    return f"SPDXRef-{kind}-{re.sub(r'[^A-Za-z0-9.-]', '-', name)}"


def library(package):
    purl = f"pkg:deb/debian/{urllib.parse.quote(package.name)}@{urllib.parse.quote(package.version)}?arch={package.architecture}"
    return {"SPDXID": identifier("Library", package.name), "name": package.name, "versionInfo": package.version, "supplier": "Organization: Debian", "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION", "sourceInfo": f"source package {package.source}",
            "primaryPackagePurpose": "LIBRARY", "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]}


def write(build, roots, out, work):
    del work
    programs = {name: roots[package] / "usr/bin" / name for package, names in stage.PROGRAMS.items() for name in names}
    listed, links, libraries = [], [], {}
    for name, path in programs.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        listed.append({"SPDXID": identifier("Program", name), "name": name, "versionInfo": build.version, "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
                       "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0", "copyrightText": "NOASSERTION", "primaryPackagePurpose": "APPLICATION",
                       "checksums": [{"algorithm": "SHA256", "checksumValue": digest}]})
        links.append(("SPDXRef-DOCUMENT", "DESCRIBES", identifier("Program", name)))
        for soname in closure.needed(path):
            links.append((identifier("Program", name), "DYNAMIC_LINK", soname))
        links += [(identifier("Program", name), "RUNTIME_DEPENDENCY_OF", soname) for soname in closure.loaded(path)]
    for soname, path in closure.libraries(programs.values(), True).items():
        libraries[soname] = closure.package_of(path)
        links += [(identifier("Library", libraries[soname].name), "DYNAMIC_LINK", other) for other in closure.needed(path)]

    def relation(one, kind, other):
        other = identifier("Library", libraries[other].name) if other in libraries else other
        if kind == "RUNTIME_DEPENDENCY_OF":  # the library is one of the program
            one, other = other, one
        return one, kind, other

    related = dict.fromkeys(relation(*link) for link in links)  # each once, in order
    document = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"teleport-{build.version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/teleport-{urllib.parse.quote(build.version)}-{listed[0]['checksums'][0]['checksumValue'][:32]}",
        "creationInfo": {"created": datetime.datetime.fromtimestamp(build.epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: scripts/package"]},
        "packages": [*listed, *(library(package) for package in sorted(set(libraries.values()), key=lambda p: p.name))],
        "relationships": [{"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other} for one, kind, other in related if one != other],
    }
    path = pathlib.Path(out) / f"teleport_{build.version}_{deb.architecture()}.spdx.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    return [path]
