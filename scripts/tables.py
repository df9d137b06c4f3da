# SPDX-License-Identifier: Apache-2.0
"""The tables that users read, as data: commands with flags from the help of the programs, keys from the .proto files, exit codes.

The reference (scripts/reference), the manual pages (scripts/manual) and the completions (scripts/completions) are made of them.
"""
import dataclasses
import os
import pathlib
import re
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parents[1]
PROGRAMS = ("teleport", "tctl", "tsh")


# ---- commands --------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Flag:
    letter: str  # "-f", or "" without one
    name: str  # "--format"
    value: str  # "FORMAT", or "" for a switch
    help: str  # as printed, with what is in brackets
    choices: list  # permitted values, [] for any
    env: str  # the environment variable that is read instead, or ""


@dataclasses.dataclass
class Argument:
    name: str
    help: str
    is_repeated: bool


@dataclasses.dataclass
class Command:
    program: str
    name: str  # "tokens add", "" for the program itself
    text: str  # all that --help prints
    usage: str
    help: str  # one sentence with its full stop
    flags: list
    arguments: list
    notes: str
    program_flags: list


def find_program(build, name):
    return next(p for p in pathlib.Path(build).rglob(name) if p.is_file() and os.access(p, os.X_OK))


def help_of(path, *words):
    done = subprocess.run([path, *words, "--help"], capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).replace(str(path), pathlib.Path(path).name).rstrip()


def rows(section):
    """(left, right) of a section with two columns; a left column that is too long has its right one on the next line."""
    lines = section.split("\n")
    while lines:
        left, _, right = lines.pop(0)[2:].partition("  ") if not lines[0].startswith("      --") else lines.pop(0)[6:].partition("  ")
        if not right.strip():
            right = lines.pop(0)
        yield left.strip(), right.strip()


def flag_of(left, right):
    letter, name, value = re.fullmatch(r"(?:(-\w), )?(--[\w-]+)(?:=(\S.*))?", left).groups()
    choices = re.findall(r" \(([^()]+)\)", right) if value else []
    env = re.search(r" \[env (\w+)\]", right)
    # The choices are the last text in parentheses before defaults, and are words of the command line.
    words = choices[-1].split(", ") if choices and re.search(re.escape(f"({choices[-1]})") + r"(?: \[|$| \(required\))", right) else []
    return Flag(letter or "", name, value or "", right, [w for w in words if re.fullmatch(r"[\w-]+", w)] if len(words) > 1 else [], env.group(1) if env else "")


def command_of(program, name, text):
    """Reads the help of one command, or of a program (name ""). It fails if the text has another form than flags_help.c prints."""
    usage, rest = re.fullmatch(r"Usage: ([^\n]*)\n\n(.*)", text, re.S).groups()
    sentence, *sections = rest.split("\n\n")
    command = Command(program, name, text, usage, sentence, [], [], "", [])
    notes = []
    for section in sections:
        title, _, body = section.partition("\n")
        if not notes and title in ("Flags:", "Flags of every command:"):
            flags = [flag_of(*row) for row in rows(body)]
            if title == "Flags:" and name:
                command.flags = flags
            else:
                command.program_flags = flags
        elif not notes and title == "Arguments:":
            command.arguments = [Argument(left, right, f"<{left}...>" in usage) for left, right in rows(body)]
        elif not notes and title == "Commands:":
            pass
        else:
            notes.append(section)
    command.notes = "\n\n".join(notes)
    return command


def commands_of(path):
    """The program itself (name "") and its commands, in the order of its table."""
    program = pathlib.Path(path).name
    top = help_of(path)
    listing = re.search(r"^Commands:\n(.*?)(?:\n\n\S|\Z)", top + "\n", re.M | re.S)
    names = re.findall(r"^  ([a-z][a-z ]*[a-z])(?:  |\s*$| [<\[A-Z])", listing.group(1) if listing else "", re.M)
    return [command_of(program, "", top), *(command_of(program, name, help_of(path, *name.split())) for name in names)]


def exit_codes():
    """(command, code, when): exit codes, which scripts may rely on; tests/e2e has a test of each row."""
    return [("every command", "0", "success; of `teleport start`: stopped by SIGTERM, SIGINT or SIGQUIT"),
            ("every command", "1", "the command line is wrong, or the command was refused or failed: standard error has `ERROR:`, the reason and usually a `hint:`"),
            ("`teleport configure --test`", "1", "the file has mistakes: `FAIL`, and all of them"),
            ("`teleport status`", "1", "no service runs, the host has not joined, or it is locked; 0 inside of an SSH session"),
            ("`teleport debug connect`, `tsh debug connect`", "1", "a step has failed: its row has the reason and the remedy; a warning (`!`) alone is 0"),
            ("`tctl tokens explain`", "0", "answered, also when the identity would be refused; `--format=json` has `allowed`"),
            ("`tsh status`", "1", "not logged in, or the login has ended"),
            ("`tsh ssh`", "that of the command", "the remote command has run"),
            ("`tsh ssh`", "255", "ssh could not connect, or lost the connection"),
            ("`tsh scp`, `tsh sftp`", "that of scp, sftp", "they have run"),
            ("`tsh play`", "1", "the recording is not complete, or does not match the audit log; its available part was shown")]


