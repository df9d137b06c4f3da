# SPDX-License-Identifier: Apache-2.0
"""A DNS server, that of Pebble's tests, whose answers a test changes, and programs for which it is the only one."""
import json
import secrets
import urllib.request

from harness import Process, port_of, reserved_port


class Dns:
    """Answers on a port of the loopback; names that were not set have the address `default`, or none."""

    def __init__(self, directory, default="", host="127.0.0.1", port=0):
        self.dir = directory
        with reserved_port() as management, reserved_port(host, port) as held:
            self.management, self.addr = port_of(management), f"{host}:{port_of(held)}"
            off = [option for name in ("http01", "https01", "tlsalpn01") for option in (f"-{name}", "")]
            self.process = Process(["pebble-challtestsrv", "-dns01", self.addr, "-defaultIPv4", default, "-defaultIPv6", "", *off,
                                    "-management", f"127.0.0.1:{self.management}"], directory / "dns.log")
            self.process.wait_for("Starting management server|Starting challenge servers")

    @classmethod
    def of_resolver(cls, directory):
        """On port 53 of an address of its own: libc's resolver knows no other port. `.inside` starts programs that use it."""
        host = ".".join(["127", *(str(1 + secrets.randbelow(250)) for _ in range(3))])
        dns = cls(directory, host=host, port=53)
        (directory / "resolv.conf").write_text(f"nameserver {host}\n")
        dns.inside = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', directory / "resolv.conf"]
        return dns

    def move(self, name, *addresses):
        """From now on the name has these addresses."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for family in ("a", "aaaa"):
            found = [address for address in addresses if (":" in address) == (family == "aaaa")]
            for verb, question in ((f"clear-{family}", {"host": f"{name}."}), (f"add-{family}", {"host": f"{name}.", "addresses": found})):
                if verb.startswith("clear") or found:
                    with opener.open(f"http://127.0.0.1:{self.management}/{verb}", json.dumps(question).encode(), timeout=10) as answer:
                        assert answer.status == 200

    def stop(self):
        self.process.popen.kill()
        self.process.popen.wait()
        self.process.log.close()
