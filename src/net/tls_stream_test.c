/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS as a stream, and peers that violate the protocol, are silent or disconnect.
 */
#include "net/tls_testing.h"

#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- peers that do not speak TLS ----------------------------------------------------------------------- */

static void given_raw_peer(struct fixture *f, struct end *e)
{
        int ours;

        given_contexts(f);
        assert_null(socket_pair(&ours, &f->raw));
        start(f, e, socket_stream(&f->loop, ours));
}

static void an_answer_that_is_not_tls_is_shown(void **state)
{
        struct fixture *f = *state;

        given_raw_peer(f, &f->at_client);
        assert_true(write(f->raw, "HTTP/1.1 400 Bad\x1b Request\r\n\r\n", 28) > 0);
        RUN_UNTIL(&f->loop, f->at_client.done);
        assert_sent(f->at_client.err, ERROR_UNAVAILABLE, "not TLS: 'HTTP/1.1 400 Bad\\x1b Request'");
}

static void a_request_that_is_not_tls_is_shown(void **state)
{
        struct fixture *f = *state;

        given_raw_peer(f, &f->at_server);
        assert_true(write(f->raw, "GET / HTTP/1.1\r\n\r\n", 18) > 0);
        RUN_UNTIL(&f->loop, f->at_server.done);
        assert_sent(f->at_server.err, ERROR_UNAVAILABLE, "it sent 'GET / HTTP/1.1'");
}

static void a_peer_that_hangs_up_is_reported(void **state)
{
        struct fixture *f = *state;

        given_raw_peer(f, &f->at_client);
        shutdown(f->raw, SHUT_WR);
        RUN_UNTIL(&f->loop, f->at_client.done);
        assert_sent(f->at_client.err, ERROR_UNAVAILABLE, "the server closed the connection during the TLS handshake");
        assert_non_null(strstr(f->at_client.err->hint, "TLS port"));
}

static void a_silent_peer_meets_the_deadline(void **state)
{
        struct fixture *f = *state;

        given_raw_peer(f, &f->at_server);
        run_a_while(&f->loop);
        loop_advance(&f->loop, &f->clock, SECONDS(10));
        RUN_UNTIL(&f->loop, f->at_server.done);
        assert_sent(f->at_server.err, ERROR_DEADLINE_EXCEEDED, "within 10000 ms");
}

static void a_cancelled_handshake_reports_once_from_the_loop(void **state)
{
        struct fixture *f = *state;

        given_raw_peer(f, &f->at_client);
        run_a_while(&f->loop);
        f->at_client.ear.in_call = true;
        tls_cancel(f->at_client.handshake);
        f->at_client.ear.in_call = false;
        RUN_UNTIL(&f->loop, f->at_client.done);
        assert_sent(f->at_client.err, ERROR_CANCELLED, "given up");
        run_a_while(&f->loop);
        assert_int_equal(f->at_client.done, 1);
}

/* ---- the stream ---------------------------------------------------------------------------------------- */

static void write_pattern(struct stream *s, size_t len)
{
        AUTO_MEM char *bytes = mem_alloc(len);

        for (size_t i = 0; i < len; i++)
                bytes[i] = (char)(i * 7 + i / 251);
        stream_write(s, (struct str){ bytes, len });
}

static void assert_pattern(const struct ear *e, size_t len)
{
        assert_int_equal(e->received.len, len);
        for (size_t i = 0; i < len; i++)
                if (e->received.ptr[i] != (char)(i * 7 + i / 251))
                        fail_msg("byte %zu is wrong", i);
}

static void bytes_arrive_in_order_for_any_number(void **state)
{
        static const size_t sizes[] = { 1, 16383, 16384, 16385, 65536, 65537, 3000000 };

        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                struct fixture *f = *state;

                given_connection(f);
                stream_read(f->at_server.ear.stream, true);
                stream_read(f->at_client.ear.stream, true);
                write_pattern(f->at_client.ear.stream, sizes[i]);
                write_pattern(f->at_server.ear.stream, sizes[i]);
                RUN_UNTIL(&f->loop, f->at_server.ear.received.len >= sizes[i] && f->at_client.ear.received.len >= sizes[i]);
                assert_pattern(&f->at_server.ear, sizes[i]);
                assert_pattern(&f->at_client.ear, sizes[i]);
                assert_int_equal(f->at_client.ear.drains, sizes[i] > 1000000);
                again(state);
        }
}

static const struct stream_ops *uncounted;
static struct stream_ops counting;
static unsigned writes;

