/* SPDX-License-Identifier: Apache-2.0 */
/* Names of applications that clients want, and handshakes that wait for their certificates. */
#include "proxy/apps/app_acme.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error_testing.h"
#include "base/limits.h"
#include "net/made_cert_testing.h"
#include "net/socket.h"
#include "proxy/acme_link.h"
#include "proxy/proxy.h"
#include "rpc/link.h"
#include "rpc/pb.h"

enum { NOW = 1800000000, DAY = 24 * 3600 };

struct stage {
        struct proxy proxy;
        struct fake_clock clock;
        Cteleport__Internal__V1__Boot boot;
        Cteleport__V1__Config config;
        Cteleport__V1__ProxyConfig section;
        char *public_addrs[2];
        struct link *client; /* as the ACME client has it */
        char *wanted[2 * ACME_WANTED_MAX]; /* names that were reported to it, in the order of arrival */
        size_t wanted_count;
        struct app_acme_wait waits[LIMIT_ACME_APP_WAITS + 1];
        int over; /* handshakes that went on */
};

static void on_lost(void *ctx)
{
        (void)ctx;
}

static void on_asked(void *ctx, bool is_first)
{
        app_acme_asked(((struct stage *)ctx)->proxy.app_acme, is_first);
}

static struct error *on_app(void *ctx, const Cteleport__Internal__V1__AcmeApp *app)
{
        return app_acme_take(((struct stage *)ctx)->proxy.app_acme, app);
}

static struct error *on_issued(void *ctx, const Cteleport__Internal__V1__HttpsKeyPair *pair)
{
        (void)ctx;
        (void)pair;
        return NULL;
}

static void run(struct stage *s)
{
        for (int i = 0; i < 20; i++)
                uv_run(&s->proxy.loop.uv, UV_RUN_NOWAIT);
}

static void pass(struct stage *s, int64_t seconds)
{
        loop_advance(&s->proxy.loop, &s->clock, SECONDS(seconds));
        run(s);
}

static void start_client(struct stage *s)
{
        int here, there;

        link_close(s->client);
        assert_null(socket_pair(&here, &there));
        acme_link_use(s->proxy.acme, here);
        s->client = link_new(&s->proxy.loop, there, on_lost, s);
}

static void offer(struct stage *s, char **names, size_t count)
{
        Cteleport__V1__AppAddress row = CTELEPORT__V1__APP_ADDRESS__INIT, *rows[] = { &row };
        Cteleport__V1__AppAddresses sent = CTELEPORT__V1__APP_ADDRESSES__INIT;

        row.addr = pb_text("pages.example.org");
        row.app = pb_text("wiki");
        sent.addresses = rows;
        sent.n_addresses = 1;
        sent.names = names;
        sent.n_names = count;
        app_addresses_set(&s->proxy.app_addresses, &sent);
}

static int set_up(void **state)
{
        char *names[] = { pb_text("wiki"), pb_text("mail") };
        struct stage *s = NEW(struct stage);

        fake_clock_init(&s->clock, NOW);
        assert_null(loop_init(&s->proxy.loop, &s->clock.clock));
        cteleport__internal__v1__boot__init(&s->boot);
        cteleport__v1__config__init(&s->config);
        cteleport__v1__proxy_config__init(&s->section);
        s->public_addrs[0] = pb_text("proxy.example.com:443");
        s->public_addrs[1] = pb_text("other.example.net");
        s->section.public_addr = s->public_addrs;
        s->section.n_public_addr = 2;
        s->config.proxy_service = &s->section;
        s->boot.config = &s->config;
        s->proxy.boot = &s->boot;
        assert_null(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_NONE }, &s->proxy.tls_apps));
        offer(s, names, ARRAY_LEN(names));
        s->proxy.app_acme = app_acme_new(&s->proxy);
        s->proxy.acme = acme_link_new(&s->proxy.loop, (struct acme_link_events){ .issued = on_issued, .asked = on_asked, .app = on_app, .ctx = s });
        start_client(s);
        *state = s;
        return 0;
}

