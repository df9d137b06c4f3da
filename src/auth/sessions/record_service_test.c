/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "auth/sessions/session_testing.h"
#include "auth/core/unstored.h"
#include "base/log.h"
#include "os/file.h"
#include "recording/recording.h"
#include "rpc/pb.h"
#include "state/recording.h"

/* ---- the disk of the recordings, which can be stuck: this stands before libc's fdatasync() --------------------- */

static struct {
        atomic_bool is_stuck;
        atomic_int syncs; /* that have begun while it is */
        uv_sem_t freed;
} records_disk;

static bool is_recording(int fd)
{
        char link[64], path[256];

        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t len = readlink(link, path, sizeof path);
        return len > 4 && memcmp(path + len - 4, ".rec", 4) == 0;
}

int fdatasync(int fd)
{
        if (records_disk.is_stuck && is_recording(fd)) {
                records_disk.syncs++;
                uv_sem_wait(&records_disk.freed);
        }
        return (int)syscall(SYS_fdatasync, fd);
}

static void given_stuck_records_disk(void)
{
        uv_sem_init(&records_disk.freed, 0);
        records_disk.syncs = 0;
        records_disk.is_stuck = true;
}

static void free_records_disk(void)
{
        int syncs;

        records_disk.is_stuck = false;
        syncs = records_disk.syncs;
        for (int i = 0; i < syncs; i++)
                uv_sem_post(&records_disk.freed);
}

#define SESSION_1 "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaa1"
#define SESSION_2 "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaa2"

/* A recorded session of the user on web-1, as Report leaves it. */
static void given_session(struct testbed *w, const char *id, const char *user)
{
        Cteleport__State__V1__Session s = CTELEPORT__STATE__V1__SESSION__INIT;
        Cteleport__State__V1__Recording r = CTELEPORT__STATE__V1__RECORDING__INIT;
        AUTO_MEM char *session_at = mem_printf("/sessions/%s", id);
        AUTO_MEM char *recording_at = mem_printf("/recordings/%s", id);

        s.session_id = r.session_id = pb_text(id);
        s.connection_id = pb_text(id);
        s.host_id = pb_text(WEB_1);
        s.hostname = pb_text("web-1");
        s.user = pb_text(user);
        s.kind = pb_text("shell");
        s.is_recorded = s.has_pty = true;
        put_message(w, session_at, &s.base);
        put_message(w, recording_at, &r.base);
}

/* Some hundred KiB of terminal output that does not compress. */
static struct buf a_recording(void)
{
        struct recording_header header = { .columns = 80, .rows = 24, .term = STR("xterm") };
        struct recording_writer *w = recording_writer_new(&header);
        struct buf all = BUF_MAX(2 * MiB);
        char line[1000];

        for (int i = 0; i < 300; i++) {
                random_bytes(line, sizeof line);
                recording_output(w, MILLISECONDS(i), (struct str){ line, sizeof line });
        }
        recording_finish(w, SECONDS(1));
        buf_put(&all, recording_drain(w));
        recording_writer_free(w);
        return all;
}

/* ---- the node's side ------------------------------------------------------------------------------------------ */

struct uploader {
        struct testbed *w;
        struct rpc_client *client;
        struct rpc_client_call *call; /* NULL: done */
        struct error *err;
        int64_t offset; /* -1: nothing was received */
        bool is_finished;
};

static void on_down(void *ctx, const ProtobufCMessage *msg)
{
        struct uploader *u = ctx;
        const Cteleport__V1__RecordDown *m = (const Cteleport__V1__RecordDown *)msg;

        u->offset = m->offset;
        u->is_finished = m->is_finished;
}

static void on_done(void *ctx, struct error *err)
{
        struct uploader *u = ctx;

        u->call = NULL;
        u->err = err;
}

static const struct rpc_client_events record_events = { on_down, on_done };

