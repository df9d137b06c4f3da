/* SPDX-License-Identifier: Apache-2.0 */
/* TLS handshakes at names of applications without a certificate, through the listener. */
#include "proxy/apps/app_acme.h"

#include "base/log.h"
#include "net/made_cert_testing.h"
#include "net/socket.h"
#include "pki/cert_check.h"
#include "proxy/acme_link.h"
#include "proxy/listener_testing.h"
#include "rpc/link.h"
#include "rpc/pb.h"

struct acme_stage {
        struct link *client;
        size_t wanted; /* names that the ACME client got */
};

static struct error *on_acme_issued(void *ctx UNUSED, const Cteleport__Internal__V1__HttpsKeyPair *pair UNUSED)
{
        return NULL;
}

static void on_acme_asked(void *ctx, bool is_first)
{
        app_acme_asked(((struct stage *)ctx)->proxy.app_acme, is_first);
}

static struct error *on_acme_app(void *ctx, const Cteleport__Internal__V1__AcmeApp *app)
{
        return app_acme_take(((struct stage *)ctx)->proxy.app_acme, app);
}

static void on_acme_lost(void *ctx UNUSED)
{
}

static void on_acme_wanted(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct acme_stage *a = ctx;

        error_free(err);
        if (answer != NULL)
                a->wanted += ((const Cteleport__Internal__V1__AcmeWanted *)answer)->n_names;
}

static const char *const browser[] = { "h2", "http/1.1", NULL };

/* A handshake at the name of an application waits for the ACME client. */
static void given_waiting_handshake(struct stage *s, struct acme_stage *a)
{
        const Cteleport__Internal__V1__AcmeWantedRequest msg = CTELEPORT__INTERNAL__V1__ACME_WANTED_REQUEST__INIT;
        static char wiki[] = "wiki";
        char *names[] = { wiki };
        Cteleport__V1__AppAddresses sent = CTELEPORT__V1__APP_ADDRESSES__INIT;
        int here, there;

        name_proxy(s);
        sent.names = names;
        sent.n_names = 1;
        app_addresses_set(&s->proxy.app_addresses, &sent);
        must(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_NONE, .alpn = browser }, &s->proxy.tls_apps));
        s->proxy.app_acme = app_acme_new(&s->proxy);
        s->proxy.acme = acme_link_new(&s->proxy.loop, (struct acme_link_events){ .issued = on_acme_issued, .asked = on_acme_asked, .app = on_acme_app, .ctx = s });
        must(socket_pair(&here, &there));
        acme_link_use(s->proxy.acme, here);
        a->client = link_new(&s->proxy.loop, there, on_acme_lost, a);
        link_request(a->client, CTELEPORT__INTERNAL__V1__ACME_VERB__ACME_WANTED, &msg.base, &cteleport__internal__v1__acme_wanted__descriptor, HOURS(1), on_acme_wanted, a);
        RUN_UNTIL(s, acme_link_is_asked(s->proxy.acme));
        open_connection(s, browser, "wiki.proxy.example.com");
        RUN_UNTIL(s, a->wanted == 1);
        assert_non_null(s->handshake);
}

static void forget_acme(struct stage *s, struct acme_stage *a)
{
        forget_sessions(s);
        link_close(a->client);
        acme_link_free(s->proxy.acme);
        s->proxy.acme = NULL;
        app_acme_free(s->proxy.app_acme);
        s->proxy.app_acme = NULL;
        app_addresses_release(&s->proxy.app_addresses);
        tls_context_free(s->proxy.tls_apps);
}

static void a_handshake_at_an_application_waits_for_its_certificate(void **state)
{
        struct made_cert made = make_cert_at("wiki", "DNS:wiki.proxy.example.com", NULL, 1700000000, 4000000000);
        Cteleport__Internal__V1__HttpsKeyPair pair = CTELEPORT__INTERNAL__V1__HTTPS_KEY_PAIR__INIT;
        Cteleport__Internal__V1__AcmeApp msg = CTELEPORT__INTERNAL__V1__ACME_APP__INIT;
        struct acme_stage a = { 0 };
        struct stage *s = *state;

        given_waiting_handshake(s, &a);
        pair.cert_pem = pb_bytes(str_of(made.cert_pem));
        pair.key_pem = pb_bytes(str_of(made.key_pem));
        msg.name = pb_text("wiki.proxy.example.com");
        msg.pair = &pair;
        msg.renew_at = msg.not_after = 4000000000;
        must(app_acme_take(s->proxy.app_acme, &msg));
        made_cert_release(&made);
        RUN_UNTIL(s, s->handshake == NULL);
        assert_false(s->has_failed);
        assert_true(cert_is_for_host(tls_peer_cert_der(s->client), STR("wiki.proxy.example.com")));
        forget_acme(s, &a);
}

static void draining_ends_a_handshake_that_waits_for_a_certificate(void **state)
{
        struct acme_stage a = { 0 };
        struct stage *s = *state;

        given_waiting_handshake(s, &a);
        proxy_listener_drain(s->proxy.listener);
        RUN_UNTIL(s, s->handshake == NULL);
        assert_true(s->has_failed);
        forget_acme(s, &a);
}

int main(void)
{
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        const struct CMUnitTest tests[] = {
                TEST(a_handshake_at_an_application_waits_for_its_certificate),
                TEST(draining_ends_a_handshake_that_waits_for_a_certificate),
        };

        return cmocka_run_group_tests_name("app_handshake", tests, NULL, NULL);
}
