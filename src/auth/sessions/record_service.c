/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Record: one stream for each recording that a node has and auth has not.
 *
 *      open ─▶ is it this host's session? ─▶ open the file, check its size ─▶ "begin at …"
 *                                              │
 *      chunks ─▶ wait ─▶ written and synced, with those of other recordings ─▶ "durable up to …"
 *                                              │
 *      finish ─▶ check size and structure ─▶ record and audit ─▶ "finished"
 */
#include "auth/sessions/record_service.h"

#include <stdlib.h>

#include "api.pb-c.h"
#include "auth/core/caller.h"
#include "auth/sessions/record_disk.h"
#include "auth/core/refusal_log.h"
#include "auth/sessions/sessions.h"
#include "auth/core/unstored.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "rpc/pb.h"
#include "state/recording.h"
#include "state/session.h"

enum { RECORD_ARENA = 256 * KiB };

struct upload {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the stream has ended; a store request or a cancelled job is under way */
        struct arena *arena;   /* holds session */
        char *id;              /* of the session; NULL before open */
        char *host_id;         /* of the caller */
        const Cteleport__State__V1__Session *session; /* NULL until the check that it ran on this host */
        struct record_file file; /* used by a worker thread while is_busy */
        struct job *job;         /* opens or truncates the file; NULL: no job is under way */
        struct record_append append;
        bool is_appending;
        struct record_mark noted; /* as stored; in the arena */
        bool is_registered, is_busy, is_open;
        uint64_t begun;          /* size of the file when it was opened */
        struct record_progress progress; /* of the durable part: a copy, as a thread may be using the file */
        bool was_altered;        /* the file on the disk did not match the stored mark */
        uint64_t expected;       /* offset of the next chunk */
        struct buf waiting, writing;
        struct budget_holder *unstored; /* of the host: charged for waiting and writing */
        bool wants_finish, is_aborted, is_over;
        uint64_t final_size;
        struct error *err; /* result of the job */
        char *dir;
};

static void advance(struct upload *u);
static void release_upload(void *ctx);

/* ---- end of the stream ---------------------------------------------------------------------------------- */

static void upload_free(struct upload *u)
{
        if (u->is_registered)
                map_remove(&u->auth->uploads, str_of(u->id));
        record_file_release(&u->file);
        budget_unreserve(u->unstored, u->waiting.len + u->writing.len);
        budget_drop(u->unstored);
        buf_release(&u->waiting);
        buf_release(&u->writing);
        arena_free(u->arena);
        free(u->dir);
        free(u->host_id);
        free(u->id);
        free(u);
}

static void put_recording(struct upload *u, struct store_txn *t, bool is_complete)
{
        Cteleport__State__V1__Recording m = CTELEPORT__STATE__V1__RECORDING__INIT;

        m.session_id = u->id;
        m.size = (int64_t)u->progress.size;
        m.is_complete = is_complete;
        m.is_aborted = is_complete && u->is_aborted;
        m.whole = (int64_t)u->progress.whole;
        m.chunks = u->progress.chunks;
        m.missing_chunks = u->progress.missing_chunks;
        m.missing_bytes = (int64_t)u->progress.missing_bytes;
        if (u->progress.chunks > 0) {
                m.digest = (ProtobufCBinaryData){ sizeof u->progress.link, u->progress.link };
                m.first = (ProtobufCBinaryData){ sizeof u->progress.first, u->progress.first };
        }
        if (is_complete)
                m.finished = loop_wall(&u->auth->loop).ns / 1000000;
        state_require(t, &recording_kind, str_of(u->id), STORE_ANY);
        state_put(t, &recording_kind, str_of(u->id), &m.base, (struct walltime){ 0 });
}

/* Stores the size and digest of the incomplete recording, for the check when the upload is resumed or the recording is read. */
static void note_size(struct upload *u)
{
        if (!u->is_open || u->is_over || u->progress.size == u->begun || u->auth->is_stopping)
                return;
        struct store_txn *t = store_txn_new(u->auth->store);
        put_recording(u, t, false);
        store_txn_commit(t, NULL, NULL);
}

