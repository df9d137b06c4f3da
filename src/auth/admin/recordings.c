/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists and reads recordings. A user whose rule covers only the user's own sessions gets only their recordings; for others
 * the answer is NOT_FOUND.
 */
#include <stdlib.h>

#include "api.pb-c.h"
#include "auth/admin/admin.h"
#include "auth/admin/request.h"
#include "auth/sessions/record_service.h"
#include "auth/sessions/records.h"
#include "auth/sessions/sessions.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "pki/key.h"
#include "rpc/pb.h"
#include "state/recording.h"
#include "state/session.h"

/* The only user whose sessions the request may see; empty: all users. Called in the first turn only, while q->call is valid. */
static struct str only_user(struct admin_request *q, unsigned verbs)
{
        const struct caller *c = rpc_call_caller(q->call);
        AUTO_PTR(arena) arena = arena_new(USER_ARENA);
        struct access_user user = { 0 };

        if (c->groups & CALLER_ADMIN)
                return STR("");
        struct error *err = caller_user(c, arena, &user);
        bool sees_all = err == NULL && access_may(&user, "session", verbs) == ACCESS_ALL;
        error_free(err);
        return sees_all ? STR("") : arena_str(q->arena, str_of(c->user));
}

/* The status by the record alone, without the file. m NULL: there is no record. */
static const char *status_of(const Cteleport__State__V1__Recording *m, bool is_over)
{
        if (m == NULL)
                return "unrecorded";
        if (m->is_complete && m->missing_bytes > 0)
                return "damaged";
        if (m->is_aborted)
                return "aborted";
        if (m->is_complete)
                return m->digest.len > 0 ? "complete" : "unproven";
        return is_over ? "waiting" : "recording";
}

/* ---- the list --------------------------------------------------------------------------------------------- */

enum { LIST_ITEMS = 200 }; /* most sessions, and most recordings, of one page */

/* The stored values that are compared with the file, and the result. */
struct listed {
        struct record_mark noted;
        bool is_growing, is_noted;
        enum record_state state;
        struct record_stamp stamp; /* of a complete recording: before the comparison, then after it */
};

struct list {
        struct str user;
        struct str after;
        Cteleport__V1__Recording **shown;
        struct listed *listed; /* one for each of shown */
        size_t count;
        char *next;
        const char *dir;
        struct admin_request *request;
};

/* The entry of a recorded session; note_one() adds the fields of its recording. */
static Cteleport__V1__Recording *show(struct admin_request *q, const Cteleport__State__V1__Session *s)
{
        Cteleport__V1__Recording *r = arena_alloc(q->arena, sizeof *r);

        cteleport__v1__recording__init(r);
        r->session_id = s->session_id;
        r->user = s->user;
        r->login = s->login;
        r->host_id = s->host_id;
        r->hostname = s->hostname;
        r->started = s->started;
        r->ended = s->ended;
        r->command = s->command;
        r->status = pb_text(status_of(NULL, s->ended != 0));
        return r;
}

static void note_one(struct admin_request *q, Cteleport__V1__Recording *r, struct listed *l, const Cteleport__State__V1__Recording *m)
{
        const struct record_progress *progress = record_is_coming(q->auth, str_of(m->session_id));

        l->is_noted = true;
        l->is_growing = !m->is_complete;
        l->noted = record_mark_of(m);
        r->size = m->size;
        r->is_complete = m->is_complete;
        r->missing_chunks = m->missing_chunks;
        r->missing_bytes = m->missing_bytes;
        r->status = pb_text(status_of(m, r->ended != 0));
        if (m->is_complete) {
                l->noted.size = m->size > 0 ? (uint64_t)m->size : 0;
                record_stamps_get(&q->auth->record_stamps, str_of(m->session_id), l->noted.digest, &l->stamp);
        } else if (progress != NULL) {
                r->size = (int64_t)progress->size;
                l->noted.size = progress->whole;
                l->noted.first = progress->chunks == 0 ? STR("") : arena_str(q->arena, str_of_bytes(progress->first, sizeof progress->first));
        }
        if (m->is_complete && m->digest.len > 0) {
                AUTO(buf) hex = BUF_MAX(2 * RECORDING_LINK_LEN + 1);

                hex_encode(&hex, l->noted.digest);
                r->digest = pb_text(arena_str(q->arena, buf_str(&hex)).ptr);
        }
}

