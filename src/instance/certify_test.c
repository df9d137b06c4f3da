/* SPDX-License-Identifier: Apache-2.0 */
/* A host whose certificates are not valid yet, as the clock of the Auth Service was ahead when it issued them; against an Auth Service behind a socketpair. */
#include "instance/instance.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/log.h"
#include "cluster/auth_client.h"
#include "join/identity_testing.h"
#include "net/net_testing.h"
#include "os/file_testing.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"

enum { NOW = 1800000000, HOUR = 3600 };

/* In the order of their slots. */
static const char *const roles[] = { "Instance", "Node" };

static struct testbed {
        struct fake_clock clock;
        struct fake_cluster cluster;
        Cteleport__Internal__V1__Boot boot;
        struct instance *i;
        struct rpc_server_conn *conn;
        char *dir;
        int64_t auth_now; /* the clock of the Auth Service; 0: it sends none */
        int pings, polls, requests;
        char role[LIMIT_NAME]; /* of the last request for a certificate */
} *testbed;

/* ---- the Auth Service -------------------------------------------------------------------------------------------- */

static void on_ping(struct rpc_call *call, const ProtobufCMessage *first UNUSED)
{
        Cteleport__V1__PingResponse response = CTELEPORT__V1__PING_RESPONSE__INIT;
        Cteleport__V1__Timestamp now = CTELEPORT__V1__TIMESTAMP__INIT;

        testbed->pings++;
        now.seconds = testbed->auth_now;
        response.now = testbed->auth_now == 0 ? NULL : &now;
        rpc_call_reply(call, &response.base);
}

static void on_gone(void *ctx UNUSED)
{
}

static const struct rpc_call_events call_events = { .on_gone = on_gone };

/* It does not answer: the host waits. */
static void on_certify(struct rpc_call *call, const ProtobufCMessage *first)
{
        testbed->requests++;
        rpc_call_listen(call, &call_events, NULL);
        snprintf(testbed->role, sizeof testbed->role, "%s", ((const Cteleport__V1__HostCertsRequest *)first)->role);
}

static const struct rpc_method ping = { .path = "/cteleport.v1.PingService/Ping", .request = &cteleport__v1__empty__descriptor, .request_max = KiB, .open = on_ping };
static const struct rpc_method certify = { .path = "/cteleport.v1.HostService/GenerateHostCerts", .request = &cteleport__v1__host_certs_request__descriptor,
                                           .request_max = 16 * KiB, .open = on_certify };
static const struct rpc_method *const methods[] = { &ping, &certify, NULL };

static void on_server_closed(void *caller UNUSED)
{
        testbed->conn = NULL;
}

/* ---- the host ---------------------------------------------------------------------------------------------------- */

/* Those of instance.c. */
static void on_renewal(void *ctx UNUSED)
{
        if (testbed->i->at.state == INSTANCE_PRESENT)
                certify_begin(testbed->i);
}

static void on_wait(void *ctx UNUSED)
{
        testbed->polls++;
}

static void nothing(void *ctx UNUSED)
{
}

static void on_connected(void *ctx UNUSED, struct rpc_client *client, struct error *err)
{
        assert_done(err);
        assert_non_null(client);
}

static void connect_auth(struct testbed *w)
{
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        w->i->auth = auth_client_new(&w->i->loop, (struct auth_client_options){ .relink = nothing });
        auth_client_use_link(w->i->auth, fds[0]);
        w->conn = rpc_serve(&w->i->loop, socket_stream(&w->i->loop, fds[1]),
                            (struct rpc_server_options){ .methods = methods, .on_closed = on_server_closed, .peer = "the host" });
        auth_client_request(w->i->auth, on_connected, NULL);
        RUN_UNTIL(&w->i->loop, auth_client_get(w->i->auth) != NULL);
}

/* Its certificates begin at NOW, and its clock is that many seconds later. */
static int set_up(void **state)
{
        static const struct conversation_state any[] = {
                [INSTANCE_START] = { "start", { 0 }, UINT32_MAX }, [INSTANCE_CERTIFY] = { "certify", { 0 }, UINT32_MAX },
                [INSTANCE_PRESENT] = { "present", { 0 }, UINT32_MAX }, [INSTANCE_AWAY] = { "away", { 0 }, UINT32_MAX },
        };
        struct testbed *w = testbed = NEW(struct testbed);
        struct instance *i = w->i = NEW(struct instance);

        fake_clock_init(&w->clock, NOW);
        fake_cluster_init(&w->cluster, walltime_of_unix(NOW));
        cteleport__internal__v1__boot__init(&w->boot);
        w->dir = test_dir_new(); /* for the file of the status */
        assert_int_equal(chdir(w->dir), 0);
        assert_null(loop_init(&i->loop, &w->clock.clock));
        i->boot = &w->boot;
        for (size_t n = 0; n < ARRAY_LEN(roles); n++) {
                i->slots[n] = (struct slot){ .role = roles[n], .is_wanted = true, .keeps_tunnels = n == SLOT_NODE, .is_fresh = true, .renew_at = { INT64_MAX } };
                i->slots[n].identity = fake_identity(&w->cluster, roles[n]);
        }
        i->renewal = timer_new(&i->loop, on_renewal, i);
        i->wait = timer_new(&i->loop, on_wait, i);
        status_init(&i->status, &i->loop, ".");
        conversation_init(&i->at, &i->loop, any, INSTANCE_START, NULL, NULL);
        connect_auth(w);
        certify_watch_clock(i);
        *state = w;
        return 0;
}

