/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cmd/teleport/commands.h"
#include "cmd/teleport/launch_flags.h"
#include "cmd/teleport/output.h"
#include "cmd/teleport/systemd_unit.h"
#include "os/file.h"
#include "resource/config.h"
#include "resource/config_file.h"
#include "services/services.h"

enum {
        UNIT_MAX = 32 * KiB,
        ARENA_MAX = 8 * MiB, /* the configuration */
};

const struct flag install_systemd_flags[] = {
        { "env-file", .kind = FLAG_TEXT, .value = "FILE", .fallback = "/etc/default/teleport",
          .help = "File with lines KEY=value for the environment of the service; may be missing" },
        { "pid-file", .kind = FLAG_TEXT, .value = "FILE", .fallback = "/run/teleport.pid", .help = "PID file" },
        { "fd-limit", .kind = FLAG_TEXT, .value = "N", .fallback = "524288", .help = "Descriptors a process may open" },
        { "teleport-path", .kind = FLAG_TEXT, .value = "FILE", .help = "The program; default: this one" },
        { "config", .letter = 'c', .kind = FLAG_TEXT, .value = "FILE", .fallback = CONFIG_FILE_DEFAULT,
          .help = "Configuration of the service; its services and directories decide what the unit permits" },
        { "roles", .kind = FLAG_LIST, .value = "ROLES",
          .help = "Services that the unit is for, of " SERVICES_FLAGS "; default: those of the configuration, all if it cannot be read" },
        { "output", .letter = 'o', .kind = FLAG_TEXT, .value = "DEST", .fallback = "stdout",
          .help = "Output: stdout, or an absolute path" },
        { 0 },
};

/* A path is written to the unit unquoted, so it must not have characters that are special to systemd or to the shell. */
static struct error *check_path(const char *path, const char *name)
{
        bool is_fine = path[0] == '/';

        for (const char *c = path; *c != '\0' && is_fine; c++)
                is_fine = char_is_alnum(*c) || strchr("/._-+@", *c) != NULL;
        if (is_fine)
                return NULL;
        AUTO_MEM char *shown = escaped(str_of(path));
        return error_new(ERROR_INVALID_ARGUMENT, "%s: '%s' is not an absolute path without special characters", name, shown);
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

/* ---- what the unit is for --------------------------------------------------------------------------------- */

static bool starts_sessions(const struct service_row *row)
{
        for (size_t i = 0; i < SERVICE_PROCESSES_MAX && row->processes[i].name != NULL; i++)
                if (row->processes[i].requests & SERVICE_REQUEST_SSHD)
                        return true;
        return false;
}

static struct error *roles_have_sessions(const char *const *roles, bool *ret)
{
        *ret = false;
        for (; *roles != NULL; roles++) {
                const struct service_row *row = launch_find_role(str_of(*roles));

                if (row == NULL || !services_is_present(row))
                        return launch_unknown_role(str_trim(str_of(*roles)));
                *ret |= starts_sessions(row);
        }
        return NULL;
}

static bool config_has_sessions(const Cteleport__V1__Config *config)
{
        const struct service_row *row;

        for (size_t i = 0; (row = services_at(i)) != NULL; i++)
                if (starts_sessions(row) && services_is_enabled(config, row))
                        return true;
        return false;
}

/* A configuration that is written later, or that this user may not read, can have any service: *ret is NULL. */
static struct error *load_config(struct arena *arena, const char *path, Cteleport__V1__Config **ret)
{
        struct error *err = config_file_load(arena, path, NULL, ret);

