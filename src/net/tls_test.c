/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_testing.h"

#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
        struct ear ear;
        struct tls_handshake *handshake;
        int done;
        struct error *err;
        bool read_at_once; /* as servers do that pass the stream on in done */
};

struct fixture {
        struct loop loop;
        struct fake_clock clock;
        struct made_cert ca, other_ca, server, client, stranger;
        struct tls_options server_options, client_options;
        struct tls_context *server_context, *client_context;
        struct end at_server, at_client;
        const char *server_name;
        int raw; /* when one side is played by the test */
};

static int make_all(void **state)
{
        static struct fixture f;

        f.ca = make_cert_at("the cluster", NULL, NULL, TEST_TIME - 3600, TEST_TIME + 100 * TEST_LIFE);
        f.other_ca = make_cert("another cluster", NULL, NULL);
        f.server = make_cert("server", "DNS:proxy.example.com,DNS:*.apps.example.com,IP:10.0.0.1", &f.ca);
        f.client = make_cert("client", "DNS:client", &f.ca);
        f.stranger = make_cert("stranger", "DNS:proxy.example.com", &f.other_ca);
        *state = &f;
        return 0;
}

static int release_all(void **state)
{
        struct fixture *f = *state;

        made_cert_release(&f->ca);
        made_cert_release(&f->other_ca);
        made_cert_release(&f->server);
        made_cert_release(&f->client);
        made_cert_release(&f->stranger);
        return 0;
}

static const char *const alpn[] = { "first", "second", NULL };

static int set_up(void **state)
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

static void end_release(struct end *e)
{
        ear_release(&e->ear);
        error_free(e->err);
        *e = (struct end){ 0 };
}

static int tear_down(void **state)
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

static void again(void **state)
{
        tear_down(state);
        set_up(state);
}

static void on_done(void *ctx, struct stream *tls, struct error *err)
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

static void given_contexts(struct fixture *f)
{
        assert_null(tls_context_new(f->server_options, &f->server_context));
        assert_null(tls_context_add(f->server_context, NULL, identity_of(&f->server)));
        assert_null(tls_context_new(f->client_options, &f->client_context));
}

static void start(struct fixture *f, struct end *e, struct stream *lower)
{
        bool is_server = e == &f->at_server;

        e->ear.in_call = true;
        e->handshake = tls_start(&f->loop, is_server ? f->server_context : f->client_context, lower,
                                 is_server ? NULL : f->server_name, SECONDS(10), on_done, e);
        e->ear.in_call = false;
        assert_int_equal(e->done, 0);
}

static void shake_hands(struct fixture *f)
{
        struct stream *a, *b;

        if (f->server_context == NULL)
                given_contexts(f);
        connected_pair(&f->loop, &a, &b);
        start(f, &f->at_server, a);
        start(f, &f->at_client, b);
        RUN_UNTIL(&f->loop, f->at_server.done && f->at_client.done);
}

static void given_connection(struct fixture *f)
{
        shake_hands(f);
        assert_null(f->at_server.err);
        assert_null(f->at_client.err);
}

static void assert_said(const struct error *err, enum error_code code, const char *part)
{
        assert_non_null(err);
        if (strstr(err->what, part) == NULL)
                fail_msg("'%s' does not say '%s'", err->what, part);
        assert_int_equal(err->code, code);
}

/* ---- agreement ----------------------------------------------------------------------------------------- */