static int tear_down(void **state)
{
        struct testbed *w = *state;
        struct instance *i = w->i;

        auth_client_free(i->auth);
        RUN_UNTIL(&i->loop, w->conn == NULL);
        conversation_release(&i->at);
        timer_free(i->renewal);
        timer_free(i->wait);
        timer_free(i->clock_check);
        host_keys_release(&i->certify_keys);
        for (size_t n = 0; n < SLOT_COUNT; n++)
                host_identity_release(&i->slots[n].identity);
        status_release(&i->status);
        loop_release(&i->loop);
        fake_cluster_release(&w->cluster);
        test_dir_free(w->dir);
        free(i);
        free(w);
        return 0;
}

static void given(struct testbed *w, enum instance_state state, int64_t own_clock, int64_t auth_clock)
{
        w->clock.walltime = walltime_of_unix(own_clock);
        w->auth_now = auth_clock;
        conversation_enter(&w->i->at, state);
}

/* Until the host checks the clock once more. */
static void pass(struct testbed *w)
{
        loop_advance(&w->i->loop, &w->clock, MILLISECONDS(PACE_CLOCK_CHECK));
        run_a_while(&w->i->loop);
        loop_advance(&w->i->loop, &w->clock, MILLISECONDS(1)); /* the timer of the renewal */
        run_a_while(&w->i->loop);
}

static void certificates_of_a_clock_that_was_ahead_are_requested_again(void **state)
{
        struct testbed *w = *state;

        given(w, INSTANCE_PRESENT, NOW - HOUR, NOW - HOUR);
        pass(w);
        assert_int_equal(w->pings, 1);
        assert_int_equal(w->requests, 1);
        assert_string_equal(w->role, "Instance");
        assert_int_equal(w->i->at.state, INSTANCE_CERTIFY);
        assert_true(w->i->slots[SLOT_NODE].is_early); /* its turn is next */
}

/* Its own clock is behind, or it has lost its tunnel for another reason: the certificates are good. */
static void certificates_that_are_valid_by_the_clusters_clock_stay(void **state)
{
        static const struct {
                int64_t own, cluster;
                bool has_tunnel;
                int pings;
        } rows[] = {
                { NOW - HOUR, NOW, false, 1 }, { NOW - HOUR, NOW, true, 1 }, { NOW, NOW, false, 1 }, { NOW, NOW, true, 0 }, { NOW - HOUR, 0, false, 1 },
        };
        struct testbed *w = *state;

        for (size_t n = 0; n < ARRAY_LEN(rows); n++) {
                w->pings = 0;
                w->i->has_tunnel = rows[n].has_tunnel;
                given(w, INSTANCE_PRESENT, rows[n].own, rows[n].cluster);
                pass(w);
                assert_int_equal(w->pings, rows[n].pings);
                assert_int_equal(w->requests, 0);
                assert_int_equal(w->i->at.state, INSTANCE_PRESENT);
        }
}

/* This host's clock is an hour ahead, as that of the Auth Service was: only its tunnel, which proxies refuse, shows that something is wrong. */
static void a_host_with_a_clock_ahead_asks_without_a_tunnel(void **state)
{
        struct testbed *w = *state;

        w->i->has_tunnel = true;
        given(w, INSTANCE_PRESENT, NOW, NOW - HOUR);
        pass(w);
        assert_int_equal(w->pings, 0);
        w->i->has_tunnel = false;
        pass(w);
        assert_int_equal(w->pings, 1);
        assert_string_equal(w->role, "Instance");
}

/* It has no stream; the next hello has the cluster's time. */
static void a_host_that_polls_does_so_soon(void **state)
{
        struct testbed *w = *state;

        given(w, INSTANCE_AWAY, NOW - HOUR, NOW - HOUR);
        w->i->poll_at = instant_add(loop_now(&w->i->loop), HOURS(1));
        w->i->has_tunnel = true;
        pass(w);
        pass(w);
        assert_int_equal(w->polls, 0);
        w->i->has_tunnel = false;
        pass(w);
        assert_int_equal(w->polls, 0);
        pass(w);
        assert_int_equal(w->polls, 1);
        assert_int_equal(w->pings, 0);
}

static void beside_its_auth_service_a_host_needs_no_request(void **state)
{
        struct testbed *w = *state;

        w->i->is_local = true;
        given(w, INSTANCE_PRESENT, NOW - HOUR, NOW);
        pass(w);
        assert_int_equal(w->pings, 0);
        assert_string_equal(w->role, "Instance");
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                ROW(certificates_of_a_clock_that_was_ahead_are_requested_again),
                ROW(certificates_that_are_valid_by_the_clusters_clock_stay),
                ROW(a_host_with_a_clock_ahead_asks_without_a_tunnel),
                ROW(a_host_that_polls_does_so_soon),
                ROW(beside_its_auth_service_a_host_needs_no_request),
        };
#undef ROW

        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
