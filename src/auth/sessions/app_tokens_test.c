/* SPDX-License-Identifier: Apache-2.0 */
/* Which tokens for applications a host can have signed; the signer is played by the test. */
#include <sys/socket.h>

#include "auth/sessions/session_app_testing.h"
#include "base/log.h"
#include "internal.pb-c.h"

/* The last request to the signer. */
static struct {
        struct link_service *link;
        int requests;
        char user[64], uri[64], role[64], trait[64], values[2][64];
        size_t roles, traits;
        int64_t not_after;
        bool refuses;
} signer;

static void on_signer_request(void *ctx, uint32_t id, uint16_t verb, struct str body)
{
        AUTO_PTR(arena) arena = arena_new(64 * KiB);
        Cteleport__Internal__V1__AppToken token = CTELEPORT__INTERNAL__V1__APP_TOKEN__INIT;
        ProtobufCMessage *msg = NULL;

        (void)ctx;
        assert_int_equal(verb, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_APP_TOKEN);
        assert_done(wire_decode(arena, &cteleport__internal__v1__app_token_request__descriptor, body, &msg));
        const Cteleport__Internal__V1__AppTokenRequest *r = (const Cteleport__Internal__V1__AppTokenRequest *)msg;
        signer.requests++;
        signer.roles = r->n_roles;
        signer.traits = r->n_traits;
        signer.not_after = r->not_after;
        snprintf(signer.user, sizeof signer.user, "%s", r->user);
        snprintf(signer.uri, sizeof signer.uri, "%s", r->uri);
        snprintf(signer.role, sizeof signer.role, "%s", r->n_roles > 0 ? r->roles[0] : "");
        snprintf(signer.trait, sizeof signer.trait, "%s", r->n_traits > 0 ? r->traits[0]->name : "");
        for (size_t i = 0; r->n_traits > 0 && i < r->traits[0]->n_values && i < ARRAY_LEN(signer.values); i++)
                snprintf(signer.values[i], sizeof signer.values[i], "%s", r->traits[0]->values[i]);
        if (signer.refuses) {
                link_service_refuse(signer.link, id, error_new(ERROR_RESOURCE_EXHAUSTED, "too large"));
                return;
        }
        token.token = pb_text("a.b.c");
        token.not_after = NOW + 600;
        link_service_answer(signer.link, id, &token.base);
}

static void ignore(void *ctx)
{
        (void)ctx;
}

static int set_up(void **state)
{
        int pair[2], result = testbed_open(state);
        struct testbed *w = *state;

        memset(&signer, 0, sizeof signer);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        signer.link = link_service_new(&w->a.loop, pair[1], on_signer_request, ignore, NULL);
        w->a.signer = link_new(&w->a.loop, pair[0], ignore, NULL);
        return result;
}

static int tear_down(void **state)
{
        struct testbed *w = *state;

        link_close(w->a.signer);
        link_service_free(signer.link);
        return testbed_close(state);
}

struct answer_of_sign {
        char token[64];
        int64_t valid_seconds;
        struct error *err;
        bool is_done;
};

static void on_signed(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct answer_of_sign *a = ctx;
        const Cteleport__V1__SignAppTokenResponse *m = (const Cteleport__V1__SignAppTokenResponse *)answer;

        if (m != NULL) {
                snprintf(a->token, sizeof a->token, "%s", m->token);
                a->valid_seconds = m->valid_seconds;
        }
        a->err = err;
        a->is_done = true;
}

/* A host with this role requests the token of a connection. */
static struct answer_of_sign request_claims(struct testbed *w, const char *host_id, const char *role, const char *connection_id, const char *claims)
{
        Cteleport__V1__SignAppTokenRequest m = CTELEPORT__V1__SIGN_APP_TOKEN_REQUEST__INIT;
        struct answer_of_sign a = { 0 };

        const struct caller *before = w->a.callers;
        w->role = role;
        struct rpc_client *host = connect_as(w, CALLER_NODE, host_id, "");
        m.connection_id = pb_text(connection_id);
        m.claims = pb_text(claims);
        rpc_client_unary(host, (struct rpc_client_call_options){ .path = "/cteleport.v1.AppTokenService/Sign",
                                                                 .response = &cteleport__v1__sign_app_token_response__descriptor },
                         &m.base, on_signed, &a);
        AWAIT(w, a.is_done);
        rpc_client_close(host);
        AWAIT(w, w->a.callers == before);
        return a;
}

static struct answer_of_sign request_token(struct testbed *w, const char *host_id, const char *role, const char *connection_id)
{
        return request_claims(w, host_id, role, connection_id, "");
}

#define URI "http://10.0.0.1:3000"

/* Alice is logged in to the application; returns the ID of her connection. */
static struct dialled given_session(struct testbed *w, struct node_side *n)
{
        AUTO(buf) cert = tls_cert(&w->ca, "alice", 3600);

        given_app_host(w, APPS_1, "grafana", URI, "prod");
        return given_app_session(w, n, buf_str(&cert));
}

static void a_token_is_about_the_user_of_the_connection(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        struct dialled d = given_session(w, &n);

        struct answer_of_sign a = request_token(w, APPS_1, "App", d.id);
        assert_done(a.err);
        assert_string_equal(a.token, "a.b.c");
        assert_int_equal(a.valid_seconds, 600);
        assert_string_equal(signer.user, "alice");
        assert_string_equal(signer.uri, URI);
        assert_int_equal(signer.not_after, NOW + 3600); /* the end of her certificate */
        assert_int_equal(signer.roles, 1);
        assert_string_equal(signer.role, "access");
        assert_int_equal(signer.traits, 1);
        assert_string_equal(signer.trait, "logins");
        assert_string_equal(signer.values[0], "root");
        assert_string_equal(signer.values[1], "deploy");
        leave(&n);
}

