/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings on their way: a disk that may be full, a cluster that may be away, slow, forgetful or unwilling. What it has in
 * the end is compared with what the terminal showed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "net/net_testing.h"
#include "recording/recording.h"
#include "rpc/rpc.h"
#include "ssh/ssh.h"

enum { KEPT_MAX = 64 * MiB };

static const char first_id[] = "11111111-1111-4111-8111-111111111111";

/* What the cluster has of one recording. */
struct kept {
        struct buf bytes;
        bool is_finished, is_aborted;
        int streams;
};

struct ssh_service {
        struct loop loop;
        struct fake_clock clock;
        struct instant real_end;
        char dir[64];
        struct spool *spool;

        /* the cluster */
        struct kept one;
        struct map kept; /* by session, `one` and others */
        struct rpc_client *client;
        struct rpc_server_conn *server;
        uintptr_t connection;        /* number of the server's */
        bool is_away;                /* cannot be reached */
        enum error_code refusal;     /* of every recording; 0: none */
        size_t breaks_after;         /* bytes, then the connection breaks, once; 0: never */
        bool is_deaf;                /* acknowledges nothing */
        int asked;

        struct error *failure;       /* what a session was told */
        int drained;
        bool is_crowded;             /* as the producers were told */
};

static struct ssh_service *world; /* for the server's callbacks */

/* ---- the cluster --------------------------------------------------------------------------------------------- */

struct stream_of {
        struct rpc_call *call;
        struct kept *kept;
};

static struct kept *kept_of(struct str id)
{
        struct kept *k = map_get(&world->kept, id);

        if (k == NULL) {
                k = NEW(struct kept);
                k->bytes = BUF_MAX(KEPT_MAX);
                map_put(&world->kept, id, k);
        }
        return k;
}

static void acknowledge(struct stream_of *s)
{
        Cteleport__V1__RecordDown down = CTELEPORT__V1__RECORD_DOWN__INIT;

        down.offset = (int64_t)s->kept->bytes.len;
        down.is_finished = s->kept->is_finished;
        if (!world->is_deaf)
                rpc_call_send(s->call, &down.base);
}

static void break_connection(void)
{
        world->breaks_after = 0;
        rpc_server_close(world->server);
        world->server = NULL;
}

