# SPDX-License-Identifier: Apache-2.0
"""Rules that a compiler does not check: includes between folders, tables of the documentation, hardening of the programs, form."""
import html
import os
import pathlib
import re
import subprocess

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
SRC = PROJECT / "src"
SOURCES = sorted([*SRC.rglob("*.c"), *SRC.rglob("*.h")])
BUILD = pathlib.Path(os.environ.get("CTELEPORT_BUILD", PROJECT / "build"))
PROGRAMS = ["teleport", "tctl", "tsh"]


def built(name):
    return next(p for p in BUILD.rglob(name) if p.is_file() and os.access(p, os.X_OK))


def include_rules():
    """{folder: allowed folders} from the table of docs/architecture.md."""
    rows = re.findall(r"^\| `src/(\w+)` \|.*\|([^|]*)\|$", (PROJECT / "docs/architecture.md").read_text(), re.M)
    return {folder: set(allowed.split()) for folder, allowed in rows}


def test_every_folder_is_in_the_architecture_table():
    assert {p.name for p in SRC.iterdir() if p.is_dir()} == set(include_rules())


@pytest.mark.parametrize("folder", sorted(p.name for p in SRC.iterdir() if p.is_dir()))
def test_includes_follow_the_architecture_table(folder):
    allowed = include_rules()[folder] | {folder}
    wrong = []
    for source in sorted([*(SRC / folder).rglob("*.c"), *(SRC / folder).rglob("*.h")]):
        if source.name.endswith("_test.c"):
            continue
        for included in re.findall(r'^#include "(\w+)/', source.read_text(), re.M):
            if included not in allowed:
                wrong.append(f"{source.relative_to(PROJECT)} includes {included}/")
    assert wrong == []


def test_protocol_and_resource_folders_do_not_include_each_other():
    protocols, resources = {"net", "rpc", "aws", "store"}, {"resource", "audit"}
    table = include_rules()
    assert [p for p in protocols if table[p] & resources] == []
    assert [r for r in resources if table[r] & protocols] == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_are_hardened(program):
    path = built(program)
    headers = subprocess.run(["readelf", "-W", "-h", "-l", "-d", path], capture_output=True, text=True, check=True).stdout
    assert re.search(r"Type:\s+DYN", headers), "not position independent"
    assert "GNU_RELRO" in headers
    assert "BIND_NOW" in headers or re.search(r"FLAGS.*NOW", headers)
    assert re.search(r"GNU_STACK.*RW ", headers), "executable stack"
    assert "TEXTREL" not in headers
    symbols = subprocess.run(["readelf", "-W", "-s", path], capture_output=True, text=True, check=True).stdout
    assert "__stack_chk_fail" in symbols
    assert re.search(r"__\w+_chk", symbols), "not fortified"


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_readme_names_every_library_of_a_program(program):
    dynamic = subprocess.run(["readelf", "-W", "-d", built(program)], capture_output=True, text=True, check=True).stdout
    needed = {name for name in re.findall(r"\(NEEDED\).*\[(\S+)\]", dynamic) if not re.match(r"libc\.so|ld-linux", name)}  # the system's own, with its loader
    needed = {name for name in needed if not re.match(r"lib(asan|ubsan)\.", name)}
    readme = (PROJECT / "README.md").read_text()
    opened = {name for f in SOURCES if not f.name.endswith("_test.c") for name in re.findall(r'\.file = "(lib[^"]+)"', f.read_text())}
    named = set(re.findall(r"`(lib\S+\.so\.\d+)`", re.search(rf"^\| `{program}` \|.*", readme, re.M).group(0)))
    assert named - opened == needed
    assert program != "teleport" or opened <= named


def test_the_readme_names_the_package_of_every_library():
    readme = (PROJECT / "README.md").read_text()
    named = set(re.search(r"^    apt install (lib.*)$", readme, re.M).group(1).split()) - {"ca-certificates"}
    known = dict(re.findall(r"^\s+(\S+) \(.*\) => (\S+)$", subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout, re.M))
    needed = set()
    for library in set(re.findall(r"`(lib\S+\.so\.\d+)`", readme)):
        path = str(pathlib.Path(known[library]).resolve())
        found = subprocess.run(["dpkg", "-S", path, path.removeprefix("/usr")], capture_output=True, text=True, check=False).stdout
        needed.add(found.split(":")[0])
    assert named == needed


