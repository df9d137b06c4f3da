/* SPDX-License-Identifier: Apache-2.0 */
/* The client of the Auth Service over links and over connections that the test makes: each dial waits until the test ends it. */
#include "cluster/auth_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/limits.h"
#include "net/net_testing.h"
#include "rpc/rpc.h"

#define ONE "11111111-1111-4111-8111-111111111111"
#define TWO "22222222-2222-4222-8222-222222222222"

enum { DIALS_MAX = 8 };

/* In the place of connect.c. */
struct connect {
        struct connect_way way;
        struct str host_id; /* of the identity it was begun with */
        void (*done)(void *ctx, struct stream *tls, struct error *err);
        void *ctx;
};

static struct fixture {
        struct fake_clock clock;
        struct loop loop;
        struct auth_client *client;
        struct connect *dials[DIALS_MAX];
        size_t dial_count, dialled;
        struct stream *server; /* the other end of the connection that was made last; NULL: none */
        int links;             /* requested */
        int made, lost;        /* as reported by on_change */
        int answers;
        struct rpc_client *given;
        enum error_code code; /* of the last answer */
        struct host_identity ids[2];
} *fixture;

struct error *connect_way_of_member(struct str proxy_server, struct str auth_server, struct connect_way *ret)
{
        struct str addr = str_is_empty(proxy_server) ? auth_server : proxy_server;

        *ret = (struct connect_way){ .route = ROUTE_MEMBER };
        snprintf(ret->address, sizeof ret->address, "%.*s", STR_ARG(addr));
        snprintf(ret->via.address, sizeof ret->via.address, "http-proxy:3128");
        return NULL;
}

struct connect *connect_start(struct loop *l, const struct connect_way *way, const struct connect_trust *trust,
                              void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx)
{
        struct connect *c = NEW(struct connect);

        (void)l;
        *c = (struct connect){ *way, trust->stored->host_id, done, ctx };
        fixture->dialled++;
        assert_true(fixture->dial_count < DIALS_MAX);
        fixture->dials[fixture->dial_count++] = c;
        return c;
}

static void end_dial(struct connect *c, struct stream *tls, struct error *err)
{
        for (size_t at = 0; at < fixture->dial_count; at++)
                if (fixture->dials[at] == c)
                        fixture->dials[at] = fixture->dials[--fixture->dial_count];
        c->done(c->ctx, tls, err);
        free(c);
}

static void on_cancelled(void *ctx)
{
        end_dial(ctx, NULL, error_new(ERROR_CANCELLED, "cancelled"));
}

void connect_cancel(struct connect *c)
{
        loop_defer(&fixture->loop, on_cancelled, c);
}

/* ---- steps --------------------------------------------------------------------------------------------------- */

static void on_answer(void *ctx, struct rpc_client *client, struct error *err)
{
        struct fixture *f = ctx;

        f->answers++;
        f->given = client;
        assert_true((client == NULL) == (err != NULL));
        f->code = err == NULL ? ERROR_INTERNAL : err->code;
        error_free(err);
}

static void on_change(void *ctx, const struct error *err)
{
        struct fixture *f = ctx;

        if (err == NULL)
                f->made++;
        else
                f->lost++;
}

static void relink(void *ctx)
{
        ((struct fixture *)ctx)->links++;
}

static void given_client(struct fixture *f, struct auth_client_options options)
{
        options.on_change = on_change;
        options.ctx = f;
        f->client = auth_client_new(&f->loop, options);
}

static void given_identity(struct fixture *f, size_t n)
{
        auth_client_use_identity(f->client, &f->ids[n], STR(""), STR("auth:3025"));
        run_a_while(&f->loop);
}

static void request(struct fixture *f)
{
        int before = f->answers;

        auth_client_request(f->client, on_answer, f);
        assert_int_equal(f->answers, before); /* never within the call */
        run_a_while(&f->loop);
}

static void drop_server(struct fixture *f)
{
        stream_close(f->server);
        f->server = NULL;
        run_a_while(&f->loop);
}

