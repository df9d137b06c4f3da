# SPDX-License-Identifier: Apache-2.0
"""Recordings equal the output of the terminal byte for byte, under all failures."""
import hashlib
import json
import os
import re
import signal
import termios

import pexpect
import pytest

from harness import TIMEOUT, wait_until


def record(user, target, *command, typed=(), rows=24):
    """A session on a terminal, to its end; returns all the terminal showed. What is typed are lines, and functions that wait for something."""
    shown = []

    class Eye:
        def write(self, data):
            shown.append(data)

        def flush(self):
            pass

    child = user.terminal("ssh", "-t", target, *command, rows=rows) if command else user.terminal("ssh", target, rows=rows)
    child.logfile_read = Eye()
    for line in typed:
        if callable(line):
            line()
            continue
        child.expect(r"[#$] $")
        child.sendline(line)
    child.expect(pexpect.EOF, timeout=TIMEOUT)
    child.close()
    return b"".join(shown)


def the_recording(cluster, user, count=1):
    """The newest recording once all of it is at the cluster."""
    done = wait_until(lambda: [r for r in user.recordings() if r.get("is_complete")][count - 1:], "the recording is complete")
    return done[-1]


def play(user, session_id, form):
    import subprocess
    from users import program
    return subprocess.run([program(user.cluster.build, "tsh"), "play", session_id, f"--format={form}"], capture_output=True, env=user.env, timeout=TIMEOUT,
                          check=True).stdout


def test_a_recording_equals_the_terminal_output(access, alice):
    shown = record(alice, "root@web-1", typed=["PS1='$ '", "printf '\\303\\244\\342\\202\\254\\n'; head -c 300 /dev/urandom; ls -la /", "exit"])
    recording = the_recording(access, alice)
    played = play(alice, recording["session_id"], "pty")
    # ssh itself adds a line of its own at the end of a session on a terminal; the rest is the node's.
    assert shown.startswith(played) and len(shown) - len(played) < 80, (shown[-200:], played[-200:])
    assert recording["user"] == "alice" and recording["login"] == "root" and recording["hostname"] == "web-1"


def test_much_output_is_recorded_whole(access, alice):
    shown = record(alice, "root@web-1", "seq 1 200000")
    played = play(alice, the_recording(access, alice)["session_id"], "pty")
    assert shown.startswith(played) and played.endswith(b"200000\r\n")


def test_the_json_of_a_recording_is_asciicast_v2(access, alice):
    record(alice, "root@web-1", typed=["echo cast", "exit"])
    lines = play(alice, the_recording(access, alice)["session_id"], "json").decode().splitlines()
    header = json.loads(lines[0])
    assert header["version"] == 2 and (header["width"], header["height"]) == (80, 24)
    events = [json.loads(line) for line in lines[1:]]
    times = [e[0] for e in events]
    assert times == sorted(times)
    text = "".join(e[2] for e in events if e[1] == "o")
    assert "cast\r\n" in text
    pty = play(alice, the_recording(access, alice)["session_id"], "pty")
    assert text.encode("utf-8", "surrogateescape") == pty


def test_a_change_of_size_is_in_the_recording(access, alice):
    shell = alice.shell("root@web-1")
    shell.setwinsize(50, 132)
    wait_until(lambda: access.events("resize"), "the change is audited")
    shell.sendline("exit")
    shell.wait()
    lines = play(alice, the_recording(access, alice)["session_id"], "json").decode().splitlines()
    assert [json.loads(line)[2] for line in lines[1:] if json.loads(line)[1] == "r"] == ["132x50"]


def test_commands_without_a_terminal_are_audited_and_not_recorded(access, alice):
    alice.tsh("ssh", "root@web-1", "echo no terminal")
    wait_until(lambda: access.events("exec"), "the command is audited")
    assert alice.recordings() == []


def test_others_see_recordings_by_their_roles(access, alice, invite):
    record(alice, "root@web-1", typed=["exit"])
    session_id = the_recording(access, alice)["session_id"]
    bob = invite(access, "bob", "access", "root")
    bob.login()
    assert bob.recordings() == []
    assert bob.tsh("play", session_id, "--format=pty", check=False).code == 1
    auditor = invite(access, "audrey", "auditor", "root")
    auditor.login()
    assert [r["session_id"] for r in auditor.recordings()] == [session_id]
    auditor.tsh("play", session_id, "--format=pty")
    access.event("session.recording.access", user="audrey")


@pytest.mark.parametrize("session_id", ["../../../etc/passwd", "", "x", "00000000-0000-4000-8000-000000000000", "-h"])
def test_a_recording_that_is_none_is_refused(access, alice, session_id):
    assert alice.tsh("play", "--format=pty", "--", session_id, check=False).code == 1


