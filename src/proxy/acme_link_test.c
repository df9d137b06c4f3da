/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/acme_link.h"

#include <stdlib.h>

#include "base/error_testing.h"
#include "net/made_cert_testing.h"
#include "net/socket.h"
#include "loop/loop.h"
#include "rpc/link.h"
#include "rpc/pb.h"

enum { NOW = 1800000000 };

struct fixture {
        struct loop loop;
        struct acme_link *served;
        struct link *client; /* as the ACME client has it */
        struct made_cert made;
        bool is_answered, is_refused; /* events.issued refuses */
        struct error *err; /* of the answer */
        unsigned issued, none_issued;
        size_t key_len; /* of the issued pair */
        unsigned asked, first; /* for names */
        bool app_seen;
        size_t names; /* in answers */
};

static struct error *on_issued(void *ctx, const Cteleport__Internal__V1__HttpsKeyPair *pair)
{
        struct fixture *f = ctx;

        if (pair == NULL) {
                f->none_issued++;
                return NULL;
        }
        f->issued++;
        f->key_len = pair->key_pem.len;
        return f->is_refused ? error_new(ERROR_INVALID_ARGUMENT, "not this one") : NULL;
}

static void on_asked(void *ctx, bool is_first)
{
        struct fixture *f = ctx;

        f->asked++;
        f->first += is_first;
}

static struct error *on_app(void *ctx, const Cteleport__Internal__V1__AcmeApp *app)
{
        struct fixture *f = ctx;

        f->app_seen = strcmp(app->name, "wiki.example.com") == 0 && app->pause_seconds == 60;
        return f->app_seen ? NULL : error_new(ERROR_INVALID_ARGUMENT, "another name");
}

static void on_lost(void *ctx)
{
        (void)ctx;
}

static void link_again(struct fixture *f)
{
        int here, there;

        link_close(f->client);
        assert_null(socket_pair(&here, &there));
        acme_link_use(f->served, here);
        f->client = link_new(&f->loop, there, on_lost, f);
}

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        assert_null(loop_init(&f->loop, NULL));
        f->made = make_cert_at("challenge", "DNS:a.example.com", NULL, NOW, NOW + 100);
        f->served = acme_link_new(&f->loop, (struct acme_link_events){ .issued = on_issued, .asked = on_asked, .app = on_app, .ctx = f });
        link_again(f);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        link_close(f->client);
        acme_link_free(f->served);
        loop_release(&f->loop);
        made_cert_release(&f->made);
        free(f);
        return 0;
}

static void on_answer(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct fixture *f = ctx;

        (void)answer;
        f->err = err;
        f->is_answered = true;
}

/* Sends a request with the made certificate, or without one, and waits for the answer. */
static struct error *request(struct fixture *f, uint16_t verb, const char *name, bool has_pair)
{
        Cteleport__Internal__V1__AcmeCertificate msg = CTELEPORT__INTERNAL__V1__ACME_CERTIFICATE__INIT;
        Cteleport__Internal__V1__HttpsKeyPair pair = CTELEPORT__INTERNAL__V1__HTTPS_KEY_PAIR__INIT;

        pair.cert_pem = pb_bytes(str_of(f->made.cert_pem));
        pair.key_pem = pb_bytes(str_of(f->made.key_pem));
        msg.name = pb_text(name);
        msg.pair = has_pair ? &pair : NULL;
        f->is_answered = false;
        link_request(f->client, verb, &msg.base, &cteleport__internal__v1__acme_taken__descriptor, SECONDS(30), on_answer, f);
        while (!f->is_answered)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
        return f->err;
}

enum { CHALLENGE = CTELEPORT__INTERNAL__V1__ACME_VERB__ACME_CHALLENGE, CERTIFICATE = CTELEPORT__INTERNAL__V1__ACME_VERB__ACME_CERTIFICATE };

static void has_a_challenge_until_it_ends(void **state)
{
        struct fixture *f = *state;

        assert_null(acme_link_challenge(NULL));
        assert_null(acme_link_challenge(f->served));
        assert_done(request(f, CHALLENGE, "a.example.com", true));
        assert_non_null(acme_link_challenge(f->served));
        assert_done(request(f, CHALLENGE, "b.example.com", true)); /* the next name */
        assert_non_null(acme_link_challenge(f->served));
        assert_done(request(f, CHALLENGE, "", false));
        assert_null(acme_link_challenge(f->served));
}

static void a_challenge_ends_with_its_client(void **state)
{
        struct fixture *f = *state;

        assert_done(request(f, CHALLENGE, "a.example.com", true));
        link_close(f->client);
        f->client = NULL;
        while (acme_link_challenge(f->served) != NULL)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
        link_again(f); /* the client was started again */
        assert_done(request(f, CHALLENGE, "a.example.com", true));
        link_again(f); /* before the end of the last one was seen */
        assert_null(acme_link_challenge(f->served));
}

