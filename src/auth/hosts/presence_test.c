/* SPDX-License-Identifier: Apache-2.0 */
/* Agents on socketpairs, and the Auth Service's end of their presence over a store in memory. */
#include <stdlib.h>

#include "api.pb-c.h"
#include "auth/core/answer_testing.h"
#include "auth/core/caller.h"
#include "auth/hosts/hosts.h"
#include "auth/hosts/presence_internal.h"
#include "auth/hosts/proxies.h"
#include "net/net_testing.h"
#include "os/file_testing.h"
#include "rpc/pb.h"
#include "state/host.h"
#include "store/store_testing.h"

enum { HELD_MAX = 2, TTL_SECONDS = 600, ARENA_CAP = 1 * MiB };

struct fixture {
        struct fake_clock clock;
        struct auth auth;
        unsigned awaited;
        char *dir;
};

/* ---- the Auth Service --------------------------------------------------------------------------------- */

static const struct rpc_method method = {
        .path = "/cteleport.v1.HostService/Presence",
        .request = &cteleport__v1__presence_up__descriptor,
        .request_max = LIMIT_RPC,
        .is_client_stream = true,
        .open = presence_serve,
};
static const struct rpc_method *const methods[] = { &method, NULL };

static void on_proxies_changed(void *ctx)
{
        presence_report_proxies(&CONTAINER_OF(ctx, struct fixture, awaited)->auth);
}

#define AWAIT(f, condition) RUN_UNTIL(&(f)->auth.loop, condition)

static void given_host(struct fixture *f, const char *host_id)
{
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;
        char *roles[] = { "Node", "Proxy" };
        struct store_txn *t = store_txn_new(f->auth.store);

        host.host_id = pb_text(host_id);
        host.hostname = "web-1";
        host.system_roles = roles;
        host.n_system_roles = ARRAY_LEN(roles);
        host_put(t, &host, (struct walltime){ 0 });
        f->awaited++;
        store_txn_commit(t, on_committed, &f->awaited);
        AWAIT(f, f->awaited == 0);
}

static int open_fixture(void **state)
{
        struct fixture *f = NEW(struct fixture);

        fake_clock_init(&f->clock, 1700000000);
        f->dir = test_dir_new();
        assert_null(loop_init(&f->auth.loop, &f->clock.clock));
        assert_null(store_open(&f->auth.loop, (struct store_options){ .type = "memory" }, &f->auth.store));
        assert_null(audit_log_open(&f->auth.loop, f->dir, &f->auth.audit));
        f->auth.cluster = STR("example.com");
        f->auth.heartbeat_ttl = SECONDS(TTL_SECONDS);
        f->auth.presence_held_max = HELD_MAX;
        f->awaited++;
        f->auth.proxies = proxies_open(&f->auth, on_ready, on_proxies_changed, &f->awaited);
        AWAIT(f, f->awaited == 0);
        given_host(f, "host-1");
        given_host(f, "host-2");
        given_host(f, "host-3");
        *state = f;
        return 0;
}

static int close_fixture(void **state)
{
        struct fixture *f = *state;

        for (struct caller *c = f->auth.callers; c != NULL; c = c->next)
                rpc_server_close(c->conn);
        AWAIT(f, f->auth.callers == NULL);
        assert_int_equal(f->auth.presence_held, 0);
        assert_int_equal(f->auth.live.count, 0);
        run_a_while(&f->auth.loop);
        proxies_stop(f->auth.proxies);
        f->awaited += 2;
        store_close(f->auth.store, on_closed, &f->awaited);
        audit_log_close(f->auth.audit, on_closed, &f->awaited);
        AWAIT(f, f->awaited == 0);
        proxies_close(f->auth.proxies);
        map_release(&f->auth.live);
        loop_release(&f->auth.loop);
        test_dir_free(f->dir);
        free(f);
        return 0;
}

/* ---- agents ---------------------------------------------------------------------------------------------- */

struct agent {
        struct fixture *f;
        struct rpc_client *client;
        struct rpc_client_call *call;
        char reported[128]; /* a letter for each message: W, V (the welcome of a poll), P(roxies), N(otice); '.' at the end */
        int code;
        int64_t heartbeat_ms;
        bool is_unresponsive; /* answers no ping */
};