def test_play_shows_it_on_a_terminal_and_can_be_left(access, alice):
    record(alice, "root@web-1", typed=["echo pl''ayed", "exit"])
    session_id = the_recording(access, alice)["session_id"]
    player = alice.terminal("play", session_id, "--speed=8x")
    player.expect("played")
    player.wait()
    assert player.exitstatus == 0
    slow = alice.terminal("play", session_id, "--speed=0.5x")
    slow.send("q")
    slow.wait()


def test_play_leaves_the_terminal_as_it_was(access, alice):
    record(alice, "root@web-1", typed=[r"printf '\033[?1049h\033[?1000h\033[2;5r\033[?2004h\033[?5h\033]11;red\007\033[6n'; echo al''tered", "exit"])
    session_id = the_recording(access, alice)["session_id"]
    shell = pexpect.spawn("/bin/sh", ["-c", f"tsh play {session_id} --speed=8x; stty raw -echo min 0 time 2; printf 'left<'; cat -v; printf '>'"],
                          env={**alice.env, "TERM": "xterm"}, dimensions=(24, 80), timeout=TIMEOUT)
    shell.delaybeforesend = None
    shell.expect(re.escape("\x1b[6n"))
    shell.send("\x1b[12;40R\x1bP1$r0 q\x1b\\")  # answers of terminals; the second has the letter that ends playing
    shell.expect("altered")
    shell.expect(re.escape("\x1b[5n"))
    for reset in ("\x1b[?1049l", "\x1b[?1000l", "\x1b[r", "\x1b[?2004l", "\x1b[?5l", "\x1b]111\x1b\\", "\x1b[23;0t"):
        assert reset.encode() in shell.before
    shell.send("\x1b[12;41R\x1b[0n")
    shell.expect("left<(.*)>")
    assert shell.match.group(1) == b""
    shell.wait()