static void begin(struct testbed *w, struct uploader *u, const char *host, const char *session)
{
        Cteleport__V1__RecordUp up = CTELEPORT__V1__RECORD_UP__INIT;
        Cteleport__V1__RecordOpen m = CTELEPORT__V1__RECORD_OPEN__INIT;

        *u = (struct uploader){ .w = w, .offset = -1 };
        u->client = connect_as(w, CALLER_NODE, host, "");
        u->call = rpc_client_call(u->client, (struct rpc_client_call_options){ .path = "/cteleport.v1.SessionService/Record",
                                                                               .response = &cteleport__v1__record_down__descriptor },
                                  &record_events, u);
        m.session_id = pb_text(session);
        up.payload_case = CTELEPORT__V1__RECORD_UP__PAYLOAD_OPEN;
        up.open = &m;
        rpc_client_send(u->call, &up.base);
        AWAIT(w, u->offset >= 0 || u->call == NULL);
}

static void send_piece(struct uploader *u, int64_t offset, struct str bytes)
{
        Cteleport__V1__RecordUp up = CTELEPORT__V1__RECORD_UP__INIT;
        Cteleport__V1__RecordChunk m = CTELEPORT__V1__RECORD_CHUNK__INIT;

        m.offset = offset;
        m.data = pb_bytes(bytes);
        up.payload_case = CTELEPORT__V1__RECORD_UP__PAYLOAD_CHUNK;
        up.chunk = &m;
        rpc_client_send(u->call, &up.base);
}

/* From the offset of the cluster up to `end`, in pieces that do not match the chunks of the container. */
static void send_up_to(struct uploader *u, struct str all, size_t end)
{
        for (size_t at = (size_t)u->offset; at < end;) {
                struct str piece = str_slice(all, at, end - at < 50000 ? end - at : 50000);

                send_piece(u, (int64_t)at, piece);
                at += piece.len;
                AWAIT(u->w, (int64_t)at - u->offset < LIMIT_RECORD_UNACKED / 2 || u->call == NULL);
        }
        AWAIT(u->w, u->offset == (int64_t)end || u->call == NULL);
        assert_non_null(u->call);
}

static void send_finish(struct uploader *u, size_t size, bool is_aborted)
{
        Cteleport__V1__RecordUp up = CTELEPORT__V1__RECORD_UP__INIT;
        Cteleport__V1__RecordFinish m = CTELEPORT__V1__RECORD_FINISH__INIT;

        m.size = (int64_t)size;
        m.is_aborted = is_aborted;
        up.payload_case = CTELEPORT__V1__RECORD_UP__PAYLOAD_FINISH;
        up.finish = &m;
        rpc_client_send(u->call, &up.base);
        AWAIT(u->w, u->call == NULL);
}

static void leave(struct uploader *u)
{
        rpc_client_close(u->client);
        AWAIT(u->w, u->w->a.callers == NULL && u->call == NULL && u->w->a.uploads.count == 0);
        error_free(u->err);
        u->err = NULL;
}

/* Of an existing session. */
static void begin_first(struct testbed *w, struct uploader *u)
{
        given_session(w, SESSION_1, "alice");
        begin(w, u, WEB_1, SESSION_1);
}

static void send_all(struct uploader *u, struct str all, bool is_aborted)
{
        send_up_to(u, all, all.len);
        send_finish(u, all.len, is_aborted);
        assert_done(u->err);
        u->err = NULL;
        assert_true(u->is_finished);
        leave(u);
}

/* ---- the reader's side ------------------------------------------------------------------------------------------- */

struct reply {
        struct buf data;
        size_t count;
        int64_t size;
        bool is_complete, is_done;
        char status[16];
        size_t digest_len;
        struct error *err;
};

static void on_piece(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct reply *r = ctx;
        const Cteleport__V1__GetRecordingResponse *m = (const Cteleport__V1__GetRecordingResponse *)answer;

        r->is_done = true;
        r->err = err;
        r->count = 0;
        if (m == NULL)
                return;
        r->count = m->data.len;
        r->size = m->size;
        r->is_complete = m->is_complete;
        r->digest_len = m->digest.len;
        snprintf(r->status, sizeof r->status, "%s", m->status);
        buf_put(&r->data, pb_str(m->data));
}

/* As a player reads it; the bytes are in data. */
static struct reply read_recording(struct testbed *w, unsigned groups, const char *user, const char *session)
{
        struct rpc_client *client = connect_as(w, groups, "", user);
        struct reply r = { .data = BUF_MAX(2 * MiB), .count = 1 };

