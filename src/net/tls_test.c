/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handshakes between contexts: the agreed parameters, and the reasons of refusals.
 */
#include "net/tls_testing.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/tls_internal.h"

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

static void data_of_a_forgotten_peer_is_still_received(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *chain = mem_printf("%s%s", f->client.cert_pem, f->ca.cert_pem);

        f->server_options.peer = TLS_PEER_REQUIRED;
        given_contexts(f);
        assert_null(tls_context_add(f->client_context, NULL,
                                    (struct tls_identity){ str_of(chain), str_of(f->client.key_pem) }));
        given_connection(f);
        struct stream *s = f->at_server.ear.stream, *c = f->at_client.ear.stream;
        assert_false(str_is_empty(tls_peer_chain_der(s, 1)));
        for (int i = 0; i < 2; i++) {
                tls_forget_peer(s);
                assert_true(str_is_empty(tls_peer_cert_der(s)));
                assert_true(str_is_empty(tls_peer_chain_der(s, 1)));
        }
        /* The session object of OpenSSL is not changed. */
        X509 *held = SSL_get0_peer_certificate(CONTAINER_OF((uintptr_t)s, struct tls_stream, stream)->ssl);
        assert_true(X509_get_ext_count(held) > 0);
        assert_int_not_equal(EVP_PKEY_get_base_id(X509_get0_pubkey(held)), EVP_PKEY_ED25519);
        stream_read(s, true);
        stream_read(c, true);
        stream_write(c, STR("still me"));
        stream_write(s, STR("still you"));
        RUN_UNTIL(&f->loop, f->at_server.ear.received.len == 8 && f->at_client.ear.received.len == 9);
        stream_shutdown(c);
        RUN_UNTIL(&f->loop, f->at_server.ear.ends == 1);
        assert_null(f->at_server.ear.err);
}

