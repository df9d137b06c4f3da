# SPDX-License-Identifier: Apache-2.0
"""docs/guide/cluster.md, command by command, on three machines: namespaces with an /etc, /var/lib, /run and host name of their own."""
import pathlib
import re
import shlex
import subprocess

from harness import TIMEOUT, clean_env, copy_etc, wait_until
from users import PASSWORD

PROJECT = pathlib.Path(__file__).resolve().parents[2]
PAGE = PROJECT / "docs/guide/cluster.md"
AUTHENTICATOR = PROJECT / "scripts/authenticator"
EXTERNAL = {"apt", "certbot", "dig", "meson", "ufw"}  # not ours to try; systemctl is played
END = "--- end of the command: "


class Machine:
    """A shell on a machine of its own; all of them share one network without a way out."""

    def __init__(self, directory, name, programs, network=None):
        self.dir, self.name = directory / name, name
        for folder in ("lib", "run", "home"):
            (self.dir / folder).mkdir(parents=True)
        enter = ["nsenter", f"--net=/proc/{network.shell.pid}/ns/net", "unshare"] if network else ["unshare", "--net"]
        self.shell = subprocess.Popen([*enter, "--mount", "--uts", "--propagation", "private", "bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, env=clean_env(HOME=self.dir / "home", PATH=f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"))
        copy_etc(self.dir / "etc")
        self.run(f"chmod 755 {self.dir}/lib {self.dir}/run && mount --bind {self.dir}/etc /etc && "
                 f"mount --bind {self.dir}/lib /var/lib && mkdir {self.dir}/run/sshd && mount --bind {self.dir}/run /run && hostname {name} && "
                 "ip link set lo up && mkdir -p /etc/systemd/system && echo 127.0.0.1 teleport.example.com > /etc/hosts && "
                 "sed -i 's/^root:[^:]*/root:*/' /etc/shadow")

    def run(self, command, check=True):
        self.shell.stdin.write(f"{{ {command}\n}} </dev/null\ncode=$?; echo; echo '{END}'$code\n")
        self.shell.stdin.flush()
        lines = []
        while not (line := self.shell.stdout.readline()).startswith(END):
            assert line, f"{self.name}: the shell ended in {command}: {''.join(lines)}"
            lines.append(line)
        said, code = "".join(lines), int(line.removeprefix(END))
        assert code == 0 or not check, f"{self.name}: {command} ended with {code}:\n{said}"
        return said

    def logged(self):
        """The output of the service so far; empty while the shell has not opened its log yet."""
        log = self.dir / "log"
        return log.read_text() if log.exists() else ""

    def systemctl(self, *words):
        """Acts as systemd for the unit."""
        if words == ("daemon-reload",):
            return
        assert words == ("enable", "--now", "teleport")
        start = re.search(r"^ExecStart=(.*)$", (self.dir / "etc/systemd/system/teleport.service").read_text(), re.M).group(1)
        self.run(f"{start} >{self.dir}/log 2>&1 & service=$!")
        wait_until(lambda: "successfully started" in self.logged(), f"{self.name}: teleport starts")

    def stop(self):
        try:
            self.run("[ -z \"$service\" ] || { kill $service; wait $service; }", check=False)
            self.shell.stdin.close()
            self.shell.wait(TIMEOUT)
        finally:
            self.shell.kill()
            self.shell.wait()
            self.shell.stdout.close()


def blocks():
    """(number of the section or "", language, text) of each block of the page."""
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.M):
        number = re.match(r"\d?", section).group(0)
        for place, (language, text) in enumerate(re.findall(r"^```(\w*)\n(.*?)^```", section, re.M | re.S)):
            yield number, place, language, text


# Which machine a block is for; the others are for the cluster's.
PLACES = {("4", 1): "workstation", ("5", 0): "workstation", ("5", 1): "web-1", ("5", 2): "workstation"}


def test_the_guide_leads_to_a_working_cluster(tmp_path, programs):
    tmp_path.chmod(0o755)
    machines = {"teleport": Machine(tmp_path, "teleport", programs)}
    said, seen = {}, set()
    try:
        for name in ("workstation", "web-1"):
            machines[name] = Machine(tmp_path, name, programs, machines["teleport"])
        for number, place, language, text in blocks():
            machine = machines[PLACES.get((number, place), "teleport")]
            if language == "yaml":
                (machine.dir / "etc/teleport.yaml").write_text(text)
                continue
            for command in text.splitlines():
                word = shlex.split(command)[0]
                seen.add(word)
                if word in EXTERNAL:
                    continue
                if word == "systemctl":
                    machine.systemctl(*shlex.split(command)[1:])
                    continue
                if command.startswith("tsh login"):
                    url = re.search(r"https://\S+/web/invite/\S+", said["tctl users add"]).group(0)
                    machine.run(f"{AUTHENTICATOR} accept {url} '{PASSWORD}' {tmp_path}/phone")
                    command = f"printf '%s\\n%s\\n' '{PASSWORD}' \"$({AUTHENTICATOR} code {tmp_path}/phone)\" | {command}"
                if "TOKEN" in command:
                    command = command.replace("TOKEN", said["tctl tokens add"].strip())
                if command == "tsh ls" or (command, machine) == ("teleport status", machines["web-1"]):
                    wait_until(lambda: "Reverse tunnel established" in machines["web-1"].logged(), "web-1 has a tunnel")
                said[" ".join(command.split()[:3]) if command.startswith("tctl") else command] = machine.run(command)
                if word == "openssl" and command.endswith("fullchain.pem"):  # every machine knows the CA
                    for other in machines.values():
                        other.run(f"cp {machine.dir}/etc/letsencrypt/live/teleport.example.com/ca.pem /etc/ca.pem && export SSL_CERT_FILE=/etc/ca.pem")
        assert "OK /etc/teleport.yaml" in said["teleport configure --test /etc/teleport.yaml"]
        assert "Cluster  example.com" in said["tctl status"]
        assert re.search(r"^web-1 +⟵ Tunnel", said["tsh ls"], re.M)
        assert "Joined      : yes" in machines["web-1"].run("teleport status", check=False)
        assert machines["workstation"].run("tsh ssh root@web-1 hostname").strip() == "web-1"
    finally:
        for machine in reversed(machines.values()):
            machine.stop()
    assert seen - EXTERNAL == {"cd", "mkdir", "openssl", "printf", "systemctl", "tctl", "teleport", "tsh"}