        while (r.count > 0 && r.err == NULL) {
                Cteleport__V1__GetRecordingRequest m = CTELEPORT__V1__GET_RECORDING_REQUEST__INIT;

                m.session_id = pb_text(session);
                m.offset = (int64_t)r.data.len;
                r.is_done = false;
                rpc_client_unary(client, (struct rpc_client_call_options){ .path = "/cteleport.v1.AdminService/GetRecording",
                                                                           .response = &cteleport__v1__get_recording_response__descriptor },
                                 &m.base, on_piece, &r);
                AWAIT(w, r.is_done);
        }
        rpc_client_close(client);
        AWAIT(w, w->a.callers == NULL);
        return r;
}

static void on_list(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct reply *r = ctx;
        const Cteleport__V1__ListRecordingsResponse *m = (const Cteleport__V1__ListRecordingsResponse *)answer;

        assert_done(err);
        r->is_done = true;
        r->count = m->n_recordings;
        r->size = m->n_recordings > 0 ? m->recordings[0]->size : -1;
        r->is_complete = m->n_recordings > 0 && m->recordings[0]->is_complete;
        if (m->n_recordings > 0) {
                snprintf(r->status, sizeof r->status, "%s", m->recordings[0]->status);
                r->digest_len = strlen(m->recordings[0]->digest);
        }
}

static struct reply list_recordings(struct testbed *w, unsigned groups, const char *user)
{
        struct rpc_client *client = connect_as(w, groups, "", user);
        Cteleport__V1__ListRequest m = CTELEPORT__V1__LIST_REQUEST__INIT;
        struct reply r = { 0 };

        rpc_client_unary(client, (struct rpc_client_call_options){ .path = "/cteleport.v1.AdminService/ListRecordings",
                                                                   .response = &cteleport__v1__list_recordings_response__descriptor },
                         &m.base, on_list, &r);
        AWAIT(w, r.is_done);
        rpc_client_close(client);
        AWAIT(w, w->a.callers == NULL);
        return r;
}

/* ---- tests --------------------------------------------------------------------------------------------------------- */

static void a_recording_arrives_unchanged_with_an_audit_event(void **state)
{
        struct testbed *w = *state;
        struct uploader u;
        AUTO(buf) all = a_recording();

        begin_first(w, &u);
        assert_int_equal(u.offset, 0);
        send_all(&u, buf_str(&all), false);
        struct reply r = read_recording(w, CALLER_ADMIN, "", SESSION_1);
        assert_done(r.err);
        assert_true(r.is_complete && str_equal(buf_str(&r.data), buf_str(&all)));
        buf_release(&r.data);
        assert_int_equal(count_events(w, "\"event\":\"session.upload\""), 1);
        assert_int_equal(count_events(w, "\"event\":\"session.recording.access\""), 1); /* however many pieces it took */
        begin(w, &u, WEB_1, SESSION_1); /* the answer was lost: the node repeats the request */
        AWAIT(w, u.call == NULL);
        assert_done(u.err);
        u.err = NULL;
        assert_true(u.is_finished && u.offset == (int64_t)all.len);
        leave(&u);
}

static void a_lost_stream_resumes_at_the_clusters_offset(void **state)
{
        struct testbed *w = *state;
        struct uploader u;
        AUTO(buf) all = a_recording();

        given_session(w, SESSION_1, "alice");
        for (size_t part = 1; part <= 5; part++) {
                begin(w, &u, WEB_1, SESSION_1);
                send_up_to(&u, buf_str(&all), all.len * part / 6);
                leave(&u);
        }
        struct reply list = list_recordings(w, CALLER_ADMIN, "");
        assert_true(list.count == 1 && list.size == (int64_t)(all.len * 5 / 6) && !list.is_complete);
        begin(w, &u, WEB_1, SESSION_1);
        assert_true(u.offset > 0);
        send_all(&u, buf_str(&all), false);
        struct reply r = read_recording(w, CALLER_ADMIN, "", SESSION_1);
        assert_true(str_equal(buf_str(&r.data), buf_str(&all)));
        buf_release(&r.data);
}

