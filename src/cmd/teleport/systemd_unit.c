/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/teleport/systemd_unit.h"

#include "base/limits.h"
#include "supervisor/supervisor.h"

static const char head_format[] =
        "# Written by `teleport install systemd`, which replaces this file. For changes: systemctl edit teleport\n"
        "[Unit]\n"
        "Description=Teleport Service\n"
        "After=network.target\n"
        "\n"
        "[Service]\n"
        "Type=notify\n"
        "NotifyAccess=main\n"
        "# For a start, and for ExecReload: `teleport reload` gives up ten seconds before, and the reload goes on.\n"
        "TimeoutStartSec=%d\n"
        "Restart=always\n"
        "RestartSec=5\n"
        "# The supervisor reports that it works every quarter of this time, and itself restarts a service that does not answer.\n"
        "WatchdogSec=60\n"
        "EnvironmentFile=-%s\n"
        "ExecStart=%s start --config %s --pid-file=%s\n"
        "# Fails if the service refuses its changed configuration; the former one stays in force then.\n"
        "ExecReload=%s reload --config %s\n"
        "PIDFile=%s\n"
        "LimitNOFILE=%lld\n"
        "# A process that runs out of memory is restarted alone.\n"
        "OOMPolicy=continue\n"
        "UMask=0077\n";

static const char sessions_text[] =
        "\n"
        "# This unit is for ssh_service. Sessions of users inherit each restriction of the unit and cannot leave it, and they may\n"
        "# do everything that sessions of the machine's own sshd may. Therefore the following is absent, as in ssh.service:\n"
        "# - NoNewPrivileges, RestrictSUIDSGID: sudo, su and other setuid programs; chmod u+s\n"
        "# - CapabilityBoundingSet, ProtectKernel*, ProtectClock, ProtectHostname, ProtectControlGroups: administration as root\n"
        "# - ProtectSystem, ProtectHome, ReadWritePaths: users write their homes, root installs packages\n"
        "# - PrivateTmp, PrivateDevices, PrivateMounts, DevicePolicy: users share /tmp and devices, mounts are for the machine\n"
        "# - ProtectProc, ProcSubset: ps and top show all processes\n"
        "# - RestrictNamespaces, RestrictRealtime, LockPersonality: rootless containers, chrt, debuggers\n"
        "# - MemoryDenyWriteExecute: Java, Node.js and other programs that make code\n"
        "# - SystemCallFilter, SystemCallArchitectures, RestrictAddressFamilies, IPAddressDeny: any program, also of 32 bits\n"
        "# Instead, each service process enters a sandbox of its own (user, capabilities, Landlock, seccomp) before it serves.\n"
        "# Programs that users left running (tmux, nohup) continue when the service stops, as with sshd.\n"
        "KillMode=process\n"
        "# Sessions get control groups of their own below that of the service, with limits of their own.\n"
        "Delegate=pids\n"
        "TasksMax=infinity\n";

static const char restricted_text[] =
        "\n"
        "# This unit is for services without sessions of users. `teleport start` refuses ssh_service in it. With ssh_service, write\n"
        "# the unit again by `teleport install systemd`.\n"
        "Environment=" SUPERVISOR_UNIT_WITHOUT_SESSIONS "=yes\n"
        "# The first SIGTERM is for the supervisor, which stops the services in their order.\n"
        "KillMode=mixed\n"
        "LimitCORE=0\n"
        "NoNewPrivileges=yes\n"
        "# The supervisor is root: it starts each service as a user of its own (SETUID, SETGID, SETPCAP, KILL), assigns that user\n"
        "# its files (CHOWN, FOWNER, DAC_OVERRIDE) and opens ports below 1024 (NET_BIND_SERVICE). The services keep no capability.\n"
        "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_KILL CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE CAP_NET_BIND_SERVICE\n"
        "# The same reasons: calls for users and owners. seccomp and landlock are for the sandboxes of the services.\n"
        "SystemCallFilter=@system-service seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self\n"
        "SystemCallFilter=~@privileged @resources\n"
        "SystemCallFilter=@setuid @chown capset\n"
        "SystemCallErrorNumber=EPERM\n"
        "SystemCallArchitectures=native\n"
        "# The network, and sockets of the machine. No IPAddressDeny and no PrivateNetwork: hosts may join from any address.\n"
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\n"
        "RestrictNamespaces=yes\n"
        "RestrictRealtime=yes\n"
        "RestrictSUIDSGID=yes\n"
        "LockPersonality=yes\n"
        "MemoryDenyWriteExecute=yes\n"
        "PrivateDevices=yes\n"
        "PrivateMounts=yes\n"
        "PrivateTmp=yes\n"
        "ProtectClock=yes\n"
        "ProtectControlGroups=yes\n"
        "ProtectHostname=yes\n"
        "ProtectKernelLogs=yes\n"
        "ProtectKernelModules=yes\n"
        "ProtectKernelTunables=yes\n"
        "ProtectProc=invisible\n"
        "ProcSubset=pid\n"
        "# Homes are empty, except for AWS credentials of root, with which a proxy may join.\n"
        "ProtectHome=tmpfs\n"
        "BindReadOnlyPaths=-/root/.aws\n"
        "# The file system is read-only, except for these directories of the configuration (and of the PID file).\n"
        "ProtectSystem=strict\n";

/* Whether path is in a place that the unit replaces by an empty one: it is mounted there again. */
static bool is_replaced(const char *path)
{
        static const char *const places[] = { "/home", "/root", "/run/user", "/tmp", "/var/tmp" };

        for (size_t i = 0; i < ARRAY_LEN(places); i++) {
                size_t len = strlen(places[i]);

                if (strncmp(path, places[i], len) == 0 && (path[len] == '/' || path[len] == '\0'))
                        return true;
        }
        return false;
}

/* A directory below /var/lib that systemd creates; all others must exist when the service starts. */
static const char *state_directory(const char *path)
{
        static const struct str place = STR_INIT("/var/lib/");

        return str_starts_with(str_of(path), place) ? path + place.len : NULL;
}

static void put_paths(struct buf *out, const struct systemd_unit *unit)
{
        for (const char *const *path = unit->writes; *path != NULL; path++) {
                if (state_directory(*path) != NULL)
                        buf_printf(out, "StateDirectory=%s\nStateDirectoryMode=0700\n", state_directory(*path));
                else
                        buf_printf(out, "%s=%s\n", is_replaced(*path) ? "BindPaths" : "ReadWritePaths", *path);
        }
        for (const char *const *path = unit->reads; *path != NULL; path++)
                if (is_replaced(*path))
                        buf_printf(out, "BindReadOnlyPaths=-%s\n", *path);
}

void systemd_unit_put(struct buf *out, const struct systemd_unit *unit)
{
        buf_printf(out, head_format, TIMEOUT_RELOAD / 1000 + 10, unit->env_file, unit->program, unit->config, unit->pid_file, unit->program, unit->config, unit->pid_file,
                   (long long)unit->fd_limit);
        buf_put_c(out, unit->has_sessions ? sessions_text : restricted_text);
        if (!unit->has_sessions)
                put_paths(out, unit);
        buf_put_c(out, "\n"
                       "[Install]\n"
                       "WantedBy=multi-user.target\n");
}
