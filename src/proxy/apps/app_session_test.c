/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of applications in a proxy: what is requested from auth, how long it counts, and the ends of sessions with users and requests. */
#include "proxy/apps/app_session.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pki/pki_testing.h"
#include "pki/seal.h"
#include "proxy/proxy.h"
#include "rpc/pb.h"
#include "web.pb-c.h"

enum { NOW = 1700000000, CERT_LIFE = 3600, MANY = 50 };

#define ID     "0123456789abcdef0123456789abcdef"
#define OTHER  "fedcba98765432100123456789abcdef"
#define SECRET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define WRONG  "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* A request to auth that is not answered yet. */
struct pending {
        bool is_delete;
        char id[WEB_SESSION_ID_LEN + 1];
        void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err);
        void *ctx;
};

struct stage {
        struct proxy proxy;
        struct fake_clock clock;
        struct test_ca ca;
        struct buf cert, sealed; /* of the session ID */
        struct pending pending[2 * MANY];
        size_t count, served;
        int opened, refused; /* answers to app_session_open() */
        enum error_code code; /* of the last refusal */
        struct app_session *last;
        struct app_session_user users[3];
        int ended; /* users that were notified */
        int empty; /* calls of proxy_is_empty() */
};

static struct stage *the;

/* In place of the connection to auth. */
void upstream_unary(const struct upstream *u, struct rpc_client_call_options options, const ProtobufCMessage *request,
                    void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err), void *ctx)
{
        struct pending *p = &the->pending[the->count++];

        (void)u;
        assert_true(the->count <= ARRAY_LEN(the->pending));
        *p = (struct pending){ .is_delete = strcmp(options.path, "/cteleport.v1.Web/DeleteAppSession") == 0, .done = done, .ctx = ctx };
        snprintf(p->id, sizeof p->id, "%s", p->is_delete ? ((const Cteleport__V1__DeleteAppSessionRequest *)request)->id : ((const Cteleport__V1__GetWebSessionRequest *)request)->id);
}

void proxy_is_empty(struct proxy *p)
{
        (void)p;
        the->empty++;
}

static void run(void)
{
        for (int i = 0; i < 20; i++)
                uv_run(&the->proxy.loop.uv, UV_RUN_NOWAIT);
}

static void pass(int64_t milliseconds)
{
        loop_advance(&the->proxy.loop, &the->clock, MILLISECONDS(milliseconds));
        run();
}

/* The next request; err (owned) in place of the session. */
static void answer(struct error *err)
{
        Cteleport__V1__GetWebSessionResponse session = CTELEPORT__V1__GET_WEB_SESSION_RESPONSE__INIT;
        struct pending p = the->pending[the->served];

        assert_true(the->served < the->count);
        the->served++;
        session.user = pb_text("alice");
        session.app = pb_text("wiki");
        session.tls_cert = pb_bytes(buf_str(&the->cert));
        session.sealed_key = pb_bytes(buf_str(&the->sealed));
        session.expires = NOW + CERT_LIFE;
        p.done(p.ctx, err == NULL ? &session.base : NULL, err);
        run();
}

static void on_opened(void *ctx, struct app_session *s, struct error *err)
{
        (void)ctx;
        the->last = s;
        if (err == NULL) {
                assert_non_null(s);
                the->opened++;
                return;
        }
        assert_null(s);
        the->code = err->code;
        the->refused++;
        error_free(err);
}

static void open_session(const char *id, const char *secret)
{
        app_session_open(the->proxy.app_sessions, str_of(id), str_of(secret), on_opened, NULL);
        run();
}

static void make_record(void)
{
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        AUTO(buf) public = BUF_MAX(4 * KiB);
        AUTO(secret) pem = { 0 };
        struct str roles[] = { STR_INIT("access") };
        struct x509_user_subject subject = { .user = STR("alice"), .cluster = STR("example.com"), .roles = roles, .role_count = 1, .web_session = STR(ID), .app = STR("wiki") };

        assert_done(key_public_der(&key, &public));
        assert_done(key_to_pem(&key, &pem));
        assert_done(x509_issue_user(the->ca.x509, &subject, buf_str(&public), times_of(NOW - 60, NOW + CERT_LIFE), &the->cert, NULL));
        assert_done(seal(STR(SECRET), STR(ID), secret_str(&pem), &the->sealed));
}

