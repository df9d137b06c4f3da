/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of TLS: a client that connects to a server.
 */
#ifndef NET_TLS_TESTING_H
#define NET_TLS_TESTING_H

#include <stdlib.h>
#include <unistd.h>

#include "net/made_cert_testing.h"
#include "net/net_testing.h"
#include "net/tls.h"

/* ---- a client and a server ----------------------------------------------------------------------------- */

struct end {
        struct ear ear;
        struct tls_handshake *handshake;
        int done;
        struct error *err;
        bool read_at_once; /* as in servers that pass the stream on inside done */
};

struct fixture {
        struct loop loop;
        struct fake_clock clock;
        struct made_cert ca, other_ca, server, client, unauthenticated;
        struct tls_options server_options, client_options;
        struct tls_context *server_context, *client_context;
        struct end at_server, at_client;
        const char *server_name;
        int raw; /* the socket of the side that the test simulates */
};

static inline int make_all(void **state)
{
        static struct fixture f;

        f.ca = make_cert_at("the cluster", NULL, NULL, TEST_TIME - 3600, TEST_TIME + 100 * TEST_LIFE);
        f.other_ca = make_cert("another cluster", NULL, NULL);
        f.server = make_cert("server", "DNS:proxy.example.com,DNS:*.apps.example.com,IP:10.0.0.1", &f.ca);
        f.client = make_cert("client", "DNS:client", &f.ca);
        f.unauthenticated = make_cert("unrelated", "DNS:proxy.example.com", &f.other_ca);
        *state = &f;
        return 0;
}

static inline int release_all(void **state)
{
        struct fixture *f = *state;

        made_cert_release(&f->ca);
        made_cert_release(&f->other_ca);
        made_cert_release(&f->server);
        made_cert_release(&f->client);
        made_cert_release(&f->unauthenticated);
        return 0;
}

static const char *const alpn[] = { "first", "second", NULL };

static inline int set_up(void **state)
{
        struct fixture *f = *state;

        fake_clock_init(&f->clock, TEST_TIME);
        assert_null(loop_init(&f->loop, &f->clock.clock));
        f->server_options = (struct tls_options){ .is_server = true, .alpn = alpn, .trust_pem = str_of(f->ca.cert_pem) };
        f->client_options =
                (struct tls_options){ .peer = TLS_PEER_REQUIRED, .alpn = alpn, .trust_pem = str_of(f->ca.cert_pem) };
        f->server_name = "proxy.example.com";
        f->raw = -1;
        return 0;
}

static inline void end_release(struct end *e)
{
        ear_release(&e->ear);
        error_free(e->err);
        *e = (struct end){ 0 };
}

static inline int tear_down(void **state)
{
        struct fixture *f = *state;

        end_release(&f->at_client);
        end_release(&f->at_server);
        tls_context_free(f->server_context);
        tls_context_free(f->client_context);
        f->server_context = f->client_context = NULL;
        if (f->raw >= 0)
                close(f->raw);
        loop_release(&f->loop);
        return 0;
}

static inline void again(void **state)
{
        tear_down(state);
        set_up(state);
}

static inline void on_done(void *ctx, struct stream *tls, struct error *err)
{
        struct end *e = ctx;

        assert_false(e->ear.in_call);
        assert_true((tls == NULL) == (err != NULL));
        e->done++;
        e->err = err;
        if (tls == NULL)
                return;
        ear_listen(&e->ear, tls);
        if (e->read_at_once)
                stream_read(tls, true);
}

static inline void given_contexts(struct fixture *f)
{
        assert_null(tls_context_new(f->server_options, &f->server_context));
        assert_null(tls_context_add(f->server_context, NULL, identity_of(&f->server)));
        assert_null(tls_context_new(f->client_options, &f->client_context));
}

static inline void start(struct fixture *f, struct end *e, struct stream *lower)
{
        bool is_server = e == &f->at_server;

        e->ear.in_call = true;
        e->handshake = tls_start(&f->loop, is_server ? f->server_context : f->client_context, lower,
                                 is_server ? NULL : f->server_name, SECONDS(10), on_done, e);
        e->ear.in_call = false;
        assert_int_equal(e->done, 0);
}

static inline void shake_hands(struct fixture *f)
{
        struct stream *a, *b;

        if (f->server_context == NULL)
                given_contexts(f);
        connected_pair(&f->loop, &a, &b);
        start(f, &f->at_server, a);
        start(f, &f->at_client, b);
        RUN_UNTIL(&f->loop, f->at_server.done && f->at_client.done);
}

static inline void given_connection(struct fixture *f)
{
        shake_hands(f);
        assert_null(f->at_server.err);
        assert_null(f->at_client.err);
}

static inline void assert_sent(const struct error *err, enum error_code code, const char *part)
{
        assert_non_null(err);
        if (strstr(err->what, part) == NULL)
                fail_msg("'%s' does not say '%s'", err->what, part);
        assert_int_equal(err->code, code);
}

#endif
