# SPDX-License-Identifier: Apache-2.0
"""
The terminal of the web player (src/proxy/web/assets/terminal.js), in Chromium. Tables of sequences have the screen that xterm shows; what programs
printed, in terminal_output, is compared with tmux cell by cell.
"""
import json
import os
import pathlib
import subprocess

import pytest

from browser import Browser
from harness import TIMEOUT

PROJECT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = PROJECT / "src/proxy/web/assets/terminal.js"
RECORDED = sorted((PROJECT / "tests/e2e/terminal_output").glob("*.bin"))

# Returns rows of cells: [text, foreground, background, flags]; blanks at the end of a row are left out, as tmux does not report all of
# those that were erased with a background.
CELLS = """(t => t.rows.map(r => {
    const cells = r.text.map((c, x) => [c, r.fg[x], r.bg[x], r.flags[x]]);
    while (cells.length && cells.at(-1)[0] === ' ' && !cells.at(-1)[3]) cells.pop();
    return cells;
}))"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser") / "chromium") as browser:
        page = browser.page()
        page.evaluate(SCRIPT.read_text() + "\n0")
        yield page


class Tmux:
    """tmux as a terminal to compare with: bytes in, screen out."""

    def __init__(self, directory):
        self.dir, self.count = directory, 0
        self.run_("new-session", "-d", "cat")
        self.run_("set", "-g", "status", "off")

    def run_(self, *args):
        command = ["tmux", "-u", "-S", str(self.dir / "tmux"), "-f", "/dev/null", *args]
        env = {**{k: v for k, v in os.environ.items() if k != "TMUX"}, "LC_ALL": "C.UTF-8"}
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, env=env)
        assert done.returncode == 0, (args, done.stderr)
        return done.stdout

    def show(self, data, columns):
        """The rows that it shows, with sequences for their looks, and the column and row of the cursor."""
        self.count += 1
        path, name = self.dir / "data", f"shown-{self.count}"
        path.write_bytes(data)
        self.run_("new-session", "-d", "-s", name, "-x", str(columns), "-y", "24", f"stty raw -echo; cat {path}; tmux -S {self.dir}/tmux wait-for -S {name}; exec cat")
        self.run_("wait-for", name)
        rows = self.run_("capture-pane", "-p", "-e", "-N", "-t", name).split(b"\n")[:24]
        x, y = self.run_("display-message", "-p", "-t", name, "#{cursor_x} #{cursor_y}").split()
        self.run_("kill-session", "-t", name)
        return rows, [min(int(x), columns - 1), int(y)]  # it counts a column more when the next character wraps

    def close(self):
        self.run_("kill-server")


@pytest.fixture(scope="module")
def tmux(tmp_path_factory):
    made = Tmux(tmp_path_factory.mktemp("tmux"))
    yield made
    made.close()


def text(data):
    return data.decode("utf-8", "surrogateescape")


def show(page, data, columns=80, rows=24):
    """The cells after these bytes, and the column and row of the cursor."""
    return page.evaluate(f"(t => (t.write({json.dumps(text(data))}), [{CELLS}(t), [t.x, t.y]]))(new Terminal({columns}, {rows}))")


def compare(page, tmux, data, columns=80):
    rows, cursor = tmux.show(data, columns)
    theirs, _ = show(page, b"\x1b)0" + b"\r\n".join(rows), columns)  # its looks come as sequences, with line drawing between shifts
    ours, our_cursor = show(page, data, columns)
    for y, (our, their) in enumerate(zip(ours, theirs)):
        assert our == their, (y, "".join(c[0] for c in our), "".join(c[0] for c in their), [(x, a, b) for x, (a, b) in enumerate(zip(our, their)) if a != b][:5], data)
    assert our_cursor == cursor, data


TABLE = [
    # name, columns x rows, what is printed, the rows
    ("text", (6, 2), "ab\r\ncd", ["ab", "cd"]),
    ("a line feed keeps the column", (6, 2), "ab\ncd", ["ab", "  cd"]),
    ("backspace and overwriting", (6, 1), "abc\b\bX", ["aXc"]),
    ("wrapping", (4, 3), "abcdef", ["abcd", "ef"]),
    ("the last column waits", (4, 2), "abcd\rX", ["Xbcd"]),
    ("no wrapping", (4, 2), "\x1b[?7labcdef", ["abcf"]),
    ("scrolling", (3, 2), "a\r\nb\r\nc", ["b", "c"]),
    ("tabs", (20, 1), "a\tb\tc", ["a       b       c"]),
    ("own tabs", (20, 1), "\x1b[3g   \x1bH\ra\tb", ["a  b"]),
    ("back a tab", (20, 1), "\x1b[18G\x1b[2Zx", ["        x"]),
    ("cursor movement", (6, 4), "\x1b[2;3Hx\x1b[Ay\x1b[2Bz\x1b[5Dw", ["   y", "  x", "w   z"]),
    ("movement is bounded", (3, 2), "\x1b[999;999Hx\x1b[999A\x1b[999Dy", ["y", "  x"]),
    ("erase to the end", (6, 2), "abcdef\x1b[1;3H\x1b[K", ["ab"]),
    ("erase to the start", (6, 1), "abcdef\x1b[3G\x1b[1K", ["   def"]),
    ("erase the screen", (3, 2), "abc\r\ndef\x1b[2J", ["", ""]),
    ("erase below", (3, 3), "abc\r\ndef\r\nghi\x1b[2;2H\x1b[J", ["abc", "d", ""]),
    ("erase above", (3, 3), "abc\r\ndef\r\nghi\x1b[2;2H\x1b[1J", ["", "  f", "ghi"]),
    ("insert and delete characters", (6, 1), "abcdef\x1b[2G\x1b[2@\x1b[5G\x1b[P", ["a  bd"]),
    ("erase characters", (6, 1), "abcdef\x1b[2G\x1b[3X", ["a   ef"]),
    ("insert mode", (6, 1), "abc\x1b[4h\rXY\x1b[4lZ", ["XYZbc"]),
    ("insert and delete lines", (2, 4), "a\r\nb\r\nc\r\nd\x1b[2H\x1b[L\x1b[4H\x1b[M", ["a", "", "b", ""]),
    ("a scroll region", (2, 4), "a\r\nb\r\nc\r\nd\x1b[2;3r\x1b[3H\n", ["a", "c", "", "d"]),
    ("reverse index in it", (2, 4), "a\r\nb\r\nc\r\nd\x1b[2;3r\x1b[2H\x1bM", ["a", "", "b", "d"]),
    ("origin mode", (3, 4), "\x1b[2;3r\x1b[?6h\x1b[1;1Hx\x1b[9;1Hy", ["", "x", "y", ""]),
    ("scroll up and down", (2, 3), "a\r\nb\r\nc\x1b[S\x1b[2T", ["", "", "b"]),
    ("saved cursor", (6, 2), "ab\x1b7\r\ncd\x1b8X", ["abX", "cd"]),
    ("the alternate screen", (6, 2), "main\x1b[?1049h\x1b[Halt\x1b[?1049l!", ["main!"]),
    ("in it", (6, 2), "main\x1b[?1049h\x1b[Halt", ["alt"]),
    ("line drawing", (6, 1), "\x1b(0lqk\x1b(Bq", ["\u250c\u2500\u2510q"]),
    ("line drawing by shifts", (6, 1), "\x1b)0q\x0eq\x0fq", ["q\u2500q"]),
    ("repeat", (8, 1), "ab\x1b[4b", ["abbbbb"]),
    ("wide characters", (5, 2), "a\u65e5\u672c\u8a9e", ["a\u65e5\u672c", "\u8a9e"]),
    ("half of one overwritten", (5, 1), "\u65e5\x1b[2Gx", [" x"]),
    ("combining characters", (5, 1), "e\u0301x", ["e\u0301x"]),
    ("beyond the basic plane", (5, 1), "\U0001f44dx", ["\U0001f44dx"]),
    ("a byte that is no character", (5, 1), "a\udcffb", ["a\ufffdb"]),
    ("alignment", (3, 2), "\x1b#8", ["EEE", "EEE"]),
    ("a title is not printed", (5, 1), "a\x1b]0;title\x07b\x1b]2;t\x1b\\c", ["abc"]),
    ("a string without an end", (9, 2), "\x1b]0;xxx\r\nvisible", ["", "visible"]),
    ("device strings", (5, 1), "a\x1bP1$qm\x1b\\b\x1b_x\x1b\\c\x1b^y\x1b\\d", ["abcd"]),
    ("unknown sequences", (9, 1), "a\x1b[>1;2cb\x1b[?9999hc\x1b[5ne\x1b%Gf\x1b[1 qg\x1b=h", ["abcefgh"]),
    ("a broken sequence", (5, 1), "\x1b[1;\x18ab\x1b[3\x1b[2Gc", ["ac"]),
    ("controls inside of a sequence", (5, 2), "ab\x1b[\r2Cc", ["abc"]),
    ("too many parameters", (5, 1), "\x1b[" + "1;" * 99 + "Hok", ["ok"]),
    ("huge parameters", (5, 2), "\x1b[99999999999999999999;99999999999999999999Hx\x1b[99999999L\x1b[99999999@", ["", ""]),
    ("reset", (5, 2), "abc\x1b[2;2r\x1b[?6h\x1bcd", ["d", ""]),
]


@pytest.mark.parametrize("name, size, printed, rows", TABLE, ids=[row[0] for row in TABLE])
def test_a_sequence_has_its_effect(page, name, size, printed, rows):
    shown = page.evaluate(f"(t => (t.write({json.dumps(printed)}), t.strings()))(new Terminal({size[0]}, {size[1]}))")
    assert shown == rows + [""] * (size[1] - len(rows))


STYLES = [
    # sequence, foreground, background, flags; a colour of the palette is its number + 1, a true colour 0x1000000 + rgb
    ("31", 2, 0, 0), ("42", 0, 3, 0), ("97;101", 16, 10, 0), ("38;5;200", 201, 0, 0), ("48;5;0", 0, 1, 0), ("38;2;1;2;3", 0x1010203, 0, 0), ("38:2::1:2:3", 0x1010203, 0, 0),
    ("38:2:1:2:3", 0x1010203, 0, 0), ("38:5:9;1", 10, 0, 1), ("48;2;255;0;300;4", 0, 0x1FF00FF, 8), ("38;5;256", 0, 0, 0), ("58;5;9;1", 0, 0, 1), ("58:2::9:9:9;3", 0, 0, 4),
    ("1;2;3;4;5;7;8;9;53", 0, 0, 511), ("1;2;22", 0, 0, 0), ("3;23", 0, 0, 0), ("4;24", 0, 0, 0), ("4:3", 0, 0, 8), ("4;4:0", 0, 0, 0), ("7;27", 0, 0, 0), ("31;39", 0, 0, 0),
    ("41;49", 0, 0, 0), ("31;1;0", 0, 0, 0), ("31;", 0, 0, 0), ("", 0, 0, 0), ("38", 0, 0, 0), ("38;2", 0x1000000, 0, 0), ("1;99;31", 2, 0, 1),
]


@pytest.mark.parametrize("sequence, fg, bg, flags", STYLES)
def test_a_style_has_its_colours_and_attributes(page, sequence, fg, bg, flags):
    cells, _ = show(page, f"\x1b[{sequence}mx".encode())
    assert cells[0] == [["x", fg, bg, flags]]


@pytest.mark.parametrize("path", RECORDED, ids=[path.stem for path in RECORDED])
def test_output_of_a_program_looks_as_in_tmux(page, tmux, path):
    data = path.read_bytes()
    # top fills its lines and then erases to their end, which erases the last character in xterm and not in tmux: it gets a column more.
    columns = 81 if path.stem == "top" else 80
    for part in (3, 2, 1):  # also in the middle, where full-screen programs are on the screen
        compare(page, tmux, whole_sequences(data[:len(data) // part]), columns)


def whole_sequences(data):
    """Up to a place where neither a character nor a sequence is cut."""
    return data[:data.rfind(b"\x1b")] if len(data) > 1 and b"\x1b" in data[1:] else data