@pytest.mark.parametrize("script, what, option", [("demo", "A cluster, a machine that joins it", "--keep"), ("check", "Builds everything and runs all tests", "quick")])
def test_demo_and_check_have_help(script, what, option):
    help_text = subprocess.run([PROJECT / script, "--help"], capture_output=True, text=True, check=True, timeout=10).stdout
    assert help_text.startswith(what) and option in help_text and "set -" not in help_text
    for wrong in (["--unknown"], [option, option]):
        refused = subprocess.run([PROJECT / script, *wrong], capture_output=True, text=True, check=False, timeout=10)
        assert refused.returncode == 1 and "--help" in refused.stderr


def test_the_picture_shows_the_commands_of_the_demo():
    """docs/demo.svg is drawn when the demo changes: ./demo >demo.log; scripts/picture <demo.log >docs/demo.svg."""
    kept = r"(?:tctl (?:nodes|users|lock|audit)|tsh (?:ls|ssh|recordings|play))\b"
    demo = re.sub(r'"(\$\w+)"', r"\1", (PROJECT / "demo").read_text())
    run = [("tsh" if word == "refused" else word.removeprefix("run_")) + " " + rest
           for word, rest in re.findall(r"^(run_tctl|run_tsh|refused) (.*?)(?: \|.*)?$", demo, re.M)]
    shown = re.findall(r">(?:&#160;)*\$&#160;([^<]*)<", (PROJECT / "docs/demo.svg").read_text())
    shown = [re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b", "$session", html.unescape(line).replace("\u00a0", " ")) for line in shown]
    on_terminal = [line for line in shown if line.startswith("tsh ssh -t ")]
    assert [line for line in shown if re.match(kept, line) and line not in on_terminal] == [line for line in run if re.match(kept, line)]
    assert len(on_terminal) == 1 and any(line.startswith("tsh login --proxy=") and line.endswith(" --insecure") for line in shown)


def test_keys_and_messages_of_records_are_known_to_state_alone():
    """Folders above it read and write records by its functions; tests put damaged ones into the store by key."""
    prefixes = re.findall(r'_kind = \{ "[^"]+", STR_INIT\("(/[a-z/]+/)"\)', "".join(p.read_text() for p in (SRC / "state").glob("*.c")))
    assert len(prefixes) > 15 and "/hosts/" in prefixes
    key = re.compile("|".join(rf'"{re.escape(prefix)}' for prefix in prefixes))
    store = re.compile(r"\bstore_(get|range|put|watch_new|txn_(require|put|put_brief|renew|delete|delete_prefix))\(")
    message = re.compile(r"\bcteleport__state__v1__\w+__(descriptor|pack|unpack|get_packed_size|free_unpacked)\b")
    found = []
    for source in SOURCES:
        if source.relative_to(SRC).parts[0] in ("state", "store") or re.search(r"_test\.c$|_testing\.h$", source.name):
            continue
        text = source.read_text()
        found += [f"{source.relative_to(SRC)}: {m.group(0)}" for pattern in (key, store, message) for m in pattern.finditer(text)]
    assert found == []


def test_every_file_names_its_license():
    files = [*SOURCES, *PROJECT.glob("proto/*.proto"), *PROJECT.glob("tests/**/*.py")]
    assert [str(f.relative_to(PROJECT)) for f in files if "SPDX-License-Identifier: Apache-2.0" not in f.read_text()[:200]] == []


def test_no_source_file_has_more_than_900_lines():
    assert [f"{f.relative_to(PROJECT)}: {n}" for f in SOURCES if (n := len(f.read_text().splitlines())) > 900] == []


# Calls of the allocators that abort the process, with a size that is not a constant, in the code of services: their number, and the
# limit that bounds the size. A size that stored data or a peer decides is checked against a limit first, or allocated from an arena.
ALLOCATIONS = {
    "api/service.c": (2, "the supervisor's own message"),
    "audit/audit_archive.c": (1, "one for each rotated file of the log"),
    "audit/audit_log.c": (1, "LIMIT_AUDIT_RECORD, checked in the line above"),
    "auth/hosts/app_catalog.c": (1, "LIMIT_APP_RESOURCES"),
    "auth/hosts/nodes.c": (1, "LIMIT_STORE_KEY"),
    "auth/sessions/record_retention.c": (1, "one for each file of a recording"),
    "auth/sessions/session_service.c": (1, "LIMIT_REPORT"),
    "auth/hosts/tunnels_service.c": (1, "LIMIT_NAME"),
    "auth/core/unstored.c": (1, "LIMIT_REPORT, and what LIMIT_UNSTORED_HOST has left"),
    "aws/credentials.c": (1, "one for each source of the chain"),
    "aws/profile_file.c": (4, "LIMIT_AWS_FILE"),
    "instance/label_values.c": (3, "LIMIT_LABEL_COMMANDS"),
    "instance/labels.c": (2, "LIMIT_LABEL_COMMANDS"),
    "loop/loop.c": (1, "calls that this process deferred"),
    "net/cert_watch.c": (1, "CERT_WATCH_MAX"),
    "net/socket.c": (1, "the queue's ceiling, LIMIT_UNREAD_OUTPUT"),
    "net/tls_context.c": (1, "certificates of the configuration"),
    "net/tls_peer.c": (1, "LIMIT_TLS_CHAIN"),
    "net/tls_stream.c": (1, "what one read of the socket brings"),
    "proxy/apps/app_h2.c": (1, "the fields of a response, at most LIMIT_HTTP_FIELDS"),
    "rpc/wire.c": (1, "a message that LIMIT_RPC or LIMIT_STORE_VALUE let in"),
    "session/session.c": (1, "descriptors and words that sshd gave"),
    "agent/report_stream.c": (2, "LIMIT_REPORT; an accepted certificate, which CERT_MAX bounds"),
    "ssh/connection.c": (3, "programs of one connection; a packet of sshd"),
    "state/host.c": (1, "a record that LIMIT_STORE_VALUE let into the store"),
    "state/state.c": (2, "LIMIT_STORE_RANGE; a record that is below LIMIT_STORE_TXN"),
    "store/memory/memory.c": (2, "LIMIT_STORE_KEY and LIMIT_STORE_VALUE; a pointer for each item"),
    "store/store.c": (1, "LIMIT_STORE_RANGE and LIMIT_STORE_PAGE"),
    "sts/sts.c": (1, "LIMIT_STS_HEADERS"),
}
SERVICES = "access agent api audit auth aws cluster instance join login loop net os pki proxy recording resource rpc session signer ssh state store sts tunnel".split()
ABORTING = re.compile(r"\bmem_(?:alloc|array|resize)\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)")


def is_constant(arguments):
    left = re.sub(r"sizeof\s*(\([^()]*\)|\*?[\w.>-]+)", "", arguments)
    return re.sub(r"\b[A-Z][A-Z0-9_]+\b|\b(MiB|KiB|NULL)\b|\d+|[-+*,()\s]", "", left) == ""


def test_aborting_allocators_get_no_size_from_outside():
    found = {}
    for source in (f for folder in SERVICES for f in sorted((SRC / folder).rglob("*.c")) if not re.search(r"_test|_fuzz|testing", f.name)):
        calls = [arguments for arguments in ABORTING.findall(source.read_text()) if not is_constant(arguments)]
        if calls:
            found[str(source.relative_to(SRC))] = len(calls)
    assert found == {file: count for file, (count, _) in ALLOCATIONS.items()}


# Files that start jobs without keeping them for a cancellation, because the owner waits for the end of its jobs: number of calls.
FINISHED = {"audit/audit_log.c": 1, "auth/sessions/record_disk.c": 1, "store/sqlite/sqlite_queue.c": 2}


def test_pool_jobs_are_cancelled_by_job_cancel_only():
    """The owner keeps its job and calls job_cancel(); only src/loop gives work to libuv."""
    sources = {str(f.relative_to(SRC)): f.read_text() for f in SOURCES if not re.search(r"_test|_testing", f.name) and f.parent.name != "loop"}
    assert [f for f, text in sources.items() if re.search(r"\buv_(queue_work|cancel)\b", text)] == []
    assert [f for f, text in sources.items() if re.search(r"\b(uv_thread_create|pthread_create)", text)] == ["net/lookup.c"]
    forgotten = {f: n for f, text in sources.items() if (n := len(re.findall(r"^\s*(?:loop|worker)_job\(", text, re.M)))}
    assert forgotten == FINISHED


def test_an_arena_does_not_abort():
    assert "bug(" not in (SRC / "base/arena.c").read_text().replace('bug("bad format', "")


def test_no_source_has_open_markers():
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|HA" + r"CK)\b")
    tests = [*PROJECT.glob("tests/**/*.py"), *PROJECT.glob("tests/**/*.c")]
    assert [str(f.relative_to(PROJECT)) for f in [*SOURCES, *tests] if words.search(f.read_text())] == []


