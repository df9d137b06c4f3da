/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the listener and of what it leads to: a listener on ports of its own, a client, and a listener in place of auth; one loop for all. */
#ifndef PROXY_LISTENER_TESTING_H
#define PROXY_LISTENER_TESTING_H

#include "proxy/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "pki/cert.h"
#include "proxy/apps/app_session.h"
#include "proxy/proxy.h"

struct stage {
        struct proxy proxy;
        struct fake_clock clock; /* of the loop in tests that need it */
        Cteleport__Internal__V1__Boot boot;
        char address[ADDRESS_TEXT_MAX], plain_address[ADDRESS_TEXT_MAX], auth_address[ADDRESS_TEXT_MAX];
        struct listener *auth;
        struct stream *at_auth;   /* bytes that were passed through */
        struct buf auth_saw;

        struct dial *dial;
        struct tls_context *tls, *inner;
        struct tls_handshake *handshake;
        struct stream *client;
        const char *server_name;
        struct buf client_saw;
        bool has_ended, has_failed;
};

static inline void must(struct error *err)
{
        if (err != NULL)
                fail_msg("%s", err->what);
}

#define RUN_UNTIL(s, condition)                                                                    \
        while (!(condition))                                                                       \
        uv_run(&(s)->proxy.loop.uv, UV_RUN_ONCE)

/* ---- in place of auth ---- */

static inline void on_auth_read(void *ctx, struct str bytes)
{
        struct stage *s = ctx;
        buf_put(&s->auth_saw, bytes);
}

static inline void on_auth_end(void *ctx, struct error *err)
{
        struct stage *s = ctx;
        error_free(err);
        stream_close(s->at_auth);
        s->at_auth = NULL;
}

static const struct stream_events auth_events = { .on_read = on_auth_read, .on_end = on_auth_end };

static inline void on_auth_accepted(void *ctx, int fd, const char *peer)
{
        struct stage *s = ctx;
        (void)peer;
        s->at_auth = socket_stream(&s->proxy.loop, fd);
        stream_listen(s->at_auth, &auth_events, s);
        stream_read(s->at_auth, true);
}

/* ---- clients ---- */

static inline void on_client_read(void *ctx, struct str bytes)
{
        struct stage *s = ctx;
        buf_put(&s->client_saw, bytes);
}

static inline void on_client_end(void *ctx, struct error *err)
{
        struct stage *s = ctx;
        error_free(err);
        s->has_ended = true;
}

static const struct stream_events client_events = { .on_read = on_client_read, .on_end = on_client_end };

static inline void take_client(struct stage *s, struct stream *stream)
{
        s->client = stream;
        stream_listen(stream, &client_events, s);
        stream_read(stream, true);
}

static inline void on_shaken(void *ctx, struct stream *tls, struct error *err)
{
        struct stage *s = ctx;
        s->handshake = NULL;
        s->has_failed = err != NULL;
        error_free(err);
        if (tls != NULL)
                take_client(s, tls);
}

static inline void on_dialled(void *ctx, int fd, struct error *err)
{
        struct stage *s = ctx;
        s->dial = NULL;
        must(err);
        struct stream *tcp = socket_stream(&s->proxy.loop, fd);
        if (s->tls == NULL)
                take_client(s, tcp);
        else
                s->handshake = tls_start(&s->proxy.loop, s->tls, tcp, s->server_name, SECONDS(5), on_shaken, s);
}

/* Connects with TLS and these protocols; alpn NULL: with bare TCP. */
static inline void open_connection(struct stage *s, const char *const *alpn, const char *server_name)
{
        s->server_name = server_name;
        if (alpn != NULL)
                must(tls_context_new((struct tls_options){ .peer = TLS_PEER_INSECURE, .alpn = alpn }, &s->tls));
        s->dial = dial_start(&s->proxy.loop, str_of(s->address), SECONDS(5), on_dialled, s);
        RUN_UNTIL(s, s->dial == NULL);
}

/* ---- the stage ---- */

static inline void show_certificate(struct stage *s)
{
        static const char *const protocols[] = { "teleport-proxy-grpc", "http/1.1", "h2", NULL };
        struct str names[] = { STR_INIT("proxy.example.com") };
        AUTO(key) key = { 0 };
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        AUTO(buf) pem = BUF_MAX(2 * CERT_MAX);
        AUTO(secret) key_pem = { 0 };
        struct walltime now = loop_wall(&s->proxy.loop);
        must(key_generate(&key, KEY_ECDSA_P256));
        must(x509_self_signed_web(&key, names, 1, (struct cert_times){ now, walltime_add(now, HOURS(1)) }, &der));
        must(key_to_pem(&key, &key_pem));
        cert_der_to_pem(buf_str(&der), &pem);
        must(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_NONE, .alpn = protocols },
                             &s->proxy.tls));
        must(tls_context_add(s->proxy.tls, NULL,
                             (struct tls_identity){ .cert_chain_pem = buf_str(&pem), .key_pem = secret_str(&key_pem) }));
}

