/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/retention.h"

#include <stdlib.h>

#include "audit/audit_archive.h"
#include "auth/core/auth.h"
#include "auth/core/retention_clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/worker.h"

/* One run, owned by its job. */
struct run {
        struct retention *retention;
        const char *dir;
        struct audit_archive_options options;
        struct audit_archived done;
        struct error *err;
};

struct retention {
        struct auth *auth;
        struct worker *worker;
        struct timer *pace;
        struct job *running; /* NULL: no run is under way */
        bool is_due;         /* again, after the one that is under way */
        bool is_failing;     /* the last run failed, and that was logged */
};

static void run_free(void *ctx)
{
        struct run *run = ctx;

        error_free(run->err);
        free(run);
}

static void work(void *ctx)
{
        struct run *run = ctx;

        run->err = audit_archive(run->dir, &run->options, &run->done);
}

static void report_removed(struct auth *a, const struct audit_archived *done)
{
        struct audit_record record = { 0 };
        AUTO(buf) until = BUF_MAX(64);

        if (done->removed == 0)
                return;
        walltime_put_rfc3339(&until, done->removed_until);
        log_info("Old files of the audit log were removed, as configured", LOG_INT("count", (int64_t)done->removed),
                 LOG_INT("bytes", done->removed_bytes), LOG_STR("until", buf_str(&until)));
        auth_audit_begin(a, &record, &audit_log_expire);
        audit_int(&record, "files", (int64_t)done->removed);
        audit_int(&record, "bytes", done->removed_bytes);
        audit_str(&record, "until", buf_str(&until));
        audit_write(a->audit, &record, NULL, NULL);
}

static void begin(struct retention *r);

static void on_done(void *ctx)
{
        struct run *run = ctx;
        struct retention *r = run->retention;

        r->running = NULL;
        report_removed(r->auth, &run->done);
        if (run->err != NULL && !r->is_failing)
                log_warn("Old files of the audit log could not be compressed or removed; they stay, and it is tried again", LOG_ERR(run->err));
        r->is_failing = run->err != NULL;
        run_free(run);
        if (r->is_due)
                begin(r);
}

static void begin(struct retention *r)
{
        const struct auth *a = r->auth;
        struct run *run = NEW(struct run);

        r->is_due = false;
        *run = (struct run){
                .retention = r,
                .dir = a->log_dir,
                .options = {
                        .now = retention_clock_now(a->retention_clock),
                        .age = a->retention_settings.audit_age,
                        .size = a->retention_settings.audit_size,
                        .tail = LIMIT_AUDIT_TAIL,
                },
        };
        r->running = worker_job(r->worker, work, on_done, run);
}

void retention_wake(struct retention *r)
{
        if (r == NULL)
                return;
        if (r->running == NULL)
                begin(r);
        else
                r->is_due = true;
}

static void on_pace(void *ctx)
{
        struct retention *r = ctx;

        retention_wake(r);
        timer_start(r->pace, MILLISECONDS(PACE_RETENTION));
}

struct retention *retention_new(struct auth *a)
{
        struct retention *r = NEW(struct retention);

        r->auth = a;
        r->worker = worker_new(&a->loop, "retention");
        r->pace = timer_new(&a->loop, on_pace, r);
        on_pace(r);
        return r;
}

void retention_free(struct retention *r)
{
        if (r == NULL)
                return;
        job_cancel(r->running, run_free);
        timer_free(r->pace);
        worker_free(r->worker);
        free(r);
}
