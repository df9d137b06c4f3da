/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/retention_clock.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"

enum { TEXT_MAX = 64, HOURS_BEHIND = 24 }; /* behind by more than this is logged */

struct retention_clock {
        struct loop *loop;
        char *path;
        struct walltime reached; /* it never goes back */
        struct instant at;       /* when it was reached */
        struct walltime noted;   /* on the disk; 0: nothing is */
        struct job *noting;      /* NULL: the file is not being written */
        bool is_behind;          /* that was logged */
};

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static struct error *read_noted(const char *path, struct walltime *ret)
{
        AUTO(buf) text = BUF_MAX(TEXT_MAX);
        struct str line;

        TRY(file_read(path, &text));
        line = buf_str(&text);
        return walltime_parse_rfc3339(str_split(&line, '\n'), ret);
}

struct note {
        struct retention_clock *clock;
        char *path;
        struct walltime time;
        struct error *err;
};

static void note_free(void *ctx)
{
        struct note *n = ctx;

        error_free(n->err);
        free(n->path);
        free(n);
}

static void write_job(void *ctx)
{
        struct note *n = ctx;
        AUTO(buf) text = BUF_MAX(TEXT_MAX);

        walltime_put_rfc3339(&text, n->time);
        buf_put_char(&text, '\n');
        n->err = file_write_atomic(n->path, buf_str(&text), 0640);
}

/* A time that is not written is written later: until then, a restart begins at an earlier time. */
static void on_written(void *ctx)
{
        struct note *n = ctx;

        n->clock->noting = NULL;
        if (n->err == NULL)
                n->clock->noted = n->time;
        else
                log_debug("The time of the retention cannot be written", LOG_ERR(n->err));
        note_free(n);
}

static void note_if_due(struct retention_clock *c)
{
        if (c->noting != NULL || (c->noted.ns != 0 && walltime_since(c->reached, c->noted).ns < MILLISECONDS(PACE_EXPIRY_NOTE).ns))
                return;
        struct note *n = NEW(struct note);
        *n = (struct note){ .clock = c, .path = str_dup(str_of(c->path)), .time = c->reached };
        c->noting = loop_job(c->loop, write_job, on_written, n);
}

/* ---- the time ---------------------------------------------------------------------------------------------------- */

static void log_if_behind(struct retention_clock *c, struct walltime wall)
{
        struct duration behind = walltime_since(wall, c->reached);
        bool is_behind = behind.ns > HOURS(HOURS_BEHIND).ns;

        if (is_behind && !c->is_behind) {
                AUTO_MEM char *shown = path_shown(c->path);

                log_warn("The clock is ahead of the time by which old files of the audit log and recordings expire: it has jumped, or the Auth Service was off. Files expire "
                         "by a day an hour until then; if the clock is right, stop the service and remove the file to continue at once",
                         LOG_INT("hours", behind.ns / HOURS(1).ns), LOG_C("file", shown));
        }
        c->is_behind = is_behind;
}

struct walltime retention_clock_now(struct retention_clock *c)
{
        struct walltime wall = loop_wall(c->loop);
        struct instant now = loop_now(c->loop);
        struct duration passed = instant_since(now, c->at);

        c->at = now;
        if (passed.ns > HOURS(24 * 365).ns / LIMIT_EXPIRY_SPEED) /* no overflow */
                passed = (struct duration){ HOURS(24 * 365).ns / LIMIT_EXPIRY_SPEED };
        struct walltime most = walltime_add(c->reached, (struct duration){ passed.ns * LIMIT_EXPIRY_SPEED });
        if (wall.ns > c->reached.ns)
                c->reached = wall.ns < most.ns ? wall : most;
        log_if_behind(c, wall);
        note_if_due(c);
        return wall.ns < c->reached.ns ? wall : c->reached;
}

struct retention_clock *retention_clock_new(struct loop *loop, const char *dir)
{
        struct retention_clock *c = NEW(struct retention_clock);

        c->loop = loop;
        c->path = mem_printf("%s/retention-time", dir);
        c->at = loop_now(loop);
        AUTO_PTR(error) err = read_noted(c->path, &c->noted);
        if (err != NULL && err->code != ERROR_NOT_FOUND)
                log_warn("The time of the retention cannot be read; the time of day is taken", LOG_ERR(err));
        c->reached = err == NULL ? c->noted : loop_wall(loop);
        return c;
}

void retention_clock_free(struct retention_clock *c)
{
        if (c == NULL)
                return;
        job_cancel(c->noting, note_free);
        free(c->path);
        free(c);
}