static void both_sides_agree_and_know_each_other(void **state)
{
        struct fixture *f = *state;
        unsigned char *der = NULL;

        f->server_options.peer = TLS_PEER_OPTIONAL;
        given_contexts(f);
        assert_null(tls_context_add(f->client_context, NULL, identity_of(&f->client)));
        given_connection(f);
        struct stream *s = f->at_server.ear.stream, *c = f->at_client.ear.stream;
        assert_true(str_equal(tls_alpn(s), STR("first")));
        assert_true(str_equal(tls_alpn(c), STR("first")));
        assert_true(str_equal(tls_server_name(s), STR("proxy.example.com")));
        assert_true(str_is_empty(tls_server_name(c)));
        struct str seen = tls_peer_cert_der(s);
        int len = i2d_X509(f->client.cert, &der);
        assert_true(str_equal(seen, str_of_bytes(der, (size_t)len)));
        OPENSSL_free(der);
        assert_true(str_is_empty(tls_peer_chain_der(s, 1)));
        assert_false(str_is_empty(tls_peer_cert_der(c)));
}

static void the_client_sees_the_whole_chain(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *chain = mem_printf("%s%s", f->server.cert_pem, f->ca.cert_pem);
        unsigned char *der = NULL;

        f->client_options.peer = TLS_PEER_INSECURE;
        given_contexts(f);
        assert_null(tls_context_add(f->server_context, NULL,
                                    (struct tls_identity){ str_of(chain), str_of(f->server.key_pem) }));
        given_connection(f);
        int len = i2d_X509(f->ca.cert, &der);
        assert_true(str_equal(tls_peer_chain_der(f->at_client.ear.stream, 1), str_of_bytes(der, (size_t)len)));
        assert_true(str_is_empty(tls_peer_chain_der(f->at_client.ear.stream, 2)));
        OPENSSL_free(der);
}

static void the_server_chooses_its_identity_by_name(void **state)
{
        static const struct {
                const char *asked, *served;
        } rows[] = {
                { "web.example.com", "web" },   { "WEB.example.com", "web" }, { "x.internal", "internal" },
                { "a.b.internal", "internal" }, { "internal", "default" },    { "y.deep.internal", "deep" },
                { "other.example.com", "default" },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct fixture *f = *state;
                struct made_cert web = make_cert("web", "DNS:web.example.com", &f->ca);
                struct made_cert internal = make_cert("internal", "DNS:x.internal,DNS:a.b.internal", &f->ca);
                struct made_cert deep = make_cert("deep", "DNS:y.deep.internal", &f->ca);

                f->client_options.peer = TLS_PEER_INSECURE;
                f->server_name = rows[i].asked;
                given_contexts(f);
                assert_null(tls_context_add(f->server_context, "*.internal", identity_of(&internal)));
                assert_null(tls_context_add(f->server_context, "*.deep.internal", identity_of(&deep)));
                assert_null(tls_context_add(f->server_context, "web.example.com", identity_of(&f->client)));
                assert_null(tls_context_add(f->server_context, "Web.Example.com", identity_of(&web))); /* replaces */
                given_connection(f);
                struct str der = tls_peer_cert_der(f->at_client.ear.stream);
                const unsigned char *at = str_bytes(der);
                X509 *cert = d2i_X509(NULL, &at, (long)der.len);
                char name[64];
                X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof name);
                assert_string_equal(name, strcmp(rows[i].served, "default") == 0 ? "server" : rows[i].served);
                X509_free(cert);
                made_cert_release(&web);
                made_cert_release(&internal);
                made_cert_release(&deep);
                again(state);
        }
}

static void a_name_is_checked_against_the_certificate(void **state)
{
        static const struct {
                const char *name;
                bool is_good;
        } rows[] = {
                { "proxy.example.com", true },    { "PROXY.example.com", true }, { "10.0.0.1", true },
                { "x.apps.example.com", true },   { "10.0.0.2", false },         { "proxy.example.org", false },
                { "a.x.apps.example.com", false }, { "server", false },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct fixture *f = *state;

                f->server_name = rows[i].name;
                shake_hands(f);
                assert_true((f->at_client.err == NULL) == rows[i].is_good);
                if (!rows[i].is_good) {
                        assert_said(f->at_client.err, ERROR_UNAUTHENTICATED, "proxy.example.com, *.apps.example.com, 10.0.0.1");
                        assert_non_null(strstr(f->at_client.err->what, rows[i].name));
                        assert_non_null(f->at_client.err->hint);
                }
                again(state);
        }
}