static void accept_dial(struct fixture *f)
{
        struct stream *ours;

        stream_close(f->server);
        connected_pair(&f->loop, &ours, &f->server);
        assert_int_equal(f->dial_count, 1);
        end_dial(f->dials[0], ours, NULL);
        run_a_while(&f->loop);
}

static void give_link(struct fixture *f)
{
        int fds[2];

        stream_close(f->server);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        f->server = socket_stream(&f->loop, fds[1]);
        auth_client_use_link(f->client, fds[0]);
        run_a_while(&f->loop);
}

static void pass(struct fixture *f, int64_t ms)
{
        loop_advance(&f->loop, &f->clock, MILLISECONDS(ms));
        run_a_while(&f->loop);
}

/* ---- local --------------------------------------------------------------------------------------------------- */

static void requests_a_link_until_one_comes(void **state)
{
        struct fixture *f = *state;

        given_client(f, (struct auth_client_options){ .relink = relink });
        assert_int_equal(f->links, 0); /* nothing needs it */
        request(f);
        assert_int_equal(f->links, 1);
        pass(f, PACE_RELINK);
        assert_int_equal(f->links, 2);
        give_link(f);
        assert_int_equal(f->answers, 1);
        assert_non_null(f->given);
        request(f);
        assert_ptr_equal(f->given, auth_client_get(f->client));
        assert_int_equal(f->links, 2);
}

static void a_link_that_does_not_come_is_an_error(void **state)
{
        struct fixture *f = *state;

        given_client(f, (struct auth_client_options){ .relink = relink });
        request(f);
        for (int n = 0; n < TIMEOUT_CONNECT / PACE_RELINK; n++)
                pass(f, PACE_RELINK);
        assert_int_equal(f->answers, 1);
        assert_int_equal(f->code, ERROR_UNAVAILABLE);
        assert_null(f->given);
}

static void a_link_waits_until_it_is_needed(void **state)
{
        struct fixture *f = *state;

        given_client(f, (struct auth_client_options){ .relink = relink });
        give_link(f);
        assert_null(auth_client_get(f->client));
        request(f);
        assert_non_null(f->given);
        assert_int_equal(f->links, 0);
}

static void a_kept_link_that_is_lost_is_requested_again(void **state)
{
        struct fixture *f = *state;

        given_client(f, (struct auth_client_options){ .relink = relink, .is_kept = true });
        give_link(f);
        assert_non_null(auth_client_get(f->client));
        drop_server(f);
        assert_null(auth_client_get(f->client));
        assert_int_equal(f->links, 0); /* the process behind it may have ended: then the supervisor sends one */
        pass(f, PACE_RELINK);
        assert_int_equal(f->links, 1);
        give_link(f);
        assert_non_null(auth_client_get(f->client));
        assert_int_equal(f->made, 2);
        assert_int_equal(f->lost, 1);
}

/* ---- remote --------------------------------------------------------------------------------------------------- */

static void one_connection_serves_all_waiting_callers(void **state)
{
        struct fixture *f = *state;

        given_client(f, (struct auth_client_options){ 0 });
        given_identity(f, 0);
        assert_int_equal(f->dialled, 0);
        request(f);
        request(f);
        assert_int_equal(f->dialled, 1);
        assert_string_equal(f->dials[0]->way.via.address, "http-proxy:3128");
        accept_dial(f);
        assert_int_equal(f->answers, 2);
        assert_non_null(f->given);
}

static void without_an_identity_a_request_is_refused(void **state)
{
        struct fixture *f = *state;

        given_client(f, (struct auth_client_options){ 0 });
        request(f);
        assert_int_equal(f->answers, 1);
        assert_int_equal(f->code, ERROR_UNAVAILABLE);
        given_identity(f, 0);
        request(f);
        assert_int_equal(f->dialled, 1);
        accept_dial(f);
        assert_non_null(f->given);
}