def test_play_that_is_killed_leaves_the_terminal_as_it_was(access, alice):
    record(alice, "root@web-1", typed=["echo al''tered", "sleep 3", "exit"])
    session_id = the_recording(access, alice)["session_id"]
    for signum in (signal.SIGTERM, signal.SIGHUP):
        # Under nohup, the tests ignore SIGHUP, and so would play.
        play_ = alice.terminal("play", session_id, "--speed=0.5x", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
        is_raw = lambda: not termios.tcgetattr(play_.child_fd)[3] & (termios.ICANON | termios.ECHO)
        play_.expect("altered")
        assert is_raw()
        play_.kill(signum)
        play_.expect(re.escape("\x1b[?1049l"))
        play_.expect(re.escape("\x1b[5n"))
        play_.send("\x1b[0n")
        wait_until(lambda: not is_raw(), "the terminal is as before")
        play_.wait()
        assert play_.signalstatus == signum


def test_a_stopped_play_restores_the_terminal_and_resumes(access, alice):
    record(alice, "root@web-1", typed=["echo al''tered", "sleep 3", "exit"])
    session_id = the_recording(access, alice)["session_id"]
    play_ = alice.job("play", session_id, "--speed=0.5x")
    play_.expect("altered")
    play_.send("p")  # from here on it plays no further
    stop = [lambda: os.kill(play_.job_pid, signal.SIGTSTP), lambda: play_.send("\x1a")]  # by its number, and by the key
    for ask in stop:
        wait_until(lambda: not termios.tcgetattr(play_.child_fd)[3] & (termios.ICANON | termios.ECHO), "keys come at once")
        ask()
        play_.expect(re.escape("\x1b[5n"))
        play_.send("\x1b[0n")
        play_.expect("<stopped usual True>")
        play_.send("\n")
        play_.expect("altered")  # shown again
    os.kill(play_.job_pid, signal.SIGSTOP)  # which no program can see coming
    play_.expect("<stopped usual False>")
    termios.tcsetattr(play_.child_fd, termios.TCSANOW, termios.tcgetattr(play_.child_fd)[:3] + [termios.ICANON | termios.ECHO | termios.ISIG] + termios.tcgetattr(play_.child_fd)[4:])
    play_.send("\n")
    play_.expect("altered")
    wait_until(lambda: not termios.tcgetattr(play_.child_fd)[3] & (termios.ICANON | termios.ECHO), "keys come at once again")
    play_.send("q")
    play_.expect(re.escape("\x1b[5n"))
    play_.send("\x1b[0n")
    play_.expect("<ended 0 usual True>")


def test_an_altered_recording_is_played_with_an_error(access, alice):
    record(alice, "root@web-1", typed=["echo something to alter", "exit"])
    session_id = the_recording(access, alice)["session_id"]
    path = next((access.data_dir / "log/records").glob(f"{session_id}*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = alice.tsh("play", session_id, "--format=pty", check=False)
    assert done.code == 1 and "damaged" in done.err or "altered" in done.err


def test_a_damaged_chunk_hides_nothing_behind_it(access, alice):
    def arrived(text):
        """Waits until the cluster has the chunk that ends with this."""
        return lambda: wait_until(lambda: any(text in path.read_bytes() for path in (access.data_dir / "log/records").glob("*.rec")), f"{text} arrives")

    shown = record(alice, "root@web-1", typed=["echo before", arrived(rb"before\r\n"), "printf 'x%.0s' $(seq 40); echo", arrived(b"x" * 40), "echo after", "exit"])
    session_id = the_recording(access, alice)["session_id"]
    path = access.data_dir / f"log/records/{session_id}.rec"
    whole = path.read_bytes()
    at = whole.rindex(b"x" * 40)
    path.write_bytes(whole[:at] + b"?" + whole[at + 1:])
    for form in ("pty", "text"):
        done = alice.tsh("play", session_id, f"--format={form}", check=False)
        assert done.code == 1 and "before" in done.out and "after\n" in done.out.replace("\r", "") and "x" * 40 not in done.out, done.out
        assert re.search(r"The recording has a hole: chunk \d+ is damaged or missing, \d+ bytes: output from \d+\.\d+ s to \d+\.\d+ s", done.err), done.err
    lines = [json.loads(line) for line in alice.tsh("play", session_id, "--format=json", check=False).out.splitlines()]
    assert [e[1] for e in lines[1:]].count("m") == 1 and "missing" in next(e[2] for e in lines[1:] if e[1] == "m")
    # One that is set aside is played by its number.
    path.with_suffix(".damaged-1").write_bytes(path.read_bytes())
    path.write_bytes(whole)
    assert shown.startswith(play(alice, session_id, "pty"))
    aside = alice.tsh("play", "--damaged=1", session_id, "--format=pty", check=False)
    assert aside.code == 1 and "after" in aside.out and "hole" in aside.err
    assert "1 set aside" in alice.tsh("recordings", "ls").out
    assert "complete, 1 set aside" in access.tctl("recordings", "ls").out
    assert alice.tsh("play", "--damaged=2", session_id, "--format=pty", check=False).code == 1


def test_audit_ls_finds_events_by_time_user_and_type(access, alice):
    alice.tsh("ssh", "root@web-1", "echo find me")
    wait_until(lambda: access.events("exec"), "the command is audited")
    found = json.loads(access.tctl("audit", "ls", "--type=exec", "--user=alice", "--format=json").out)
    assert [e["command"] for e in found] == ["echo find me"]
    assert json.loads(access.tctl("audit", "ls", "--type=exec", "--user=bob", "--format=json").out) == []
    assert json.loads(access.tctl("audit", "ls", "--from=2099-01-01T00:00:00Z", "--format=json").out) == []
    assert json.loads(access.tctl("audit", "ls", "--from=2000-01-01T00:00:00Z", "--to=2001-01-01T00:00:00Z", "--format=json").out) == []
    everything = lambda: json.loads(access.tctl("audit", "ls", "--from=1h", "--format=json").out)
    wait_until(lambda: {e["uid"] for e in access.events()} == {e["uid"] for e in everything()}, "all events are found")
    assert "exec" in access.tctl("audit", "ls", "--type=exec").out


@pytest.mark.parametrize("record, goes_on", [("strict", False), ("best_effort", True)])
def test_a_recorder_that_cannot_write_follows_the_roles_mode(access, invite, record, goes_on):
    access.create({"kind": "role", "version": "v7", "metadata": {"name": "rec"}, "spec": {
        "allow": {"node_labels": {"*": "*"}, "logins": ["root"]}, "options": {"record_session": {"default": record}}}})
    user = invite(access, "sam", "rec", "root")
    user.login()
    (access.web.data_dir / "spool").rmdir()  # where nothing can be written then, not even by root
    shell = user.terminal("ssh", "root@web-1")
    shell.expect("record", timeout=TIMEOUT)
    if goes_on:
        shell.sendline("echo go''es on")
        shell.expect("goes on", timeout=TIMEOUT)
    else:
        shell.expect(pexpect.EOF, timeout=TIMEOUT)
        assert b"root@" not in shell.before
    shell.close()


# ---- a recording proves its wholeness -----------------------------------------------------------------------------


def chunks_of(data):
    """The chunks of a container, each with its header."""
    at, found = 8, []
    while at < len(data):
        end = at + 13 + int.from_bytes(data[at:at + 4], "big")
        found.append(data[at:end])
        at = end
    return found


def chain_of(session_id, data):
    link = hashlib.sha256(data[:8] + session_id.encode()).digest()
    for chunk in chunks_of(data):
        link = hashlib.sha256(link + chunk).digest()
    return link.hex()


def resealed(data, old, new):
    """The same container with other bytes in it, with valid checksums of its own."""
    out, link = data[:8], hashlib.sha256(data[:8])
    for number, chunk in enumerate(chunks_of(data)):
        body = chunk[13:].replace(old, new)
        if chunk[12:13] == b"e":
            body = link.digest() + body[32:]
        summed = number.to_bytes(4, "big") + chunk[12:13]
        piece = len(body).to_bytes(4, "big") + crc32c(summed + body).to_bytes(4, "big") + summed + body
        link.update(piece)
        out += piece
    return out


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def listed_as(access, user, session_id):
    """The status of a recording in both listings, and their exit codes."""
    mine, all_of_them = user.tsh("recordings", "ls", "--format=json", check=False), access.tctl("recordings", "ls", "--format=json", check=False)
    shown = [r for done in (mine, all_of_them) for r in json.loads(done.out)]
    statuses = {r["session_id"]: r["status"] for r in shown}
    assert mine.code == all_of_them.code
    assert all(r.get("is_complete", False) == (r["status"] == "complete") for r in shown)
    return statuses[session_id], mine.code


def test_the_audit_log_has_the_digest_of_a_recording(access, alice):
    record(alice, "root@web-1", typed=["echo digest", "exit"])
    recording = the_recording(access, alice)
    data = (access.data_dir / f"log/records/{recording['session_id']}.rec").read_bytes()
    event = wait_until(lambda: access.events("session.upload"), "the upload is audited")[-1]
    assert event["digest"] == recording["digest"] == chain_of(recording["session_id"], data)
    assert (event["size"], event["chunks"]) == (len(data), len(chunks_of(data)))
    assert (recording["status"], listed_as(access, alice, recording["session_id"])) == ("complete", ("complete", 0))


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def test_a_recording_changed_on_the_disk_is_never_whole(access, alice):
    ids = []
    for rows, word in ((24, "first"), (30, "other")):  # of different size, so that already their first chunks differ
        record(alice, "root@web-1", typed=[f"echo {word} one", f"echo {word} two", "exit"], rows=rows)
        ids.append(the_recording(access, alice, count=len(ids) + 1)["session_id"])
    session_id = ids[0]
    path, other = (access.data_dir / f"log/records/{i}.rec" for i in ids)
    whole, chunks = path.read_bytes(), chunks_of(path.read_bytes())
    head = whole[:8]
    assert len(chunks) > 4 and chunks[-1][12:13] == b"e"
    attacks = {
        "cut within a chunk": (whole[:-60], "short"),
        "cut by a byte": (whole[:-1], "short"),
        "its end removed": (head + b"".join(chunks[:-1]), "short"),
        "cut at a chunk": (head + b"".join(chunks[:3]), "short"),
        "the first chunk only": (head + chunks[0], "short"),
        "reduced to its header": (head, "short"),
        "emptied": (b"", "short"),
        "appended to": (whole + b"x", "long"),
        "appended a chunk": (whole + chunks[2], "long"),
        "its end twice": (whole + chunks[-1], "long"),
        "another session's": (other.read_bytes(), None),
        "two chunks exchanged": (head + chunks[0] + chunks[2] + chunks[1] + b"".join(chunks[3:]), "altered"),
        "a bit flipped in the middle": (flipped(whole, len(whole) // 2), "altered"),
        "a bit flipped in its end": (flipped(whole, len(whole) - 1), "altered"),
        "a chunk twice": (head + chunks[0] + chunks[1] + chunks[1] + b"".join(chunks[2:]), "long"),
        "made anew": (resealed(whole, b"first two", b"false two"), "altered"),
        "made anew from the start": (resealed(whole, b"alice@", b"mally@"), "altered"),
    }
    for attack, (data, status) in attacks.items():
        path.write_bytes(data)
        for form in ("pty", "json", "text"):
            done = alice.tsh("play", session_id, f"--format={form}", check=False)
            assert done.code == 1 and "recording" in done.err, (attack, form, done.err)
        found, code = listed_as(access, alice, session_id)
        assert status is None or found == status, (attack, found)
        assert code == 1, attack
    path.write_bytes(whole)
    assert alice.tsh("play", session_id, "--format=pty").code == 0
    # two that changed places
    path.write_bytes(other.read_bytes())
    other.write_bytes(whole)
    for i in ids:
        done = alice.tsh("play", i, "--format=pty", check=False)
        assert done.code == 1 and done.out == "", done.err
    path.unlink()
    done = alice.tsh("play", session_id, "--format=pty", check=False)
    assert done.code == 1 and "missing" in done.err
    assert listed_as(access, alice, session_id) == ("missing", 1)
    path.symlink_to(other)
    done = alice.tsh("play", session_id, "--format=pty", check=False)
    assert done.code == 1 and "link" in done.err and "/proc/" not in done.err
    assert listed_as(access, alice, session_id) == ("unreadable", 1)