static void the_servers_order_of_protocols_decides(void **state)
{
        static const char *const offer[] = { "unknown", "second", "first", NULL };
        struct fixture *f = *state;

        f->client_options.alpn = offer;
        given_connection(f);
        assert_true(str_equal(tls_alpn(f->at_client.ear.stream), STR("first")));
}

static void internal_contexts_speak_tls_1_3_and_others_1_2_too(void **state)
{
        for (int is_internal = 0; is_internal < 2; is_internal++) {
                struct fixture *f = *state;
                SSL_CTX *old = SSL_CTX_new(TLS_client_method());
                struct stream *s;
                int ours;

                f->server_options.is_internal = is_internal;
                given_contexts(f);
                assert_null(socket_pair(&ours, &f->raw));
                s = socket_stream(&f->loop, ours);
                start(f, &f->at_server, s);
                SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
                SSL *ssl = SSL_new(old);
                SSL_set_fd(ssl, f->raw);
                assert_int_equal(fcntl(f->raw, F_SETFL, O_NONBLOCK), 0);
                SSL_set_connect_state(ssl);
                RUN_UNTIL(&f->loop, (SSL_do_handshake(ssl), f->at_server.done));
                if (is_internal)
                        assert_said(f->at_server.err, ERROR_FAILED_PRECONDITION, "no TLS version");
                else
                        assert_null(f->at_server.err);
                SSL_free(ssl);
                SSL_CTX_free(old);
                again(state);
        }
}

static void a_certificate_that_is_trusted_by_itself_will_do(void **state)
{
        struct fixture *f = *state;

        f->client_options.trust_pem = str_of(f->server.cert_pem);
        given_connection(f);
}

static void new_trust_counts_from_the_next_handshake_on(void **state)
{
        struct fixture *f = *state;

        f->client_options.trust_pem = str_of(f->other_ca.cert_pem);
        given_contexts(f);
        assert_null(tls_context_trust(f->client_context, str_of(f->ca.cert_pem)));
        given_connection(f);
}

static void a_context_may_be_freed_before_its_streams(void **state)
{
        struct fixture *f = *state;

        given_connection(f);
        tls_context_free(f->server_context);
        tls_context_free(f->client_context);
        f->server_context = f->client_context = NULL;
        stream_write(f->at_client.ear.stream, STR("hello"));
        stream_read(f->at_server.ear.stream, true);
        RUN_UNTIL(&f->loop, f->at_server.ear.heard.len == 5);
}

/* ---- refusals ------------------------------------------------------------------------------------------ */

static void an_expired_certificate_is_refused_with_its_date(void **state)
{
        struct fixture *f = *state;

        fake_clock_advance(&f->clock, SECONDS(TEST_LIFE + 1));
        shake_hands(f);
        assert_said(f->at_client.err, ERROR_UNAUTHENTICATED,
                    "the server's certificate expired on 2023-11-14T23:13:20Z; this machine's clock says 2023-11-14T23:13:21Z");
        assert_non_null(strstr(f->at_client.err->hint, "clock"));
        assert_said(f->at_server.err, ERROR_PERMISSION_DENIED, "refused our certificate: it has expired");
}

static void a_certificate_from_the_future_is_refused_with_its_date(void **state)
{
        struct fixture *f = *state;

        fake_clock_advance(&f->clock, SECONDS(-61));
        shake_hands(f);
        assert_said(f->at_client.err, ERROR_UNAUTHENTICATED, "is not valid before 2023-11-14T22:12:20Z");
}

static void an_unknown_authority_is_named(void **state)
{
        struct fixture *f = *state;

        f->client_options.trust_pem = str_of(f->other_ca.cert_pem);
        shake_hands(f);
        assert_said(f->at_client.err, ERROR_UNAUTHENTICATED, "unknown authority, 'CN=the cluster'");
        assert_non_null(strstr(f->at_client.err->hint, "ca_pin"));
        assert_said(f->at_server.err, ERROR_PERMISSION_DENIED, "does not know the authority");
}