static void an_aborted_recording_is_complete_with_its_received_part(void **state)
{
        struct testbed *w = *state;
        struct uploader u;
        AUTO(buf) all = a_recording();

        begin_first(w, &u);
        send_all(&u, str_slice(buf_str(&all), 0, all.len - 10), true);
        assert_true(u.offset > 0 && u.offset < (int64_t)all.len - 10);
        struct reply list = list_recordings(w, CALLER_ADMIN, "");
        assert_true(list.count == 1 && list.is_complete);
        assert_int_equal(count_events(w, "\"is_aborted\":true"), 1);
}

/* The state of SESSION_1 in the list and when read; both are equal while its file is unchanged. */
static void assert_status(struct testbed *w, const char *listed, const char *read, bool has_digest)
{
        struct reply list = list_recordings(w, CALLER_ADMIN, "");
        assert_string_equal(list.status, listed);
        struct reply r = read_recording(w, CALLER_ADMIN, "", SESSION_1);
        assert_done(r.err);
        assert_string_equal(r.status, read);
        assert_int_equal(r.digest_len, has_digest ? RECORDING_LINK_LEN : 0);
        buf_release(&r.data);
}

static void put_session(struct testbed *w, int64_t ended)
{
        Cteleport__State__V1__Session s = CTELEPORT__STATE__V1__SESSION__INIT;

        s.session_id = s.connection_id = pb_text(SESSION_1);
        s.host_id = pb_text(WEB_1);
        s.user = pb_text("alice");
        s.is_recorded = true;
        s.ended = ended;
        put_message(w, "/sessions/" SESSION_1, &s.base);
}

static void reports_the_state_of_a_recording(void **state)
{
        struct testbed *w = *state;
        Cteleport__State__V1__Recording older = CTELEPORT__STATE__V1__RECORDING__INIT;
        struct uploader u;
        AUTO(buf) all = a_recording();

        given_session(w, SESSION_1, "alice");
        assert_status(w, "recording", "recording", false);
        begin(w, &u, WEB_1, SESSION_1);
        send_up_to(&u, buf_str(&all), all.len / 2);
        leave(&u);
        assert_status(w, "recording", "recording", true);
        put_session(w, 1);
        assert_status(w, "waiting", "waiting", true);
        begin(w, &u, WEB_1, SESSION_1);
        send_all(&u, str_slice(buf_str(&all), 0, all.len - 10), true);
        assert_status(w, "aborted", "aborted", true);
        older.session_id = pb_text(SESSION_1);
        older.is_complete = true;
        older.size = u.offset;
        put_message(w, "/recordings/" SESSION_1, &older.base);
        assert_status(w, "unproven", "unproven", false);
        older.size++;
        put_message(w, "/recordings/" SESSION_1, &older.base);
        assert_status(w, "short", "unproven", false);
        struct store_txn *t = store_txn_new(w->a.store);
        store_txn_require(t, STR("/recordings/" SESSION_1), STORE_ANY);
        store_txn_delete(t, STR("/recordings/" SESSION_1));
        store_txn_commit(t, NULL, NULL);
        assert_status(w, "unrecorded", "unrecorded", false);
}

static void a_recording_altered_between_streams_comes_anew(void **state)
{
        struct testbed *w = *state;
        AUTO_MEM char *path = mem_printf("%s/" SESSION_1 ".rec", w->a.records_dir);
        struct uploader u;
        AUTO(buf) all = a_recording(), other = a_recording();

        begin_first(w, &u);
        send_up_to(&u, buf_str(&all), all.len / 2);
        leave(&u);
        assert_done(file_write_atomic(path, str_slice(buf_str(&other), 0, all.len / 2), 0600));
        begin(w, &u, WEB_1, SESSION_1);
        assert_int_equal(u.offset, 0);
        assert_int_equal(count_events(w, "\"event\":\"session.recording.lost\""), 1);
        send_up_to(&u, buf_str(&all), all.len);
        all.ptr[40] ^= 1;
        assert_done(file_write_atomic(path, buf_str(&all), 0600)); /* while it arrives: not the noted state */
        send_finish(&u, all.len, false);
        assert_done(u.err);
        u.err = NULL;
        leave(&u);
        assert_string_equal(list_recordings(w, CALLER_ADMIN, "").status, "altered");
}

