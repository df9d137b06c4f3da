/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/sessions/record_retention.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/core/retention_clock.h"
#include "auth/sessions/record_service.h"
#include "auth/sessions/sessions.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include "rpc/pb.h"
#include "state/host.h"
#include "state/recording.h"
#include "state/session.h"

enum { ID_LEN = 36, RECORDS_ARENA = 64 * KiB };

/* The files of one session. */
struct recorded {
        char id[ID_LEN + 1];
        int64_t modified; /* of the file that was written last; nanoseconds since 1970 */
        int64_t size;     /* of all of them */
};

/* One run, owned by its job or by its request to the store. */
struct run {
        struct record_retention *retention; /* NULL: its owner was freed */
        char *dir;
        struct duration age;
        int64_t size;
        struct walltime now;

        struct recorded *all; /* oldest first */
        size_t count, room, next;
        int64_t excess; /* bytes beyond `size` */
        struct error *err;

        struct arena *arena; /* of the records of one session */
        const Cteleport__State__V1__Recording *recording; /* NULL: it has no record */
        uint64_t revision;
        const Cteleport__State__V1__Session *session; /* NULL: it has no record */

        struct recorded removed[LIMIT_RETENTION_BATCH];
        size_t removed_count;
        bool is_batch_full;
};

struct record_retention {
        struct auth *auth;
        struct timer *pace;
        struct job *job;  /* of the run */
        struct run *run;  /* NULL: none is under way */
        bool is_failing;  /* the last run failed, and that was logged */
};

static void run_free(void *ctx)
{
        struct run *run = ctx;

        error_free(run->err);
        arena_free(run->arena);
        free(run->all);
        free(run->dir);
        free(run);
}

/* ---- the files; these functions run on the thread pool ---------------------------------------------------------- */

/* Whether the name is <session ID>.rec, or that of a damaged copy, <session ID>.damaged-1. */
static bool is_record_name(struct str name)
{
        struct str rest = name.len < ID_LEN ? STR("") : str_slice(name, ID_LEN, name.len);

        return name.len > ID_LEN && name_is_session(str_slice(name, 0, ID_LEN)) && (str_equal(rest, STR(".rec")) || str_starts_with(rest, STR(".damaged-")));
}

static void add_file(struct run *run, const char *name, const struct stat *st)
{
        if (run->count == run->room) {
                run->room = run->room * 2 + 64;
                run->all = mem_resize(run->all, run->room, sizeof *run->all);
        }
        struct recorded *f = &run->all[run->count++];
        *f = (struct recorded){ .modified = st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec, .size = st->st_size };
        memcpy(f->id, name, ID_LEN);
}

static int by_id(const void *a, const void *b)
{
        return memcmp(((const struct recorded *)a)->id, ((const struct recorded *)b)->id, ID_LEN);
}

static int oldest_first(const void *a, const void *b)
{
        const struct recorded *x = a, *y = b;

        if (x->modified != y->modified)
                return x->modified < y->modified ? -1 : 1;
        return by_id(a, b);
}

/* Makes one entry of all files of a session. */
static void merge(struct run *run)
{
        size_t count = 0;

        qsort(run->all, run->count, sizeof *run->all, by_id);
        for (size_t i = 0; i < run->count; i++) {
                struct recorded *last = count == 0 ? NULL : &run->all[count - 1];

                if (last == NULL || by_id(last, &run->all[i]) != 0) {
                        run->all[count++] = run->all[i];
                        continue;
                }
                last->size += run->all[i].size;
                if (last->modified < run->all[i].modified)
                        last->modified = run->all[i].modified;
        }
        run->count = count;
        qsort(run->all, run->count, sizeof *run->all, oldest_first);
}