static void the_system_does_not_know_our_authority(void **state)
{
        struct fixture *f = *state;

        f->client_options.trust_pem = (struct str){ 0 };
        shake_hands(f);
        assert_said(f->at_client.err, ERROR_UNAUTHENTICATED, "unknown authority");
}

static void insecure_accepts_any_certificate(void **state)
{
        struct fixture *f = *state;

        f->client_options.peer = TLS_PEER_INSECURE;
        f->server_name = NULL;
        fake_clock_advance(&f->clock, HOURS(1000));
        given_connection(f);
        assert_true(str_is_empty(tls_server_name(f->at_server.ear.stream)));
}

static void a_server_refuses_a_client_of_another_cluster(void **state)
{
        struct fixture *f = *state;

        f->server_options.peer = TLS_PEER_OPTIONAL;
        given_contexts(f);
        assert_null(tls_context_add(f->client_context, NULL, identity_of(&f->stranger)));
        shake_hands(f);
        assert_said(f->at_server.err, ERROR_UNAUTHENTICATED, "the client's certificate is signed by an unknown authority");
        /* In TLS 1.3 the client was done before. */
        assert_null(f->at_client.err);
        stream_read(f->at_client.ear.stream, true);
        RUN_UNTIL(&f->loop, f->at_client.ear.ends);
        assert_said(f->at_client.ear.err, ERROR_PERMISSION_DENIED, "the server refused our certificate");
}

static void a_server_that_requires_a_certificate_misses_it(void **state)
{
        struct fixture *f = *state;

        f->server_options.peer = TLS_PEER_REQUIRED;
        shake_hands(f);
        assert_said(f->at_server.err, ERROR_UNAUTHENTICATED, "the client sent no certificate");
        stream_read(f->at_client.ear.stream, true);
        RUN_UNTIL(&f->loop, f->at_client.ear.ends);
        assert_said(f->at_client.ear.err, ERROR_PERMISSION_DENIED, "wants a certificate");
}

static void an_optional_certificate_may_be_missing(void **state)
{
        struct fixture *f = *state;

        f->server_options.peer = TLS_PEER_OPTIONAL;
        given_connection(f);
        assert_true(str_is_empty(tls_peer_cert_der(f->at_server.ear.stream)));
}

static void no_common_application_protocol_is_refused_by_both(void **state)
{
        static const char *const offer[] = { "third", NULL };
        struct fixture *f = *state;

        f->client_options.alpn = offer;
        shake_hands(f);
        assert_said(f->at_server.err, ERROR_FAILED_PRECONDITION, "none of the application protocols");
        assert_said(f->at_client.err, ERROR_FAILED_PRECONDITION, "ALPN");
        assert_non_null(strstr(f->at_client.err->hint, "load balancer"));
}

static void a_server_without_alpn_is_refused_unless_http_will_do(void **state)
{
        static const char *const http[] = { "h2", "http/1.1", NULL };

        for (int is_http = 0; is_http < 2; is_http++) {
                struct fixture *f = *state;

                f->server_options.alpn = NULL;
                if (is_http)
                        f->client_options.alpn = http;
                shake_hands(f);
                if (is_http)
                        assert_true(str_is_empty(tls_alpn(f->at_client.ear.stream)));
                else
                        assert_said(f->at_client.err, ERROR_FAILED_PRECONDITION, "ALPN");
                again(state);
        }
}