static void a_recording_with_a_hole_is_stored_and_reported(void **state)
{
        struct testbed *w = *state;
        struct uploader u;
        AUTO(buf) all = a_recording(), holed = BUF_MAX(16 * MiB);
        struct recording_check check = { 0 };
        size_t from = all.len / 2;

        assert_done(recording_check_feed(&check, str_slice(buf_str(&all), 0, from)));
        from = (size_t)check.whole;
        uint32_t number = check.next;
        struct recording_check behind = check;
        size_t to = from + 1;
        for (recording_check_cut(&behind); behind.whole == from; to++)
                assert_done(recording_check_feed(&behind, str_slice(buf_str(&all), to - 1, 1)));
        to--;
        buf_put(&holed, str_slice(buf_str(&all), 0, from));
        while (holed.len < to)
                recording_put_hole(&holed, recording_hole_part(to - holed.len), number + 1);
        buf_put(&holed, str_slice(buf_str(&all), to, all.len));
        begin_first(w, &u);
        send_all(&u, buf_str(&holed), false);
        assert_string_equal(list_recordings(w, CALLER_ADMIN, "").status, "damaged");
        assert_int_equal(count_events(w, "\"event\":\"session.recording.lost\""), 1);
        assert_int_equal(count_events(w, "\"missing_chunks\":1"), 2);
}

static void report_wrong_size(struct uploader *u, struct str all)
{
        send_up_to(u, all, all.len);
        send_finish(u, all.len + 1, false);
}
static void leave_out_the_end(struct uploader *u, struct str all)
{
        send_up_to(u, all, all.len - 10);
        send_finish(u, all.len - 10, false);
}
static void leave_a_hole(struct uploader *u, struct str all)
{
        send_piece(u, 10, str_slice(all, 10, 1000));
}
static void send_something_else(struct uploader *u, struct str all)
{
        (void)all;
        send_piece(u, 0, STR("<html><body>"));
}
static void send_all_at_once(struct uploader *u, struct str all)
{
        for (int i = 0; i < 40; i++)
                send_piece(u, (int64_t)i * 200000, str_slice(all, 0, 200000));
}

static void hostile_uploads_are_refused(void **state)
{
        static const struct {
                void (*send)(struct uploader *u, struct str all);
                enum error_code code;
        } rows[] = {
                { report_wrong_size, ERROR_INVALID_ARGUMENT }, { leave_out_the_end, ERROR_DATA_LOSS },     { leave_a_hole, ERROR_INVALID_ARGUMENT },
                { send_something_else, ERROR_DATA_LOSS },    { send_all_at_once, 0 },
        };
        struct testbed *w = *state;
        AUTO(buf) all = a_recording();

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_MEM char *path = mem_printf("%s/" SESSION_1 ".rec", w->a.records_dir);
                struct uploader u;

                begin_first(w, &u);
                rows[i].send(&u, buf_str(&all));
                AWAIT(w, u.call == NULL);
                assert_non_null(u.err);
                if (rows[i].code != 0)
                        assert_int_equal(u.err->code, rows[i].code);
                leave(&u);
                remove(path);
        }
        assert_int_equal(count_events(w, "\"event\":\"session.upload\""), 0);
        assert_true(count_events(w, "\"event\":\"session.recording.lost\"") >= 1);
}

/* The node did not receive the last answer, and the recording was removed as old meanwhile: the node may remove its copy. Nobody else learns of it. */
static void a_removed_recording_is_stored_for_its_node(void **state)
{
        struct testbed *w = *state;
        struct store_txn *t = store_txn_new(w->a.store);
        struct uploader u;

        state_put_text(t, &removed_recording_kind, STR(SESSION_2), STR(WEB_1), (struct walltime){ 0 });
        store_txn_commit(t, NULL, NULL);
        begin(w, &u, WEB_2, SESSION_2);
        AWAIT(w, u.call == NULL);
        assert_int_equal(u.err->code, ERROR_NOT_FOUND);
        leave(&u);
        begin(w, &u, WEB_1, SESSION_2);
        AWAIT(w, u.call == NULL);
        assert_null(u.err);
        assert_true(u.is_finished);
        leave(&u);
}