static void detach(struct upload *u)
{
        u->call = NULL;
        job_cancel(u->job, release_upload);
        if (u->is_appending)
                record_append_cancel(&u->append, release_upload);
        if (u->is_busy)
                return;
        note_size(u);
        upload_free(u);
}

static void finish(struct upload *u, struct error *err)
{
        struct rpc_call *call = u->call;

        if (err != NULL)
                log_warn("A recording cannot be stored", LOG_C("session_id", u->id == NULL ? "" : u->id), LOG_C("host_id", u->host_id),
                         LOG_ERR(err));
        if (call == NULL) {
                error_free(err);
        } else {
                u->call = NULL;
                rpc_call_finish(call, err);
        }
        detach(u);
}

static void on_gone(void *ctx)
{
        detach(ctx);
}

static void report(struct upload *u, bool is_finished)
{
        Cteleport__V1__RecordDown down = CTELEPORT__V1__RECORD_DOWN__INIT;

        down.offset = (int64_t)u->progress.size;
        down.is_finished = is_finished;
        if (u->call != NULL)
                rpc_call_send(u->call, &down.base);
}

/* ---- the end of a recording -------------------------------------------------------------------------------- */

/* The recording has requests to an application. */
static bool is_to_app(const struct upload *u)
{
        return strcmp(u->session->kind, "app") == 0;
}

static void audit_begin_upload(struct upload *u, struct audit_record *r, const struct audit_kind *kind)
{
        const Cteleport__State__V1__Session *s = u->session;

        auth_audit_begin(u->auth, r, kind);
        audit_str(r, "user", str_of(s->user));
        if (!is_to_app(u))
                audit_str(r, "login", str_of(s->login));
        else
                audit_str(r, "app_name", str_of(s->command));
        audit_str(r, "server_id", str_of(s->host_id));
        audit_str(r, "server_hostname", str_of(s->hostname));
        audit_str(r, "sid", str_of(s->session_id));
        if (is_to_app(u))
                audit_str(r, "session_chunk_id", str_of(s->session_id));
        audit_int(r, "size", (int64_t)u->progress.size);
        audit_int(r, "chunks", u->progress.chunks);
        if (u->progress.missing_bytes > 0) {
                audit_int(r, "missing_chunks", u->progress.missing_chunks);
                audit_int(r, "missing_bytes", (int64_t)u->progress.missing_bytes);
        }
        if (u->progress.chunks > 0) {
                AUTO(buf) hex = BUF_MAX(2 * RECORDING_LINK_LEN + 1);

                hex_encode(&hex, str_of_bytes(u->progress.link, sizeof u->progress.link));
                audit_str(r, "digest", buf_str(&hex));
        }
}

/* A host that sends invalid bytes, or a stored recording that was changed, is a fault or an attack: an operator should check. */
static void audit_damage(struct upload *u, const struct error *err)
{
        struct audit_record r = { 0 };

        if (u->auth->recording_refusals != NULL && !audit_may_report(u->auth, u->auth->recording_refusals, str_of(u->host_id)))
                return;
        audit_begin_upload(u, &r, &audit_session_recording_lost);
        audit_error(&r, err);
        audit_write(u->auth->audit, &r, NULL, NULL);
}

static void report_holes(struct upload *u)
{
        if (u->progress.missing_bytes == 0)
                return;
        AUTO_PTR(error) lost = error_new(ERROR_DATA_LOSS, "%u chunks in the middle of the recording were damaged on the node's disk; the parts around them were "
                                                          "received",
                                         u->progress.missing_chunks);
        log_warn("A recording has holes", LOG_C("session_id", u->id), LOG_C("host_id", u->host_id), LOG_INT("missing_chunks", u->progress.missing_chunks),
                 LOG_INT("missing_bytes", (int64_t)u->progress.missing_bytes));
        audit_damage(u, lost);
}

static void on_finished(void *ctx, uint64_t revision, struct error *err)
{
        struct upload *u = ctx;

        (void)revision;
        u->is_busy = false;
        if (err == NULL) {
                u->is_over = true;
                log_info("Recording is complete", LOG_C("session_id", u->id), LOG_C("user", u->session->user), LOG_INT("size", (int64_t)u->progress.size));
                report_holes(u);
                report(u, true);
                if (u->is_aborted)
                        session_give_up(u->auth->sessions, str_of(u->session->connection_id));
        }
        finish(u, err);
}