static void count_write(struct stream *s, struct str bytes)
{
        writes++;
        uncounted->write(s, bytes);
}

/* As much as one read, in frames of HTTP/2. */
static void a_whole_read_is_sent_by_one_write(void **state)
{
        struct fixture *f = *state;
        struct stream *a, *b;

        given_contexts(f);
        connected_pair(&f->loop, &a, &b);
        uncounted = b->ops;
        counting = *b->ops;
        counting.write = count_write;
        b->ops = &counting;
        start(f, &f->at_server, a);
        start(f, &f->at_client, b);
        RUN_UNTIL(&f->loop, f->at_server.done && f->at_client.done);
        stream_read(f->at_server.ear.stream, true);
        writes = 0;
        write_pattern(f->at_client.ear.stream, LOOP_BUFFER + 5 * 9);
        assert_int_equal(writes, 1);
        RUN_UNTIL(&f->loop, f->at_server.ear.received.len == LOOP_BUFFER + 5 * 9);
        assert_pattern(&f->at_server.ear, LOOP_BUFFER + 5 * 9);
}

static void data_with_the_last_handshake_flight_is_not_lost(void **state)
{
        for (int at_once = 0; at_once < 2; at_once++) {
                struct fixture *f = *state;
                struct stream *a, *b;

                given_contexts(f);
                f->at_server.read_at_once = at_once;
                connected_pair(&f->loop, &a, &b);
                start(f, &f->at_server, a);
                start(f, &f->at_client, b);
                RUN_UNTIL(&f->loop, f->at_client.done);
                stream_write(f->at_client.ear.stream, STR("preface"));
                RUN_UNTIL(&f->loop, f->at_server.done);
                run_a_while(&f->loop);
                assert_received(&f->at_server.ear, at_once ? "preface" : "");
                f->at_server.ear.in_call = true;
                stream_read(f->at_server.ear.stream, true);
                f->at_server.ear.in_call = false;
                RUN_UNTIL(&f->loop, f->at_server.ear.received.len == 7);
                again(state);
        }
}

static void a_paused_stream_holds_its_bytes_and_resumes(void **state)
{
        struct fixture *f = *state;

        given_connection(f);
        f->at_server.ear.pause_on_read = true;
        stream_read(f->at_server.ear.stream, true);
        write_pattern(f->at_client.ear.stream, 1000000);
        stream_shutdown(f->at_client.ear.stream);
        for (size_t before = 1; before != f->at_server.ear.received.len;) {
                before = f->at_server.ear.received.len;
                run_a_while(&f->loop);
                assert_in_range(f->at_server.ear.received.len - before, before == 1000000 ? 0 : 1, LOOP_BUFFER);
                assert_true(f->at_server.ear.ends == 0 || f->at_server.ear.received.len == 1000000);
                stream_read(f->at_server.ear.stream, true);
                if (f->at_server.ear.received.len == 1000000)
                        break;
        }
        RUN_UNTIL(&f->loop, f->at_server.ear.ends);
        assert_pattern(&f->at_server.ear, 1000000);
        assert_null(f->at_server.ear.err);
}

/* Leaves TLS with the last byte of the peer. */
static void leave_on_read(void *ctx, struct str bytes)
{
        struct ear *e = ctx;
        struct stream *plain = tls_leave(e->stream, STR(""));

        assert_true(str_equal(bytes, STR("!")));
        assert_non_null(plain);
        ear_listen(e, plain);
        stream_read(plain, true);
}

static const struct stream_events leaving_events = { .on_read = leave_on_read, .on_end = ear_on_end };

static void both_ends_leave_tls_where_they_agree(void **state)
{
        struct fixture *f = *state;
        struct ear *server = &f->at_server.ear, *client = &f->at_client.ear;

        given_connection(f);
        stream_listen(client->stream, &leaving_events, client);
        stream_read(client->stream, true);
        struct stream *plain = tls_leave(server->stream, STR("!"));
        assert_non_null(plain);
        ear_listen(server, plain);
        stream_read(plain, true);
        struct stream *before = client->stream;
        RUN_UNTIL(&f->loop, client->stream != before);
        stream_write(client->stream, STR("question"));
        RUN_UNTIL(&f->loop, server->received.len == 8);
        assert_received(server, "question");
        stream_write(plain, STR("answer"));
        stream_shutdown(plain);
        RUN_UNTIL(&f->loop, client->ends);
        assert_received(client, "answer");
        assert_null(client->err); /* the end of a plain stream, not of TLS that was cut */
}