static void report(struct agent *a, char c)
{
        size_t len = strlen(a->reported);

        assert_true(len + 1 < sizeof(a->reported));
        a->reported[len] = c;
}

static void answer(struct agent *a, char *nonce)
{
        Cteleport__V1__PresenceUp up = CTELEPORT__V1__PRESENCE_UP__INIT;
        Cteleport__V1__PresenceUp__Pong pong = CTELEPORT__V1__PRESENCE_UP__PONG__INIT;

        pong.nonce = nonce;
        up.payload_case = CTELEPORT__V1__PRESENCE_UP__PAYLOAD_PONG;
        up.pong = &pong;
        if (!a->is_unresponsive)
                rpc_client_send(a->call, &up.base);
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct agent *a = ctx;
        const Cteleport__V1__PresenceDown *down = (const Cteleport__V1__PresenceDown *)msg;

        switch (down->payload_case) {
        case CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_WELCOME:
                report(a, down->welcome->is_poll ? 'V' : 'W');
                a->heartbeat_ms = down->welcome->heartbeat_ms;
                break;
        case CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_PROXIES:
                report(a, 'P');
                break;
        case CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_NOTICE:
                assert_string_equal(down->notice->kind, "duplicate_host_id");
                report(a, 'N');
                break;
        case CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_PING:
                answer(a, down->ping->nonce);
                break;
        default:
                fail();
        }
}

static void on_done(void *ctx, struct error *err)
{
        struct agent *a = ctx;

        a->code = err == NULL ? 0 : (int)err->code;
        report(a, '.');
        error_free(err);
}

static void on_lost(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err);
}

static void on_caller_gone(void *caller)
{
        caller_free(caller);
}

static const struct rpc_client_events events = { on_message, on_done };

struct hello {
        const char *host_id, *nonce;
        const char *service; /* NULL: "Node" */
        bool stays;          /* does not know polls */
};

static struct agent *connect_agent(struct fixture *f, struct hello h)
{
        struct agent *a = NEW(struct agent);
        struct caller *c = caller_new(&f->auth, CALLER_HOST, str_of(h.host_id), STR("Instance"), "192.0.2.1:4711");
        struct stream *ours, *theirs;
        char *services[] = { pb_text(h.service == NULL ? "Node" : h.service) };
        Cteleport__V1__PresenceUp up = CTELEPORT__V1__PRESENCE_UP__INIT;
        Cteleport__V1__PresenceUp__Hello hello = CTELEPORT__V1__PRESENCE_UP__HELLO__INIT;

        a->f = f;
        connected_pair(&f->auth.loop, &ours, &theirs);
        c->conn = rpc_serve(&f->auth.loop, ours,
                            (struct rpc_server_options){ .methods = methods, .caller = c, .on_closed = on_caller_gone, .peer = c->peer });
        a->client = rpc_client_new(&f->auth.loop, theirs, "auth", on_lost, a);
        a->call = rpc_client_call(a->client,
                                  (struct rpc_client_call_options){ .path = method.path, .response = &cteleport__v1__presence_down__descriptor },
                                  &events, a);
        hello.process_nonce = pb_text(h.nonce);
        hello.services = services;
        hello.n_services = 1;
        hello.use_tunnel = true;
        hello.may_poll = !h.stays;
        up.payload_case = CTELEPORT__V1__PRESENCE_UP__PAYLOAD_HELLO;
        up.hello = &hello;
        rpc_client_send(a->call, &up.base);
        return a;
}

static void hang_up(struct agent *a)
{
        struct fixture *f = a->f;
        size_t callers = 0, left;

        for (const struct caller *c = f->auth.callers; c != NULL; c = c->next)
                callers++;
        rpc_client_close(a->client);
        do {
                uv_run(&f->auth.loop.uv, UV_RUN_NOWAIT);
                left = 0;
                for (const struct caller *c = f->auth.callers; c != NULL; c = c->next)
                        left++;
        } while (left == callers);
        run_a_while(&f->auth.loop);
        free(a);
}

static bool has_received(const struct agent *a, char c)
{
        return strchr(a->reported, c) != NULL;
}

/* Connects and receives the welcome, by a held stream or a poll. */
static struct agent *present(struct fixture *f, struct hello h)
{
        struct agent *a = connect_agent(f, h);

