/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixture for tests of spool.c and upload.c: replaces the rest of their process, and a cluster that can be
 * unreachable, slow, lose data or refuse recordings. Included once in a program.
 */
#ifndef AGENT_SPOOL_TESTING_H
#define AGENT_SPOOL_TESTING_H

#include <fcntl.h>
#include <semaphore.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/spool.h"
#include "api.pb-c.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "net/net_testing.h"
#include "os/file_testing.h"
#include "recording/recording.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"

enum { KEPT_MAX = 64 * MiB };

static const char first_id[] = "11111111-1111-4111-8111-111111111111";

/* The part of one recording that the cluster has received. */
struct kept {
        struct buf bytes;
        bool is_finished, is_aborted;
        int streams;
};

struct agent {
        struct loop loop;
        struct fake_clock clock;
        struct instant real_end;
        char *dir;
        struct spool *spool;

        /* the cluster */
        struct kept one;
        struct map kept; /* by session, `one` and others */
        struct rpc_client *client;
        struct rpc_server_conn *server;
        uintptr_t connection;        /* number of the connection on the server's side */
        bool is_away;                /* cannot be reached */
        enum error_code refusal;     /* of every recording; 0: none */
        size_t breaks_after;         /* bytes, then the connection breaks, once; 0: never */
        bool is_unresponsive;        /* reads, but acknowledges nothing */
        int requested;

        struct error *failure;       /* the error that a session got */
        int drained;
        bool is_full;             /* as reported to the producers */
};

static struct agent *testbed; /* for the server's callbacks */

/* ---- the cluster --------------------------------------------------------------------------------------------- */

struct stream_of {
        struct rpc_call *call;
        struct kept *kept;
};

static inline UNUSED struct kept *kept_of(struct str id)
{
        struct kept *k = map_get(&testbed->kept, id);

        if (k == NULL) {
                k = NEW(struct kept);
                k->bytes = BUF_MAX(KEPT_MAX);
                map_put(&testbed->kept, id, k);
        }
        return k;
}

static inline UNUSED void acknowledge(struct stream_of *s)
{
        Cteleport__V1__RecordDown down = CTELEPORT__V1__RECORD_DOWN__INIT;

        down.offset = (int64_t)s->kept->bytes.len;
        down.is_finished = s->kept->is_finished;
        if (!testbed->is_unresponsive)
                rpc_call_send(s->call, &down.base);
}

static inline UNUSED void break_connection(void)
{
        testbed->breaks_after = 0;
        rpc_server_close(testbed->server);
        testbed->server = NULL;
}

static inline UNUSED void take_chunk(struct stream_of *s, const Cteleport__V1__RecordChunk *chunk)
{
        assert_int_equal(chunk->offset, s->kept->bytes.len);
        buf_put(&s->kept->bytes, pb_str(chunk->data));
        if (testbed->breaks_after > 0 && s->kept->bytes.len >= testbed->breaks_after)
                break_connection(); /* the bytes are stored, but no acknowledgement is sent */
        else
                acknowledge(s);
}

static inline UNUSED void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct stream_of *s = ctx;
        const Cteleport__V1__RecordUp *up = (const Cteleport__V1__RecordUp *)msg;

        if (up->payload_case == CTELEPORT__V1__RECORD_UP__PAYLOAD_OPEN) {
                if (testbed->refusal != 0) {
                        rpc_call_finish(s->call, error_new(testbed->refusal, "the cluster does not want it"));
                        free(s);
                        return;
                }
                s->kept = kept_of(str_of(up->open->session_id));
                s->kept->streams++;
                acknowledge(s);
        } else if (up->payload_case == CTELEPORT__V1__RECORD_UP__PAYLOAD_CHUNK) {
                take_chunk(s, up->chunk);
        } else {
                s->kept->is_finished = true;
                s->kept->is_aborted = up->finish->is_aborted;
                acknowledge(s);
        }
}