static struct error *check_finish(const struct upload *u)
{
        if (u->is_aborted)
                return NULL; /* an aborted recording is complete with the bytes received */
        if (u->final_size != u->progress.size)
                return error_new(ERROR_INVALID_ARGUMENT, "the recording is finished at %llu bytes, but %llu bytes were received",
                                 (unsigned long long)u->final_size, (unsigned long long)u->progress.size);
        if (!u->file.check.has_ended)
                return error_new(ERROR_DATA_LOSS, "the recording has no end");
        return NULL;
}

static void complete(struct upload *u)
{
        struct audit_record r = { 0 };
        struct error *err = check_finish(u);

        if (err != NULL) {
                finish(u, err);
                return;
        }
        struct store_txn *t = store_txn_new(u->auth->store);
        put_recording(u, t, true);
        audit_begin_upload(u, &r, is_to_app(u) ? &audit_app_session_chunk : &audit_session_upload);
        if (u->is_aborted)
                audit_bool(&r, "is_aborted", true);
        outbox_add(u->auth->outbox, t, &r);
        u->is_busy = true;
        store_txn_commit(t, on_finished, u);
}

static void note_progress(struct upload *u)
{
        const struct recording_chain *c = &u->file.chain;

        u->progress.size = u->file.size;
        u->progress.whole = c->whole;
        u->progress.chunks = c->chunks;
        u->progress.missing_chunks = u->file.check.missing_chunks;
        u->progress.missing_bytes = u->file.check.missing_bytes;
        memcpy(u->progress.link, c->link, sizeof c->link);
        memcpy(u->progress.first, c->first, sizeof c->first);
}

/* Called when a job ends after its stream: the bytes that it wrote stay, and their size is stored. */
static void release_upload(void *ctx)
{
        struct upload *u = ctx;

        if (u->is_appending)
                u->err = u->append.err;
        u->job = NULL;
        u->is_appending = false;
        u->is_busy = false;
        if (u->is_open)
                note_progress(u);
        if (u->err != NULL && u->err->code == ERROR_DATA_LOSS && !u->auth->is_stopping)
                audit_damage(u, u->err);
        error_free(u->err);
        note_size(u);
        upload_free(u);
}

static void cut_job(void *ctx)
{
        struct upload *u = ctx;

        u->err = record_file_cut(&u->file);
}

static void on_cut(void *ctx)
{
        struct upload *u = ctx;
        struct error *err = u->err;

        u->job = NULL;
        u->err = NULL;
        u->is_busy = false;
        note_progress(u);
        if (err != NULL)
                finish(u, err);
        else
                complete(u);
}

/* ---- bytes --------------------------------------------------------------------------------------------------- */

static void on_appended(void *ctx)
{
        struct upload *u = ctx;
        struct error *err = u->append.err;

        u->is_appending = u->is_busy = false;
        budget_unreserve(u->unstored, u->writing.len);
        buf_release(&u->writing); /* a recording that pauses holds no memory */
        note_progress(u);
        if (err != NULL && err->code == ERROR_DATA_LOSS)
                audit_damage(u, err);
        if (err != NULL) {
                finish(u, err);
                return;
        }
        report(u, false);
        advance(u);
}

static void advance(struct upload *u)
{
        if (u->is_busy || !u->is_open)
                return;
        if (u->waiting.len > 0) {
                u->writing = u->waiting;
                u->waiting = BUF_MAX(LIMIT_RECORD_UNACKED);
                u->is_appending = u->is_busy = true;
                record_disk_append(u->auth->record_disk, &u->append, &u->file, buf_str(&u->writing), on_appended, u);
        } else if (u->wants_finish && !u->is_aborted) {
                complete(u);
        } else if (u->wants_finish) {
                u->is_busy = true;
                u->job = record_disk_job(u->auth->record_disk, cut_job, on_cut, u);
        }
}