static void list_job(void *ctx)
{
        struct run *run = ctx;
        DIR *d = opendir(run->dir);
        const struct dirent *e;
        struct stat st;

        if (d == NULL && errno == ENOENT) /* there was no recording yet */
                return;
        if (d == NULL) {
                run->err = error_errno(errno, "the directory of the recordings cannot be read");
                return;
        }
        while ((e = readdir(d)) != NULL)
                if (is_record_name(str_of(e->d_name)) && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                        add_file(run, e->d_name, &st);
        closedir(d);
        for (size_t i = 0; i < run->count; i++)
                run->excess += run->all[i].size;
        run->excess = run->size == 0 ? 0 : run->excess - run->size;
        if (run->count > 0)
                merge(run);
}

/* NULL: the file stays. */
static struct recorded *find_removed(struct run *run, const char *name)
{
        for (size_t i = 0; i < run->removed_count; i++)
                if (memcmp(run->removed[i].id, name, ID_LEN) == 0)
                        return &run->removed[i];
        return NULL;
}

static void remove_job(void *ctx)
{
        struct run *run = ctx;
        DIR *d = opendir(run->dir);
        const struct dirent *e;

        if (d == NULL) {
                run->err = error_errno(errno, "the directory of the recordings cannot be read");
                return;
        }
        while ((e = readdir(d)) != NULL) {
                struct recorded *f = is_record_name(str_of(e->d_name)) ? find_removed(run, e->d_name) : NULL;

                if (f == NULL || unlinkat(dirfd(d), e->d_name, 0) == 0)
                        continue;
                if (run->err == NULL)
                        run->err = error_errno(errno, "a recording cannot be removed");
                *f = run->removed[--run->removed_count]; /* it is not reported: each run would report it again */
        }
        closedir(d);
        if (run->err == NULL)
                run->err = dir_sync(run->dir);
}

/* ---- the records; these functions run on the loop ---------------------------------------------------------------- */

static void check_next(struct run *run);

static void report(struct auth *a, const struct run *run)
{
        struct audit_record record = { 0 };
        struct str ids[LIMIT_RETENTION_BATCH];
        int64_t bytes = 0;

        if (run->removed_count == 0)
                return;
        for (size_t i = 0; i < run->removed_count; i++) {
                ids[i] = str_of(run->removed[i].id);
                bytes += run->removed[i].size;
        }
        log_info("Old recordings were removed, as configured", LOG_INT("count", (int64_t)run->removed_count), LOG_INT("bytes", bytes));
        auth_audit_begin(a, &record, &audit_recordings_expire);
        audit_int(&record, "recordings", (int64_t)run->removed_count);
        audit_int(&record, "bytes", bytes);
        audit_strs(&record, "sids", ids, run->removed_count);
        audit_write(a->audit, &record, NULL, NULL);
}

static void begin(struct record_retention *r);

static void finish(struct run *run)
{
        struct record_retention *r = run->retention;
        bool has_more = run->err == NULL && run->is_batch_full;

        r->run = NULL;
        if (run->err != NULL && !r->is_failing)
                log_warn("Old recordings could not be removed; it is tried again", LOG_ERR(run->err));
        r->is_failing = run->err != NULL;
        report(r->auth, run);
        run_free(run);
        if (has_more)
                begin(r);
}

static void on_removed(void *ctx)
{
        struct run *run = ctx;

        run->retention->job = NULL;
        finish(run);
}

/* The owner was freed while the store worked: the records that were deleted have files until the next start. */
static bool is_orphan(struct run *run, struct error *err)
{
        if (run->retention != NULL)
                return false;
        error_free(err);
        run_free(run);
        return true;
}

static const struct recorded *current(const struct run *run)
{
        return &run->all[run->next];
}

static void go_on(struct run *run)
{
        run->next++;
        check_next(run);
}

/* It cannot be removed now. It does not count in the size any more: younger ones are not removed for it. */
static void skip(struct run *run)
{
        run->excess -= current(run)->size;
        go_on(run);
}

static void take(struct run *run)
{
        run->removed[run->removed_count++] = *current(run);
        run->is_batch_full = run->removed_count == LIMIT_RETENTION_BATCH;
        run->excess -= current(run)->size;
        go_on(run);
}

static void on_deleted(void *ctx, uint64_t revision, struct error *err)
{
        struct run *run = ctx;

        (void)revision;
        if (is_orphan(run, err))
                return;
        if (err == NULL) {
                take(run);
        } else if (err->code == ERROR_ABORTED) { /* it has changed meanwhile */
                error_free(err);
                skip(run);
        } else {
                run->err = err;
                finish(run);
        }
}

/* Whether the session has ended as long ago as the setting says, or its recording is too much. */
static bool is_due(const struct run *run, int64_t ended_ms)
{
        return run->excess > 0 || (run->age.ns > 0 && walltime_since(run->now, (struct walltime){ ended_ms * 1000000 }).ns >= run->age.ns);
}

static bool is_complete(const struct run *run)
{
        return run->recording != NULL && run->recording->is_complete;
}

/* A node whose recording is complete learns that later, and removes its copy. */
static void delete_records(struct run *run)
{
        struct store_txn *t = store_txn_new(run->retention->auth->store);
        struct str id = str_of(current(run)->id);

        state_require(t, &recording_kind, id, run->revision);
        state_delete(t, &recording_kind, id);
        state_delete(t, &session_kind, id);
        if (run->session != NULL && is_complete(run)) {
                struct walltime until = walltime_add(loop_wall(&run->retention->auth->loop), HOURS(24 * LIMIT_RECORDING_REMOVED_DAYS));

                state_put_text(t, &removed_recording_kind, id, str_of(run->session->host_id), until);
        }
        store_txn_commit(t, on_deleted, run);
}

/* The node has not sent all of the recording. One that is no member any more, as a machine that was terminated, never will. */
static void on_host(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct run *run = ctx;

        (void)revision;
        if (is_orphan(run, err))
                return;
        if (err != NULL) {
                run->err = err;
                finish(run);
        } else if (host != NULL) {
                skip(run);
        } else {
                delete_records(run);
        }
}

static void on_session(void *ctx, const struct state_record *record, struct error *err)
{
        struct run *run = ctx;
        Cteleport__State__V1__Session *s = NULL;

        if (is_orphan(run, err))
                return;
        if (err == NULL && record != NULL)
                err = session_read(run->arena, record, &s);
        if (err != NULL) {
                run->err = err;
                finish(run);
                return;
        }
        struct str id = str_of(current(run)->id);
        if (s == NULL && run->recording == NULL) {
                take(run); /* files that a crash has left, or a restore of the store */
                return;
        }
        run->session = s;
        bool has_ended = s == NULL || (s->ended != 0 && is_due(run, s->ended));
        if (!has_ended || (s == NULL && !is_complete(run)) || record_is_coming(run->retention->auth, id) != NULL)
                skip(run);
        else if (is_complete(run))
                delete_records(run);
        else
                host_get(run->retention->auth->store, str_of(s->host_id), on_host, run);
}

static void on_recording(void *ctx, const struct state_record *record, struct error *err)
{
        struct run *run = ctx;
        Cteleport__State__V1__Recording *m = NULL;

        if (is_orphan(run, err))
                return;
        if (err == NULL && record != NULL)
                err = recording_read(run->arena, record, &m);
        if (err != NULL) {
                run->err = err;
                finish(run);
                return;
        }
        run->recording = m;
        run->revision = record == NULL ? 0 : record->revision;
        state_get(run->retention->auth->store, &session_kind, str_of(current(run)->id), on_session, run);
}

static void check_next(struct run *run)
{
        bool is_over = run->next == run->count || run->is_batch_full;

        /* A file was last written when its session had ended, or later: younger ones are not due. */
        if (!is_over && run->excess <= 0)
                is_over = run->age.ns == 0 || run->now.ns - current(run)->modified < run->age.ns;
        if (!is_over) {
                arena_free(run->arena);
                run->arena = arena_new(RECORDS_ARENA);
                state_get(run->retention->auth->store, &recording_kind, str_of(current(run)->id), on_recording, run);
        } else if (run->removed_count > 0) {
                run->retention->job = loop_job(&run->retention->auth->loop, remove_job, on_removed, run);
        } else {
                finish(run);
        }
}

static void on_listed(void *ctx)
{
        struct run *run = ctx;

        run->retention->job = NULL;
        if (run->err != NULL)
                finish(run);
        else
                check_next(run);
}

static void begin(struct record_retention *r)
{
        const struct auth *a = r->auth;
        struct run *run = NEW(struct run);

        *run = (struct run){
                .retention = r,
                .dir = str_dup(str_of(a->records_dir)),
                .age = a->retention_settings.recording_age,
                .size = a->retention_settings.recording_size,
                .now = retention_clock_now(a->retention_clock),
        };
        r->run = run;
        r->job = loop_job(&r->auth->loop, list_job, on_listed, run);
}

static void on_pace(void *ctx)
{
        struct record_retention *r = ctx;

        if (r->run == NULL)
                begin(r);
        timer_start(r->pace, MILLISECONDS(PACE_RETENTION));
}

struct record_retention *record_retention_new(struct auth *a)
{
        struct record_retention *r = NEW(struct record_retention);

        r->auth = a;
        r->pace = timer_new(&a->loop, on_pace, r);
        if (a->retention_settings.recording_age.ns > 0 || a->retention_settings.recording_size > 0)
                on_pace(r);
        return r;
}

void record_retention_free(struct record_retention *r)
{
        if (r == NULL)
                return;
        if (r->job != NULL)
                job_cancel(r->job, run_free);
        else if (r->run != NULL)
                r->run->retention = NULL;
        timer_free(r->pace);
        free(r);
}

bool record_retention_is_running(const struct record_retention *r)
{
        return r->run != NULL;
}