static int tear_down(void **state)
{
        struct stage *s = *state;

        for (size_t i = 0; i < ARRAY_LEN(s->waits); i++)
                app_acme_leave(&s->waits[i]);
        for (size_t i = 0; i < s->wanted_count; i++)
                free(s->wanted[i]);
        link_close(s->client);
        acme_link_free(s->proxy.acme);
        app_acme_free(s->proxy.app_acme);
        app_addresses_release(&s->proxy.app_addresses);
        tls_context_free(s->proxy.tls_apps);
        run(s);
        loop_release(&s->proxy.loop);
        free(s);
        return 0;
}

/* ---- the ACME client ---- */

static void on_wanted(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        const Cteleport__Internal__V1__AcmeWanted *wanted = (const Cteleport__Internal__V1__AcmeWanted *)answer;
        struct stage *s = ctx;

        error_free(err);
        for (size_t i = 0; wanted != NULL && i < wanted->n_names; i++)
                s->wanted[s->wanted_count++] = str_dup(str_of(wanted->names[i]));
}

static void ask(struct stage *s)
{
        const Cteleport__Internal__V1__AcmeWantedRequest msg = CTELEPORT__INTERNAL__V1__ACME_WANTED_REQUEST__INIT;

        link_request(s->client, CTELEPORT__INTERNAL__V1__ACME_VERB__ACME_WANTED, &msg.base, &cteleport__internal__v1__acme_wanted__descriptor, HOURS(10000), on_wanted, s);
        run(s);
}

/* The names that were wanted since the last call, as one text. */
static const char *reported(struct stage *s)
{
        static char text[1024];

        text[0] = '\0';
        run(s);
        for (size_t i = 0; i < s->wanted_count; i++) {
                snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i == 0 ? "" : " ", s->wanted[i]);
                free(s->wanted[i]);
        }
        s->wanted_count = 0;
        return text;
}

static struct error *give(struct stage *s, const char *name, int64_t renew_at, int64_t not_after)
{
        AUTO_MEM char *alt = mem_printf("DNS:%s", name);
        struct made_cert made = make_cert_at("app", alt, NULL, NOW, not_after);
        Cteleport__Internal__V1__HttpsKeyPair pair = CTELEPORT__INTERNAL__V1__HTTPS_KEY_PAIR__INIT;
        Cteleport__Internal__V1__AcmeApp msg = CTELEPORT__INTERNAL__V1__ACME_APP__INIT;

        pair.cert_pem = pb_bytes(str_of(made.cert_pem));
        pair.key_pem = pb_bytes(str_of(made.key_pem));
        msg.name = pb_text(name);
        msg.pair = &pair;
        msg.renew_at = renew_at;
        msg.not_after = not_after;
        struct error *err = app_acme_take(s->proxy.app_acme, &msg);
        made_cert_release(&made);
        return err;
}

static void refuse(struct stage *s, const char *name, uint32_t pause)
{
        Cteleport__Internal__V1__AcmeApp msg = CTELEPORT__INTERNAL__V1__ACME_APP__INIT;

        msg.name = pb_text(name);
        msg.pause_seconds = pause;
        assert_done(app_acme_take(s->proxy.app_acme, &msg));
}

/* ---- clients ---- */

static void on_over(void *ctx)
{
        ((struct stage *)ctx)->over++;
}

/* Whether the handshake of a client waits. */
static bool waits(struct stage *s, const char *name)
{
        size_t i = 0;

        while (s->waits[i].of != NULL)
                i++;
        s->waits[i] = (struct app_acme_wait){ .over = on_over, .ctx = s };
        return app_acme_wait(s->proxy.app_acme, str_of(name), &s->waits[i]);
}

/* ---- tests ---- */