        AWAIT(f, has_received(a, 'W') || has_received(a, '.'));
        run_a_while(&f->auth.loop);
        return a;
}

/* A poll from begin to end; its messages. */
static const char *poll(struct fixture *f, const char *host_id, const char *nonce)
{
        static char reported[sizeof((struct agent *)NULL)->reported];
        struct agent *a = present(f, (struct hello){ host_id, nonce });

        memcpy(reported, a->reported, sizeof(reported));
        hang_up(a);
        return reported;
}

static int64_t pause_of(struct fixture *f, const char *host_id, const char *nonce)
{
        struct agent *a = present(f, (struct hello){ host_id, nonce });
        int64_t pause = a->heartbeat_ms;

        hang_up(a);
        return pause;
}

static void given_full_table(struct fixture *f, struct agent *ret[HELD_MAX])
{
        static const char *const ids[] = { "host-2", "host-3" };

        for (size_t i = 0; i < HELD_MAX; i++) {
                ret[i] = present(f, (struct hello){ ids[i], "x" });
                assert_string_equal(ret[i]->reported, "WP");
        }
}

/* ---- the record --------------------------------------------------------------------------------------------- */

struct check {
        struct fixture *f;
        bool is_there, is_connected;
};

static void on_record(void *ctx, const struct state_record *record, struct error *err)
{
        struct check *l = ctx;
        AUTO_PTR(arena) arena = arena_new(ARENA_CAP);
        Cteleport__State__V1__Presence *presence = NULL;

        assert_null(err);
        l->is_there = record != NULL;
        if (record != NULL) {
                assert_null(presence_read(arena, record, &presence));
                l->is_connected = presence_is_connected(&l->f->auth, presence);
        }
        l->f->awaited--;
}

static struct check check(struct fixture *f, const char *host_id)
{
        struct check l = { .f = f };

        f->awaited++;
        state_get(f->auth.store, &presence_kind, str_of(host_id), on_record, &l);
        AWAIT(f, f->awaited == 0);
        return l;
}

static size_t duplicates_audited(struct fixture *f)
{
        AUTO_MEM char *path = path_in(f->dir, "events.log");
        AUTO(buf) text = BUF_MAX(1 * MiB);
        size_t count = 0;

        for (int i = 0; i < 20; i++) { /* the log is written on the pool */
                uv_run(&f->auth.loop.uv, UV_RUN_NOWAIT);
                buf_clear(&text);
                assert_null(file_read(path, &text));
        }
        for (const char *at = buf_c(&text); (at = strstr(at, "instance.duplicate")) != NULL; at++)
                count++;
        return count;
}

/* ---- tests ---------------------------------------------------------------------------------------------------- */

static void keeps_as_many_streams_as_it_holds(void **state)
{
        struct fixture *f = *state;
        struct agent *held[HELD_MAX];

        given_full_table(f, held);
        assert_string_equal(poll(f, "host-1", "a"), "PV.");
        assert_int_equal(f->auth.live.count, HELD_MAX);
        hang_up(held[0]);
        struct agent *a = present(f, (struct hello){ "host-1", "a" });
        assert_string_equal(a->reported, "WP");
        hang_up(a);
        hang_up(held[1]);
}

static void counts_an_agent_once_that_connects_again(void **state)
{
        struct fixture *f = *state;
        struct agent *held[HELD_MAX];

        given_full_table(f, held);
        struct agent *again = present(f, (struct hello){ "host-2", "x" });
        assert_string_equal(again->reported, "WP");
        assert_string_equal(held[0]->reported, "WP.");
        assert_int_equal(f->auth.presence_held, HELD_MAX);
        hang_up(again);
        hang_up(held[0]);
        hang_up(held[1]);
}

static void keeps_proxies_and_agents_that_do_not_poll(void **state)
{
        struct fixture *f = *state;
        struct agent *held[HELD_MAX];

        given_full_table(f, held);
        struct agent *old = present(f, (struct hello){ "host-1", "a", .stays = true });
        assert_string_equal(old->reported, "WP");
        hang_up(old);
        struct agent *proxy = present(f, (struct hello){ "host-1", "a", .service = "Proxy" });
        assert_true(str_starts_with(str_of(proxy->reported), STR("WP")));
        hang_up(proxy);
        for (size_t i = 0; i < HELD_MAX; i++)
                hang_up(held[i]);
}