static void tls_is_not_left_while_bytes_of_the_peer_wait(void **state)
{
        struct fixture *f = *state;
        struct ear *server = &f->at_server.ear;

        given_connection(f);
        server->pause_on_read = true;
        stream_read(server->stream, true);
        stream_write(f->at_client.ear.stream, STR("first"));
        RUN_UNTIL(&f->loop, server->received.len == 5);
        write_pattern(f->at_client.ear.stream, 300000); /* of which a read holds a part */
        stream_read(server->stream, true);
        RUN_UNTIL(&f->loop, server->received.len > 5);
        run_a_while(&f->loop);
        bool is_refused = tls_leave(server->stream, STR("!")) == NULL;
        assert_true(is_refused);
        server->pause_on_read = false;
        stream_read(server->stream, true);
        RUN_UNTIL(&f->loop, server->received.len == 300005);
        stream_shutdown(f->at_client.ear.stream);
        RUN_UNTIL(&f->loop, server->ends);
        assert_null(tls_leave(server->stream, STR("!"))); /* nor after its end */
        assert_int_equal(f->at_client.ear.received.len, 0);
}

/* A server played with plain OpenSSL: what it sends reaches our client as far as the test passes it on. */
struct played {
        SSL_CTX *ctx;
        SSL *ssl;
        BIO *in, *out; /* of ssl, in memory */
        const char *alpn; /* that it selects, in wire format; NULL: none */
};

static int select_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len, const unsigned char *offered, unsigned offered_len, void *ctx)
{
        const struct played *p = ctx;

        (void)ssl;
        (void)offered;
        (void)offered_len;
        if (p->alpn == NULL)
                return SSL_TLSEXT_ERR_NOACK;
        *ret_len = (unsigned char)p->alpn[0];
        *ret = (const unsigned char *)p->alpn + 1;
        return SSL_TLSEXT_ERR_OK;
}