def test_every_fuzz_target_has_a_corpus_and_is_registered():
    for target in SRC.rglob("*_fuzz.c"):
        name = target.name.removesuffix("_fuzz.c")
        assert list((PROJECT / "tests/corpus" / name).glob("*")), f"tests/corpus/{name} is empty"
        builds = "".join(p.read_text() for p in (SRC / target.relative_to(SRC).parts[0]).rglob("meson.build"))
        assert name in builds, f"{target} is not built"


def test_every_unit_test_is_registered():
    for test in SRC.rglob("*_test.c"):
        folder = SRC / test.relative_to(SRC).parts[0]
        builds = "".join(p.read_text() for p in folder.rglob("meson.build"))
        assert re.search(rf"\b{re.escape(test.name.removesuffix('_test.c'))}\b", builds), f"{test} is not built"


def test_every_rpc_method_is_in_a_permission_table():
    protos = "".join((PROJECT / "proto" / f).read_text() for f in ("api.proto", "web.proto", "join.proto", "join_legacy.proto"))
    table = (SRC / "auth/core/methods.c").read_text()
    for service, body in re.findall(r"service (\w+) \{(.*?)\n\}", protos, re.S):
        for method in re.findall(r"rpc (\w+)\(", body):
            assert re.search(rf'[/(]"?{method}"', table), f"{service}/{method} is not in auth/core/methods.c"