static void take_chunk(struct stream_of *s, const Cteleport__V1__RecordChunk *chunk)
{
        assert_int_equal(chunk->offset, s->kept->bytes.len);
        buf_put(&s->kept->bytes, str_of_bytes(chunk->data.data, chunk->data.len));
        if (world->breaks_after > 0 && s->kept->bytes.len >= world->breaks_after)
                break_connection(); /* what came is kept, but nobody was told */
        else
                acknowledge(s);
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct stream_of *s = ctx;
        const Cteleport__V1__RecordUp *up = (const Cteleport__V1__RecordUp *)msg;

        if (up->payload_case == CTELEPORT__V1__RECORD_UP__PAYLOAD_OPEN) {
                if (world->refusal != 0) {
                        rpc_call_finish(s->call, error_new(world->refusal, "the cluster does not want it"));
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

static void on_half_close(void *ctx)
{
        struct stream_of *s = ctx;

        rpc_call_finish(s->call, NULL);
        free(s);
}

static void on_gone(void *ctx)
{
        free(ctx);
}

static const struct rpc_call_events call_events = { on_message, on_half_close, on_gone };

static void open_record(struct rpc_call *call, const ProtobufCMessage *first UNUSED)
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

static void on_server_closed(void *caller)
{
        if (caller == (void *)world->connection)
                world->server = NULL;
}

static void on_client_closed(void *ctx UNUSED, struct error *err)
{
        error_free(err);
        rpc_client_close(world->client);
        world->client = NULL;
}

static void connect_client(struct ssh_service *s)
{
        struct stream *ours, *theirs;

        connected_pair(&s->loop, &ours, &theirs);
        s->server = rpc_serve(&s->loop, ours,
                              (struct rpc_server_options){ .methods = methods, .peer = "test", .on_closed = on_server_closed,
                                                          .caller = (void *)++s->connection });
        s->client = rpc_client_new(&s->loop, theirs, "auth", on_client_closed, s);
}

/* ---- what the spool needs of its service ----------------------------------------------------------------------- */

struct loop *ssh_loop(struct ssh_service *s)
{
        return &s->loop;
}

struct waiting {
        void (*done)(void *ctx, struct rpc_client *client, struct error *err);
        void *ctx;
};

static void answer(void *ctx)
{
        struct waiting w = *(struct waiting *)ctx;

        free(ctx);
        if (world->is_away) {
                w.done(w.ctx, NULL, error_new(ERROR_UNAVAILABLE, "the cluster is away"));
                return;
        }
        if (world->client == NULL)
                connect_client(world);
        w.done(w.ctx, world->client, NULL);
}

void ssh_auth_client(struct ssh_service *s, void (*done)(void *ctx, struct rpc_client *client, struct error *err), void *ctx)
{
        struct waiting *w = NEW(struct waiting);

        s->asked++;
        *w = (struct waiting){ done, ctx };
        loop_defer(&s->loop, answer, w);
}

/* ---- the world ---------------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
        struct ssh_service *s = NEW(struct ssh_service);

        world = s;
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        fake_clock_init(&s->clock, 1700000000);
        assert_null(loop_init(&s->loop, &s->clock.clock));
        snprintf(s->dir, sizeof s->dir, "/tmp/spool-test-XXXXXX");
        assert_non_null(mkdtemp(s->dir));
        s->spool = spool_open(s, s->dir);
        *state = s;
        return 0;
}

/* A turn of the loop, in which `ms` pass; the clock stands while the pool works. */
static void turn(struct ssh_service *s, int ms)
{
        uv_run(&s->loop.uv, s->loop.uv.active_reqs.count > 0 ? UV_RUN_ONCE : UV_RUN_NOWAIT);
        if (ms > 0)
                loop_advance(&s->loop, &s->clock, MILLISECONDS(ms));
}

#define await(s, condition)                                                                        \
        do {                                                                                       \
                struct instant end = instant_add(clock_now(clock_system()), SECONDS(20));          \
                                                                                                   \
                while (!(condition)) {                                                             \
                        if (clock_now(clock_system()).ns > end.ns)                                 \
                                fail_msg("waited in vain for " #condition);                        \
                        turn(s, 1);                                                                \
                }                                                                                  \
        } while (0)

static size_t files_in(const char *dir, bool remove)
{
        DIR *all = opendir(dir);
        const struct dirent *entry;
        size_t n = 0;

        while ((entry = readdir(all)) != NULL) {
                if (entry->d_name[0] == '.')
                        continue;
                n++;
                if (remove)
                        unlinkat(dirfd(all), entry->d_name, 0);
        }
        closedir(all);
        return n;
}

static void free_kept(void *ctx UNUSED, struct str key UNUSED, void *value)
{
        struct kept *k = value;

        buf_release(&k->bytes);
        free(k);
}

static void end_spool(struct ssh_service *s)
{
        s->is_away = true;
        spool_close(s->spool);
        s->spool = NULL;
        for (int i = 0; i < 20; i++)
                turn(s, 0);
}

static int tear_down(void **state)
{
        struct ssh_service *s = *state;

        end_spool(s);
        if (s->server != NULL)
                rpc_server_close(s->server);
        rpc_client_close(s->client);
        loop_release(&s->loop);
        files_in(s->dir, true);
        rmdir(s->dir);
        map_each(&s->kept, free_kept, NULL);
        map_release(&s->kept);
        error_free(s->failure);
        free(s);
        return 0;
}

static void on_failed(void *ctx, struct error *err)
{
        struct ssh_service *s = ctx;

        assert_null(s->failure);
        s->failure = err;
}

static struct spool_file *begin(struct ssh_service *s, const char *id)
{
        const struct recording_header header = { .columns = 80, .rows = 24, .started = loop_wall(&s->loop), .term = STR("xterm") };
        struct spool_file *f = NULL;

        assert_null(spool_begin(s->spool, str_of(id), STR("alice"), &header, on_failed, s, &f));
        return f;
}

/* The output in a container, as a terminal would show it; false when it is damaged. *ret_ended: with its end. */
static bool shown_in(struct str container, struct buf *out, bool *ret_ended)
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

static void assert_kept(const char *id, struct str expected, bool has_end)
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

/* Some megabytes that do not repeat: text for the most part, as terminals show it. */
static struct buf a_flood(size_t len)
{
        struct buf b = BUF_MAX(KEPT_MAX);
        uint32_t x = 1;

        for (size_t i = 0; i < len; i++) {
                x = x * 1664525 + 1013904223;
                buf_put_u8(&b, (uint8_t)(x % 64 == 0 ? x >> 24 : ' ' + (x >> 24) % 95));
        }
        return b;
}

/* Gives it piece by piece and waits when asked to. */
static void pour(struct ssh_service *s, struct spool_file *f, struct str bytes)
{
        for (size_t at = 0; at < bytes.len; at += 50000) {
                spool_output(f, str_slice(bytes, at, 50000));
                await(s, spool_pending(f) <= LIMIT_SPOOL_WAITING);
        }
}

/* ---- to the cluster ------------------------------------------------------------------------------------------------- */

static void sends_a_recording_and_forgets_it(void **state)
{
        struct ssh_service *s = *state;
        struct spool_file *f = begin(s, first_id);

        spool_publish(f);
        spool_output(f, STR("$ ls\r\n"));
        spool_resize(f, 100, 40);
        spool_output(f, STR("file\r\n"));
        spool_finish(f);
        await(s, files_in(s->dir, false) == 0);
        assert_kept(first_id, STR("$ ls\r\nfile\r\n"), true);
}

static void sends_while_the_session_lasts(void **state)
{
        struct ssh_service *s = *state;
        struct spool_file *f = begin(s, first_id);
        const struct kept *k = kept_of(STR("11111111-1111-4111-8111-111111111111"));

        spool_publish(f);
        spool_output(f, STR("first "));
        await(s, k->bytes.len > 120);
        size_t before = k->bytes.len;
        spool_output(f, STR("second"));
        await(s, k->bytes.len > before);
        assert_false(k->is_finished);
        spool_finish(f);
        await(s, k->is_finished);
        assert_kept(first_id, STR("first second"), true);
}

static void tells_the_cluster_nothing_before_it_may(void **state)
{
        struct ssh_service *s = *state;
        struct spool_file *f = begin(s, first_id);

        spool_output(f, STR("x"));
        for (int i = 0; i < 500; i++)
                turn(s, 10);
        assert_int_equal(s->asked, 0);
        spool_discard(f);
        await(s, files_in(s->dir, false) == 0);
        assert_int_equal(s->asked, 0);
}

static void loses_nothing_when_connections_break(void **state)
{
        struct ssh_service *s = *state;
        AUTO(buf) flood = a_flood(3 * MiB);
        struct spool_file *f = begin(s, first_id);

        spool_publish(f);
        for (size_t at = 0; at < flood.len; at += flood.len / 8) {
                const struct kept *k = kept_of(str_of(first_id));

                s->breaks_after = k->bytes.len + 100000;
                pour(s, f, str_slice(buf_str(&flood), at, flood.len / 8));
                await(s, s->breaks_after == 0);
        }
        spool_finish(f);
        await(s, files_in(s->dir, false) == 0);
        assert_kept(first_id, buf_str(&flood), true);
        assert_true(kept_of(str_of(first_id))->streams > 7);
}

static void waits_for_a_cluster_that_is_away(void **state)
{
        struct ssh_service *s = *state;
        struct spool_file *f = begin(s, first_id);

        s->is_away = true;
        spool_publish(f);
        spool_output(f, STR("alone"));
        spool_finish(f);
        for (int i = 0; i < 1000; i++)
                turn(s, 100);
        assert_in_range(s->asked, 3, 20); /* with growing pauses */
        assert_int_equal(files_in(s->dir, false), 1);
        s->is_away = false;
        await(s, files_in(s->dir, false) == 0);
        assert_kept(first_id, STR("alone"), true);
        assert_null(s->failure);
}

static void sends_no_more_than_is_acknowledged(void **state)
{
        struct ssh_service *s = *state;
        AUTO(buf) flood = a_flood(4 * MiB);
        struct spool_file *f = begin(s, first_id);
        struct spool_file *g = begin(s, "22222222-2222-4222-8222-222222222222");

        spool_publish(f);
        spool_publish(g);
        await(s, kept_of(str_of(first_id))->streams == 1);
        s->is_deaf = true;
        pour(s, f, buf_str(&flood));
        pour(s, g, buf_str(&flood));
        for (int i = 0; i < 2000; i++)
                turn(s, 1);
        size_t sent = kept_of(str_of(first_id))->bytes.len + kept_of(STR("22222222-2222-4222-8222-222222222222"))->bytes.len;
        assert_in_range(sent, 100000, 600000);
        s->is_deaf = false;
        break_connection();
        spool_finish(f);
        spool_finish(g);
        await(s, files_in(s->dir, false) == 0);
        assert_kept(first_id, buf_str(&flood), true);
        assert_kept("22222222-2222-4222-8222-222222222222", buf_str(&flood), true);
}

static void keeps_what_the_cluster_refuses(void **state)
{
        struct ssh_service *s = *state;
        struct spool_file *f = begin(s, first_id);

        s->refusal = ERROR_NOT_FOUND;
        spool_publish(f);
        await(s, s->failure != NULL);
        assert_int_equal(s->failure->code, ERROR_NOT_FOUND);
        spool_output(f, STR("dropped"));
        spool_finish(f);
        int asked = s->asked;
        for (int i = 0; i < 1000; i++)
                turn(s, 100);
        assert_int_equal(s->asked, asked);
        assert_int_equal(files_in(s->dir, false), 1);
}

/* ---- earlier runs -------------------------------------------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to, size_t max)
{
        static char bytes[4 * MiB];
        int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        ssize_t n = read(in, bytes, sizeof bytes);

        assert_true(n > 0);
        size_t len = (size_t)n < max ? (size_t)n : max;
        assert_int_equal(write(out, bytes, len), len);
        close(in);
        close(out);
}

static void sends_what_a_killed_run_left(void **state)
{
        struct ssh_service *s = *state;
        char path[128], copy[128];
        struct stat st;

        /* A session runs when the process is killed: the file is torn somewhere. */
        s->is_away = true;
        struct spool_file *f = begin(s, first_id);
        spool_publish(f);
        spool_output(f, STR("whole "));
        for (int i = 0; i < 100; i++)
                turn(s, 10);
        snprintf(path, sizeof path, "%s/%s.rec", s->dir, first_id);
        await(s, stat(path, &st) == 0 && st.st_size > 150);
        off_t whole = st.st_size;
        spool_output(f, STR("torn"));
        await(s, stat(path, &st) == 0 && st.st_size > whole);
        snprintf(copy, sizeof copy, "%s/copy", s->dir);
        copy_file(path, copy, (size_t)st.st_size - 1);
        spool_finish(f);
        end_spool(s);
        assert_int_equal(rename(copy, path), 0);

        s->is_away = false;
        s->spool = spool_open(s, s->dir);
        await(s, files_in(s->dir, false) == 0);
        assert_kept(first_id, STR("whole "), false);
}

/* Leaves a finished recording of a flood in the spool of an ended run. */
static struct buf leave_one(struct ssh_service *s, char path[static 128])
{
        struct buf flood = a_flood(600000);

        s->is_away = true;
        struct spool_file *f = begin(s, first_id);
        spool_publish(f);
        pour(s, f, buf_str(&flood));
        spool_finish(f);
        for (int i = 0; i < 300; i++)
                turn(s, 10);
        end_spool(s);
        snprintf(path, 128, "%s/%s.rec", s->dir, first_id);
        return flood;
}

static void damage(const char *path, off_t at, size_t len)
{
        char bytes[200000];
        int fd = open(path, O_RDWR);

        assert_int_equal(pread(fd, bytes, len, at), len);
        for (size_t i = 0; i < len; i++)
                bytes[i] = (char)(bytes[i] ^ 0x41);
        assert_int_equal(pwrite(fd, bytes, len, at), len);
        close(fd);
}

/* What was shown stands there but for one part of it, and as many bytes as the file had. */
static void assert_around(struct str expected, size_t least_lost, size_t most_lost, off_t size)
{
        AUTO(buf) shown = BUF_MAX(KEPT_MAX);
        const struct kept *k = kept_of(str_of(first_id));
        bool has_ended;

        assert_true(k->is_finished && !k->is_aborted);
        assert_int_equal(k->bytes.len, size);
        assert_true(shown_in(buf_str(&k->bytes), &shown, &has_ended));
        assert_true(has_ended);
        assert_in_range(expected.len - shown.len, least_lost, most_lost);
        size_t same = 0;
        while (shown.ptr[same] == expected.ptr[same])
                same++;
        assert_true(same > 0 && same < shown.len);
        assert_memory_equal(shown.ptr + same, expected.ptr + expected.len - (shown.len - same), shown.len - same);
}

static void sends_what_stands_around_a_damaged_chunk(void **state)
{
        static const struct {
                off_t at;
                size_t len, most_lost;
                bool has_part; /* the cluster had the first of the damaged chunks before */
        } table[] = { { 300000, 1, RECORDING_CHUNK_MAX, false }, { 200000, 200000, 6 * RECORDING_CHUNK_MAX, false }, { 200000, 200000, 6 * RECORDING_CHUNK_MAX, true } };

        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
                struct ssh_service *s = *state;
                char path[128], kept[128];
                struct stat st;
                AUTO(buf) flood = leave_one(s, path);
                struct kept *k = kept_of(str_of(first_id));

                assert_int_equal(stat(path, &st), 0);
                k->is_finished = false;
                k->bytes.len = 0;
                if (table[i].has_part) {
                        struct recording_check check = { 0 };
                        AUTO(buf) all = BUF_MAX(KEPT_MAX);
                        int fd = open(path, O_RDONLY);

                        assert_int_equal(read(fd, buf_extend(&all, (size_t)st.st_size), (size_t)st.st_size), st.st_size);
                        close(fd);
                        assert_null(recording_check_feed(&check, str_slice(buf_str(&all), 0, 300000)));
                        assert_true(check.whole > 200000 + RECORDING_CHUNK_MAX / 2);
                        buf_put(&k->bytes, str_slice(buf_str(&all), 0, (size_t)check.whole));
                }
                damage(path, table[i].at, table[i].len);
                s->is_away = false;
                s->spool = spool_open(s, s->dir);
                snprintf(kept, sizeof kept, "%s/%s.damaged", s->dir, first_id);
                await(s, access(kept, F_OK) == 0);
                assert_int_equal(access(path, F_OK), -1);
                assert_around(buf_str(&flood), table[i].len > 1 ? 1000 : 1, table[i].most_lost, st.st_size);
                unlink(kept);
                end_spool(s);
                s->spool = spool_open(s, s->dir);
        }
}

static void ends_while_it_looks_at_what_an_earlier_run_left(void **state)
{
        struct ssh_service *s = *state;
        char path[128];

        for (int i = 0; i < 20; i++) {
                AUTO(buf) flood = leave_one(s, path);

                s->is_away = false;
                s->spool = spool_open(s, s->dir);
                for (int k = 0; k < i / 4; k++) /* at other moments of it, too */
                        turn(s, 1);
                end_spool(s);
                kept_of(str_of(first_id))->bytes.len = 0;
                kept_of(str_of(first_id))->is_finished = false;
                unlink(path);
                s->spool = spool_open(s, s->dir);
        }
        AUTO(buf) flood = leave_one(s, path);
        s->is_away = false;
        s->spool = spool_open(s, s->dir);
        await(s, files_in(s->dir, false) == 0);
        assert_kept(first_id, buf_str(&flood), true);
}

static void keeps_a_recording_whose_end_is_damaged(void **state)
{
        struct ssh_service *s = *state;
        char path[128], kept[128];
        struct stat st;
        AUTO(buf) flood = leave_one(s, path);
        AUTO(buf) shown = BUF_MAX(KEPT_MAX);
        bool has_ended;

        assert_int_equal(stat(path, &st), 0);
        damage(path, st.st_size - 30, 1); /* in the body of the end, which is there as a whole: no crash leaves that */
        s->is_away = false;
        s->spool = spool_open(s, s->dir);
        snprintf(kept, sizeof kept, "%s/%s.damaged", s->dir, first_id);
        await(s, access(kept, F_OK) == 0);
        const struct kept *k = kept_of(str_of(first_id));
        assert_true(k->is_finished && k->is_aborted);
        assert_true(shown_in(buf_str(&k->bytes), &shown, &has_ended));
        assert_int_equal(shown.len, flood.len);
        struct stat after;
        assert_int_equal(stat(kept, &after), 0);
        assert_int_equal(after.st_size, st.st_size);
}

static void sends_many_of_an_earlier_run_and_leaves_strangers_alone(void **state)
{
        enum { MANY = 3 * LIMIT_SPOOL_UPLOADS };
        struct ssh_service *s = *state;
        char path[128];

        s->is_away = true;
        for (int i = 0; i < MANY; i++) {
                snprintf(path, sizeof path, "%08d-1111-4111-8111-111111111111", i);
                struct spool_file *f = begin(s, path);
                spool_publish(f);
                spool_output(f, STR("left"));
                spool_finish(f);
        }
        for (int i = 0; i < 300; i++)
                turn(s, 10);
        end_spool(s);
        snprintf(path, sizeof path, "%s/not-ours.rec", s->dir);
        close(open(path, O_WRONLY | O_CREAT, 0600));

        s->is_away = false;
        s->spool = spool_open(s, s->dir);
        await(s, files_in(s->dir, false) == 1);
        for (int i = 0; i < MANY; i++) {
                snprintf(path, sizeof path, "%08d-1111-4111-8111-111111111111", i);
                assert_kept(path, STR("left"), true);
        }
}

/* ---- the disk -------------------------------------------------------------------------------------------------------------- */

static void limit_files(rlim_t bytes)
{
        struct rlimit limit;

        getrlimit(RLIMIT_FSIZE, &limit);
        limit.rlim_cur = bytes;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void tells_when_the_disk_takes_no_more(void **state)
{
        struct ssh_service *s = *state;
        AUTO(buf) flood = a_flood(1 * MiB);
        AUTO(buf) shown = BUF_MAX(KEPT_MAX);
        bool has_ended;
        struct spool_file *f = begin(s, first_id);

        signal(SIGXFSZ, SIG_IGN);
        limit_files(300000);
        spool_publish(f);
        spool_output(f, buf_str(&flood));
        await(s, s->failure != NULL);
        limit_files(RLIM_INFINITY);
        assert_int_equal(spool_pending(f), 0);
        spool_output(f, STR("dropped"));
        spool_finish(f);
        await(s, files_in(s->dir, false) == 0);
        /* What was whole before is there, and known not to be all. */
        const struct kept *k = kept_of(str_of(first_id));
        assert_true(k->is_aborted);
        assert_true(shown_in(buf_str(&k->bytes), &shown, &has_ended));
        assert_false(has_ended);
        assert_in_range(shown.len, 0, 300000);
        assert_memory_equal(shown.ptr, flood.ptr, shown.len);
}

static void says_at_once_when_nothing_can_be_begun(void **state)
{
        struct ssh_service *s = *state;
        const struct recording_header header = { .columns = 80, .rows = 24 };
        struct spool_file *f = NULL;

        signal(SIGXFSZ, SIG_IGN);
        limit_files(0);
        AUTO_PTR(error) err = spool_begin(s->spool, str_of(first_id), STR("alice"), &header, on_failed, s, &f);
        limit_files(RLIM_INFINITY);
        assert_non_null(err);
        assert_int_equal(files_in(s->dir, false), 0);
        f = begin(s, first_id);
        AUTO_PTR(error) twice = spool_begin(s->spool, str_of(first_id), STR("alice"), &header, on_failed, s, &f);
        assert_non_null(twice);
}

static void on_drained(void *ctx)
{
        struct ssh_service *s = ctx;

        s->drained++;
}

static void tells_when_it_is_drained(void **state)
{
        struct ssh_service *s = *state;
        AUTO(buf) flood = a_flood(2 * MiB);
        struct spool_file *f = begin(s, first_id);

        spool_output(f, buf_str(&flood));
        assert_true(spool_pending(f) > LIMIT_SPOOL_WAITING);
        spool_on_drain(f, on_drained);
        await(s, s->drained == 1);
        assert_true(spool_pending(f) < LIMIT_SPOOL_WAITING);
        spool_finish(f);
}

/* ---- a disk that is stuck ---------------------------------------------------------------------------------------------------- */

enum { STUCK_JOBS = 32, RECORDINGS = 400 }; /* more jobs than the pool has threads */
static sem_t unstuck;

static void wait_for_disk(void *ctx UNUSED)
{
        sem_wait(&unstuck);
}

static void forget(void *ctx UNUSED)
{
}

/* Nothing is written from now on. */
static void get_stuck(struct ssh_service *s)
{
        assert_int_equal(sem_init(&unstuck, 0, 0), 0);
        for (int i = 0; i < STUCK_JOBS; i++)
                (void)loop_job(&s->loop, wait_for_disk, forget, NULL);
}

static void get_unstuck(void)
{
        for (int i = 0; i < STUCK_JOBS; i++)
                sem_post(&unstuck);
}

static void on_crowded(void *ctx, bool is_crowded)
{
        struct ssh_service *s = ctx;

        s->is_crowded = is_crowded;
}

static struct spool_file *begin_nth(struct ssh_service *s, int n)
{
        char id[40];

        snprintf(id, sizeof id, "44444444-4444-4444-8444-%012d", n);
        return begin(s, id);
}

static size_t pending_of_all(struct spool_file *const *all, size_t count)
{
        size_t sum = 0;

        for (size_t i = 0; i < count; i++)
                sum += spool_pending(all[i]);
        return sum;
}

/* Each has what its terminal showed at once, which is six times as much in its recording. */
static void recordings_share_a_bound_of_memory(void **state)
{
        struct ssh_service *s = *state;
        static char shown[64 * KiB];
        struct spool_file *all[RECORDINGS];

        memset(shown, 0x80, sizeof shown); /* no UTF-8 */
        s->is_away = true;
        spool_on_crowded(s->spool, on_crowded, s);
        for (int i = 0; i < RECORDINGS; i++)
                all[i] = begin_nth(s, i);
        get_stuck(s);
        for (int round = 0; round < 10; round++)
                for (size_t i = 0; i < RECORDINGS; i++)
                        if (!spool_must_wait(all[i]))
                                spool_output(all[i], str_of_bytes(shown, sizeof shown));
        size_t most = pending_of_all(all, RECORDINGS), waiting = 0;
        bool was_crowded = s->is_crowded;
        for (size_t i = 0; i < RECORDINGS; i++)
                waiting += spool_must_wait(all[i]);
        get_unstuck();
        assert_in_range(most, LIMIT_SPOOL_WAITING_ALL, LIMIT_SPOOL_WAITING_ALL + 8 * sizeof shown);
        assert_true(was_crowded);
        assert_int_equal(waiting, RECORDINGS); /* also those that have nothing */
        await(s, !s->is_crowded && pending_of_all(all, RECORDINGS) == 0);
        for (size_t i = 0; i < RECORDINGS; i++) {
                assert_false(spool_must_wait(all[i]));
                spool_finish(all[i]);
        }
}

static void sizes_of_a_terminal_wait_like_its_bytes(void **state)
{
        struct ssh_service *s = *state;
        struct spool_file *f = begin(s, first_id);
        size_t n = 0;

        get_stuck(s);
        while (spool_pending(f) <= LIMIT_SPOOL_WAITING && n++ < LIMIT_SPOOL_WAITING)
                spool_resize(f, (uint32_t)(80 + n % 2), 24);
        size_t pending = spool_pending(f);
        get_unstuck();
        assert_true(pending > LIMIT_SPOOL_WAITING);
        await(s, !spool_must_wait(f));
        spool_finish(f);
}

/* ---- a folder that is full ----------------------------------------------------------------------------------------------------- */

/* A file of an earlier run that leaves so much room; it takes none of the disk. */
static void given_room_left(struct ssh_service *s, off_t room)
{
        AUTO_MEM char *path = mem_printf("%s/22222222-2222-4222-8222-222222222222.damaged", s->dir);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);

        assert_int_equal(ftruncate(fd, (off_t)LIMIT_SPOOL_MIB * MiB - room), 0);
        close(fd);
        end_spool(s);
        s->spool = spool_open(s, s->dir);
}

static void begins_nothing_in_a_folder_that_is_full(void **state)
{
        struct ssh_service *s = *state;
        const struct recording_header header = { .columns = 80, .rows = 24 };
        struct spool_file *f = NULL;

        given_room_left(s, 0);
        AUTO_PTR(error) err = spool_begin(s->spool, str_of(first_id), STR("alice"), &header, on_failed, s, &f);
        assert_non_null(err);
        assert_non_null(strstr(err->what, "recordings that the cluster does not have, and no more"));
        assert_int_equal(files_in(s->dir, false), 1);
}

static void ends_a_recording_that_fills_the_folder(void **state)
{
        struct ssh_service *s = *state;
        AUTO(buf) flood = a_flood(1 * MiB);

        given_room_left(s, 300 * KiB);
        s->is_away = true;
        struct spool_file *f = begin(s, first_id);
        for (size_t at = 0; at < flood.len && s->failure == NULL; at += 64 * KiB) {
                spool_output(f, str_slice(buf_str(&flood), at, 64 * KiB));
                await(s, spool_pending(f) == 0);
        }
        assert_non_null(s->failure);
        assert_non_null(strstr(s->failure->what, "recordings that the cluster does not have, and no more"));
        spool_finish(f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
                T(sends_a_recording_and_forgets_it),
                T(sends_while_the_session_lasts),
                T(tells_the_cluster_nothing_before_it_may),
                T(loses_nothing_when_connections_break),
                T(waits_for_a_cluster_that_is_away),
                T(sends_no_more_than_is_acknowledged),
                T(keeps_what_the_cluster_refuses),
                T(sends_what_a_killed_run_left),
                T(sends_what_stands_around_a_damaged_chunk),
                T(ends_while_it_looks_at_what_an_earlier_run_left),
                T(keeps_a_recording_whose_end_is_damaged),
                T(sends_many_of_an_earlier_run_and_leaves_strangers_alone),
                T(tells_when_the_disk_takes_no_more),
                T(says_at_once_when_nothing_can_be_begun),
                T(tells_when_it_is_drained),
                T(recordings_share_a_bound_of_memory),
                T(sizes_of_a_terminal_wait_like_its_bytes),
                T(begins_nothing_in_a_folder_that_is_full),
                T(ends_a_recording_that_fills_the_folder),
#undef T
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