static struct error *note_recording(struct admin_request *q, struct list *l, const struct state_record *record)
{
        Cteleport__State__V1__Recording *m = NULL;

        TRY(recording_read(q->arena, record, &m));
        for (size_t i = 0; i < l->count; i++)
                if (strcmp(l->shown[i]->session_id, m->session_id) == 0)
                        note_one(q, l->shown[i], &l->listed[i], m);
        return NULL;
}

/* Compares a complete recording with its whole file, and a growing one with its start only. Returns the bytes read. */
static uint64_t compare_one(const struct list *l, size_t i)
{
        struct str id = str_of(l->shown[i]->session_id);
        struct listed *one = &l->listed[i];
        uint64_t count = 0;

        l->shown[i]->set_aside = record_file_count_set_aside(l->dir, id);
        if (one->is_noted && one->is_growing)
                one->state = record_file_compare(l->dir, id, &one->noted, true);
        else if (one->is_noted)
                one->state = record_file_compare_all(l->dir, id, &one->noted, LIMIT_RECORDINGS_READ, &one->stamp, &count);
        return count;
}

/* The page ends after LIMIT_RECORDINGS_READ bytes; the next page continues there. */
static void compare_job(void *ctx)
{
        struct list *l = ctx;
        uint64_t count = 0;

        for (size_t i = 0; i < l->count && !job_is_cancelled(); i++) {
                count += compare_one(l, i);
                if (count < LIMIT_RECORDINGS_READ || i + 1 == l->count)
                        continue;
                l->count = i + 1;
                l->next = l->shown[i]->session_id;
        }
}

/* The list is in the arena of the request: there is nothing to free. */
static void release_list(void *ctx)
{
        (void)ctx;
}

static void on_compared(void *ctx)
{
        struct list *l = ctx;
        Cteleport__V1__ListRecordingsResponse response = CTELEPORT__V1__LIST_RECORDINGS_RESPONSE__INIT;

        for (size_t i = 0; i < l->count; i++) {
                struct listed *one = &l->listed[i];

                if (one->is_noted && !one->is_growing)
                        record_stamps_put(&l->request->auth->record_stamps, str_of(l->shown[i]->session_id), one->noted.digest, &one->stamp);
                if (one->state == RECORD_SOUND || (one->state == RECORD_UNREAD && strcmp(l->shown[i]->status, "complete") != 0))
                        continue;
                l->shown[i]->status = pb_text(record_state_name(one->state));
                l->shown[i]->is_complete = one->state == RECORD_UNREAD;
        }
        response.recordings = l->shown;
        response.n_recordings = l->count;
        response.next = l->next;
        admin_reply(l->request, &response.base);
}

/* Sessions and recordings are sorted by session ID: one page of recordings has those of one page of sessions. */
static void on_recordings(void *ctx, const struct state_page *page, struct error *err)
{
        struct admin_request *q = ctx;
        struct list *l = q->state;

        for (size_t i = 0; err == NULL && i < page->count; i++)
                state_log_unreadable(&page->records[i], note_recording(q, l, &page->records[i]));
        if (err != NULL)
                admin_fail(q, err);
        else
                admin_work(q, compare_job, on_compared, release_list, l);
}

static struct error *note_session(struct admin_request *q, struct list *l, const struct state_record *record)
{
        Cteleport__State__V1__Session *s = NULL;

        TRY(session_read(q->arena, record, &s));
        if (s->is_recorded && (str_is_empty(l->user) || str_equal(l->user, str_of(s->user))))
                l->shown[l->count++] = show(q, s);
        return NULL;
}

static void on_sessions(void *ctx, const struct state_page *page, struct error *err)
{
        struct admin_request *q = ctx;
        struct list *l = q->state;

        for (size_t i = 0; err == NULL && i < page->count; i++)
                state_log_unreadable(&page->records[i], note_session(q, l, &page->records[i]));
        if (err == NULL)
                err = admin_charge(q);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        l->next = pb_text("");
        if (!page->is_last && page->count > 0)
                l->next = pb_text(arena_str(q->arena, page->records[page->count - 1].id).ptr);
        state_list(q->auth->store, &recording_kind, l->after, LIST_ITEMS, on_recordings, q);
}

