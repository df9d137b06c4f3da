/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cmd/teleport/commands.h"
#include "cmd/teleport/output.h"
#include "os/file.h"

enum { UNIT_MAX = 16 * KiB };

const struct flag install_systemd_flags[] = {
        { "env-file", .kind = FLAG_TEXT, .value = "FILE", .fallback = "/etc/default/teleport",
          .help = "File with lines KEY=value for the environment of the service; may be missing" },
        { "pid-file", .kind = FLAG_TEXT, .value = "FILE", .fallback = "/run/teleport.pid", .help = "PID file" },
        { "fd-limit", .kind = FLAG_TEXT, .value = "N", .fallback = "524288", .help = "Descriptors a process may open" },
        { "teleport-path", .kind = FLAG_TEXT, .value = "FILE", .help = "The program; default: this one" },
        { "output", .letter = 'o', .kind = FLAG_TEXT, .value = "DEST", .fallback = "stdout",
          .help = "Output: stdout, or an absolute path" },
        { 0 },
};

/*
 * Restrictions of the unit would apply to the sessions of users as well, who become root with sudo, write their
 * homes and share /tmp. Therefore the unit has none, and each service has a sandbox of its own.
 * A session that runs out of memory is no reason to end the others, and one that starts too many processes meets the limit
 * of its own group: docs/decisions/0016-groups-of-sessions.md.
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
                                  "ExecReload=/bin/sh -c \"kill -HUP $MAINPID\"\n"
                                  "PIDFile=%s\n"
                                  "# Programs that users left running (tmux, nohup) go on when the service stops, as with sshd.\n"
                                  "KillMode=process\n"
                                  "# Sessions get groups of their own below that of the service, with limits of their own.\n"
                                  "Delegate=pids\n"
                                  "TasksMax=infinity\n"
                                  "LimitNOFILE=%lld\n"
                                  "OOMPolicy=continue\n"
                                  "\n"
                                  "[Install]\n"
                                  "WantedBy=multi-user.target\n";

/* A path is written to the unit unquoted, so it must not have characters that are special to systemd or to the shell. */
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

/* Whether the text is a unit that starts any `teleport`: `install` may replace such a unit. See systemd.syntax(7). */
static bool is_unit_of_teleport(struct str text)
{
        bool is_service = false, starts_teleport = false;

        while (!str_is_empty(text)) {
                struct str value = str_trim(str_split(&text, '\n'));
                struct str key = str_trim(str_split(&value, '='));

                is_service |= str_equal(key, STR("[Service]"));
                starts_teleport |= is_service && str_equal(key, STR("ExecStart")) && str_contains(value, STR("teleport"));
        }
        return starts_teleport;
}

/* NULL if the path does not exist, or has a unit that may be replaced. */
static struct error *check_replaced(const char *path)
{
        AUTO_MEM char *shown = escaped(str_of(path));
        AUTO(buf) text = BUF_MAX(UNIT_MAX);
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "cannot examine %s", shown);
        if (!S_ISREG(st.st_mode))
                return error_hint(error_new(ERROR_ALREADY_EXISTS, "%s is %s; it is not overwritten", shown,
                                            S_ISLNK(st.st_mode) ? "a symbolic link" : S_ISDIR(st.st_mode) ? "a directory" : "not a regular file"),
                                  "-o takes the path of a unit, such as /etc/systemd/system/teleport.service");
        AUTO_PTR(error) err = file_read(path, &text);
        if (err != NULL && err->code == ERROR_PERMISSION_DENIED)
                return error_copy(err);
        if (err == NULL && is_unit_of_teleport(buf_str(&text)))
                return NULL;
        return error_hint(error_new(ERROR_ALREADY_EXISTS, "%s exists and is not a unit that starts teleport; it is not overwritten", shown),
                          "name another file with -o, or remove that one first");
}

/* All users can read units: systemctl cat and systemd-analyze read them as any user. */
static struct error *write_unit(const char *path, struct str unit)
{
        TRY(check_replaced(path));
        return output_write(path, unit, 0644);
}

struct error *install_systemd_run(void *ctx, const struct flags *given)
{
        const char *env_file = flags_text(given, "env-file"), *pid_file = flags_text(given, "pid-file");
        const char *program = flags_text(given, "teleport-path"), *path;
        char self[4 * KiB];
        int64_t fd_limit;
        AUTO(buf) unit = BUF_MAX(UNIT_MAX);

        (void)ctx;
        TRY(output_path(flags_text(given, "output"), &path));
        if (str_equal(str_of(flags_text(given, "output")), STR("file"))) /* `file` is a value for configure: /etc/teleport.yaml */
                return error_new(ERROR_INVALID_ARGUMENT, "-o takes stdout, or the absolute path of the unit");
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
        buf_printf(&unit, unit_format, env_file, program, pid_file, pid_file, (long long)fd_limit);
        TRY(buf_finish(&unit, "the unit"));
        if (path != NULL)
                return write_unit(path, buf_str(&unit));
        printf("\n%.*s\n", STR_ARG(buf_str(&unit)));
        return NULL;
}