static void play_server(struct fixture *f, struct played *p)
{
        int ours;

        assert_null(socket_pair(&ours, &f->raw));
        assert_int_equal(fcntl(f->raw, F_SETFL, O_NONBLOCK), 0);
        p->ctx = SSL_CTX_new(TLS_server_method());
        assert_int_equal(SSL_CTX_use_certificate(p->ctx, f->server.cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(p->ctx, f->server.key), 1);
        SSL_CTX_set_num_tickets(p->ctx, 0);
        SSL_CTX_set_alpn_select_cb(p->ctx, select_alpn, p);
        p->ssl = SSL_new(p->ctx);
        p->in = BIO_new(BIO_s_mem());
        p->out = BIO_new(BIO_s_mem());
        SSL_set_bio(p->ssl, p->in, p->out);
        SSL_set_accept_state(p->ssl);
        start(f, &f->at_client, socket_stream(&f->loop, ours));
}

static void play_release(struct played *p)
{
        SSL_free(p->ssl);
        SSL_CTX_free(p->ctx);
}

/* Passes on what the server has written, `most` bytes of it. */
static void pass_on(struct fixture *f, struct played *p, size_t most)
{
        char bytes[16 * KiB];
        int len = BIO_read(p->out, bytes, (int)(most < sizeof bytes ? most : sizeof bytes));

        if (len > 0)
                assert_int_equal(write(f->raw, bytes, (size_t)len), len);
}

static void play_handshake(struct fixture *f, struct played *p)
{
        char bytes[16 * KiB];
        ssize_t len = read(f->raw, bytes, sizeof bytes);

        if (len > 0)
                assert_int_equal(BIO_write(p->in, bytes, (int)len), len);
        SSL_do_handshake(p->ssl);
        pass_on(f, p, SIZE_MAX);
}

static void note_leaving(void *ctx, struct str bytes)
{
        struct ear *e = ctx;
        struct stream *plain = tls_leave(e->stream, STR(""));

        buf_put(&e->received, bytes);
        if (plain != NULL)
                ear_listen(e, plain);
}

static const struct stream_events noting_events = { .on_read = note_leaving, .on_end = ear_on_end };

/* Also if OpenSSL has taken the received part of the next record, of any length. */
static void tls_is_not_left_within_a_record(void **state)
{
        for (size_t more = 1; more <= 8; more++) {
                struct fixture *f = *state;
                struct played p = { .alpn = "\5first" };
                struct ear *client = &f->at_client.ear;

                given_contexts(f);
                play_server(f, &p);
                RUN_UNTIL(&f->loop, (play_handshake(f, &p), f->at_client.done));
                assert_null(f->at_client.err);
                struct stream *tls = client->stream;
                stream_listen(tls, &noting_events, client);
                stream_read(tls, true);
                assert_int_equal(SSL_write(p.ssl, "!", 1), 1);
                size_t record = BIO_ctrl_pending(p.out);
                assert_int_equal(SSL_write(p.ssl, "more", 4), 4);
                pass_on(f, &p, record + more);
                RUN_UNTIL(&f->loop, client->received.len > 0);
                assert_received(client, "!");
                assert_ptr_equal(client->stream, tls);
                play_release(&p);
                again(state);
        }
}

/* By OpenSSL itself, since 3.0.15. */
/* By OpenSSL itself, since 3.0.15. */
static void a_server_selects_an_offered_protocol(void **state)
{
        static const char *const others[] = { "third", NULL };
        static const struct {
                const char *selected;
                const char *const *offered; /* by tls_offer(); NULL: by the context */
                bool is_good;
        } rows[] = {
                { "\5first", NULL, true }, { "\6second", NULL, true }, { "\5third", NULL, false }, { "\4firs", NULL, false }, { "\6firsts", NULL, false },
                { "\5third", others, true }, { "\5first", others, false },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct fixture *f = *state;
                struct played p = { .alpn = rows[i].selected };

                given_contexts(f);
                play_server(f, &p);
                if (rows[i].offered != NULL)
                        tls_offer(f->at_client.handshake, rows[i].offered);
                RUN_UNTIL(&f->loop, (play_handshake(f, &p), f->at_client.done));
                assert_true((f->at_client.err == NULL) == rows[i].is_good);
                play_release(&p);
                again(state);
        }
}

static void one_direction_may_end_before_the_other(void **state)
{
        struct fixture *f = *state;

        given_connection(f);
        stream_read(f->at_server.ear.stream, true);
        stream_read(f->at_client.ear.stream, true);
        stream_write(f->at_client.ear.stream, STR("question"));
        stream_shutdown(f->at_client.ear.stream);
        stream_write(f->at_client.ear.stream, STR("ignored"));
        RUN_UNTIL(&f->loop, f->at_server.ear.ends);
        assert_null(f->at_server.ear.err);
        stream_write(f->at_server.ear.stream, STR("answer"));
        stream_close(f->at_server.ear.stream);
        f->at_server.ear.stream = NULL;
        RUN_UNTIL(&f->loop, f->at_client.ear.ends);
        assert_null(f->at_client.ear.err);
        assert_received(&f->at_server.ear, "question");
        assert_received(&f->at_client.ear, "answer");
}

static void a_stream_may_be_closed_inside_its_own_callbacks(void **state)
{
        struct fixture *f = *state;

        given_connection(f);
        f->at_server.ear.close_on_read = true;
        f->at_client.ear.close_on_end = true;
        stream_read(f->at_server.ear.stream, true);
        stream_read(f->at_client.ear.stream, true);
        write_pattern(f->at_client.ear.stream, 200000);
        RUN_UNTIL(&f->loop, f->at_client.ear.ends);
}

/* A server played with plain OpenSSL, so that it can close without close_notify. */
static void an_end_without_close_notify_is_an_error(void **state)
{
        struct fixture *f = *state;
        int ours;
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

        given_contexts(f);
        assert_null(socket_pair(&ours, &f->raw));
        start(f, &f->at_server, socket_stream(&f->loop, ours));
        SSL *ssl = SSL_new(ctx);
        SSL_set_fd(ssl, f->raw);
        assert_int_equal(fcntl(f->raw, F_SETFL, O_NONBLOCK), 0);
        SSL_set_connect_state(ssl);
        RUN_UNTIL(&f->loop, (SSL_do_handshake(ssl), f->at_server.done));
        assert_null(f->at_server.err);
        assert_int_equal(SSL_write(ssl, "half", 4), 4);
        close(f->raw);
        f->raw = -1;
        stream_read(f->at_server.ear.stream, true);
        RUN_UNTIL(&f->loop, f->at_server.ear.ends);
        assert_received(&f->at_server.ear, "half");
        assert_sent(f->at_server.ear.err, ERROR_UNAVAILABLE, "without ending TLS");
        SSL_free(ssl);
        SSL_CTX_free(ctx);
}

static void a_flood_of_key_updates_ends_the_connection(void **state)
{
        struct fixture *f = *state;
        int ours;
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

        given_contexts(f);
        assert_null(socket_pair(&ours, &f->raw));
        start(f, &f->at_server, socket_stream(&f->loop, ours));
        SSL *ssl = SSL_new(ctx);
        SSL_set_fd(ssl, f->raw);
        assert_int_equal(fcntl(f->raw, F_SETFL, O_NONBLOCK), 0);
        SSL_set_connect_state(ssl);
        RUN_UNTIL(&f->loop, (SSL_do_handshake(ssl), f->at_server.done));
        stream_read(f->at_server.ear.stream, true);
        write_pattern(f->at_server.ear.stream, 1000000); /* fills the way to the peer */
        RUN_UNTIL(&f->loop, (SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), SSL_do_handshake(ssl),
                             f->at_server.ear.ends));
        assert_sent(f->at_server.ear.err, ERROR_RESOURCE_EXHAUSTED, "key updates");
        SSL_free(ssl);
        SSL_CTX_free(ctx);
}