static void lists_a_polling_host_until_it_is_late(void **state)
{
        struct fixture *f = *state;

        f->auth.presence_held_max = 0;
        assert_false(check(f, "host-1").is_there);
        assert_string_equal(poll(f, "host-1", "a"), "PV.");
        assert_true(check(f, "host-1").is_connected);
        loop_advance(&f->auth.loop, &f->clock, SECONDS(TTL_SECONDS / 2 + 10));
        assert_true(check(f, "host-1").is_connected);
        loop_advance(&f->auth.loop, &f->clock, SECONDS(TTL_SECONDS / 4));
        assert_true(check(f, "host-1").is_there);
        assert_false(check(f, "host-1").is_connected);
        loop_advance(&f->auth.loop, &f->clock, SECONDS(TTL_SECONDS / 4));
        assert_false(check(f, "host-1").is_there);
}

static void requests_polls_at_half_the_life_of_a_record(void **state)
{
        struct fixture *f = *state;

        int64_t pace = TTL_SECONDS * 1000 / 2;

        f->auth.presence_held_max = 0;
        assert_in_range(pause_of(f, "host-1", "a"), pace / 10, pace); /* at any revision */
        assert_int_equal(pause_of(f, "host-1", "a"), pace);
        loop_advance(&f->auth.loop, &f->clock, SECONDS(TTL_SECONDS / 2));
        assert_int_equal(pause_of(f, "host-1", "a"), pace);
        f->auth.presence_held_max = 1;
        assert_int_equal(pause_of(f, "host-1", "a"), pace);
}

static void spreads_polls_of_hosts_that_started_together(void **state)
{
        struct fixture *f = *state;
        int64_t least = INT64_MAX, most = 0;

        f->auth.presence_held_max = 0;
        for (int i = 0; i < 40; i++) {
                AUTO_MEM char *nonce = mem_printf("%d", i); /* each time another agent */
                int64_t pause = pause_of(f, "host-1", nonce);

                least = pause < least ? pause : least;
                most = pause > most ? pause : most;
        }
        assert_true(most > least + TTL_SECONDS * 1000 / 8);
}

static void does_not_list_a_held_host_that_has_left(void **state)
{
        struct fixture *f = *state;
        struct agent *a = present(f, (struct hello){ "host-1", "a" });

        assert_true(check(f, "host-1").is_connected);
        hang_up(a);
        assert_true(check(f, "host-1").is_there);
        assert_false(check(f, "host-1").is_connected);
}

static void refuses_the_poll_of_a_host_that_was_removed(void **state)
{
        struct fixture *f = *state;

        f->auth.presence_held_max = 0;
        struct agent *a = present(f, (struct hello){ "host-9", "a" });
        assert_string_equal(a->reported, ".");
        assert_int_equal(a->code, ERROR_UNAUTHENTICATED);
        assert_false(check(f, "host-9").is_there);
        hang_up(a);
}

static void reports_a_duplicate_when_a_polling_host_returns(void **state)
{
        struct fixture *f = *state;

        f->auth.presence_held_max = 0;
        assert_string_equal(poll(f, "host-1", "a"), "PV.");
        assert_string_equal(poll(f, "host-1", "a"), "PV.");
        assert_string_equal(poll(f, "host-1", "b"), "PV."); /* may be the same, started again */
        assert_int_equal(duplicates_audited(f), 0);
        assert_string_equal(poll(f, "host-1", "a"), "NPV.");
        assert_string_equal(poll(f, "host-1", "b"), "NPV.");
        AWAIT(f, duplicates_audited(f) == 1);
        loop_advance(&f->auth.loop, &f->clock, SECONDS(TTL_SECONDS - 1));
        assert_string_equal(poll(f, "host-1", "a"), "NPV.");
        run_a_while(&f->auth.loop);
        assert_int_equal(duplicates_audited(f), 1);
        loop_advance(&f->auth.loop, &f->clock, SECONDS(1));
        assert_string_equal(poll(f, "host-1", "b"), "NPV.");
        AWAIT(f, duplicates_audited(f) == 2);
        assert_string_equal(poll(f, "host-1", "b"), "PV."); /* the other one has been stopped */
}

