/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/status.h"

#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "loop/loop.h"
#include "os/file.h"

enum { STATUS_FILE_MAX = 64 * KiB };

/* One write on the pool, with its own copy of all data. */
struct write_job {
        struct status *status;
        char *path;
        struct buf text;
};

const char *status_state_name(enum status_state state)
{
        static const char *const names[] = {
                [STATUS_STARTING] = "starting",     [STATUS_JOINING] = "joining",
                [STATUS_CONNECTING] = "connecting", [STATUS_CONNECTED] = "connected",
                [STATUS_UNREACHABLE] = "unreachable", [STATUS_LOCKED] = "locked",
                [STATUS_STOPPED] = "stopped",
        };
        return names[state];
}

/* ---- the file -------------------------------------------------------------------------------------- */

static void put_text(struct buf *out, const char *key, const char *text)
{
        buf_printf(out, ",\n  \"%s\": ", key);
        if (text == NULL)
                buf_put_c(out, "null");
        else
                json_put_string(out, str_of(text));
}

static void put_time(struct buf *out, const char *key, struct walltime t)
{
        AUTO(buf) text = BUF_MAX(64);
        if (t.ns != 0)
                walltime_put_rfc3339(&text, t);
        put_text(out, key, t.ns == 0 ? NULL : buf_c(&text));
}

void status_put_json(const struct status *s, struct buf *out)
{
        buf_printf(out, "{\n  \"state\": \"%s\"", status_state_name(s->state));
        put_time(out, "since", s->since);
        put_text(out, "host_id", s->host_id);
        put_text(out, "cluster", s->cluster);
        put_text(out, "server", s->server);
        put_time(out, "joined", s->joined);
        put_time(out, "cert_not_after", s->cert_not_after);
        put_text(out, "last_error", s->last_error);
        put_text(out, "last_error_hint", s->last_error_hint);
        put_time(out, "last_error_at", s->last_error_at);
        buf_printf(out, ",\n  \"clock_skew_ms\": %lld,\n  \"notices\": [", (long long)s->clock_skew_ms);
        bool is_first = true;
        for (size_t i = 0; i < STATUS_NOTICES_MAX; i++) {
                if (s->notices[i] == NULL)
                        continue;
                buf_put_c(out, is_first ? "" : ", ");
                json_put_string(out, str_of(s->notices[i]));
                is_first = false;
        }
        buf_put_c(out, "]\n}\n");
}

/* ---- the line ------------------------------------------------------------------------------------------ */

static void put_part(struct buf *out, const char *before, const char *text)
{
        if (text == NULL || text[0] == '\0')
                return;
        buf_put_c(out, before);
        escape_text(out, str_of(text), ESCAPE_LIMIT / 2);
}

static void put_membership(const struct status *s, struct buf *out)
{
        put_part(out, "joined cluster ", s->cluster);
        buf_put_c(out, " since ");
        walltime_put_rfc3339(out, s->joined);
}

static void put_connection(const struct status *s, struct buf *out)
{
        static const char *const words[] = {
                [STATUS_CONNECTING] = "not connected",
                [STATUS_CONNECTED] = "connected",
                [STATUS_UNREACHABLE] = "connected",
                [STATUS_LOCKED] = "locked by the cluster",
        };
        bool is_connected = s->state == STATUS_CONNECTED || s->state == STATUS_UNREACHABLE;

        buf_printf(out, "; %s", words[s->state]);
        if (is_connected)
                put_part(out, " through ", s->server);
        if (is_connected && s->keeps_tunnels)
                buf_printf(out, s->tunnels == 1 ? ", %zu tunnel" : ", %zu tunnels", s->tunnels);
}

/* NULL: there is none. */
static const char *notice_of(const struct status *s, const char *kind)
{
        for (size_t i = 0; i < STATUS_NOTICES_MAX; i++)
                if (s->notice_kinds[i] != NULL && str_equal(str_of(s->notice_kinds[i]), str_of(kind)))
                        return s->notices[i];
        return NULL;
}

void status_put_line(const struct status *s, struct buf *out)
{
        if (s->state == STATUS_STARTING || s->state == STATUS_STOPPED)
                buf_put_c(out, status_state_name(s->state));
        else if (s->state == STATUS_JOINING || s->joined.ns == 0)
                put_part(out, "not joined; joining through ", s->server == NULL ? "any of the servers" : s->server);
        else {
                put_membership(s, out);
                put_connection(s, out);
        }
        put_part(out, "; ", notice_of(s, STATUS_NOTICE_CERTIFICATE));
        put_part(out, "; ", s->last_error);
}

static void write_soon(struct status *s);

static void write_work(void *ctx)
{
        struct write_job *job = ctx;
        /* The file is for information only: a full disk must not stop a working host. */
        error_free(file_write_atomic(job->path, buf_str(&job->text), 0600));
}

static void write_free(void *ctx)
{
        struct write_job *job = ctx;
        free(job->path);
        buf_release(&job->text);
        free(job);
}

static void write_done(void *ctx)
{
        struct write_job *job = ctx;
        struct status *s = job->status;
        write_free(job);
        s->writing = NULL;
        if (s->is_dirty)
                write_soon(s);
        else if (s->finished != NULL)
                s->finished(s->finished_ctx);
}

