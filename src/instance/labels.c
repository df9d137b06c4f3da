/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/labels.h"

#include <signal.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "rpc/pb.h"
#include "services/services.h"

enum { DEFAULT_PERIOD_SECONDS = 60 };

struct labels;

struct label {
        struct labels *owner; /* NULL: the owner was freed; the last handle to close frees this */
        struct loop *loop;
        const char *app; /* as in label_command */
        const Cteleport__V1__CommandLabelConfig *config;
        struct timer *next, *deadline;
        uv_process_t process;
        uv_pipe_t pipe;
        int open_handles; /* libuv handles of the running command that are not closed yet */
        bool is_running, is_late, has_failed;
        struct buf output;
        char chunk[512];
        int64_t status;
        int signum;
        char *reported; /* last reported failure; owned */

        char *result; /* owned; NULL before the first */
};

struct labels {
        void (*changed)(void *ctx, const struct label_result *label);
        void *ctx;
        size_t count;
        struct label **all;
        struct label_result *list; /* room for all labels */
};

static void label_free(struct label *l)
{
        timer_free(l->next);
        timer_free(l->deadline);
        buf_release(&l->output);
        free(l->result);
        free(l->reported);
        free(l);
}

/* ---- the result -------------------------------------------------------------------------------------------- */

/* A persistent failure is logged once. */
static void report(struct label *l, const char *problem)
{
        if (l->reported != NULL && problem != NULL && strcmp(l->reported, problem) == 0)
                return;
        free(l->reported);
        l->reported = problem == NULL ? NULL : str_dup(str_of(problem));
        if (problem != NULL)
                log_warn("A label's command failed", LOG_C("label", l->config->name), LOG_C("app", l->app), LOG_C("reason", problem));
}

static void set_result(struct label *l, struct str value)
{
        AUTO(buf) shown = BUF_MAX(LABEL_RESULT_MAX);

        escape_text(&shown, value, LIMIT_LABEL_VALUE);
        if (l->result != NULL && strcmp(l->result, buf_c(&shown)) == 0)
                return;
        free(l->result);
        l->result = buf_take(&shown);
        const struct label_result changed = { l->app, l->config->name, l->result };
        l->owner->changed(l->owner->ctx, &changed);
}

/* The value of a failed command is the reason of the failure, and its output until then. */
static void take_result(struct label *l)
{
        AUTO_MEM char *problem = NULL;

        if (l->is_late)
                problem = mem_printf("it did not end within %d seconds", TIMEOUT_LABEL_COMMAND / 1000);
        else if (l->signum != 0)
                problem = mem_printf("it died of signal %d", l->signum);
        else if (l->status != 0)
                problem = mem_printf("it ended with status %lld", (long long)l->status);
        report(l, problem);
        struct str output = str_trim(buf_str(&l->output));
        AUTO_MEM char *value = problem == NULL ? NULL : mem_printf("%s%s%.*s", problem, str_is_empty(output) ? "" : "; output: ",
                                                                   STR_ARG(output));
        set_result(l, problem == NULL ? output : str_of(value));
}

static int64_t period_of(const Cteleport__V1__CommandLabelConfig *config)
{
        if (config->period == NULL)
                return DEFAULT_PERIOD_SECONDS;
        return config->period->seconds < 1 ? 1 : config->period->seconds;
}

static void plan(struct label *l)
{
        timer_start(l->next, SECONDS(period_of(l->config)));
}

/* ---- running a command --------------------------------------------------------------------------------------- */

static void kill_it(struct label *l)
{
        if (l->is_running)
                kill(-l->process.pid, SIGKILL); /* its whole session, with the processes that it has started */
}

static void on_closed(uv_handle_t *handle)
{
        struct label *l = handle->data;

        if (--l->open_handles > 0)
                return;
        timer_stop(l->deadline);
        if (l->owner == NULL) {
                label_free(l);
                return;
        }
        if (!l->has_failed)
                take_result(l);
        plan(l);
}

static void on_ended(uv_process_t *process, int64_t status, int signum)
{
        struct label *l = process->data;

        kill_it(l);
        l->is_running = false;
        l->status = status;
        l->signum = signum;
        uv_close((uv_handle_t *)process, on_closed);
}

static void on_deadline(void *ctx)
{
        struct label *l = ctx;

        l->is_late = true;
        kill_it(l);
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *ret)
{
        struct label *l = handle->data;

        (void)wanted;
        *ret = (uv_buf_t){ l->chunk, sizeof(l->chunk) };
}

static void on_read(uv_stream_t *pipe, ssize_t count, const uv_buf_t *chunk)
{
        struct label *l = pipe->data;

        if (count < 0)
                uv_close((uv_handle_t *)pipe, on_closed);
        else /* output beyond the limit of a value is read and dropped */
                buf_put(&l->output, str_of_bytes(chunk->base, (size_t)count < l->output.max - l->output.len
                                                                      ? (size_t)count : l->output.max - l->output.len));
}

/* The environment has neither the variables with which this process reaches AWS, nor those of the operator's shell. */
static char **environment_of(struct arena *a)
{
        static const char *const names[] = { "HOME", "LANG", "LC_ALL", "TZ" };
        char **environment = arena_alloc(a, (ARRAY_LEN(names) + 2) * sizeof(char *));
        size_t count = 0;

        environment[count++] = pb_text("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                const char *value = getenv(names[i]);

                if (value != NULL)
                        environment[count++] = pb_text(arena_printf(a, "%s=%s", names[i], value));
        }
        return environment;
}