static void reports_a_duplicate_of_a_polling_and_a_held_host(void **state)
{
        struct fixture *f = *state;
        struct agent *held[HELD_MAX];

        given_full_table(f, held);
        assert_string_equal(poll(f, "host-2", "clone"), "PNV.");
        assert_string_equal(held[0]->reported, "WPN");
        assert_string_equal(poll(f, "host-2", "clone"), "PNV.");
        AWAIT(f, duplicates_audited(f) == 1);
        for (size_t i = 0; i < HELD_MAX; i++)
                hang_up(held[i]);
}

static void does_not_wait_for_a_duplicate_that_is_dead(void **state)
{
        struct fixture *f = *state;
        struct agent *held[HELD_MAX];

        given_full_table(f, held);
        held[0]->is_unresponsive = true;
        f->auth.presence_held_max = 0;
        struct agent *a = connect_agent(f, (struct hello){ "host-2", "b" });
        AWAIT(f, has_received(a, 'P'));
        run_a_while(&f->auth.loop);
        assert_string_equal(a->reported, "P");
        loop_advance(&f->auth.loop, &f->clock, SECONDS(5));
        AWAIT(f, has_received(a, '.'));
        assert_string_equal(a->reported, "PV.");
        AWAIT(f, has_received(held[0], '.'));
        assert_int_equal(duplicates_audited(f), 0);
        hang_up(a);
        for (size_t i = 0; i < HELD_MAX; i++)
                hang_up(held[i]);
}

static void accepts_no_message_before_the_hello_was_answered(void **state)
{
        struct fixture *f = *state;
        struct agent *a = connect_agent(f, (struct hello){ "host-1", "a" });

        answer(a, "early");
        AWAIT(f, has_received(a, '.'));
        assert_int_equal(a->code, ERROR_INVALID_ARGUMENT);
        assert_string_equal(a->reported, ".");
        hang_up(a);
}

/* ---- earlier hosts ------------------------------------------------------------------------------------------------ */

static void remembers_as_many_former_agents_as_it_may(void **state)
{
        AUTO_PTR(arena) arena = arena_new(ARENA_CAP);
        Cteleport__State__V1__Presence record[LIMIT_PRESENCE_FORMER + 3];

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(record); i++) {
                AUTO_MEM char *nonce = mem_printf("%zu", i);

                cteleport__state__v1__presence__init(&record[i]);
                assert_false(duplicates_remember(arena, str_of(nonce), i == 0 ? NULL : &record[i - 1], &record[i]));
                assert_int_equal(record[i].n_former_nonces, i < LIMIT_PRESENCE_FORMER ? i : LIMIT_PRESENCE_FORMER);
        }
        const Cteleport__State__V1__Presence *last = &record[ARRAY_LEN(record) - 1];
        Cteleport__State__V1__Presence next = CTELEPORT__STATE__V1__PRESENCE__INIT;
        assert_false(duplicates_remember(arena, STR("0"), last, &next)); /* forgotten */
        cteleport__state__v1__presence__init(&next);
        assert_true(duplicates_remember(arena, str_of(last->former_nonces[LIMIT_PRESENCE_FORMER - 1]), last, &next));
        assert_int_equal(next.n_former_nonces, LIMIT_PRESENCE_FORMER);
        assert_string_equal(next.former_nonces[0], last->process_nonce);
}

static void finds_each_of_three_clones_that_take_turns(void **state)
{
        AUTO_PTR(arena) arena = arena_new(ARENA_CAP);
        Cteleport__State__V1__Presence known, next = CTELEPORT__STATE__V1__PRESENCE__INIT;
        static const char *const turns[] = { "a", "b", "c", "a", "b", "c" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(turns); i++) {
                known = next;
                cteleport__state__v1__presence__init(&next);
                assert_int_equal(duplicates_remember(arena, str_of(turns[i]), &known, &next), i >= 3);
        }
}