void admin_list_recordings(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        const Cteleport__V1__ListRequest *m = (const Cteleport__V1__ListRequest *)q->message;
        size_t limit = m->limit == 0 || m->limit > LIST_ITEMS ? LIST_ITEMS : m->limit;
        struct list *l = arena_alloc(q->arena, sizeof *l);

        *l = (struct list){ .user = only_user(q, ACCESS_LIST), .after = str_of(m->after), .dir = q->auth->records_dir, .request = q };
        l->shown = arena_alloc(q->arena, LIST_ITEMS * sizeof *l->shown);
        l->listed = arena_alloc(q->arena, LIST_ITEMS * sizeof *l->listed);
        memset(l->listed, 0, LIST_ITEMS * sizeof *l->listed);
        q->state = l;
        if (!str_is_empty(l->after) && !name_is_session(l->after)) {
                admin_fail(q, error_new(ERROR_INVALID_ARGUMENT, "the position to continue from is malformed"));
                return;
        }
        state_list(q->auth->store, &session_kind, l->after, limit, on_sessions, q);
}

/* ---- one recording ------------------------------------------------------------------------------------------- */

/* One piece of a recording, read on the thread pool. */
struct reading {
        struct admin_request *request;
        struct str user; /* result of only_user() */
        const char *dir;
        const Cteleport__V1__GetRecordingRequest *message;
        const Cteleport__State__V1__Recording *record; /* NULL: the store has no record of it */
        const char *status;
        bool is_repeated;
        struct buf data;
        uint64_t size; /* size of the file, then the expected size */
        struct error *err;
};

/* Puts the expected size and digest: of the current upload, else of the stored record. */
static void put_expected(struct reading *r, Cteleport__V1__GetRecordingResponse *response)
{
        const struct record_progress *progress = record_is_coming(r->request->auth, str_of(r->message->session_id));
        const Cteleport__State__V1__Recording *m = r->record;

        response->status = pb_text(r->message->set_aside > 0 ? "set-aside" : r->status);
        if (m == NULL || r->message->set_aside > 0)
                return;
        if (progress != NULL && !m->is_complete) {
                r->size = progress->size;
                if (progress->chunks > 0) {
                        response->digest = pb_bytes(str_of_bytes(progress->link, sizeof progress->link));
                        response->first = pb_bytes(str_of_bytes(progress->first, sizeof progress->first));
                }
                return;
        }
        response->is_complete = m->is_complete;
        response->first = m->first;
        /* The stored digest does not cover the bytes received since: only the chunks themselves can be checked. */
        if (!m->is_complete && r->size > (uint64_t)m->size)
                return;
        r->size = (uint64_t)m->size;
        response->digest = m->digest;
}

static void reading_finish(struct reading *r, struct error *err)
{
        Cteleport__V1__GetRecordingResponse response = CTELEPORT__V1__GET_RECORDING_RESPONSE__INIT;

        if (err != NULL) {
                admin_fail(r->request, err);
        } else {
                response.data.data = (uint8_t *)r->data.ptr;
                response.data.len = r->data.len;
                put_expected(r, &response);
                response.size = (int64_t)r->size;
                admin_reply(r->request, &response.base);
        }
        buf_release(&r->data);
        free(r);
}

static struct error *not_here(void)
{
        return error_hint(error_new(ERROR_NOT_FOUND, "there is no recording of such a session"), "`tsh recordings ls` shows which there are");
}

static void read_job(void *ctx)
{
        struct reading *r = ctx;

        r->err = record_file_read(r->dir, str_of(r->message->session_id), r->message->set_aside, (uint64_t)r->message->offset, LIMIT_RECORDING_PAGE, &r->data, &r->size);
}

static void release_reading(void *ctx)
{
        struct reading *r = ctx;

        error_free(r->err);
        buf_release(&r->data);
        free(r);
}

/* Whether the file may be missing: a session that has just begun has none. */
static bool may_be_missing(const struct reading *r)
{
        return r->message->set_aside == 0 && r->record != NULL && !r->record->is_complete && r->record->size == 0;
}

static void on_read(void *ctx)
{
        struct reading *r = ctx;
        const struct record_progress *progress =
                r->message->set_aside > 0 ? NULL : record_is_coming(r->request->auth, str_of(r->message->session_id));
        uint64_t from = (uint64_t)r->message->offset;

        /* The file grew after the read: an empty answer would look like missing bytes, so the read is repeated once. */
        if (r->err == NULL && r->data.len == 0 && progress != NULL && from < progress->size && !r->is_repeated) {
                r->is_repeated = true;
                admin_work(r->request, read_job, on_read, release_reading, r);
                return;
        }
        if (r->err != NULL && r->err->code == ERROR_NOT_FOUND && may_be_missing(r)) {
                error_free(r->err);
                r->err = NULL;
        }
        /* Bytes beyond progress->size are not durable yet and may still be removed: they are not sent. */
        if (r->err == NULL && progress != NULL && progress->size < r->size) {
                uint64_t most = progress->size > from ? progress->size - from : 0;

                if (r->data.len > most)
                        r->data.len = (size_t)most;
        }
        reading_finish(r, r->err);
}