static struct error *take_chunk(struct upload *u, const Cteleport__V1__RecordChunk *m)
{
        if (!u->is_open || u->wants_finish)
                return error_new(ERROR_INVALID_ARGUMENT, "an unexpected piece of a recording");
        if (m->offset < 0 || (uint64_t)m->offset != u->expected)
                return error_new(ERROR_INVALID_ARGUMENT, "a piece of a recording belongs at %llu, not at %lld", (unsigned long long)u->expected,
                                 (long long)m->offset);
        if (u->waiting.len + u->writing.len + m->data.len > LIMIT_RECORD_UNACKED)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "more of a recording is sent than is waited for");
        AUTO_MEM char *of_host = mem_printf("host %s", u->host_id);
        struct str user = str_of(u->session->user), host_id = str_of(u->host_id);
        struct auth *a = u->auth;
        struct instant now = loop_now(&a->loop);

        TRY(user_budget_check(&a->user_recordings, user, host_id, now));
        if (a->host_recordings.bytes_per_day != 0)
                TRY(event_budget_check(&a->host_recordings, str_of(of_host), now));
        TRY(unstored_reserve(u->unstored, m->data.len));
        if (a->host_recordings.bytes_per_day != 0)
                event_budget_charge(&a->host_recordings, str_of(of_host), m->data.len, now);
        user_budget_charge(&a->user_recordings, user, host_id, m->data.len, now);
        buf_put(&u->waiting, pb_str(m->data));
        u->expected += m->data.len;
        return NULL;
}

static struct error *take_finish(struct upload *u, const Cteleport__V1__RecordFinish *m)
{
        if (!u->is_open || u->wants_finish || m->size < 0)
                return error_new(ERROR_INVALID_ARGUMENT, "an unexpected end of a recording");
        u->wants_finish = true;
        u->is_aborted = m->is_aborted;
        u->final_size = (uint64_t)m->size;
        return NULL;
}

/* ---- open ------------------------------------------------------------------------------------------------------ */

static void open_job(void *ctx)
{
        struct upload *u = ctx;

        u->err = record_file_open(u->dir, str_of(u->id), &u->noted, &u->file, &u->was_altered);
}

static void on_opened(void *ctx)
{
        struct upload *u = ctx;
        struct error *err = u->err;

        u->job = NULL;
        u->err = NULL;
        u->is_busy = false;
        if (err != NULL) {
                finish(u, err);
                return;
        }
        u->is_open = true;
        note_progress(u);
        u->begun = u->expected = u->progress.size;
        if (u->was_altered) {
                AUTO_PTR(error) lost = error_hint(error_new(ERROR_DATA_LOSS, "the recording here was altered while its node was away: it is set aside, and the node sends all "
                                                                         "of it again"),
                                                    "play it with: tsh play --damaged=%u %s", record_file_count_set_aside(u->dir, str_of(u->id)), u->id);

                log_warn("A recording was altered", LOG_C("session_id", u->id), LOG_ERR(lost));
                audit_damage(u, lost);
        }
        report(u, false);
}

static void on_recording(void *ctx, const struct state_record *record, struct error *err)
{
        struct upload *u = ctx;
        Cteleport__State__V1__Recording *m = NULL;

        u->is_busy = false;
        if (err == NULL && record == NULL)
                err = error_new(ERROR_NOT_FOUND, "the session is not recorded");
        if (err == NULL)
                err = recording_read(u->arena, record, &m);
        if (err != NULL || u->call == NULL) {
                finish(u, err);
                return;
        }
        if (m->is_complete) { /* the node did not receive the answer to its finish */
                u->progress.size = (uint64_t)m->size;
                report(u, true);
                finish(u, NULL);
                return;
        }
        u->noted = record_mark_of(m);
        u->is_busy = true;
        u->job = record_disk_job(u->auth->record_disk, open_job, on_opened, u);
}

static struct error *check_session(struct upload *u, const struct state_record *record)
{
        Cteleport__State__V1__Session *s = NULL;

        TRY(session_read(u->arena, record, &s));
        if (strcmp(s->host_id, u->host_id) != 0)
                return error_new(ERROR_PERMISSION_DENIED, "the session was not on this host");
        if (!s->is_recorded)
                return error_new(ERROR_FAILED_PRECONDITION, "the session is not recorded");
        u->session = s;
        return NULL;
}