static void a_node_sends_recordings_of_its_own_sessions_only(void **state)
{
        static const struct {
                const char *host, *session;
                enum error_code code;
        } rows[] = {
                { WEB_2, SESSION_1, ERROR_PERMISSION_DENIED },
                { WEB_1, SESSION_2, ERROR_NOT_FOUND },
                { WEB_1, "../../backend/x", ERROR_INVALID_ARGUMENT },
                { WEB_1, "", ERROR_INVALID_ARGUMENT },
        };
        struct testbed *w = *state;

        given_session(w, SESSION_1, "alice");
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct uploader u;

                begin(w, &u, rows[i].host, rows[i].session);
                AWAIT(w, u.call == NULL);
                assert_int_equal(u.err->code, rows[i].code);
                leave(&u);
        }
}

static void users_see_their_own_recordings_and_no_others(void **state)
{
        struct testbed *w = *state;

        given_user(w, "bob"); /* role access: session list and read, their own */
        given_session(w, SESSION_1, "alice");
        given_session(w, SESSION_2, "bob");
        assert_int_equal(list_recordings(w, CALLER_ADMIN, "").count, 2);
        assert_int_equal(list_recordings(w, CALLER_USER, "bob").count, 1);
        struct reply own = read_recording(w, CALLER_USER, "bob", SESSION_2);
        assert_done(own.err);
        struct reply others = read_recording(w, CALLER_USER, "bob", SESSION_1);
        assert_refused(others.err, ERROR_NOT_FOUND, "no recording");
        struct reply none = read_recording(w, CALLER_ADMIN, "", "../../../../etc/shadow");
        assert_refused(none.err, ERROR_NOT_FOUND, "no recording");
}

/* ---- nodes that leave during a write ------------------------------------------------------------------------------ */

static void leave_during_a_write(struct testbed *w, struct uploader *u, struct str all, size_t end)
{
        send_up_to(u, all, end / 2);
        given_stuck_records_disk();
        send_piece(u, (int64_t)(end / 2), str_slice(all, end / 2, end));
        while (records_disk.syncs == 0)
                uv_run(&w->a.loop.uv, UV_RUN_NOWAIT);
        rpc_client_close(u->client);
        AWAIT(w, w->a.callers == NULL && u->call == NULL);
        error_free(u->err);
        u->err = NULL;
        assert_int_equal(w->a.uploads.count, 1); /* the file is the thread's */
}

static void a_node_that_leaves_during_a_write_finds_it_done(void **state)
{
        struct testbed *w = *state;
        struct uploader u;
        AUTO(buf) all = a_recording();

        begin_first(w, &u);
        leave_during_a_write(w, &u, buf_str(&all), 80000);
        free_records_disk();
        AWAIT(w, w->a.uploads.count == 0);
        begin(w, &u, WEB_1, SESSION_1);
        assert_in_range(u.offset, 40001, 80000); /* whole chunks of it */
        leave(&u);
}

static void a_write_that_is_under_way_at_the_end_frees_itself(void **state)
{
        struct testbed *w = *state;
        struct uploader u;
        AUTO(buf) all = a_recording();

        begin_first(w, &u);
        leave_during_a_write(w, &u, buf_str(&all), 80000);
        w->a.is_stopping = true; /* no writes into the store from here on */
        free_records_disk();
        AWAIT(w, w->a.uploads.count == 0);
}

static void note_done(void *ctx)
{
        *(bool *)ctx = true;
}

static void no_work(void *ctx)
{
        (void)ctx;
}