static void only_names_of_offered_applications_are_wanted(void **state)
{
        static const char *const refused[] = {
                "proxy.example.com", "other.example.net", "none.proxy.example.com", "x.wiki.proxy.example.com", "wiki.example.com", "wiki", "", "*.proxy.example.com",
                "wiki.proxy.example.com.", "pages.example.org.evil.com", "example.org", "10.0.0.1", "xn--wki-3ja.proxy.example.com", "wiki.proxy.example.com:443",
        };
        struct stage *s = *state;
        char longest[300];

        ask(s);
        for (size_t i = 0; i < ARRAY_LEN(refused); i++)
                if (waits(s, refused[i]))
                        fail_msg("'%s'", refused[i]);
        memset(longest, 'a', sizeof longest - 1);
        longest[sizeof longest - 1] = '\0';
        assert_false(waits(s, longest));
        assert_string_equal(reported(s), "");
        assert_true(waits(s, "wiki.proxy.example.com"));
        ask(s);
        assert_true(waits(s, "MAIL.Other.example.NET"));
        ask(s);
        assert_true(waits(s, "pages.example.org"));
        assert_string_equal(reported(s), "wiki.proxy.example.com mail.other.example.net pages.example.org");
        assert_int_equal(s->over, 0);
        offer(s, NULL, 0); /* the hosts are gone */
        assert_false(waits(s, "pages.example.org"));
        assert_false(waits(s, "wiki.other.example.net"));
}

static void handshakes_go_on_with_the_certificate(void **state)
{
        struct stage *s = *state;

        ask(s);
        assert_true(waits(s, "wiki.proxy.example.com"));
        assert_true(waits(s, "wiki.proxy.example.com"));
        assert_string_equal(reported(s), "wiki.proxy.example.com"); /* once */
        assert_done(give(s, "wiki.proxy.example.com", NOW + 60 * DAY, NOW + 90 * DAY));
        assert_int_equal(s->over, 2);
        assert_false(waits(s, "wiki.proxy.example.com"));
        ask(s);
        assert_string_equal(reported(s), "");
        pass(s, TIMEOUT_ACME_APP_WAIT / 1000 + 1);
        assert_int_equal(s->over, 2); /* each once */
}

static void handshakes_go_on_without_one_after_a_while(void **state)
{
        struct stage *s = *state;

        ask(s);
        assert_true(waits(s, "wiki.proxy.example.com"));
        pass(s, TIMEOUT_ACME_APP_WAIT / 1000 + 1);
        assert_int_equal(s->over, 1);
        assert_true(waits(s, "wiki.proxy.example.com"));
        refuse(s, "wiki.proxy.example.com", 300);
        assert_int_equal(s->over, 2);
        assert_false(waits(s, "wiki.proxy.example.com"));
        assert_true(waits(s, "mail.proxy.example.com")); /* another name waits for its own */
        pass(s, 301);
        assert_string_equal(reported(s), "wiki.proxy.example.com");
        ask(s);
        assert_string_equal(reported(s), "mail.proxy.example.com");
        ask(s);
        assert_true(waits(s, "wiki.proxy.example.com"));
        assert_string_equal(reported(s), "wiki.proxy.example.com");
}

static void a_certificate_is_shown_while_it_is_renewed(void **state)
{
        struct stage *s = *state;

        ask(s);
        assert_done(give(s, "wiki.proxy.example.com", NOW + 60 * DAY, NOW + 90 * DAY));
        pass(s, 61 * DAY);
        assert_false(waits(s, "wiki.proxy.example.com"));
        assert_string_equal(reported(s), "wiki.proxy.example.com");
        refuse(s, "wiki.proxy.example.com", 3600);
        ask(s);
        assert_false(waits(s, "wiki.proxy.example.com"));
        assert_string_equal(reported(s), "");
        pass(s, 30 * DAY); /* it has expired */
        ask(s);
        assert_true(waits(s, "wiki.proxy.example.com"));
        assert_string_equal(reported(s), "wiki.proxy.example.com");
}