static void tls_stacks_on_tls(void **state)
{
        struct fixture *f = *state;
        struct end outer_server, outer_client;

        given_connection(f);
        outer_server = f->at_server;
        outer_client = f->at_client;
        f->at_server = f->at_client = (struct end){ 0 };
        start(f, &f->at_server, outer_server.ear.stream);
        start(f, &f->at_client, outer_client.ear.stream);
        RUN_UNTIL(&f->loop, f->at_server.done && f->at_client.done);
        assert_null(f->at_client.err);
        stream_read(f->at_server.ear.stream, true);
        write_pattern(f->at_client.ear.stream, 2000000);
        stream_shutdown(f->at_client.ear.stream);
        RUN_UNTIL(&f->loop, f->at_server.ear.ends);
        assert_pattern(&f->at_server.ear, 2000000);
        assert_null(f->at_server.ear.err);
}

/* As by what ends the outer TLS of a connection upgrade, in the handshake or later: only the inner peer is authenticated. */
static void an_alert_to_the_layer_below_decides_nothing(void **state)
{
        for (int is_open = 0; is_open <= 1; is_open++) {
                struct fixture *f = *state;
                struct stream *server, *client;

                given_contexts(f);
                connected_pair(&f->loop, &server, &client);
                start(f, &f->at_client, client);
                if (is_open) {
                        start(f, &f->at_server, server);
                        RUN_UNTIL(&f->loop, f->at_server.done && f->at_client.done);
                        assert_null(f->at_client.err);
                        stream_read(f->at_client.ear.stream, true);
                }
                client->events->on_end(client->ctx, error_for(error_new(ERROR_PERMISSION_DENIED, "the server refused our certificate"), REASON_IDENTITY));
                RUN_UNTIL(&f->loop, is_open ? f->at_client.ear.ends : f->at_client.done);
                const struct error *err = is_open ? f->at_client.ear.err : f->at_client.err;
                assert_non_null(err);
                assert_int_equal(err->code, ERROR_UNAVAILABLE);
                assert_false(error_is_for(err, REASON_IDENTITY));
                assert_true(error_is_for(err, REASON_CONNECTION));
                if (!is_open)
                        stream_close(server);
                again(state);
        }
}

/* ---- faults -------------------------------------------------------------------------------------------- */

/* Carries bytes between two streams, `step` a turn of the loop, until `budget` is used up; then closes both. */
struct direction {
        struct carrier *carrier;
        struct stream *from, *to;
        struct buf waiting;
        bool is_due;
};

struct carrier {
        struct loop *loop;
        struct direction directions[2];
        size_t step, budget;
        bool is_cut;
};

static void cut(struct carrier *c)
{
        if (c->is_cut)
                return;
        c->is_cut = true;
        for (int i = 0; i < 2; i++) {
                stream_close(c->directions[i].from);
                buf_release(&c->directions[i].waiting);
        }
}

static void carry(void *ctx)
{
        struct direction *direction = ctx;
        struct carrier *c = direction->carrier;
        struct str bytes = str_slice(buf_str(&direction->waiting), 0, c->step < c->budget ? c->step : c->budget);

        direction->is_due = false;
        if (c->is_cut)
                return;
        stream_write(direction->to, bytes);
        c->budget -= bytes.len;
        buf_consume(&direction->waiting, bytes.len);
        if (c->budget == 0) {
                cut(c);
        } else if (direction->waiting.len > 0) {
                direction->is_due = true;
                loop_defer(c->loop, carry, direction);
        }
}