static void refuses_to_start_without_what_it_needs(void **state)
{
        static const struct {
                const char *name;
                enum error_code code;
        } rows[] = {
                { NULL, ERROR_INVALID_ARGUMENT }, { "", ERROR_INVALID_ARGUMENT }, { "no name", ERROR_INVALID_ARGUMENT },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct fixture *f = *state;
                struct stream *a, *b;

                given_contexts(f);
                connected_pair(&f->loop, &a, &b);
                f->server_name = rows[i].name;
                start(f, &f->at_client, a);
                RUN_UNTIL(&f->loop, f->at_client.done);
                assert_int_equal(f->at_client.err->code, rows[i].code);
                stream_close(b);
                again(state);
        }
        struct fixture *f = *state;
        struct stream *a, *b;
        assert_null(tls_context_new(f->server_options, &f->server_context));
        connected_pair(&f->loop, &a, &b);
        start(f, &f->at_server, a);
        RUN_UNTIL(&f->loop, f->at_server.done);
        assert_said(f->at_server.err, ERROR_FAILED_PRECONDITION, "no certificate");
        stream_close(b);
}

static void refuses_identities_that_do_not_work(void **state)
{
        struct fixture *f = *state;
        const struct {
                struct tls_identity id;
                const char *says;
        } rows[] = {
                { { str_of(f->server.cert_pem), str_of(f->client.key_pem) }, "does not fit" },
                { { str_of(f->server.cert_pem), STR("") }, "private key cannot be read" },
                { { STR(""), str_of(f->server.key_pem) }, "no certificate" },
                { { STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), str_of(f->server.key_pem) },
                  "cannot be read" },
        };

        given_contexts(f);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct error *err = tls_context_add(f->server_context, NULL, rows[i].id);

                assert_said(err, ERROR_INVALID_ARGUMENT, rows[i].says);
                error_free(err);
        }
        struct error *err = tls_context_trust(f->server_context, STR("rubbish"));
        assert_said(err, ERROR_INVALID_ARGUMENT, "no CA certificate");
        error_free(err);
        given_connection(f); /* what was there still is */
}

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
        assert_said(f->at_client.err, ERROR_UNAVAILABLE, "not TLS: 'HTTP/1.1 400 Bad\\x1b Request'");
}

static void a_request_that_is_not_tls_is_shown(void **state)
{
        struct fixture *f = *state;

        given_raw_peer(f, &f->at_server);
        assert_true(write(f->raw, "GET / HTTP/1.1\r\n\r\n", 18) > 0);
        RUN_UNTIL(&f->loop, f->at_server.done);
        assert_said(f->at_server.err, ERROR_UNAVAILABLE, "it sent 'GET / HTTP/1.1'");
}

static void a_peer_that_hangs_up_says_so(void **state)
{
        struct fixture *f = *state;

        given_raw_peer(f, &f->at_client);
        shutdown(f->raw, SHUT_WR);
        RUN_UNTIL(&f->loop, f->at_client.done);
        assert_said(f->at_client.err, ERROR_UNAVAILABLE, "the server closed the connection during the TLS handshake");
        assert_non_null(strstr(f->at_client.err->hint, "TLS port"));
}

static void a_silent_peer_meets_the_deadline(void **state)
{
        struct fixture *f = *state;

        given_raw_peer(f, &f->at_server);
        run_a_while(&f->loop);
        loop_advance(&f->loop, &f->clock, SECONDS(10));
        RUN_UNTIL(&f->loop, f->at_server.done);
        assert_said(f->at_server.err, ERROR_DEADLINE_EXCEEDED, "within 10000 ms");
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
        assert_said(f->at_client.err, ERROR_CANCELLED, "given up");
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
        assert_int_equal(e->heard.len, len);
        for (size_t i = 0; i < len; i++)
                if (e->heard.ptr[i] != (char)(i * 7 + i / 251))
                        fail_msg("byte %zu is wrong", i);
}