static void an_application_gets_the_claims_that_its_host_names(void **state)
{
        static const struct {
                const char *claims;
                size_t roles, traits;
        } all[] = { { "", 1, 1 }, { "roles-and-traits", 1, 1 }, { "roles", 1, 0 }, { "traits", 0, 1 }, { "none", 0, 0 }, { "of a later release", 0, 0 } };
        struct testbed *w = *state;
        struct node_side n = { 0 };
        struct dialled d = given_session(w, &n);

        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                assert_done(request_claims(w, APPS_1, "App", d.id, all[i].claims).err);
                assert_int_equal(signer.roles, all[i].roles);
                assert_int_equal(signer.traits, all[i].traits);
                assert_string_equal(signer.user, "alice");
        }
        leave(&n);
}

/* A captured host gets tokens of its own connections only, and other services get none. */
static void only_the_host_of_the_connection_gets_its_token(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        struct dialled d = given_session(w, &n);

        given_app_host(w, APPS_2, "grafana", URI, "prod");
        assert_refused(request_token(w, APPS_2, "App", d.id).err, ERROR_PERMISSION_DENIED, "not made to this host");
        assert_refused(request_token(w, APPS_1, "Node", d.id).err, ERROR_PERMISSION_DENIED, "only an Application Service");
        assert_refused(request_token(w, APPS_1, "App", SESSION_2).err, ERROR_NOT_FOUND, "does not know");
        assert_refused(request_token(w, APPS_1, "App", "../x").err, ERROR_INVALID_ARGUMENT, "proper name");
        assert_int_equal(signer.requests, 0);
        leave(&n);
}

static void a_connection_to_a_node_has_no_token(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        struct dialled d = given_shell(w, &n);

        assert_refused(request_token(w, WEB_1, "App", d.id).err, ERROR_PERMISSION_DENIED, "not one of an application");
        w->role = NULL;
        end_in_order(w, &n);
}

static void without_a_user_there_is_no_token(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };

        given_app_host(w, APPS_1, "grafana", URI, "prod");
        struct dialled d = dial_app(w, "grafana");
        assert_done(d.err);
        assert_refused(request_token(w, APPS_1, "App", d.id).err, ERROR_FAILED_PRECONDITION, "no user is logged in");
        w->role = "App";
        report_stream(w, &n, APPS_1, d.id, false);
        assert_refused(request_token(w, APPS_1, "App", d.id).err, ERROR_FAILED_PRECONDITION, "no user is logged in");
        leave(&n);

        d = given_session(w, &n);
        leave(&n); /* its report stream is lost */
        assert_refused(request_token(w, APPS_1, "App", d.id).err, ERROR_FAILED_PRECONDITION, "no user is logged in");
        assert_int_equal(signer.requests, 0);
}

static void a_host_that_announces_nothing_gets_no_token(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        struct dialled d = given_session(w, &n);

        delete_key(w, "/presence/" APPS_1);
        assert_refused(request_token(w, APPS_1, "App", d.id).err, ERROR_UNAVAILABLE, "does not announce itself");
        assert_int_equal(signer.requests, 0);
        leave(&n);
}

static void a_refusal_of_the_signer_reaches_the_host(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        struct dialled d = given_session(w, &n);

        signer.refuses = true;
        assert_refused(request_token(w, APPS_1, "App", d.id).err, ERROR_RESOURCE_EXHAUSTED, "too large");
        leave(&n);
}

/* A captured host with one connected user must not keep the signer busy, nor take tokens from other hosts. */
static void a_host_is_signed_tokens_at_a_pace(void **state)
{
        struct testbed *w = *state;
        struct node_side n = { 0 };
        struct dialled d = given_session(w, &n);

        w->a.app_tokens_connection = (struct host_pace){ .per_minute = 1, .burst = 2, .what = "requests for tokens of one connection" };
        w->a.app_tokens = (struct host_pace){ .per_minute = 1, .burst = 4, .what = "requests for tokens of applications" };
        for (int i = 0; i < 2; i++)
                assert_done(request_token(w, APPS_1, "App", d.id).err);
        assert_refused(request_token(w, APPS_1, "App", d.id).err, ERROR_RESOURCE_EXHAUSTED, "tokens of one connection");
        assert_refused(request_token(w, APPS_1, "App", SESSION_2).err, ERROR_NOT_FOUND, "does not know");
        assert_refused(request_token(w, APPS_1, "App", SESSION_2).err, ERROR_RESOURCE_EXHAUSTED, "tokens of applications");
        assert_refused(request_token(w, APPS_2, "App", d.id).err, ERROR_PERMISSION_DENIED, "not made to this host");
        assert_int_equal(signer.requests, 2);
        host_pace_release(&w->a.app_tokens_connection);
        host_pace_release(&w->a.app_tokens);
        leave(&n);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                ROW(a_token_is_about_the_user_of_the_connection),
                ROW(an_application_gets_the_claims_that_its_host_names),
                ROW(only_the_host_of_the_connection_gets_its_token),
                ROW(a_connection_to_a_node_has_no_token),
                ROW(without_a_user_there_is_no_token),
                ROW(a_host_that_announces_nothing_gets_no_token),
                ROW(a_refusal_of_the_signer_reaches_the_host),
                ROW(a_host_is_signed_tokens_at_a_pace),
        };
#undef ROW
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests_name("app_tokens", tests, NULL, NULL);
}