static void on_ended(void *ctx)
{
        (void)ctx;
        the->ended++;
}

static int set_up(void **state)
{
        (void)state;
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        the = NEW(struct stage);
        the->cert = the->sealed = BUF_MAX(CERT_MAX);
        the->proxy.host_cas = BUF_MAX(2 * CERT_MAX);
        fake_clock_init(&the->clock, NOW);
        assert_done(loop_init(&the->proxy.loop, &the->clock.clock));
        test_ca_init(&the->ca, times_of(NOW - 3600, NOW + 100 * CERT_LIFE));
        cert_der_to_pem(buf_str(&the->ca.cert), &the->proxy.host_cas);
        make_record();
        for (size_t i = 0; i < ARRAY_LEN(the->users); i++)
                the->users[i].on_ended = on_ended;
        the->proxy.app_sessions = app_sessions_new(&the->proxy);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        app_sessions_shut(the->proxy.app_sessions);
        run();
        while (the->served < the->count)
                answer(error_new(ERROR_CANCELLED, "the connection was closed"));
        assert_true(app_sessions_is_empty(the->proxy.app_sessions));
        app_sessions_free(the->proxy.app_sessions);
        run();
        loop_release(&the->proxy.loop);
        test_ca_release(&the->ca);
        buf_release(&the->proxy.host_cas);
        buf_release(&the->cert);
        buf_release(&the->sealed);
        free(the);
        return 0;
}

/* ---- opening ------------------------------------------------------------------------------------------------- */

static void reads_a_session_once(void **state)
{
        (void)state;
        open_session(ID, SECRET);
        assert_int_equal(the->count, 1);
        answer(NULL);
        assert_int_equal(the->opened, 1);
        assert_true(str_equal(app_session_app(the->last), STR("wiki")) && str_equal(app_session_user_name(the->last), STR("alice")));
        open_session(ID, SECRET);
        assert_int_equal(the->opened, 2);
        assert_int_equal(the->count, 1);
        open_session(ID, WRONG);
        assert_int_equal(the->code, ERROR_UNAUTHENTICATED);
        open_session(ID, SECRET);
        assert_int_equal(the->opened, 3); /* the wrong secret took nothing from it */
}

static void refuses_malformed_cookies_itself(void **state)
{
        static const struct {
                const char *id, *secret;
        } rows[] = { { "", "" }, { ID, "" }, { "", SECRET }, { "0", SECRET }, { ID, "0" }, { ID "0", SECRET }, { ID, SECRET "0" }, { "../" ID, SECRET } };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                open_session(rows[i].id, rows[i].secret);
        assert_int_equal(the->refused, ARRAY_LEN(rows));
        assert_int_equal(the->code, ERROR_UNAUTHENTICATED);
        assert_int_equal(the->count, 0);
}

static void refuses_a_wrong_secret_or_record(void **state)
{
        (void)state;
        open_session(ID, WRONG);
        answer(NULL); /* the key is not opened by it */
        assert_int_equal(the->code, ERROR_UNAUTHENTICATED);
        open_session(OTHER, SECRET);
        answer(NULL); /* auth answers with another session */
        assert_int_equal(the->code, ERROR_UNAUTHENTICATED);
        open_session(ID, SECRET);
        answer(error_new(ERROR_UNAVAILABLE, "no"));
        assert_int_equal(the->code, ERROR_UNAVAILABLE);
        open_session(ID, SECRET);
        answer(error_new(ERROR_NOT_FOUND, "no"));
        assert_int_equal(the->code, ERROR_UNAUTHENTICATED);
        assert_int_equal(the->opened, 0);
        assert_int_equal(the->refused, 4);
}