static void after_a_failure_the_next_request_dials_again(void **state)
{
        struct fixture *f = *state;

        given_client(f, (struct auth_client_options){ 0 });
        given_identity(f, 0);
        request(f);
        end_dial(f->dials[0], NULL, error_new(ERROR_UNAUTHENTICATED, "refused"));
        run_a_while(&f->loop);
        assert_int_equal(f->code, ERROR_UNAUTHENTICATED);
        pass(f, PACE_RETRY_MAX);
        assert_int_equal(f->dialled, 1);
        request(f);
        assert_int_equal(f->dialled, 2);
        accept_dial(f);
        assert_non_null(f->given);
}

static void a_dial_with_an_earlier_identity_is_begun_anew(void **state)
{
        struct fixture *f = *state;

        given_client(f, (struct auth_client_options){ 0 });
        given_identity(f, 0);
        request(f);
        given_identity(f, 1);
        assert_int_equal(f->answers, 0);
        assert_int_equal(f->dialled, 2);
        assert_true(str_equal(f->dials[0]->host_id, STR(TWO)));
        accept_dial(f);
        assert_non_null(f->given);
}

static void a_connection_of_another_host_id_is_closed(void **state)
{
        struct fixture *f = *state;

        given_client(f, (struct auth_client_options){ 0 });
        given_identity(f, 0);
        request(f);
        accept_dial(f);
        given_identity(f, 0); /* renewed */
        assert_non_null(auth_client_get(f->client));
        given_identity(f, 1);
        assert_null(auth_client_get(f->client));
}

static void a_kept_connection_is_made_again_after_a_pause(void **state)
{
        struct fixture *f = *state;

        given_client(f, (struct auth_client_options){ .is_kept = true, .is_direct = true });
        given_identity(f, 0);
        pass(f, 1);
        assert_int_equal(f->dialled, 1);
        assert_string_equal(f->dials[0]->way.via.address, "");
        end_dial(f->dials[0], NULL, error_new(ERROR_UNAVAILABLE, "away"));
        pass(f, PACE_RETRY_FIRST);
        assert_int_equal(f->dialled, 2);
        accept_dial(f);
        drop_server(f);
        pass(f, PACE_RETRY_FIRST);
        assert_int_equal(f->dialled, 3);
        assert_int_equal(f->made, 1);
        assert_int_equal(f->lost, 2);
}

static void given_proxies(struct fixture *f, const char *first, const char *second)
{
        Cteleport__Internal__V1__Proxies list = CTELEPORT__INTERNAL__V1__PROXIES__INIT;
        Cteleport__Internal__V1__ProxyAddress rows[3], *pointers[3];
        const char *addrs[] = { first, "away:443", second };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                cteleport__internal__v1__proxy_address__init(&rows[i]);
                rows[i].addr = (char *)(uintptr_t)addrs[i];
                rows[i].is_away = i == 1;
                pointers[i] = &rows[i];
        }
        list.proxies = pointers;
        list.n_proxies = ARRAY_LEN(rows);
        auth_client_use_proxies(f->client, &list);
}

static void fail_dial(struct fixture *f, const char *address, enum error_code code)
{
        assert_int_equal(f->dial_count, 1);
        assert_string_equal(f->dials[0]->way.address, address);
        end_dial(f->dials[0], NULL, error_new(code, "no way by %s", address));
        run_a_while(&f->loop);
}

static void another_proxy_is_used_when_the_first_does_not_answer(void **state)
{
        struct fixture *f = *state;

        given_client(f, (struct auth_client_options){ 0 });
        auth_client_use_identity(f->client, &f->ids[0], STR("one:443"), STR(""));
        given_proxies(f, "one:443", "two:443");
        request(f);
        fail_dial(f, "one:443", ERROR_UNAVAILABLE);
        assert_int_equal(f->answers, 0);
        assert_string_equal(f->dials[0]->way.address, "two:443");
        accept_dial(f);
        assert_int_equal(f->answers, 1);
        assert_non_null(f->given);
        drop_server(f);
        request(f); /* the one that led there is tried first */
        fail_dial(f, "two:443", ERROR_DEADLINE_EXCEEDED);
        fail_dial(f, "one:443", ERROR_UNAVAILABLE);
        assert_int_equal(f->answers, 2);
        assert_int_equal(f->code, ERROR_DEADLINE_EXCEEDED); /* the first failure is reported */
        assert_int_equal(f->dial_count, 0);
}