static void names_are_reported_again_to_a_new_client(void **state)
{
        struct stage *s = *state;

        assert_false(waits(s, "wiki.proxy.example.com")); /* nobody answers yet */
        ask(s);
        assert_true(waits(s, "wiki.proxy.example.com"));
        assert_string_equal(reported(s), "wiki.proxy.example.com");
        start_client(s);
        assert_true(waits(s, "mail.proxy.example.com"));
        ask(s);
        assert_int_equal(s->wanted_count, 2);
        reported(s);
        ask(s);
        assert_string_equal(reported(s), "");
}

static void the_number_of_handshakes_that_wait_is_bounded(void **state)
{
        struct stage *s = *state;

        ask(s);
        for (int i = 0; i < LIMIT_ACME_APP_WAITS; i++)
                assert_true(waits(s, "wiki.proxy.example.com"));
        assert_false(waits(s, "wiki.proxy.example.com"));
        app_acme_leave(&s->waits[7]); /* a client has gone */
        assert_true(waits(s, "wiki.proxy.example.com"));
}

static void the_number_of_names_is_bounded(void **state)
{
        enum { MANY = LIMIT_ACME_APP_NAMES + 100 };
        struct stage *s = *state;
        char *names[MANY], name[64];
        int known = 0;

        for (int i = 0; i < MANY; i++)
                names[i] = mem_printf("app-%d", i);
        offer(s, names, MANY);
        ask(s);
        for (int i = 0; i < MANY; i++, reported(s), ask(s)) {
                snprintf(name, sizeof name, "app-%d.proxy.example.com", i);
                if (!waits(s, name))
                        continue;
                known++;
                refuse(s, name, 3600);
        }
        assert_int_equal(known, LIMIT_ACME_APP_NAMES);
        pass(s, 3601);
        assert_true(waits(s, "app-599.proxy.example.com"));
        for (int i = 0; i < MANY; i++)
                free(names[i]);
}

static void refuses_pairs_that_cannot_be_shown(void **state)
{
        struct stage *s = *state;
        Cteleport__Internal__V1__HttpsKeyPair pair = CTELEPORT__INTERNAL__V1__HTTPS_KEY_PAIR__INIT;
        Cteleport__Internal__V1__AcmeApp msg = CTELEPORT__INTERNAL__V1__ACME_APP__INIT;

        ask(s);
        assert_true(waits(s, "wiki.proxy.example.com"));
        pair.cert_pem = pair.key_pem = pb_bytes(STR("-----BEGIN"));
        msg.pair = &pair;
        msg.name = pb_text("wiki.proxy.example.com");
        assert_failed(app_acme_take(s->proxy.app_acme, &msg));
        assert_int_equal(s->over, 1);
        msg.name = pb_text("a b");
        assert_failed(app_acme_take(s->proxy.app_acme, &msg));
}

static void an_expired_certificate_is_dropped(void **state)
{
        Cteleport__Internal__V1__AcmeApp gone = CTELEPORT__INTERNAL__V1__ACME_APP__INIT;
        AUTO_PTR(tls_context) made = NULL;
        struct stage *s = *state;

        ask(s);
        assert_done(give(s, "wiki.proxy.example.com", NOW + 60 * DAY, NOW + 90 * DAY));
        assert_null(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_NONE }, &made));
        assert_done(app_acme_show(s->proxy.app_acme, made));
        assert_done(app_acme_show(NULL, made));
        gone.name = pb_text("wiki.proxy.example.com");
        gone.is_gone = true;
        assert_done(app_acme_take(s->proxy.app_acme, &gone));
        assert_true(waits(s, "wiki.proxy.example.com"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(only_names_of_offered_applications_are_wanted),
                TEST(handshakes_go_on_with_the_certificate),
                TEST(handshakes_go_on_without_one_after_a_while),
                TEST(a_certificate_is_shown_while_it_is_renewed),
                TEST(names_are_reported_again_to_a_new_client),
                TEST(the_number_of_handshakes_that_wait_is_bounded),
                TEST(the_number_of_names_is_bounded),
                TEST(refuses_pairs_that_cannot_be_shown),
                TEST(an_expired_certificate_is_dropped),
        };

        return cmocka_run_group_tests_name("app_acme", tests, NULL, NULL);
}