static void refuses_a_wrong_challenge_and_keeps_the_last(void **state)
{
        struct fixture *f = *state;

        assert_done(request(f, CHALLENGE, "a.example.com", true));
        struct tls_context *before = acme_link_challenge(f->served);
        assert_code(request(f, CHALLENGE, "a.example.com", false), ERROR_INVALID_ARGUMENT);
        assert_code(request(f, CHALLENGE, "a b", true), ERROR_INVALID_ARGUMENT);
        f->made.key_pem[40] = '!';
        assert_code(request(f, CHALLENGE, "a.example.com", true), ERROR_INVALID_ARGUMENT);
        assert_ptr_equal(acme_link_challenge(f->served), before);
        assert_code(request(f, 99, "a.example.com", true), ERROR_UNIMPLEMENTED);
}

static void passes_certificates_on_and_reports_refusals(void **state)
{
        struct fixture *f = *state;

        assert_done(request(f, CERTIFICATE, "", false));
        assert_int_equal(f->none_issued, 1);
        assert_done(request(f, CERTIFICATE, "", true));
        assert_int_equal(f->issued, 1);
        assert_int_equal(f->key_len, strlen(f->made.key_pem));
        f->is_refused = true;
        assert_refused(request(f, CERTIFICATE, "", true), ERROR_INVALID_ARGUMENT, "not this one");
        assert_null(acme_link_challenge(f->served));
}

static void on_names(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct fixture *f = ctx;

        f->names += answer == NULL ? 0 : ((const Cteleport__Internal__V1__AcmeWanted *)answer)->n_names;
        f->is_answered = true;
        error_free(err);
}

/* Asks for names, and waits until the proxy has seen it. */
static void ask(struct fixture *f)
{
        const Cteleport__Internal__V1__AcmeWantedRequest msg = CTELEPORT__INTERNAL__V1__ACME_WANTED_REQUEST__INIT;
        unsigned before = f->asked;

        f->is_answered = false;
        link_request(f->client, CTELEPORT__INTERNAL__V1__ACME_VERB__ACME_WANTED, &msg.base, &cteleport__internal__v1__acme_wanted__descriptor, SECONDS(30), on_names, f);
        while (f->asked == before)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
}

static void names_are_answered_to_a_client_that_has_asked(void **state)
{
        struct fixture *f = *state;
        char *names[] = { pb_text("a.example.com"), pb_text("b.example.com") };

        assert_false(acme_link_is_asked(NULL));
        acme_link_want(f->served, names, 2); /* to nobody */
        ask(f);
        assert_true(acme_link_is_asked(f->served));
        acme_link_want(f->served, names, 2);
        assert_false(acme_link_is_asked(f->served));
        acme_link_want(f->served, names, 2);
        while (!f->is_answered)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
        assert_int_equal(f->names, 2);
        ask(f);
        ask(f); /* the earlier question is answered without names */
        assert_int_equal(f->first, 1);
        link_close(f->client);
        f->client = NULL;
        while (acme_link_is_asked(f->served))
                uv_run(&f->loop.uv, UV_RUN_ONCE);
        link_again(f);
        ask(f);
        assert_int_equal(f->first, 2);
        assert_int_equal(f->names, 2);
}

static void passes_answers_about_applications_on(void **state)
{
        Cteleport__Internal__V1__AcmeApp msg = CTELEPORT__INTERNAL__V1__ACME_APP__INIT;
        struct fixture *f = *state;

        msg.name = pb_text("wiki.example.com");
        for (uint32_t pause = 60; pause <= 61; pause++) {
                msg.pause_seconds = pause;
                f->is_answered = false;
                link_request(f->client, CTELEPORT__INTERNAL__V1__ACME_VERB__ACME_APP, &msg.base, &cteleport__internal__v1__acme_taken__descriptor, SECONDS(30), on_answer, f);
                while (!f->is_answered)
                        uv_run(&f->loop.uv, UV_RUN_ONCE);
                assert_int_equal(f->app_seen, pause == 60);
        }
        assert_refused(f->err, ERROR_INVALID_ARGUMENT, "another name");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(has_a_challenge_until_it_ends),
                TEST(a_challenge_ends_with_its_client),
                TEST(refuses_a_wrong_challenge_and_keeps_the_last),
                TEST(passes_certificates_on_and_reports_refusals),
                TEST(names_are_answered_to_a_client_that_has_asked),
                TEST(passes_answers_about_applications_on),
        };

        return cmocka_run_group_tests_name("acme_link", tests, NULL, NULL);
}