        if (err == NULL || (err->code != ERROR_NOT_FOUND && err->code != ERROR_PERMISSION_DENIED))
                return err;
        error_free(err);
        *ret = NULL;
        return NULL;
}

/* Whether path is dir or below it. */
static bool is_within(const char *path, const char *dir)
{
        size_t len = strlen(dir);

        return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* Adds a path, or the directory of a file, unless the list covers it. A path that is not absolute is none. */
static struct error *add_path(struct arena *arena, const char **list, const char *path, const char *name, bool is_file)
{
        size_t count = 0;

        if (path == NULL || path[0] != '/')
                return NULL; /* a word such as stderr, or a token */
        TRY(check_path(path, name));
        if (is_file && strrchr(path, '/') > path)
                path = arena_printf(arena, "%.*s", (int)(strrchr(path, '/') - path), path);
        for (; list[count] != NULL; count++)
                if (is_within(path, list[count]))
                        return NULL;
        if (count == SYSTEMD_PATHS_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "%s: the configuration names more than %d directories", name, SYSTEMD_PATHS_MAX);
        list[count] = path;
        return NULL;
}

static struct error *add_keypairs(struct arena *arena, struct systemd_unit *unit, const Cteleport__V1__ProxyConfig *proxy)
{
        for (size_t i = 0; proxy != NULL && i < proxy->n_https_keypairs; i++) {
                TRY(add_path(arena, unit->reads, proxy->https_keypairs[i]->cert_file, "https_keypairs", true));
                TRY(add_path(arena, unit->reads, proxy->https_keypairs[i]->key_file, "https_keypairs", true));
        }
        return NULL;
}

/* The directories that the services of this configuration use. */
static struct error *add_paths(struct arena *arena, struct systemd_unit *unit, const Cteleport__V1__Config *config)
{
        const Cteleport__V1__TeleportConfig *t = config == NULL ? NULL : config->teleport;

        TRY(add_path(arena, unit->writes, t == NULL || t->data_dir == NULL || t->data_dir[0] == '\0' ? CONFIG_DATA_DIR : t->data_dir,
                     "teleport.data_dir", false));
        TRY(add_path(arena, unit->writes, unit->pid_file, "--pid-file", true));
        TRY(add_path(arena, unit->reads, unit->config, "--config", true));
        if (t == NULL)
                return NULL;
        if (t->storage != NULL)
                TRY(add_path(arena, unit->writes, t->storage->path, "teleport.storage.path", false));
        if (t->log != NULL)
                TRY(add_path(arena, unit->writes, t->log->output, "teleport.log.output", true));
        if (t->join_params != NULL)
                TRY(add_path(arena, unit->reads, t->join_params->token_name, "teleport.join_params.token_name", true));
        TRY(add_path(arena, unit->reads, t->auth_token, "teleport.auth_token", true));
        for (size_t i = 0; i < t->n_ca_pin; i++)
                TRY(add_path(arena, unit->reads, t->ca_pin[i], "teleport.ca_pin", true));
        return add_keypairs(arena, unit, config->proxy_service);
}

static struct error *choose(struct arena *arena, const char *const *roles, struct systemd_unit *unit)
{
        Cteleport__V1__Config *config = NULL;

        TRY(load_config(arena, unit->config, &config));
        if (*roles != NULL)
                TRY(roles_have_sessions(roles, &unit->has_sessions));
        else
                unit->has_sessions = config == NULL || config_has_sessions(config);
        return unit->has_sessions ? NULL : add_paths(arena, unit, config);
}

/* ---- the command --------------------------------------------------------------------------------------------- */

/* All users can read units: systemctl cat and systemd-analyze read them as any user. */
static struct error *write_unit(const char *path, struct str unit)
{
        TRY(check_replaced(path));
        return output_write(path, unit, 0644);
}

struct error *install_systemd_run(void *ctx, const struct flags *given)
{
        struct systemd_unit unit = {
                .program = flags_text(given, "teleport-path"),
                .config = flags_text(given, "config"),
                .env_file = flags_text(given, "env-file"),
                .pid_file = flags_text(given, "pid-file"),
        };
        const char *path;
        char self[4 * KiB];
        AUTO_PTR(arena) arena = arena_new(ARENA_MAX);
        AUTO(buf) text = BUF_MAX(UNIT_MAX);

        (void)ctx;
        TRY(output_path(flags_text(given, "output"), &path));
        if (str_equal(str_of(flags_text(given, "output")), STR("file"))) /* `file` is a value for configure: /etc/teleport.yaml */
                return error_new(ERROR_INVALID_ARGUMENT, "-o takes stdout, or the absolute path of the unit");
        TRY(parse_int(str_of(flags_text(given, "fd-limit")), 64, INT32_MAX, "--fd-limit", &unit.fd_limit));
        if (unit.program == NULL) {
                ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

                if (len < 0)
                        return error_errno(errno, "cannot find out where this program is");
                self[len] = '\0';
                unit.program = self;
        }
        TRY(check_path(unit.env_file, "--env-file"));
        TRY(check_path(unit.pid_file, "--pid-file"));
        TRY(check_path(unit.config, "--config"));
        TRY(check_path(unit.program, "--teleport-path"));
        TRY(choose(arena, flags_list(given, "roles"), &unit));
        systemd_unit_put(&text, &unit);
        TRY(buf_finish(&text, "the unit"));
        if (path != NULL)
                return write_unit(path, buf_str(&text));
        printf("\n%.*s\n", STR_ARG(buf_str(&text)));
        return NULL;
}