def functions_of_tests():
    """The names that stand before a parenthesis in the tests."""
    sources = "".join(p.read_text() for p in [*SRC.rglob("*_test.c"), *(PROJECT / "tests").rglob("test_*.py")])
    return set(re.findall(r"\b(\w+) *\(", sources))


def test_code_and_tests_cited_by_the_security_page_exist():
    functions = functions_of_tests()
    targets = {p.stem for p in [*SRC.rglob("*_test.c"), *SRC.rglob("*_fuzz.c")]}
    page = (PROJECT / "docs/security.md").read_text().split("\n## Rules\n")[1].split("\n## ")[0]
    cited = [row for row in re.findall(r"^\| .*\|([^|]*)\|([^|]*)\|$", page, re.M) if "`" in row[0]]
    assert len(cited) > 30
    for code, tests in cited:
        for path in re.findall(r"`([^`]+)`", code):
            assert (SRC / path).exists(), path
        assert "`" in tests, code
        for name in re.findall(r"`([^`]+)`", tests):
            assert name in targets or name in functions, name


def test_tests_cited_by_the_sections_on_processes_exist():
    page = (PROJECT / "docs/security.md").read_text()
    sections = [page.split(f"\n## {title}\n")[1].split("\n## ")[0] for title in ("Processes", "Captured")]
    targets = {p.stem for p in SRC.rglob("*_fuzz.c")}
    cited = set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+){2,})`", "".join(sections))) - targets
    assert len(cited) > 40
    for row in re.findall(r"^\| `[^|]*\|[^|]*\|([^|]*)\|$", sections[1], re.M):
        assert "_" in row or "OpenSSH" in row, f"no test shows that it cannot: {row}"
    assert cited - functions_of_tests() == set()


def test_limits_are_documented():
    """A limit has a unit and one complete sentence; the reference page has all limits."""
    reference = (PROJECT / "docs/reference/limits.md").read_text()
    limits = re.findall(r"^\s+((?:LIMIT|TIMEOUT|PACE)_\w+) = [^,]+,(.*)$", (SRC / "base/limits.h").read_text(), re.M)
    assert len(limits) > 300
    assert [name for name, comment in limits if not re.fullmatch(r" /\* [\w/]+: \w.*\. \*/", comment)] == []
    assert [name for name, _ in limits if f"| `{name}` |" not in reference] == [], "run scripts/reference"


def test_the_reference_pages_are_up_to_date():
    done = subprocess.run([PROJECT / "scripts/reference", "--check", BUILD], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_kind_of_record_is_checked_by_store_check():
    sources = [path for path in (PROJECT / "src/state").glob("*.c") if not path.name.endswith("_test.c")]
    kinds = {name for path in sources for name in re.findall(r"^(?:static )?const struct state_kind (\w+) = \{", path.read_text(), re.M)}
    checked = set(re.findall(r"&(\w+_kind)\b", (PROJECT / "src/state/state_check.c").read_text()))
    assert len(kinds) > 10 and kinds == checked