static inline UNUSED void on_half_close(void *ctx)
{
        struct stream_of *s = ctx;

        rpc_call_finish(s->call, NULL);
        free(s);
}

static inline UNUSED void on_gone(void *ctx)
{
        free(ctx);
}

static const struct rpc_call_events call_events = { on_message, on_half_close, on_gone };

static inline UNUSED void open_record(struct rpc_call *call, const ProtobufCMessage *first UNUSED)
{
        struct stream_of *s = NEW(struct stream_of);

        s->call = call;
        rpc_call_listen(call, &call_events, s);
}

static const struct rpc_method method_record = {
        .path = "/cteleport.v1.SessionService/Record",
        .request = &cteleport__v1__record_up__descriptor,
        .request_max = 1 * MiB,
        .is_client_stream = true,
        .open = open_record,
};
static const struct rpc_method *const methods[] = { &method_record, NULL };

static inline UNUSED void on_server_closed(void *caller)
{
        if (caller == (void *)testbed->connection)
                testbed->server = NULL;
}

static inline UNUSED void on_client_closed(void *ctx UNUSED, struct error *err)
{
        error_free(err);
        rpc_client_close(testbed->client);
        testbed->client = NULL;
}

static inline UNUSED void connect_client(struct agent *s)
{
        struct stream *ours, *theirs;

        connected_pair(&s->loop, &ours, &theirs);
        s->server = rpc_serve(&s->loop, ours,
                              (struct rpc_server_options){ .methods = methods, .peer = "test", .on_closed = on_server_closed,
                                                          .caller = (void *)++s->connection });
        s->client = rpc_client_new(&s->loop, theirs, "auth", on_client_closed, s);
}

/* ---- stand-ins for the service of the spool --------------------------------------------------------------------- */

struct loop *agent_loop(struct agent *s)
{
        return &s->loop;
}

struct waiting {
        void (*done)(void *ctx, struct rpc_client *client, struct error *err);
        void *ctx;
};

static inline UNUSED void answer(void *ctx)
{
        struct waiting w = *(struct waiting *)ctx;

        free(ctx);
        if (testbed->is_away) {
                w.done(w.ctx, NULL, error_new(ERROR_UNAVAILABLE, "the cluster is away"));
                return;
        }
        if (testbed->client == NULL)
                connect_client(testbed);
        w.done(w.ctx, testbed->client, NULL);
}

void agent_request_auth(struct agent *s, void (*done)(void *ctx, struct rpc_client *client, struct error *err), void *ctx)
{
        struct waiting *w = NEW(struct waiting);

        s->requested++;
        *w = (struct waiting){ done, ctx };
        loop_defer(&s->loop, answer, w);
}

/* ---- the testbed ---------------------------------------------------------------------------------------------------- */

static inline UNUSED int set_up(void **state)
{
        struct agent *s = NEW(struct agent);

        testbed = s;
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        fake_clock_init(&s->clock, 1700000000);
        assert_null(loop_init(&s->loop, &s->clock.clock));
        s->dir = test_dir_new();
        s->spool = spool_open(s, s->dir);
        *state = s;
        return 0;
}

/* A turn of the loop, in which `ms` pass; the clock stands while the pool works. */
static inline UNUSED void turn(struct agent *s, int ms)
{
        uv_run(&s->loop.uv, s->loop.uv.active_reqs.count > 0 ? UV_RUN_ONCE : UV_RUN_NOWAIT);
        if (ms > 0)
                loop_advance(&s->loop, &s->clock, MILLISECONDS(ms));
}