static void does_not_report_a_record_without_nonces(void **state)
{
        AUTO_PTR(arena) arena = arena_new(ARENA_CAP);
        Cteleport__State__V1__Presence old = CTELEPORT__STATE__V1__PRESENCE__INIT, next = CTELEPORT__STATE__V1__PRESENCE__INIT;

        (void)state;
        assert_false(duplicates_remember(arena, STR("a"), &old, &next));
        assert_int_equal(next.n_former_nonces, 0);
}

#define WITH_AUTH(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)

/* ---- paces ------------------------------------------------------------------------------------------------------ */

static void beat(struct agent *a)
{
        Cteleport__V1__PresenceUp up = CTELEPORT__V1__PRESENCE_UP__INIT;
        Cteleport__V1__PresenceUp__Heartbeat heartbeat = CTELEPORT__V1__PRESENCE_UP__HEARTBEAT__INIT;

        up.payload_case = CTELEPORT__V1__PRESENCE_UP__PAYLOAD_HEARTBEAT;
        up.heartbeat = &heartbeat;
        if (!has_received(a, '.'))
                rpc_client_send(a->call, &up.base);
        run_a_while(&a->f->auth.loop);
}

static void on_revision(void *ctx, const struct state_record *record, struct error *err)
{
        uint64_t *revision = ctx;

        assert_null(err);
        assert_non_null(record);
        *revision = record->revision;
}

/* Only these tests write to the store meanwhile, so that it counts the writes. */
static uint64_t revision_of(struct fixture *f, const char *host_id)
{
        uint64_t revision = 0;

        state_get(f->auth.store, &presence_kind, str_of(host_id), on_revision, &revision);
        AWAIT(f, revision != 0);
        return revision;
}

static void a_host_that_floods_causes_a_write_a_second(void **state)
{
        struct fixture *f = *state;
        struct agent *a = present(f, (struct hello){ "host-1", "a" });
        uint64_t first = revision_of(f, "host-1");

        for (int i = 0; i < 5 * LIMIT_PRESENCE_WRITES_BURST; i++)
                beat(a);
        assert_int_equal(revision_of(f, "host-1") - first, LIMIT_PRESENCE_WRITES_BURST - 1);
        loop_advance(&f->auth.loop, &f->clock, MILLISECONDS(PACE_PRESENCE_WRITE));
        run_a_while(&f->auth.loop);
        assert_int_equal(revision_of(f, "host-1") - first, LIMIT_PRESENCE_WRITES_BURST);
        assert_string_equal(a->reported, "WP");
        hang_up(a);
}

static void a_host_beyond_its_pace_ends_alone(void **state)
{
        struct fixture *f = *state;
        struct agent *a = present(f, (struct hello){ "host-1", "a" });
        struct agent *other = present(f, (struct hello){ "host-2", "b" });

        f->auth.presence_messages = (struct host_pace){ .per_minute = 60, .burst = 20, .what = "heartbeats and labels" };
        for (int i = 0; i < 20; i++)
                beat(a);
        assert_false(has_received(a, '.'));
        beat(a);
        AWAIT(f, has_received(a, '.'));
        assert_int_equal(a->code, ERROR_RESOURCE_EXHAUSTED);
        uint64_t before = revision_of(f, "host-2");
        beat(other);
        AWAIT(f, revision_of(f, "host-2") > before);
        assert_false(has_received(other, '.'));
        hang_up(a);
        hang_up(other);
        host_pace_release(&f->auth.presence_messages);
}

static void a_hello_of_a_distant_version_is_refused(void **state)
{
        static const struct row {
                const char *version, *join_method;
                bool may;
        } rows[] = { { CTELEPORT_VERSION, "iam", true }, { "9999.0.0", "iam", false }, { "0.1.0", "token", false }, { "9999.0.0", "local", true } };
        Cteleport__V1__PresenceUp__Hello hello = CTELEPORT__V1__PRESENCE_UP__HELLO__INIT;
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                hello.version = pb_text(rows[i].version);
                host.join_method = pb_text(rows[i].join_method);
                AUTO_PTR(error) err = presence_check_hello(&hello, &host);

                if ((err == NULL) != rows[i].may)
                        fail_msg("%s, %s", rows[i].version, rows[i].join_method);
                assert_true(err == NULL || error_is_for(err, REASON_REFUSED));
        }
}

