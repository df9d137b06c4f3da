/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cmd/teleport/commands.h"
#include "cmd/teleport/output.h"

const struct flag install_systemd_flags[] = {
        { "env-file", .kind = FLAG_TEXT, .value = "FILE", .fallback = "/etc/default/teleport",
          .help = "Lines KEY=value for the environment of the service; may be missing" },
        { "pid-file", .kind = FLAG_TEXT, .value = "FILE", .fallback = "/run/teleport.pid", .help = "PID file" },
        { "fd-limit", .kind = FLAG_TEXT, .value = "N", .fallback = "524288", .help = "Descriptors a process may open" },
        { "teleport-path", .kind = FLAG_TEXT, .value = "FILE", .help = "The program (this one)" },
        { "output", .letter = 'o', .kind = FLAG_TEXT, .value = "DEST", .fallback = "stdout",
          .help = "Where to write: stdout, or an absolute path" },
        { 0 },
};

/*
 * What the unit took from all processes it would take from the sessions of people as well, who become root
 * with sudo, write their homes and share /tmp: so it takes nothing, and each service has a sandbox of its own.
 * A session that runs out of memory is no reason to end the others.
 */
static const char unit_format[] = "[Unit]\n"
                                  "Description=Teleport Service\n"
                                  "After=network.target\n"
                                  "\n"
                                  "[Service]\n"
                                  "Type=notify\n"
                                  "NotifyAccess=main\n"
                                  "Restart=always\n"
                                  "RestartSec=5\n"
                                  "EnvironmentFile=-%s\n"
                                  "ExecStart=%s start --config /etc/teleport.yaml --pid-file=%s\n"
                                  "# systemd before 239 needs an absolute path for the command\n"
                                  "ExecReload=/bin/sh -c \"exec pkill -HUP -L -F %s\"\n"
                                  "PIDFile=%s\n"
                                  "LimitNOFILE=%lld\n"
                                  "OOMPolicy=continue\n"
                                  "\n"
                                  "[Install]\n"
                                  "WantedBy=multi-user.target\n";

/* A path goes into the unit as it stands: nothing that systemd or the shell would read as more than a path. */
static struct error *check_path(const char *path, const char *flag)
{
        bool is_fine = path[0] == '/';

        for (const char *c = path; *c != '\0' && is_fine; c++)
                is_fine = char_is_alnum(*c) || strchr("/._-+@", *c) != NULL;
        if (is_fine)
                return NULL;
        AUTO_MEM char *shown = escaped(str_of(path));
        return error_new(ERROR_INVALID_ARGUMENT, "--%s: '%s' is not an absolute path without special characters", flag,
                         shown);
}

struct error *install_systemd_run(void *ctx, const struct flags *given)
{
        const char *env_file = flags_text(given, "env-file"), *pid_file = flags_text(given, "pid-file");
        const char *program = flags_text(given, "teleport-path"), *path;
        char self[4 * KiB];
        int64_t fd_limit;
        AUTO(buf) unit = BUF_MAX(16 * KiB);

        (void)ctx;
        TRY(output_path(flags_text(given, "output"), &path));
        TRY(parse_int(str_of(flags_text(given, "fd-limit")), 64, INT32_MAX, "--fd-limit", &fd_limit));
        if (program == NULL) {
                ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

                if (len < 0)
                        return error_errno(errno, "cannot find out where this program is");
                self[len] = '\0';
                program = self;
        }
        TRY(check_path(env_file, "env-file"));
        TRY(check_path(pid_file, "pid-file"));
        TRY(check_path(program, "teleport-path"));
        buf_printf(&unit, unit_format, env_file, program, pid_file, pid_file, pid_file, (long long)fd_limit);
        TRY(buf_finish(&unit, "the unit"));
        if (path != NULL)
                return output_create(path, buf_str(&unit));
        printf("\n%.*s\n", STR_ARG(buf_str(&unit)));
        return NULL;
}