static void the_server_chooses_its_identity_by_name(void **state)
{
        static const struct {
                const char *requested, *served;
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
                f->server_name = rows[i].requested;
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
                        assert_sent(f->at_client.err, ERROR_UNAUTHENTICATED, "proxy.example.com, *.apps.example.com, 10.0.0.1");
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

static void both_ends_have_the_binding_of_their_connection_only(void **state)
{
        uint8_t at_client[2][TLS_CHANNEL_BINDING_SIZE], at_server[2][TLS_CHANNEL_BINDING_SIZE];

        for (int i = 0; i < 2; i++) {
                struct fixture *f = *state;

                given_contexts(f);
                given_connection(f);
                assert_true(tls_channel_binding(f->at_client.ear.stream, at_client[i]));
                assert_true(tls_channel_binding(f->at_server.ear.stream, at_server[i]));
                assert_memory_equal(at_client[i], at_server[i], TLS_CHANNEL_BINDING_SIZE);
                again(state);
        }
        assert_memory_not_equal(at_client[0], at_client[1], TLS_CHANNEL_BINDING_SIZE);
}

/* Its secrets do not depend on the whole handshake, so a man in the middle could give two connections the same ones. */
static void tls_1_2_without_extended_master_secret_has_no_binding(void **state)
{
        for (int is_extended = 0; is_extended < 2; is_extended++) {
                struct fixture *f = *state;
                SSL_CTX *old = SSL_CTX_new(TLS_client_method());
                uint8_t binding[TLS_CHANNEL_BINDING_SIZE];
                int ours;

                given_contexts(f);
                assert_null(socket_pair(&ours, &f->raw));
                start(f, &f->at_server, socket_stream(&f->loop, ours));
                SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
                if (!is_extended)
                        SSL_CTX_set_options(old, SSL_OP_NO_EXTENDED_MASTER_SECRET);
                SSL *ssl = SSL_new(old);
                SSL_set_fd(ssl, f->raw);
                assert_int_equal(fcntl(f->raw, F_SETFL, O_NONBLOCK), 0);
                SSL_set_connect_state(ssl);
                RUN_UNTIL(&f->loop, (SSL_do_handshake(ssl), f->at_server.done));
                assert_null(f->at_server.err);
                assert_int_equal(tls_channel_binding(f->at_server.ear.stream, binding), is_extended);
                SSL_free(ssl);
                SSL_CTX_free(old);
                again(state);
        }
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
                        assert_sent(f->at_server.err, ERROR_FAILED_PRECONDITION, "no TLS version");
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
        RUN_UNTIL(&f->loop, f->at_server.ear.received.len == 5);
}

/* ---- refusals ------------------------------------------------------------------------------------------ */

static void an_expired_certificate_is_refused_with_its_date(void **state)
{
        struct fixture *f = *state;

        fake_clock_advance(&f->clock, SECONDS(TEST_LIFE + 1));
        shake_hands(f);
        assert_sent(f->at_client.err, ERROR_UNAUTHENTICATED,
                    "the server's certificate expired on 2023-11-14T23:13:20Z");
        assert_null(strstr(f->at_client.err->what, "23:13:21")); /* a lasting failure has one message */
        assert_non_null(strstr(f->at_client.err->hint, "the clock of this machine says 2023-11-14T23:13:21Z"));
        assert_sent(f->at_server.err, ERROR_PERMISSION_DENIED, "refused our certificate: it has expired");
}

static void a_certificate_from_the_future_is_refused_with_its_date(void **state)
{
        struct fixture *f = *state;

        fake_clock_advance(&f->clock, SECONDS(-61));
        shake_hands(f);
        assert_sent(f->at_client.err, ERROR_UNAUTHENTICATED, "is not valid before 2023-11-14T22:12:20Z");
        assert_non_null(strstr(f->at_client.err->hint, "chrony"));
        assert_null(strstr(f->at_client.err->hint, "renew"));
}

static void an_unknown_authority_is_named(void **state)
{
        struct fixture *f = *state;

        f->client_options.trust_pem = str_of(f->other_ca.cert_pem);
        shake_hands(f);
        assert_sent(f->at_client.err, ERROR_UNAUTHENTICATED, "unknown authority, 'CN=the cluster'");
        assert_non_null(strstr(f->at_client.err->hint, "ca_pin"));
        assert_sent(f->at_server.err, ERROR_PERMISSION_DENIED, "does not know the authority");
}

static void the_system_does_not_know_our_authority(void **state)
{
        struct fixture *f = *state;

        f->client_options.trust_pem = (struct str){ 0 };
        shake_hands(f);
        assert_sent(f->at_client.err, ERROR_UNAUTHENTICATED, "unknown authority");
}

static void an_unreadable_root_takes_no_other_away(void **state)
{
        static const char broken[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        struct fixture *f = *state;
        AUTO_MEM char *roots = mem_printf("%s%s%s%s", broken, f->other_ca.cert_pem, broken, f->ca.cert_pem);

        f->client_options.trust_pem = (struct str){ 0 };
        f->client_options.roots_pem = str_of(roots);
        given_connection(f);
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
        assert_null(tls_context_add(f->client_context, NULL, identity_of(&f->unauthenticated)));
        shake_hands(f);
        assert_sent(f->at_server.err, ERROR_UNAUTHENTICATED, "the client's certificate is signed by an unknown authority");
        /* In TLS 1.3 the client was done before. */
        assert_null(f->at_client.err);
        stream_read(f->at_client.ear.stream, true);
        RUN_UNTIL(&f->loop, f->at_client.ear.ends);
        assert_sent(f->at_client.ear.err, ERROR_PERMISSION_DENIED, "the server refused our certificate");
}

static void a_server_that_requires_a_certificate_misses_it(void **state)
{
        struct fixture *f = *state;

        f->server_options.peer = TLS_PEER_REQUIRED;
        shake_hands(f);
        assert_sent(f->at_server.err, ERROR_UNAUTHENTICATED, "the client sent no certificate");
        stream_read(f->at_client.ear.stream, true);
        RUN_UNTIL(&f->loop, f->at_client.ear.ends);
        assert_sent(f->at_client.ear.err, ERROR_PERMISSION_DENIED, "wants a certificate");
}

static void an_optional_certificate_may_be_missing(void **state)
{
        struct fixture *f = *state;

        f->server_options.peer = TLS_PEER_OPTIONAL;
        given_connection(f);
        assert_true(str_is_empty(tls_peer_cert_der(f->at_server.ear.stream)));
}

static void an_unverified_certificate_reaches_the_caller(void **state)
{
        struct fixture *f = *state;

        f->server_options.peer = TLS_PEER_UNVERIFIED;
        given_contexts(f);
        assert_null(tls_context_add(f->client_context, NULL, identity_of(&f->unauthenticated)));
        given_connection(f);
        assert_false(str_is_empty(tls_peer_cert_der(f->at_server.ear.stream)));
        assert_true(tls_hides_certificates(f->at_server.ear.stream));
}

static void no_common_application_protocol_is_refused_by_both(void **state)
{
        static const char *const offer[] = { "third", NULL };
        struct fixture *f = *state;

        f->client_options.alpn = offer;
        shake_hands(f);
        assert_sent(f->at_server.err, ERROR_FAILED_PRECONDITION, "none of the application protocols");
        assert_sent(f->at_client.err, ERROR_FAILED_PRECONDITION, "ALPN");
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
                        assert_sent(f->at_client.err, ERROR_FAILED_PRECONDITION, "ALPN");
                again(state);
        }
}

static void refuses_to_start_without_required_settings(void **state)
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
        assert_sent(f->at_server.err, ERROR_FAILED_PRECONDITION, "no certificate");
        stream_close(b);
}

static void refuses_identities_that_do_not_work(void **state)
{
        struct fixture *f = *state;
        const struct {
                struct tls_identity id;
                const char *sends;
        } rows[] = {
                { { str_of(f->server.cert_pem), str_of(f->client.key_pem) }, "are not a pair" },
                { { str_of(f->server.cert_pem), STR("") }, "private key cannot be read" },
                { { str_of(f->server.cert_pem), str_of(f->server.cert_pem) }, "the file holds a certificate" },
                { { STR(""), str_of(f->server.key_pem) }, "no certificate" },
                { { STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), str_of(f->server.key_pem) },
                  "cannot be read" },
        };

        given_contexts(f);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct error *err = tls_context_add(f->server_context, NULL, rows[i].id);

                assert_sent(err, ERROR_INVALID_ARGUMENT, rows[i].sends);
                assert_int_equal(ERR_peek_error(), 0); /* it would be taken for an error of a connection */
                error_free(err);
        }
        struct error *err = tls_context_trust(f->server_context, STR("garbage"));
        assert_sent(err, ERROR_INVALID_ARGUMENT, "no CA certificate");
        error_free(err);
        given_connection(f); /* the earlier certificates are still trusted */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(both_sides_agree_and_know_each_other),
                TEST(the_client_sees_the_whole_chain),
                TEST(data_of_a_forgotten_peer_is_still_received),
                TEST(the_server_chooses_its_identity_by_name),
                TEST(a_name_is_checked_against_the_certificate),
                TEST(the_servers_order_of_protocols_decides),
                TEST(both_ends_have_the_binding_of_their_connection_only),
                TEST(tls_1_2_without_extended_master_secret_has_no_binding),
                TEST(internal_contexts_speak_tls_1_3_and_others_1_2_too),
                TEST(a_certificate_that_is_trusted_by_itself_will_do),
                TEST(new_trust_counts_from_the_next_handshake_on),
                TEST(a_context_may_be_freed_before_its_streams),
                TEST(an_expired_certificate_is_refused_with_its_date),
                TEST(a_certificate_from_the_future_is_refused_with_its_date),
                TEST(an_unknown_authority_is_named),
                TEST(the_system_does_not_know_our_authority),
                TEST(an_unreadable_root_takes_no_other_away),
                TEST(insecure_accepts_any_certificate),
                TEST(a_server_refuses_a_client_of_another_cluster),
                TEST(a_server_that_requires_a_certificate_misses_it),
                TEST(an_optional_certificate_may_be_missing),
                TEST(an_unverified_certificate_reaches_the_caller),
                TEST(no_common_application_protocol_is_refused_by_both),
                TEST(a_server_without_alpn_is_refused_unless_http_will_do),
                TEST(refuses_to_start_without_required_settings),
                TEST(refuses_identities_that_do_not_work),
        };

        return cmocka_run_group_tests(tests, make_all, release_all);
}