static void labels_of_applications_by_commands_are_checked(void **state)
{
        static const struct row {
                const char *app, *name;
                size_t repeated;
                bool may;
        } rows[] = { { "wiki", "tier", 0, true }, { "wiki", "tier", 1, false }, { "other", "tier", 1, true }, { "wiki", "", 1, false } };
        Cteleport__V1__PresenceUp__AppLabel first = CTELEPORT__V1__PRESENCE_UP__APP_LABEL__INIT, second = first;
        Cteleport__V1__PresenceUp__AppLabel *list[LIMIT_LABEL_COMMANDS + 1] = { &first, &second };
        AUTO_MEM char *long_name = mem_alloc(LIMIT_LABEL_KEY + 2);

        (void)state;
        first.app = pb_text("wiki");
        first.name = pb_text("tier");
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                second.app = pb_text(rows[i].app);
                second.name = pb_text(rows[i].name);
                AUTO_PTR(error) err = presence_check_app_labels(list, 1 + rows[i].repeated);

                if ((err == NULL) != rows[i].may)
                        fail_msg("%s, %s", rows[i].app, rows[i].name);
        }
        memset(long_name, 'x', LIMIT_LABEL_KEY + 1);
        first.name = long_name;
        AUTO_PTR(error) too_long = presence_check_app_labels(list, 1);
        AUTO_PTR(error) too_many = presence_check_app_labels(list, LIMIT_LABEL_COMMANDS + 1);
        assert_true(too_long != NULL && too_many != NULL);
        second.app = pb_text("wiki");
        second.name = pb_text("teleport.dev/origin");
        first.name = pb_text("tier");
        assert_int_equal(presence_keep_app_labels(list, 2), 1);
        assert_ptr_equal(list[0], &first);
}

static void a_host_that_polls_in_a_loop_is_refused(void **state)
{
        struct fixture *f = *state;
        struct agent *held[HELD_MAX];

        given_full_table(f, held);
        f->auth.hellos = (struct host_pace){ .per_minute = 60, .burst = 3, .what = "presence streams" };
        for (int i = 0; i < 3; i++)
                assert_string_equal(poll(f, "host-1", "a"), "PV.");
        struct agent *a = present(f, (struct hello){ "host-1", "a" });
        assert_string_equal(a->reported, ".");
        assert_int_equal(a->code, ERROR_RESOURCE_EXHAUSTED);
        hang_up(a);
        given_host(f, "host-4");
        assert_string_equal(poll(f, "host-4", "b"), "PV."); /* another one is not */
        loop_advance(&f->auth.loop, &f->clock, SECONDS(1));
        assert_string_equal(poll(f, "host-1", "a"), "PV.");
        hang_up(held[0]);
        hang_up(held[1]);
        host_pace_release(&f->auth.hellos);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_AUTH(keeps_as_many_streams_as_it_holds),
                WITH_AUTH(counts_an_agent_once_that_connects_again),
                WITH_AUTH(keeps_proxies_and_agents_that_do_not_poll),
                WITH_AUTH(lists_a_polling_host_until_it_is_late),
                WITH_AUTH(requests_polls_at_half_the_life_of_a_record),
                WITH_AUTH(spreads_polls_of_hosts_that_started_together),
                WITH_AUTH(does_not_list_a_held_host_that_has_left),
                WITH_AUTH(refuses_the_poll_of_a_host_that_was_removed),
                WITH_AUTH(reports_a_duplicate_when_a_polling_host_returns),
                WITH_AUTH(reports_a_duplicate_of_a_polling_and_a_held_host),
                WITH_AUTH(does_not_wait_for_a_duplicate_that_is_dead),
                WITH_AUTH(accepts_no_message_before_the_hello_was_answered),
                WITH_AUTH(a_host_that_floods_causes_a_write_a_second),
                WITH_AUTH(a_host_beyond_its_pace_ends_alone),
                cmocka_unit_test(labels_of_applications_by_commands_are_checked),
                WITH_AUTH(a_host_that_polls_in_a_loop_is_refused),
                cmocka_unit_test(remembers_as_many_former_agents_as_it_may),
                cmocka_unit_test(finds_each_of_three_clones_that_take_turns),
                cmocka_unit_test(does_not_report_a_record_without_nonces),
                cmocka_unit_test(a_hello_of_a_distant_version_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