static void on_audited(void *ctx, struct error *err)
{
        struct reading *r = ctx;

        if (err != NULL)
                reading_finish(r, err);
        else
                admin_work(r->request, read_job, on_read, release_reading, r);
}

/* Whether the request needs no event: its reader has read the recording in the last TIMEOUT_RECORDING_ACCESS, and continues. */
static bool is_reported(struct reading *r)
{
        struct recording_access *accesses = r->request->auth->accesses;
        struct instant now = loop_now(&r->request->auth->loop);
        AUTO(buf) key = BUF_MAX(2 * KiB);
        struct recording_access *oldest = &accesses[0];

        buf_put(&key, buf_str(&r->request->caller));
        buf_put_char(&key, ' ');
        buf_put_c(&key, r->message->session_id);
        uint8_t digest[32];
        sha256(buf_str(&key), digest);
        for (size_t i = 0; i < RECORDING_ACCESSES; i++) {
                if (memcmp(accesses[i].digest, digest, sizeof digest) == 0 &&
                    instant_since(now, accesses[i].at).ns < MILLISECONDS(TIMEOUT_RECORDING_ACCESS).ns)
                        return r->message->offset > 0;
                if (accesses[i].at.ns < oldest->at.ns)
                        oldest = &accesses[i];
        }
        memcpy(oldest->digest, digest, sizeof digest);
        oldest->at = now;
        return false;
}

static void audit_access(struct reading *r, const Cteleport__State__V1__Session *s)
{
        struct auth *a = r->request->auth;
        struct audit_record record = { 0 };

        auth_audit_begin(a, &record, &audit_session_recording_access);
        audit_str(&record, "user", buf_str(&r->request->caller));
        audit_str(&record, "sid", str_of(s->session_id));
        audit_str(&record, "session_user", str_of(s->user));
        audit_str(&record, "server_id", str_of(s->host_id));
        audit_str(&record, "server_hostname", str_of(s->hostname));
        audit_write(a->audit, &record, on_audited, r);
}

static void on_session(void *ctx, const struct state_record *record, struct error *err)
{
        struct reading *r = ctx;
        Cteleport__State__V1__Session *s = NULL;

        if (err == NULL && record == NULL)
                err = not_here();
        if (err == NULL)
                err = session_read(r->request->arena, record, &s);
        if (err == NULL && (!s->is_recorded || (!str_is_empty(r->user) && !str_equal(r->user, str_of(s->user)))))
                err = not_here();
        if (err == NULL)
                err = admin_check_waited_for(r->request);
        if (err == NULL)
                r->status = status_of(r->record, s->ended != 0);
        if (err != NULL)
                reading_finish(r, err);
        else if (is_reported(r))
                on_audited(r, NULL);
        else
                audit_access(r, s);
}

static void on_recording(void *ctx, const struct state_record *record, struct error *err)
{
        struct reading *r = ctx;
        Cteleport__State__V1__Recording *m = NULL;

        if (err == NULL && record != NULL)
                err = recording_read(r->request->arena, record, &m);
        if (err != NULL) {
                reading_finish(r, err);
                return;
        }
        r->record = m;
        state_get(r->request->auth->store, &session_kind, str_of(r->message->session_id), on_session, r);
}

void admin_get_recording(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        const Cteleport__V1__GetRecordingRequest *m = (const Cteleport__V1__GetRecordingRequest *)q->message;

        if (!name_is_session(str_of(m->session_id)) || m->offset < 0) {
                admin_fail(q, not_here());
                return;
        }
        struct reading *r = NEW(struct reading);
        r->request = q;
        r->user = only_user(q, ACCESS_READ);
        r->dir = q->auth->records_dir;
        r->message = m;
        r->data = BUF_MAX(LIMIT_RECORDING_PAGE);
        state_get(q->auth->store, &recording_kind, str_of(m->session_id), on_recording, r);
}