static void on_carrier_read(void *ctx, struct str bytes)
{
        struct direction *direction = ctx;

        buf_put(&direction->waiting, bytes);
        if (!direction->is_due) {
                direction->is_due = true;
                loop_defer(direction->carrier->loop, carry, direction);
        }
}

static void on_carrier_end(void *ctx, struct error *err)
{
        struct direction *direction = ctx;

        error_free(err);
        cut(direction->carrier);
}

static const struct stream_events carrier_events = { .on_read = on_carrier_read, .on_end = on_carrier_end };

static void connect_by_carrier(struct fixture *f, struct carrier *c)
{
        struct stream *server_end, *client_end;

        f->server_options.peer = TLS_PEER_OPTIONAL;
        given_contexts(f);
        assert_null(tls_context_add(f->client_context, NULL, identity_of(&f->client)));
        c->loop = &f->loop;
        connected_pair(&f->loop, &server_end, &c->directions[0].from);
        connected_pair(&f->loop, &client_end, &c->directions[1].from);
        for (int i = 0; i < 2; i++) {
                c->directions[i].carrier = c;
                c->directions[i].to = c->directions[!i].from;
                c->directions[i].waiting.max = 1 * MiB;
                stream_listen(c->directions[i].from, &carrier_events, &c->directions[i]);
                stream_read(c->directions[i].from, true);
        }
        start(f, &f->at_server, server_end);
        start(f, &f->at_client, client_end);
}

static void a_handshake_survives_bytes_that_come_one_by_one(void **state)
{
        struct fixture *f = *state;
        struct carrier c = { .step = 1, .budget = SIZE_MAX };

        connect_by_carrier(f, &c);
        RUN_UNTIL(&f->loop, f->at_server.done && f->at_client.done);
        assert_null(f->at_server.err);
        assert_null(f->at_client.err);
        stream_read(f->at_server.ear.stream, true);
        stream_write(f->at_client.ear.stream, STR("hello"));
        RUN_UNTIL(&f->loop, f->at_server.ear.received.len == 5);
        cut(&c);
        run_a_while(&f->loop);
}

static void a_peer_that_vanishes_at_any_moment_costs_one_error(void **state)
{
        for (size_t budget = 1; budget < 2400; budget += 61) {
                struct fixture *f = *state;
                struct carrier c = { .step = SIZE_MAX, .budget = budget };

                f->at_server.read_at_once = f->at_client.read_at_once = true;
                connect_by_carrier(f, &c);
                RUN_UNTIL(&f->loop, f->at_server.done && f->at_client.done);
                cut(&c);
                run_a_while(&f->loop);
                struct end *ends[] = { &f->at_server, &f->at_client };
                for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
                        assert_int_equal(ends[i]->done, 1);
                        assert_int_equal(ends[i]->ear.ends, ends[i]->err == NULL);
                        assert_int_equal((ends[i]->err != NULL ? ends[i]->err : ends[i]->ear.err)->code, ERROR_UNAVAILABLE);
                }
                again(state);
        }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(an_answer_that_is_not_tls_is_shown),
                TEST(a_request_that_is_not_tls_is_shown),
                TEST(a_peer_that_hangs_up_is_reported),
                TEST(a_silent_peer_meets_the_deadline),
                TEST(a_cancelled_handshake_reports_once_from_the_loop),
                TEST(bytes_arrive_in_order_for_any_number),
                TEST(a_whole_read_is_sent_by_one_write),
                TEST(data_with_the_last_handshake_flight_is_not_lost),
                TEST(both_ends_leave_tls_where_they_agree),
                TEST(tls_is_not_left_while_bytes_of_the_peer_wait),
                TEST(tls_is_not_left_within_a_record),
                TEST(a_server_selects_an_offered_protocol),
                TEST(a_paused_stream_holds_its_bytes_and_resumes),
                TEST(one_direction_may_end_before_the_other),
                TEST(a_stream_may_be_closed_inside_its_own_callbacks),
                TEST(an_end_without_close_notify_is_an_error),
                TEST(a_flood_of_key_updates_ends_the_connection),
                TEST(tls_stacks_on_tls),
                TEST(an_alert_to_the_layer_below_decides_nothing),
                TEST(a_handshake_survives_bytes_that_come_one_by_one),
                TEST(a_peer_that_vanishes_at_any_moment_costs_one_error),
        };

        return cmocka_run_group_tests(tests, make_all, release_all);
}