/* The session has no record: a retention has removed its recording, of which the node has not learned that it was complete, or nothing is known. */
static void on_removed(void *ctx, const struct state_record *record, struct error *err)
{
        struct upload *u = ctx;

        u->is_busy = false;
        if (err == NULL && (record == NULL || !str_equal(record->value, str_of(u->host_id))))
                err = error_new(ERROR_NOT_FOUND, "the cluster knows no such session");
        if (err == NULL)
                report(u, true);
        finish(u, err);
}

static void on_session(void *ctx, const struct state_record *record, struct error *err)
{
        struct upload *u = ctx;

        if (err == NULL && record == NULL && u->call != NULL) {
                state_get(u->auth->store, &removed_recording_kind, str_of(u->id), on_removed, u);
                return;
        }
        u->is_busy = false;
        if (err == NULL)
                err = check_session(u, record);
        if (err != NULL || u->call == NULL) {
                finish(u, err);
                return;
        }
        u->is_busy = true;
        state_get(u->auth->store, &recording_kind, str_of(u->id), on_recording, u);
}

/* A newer stream of the same node replaces the older one; the stream of another host stays. */
static struct error *register_upload(struct upload *u)
{
        struct upload *elder = map_get(&u->auth->uploads, str_of(u->id));

        if (elder != NULL && !elder->is_busy && strcmp(elder->host_id, u->host_id) == 0)
                finish(elder, error_new(ERROR_ABORTED, "the recording is being received on another stream"));
        if (map_get(&u->auth->uploads, str_of(u->id)) != NULL)
                return error_new(ERROR_UNAVAILABLE, "the recording is being received on another stream");
        map_put(&u->auth->uploads, str_of(u->id), u);
        u->is_registered = true;
        return NULL;
}

static struct error *take_open(struct upload *u, const Cteleport__V1__RecordOpen *m)
{
        if (u->id != NULL || !name_is_session(str_of(m->session_id)))
                return error_new(ERROR_INVALID_ARGUMENT, "a recording is named once, properly");
        u->id = str_dup(str_of(m->session_id));
        TRY(register_upload(u));
        u->is_busy = true;
        state_get(u->auth->store, &session_kind, str_of(u->id), on_session, u);
        return NULL;
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct upload *u = ctx;
        const Cteleport__V1__RecordUp *up = (const Cteleport__V1__RecordUp *)msg;
        struct error *err;

        switch (up->payload_case) {
        case CTELEPORT__V1__RECORD_UP__PAYLOAD_OPEN:
                err = take_open(u, up->open);
                break;
        case CTELEPORT__V1__RECORD_UP__PAYLOAD_CHUNK:
                err = take_chunk(u, up->chunk);
                break;
        case CTELEPORT__V1__RECORD_UP__PAYLOAD_FINISH:
                err = take_finish(u, up->finish);
                break;
        default:
                err = error_new(ERROR_INVALID_ARGUMENT, "an unknown message about a recording");
        }
        if (err != NULL)
                finish(u, err);
        else
                advance(u);
}

static void on_half_close(void *ctx)
{
        struct upload *u = ctx;

        if (!u->wants_finish) /* else the answer is on its way */
                finish(u, NULL);
}

static const struct rpc_call_events call_events = { on_message, on_half_close, on_gone };

void record_serve(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *caller = rpc_call_caller(call);
        struct upload *u = NEW(struct upload);

        (void)first;
        u->auth = caller->auth;
        u->call = call;
        u->arena = arena_new(RECORD_ARENA);
        u->host_id = str_dup(str_of(caller->host_id));
        u->unstored = unstored_hold(u->auth, str_of(u->host_id));
        u->file.fd = -1;
        u->waiting = u->writing = BUF_MAX(LIMIT_RECORD_UNACKED);
        u->dir = str_dup(str_of(u->auth->records_dir));
        rpc_call_listen(call, &call_events, u);
}

const struct record_progress *record_is_coming(const struct auth *a, struct str session_id)
{
        const struct upload *u = map_get(&a->uploads, session_id);

        return u == NULL || !u->is_open ? NULL : &u->progress;
}

struct record_mark record_mark_of(const Cteleport__State__V1__Recording *m)
{
        return (struct record_mark){
                .size = m->whole > 0 ? (uint64_t)m->whole : 0,
                .digest = pb_str(m->digest),
                .first = pb_str(m->first),
        };
}