static void bytes_come_through_in_order_whatever_their_number(void **state)
{
        static const size_t sizes[] = { 1, 16383, 16384, 16385, 65536, 65537, 3000000 };

        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                struct fixture *f = *state;

                given_connection(f);
                stream_read(f->at_server.ear.stream, true);
                stream_read(f->at_client.ear.stream, true);
                write_pattern(f->at_client.ear.stream, sizes[i]);
                write_pattern(f->at_server.ear.stream, sizes[i]);
                RUN_UNTIL(&f->loop, f->at_server.ear.heard.len >= sizes[i] && f->at_client.ear.heard.len >= sizes[i]);
                assert_pattern(&f->at_server.ear, sizes[i]);
                assert_pattern(&f->at_client.ear, sizes[i]);
                assert_int_equal(f->at_client.ear.drains, sizes[i] > 1000000);
                again(state);
        }
}

static void what_comes_with_the_last_flight_of_the_handshake_is_not_lost(void **state)
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
                assert_heard(&f->at_server.ear, at_once ? "preface" : "");
                f->at_server.ear.in_call = true;
                stream_read(f->at_server.ear.stream, true);
                f->at_server.ear.in_call = false;
                RUN_UNTIL(&f->loop, f->at_server.ear.heard.len == 7);
                again(state);
        }
}

static void a_paused_stream_holds_back_and_goes_on(void **state)
{
        struct fixture *f = *state;

        given_connection(f);
        f->at_server.ear.pause_on_read = true;
        stream_read(f->at_server.ear.stream, true);
        write_pattern(f->at_client.ear.stream, 1000000);
        stream_shutdown(f->at_client.ear.stream);
        for (size_t before = 1; before != f->at_server.ear.heard.len;) {
                before = f->at_server.ear.heard.len;
                run_a_while(&f->loop);
                assert_in_range(f->at_server.ear.heard.len - before, before == 1000000 ? 0 : 1, LOOP_BUFFER);
                assert_true(f->at_server.ear.ends == 0 || f->at_server.ear.heard.len == 1000000);
                stream_read(f->at_server.ear.stream, true);
                if (f->at_server.ear.heard.len == 1000000)
                        break;
        }
        RUN_UNTIL(&f->loop, f->at_server.ear.ends);
        assert_pattern(&f->at_server.ear, 1000000);
        assert_null(f->at_server.ear.err);
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
        assert_heard(&f->at_server.ear, "question");
        assert_heard(&f->at_client.ear, "answer");
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

/* A server played with plain OpenSSL, so that it can end without saying so. */
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
        assert_heard(&f->at_server.ear, "half");
        assert_said(f->at_server.ear.err, ERROR_UNAVAILABLE, "without ending TLS");
        SSL_free(ssl);
        SSL_CTX_free(ctx);
}

static void a_peer_that_asks_for_key_updates_without_reading_is_cut_off(void **state)
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
        assert_said(f->at_server.ear.err, ERROR_RESOURCE_EXHAUSTED, "key updates");
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

/* ---- faults -------------------------------------------------------------------------------------------- */

/* Carries bytes between two streams, `step` a turn of the loop, until `budget` is used up; then both vanish. */
struct lane {
        struct carrier *carrier;
        struct stream *from, *to;
        struct buf waiting;
        bool is_due;
};

struct carrier {
        struct loop *loop;
        struct lane lanes[2];
        size_t step, budget;
        bool is_cut;
};

static void cut(struct carrier *c)
{
        if (c->is_cut)
                return;
        c->is_cut = true;
        for (int i = 0; i < 2; i++) {
                stream_close(c->lanes[i].from);
                buf_release(&c->lanes[i].waiting);
        }
}

static void carry(void *ctx)
{
        struct lane *lane = ctx;
        struct carrier *c = lane->carrier;
        struct str bytes = str_slice(buf_str(&lane->waiting), 0, c->step < c->budget ? c->step : c->budget);

        lane->is_due = false;
        if (c->is_cut)
                return;
        stream_write(lane->to, bytes);
        c->budget -= bytes.len;
        buf_consume(&lane->waiting, bytes.len);
        if (c->budget == 0) {
                cut(c);
        } else if (lane->waiting.len > 0) {
                lane->is_due = true;
                loop_defer(c->loop, carry, lane);
        }
}

