/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/teleport/commands.h"
#include "cmd/teleport/data_dirs.h"
#include "os/file.h"

const struct flag status_flags[] = {
        DATA_DIRS_FLAGS,
        { "format", .letter = 'f', .kind = FLAG_TEXT, .value = "FORMAT", .fallback = "text",
          .choices = (const char *const[]){ "text", "json", NULL }, .help = "text or json" },
        { 0 },
};

enum { STATUS_FILE_MAX = 64 * KiB };

/* Other processes write the environment and the status file, so all values are escaped for the terminal. */
static void print_row(const char *title, const char *value)
{
        AUTO_MEM char *shown = escaped(str_of(value));

        printf("%-12s: %s\n", title, shown);
}

/* ---- inside of a session ------------------------------------------------------------------------------- */

static const char *variable(const char *name)
{
        const char *value = getenv(name);

        return value == NULL ? "" : value;
}

static void print_session(void)
{
        const char *proxy = variable("SSH_SESSION_WEBPROXY_ADDR");
        AUTO_MEM char *url = mem_printf("https://%s/web/cluster/%s/console/session/%s",
                                        proxy[0] == '\0' ? "<proxyhost>:3080" : proxy,
                                        variable("SSH_TELEPORT_CLUSTER_NAME"), variable("SSH_SESSION_ID"));
        AUTO_MEM char *client = str_dup(str_of(variable("SSH_CLIENT")));
        AUTO_MEM char *user =
                mem_printf("%s, logged in as %s from %s", variable("SSH_TELEPORT_USER"), variable("USER"), client);

        print_row("User ID", user);
        print_row("Cluster Name", variable("SSH_TELEPORT_CLUSTER_NAME"));
        print_row("Host UUID", variable("SSH_TELEPORT_HOST_UUID"));
        print_row("Session ID", variable("SSH_SESSION_ID"));
        print_row("Session URL", url);
}

/* ---- this host ----------------------------------------------------------------------------------------------- */

/* *ret is NULL if the file does not exist: this host never ran, or runs only the Auth Service. */
static struct error *read_status(const char *data_dir, json_t **ret)
{
        AUTO_MEM char *path = mem_printf("%s/proc/status.json", data_dir);
        AUTO(buf) text = BUF_MAX(STATUS_FILE_MAX);
        json_error_t where;
        struct error *err = file_read(path, &text);

        *ret = NULL;
        if (err != NULL && err->code == ERROR_NOT_FOUND) {
                error_free(err);
                return NULL;
        }
        if (err != NULL)
                return error_hint(err, "run this as root, or as the owner of %s", data_dir);
        *ret = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &where);
        if (*ret == NULL)
                return error_new(ERROR_DATA_LOSS, "%s is not JSON (line %d)", path, where.line);
        return NULL;
}

static const char *text_at(const json_t *status, const char *key)
{
        const char *text = json_string_value(json_object_get(status, key));

        return text == NULL ? "" : text;
}

static void print_joined(const json_t *status)
{
        AUTO_MEM char *cluster =
                mem_printf("yes, cluster %s, since %s", text_at(status, "cluster"), text_at(status, "joined"));

        if (text_at(status, "joined")[0] == '\0') {
                print_row("Joined", "no");
                return;
        }
        print_row("Joined", cluster);
        AUTO_MEM char *until = mem_printf("until %s", text_at(status, "cert_not_after"));
        print_row("Certificate", until);
        print_row("Server", text_at(status, "server"));
}

static void print_last_error(const json_t *status)
{
        AUTO_MEM char *line = mem_printf("%s (%s)", text_at(status, "last_error"), text_at(status, "last_error_at"));

        if (text_at(status, "last_error")[0] == '\0')
                return;
        print_row("Last error", line);
        if (text_at(status, "last_error_hint")[0] != '\0')
                print_row("Hint", text_at(status, "last_error_hint"));
}

static void print_host(const json_t *status, bool is_running)
{
        json_int_t skew = json_integer_value(json_object_get(status, "clock_skew_ms"));
        AUTO_MEM char *state = is_running
                                       ? mem_printf("%s since %s", text_at(status, "state"), text_at(status, "since"))
                                       : str_dup(STR("not running"));
        const json_t *notice;
        size_t i;

        print_row("Service", state);
        bool is_known = text_at(status, "host_id")[0] != '\0'; /* without an ID, the clock was not measured either */
        if (is_known)
                print_row("Host UUID", text_at(status, "host_id"));
        print_joined(status);
        AUTO_MEM char *clock =
                mem_printf("%lld ms %s the cluster's", (long long)llabs(skew), skew > 0 ? "behind" : "ahead of");

        if (is_known)
                print_row("Clock", clock);
        print_last_error(status);
        json_array_foreach(json_object_get(status, "notices"), i, notice)
                print_row("Notice", json_string_value(notice) == NULL ? "" : json_string_value(notice));
}

static void print_json(json_t *status, bool is_running)
{
        json_t *whole = status == NULL ? json_object() : json_incref(status);

        json_object_set_new(whole, "running", json_boolean(is_running));
        json_dumpf(whole, stdout, JSON_INDENT(4));
        putchar('\n');
        json_decref(whole);
}

/* The result for the exit status, which scripts and monitoring use: NULL if the agent runs and is a member of its cluster. */
static struct error *verdict(const json_t *status, bool is_running)
{
        const char *state = status == NULL ? "" : text_at(status, "state");

        if (!is_running)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "teleport is not running on this host"), "teleport start, or systemctl start teleport");
        if (status == NULL) /* an Auth Service alone joins no cluster */
                return NULL;
        if (text_at(status, "host_id")[0] == '\0' || strcmp(state, "joining") == 0 || strcmp(state, "starting") == 0)
                return error_new(ERROR_FAILED_PRECONDITION, "this host has not joined the cluster");
        if (strcmp(state, "locked") == 0)
                return error_new(ERROR_FAILED_PRECONDITION, "this host is locked out of the cluster");
        return NULL;
}

struct error *status_run(void *ctx, const struct flags *given)
{
        AUTO_PTR(arena) arena = arena_new(4 * MiB);
        struct data_dirs dirs;
        json_t *status;

        (void)ctx;
        if (variable("SSH_SESSION_ID")[0] != '\0' && !flags_given(given, "format")) {
                print_session();
                return NULL;
        }
        TRY(data_dirs_find(given, arena, &dirs));
        TRY(read_status(dirs.data_dir, &status));
        bool is_running = dir_is_locked(dirs.data_dir);
        if (str_equal(str_of(flags_text(given, "format")), STR("json"))) {
                print_json(status, is_running);
        } else {
                printf("You are not inside of a Teleport SSH session\n");
                if (status != NULL)
                        print_host(status, is_running);
                else
                        printf("Service     : %s\nJoined      : no\n", is_running ? "running" : "not running");
        }
        fflush(stdout); /* before main writes the error to stderr */
        struct error *err = verdict(status, is_running);
        json_decref(status);
        return err;
}