static void many_requests_wait_for_one_session(void **state)
{
        (void)state;
        for (int i = 0; i < MANY; i++)
                app_session_open(the->proxy.app_sessions, STR(ID), i % 2 == 0 ? STR(SECRET) : STR(WRONG), on_opened, NULL);
        run();
        while (the->served < the->count)
                answer(NULL);
        assert_int_equal(the->opened, MANY / 2);
        assert_int_equal(the->refused, MANY / 2);
}

/* ---- the end ------------------------------------------------------------------------------------------------- */

static void a_session_ends_with_its_certificate(void **state)
{
        (void)state;
        open_session(ID, SECRET);
        answer(NULL);
        app_session_join(the->last, &the->users[0]);
        fake_clock_advance(&the->clock, SECONDS(CERT_LIFE));
        open_session(ID, SECRET);
        while (the->served < the->count)
                answer(error_new(ERROR_NOT_FOUND, "it has expired"));
        assert_int_equal(the->code, ERROR_UNAUTHENTICATED);
        assert_int_equal(the->ended, 1);
        assert_null(the->users[0].session);
}

static void auth_is_asked_again_while_a_session_is_used(void **state)
{
        (void)state;
        open_session(ID, SECRET);
        answer(NULL);
        for (size_t i = 0; i < ARRAY_LEN(the->users); i++)
                app_session_join(the->last, &the->users[i]);
        app_session_leave(&the->users[1]);
        pass(PACE_APP_SESSION_CHECK);
        assert_int_equal(the->count, 2);
        answer(error_new(ERROR_UNAVAILABLE, "auth is away"));
        assert_int_equal(the->ended, 0); /* sessions outlive that */
        pass(PACE_APP_SESSION_CHECK);
        assert_int_equal(the->count, 3);
        answer(error_new(ERROR_NOT_FOUND, "the user has logged out"));
        assert_int_equal(the->ended, 2);
        assert_null(the->users[0].session);
        assert_null(the->users[2].session);
}

static void an_unused_session_is_dropped(void **state)
{
        (void)state;
        open_session(ID, SECRET);
        answer(NULL);
        pass(PACE_APP_SESSION_CHECK);
        assert_int_equal(the->count, 1); /* without a request about it */
        open_session(ID, SECRET);
        assert_int_equal(the->count, 2); /* it is read again */
        answer(NULL);
        assert_int_equal(the->opened, 2);
}

static void a_deleted_session_is_gone_at_once(void **state)
{
        (void)state;
        open_session(ID, SECRET);
        answer(NULL);
        app_session_join(the->last, &the->users[0]);
        app_session_delete(the->last, false);
        assert_int_equal(the->ended, 1);
        assert_true(the->pending[1].is_delete && strcmp(the->pending[1].id, ID) == 0);
        assert_false(app_sessions_is_empty(the->proxy.app_sessions));
        answer(error_new(ERROR_UNAVAILABLE, "auth is away"));
        assert_true(app_sessions_is_empty(the->proxy.app_sessions));
}

static void an_answer_after_the_end_is_refused(void **state)
{
        (void)state;
        open_session(ID, SECRET);
        app_sessions_shut(the->proxy.app_sessions);
        assert_false(app_sessions_is_empty(the->proxy.app_sessions));
        assert_int_equal(the->empty, 0);
        answer(NULL);
        assert_int_equal(the->code, ERROR_CANCELLED);
        assert_int_equal(the->opened, 0);
        assert_int_equal(the->empty, 1);
        open_session(ID, SECRET); /* of a connection that is still being closed */
        assert_int_equal(the->refused, 2);
        assert_int_equal(the->count, 1);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                ROW(reads_a_session_once),
                ROW(refuses_malformed_cookies_itself),
                ROW(refuses_a_wrong_secret_or_record),
                ROW(many_requests_wait_for_one_session),
                ROW(a_session_ends_with_its_certificate),
                ROW(auth_is_asked_again_while_a_session_is_used),
                ROW(an_unused_session_is_dropped),
                ROW(a_deleted_session_is_gone_at_once),
                ROW(an_answer_after_the_end_is_refused),
        };

        return cmocka_run_group_tests_name("app_session", tests, NULL, NULL);
}