/* The work of a login: an audited event, and the check of its password in the pool. */
static void logins_do_not_wait_for_a_stuck_recording(void **state)
{
        enum { RECORDINGS = 8 }; /* more than the pool has threads */
        struct testbed *w = *state;
        struct uploader uploaders[RECORDINGS];
        struct audit_record r = { 0 };
        AUTO(buf) all = a_recording();
        bool is_checked = false;

        for (int i = 0; i < RECORDINGS; i++) {
                AUTO_MEM char *id = mem_printf("aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaa%d", i);

                given_session(w, id, "alice");
                begin(w, &uploaders[i], WEB_1, id);
        }
        given_stuck_records_disk();
        for (int i = 0; i < RECORDINGS; i++)
                send_piece(&uploaders[i], 0, str_slice(buf_str(&all), 0, 50000));
        for (int i = 0; i < 500; i++) /* both ends are on this loop: all pieces are there */
                uv_run(&w->a.loop.uv, UV_RUN_NOWAIT);
        loop_job(&w->a.loop, no_work, note_done, &is_checked);
        AWAIT(w, is_checked);
        auth_audit_begin(&w->a, &r, &audit_user_login);
        w->waiting++;
        audit_write(w->a.audit, &r, answered, w);
        AWAIT_ANSWER(w);
        assert_int_equal(uploaders[0].offset, 0);
        free_records_disk();
        for (int i = 0; i < RECORDINGS; i++) {
                AWAIT(w, uploaders[i].offset == 50000);
                rpc_client_close(uploaders[i].client);
        }
        AWAIT(w, w->a.callers == NULL && w->a.uploads.count == 0);
        for (int i = 0; i < RECORDINGS; i++)
                error_free(uploaders[i].err);
}

static void on_events(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        (void)answer;
        error_free(err);
        *(bool *)ctx = true;
}

static void a_search_without_a_client_ends(void **state)
{
        struct testbed *w = *state;
        struct rpc_client *client = connect_as(w, CALLER_ADMIN, "", "");
        Cteleport__V1__SearchEventsRequest m = CTELEPORT__V1__SEARCH_EVENTS_REQUEST__INIT;
        bool is_answered = false;
        int let_go;

        given_busy_pool(w, &let_go);
        rpc_client_unary(client, (struct rpc_client_call_options){ .path = "/cteleport.v1.AdminService/SearchEvents",
                                                                   .response = &cteleport__v1__search_events_response__descriptor },
                         &m.base, on_events, &is_answered);
        for (int i = 0; i < 200; i++)
                uv_run(&w->a.loop.uv, UV_RUN_NOWAIT);
        rpc_client_close(client);
        AWAIT(w, w->a.callers == NULL && is_answered);
        open_gate(w, &let_go);
}

/* The disk is slower than the host: the host's streams end, and those of others continue. */
static void the_unstored_bytes_of_a_host_are_bounded(void **state)
{
        struct testbed *w = *state;
        AUTO(buf) all = a_recording();
        struct uploader u;

        given_session(w, SESSION_1, "alice");
        struct budget_holder *others = unstored_hold(&w->a, STR(WEB_1));
        assert_true(budget_reserve(others, LIMIT_UNSTORED_HOST - 10000));
        begin(w, &u, WEB_1, SESSION_1);
        send_piece(&u, 0, str_slice(buf_str(&all), 0, 50000));
        AWAIT(w, u.call == NULL);
        assert_refused(u.err, ERROR_RESOURCE_EXHAUSTED, "waits for the disk of the Auth Service");
        u.err = NULL;
        leave(&u);
        assert_int_equal(budget_held(others), LIMIT_UNSTORED_HOST - 10000);
        budget_unreserve(others, LIMIT_UNSTORED_HOST - 10000);
        begin(w, &u, WEB_1, SESSION_1);
        send_all(&u, buf_str(&all), false);
        assert_int_equal(budget_held(others), 0);
        budget_drop(others);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, testbed_open, testbed_close)
        const struct CMUnitTest tests[] = {
                ROW(the_unstored_bytes_of_a_host_are_bounded),
                ROW(a_recording_arrives_unchanged_with_an_audit_event),
                ROW(a_lost_stream_resumes_at_the_clusters_offset),
                ROW(an_aborted_recording_is_complete_with_its_received_part),
                ROW(reports_the_state_of_a_recording),
                ROW(a_recording_altered_between_streams_comes_anew),
                ROW(a_recording_with_a_hole_is_stored_and_reported),
                ROW(hostile_uploads_are_refused),
                ROW(a_removed_recording_is_stored_for_its_node),
                ROW(a_node_sends_recordings_of_its_own_sessions_only),
                ROW(users_see_their_own_recordings_and_no_others),
                ROW(a_node_that_leaves_during_a_write_finds_it_done),
                ROW(a_write_that_is_under_way_at_the_end_frees_itself),
                ROW(a_search_without_a_client_ends),
                ROW(logins_do_not_wait_for_a_stuck_recording),
        };
#undef ROW
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