static void write_now(void *ctx)
{
        struct status *s = ctx;
        struct write_job *job = NEW(struct write_job);
        *job = (struct write_job){ .status = s, .path = str_dup(str_of(s->path)), .text = BUF_MAX(STATUS_FILE_MAX) };
        s->is_dirty = false;
        status_put_json(s, &job->text);
        if (s->on_change != NULL)
                s->on_change(s->on_change_ctx);
        s->writing = loop_job(s->loop, write_work, write_done, job);
}

/* Combines several changes of one turn of the loop into one write. */
static void write_soon(struct status *s)
{
        s->is_dirty = true;
        if (s->writing == NULL && !timer_is_running(s->soon))
                timer_start(s->soon, MILLISECONDS(0));
}

/* ---- changes --------------------------------------------------------------------------------------- */

/* Whether the host is in the cluster, for /readyz; the tunnels of a node are a part of their own. */
static void show_health(struct status *s)
{
        bool is_connected = s->state == STATUS_CONNECTED || s->state == STATUS_UNREACHABLE;
        bool is_first = s->state == STATUS_STARTING || s->state == STATUS_JOINING || s->state == STATUS_CONNECTING;

        s->was_connected |= is_connected;
        metric_set_health(HEALTH_CLUSTER, is_connected ? HEALTH_OK : is_first && !s->was_connected ? HEALTH_STARTING : HEALTH_DEGRADED);
}

void status_init(struct status *s, struct loop *l, const char *dir)
{
        *s = (struct status){ .loop = l, .path = mem_printf("%s/status.json", dir), .since = loop_wall(l) };
        show_health(s);
        s->soon = timer_new(l, write_now, s);
}

void status_release(struct status *s)
{
        job_cancel(s->writing, write_free);
        timer_free(s->soon);
        free(s->path);
        free(s->host_id);
        free(s->cluster);
        free(s->server);
        free(s->last_error);
        free(s->last_error_hint);
        for (size_t i = 0; i < STATUS_NOTICES_MAX; i++) {
                free(s->notices[i]);
                free(s->notice_kinds[i]);
        }
        *s = (struct status){ 0 };
}

/* Replaces *at by a copy of text; returns whether that changed anything. */
static bool replace(char **at, const char *text)
{
        bool is_same = text == NULL ? *at == NULL : *at != NULL && str_equal(str_of(*at), str_of(text));
        if (is_same)
                return false;
        free(*at);
        *at = text == NULL ? NULL : str_dup(str_of(text));
        return true;
}

void status_set_state(struct status *s, enum status_state state)
{
        if (s->state == state)
                return;
        s->state = state;
        show_health(s);
        s->since = loop_wall(s->loop);
        write_soon(s);
}

void status_set_identity(struct status *s, struct str host_id, struct str cluster, struct walltime joined,
                         struct walltime not_after)
{
        AUTO_MEM char *id = str_dup(host_id);
        AUTO_MEM char *name = str_dup(cluster);
        (void)replace(&s->host_id, id);
        (void)replace(&s->cluster, name);
        s->joined = joined;
        s->cert_not_after = not_after;
        write_soon(s);
}

void status_set_server(struct status *s, const char *server)
{
        if (replace(&s->server, server))
                write_soon(s);
}

void status_set_error(struct status *s, const struct error *err)
{
        bool is_update = replace(&s->last_error, err == NULL ? NULL : err->what);
        is_update |= replace(&s->last_error_hint, err == NULL ? NULL : err->hint);
        if (!is_update)
                return;
        s->last_error_at = err == NULL ? (struct walltime){ 0 } : loop_wall(s->loop);
        write_soon(s);
}

void status_set_skew(struct status *s, struct duration skew)
{
        int64_t ms = duration_ms(skew);
        if (s->clock_skew_ms == ms)
                return;
        s->clock_skew_ms = ms;
        write_soon(s);
}

void status_set_tunnels(struct status *s, size_t tunnels)
{
        if (s->keeps_tunnels && s->tunnels == tunnels)
                return;
        s->keeps_tunnels = true;
        s->tunnels = tunnels;
        write_soon(s);
}

void status_set_notice(struct status *s, const char *kind, const char *text)
{
        size_t at = STATUS_NOTICES_MAX;
        for (size_t i = STATUS_NOTICES_MAX; i-- > 0;) {
                if (s->notice_kinds[i] == NULL && at == STATUS_NOTICES_MAX)
                        at = i;
                if (s->notice_kinds[i] != NULL && str_equal(str_of(s->notice_kinds[i]), str_of(kind))) {
                        at = i;
                        break;
                }
        }
        if (at == STATUS_NOTICES_MAX) {
                if (text == NULL)
                        return;
                at = 0; /* other kinds use all entries: one is replaced */
        }
        if (!replace(&s->notices[at], text))
                return;
        (void)replace(&s->notice_kinds[at], text == NULL ? NULL : kind);
        write_soon(s);
}

void status_finish(struct status *s, void (*done)(void *ctx), void *ctx)
{
        status_set_state(s, STATUS_STOPPED);
        s->finished = done;
        s->finished_ctx = ctx;
        write_soon(s);
}