static void on_carrier_read(void *ctx, struct str bytes)
{
        struct lane *lane = ctx;

        buf_put(&lane->waiting, bytes);
        if (!lane->is_due) {
                lane->is_due = true;
                loop_defer(lane->carrier->loop, carry, lane);
        }
}

static void on_carrier_end(void *ctx, struct error *err)
{
        struct lane *lane = ctx;

        error_free(err);
        cut(lane->carrier);
}

static const struct stream_events carrier_events = { .on_read = on_carrier_read, .on_end = on_carrier_end };

static void connect_by_carrier(struct fixture *f, struct carrier *c)
{
        struct stream *server_end, *client_end;

        f->server_options.peer = TLS_PEER_OPTIONAL;
        given_contexts(f);
        assert_null(tls_context_add(f->client_context, NULL, identity_of(&f->client)));
        c->loop = &f->loop;
        connected_pair(&f->loop, &server_end, &c->lanes[0].from);
        connected_pair(&f->loop, &client_end, &c->lanes[1].from);
        for (int i = 0; i < 2; i++) {
                c->lanes[i].carrier = c;
                c->lanes[i].to = c->lanes[!i].from;
                c->lanes[i].waiting.max = 1 * MiB;
                stream_listen(c->lanes[i].from, &carrier_events, &c->lanes[i]);
                stream_read(c->lanes[i].from, true);
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
        RUN_UNTIL(&f->loop, f->at_server.ear.heard.len == 5);
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
                TEST(both_sides_agree_and_know_each_other),
                TEST(the_client_sees_the_whole_chain),
                TEST(the_server_chooses_its_identity_by_name),
                TEST(a_name_is_checked_against_the_certificate),
                TEST(the_servers_order_of_protocols_decides),
                TEST(internal_contexts_speak_tls_1_3_and_others_1_2_too),
                TEST(a_certificate_that_is_trusted_by_itself_will_do),
                TEST(new_trust_counts_from_the_next_handshake_on),
                TEST(a_context_may_be_freed_before_its_streams),
                TEST(an_expired_certificate_is_refused_with_its_date),
                TEST(a_certificate_from_the_future_is_refused_with_its_date),
                TEST(an_unknown_authority_is_named),
                TEST(the_system_does_not_know_our_authority),
                TEST(insecure_accepts_any_certificate),
                TEST(a_server_refuses_a_client_of_another_cluster),
                TEST(a_server_that_requires_a_certificate_misses_it),
                TEST(an_optional_certificate_may_be_missing),
                TEST(no_common_application_protocol_is_refused_by_both),
                TEST(a_server_without_alpn_is_refused_unless_http_will_do),
                TEST(refuses_to_start_without_what_it_needs),
                TEST(refuses_identities_that_do_not_work),
                TEST(an_answer_that_is_not_tls_is_shown),
                TEST(a_request_that_is_not_tls_is_shown),
                TEST(a_peer_that_hangs_up_says_so),
                TEST(a_silent_peer_meets_the_deadline),
                TEST(a_cancelled_handshake_reports_once_from_the_loop),
                TEST(bytes_come_through_in_order_whatever_their_number),
                TEST(what_comes_with_the_last_flight_of_the_handshake_is_not_lost),
                TEST(a_paused_stream_holds_back_and_goes_on),
                TEST(one_direction_may_end_before_the_other),
                TEST(a_stream_may_be_closed_inside_its_own_callbacks),
                TEST(an_end_without_close_notify_is_an_error),
                TEST(a_peer_that_asks_for_key_updates_without_reading_is_cut_off),
                TEST(tls_stacks_on_tls),
                TEST(a_handshake_survives_bytes_that_come_one_by_one),
                TEST(a_peer_that_vanishes_at_any_moment_costs_one_error),
        };

        return cmocka_run_group_tests(tests, make_all, release_all);
}