static int spawn(struct label *l)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        const Cteleport__V1__CommandLabelConfig *config = l->config;
        char **words = arena_alloc(a, (config->n_command + 1) * sizeof(char *));
        uv_stdio_container_t stdio[] = {
                { .flags = UV_IGNORE },
                { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&l->pipe },
                { .flags = UV_IGNORE },
        };

        memcpy(words, config->command, config->n_command * sizeof(char *));
        const uv_process_options_t options = {
                .file = words[0],
                .args = words,
                .env = environment_of(a),
                .cwd = "/",
                .stdio = stdio,
                .stdio_count = (int)ARRAY_LEN(stdio),
                .exit_cb = on_ended,
                .flags = UV_PROCESS_DETACHED,
        };
        return uv_spawn(&l->loop->uv, &l->process, &options);
}

static void run(void *ctx)
{
        struct label *l = ctx;

        buf_clear(&l->output);
        l->is_late = l->has_failed = false;
        l->status = l->signum = 0;
        uv_pipe_init(&l->loop->uv, &l->pipe, 0);
        l->open_handles = 2;
        int status = spawn(l);
        l->process.data = l->pipe.data = l;
        if (status < 0) {
                AUTO_MEM char *problem = mem_printf("it cannot be started: %s", uv_strerror(status));

                report(l, problem);
                set_result(l, str_of(problem));
                l->has_failed = true;
                uv_close((uv_handle_t *)&l->process, on_closed);
                uv_close((uv_handle_t *)&l->pipe, on_closed);
                return;
        }
        l->is_running = true;
        timer_start(l->deadline, MILLISECONDS(TIMEOUT_LABEL_COMMAND));
        uv_read_start((uv_stream_t *)&l->pipe, on_room, on_read);
}

/* ---- all labels ----------------------------------------------------------------------------------------------- */

void label_describe(const Cteleport__V1__CommandLabelConfig *config, Cteleport__V1__CommandLabel *ret,
                    Cteleport__V1__Duration *period)
{
        cteleport__v1__duration__init(period);
        period->seconds = period_of(config);
        cteleport__v1__command_label__init(ret);
        ret->name = config->name;
        ret->period = period;
        ret->command = config->command;
        ret->n_command = config->n_command;
        ret->result = NULL;
}

static struct label *label_new(struct labels *owner, struct loop *loop, const struct label_command *command)
{
        struct label *l = NEW(struct label);

        l->owner = owner;
        l->loop = loop;
        l->app = command->app;
        l->config = command->config;
        l->output = BUF_MAX(LIMIT_LABEL_VALUE);
        l->next = timer_new(loop, run, l);
        l->deadline = timer_new(loop, on_deadline, l);
        return l;
}

static size_t add_commands(const char *app, Cteleport__V1__CommandLabelConfig *const *from, size_t count, struct label_command *list, size_t listed)
{
        for (size_t i = 0; i < count && listed < LIMIT_LABEL_COMMANDS; i++)
                list[listed++] = (struct label_command){ app, from[i] };
        return listed;
}

size_t label_commands(const Cteleport__V1__Config *config, struct label_command ret[LIMIT_LABEL_COMMANDS])
{
        const Cteleport__V1__AppServiceConfig *apps = config->app_service;
        size_t count = 0;

        if (config->ssh_service != NULL && services_is_enabled(config, services_find("ssh")))
                count = add_commands("", config->ssh_service->commands, config->ssh_service->n_commands, ret, count);
        if (apps == NULL || !services_is_enabled(config, services_find("app")))
                return count;
        for (size_t i = 0; i < apps->n_apps; i++)
                count = add_commands(apps->apps[i]->name, apps->apps[i]->commands, apps->apps[i]->n_commands, ret, count);
        return count;
}

struct labels *labels_new(struct loop *loop, const Cteleport__V1__Config *config, void (*changed)(void *ctx, const struct label_result *label),
                          void *ctx)
{
        struct labels *l = NEW(struct labels);
        struct label_command commands[LIMIT_LABEL_COMMANDS];

        *l = (struct labels){ .changed = changed, .ctx = ctx, .count = label_commands(config, commands) };
        l->all = mem_array(l->count, sizeof(*l->all));
        l->list = mem_array(l->count, sizeof(*l->list));
        for (size_t i = 0; i < l->count; i++) {
                l->all[i] = label_new(l, loop, &commands[i]);
                timer_start(l->all[i]->next, MILLISECONDS(1));
        }
        return l;
}

void labels_free(struct labels *l)
{
        if (l == NULL)
                return;
        for (size_t i = 0; i < l->count; i++) {
                struct label *label = l->all[i];

                label->owner = NULL;
                timer_stop(label->next);
                if (label->open_handles == 0)
                        label_free(label);
                else
                        kill_it(label);
        }
        free(l->all);
        free(l->list);
        free(l);
}

size_t labels_list(const struct labels *l, const struct label_result **ret)
{
        size_t count = 0;

        for (size_t i = 0; i < l->count; i++)
                if (l->all[i]->result != NULL)
                        l->list[count++] = (struct label_result){ l->all[i]->app, l->all[i]->config->name, l->all[i]->result };
        *ret = l->list;
        return count;
}