static void a_refusal_is_not_repeated_at_other_proxies(void **state)
{
        struct fixture *f = *state;

        given_client(f, (struct auth_client_options){ 0 });
        auth_client_use_identity(f->client, &f->ids[0], STR("one:443"), STR(""));
        given_proxies(f, "one:443", "two:443");
        request(f);
        fail_dial(f, "one:443", ERROR_UNAUTHENTICATED);
        assert_int_equal(f->answers, 1);
        assert_int_equal(f->code, ERROR_UNAUTHENTICATED);
        assert_int_equal(f->dial_count, 0);
}

static void proxies_are_not_used_when_auth_is_reached_directly(void **state)
{
        struct fixture *f = *state;

        given_client(f, (struct auth_client_options){ 0 });
        given_identity(f, 0);
        given_proxies(f, "one:443", "two:443");
        request(f);
        fail_dial(f, "auth:3025", ERROR_UNAVAILABLE);
        assert_int_equal(f->answers, 1);
        assert_int_equal(f->dial_count, 0);
}

/* ---- closing ---------------------------------------------------------------------------------------------------- */

static void a_disconnect_refuses_waiting_callers_and_the_next_connects(void **state)
{
        struct fixture *f = *state;

        given_client(f, (struct auth_client_options){ 0 });
        given_identity(f, 0);
        request(f);
        auth_client_disconnect(f->client);
        auth_client_request(f->client, on_answer, f);
        run_a_while(&f->loop);
        assert_int_equal(f->answers, 1);
        assert_int_equal(f->code, ERROR_CANCELLED);
        assert_int_equal(f->dialled, 2);
        accept_dial(f);
        assert_int_equal(f->answers, 2);
        assert_non_null(f->given);
}

static void a_freed_client_refuses_the_waiting_callers(void **state)
{
        struct fixture *f = *state;

        given_client(f, (struct auth_client_options){ 0 });
        given_identity(f, 0);
        request(f);
        auth_client_free(f->client);
        f->client = NULL;
        run_a_while(&f->loop);
        assert_int_equal(f->answers, 1);
        assert_int_equal(f->code, ERROR_CANCELLED);
        assert_int_equal(f->dial_count, 0);
}

static int set_up(void **state)
{
        struct fixture *f = fixture = NEW(struct fixture);

        fake_clock_init(&f->clock, 1700000000);
        assert_null(loop_init(&f->loop, &f->clock.clock));
        f->ids[0] = (struct host_identity){ .host_id = STR(ONE), .arena = arena_new(KiB) };
        f->ids[1] = (struct host_identity){ .host_id = STR(TWO), .arena = arena_new(KiB) };
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        auth_client_free(f->client);
        stream_close(f->server);
        run_a_while(&f->loop);
        loop_release(&f->loop);
        for (size_t n = 0; n < ARRAY_LEN(f->ids); n++)
                arena_free(f->ids[n].arena);
        free(f);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(requests_a_link_until_one_comes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_link_that_does_not_come_is_an_error, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_link_waits_until_it_is_needed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_kept_link_that_is_lost_is_requested_again, set_up, tear_down),
                cmocka_unit_test_setup_teardown(one_connection_serves_all_waiting_callers, set_up, tear_down),
                cmocka_unit_test_setup_teardown(without_an_identity_a_request_is_refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(after_a_failure_the_next_request_dials_again, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_dial_with_an_earlier_identity_is_begun_anew, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_connection_of_another_host_id_is_closed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_kept_connection_is_made_again_after_a_pause, set_up, tear_down),
                cmocka_unit_test_setup_teardown(another_proxy_is_used_when_the_first_does_not_answer, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_refusal_is_not_repeated_at_other_proxies, set_up, tear_down),
                cmocka_unit_test_setup_teardown(proxies_are_not_used_when_auth_is_reached_directly, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_disconnect_refuses_waiting_callers_and_the_next_connects, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_freed_client_refuses_the_waiting_callers, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
