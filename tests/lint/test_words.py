# SPDX-License-Identifier: Apache-2.0
"""Words of the project: the terms of the field, no private vocabulary; short test names."""
import fnmatch
import pathlib
import re
import subprocess

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[2]

# Private words that the project once used, as whole words of text and as parts of identifiers, with the term to write.
PRIVATE = {
    r"attend(?:s|ed|ing|ance|ances|ee)?": "session report, report stream",
    r"visit(?:s|ed|ing|or|ors)?": "client, incoming stream, poll",
    r"(?:front)?doors?": "acceptor, listener",
    r"neighbou?r(?:s|ing|hood)?": "local peer, sibling process",
    r"rival(?:s|ry)?": "duplicate host detection",
    r"farewells?|goodbyes?": "graceful close, drain, linger",
    r"guests?|evict(?:s|ed|ing|ion)?": "child handle, cleanup hook",
    r"bury|buried|buries|burial": "reap",
    r"doom(?:s|ed)?": "pending deletion",
    r"hollow(?:s|ed|ing)?|husks?": "release, placeholder",
    r"patien(?:ce|t|tly)|impatien(?:ce|t|tly)": "timeout, deadline",
    r"told|untold|retold": "acknowledged, pending, reported",
    r"hears?|heard|unheard|hearing": "receive",
    r"obey(?:s|ed|ing)?": "handle",
    r"stir(?:s|red|ring)?": "wake",
    r"people|peoples|persons?": "user",
    r"strangers?": "unauthenticated peer",
    r"crowd(?:s|ed|ing)?": "load generator",
    r"who(?:m|so)?ever": "the noun itself",
    r"keyholders?": "signer",
    r"questioners?|askers?": "client, STS client",
    r"sheltered|shelters?|caged?|cages": "sandboxed",
    r"weather": "failure injection",
    r"house|houses|roofs?|wings?": "layering, layer",
    r"dormant": "stopped",
    r"tall(?:y|ies)": "counter",
    r"wish(?:es)?": "options, request",
    r"talkative|babbles?": "unsolicited bytes",
    r"thie(?:f|ves)": "impostor",
    r"greed(?:y|iest)": "the number itself",
    r"nonsense|rubbish": "invalid, garbage",
    r"overdrawn": "exhausted",
    r"overtaken": "superseded",
    r"knock(?:s|ed|ing)?": "connect",
    r"fates?": "exit status",
    r"heals?": "repair, recover",
}
WORD = re.compile("|".join(f"(?:{words})" for words in PRIVATE))

# (file, word): words that something outside the project fixes.
EXCEPTIONS = {
    ("LICENSE", "*"): "the text of the license",
    ("tests/lint/test_words.py", "*"): "this table",
    ("docs/demo.svg", "*"): "output of programs",
    ("tests/corpus/*", "*"): "seeds of the fuzz targets",
}

def words_of(text):
    """The words of prose and of identifiers, in lower case: "on_DoorOpen" has on, door and open."""
    for run in re.findall(r"[A-Za-z]+", text):
        for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", run):
            yield word.lower()


def is_excepted(path, word):
    return any(fnmatch.fnmatch(path, file) and named in ("*", word) for file, named in EXCEPTIONS)


def private_words(path, text):
    return [f"{path}:{number}: {word}" for number, line in enumerate(text.splitlines(), 1) for word in words_of(line) if WORD.fullmatch(word) and not is_excepted(path, word)]


def test_private_words_are_recognised_in_identifiers_only_as_whole_words():
    found = [line.split()[-1] for line in private_words("x", "on_door frontDoor VISIT_MOST AttendUp arrival proof heartbeat personality window impersonate")]
    assert found == ["door", "door", "visit", "attend"]


def test_no_file_has_private_words():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split("\0")
    found = []
    for path in filter(None, listed):
        if not (PROJECT / path).is_file():
            continue
        try:
            text = (PROJECT / path).read_text()
        except UnicodeDecodeError:
            continue
        found += private_words(path, path) + private_words(path, text)
    assert found == []


def test_names_of_tests_have_ten_words_at_most():
    tests = [*PROJECT.glob("tests/e2e/test_*.py"), *PROJECT.glob("tests/lint/test_*.py")]
    names = [name for test in tests for name in re.findall(r"^def test_(\w+)", test.read_text(), re.M)]
    assert len(names) > 500 and [name for name in names if len(name.split("_")) > 10] == []


def test_names_of_unit_tests_are_short():
    names = [name for test in PROJECT.glob("src/**/*_test.c") for name in re.findall(r"^static void (\w+)\(void \*\*", test.read_text(), re.M)]
    assert len(names) > 1000 and [name for name in names if len(name.split("_")) > 11] == []


@pytest.mark.parametrize("word", ["nobody", "somebody", "everybody", "who", "whom", "whose", "what", "whatever"])
def test_names_of_tests_name_the_thing(word):
    names = [name for test in PROJECT.glob("tests/e2e/test_*.py") for name in re.findall(r"^def test_(\w+)", test.read_text(), re.M)]
    names += [name for test in PROJECT.glob("src/**/*_test.c") for name in re.findall(r"^static void (\w+)\(void \*\*", test.read_text(), re.M)]
    assert [name for name in names if word in name.split("_")] == []
