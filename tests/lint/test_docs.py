# SPDX-License-Identifier: Apache-2.0
"""Command lines of teleport, tctl and tsh in the documentation have existing commands and flags; links have existing targets."""
import pathlib
import re
import shlex

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
REFERENCE = PROJECT / "docs/reference/commands.md"
PAGES = ["README.md", "CHANGELOG.md", "docs/troubleshooting.md",
         *(str(p.relative_to(PROJECT)) for folder in ("guide", "operate") for p in sorted((PROJECT / "docs" / folder).glob("*.md")))]
ENDS = {"|", "||", "&&", ";", ">", ">>", "<", "2>&1"}  # of a command, in a shell
# Flags of ssh, scp and sftp that tsh passes on have no row; -V of tsh's ssh likewise.
HIDDEN = {"tsh ssh": {"-tt"}, "teleport start": {"--insecure-no-tls", "--bootstrap"}}


def known():
    """{command: {flag: whether it takes a value}} from the printed help: "tctl users add" -> {"--roles": True, ...}."""
    found = {}
    for title, body in re.findall(r"^###? ([a-z][a-z ]*)\n\n```\n(.*?)^```", REFERENCE.read_text(), re.M | re.S):
        flags = {"--help": False, "-h": False}
        for letter, name, alone, value in re.findall(r"^  (?:(-\w), |    )?(?:--(?:\[no-\])?([\w-]+)|(-\w))([ =][^ \n]|)", body, re.M):
            flags.update((f, bool(value.strip())) for f in (letter, name and f"--{name}", name and not value.strip() and f"--no-{name}", alone) if f)
        found[title] = flags
    return found


COMMANDS = known()


def words_of(text):
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # prose with an apostrophe
        return text.split()


def command_lines(page):
    """(line, words) of each command line in blocks and in `code`; words of a shell that precede it are left out."""
    text = (PROJECT / page).read_text()
    indented = "".join(re.findall(r"^    ((?:teleport|tctl|tsh) .*\n)", text, re.M))
    for block in [*re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S), indented]:
        for line in re.sub(r"\\\n", " ", block).splitlines():
            found = re.match(r"(?:\$ |.*\| )?((?:teleport|tctl|tsh) .*)", line)
            if found and (line.startswith(("$ ", "teleport ", "tctl ", "tsh ")) or "| t" in line):
                yield found.group(1), words_of(found.group(1))
    for code in re.findall(r"`((?!teleport is )(?:teleport|tctl|tsh) [^`]+)`",  # but the texts of /readyz
                            re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
        yield code, words_of(code)


def mistake_of(words):
    """The error of the command line; None if it is valid."""
    ends = next((i for i, word in enumerate(words) if word in ENDS or word.startswith((">", "2>"))), len(words))
    words = words[:ends]
    globals_ = COMMANDS[words[0]]
    rest, given, skip = [], [], False
    for word in words[1:]:
        if skip:
            skip = False
        elif word.startswith("-") and len(word) > 1:
            if rest[:1] == ["ssh"] and len(rest) > 1:  # the command follows the host
                break
            flags = COMMANDS.get(" ".join([words[0], *rest[:2]]), COMMANDS.get(" ".join([words[0], *rest[:1]]), globals_)) | globals_
            skip = flags.get(word, False)
            given.append(word.split("=")[0])
        else:
            rest.append(word.split("|")[0].rstrip(","))
    names = [" ".join([words[0], *rest[:count]]) for count in (3, 2, 1)]
    command = next((name for name in names if name in COMMANDS), None)
    group = next((c for c in COMMANDS if c.startswith(" ".join([words[0], *rest[:1]]) + " ")), None) if rest else None
    if command is None:
        return None if not rest or rest[0] in ("help", "…") or (group and len(rest) == 1) else f"{' '.join(words[:3])}: there is no such command"
    unknown = [flag for flag in given if flag not in (COMMANDS[command] | globals_) and flag not in HIDDEN.get(command, ())]
    return f"{command}: there is no flag {unknown[0]}" if unknown else None


def test_commands_are_read_from_the_reference():
    assert {"--roles", "--ttl", "--format", "-f"} <= COMMANDS["tctl users add"].keys() and "--insecure" in COMMANDS["teleport start"] and "-L" in COMMANDS["tsh ssh"]
    assert mistake_of(["tctl", "user", "add"]) and mistake_of(["tctl", "lock", "--usr=a"]) and mistake_of(["tsh", "ls", "-x"])
    assert mistake_of(["tctl", "users", "add", "--roles=a", ">", "--x"]) is None and mistake_of(["tctl", "-c", "x", "status"]) is None


def test_tests_and_benchmarks_cited_by_the_pages_exist():
    tests = {name for path in PROJECT.glob("tests/e2e/test_*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)}
    text = "".join((PROJECT / page).read_text() for page in PAGES)
    cited = {name for name in re.findall(r"`(test_\w+)`", text)}
    assert len(cited) > 30 and cited - tests == set()
    assert {path.name.split(".")[0] for path in PROJECT.glob("tests/bench/bench_*")} >= set(re.findall(r"\bbench_[a-z]+", text))


@pytest.mark.parametrize("page", PAGES)
def test_commands_on_the_page_exist_in_the_help(page):
    missing = (PROJECT / page).read_text().split("## What is not there", 1)[1] if page == "README.md" else ""
    lines = [(line, words) for line, words in command_lines(page) if line not in missing]
    assert [(line, mistake) for line, words in lines if (mistake := mistake_of(words))] == []


def test_each_decision_has_a_number_of_its_own():
    titles = {path.name: re.match(r"# (\d+)\. \S", path.read_text()) for path in sorted((PROJECT / "docs/decisions").glob("*.md"))}
    assert [name for name, title in titles.items() if not title or int(name[:4]) != int(title.group(1))] == []
    numbers = [name[:4] for name in titles]
    assert sorted(set(numbers)) == numbers


def anchors(path):
    """Of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", sorted({*PAGES, *(str(p.relative_to(PROJECT)) for p in PROJECT.glob("*.md")), *(str(p.relative_to(PROJECT)) for p in PROJECT.glob("docs/**/*.md"))}))
def test_links_on_the_page_have_targets(page):
    path = PROJECT / page
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        to = (path.parent / name).resolve() if name else path
        if not to.exists() or (anchor and anchor not in anchors(to)):
            dead.append(target)
    assert dead == []
