# SPDX-License-Identifier: Apache-2.0
"""A machine in namespaces: systemd as its first process, on this machine's files with a layer of its own above them.

It has mounts, processes, control groups, a host name and IPC of its own; its writes go to memory and are lost with it.
The network is this machine's, so that a cluster outside can be joined.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

from harness import TIMEOUT, clean_env, wait_until

CGROUPS = pathlib.Path("/sys/fs/cgroup")

# Units that access hardware, the kernel's settings or the network, and units that only this machine has.
MASKED = """systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-modules-load.service
systemd-sysctl.service systemd-remount-fs.service systemd-pstore.service systemd-timesyncd.service systemd-random-seed.service
systemd-journald-audit.socket systemd-journal-flush.service systemd-update-utmp.service systemd-sysusers.service systemd-binfmt.service
systemd-hwdb-update.service dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount
sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount kmod-static-nodes.service ldconfig.service keyboard-setup.service
console-setup.service networking.service apparmor.service systemd-tmpfiles-setup-dev.service""".split()

TARGET = """[Unit]
Description=What the tests need
Requires=sysinit.target
Wants=dbus.socket systemd-logind.service systemd-user-sessions.service
After=sysinit.target dbus.socket systemd-logind.service systemd-user-sessions.service
AllowIsolate=yes
"""

BOOT = r"""
set -e
layer=$1 # $2: the files below it
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$layer"
root=$layer/root
mkdir "$layer/upper" "$layer/work" "$root"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$layer/upper,workdir=$layer/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/pids" "$root/sys/fs/cgroup/unified"
    mount -t cgroup -o none,name=systemd,xattr cgroup "$root/sys/fs/cgroup/systemd"
    mount -t cgroup -o pids cgroup "$root/sys/fs/cgroup/pids"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
    mount -o remount,ro "$root/sys/fs/cgroup" # it would add the other controllers, whose groups are this machine's
fi
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do : >"$root/dev/$node"; mount --bind "/dev/$node" "$root/dev/$node"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
for n in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${n%%:*}" "$root/dev/${n#*:}"; done
ln -s /proc/self/fd "$root/dev/fd"
for place in run tmp var/tmp var/log/journal; do mkdir -p "$root/$place"; mount -t tmpfs -o mode=1777 tmpfs "$root/$place"; done
chmod 755 "$root/run"
: >"$root/etc/fstab"
rm -rf "$root/var/lib/teleport" "$root/etc/teleport.yaml"
cd "$root"
mkdir -p .outside
pivot_root . .outside
umount -l /.outside
mount --make-rshared / # as systemd does on a machine: it mounts credentials in a namespace of its own
exec env -i container=tests PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=tests.target --show-status=no --log-target=null </dev/null
"""


def controller_groups(name):
    """The directories of a control group of that name, one in each hierarchy."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS / name]
    return [CGROUPS / hierarchy / name for hierarchy in ("systemd", "pids", "unified")]


class Machine:
    """A booted one."""

    def __init__(self, directory, files, lower="/"):
        """files: {path inside: text or the path of a file outside to copy (mode 0755)}; they are there before the first process. lower: its other files."""
        self.layer = pathlib.Path(directory)
        self.groups = controller_groups(f"cteleport-tests-{os.getpid()}")
        for group in self.groups:
            group.mkdir()
        (self.layer / "layer").mkdir(parents=True)
        setup = self.layer / "setup"
        setup.mkdir()
        lines = [BOOT.split("cd \"$root\"\n")[0]]
        files = {"/etc/systemd/system/tests.target": TARGET, **files}
        for number, (path, what) in enumerate(files.items()):
            source = what
            if isinstance(what, str):
                source = setup / str(number)
                source.write_text(what)
            mode = "0644" if isinstance(what, str) else "0755"
            lines.append(f"install -D -m {mode} {source} \"$root{path}\"\n")
        lines += [f"ln -sfn /dev/null \"$root/etc/systemd/system/{unit}\"\n" for unit in MASKED]
        lines.append("cd \"$root\"\n" + BOOT.split("cd \"$root\"\n")[1])
        self.log = open(self.layer / "boot.log", "wb")
        self.outside = subprocess.Popen(["unshare", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--fork", "--kill-child", "sh", "-c", "".join(lines),
                                         "sh", self.layer / "layer", lower], stdout=self.log, stderr=subprocess.STDOUT, env=clean_env(),
                                        stdin=subprocess.DEVNULL, preexec_fn=self.enter_groups)
        self.init = None
        try:
            self.init = int(wait_until(self.first_child, "the first process is there"))
            self.root = pathlib.Path(f"/proc/{self.init}/root")
            wait_until(self.is_up, "systemd is up")
        except BaseException:
            self.stop()
            raise

    def enter_groups(self):
        for group in self.groups:
            (group / "cgroup.procs").write_text("0")

    def first_child(self):
        assert self.outside.poll() is None, (self.layer / "boot.log").read_text()
        return pathlib.Path(f"/proc/{self.outside.pid}/task/{self.outside.pid}/children").read_text().strip()

    def is_up(self):
        assert self.outside.poll() is None, (self.layer / "boot.log").read_text()
        comm = pathlib.Path(f"/proc/{self.init}/comm").read_text().strip()
        return comm == "systemd" and self.run("systemctl", "is-active", "tests.target", check=False).stdout == "active\n"

    def inside(self, words):
        return ["nsenter", "-t", str(self.init), "-m", "-p", "-u", "-i", "-C", "--", *map(str, words)]

    @contextlib.contextmanager
    def started(self, *words):
        """A command inside, as root, that runs until the end of the block."""
        process = subprocess.Popen(self.inside(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)
        try:
            yield process
        finally:
            process.kill()
            process.wait(TIMEOUT)
            process.stdout.close()

    def run(self, *words, check=True, **more):
        """A command inside, as root."""
        done = subprocess.run(self.inside(words), capture_output=True, text=True, timeout=TIMEOUT, **more)
        assert done.returncode == 0 or not check, (words, done.stdout, done.stderr)
        return done

    def pids(self, *words):
        """Processes inside by pgrep, as numbers inside."""
        return [int(line) for line in self.run("pgrep", *words, check=False).stdout.split()]

    def stop(self):
        if self.init is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.init, signal.SIGKILL)  # the kernel ends all that are inside
        self.outside.kill()
        self.outside.wait(TIMEOUT)
        self.log.close()
        for group in self.groups:
            wait_until(lambda group=group: self.is_gone(group), f"{group} is empty")
        shutil.rmtree(self.layer)

    @staticmethod
    def is_gone(group):
        for directory, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        return not group.exists()