# ---- keys of files ---------------------------------------------------------------------------------------------

TYPES = {"bool": "yes/no", "Timestamp": "RFC 3339 time", "Duration": "duration (`1h30m`)", "map<string, string>": "mapping",
         "map<string, Strings>": "mapping to a text or a list", "int64": "number", "uint32": "number"}


def messages(path):
    """[(name, comment, [(field, type, comment)])] of a .proto file, in order."""
    found, comment, stack = [], [], []
    for line in path.read_text().splitlines():
        stripped = re.sub(r"oneof \w+ \{ (.*) \}", r"\1", line.strip())  # alone in a oneof: a field that may be absent
        if stripped.startswith("//"):
            comment.append(stripped[2:].strip())
            continue
        begin = re.match(r"message (\w+) \{", stripped)
        field = re.match(r"(?:optional |repeated )?(map<[^>]+>|[\w.]+) (\w+) = \d+;(?:\s*//\s*(.*))?", stripped)
        if begin:
            stack.append((begin.group(1), " ".join(comment), []))
            found.append(stack[-1])
        elif stripped == "}" and stack:
            stack.pop()
        elif field and stack:
            kind = field.group(1)
            if stripped.startswith("repeated"):
                kind = f"list of {kind}"
            stack[-1][2].append((field.group(2), kind, " ".join(comment) or field.group(3) or ""))
        comment = []
    return found


CONFIG_FILES, RESOURCE_FILES = ("config.proto", "common.proto"), ("resource.proto", "role.proto", "common.proto")
# Message of each kind of resource that `tctl create` reads and `tctl get` prints, and its prefix.
RESOURCES = [("Token", "token"), ("Node", "node"), ("Instance", "instance"), ("Role", "role"), ("User", "user"), ("Lock", "lock"),
             ("App", "app"), ("AppServer", "app_server")]


def key_sections(names, files, described=None):
    """[(path of keys, comment, [(key, value, meaning)])]: messages by their names, then those they contain. A message is described at its first use."""
    by_name = {m[0]: m for file in files for m in messages(PROJECT / "proto" / file)}
    described = {} if described is None else described
    found = []

    def describe(kind, prefix):
        plain = kind.removeprefix("list of ")
        return f"see `{described.get(plain, prefix)}`" if plain in by_name and plain not in TYPES else TYPES.get(plain, plain).join(["list of " if kind.startswith("list") else "", ""])

    def walk(message, prefix):
        _, comment, fields = by_name[message]
        section, nested = (prefix, comment, []), []
        found.append(section)
        for field, kind, why in fields:
            path = f"{prefix}.{field}" if prefix else field
            section[2].append((field, describe(kind, path), why))
            plain = kind.removeprefix("list of ")
            if plain in by_name and plain not in TYPES and plain not in described:
                described[plain] = path
                nested.append((plain, path))
        for plain, path in nested:
            walk(plain, path)

    for message, prefix in names:
        walk(message, prefix)
    return found


# ---- metrics -----------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Metric:
    name: str
    type: str  # "counter", "gauge", "histogram"
    process: str  # that writes it, "" for each
    labels: dict  # {name: its values, [] where they are not fixed}; with "process" of metrics of each process
    help: str


def metrics():
    """The shown rows of src/base/metric_table.h."""
    found = []
    text = (PROJECT / "src/base/metric_table.h").read_text()
    for kind, process, name, labels, help_ in re.findall(r'METRIC\(\w+, (\w+), \w+, (?:"(\w+)"|EVERY), (?:"(\w+)"|NULL), "([^"]*)",\s*\\?\s*"([^"]+)"\)', text):
        named = {} if process else {"process": []}
        for label in labels.split():
            key, _, values = label.partition("=")
            named[key] = values.split("|") if values else []
        if name:
            found.append(Metric(name, kind.lower(), process, named, help_))
    return found


def reload_rules():
    """{key or section: text of the column "On reload"}: the table of resource/config_change.c."""
    text = (PROJECT / "src/resource/config_change.c").read_text()
    shared = dict(re.findall(r'^#define (\w+) "([^"]*)"$', text, re.M))
    rules = {}
    for key, effect, rest in re.findall(r'^        \{ "([\w.]+)", CONFIG_(\w+)(.*)\},$', text, re.M):
        why = re.search(r'\.why = (?:"([^"]*)"|(\w+))', rest)
        names = ", ".join(f"`{name}`" for name in re.findall(r'"([\w-]+)"', rest))
        rules[key] = "applied" if effect == "AT_ONCE" else f"applied; new process of {names}" if effect == "PROCESSES" else f"refused: {why.group(1) or shared[why.group(2)]}"
    if not rules:
        sys.exit("config_change.c: there is no table")
    return rules


def on_reload(rules, path):
    """The text for a key: that of its row, or of the nearest section that has one; empty for a section."""
    while path and path not in rules:
        path = path.rpartition(".")[0]
    return rules.get(path, "")
