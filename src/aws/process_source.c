/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/process_source.h"

#include <signal.h>
#include <stdlib.h>

#include "aws/command_line.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "loop/loop.h"

enum { OUTPUT, ERROR_OUTPUT, PIPES };

struct process_source {
        struct loop *loop;
        uv_process_t process;
        uv_pipe_t pipes[PIPES];
        struct buf text[PIPES];
        char chunk[4 * KiB];
        struct timer *deadline;
        int open_handles; /* handles of libuv that are not closed yet */
        bool is_running, is_cancelled, is_late;
        int64_t exit_status;
        int signal;
        struct error *err; /* reason why it could not start */
        void (*done)(void *ctx, struct str output, struct error *err);
        void *ctx;
};

static struct error *verdict(const struct process_source *p)
{
        AUTO_MEM char *sent = escaped(str_trim(buf_str(&p->text[ERROR_OUTPUT])));
        struct error *err;

        if (p->is_cancelled)
                return error_new(ERROR_CANCELLED, "credential_process was cancelled");
        if (p->is_late)
                return error_new(ERROR_DEADLINE_EXCEEDED, "credential_process did not end within %d seconds",
                                 TIMEOUT_CREDENTIAL_PROCESS / 1000);
        if (p->text[OUTPUT].overflowed)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "credential_process printed more than %d bytes",
                                 LIMIT_AWS_ANSWER);
        if (p->exit_status == 0 && p->signal == 0)
                return NULL;
        err = p->signal != 0 ? error_new(ERROR_FAILED_PRECONDITION, "credential_process died of signal %d", p->signal) :
                               error_new(ERROR_FAILED_PRECONDITION, "credential_process ended with status %d",
                                         (int)p->exit_status);
        /* The program's error output goes to the log of this host only. */
        return sent[0] == '\0' ? err : error_because(err, error_new(ERROR_UNKNOWN, "its error output: %s", sent));
}

static void finish(void *ctx)
{
        struct process_source *p = ctx;
        struct error *err = p->err != NULL ? p->err : verdict(p);

        timer_free(p->deadline);
        p->done(p->ctx, err == NULL ? buf_str(&p->text[OUTPUT]) : (struct str){ 0 }, err);
        for (int i = 0; i < PIPES; i++) {
                wipe(p->text[i].ptr, p->text[i].len);
                buf_release(&p->text[i]);
        }
        wipe(p->chunk, sizeof p->chunk);
        free(p);
}

/* When the last handle is closed, the program has ended and both pipes are at their end. */
static void on_closed(uv_handle_t *handle)
{
        struct process_source *p = handle->data;

        if (--p->open_handles == 0)
                finish(p);
}

static void kill_all(struct process_source *p)
{
        if (p->is_running)
                kill(-p->process.pid, SIGKILL); /* its session: also kills its children, which hold the pipes */
}

static void on_ended(uv_process_t *process, int64_t status, int signal)
{
        struct process_source *p = process->data;

        kill_all(p);
        p->is_running = false;
        p->exit_status = status;
        p->signal = signal;
        uv_close((uv_handle_t *)process, on_closed);
}

static void on_deadline(void *ctx)
{
        struct process_source *p = ctx;

        p->is_late = true;
        kill_all(p);
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *ret)
{
        struct process_source *p = handle->data;

        (void)wanted;
        *ret = (uv_buf_t){ p->chunk, sizeof p->chunk };
}

static void on_read(uv_stream_t *pipe, ssize_t count, const uv_buf_t *chunk)
{
        struct process_source *p = pipe->data;

        if (count < 0) {
                uv_close((uv_handle_t *)pipe, on_closed);
                return;
        }
        struct buf *text = &p->text[pipe == (uv_stream_t *)&p->pipes[OUTPUT] ? OUTPUT : ERROR_OUTPUT];
        buf_put(text, (struct str){ chunk->base, (size_t)count });
        if (text->overflowed && text == &p->text[OUTPUT])
                kill_all(p);
}

static struct error *spawn(struct process_source *p, struct str command)
{
        char **words;

        TRY(command_words(command, &words));
        uv_stdio_container_t stdio[] = {
                { .flags = UV_IGNORE },
                { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->pipes[OUTPUT] },
                { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->pipes[ERROR_OUTPUT] },
        };
        const uv_process_options_t options = {
                .file = words[0],
                .args = words,
                .stdio = stdio,
                .stdio_count = (int)ARRAY_LEN(stdio),
                .exit_cb = on_ended,
                .flags = UV_PROCESS_DETACHED,
        };

        for (int i = 0; i < PIPES; i++) {
                uv_pipe_init(&p->loop->uv, &p->pipes[i], 0);
                p->pipes[i].data = p;
                p->open_handles++;
        }
        p->open_handles++;
        int status = uv_spawn(&p->loop->uv, &p->process, &options);
        p->process.data = p;
        if (status < 0) {
                AUTO_MEM char *shown = escaped(str_of(words[0]));
                command_words_free(words);
                return error_hint(error_errno(-status, "credential_process '%s' cannot be started", shown),
                                  "it must begin with the path of a program; there is no shell, and no ~ or $VARIABLE");
        }
        command_words_free(words);
        p->is_running = true;
        for (int i = 0; i < PIPES; i++)
                uv_read_start((uv_stream_t *)&p->pipes[i], on_room, on_read);
        return NULL;
}

struct process_source *process_source_start(struct loop *l, struct str command,
                                            void (*done)(void *ctx, struct str output, struct error *err), void *ctx)
{
        struct process_source *p = NEW(struct process_source);

        p->loop = l;
        p->done = done;
        p->ctx = ctx;
        p->text[OUTPUT] = BUF_MAX(LIMIT_AWS_ANSWER);
        p->text[ERROR_OUTPUT] = BUF_MAX(4 * KiB);
        p->deadline = timer_new(l, on_deadline, p);
        p->err = spawn(p, command);
        if (p->err == NULL) {
                timer_start(p->deadline, MILLISECONDS(TIMEOUT_CREDENTIAL_PROCESS));
        } else if (p->open_handles > 0) {
                for (int i = 0; i < PIPES; i++)
                        uv_close((uv_handle_t *)&p->pipes[i], on_closed);
                uv_close((uv_handle_t *)&p->process, on_closed);
        } else {
                loop_defer(l, finish, p);
        }
        return p;
}

void process_source_cancel(struct process_source *p)
{
        p->is_cancelled = true;
        kill_all(p);
}