static inline void open_stage(struct stage *s, const struct clock *clock)
{
        int proxy_listener_fd, plain_fd, auth_fd;
        must(loop_init(&s->proxy.loop, clock));
        cteleport__internal__v1__boot__init(&s->boot);
        s->proxy.boot = &s->boot;
        s->proxy.identity.cluster = STR("example.com");
        for (size_t i = 0; i < SOURCE_COUNTERS; i++)
                s->proxy.sources.limits[i] = (struct source_limit){ 2, 2 };
        s->auth_saw = BUF_MAX(64 * KiB);
        s->client_saw = BUF_MAX(64 * KiB);
        show_certificate(s);
        must(socket_listen_tcp(STR("127.0.0.1:0"), &auth_fd, s->auth_address));
        s->auth = listener_new(&s->proxy.loop, auth_fd, on_auth_accepted, s);
        s->proxy.auth_address = s->auth_address;
        must(socket_listen_tcp(STR("127.0.0.1:0"), &proxy_listener_fd, s->address));
        must(socket_listen_tcp(STR("127.0.0.1:0"), &plain_fd, s->plain_address));
        s->proxy.listener = proxy_listener_open(&s->proxy, proxy_listener_fd, plain_fd);
}

static inline int set_up(void **state)
{
        struct stage *s = NEW(struct stage);
        *state = s;
        open_stage(s, NULL);
        return 0;
}

static inline int set_up_with_clock(void **state)
{
        struct stage *s = NEW(struct stage);
        *state = s;
        fake_clock_init(&s->clock, 1800000000);
        open_stage(s, &s->clock.clock);
        return 0;
}

static inline int tear_down(void **state)
{
        struct stage *s = *state;
        stream_close(s->client);
        s->proxy.is_stopping = true; /* proxy_is_empty() ends the loop */
        proxy_listener_shut(s->proxy.listener);
        listener_close(s->auth);
        loop_run(&s->proxy.loop);
        assert_true(proxy_listener_is_empty(s->proxy.listener));
        assert_int_equal(s->proxy.sources.totals[SOURCE_CONNECTIONS], 0);
        stream_close(s->at_auth);
        proxy_listener_shut(s->proxy.listener); /* reported when the listener is freed */
        proxy_listener_free(s->proxy.listener);
        s->proxy.listener = NULL;
        sources_release(&s->proxy.sources);
        tls_context_free(s->proxy.tls);
        tls_context_free(s->tls);
        tls_context_free(s->inner);
        buf_release(&s->auth_saw);
        buf_release(&s->client_saw);
        loop_release(&s->proxy.loop);
        assert_int_equal(s->proxy.unauthenticated_memory.used, 0);
        budget_release(&s->proxy.unauthenticated_memory);
        free(s);
        return 0;
}

/* The stage of a round of a test: each has its own, made by begin, set_up() or set_up_with_clock(); that of round 0 is there already. */
static inline UNUSED struct stage *stage_of_round(void **state, size_t round, int (*begin)(void **state))
{
        if (round > 0) {
                tear_down(state);
                begin(state);
        }
        return *state;
}

static inline void begin_inside(struct stage *s, const char *const *alpn)
{
        must(tls_context_new((struct tls_options){ .peer = TLS_PEER_INSECURE, .alpn = alpn }, &s->inner));
        s->handshake = tls_start(&s->proxy.loop, s->inner, s->client, s->server_name, SECONDS(60), on_shaken, s);
        s->client = NULL;
}

/* TLS inside the upgraded connection. */
static inline void shake_inside(struct stage *s, const char *const *alpn)
{
        buf_clear(&s->client_saw);
        begin_inside(s, alpn);
        RUN_UNTIL(s, s->handshake == NULL);
        assert_false(s->has_failed);
}

/* Opens a TCP connection to the port for plain HTTP. */
static inline void open_plain_connection(struct stage *s)
{
        s->dial = dial_start(&s->proxy.loop, str_of(s->plain_address), SECONDS(5), on_dialled, s);
        RUN_UNTIL(s, s->dial == NULL);
}

static inline void lists_load_balancer(struct stage *s)
{
        static struct network loopback;

        must(network_parse(STR("127.0.0.0/8"), &loopback));
        s->proxy.ingress = (struct ingress){ .load_balancers = &loopback, .load_balancer_count = 1 };
}

static inline void trust_forwarded_for(struct stage *s)
{
        lists_load_balancer(s);
        s->proxy.ingress.trusts_forwarded_for = true;
}

/* Applications are below this name from now on. */
static inline void name_proxy(struct stage *s)
{
        static char name[] = "proxy.example.com:443";
        static char *names[] = { name };
        static Cteleport__V1__ProxyConfig section;
        static Cteleport__V1__Config config;

        cteleport__v1__proxy_config__init(&section);
        cteleport__v1__config__init(&config);
        section.public_addr = names;
        section.n_public_addr = 1;
        config.proxy_service = &section;
        s->boot.config = &config;
        s->proxy.app_sessions = app_sessions_new(&s->proxy);
}

/* Ends the client, and what name_proxy() has begun. */
static inline void forget_sessions(struct stage *s)
{
        stream_close(s->client);
        s->client = NULL;
        app_sessions_shut(s->proxy.app_sessions);
        RUN_UNTIL(s, proxy_listener_is_empty(s->proxy.listener) && app_sessions_is_empty(s->proxy.app_sessions));
        app_sessions_free(s->proxy.app_sessions);
        s->proxy.app_sessions = NULL;
        s->boot.config = NULL;
}

/* What is due now, such as that the connection comes back from the web server, is done. */
static inline void run_turns(struct stage *s)
{
        for (int turn = 0; turn < 50; turn++)
                uv_run(&s->proxy.loop.uv, UV_RUN_NOWAIT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