#define await(s, condition)                                                                        \
        do {                                                                                       \
                struct instant end = instant_add(clock_now(clock_system()), MINUTES(1));          \
                                                                                                   \
                while (!(condition)) {                                                             \
                        if (clock_now(clock_system()).ns > end.ns)                                 \
                                fail_msg("waited in vain for " #condition);                        \
                        turn(s, 1);                                                                \
                }                                                                                  \
        } while (0)

/* Those whose names do not begin with a dot. */
static inline UNUSED size_t files_in(const char *dir)
{
        DIR *all = opendir(dir);
        const struct dirent *entry;
        size_t n = 0;

        while ((entry = readdir(all)) != NULL)
                n += entry->d_name[0] != '.';
        closedir(all);
        return n;
}

static inline UNUSED void free_kept(void *ctx UNUSED, struct str key UNUSED, void *value)
{
        struct kept *k = value;

        buf_release(&k->bytes);
        free(k);
}

static inline UNUSED void end_spool(struct agent *s)
{
        s->is_away = true;
        spool_close(s->spool);
        s->spool = NULL;
        for (int i = 0; i < 20; i++)
                turn(s, 0);
}

static inline UNUSED int tear_down(void **state)
{
        struct agent *s = *state;

        end_spool(s);
        if (s->server != NULL)
                rpc_server_close(s->server);
        rpc_client_close(s->client);
        loop_release(&s->loop);
        test_dir_free(s->dir);
        map_each(&s->kept, free_kept, NULL);
        map_release(&s->kept);
        error_free(s->failure);
        free(s);
        return 0;
}

static inline UNUSED void on_failed(void *ctx, struct error *err)
{
        struct agent *s = ctx;

        assert_null(s->failure);
        s->failure = err;
}

static inline UNUSED struct spool_file *begin(struct agent *s, const char *id)
{
        const struct recording_header header = { .columns = 80, .rows = 24, .started = loop_wall(&s->loop), .term = STR("xterm") };
        struct spool_file *f = NULL;

        assert_null(spool_begin(s->spool, str_of(id), STR("alice"), &header, on_failed, s, &f));
        return f;
}

/* The output in a container, as a terminal would show it; false when it is damaged. *ret_ended: with its end. */
static inline UNUSED bool shown_in(struct str container, struct buf *out, bool *ret_ended)
{
        struct recording_reader *r = recording_reader_new();
        bool is_whole = true;

        *ret_ended = false;
        for (size_t at = 0; at < container.len && is_whole; at += MiB) {
                bool have = true;

                recording_feed(r, str_slice(container, at, MiB));
                while (have && is_whole) {
                        struct recording_event e;
                        AUTO_PTR(error) err = recording_next(r, &e, &have);

                        is_whole = err == NULL;
                        if (is_whole && have && e.kind == RECORDING_OUTPUT)
                                buf_put(out, e.bytes);
                        *ret_ended |= is_whole && have && e.kind == RECORDING_END;
                }
        }
        recording_reader_free(r);
        return is_whole;
}

static inline UNUSED void assert_kept(const char *id, struct str expected, bool has_end)
{
        AUTO(buf) shown = BUF_MAX(KEPT_MAX);
        bool has_ended;
        const struct kept *k = kept_of(str_of(id));

        assert_true(k->is_finished);
        assert_int_equal(k->is_aborted, !has_end);
        assert_true(shown_in(buf_str(&k->bytes), &shown, &has_ended));
        assert_int_equal(has_ended, has_end);
        assert_int_equal(shown.len, expected.len);
        assert_memory_equal(shown.ptr, expected.ptr, expected.len);
}

/* Generates some megabytes of varied terminal output, mostly text. */
static inline UNUSED struct buf a_flood(size_t len)
{
        struct buf b = BUF_MAX(KEPT_MAX);
        uint32_t x = 1;

        for (size_t i = 0; i < len; i++) {
                x = x * 1664525 + 1013904223;
                buf_put_u8(&b, (uint8_t)(x % 64 == 0 ? x >> 24 : ' ' + (x >> 24) % 95));
        }
        return b;
}

/* Writes the data to the recording in pieces and waits while spool_must_wait(). */
static inline UNUSED void pour(struct agent *s, struct spool_file *f, struct str bytes)
{
        for (size_t at = 0; at < bytes.len; at += 50000) {
                spool_output(f, str_slice(bytes, at, 50000));
                await(s, spool_pending(f) <= LIMIT_SPOOL_WAITING);
        }
}

#endif
