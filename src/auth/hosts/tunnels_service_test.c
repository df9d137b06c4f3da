/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/hosts/tunnels_service.h"

#include "auth/core/caller.h"
#include "auth/hosts/app_addresses.h"
#include "auth/sessions/kinds.h"
#include "auth/sessions/session_app_testing.h"
#include "base/log.h"

#define CONNECTION_1 "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaa1"

#define BOTH "44444444-4444-4444-8444-444444444444"

/* The orders of auth to a proxy to end tunnels. */
struct orders {
        int count;
        char host_id[64], role[16];
        char addresses[256]; /* "name=application ", as they were sent last */
        char names[256];     /* of offered applications, "name ", likewise */
        struct rpc_client_call *call; /* to auth */
};

static void on_order(void *ctx, const ProtobufCMessage *msg)
{
        struct orders *o = ctx;

        const Cteleport__V1__AppAddresses *addresses = ((const Cteleport__V1__TunnelsDown *)msg)->app_addresses;

        if (addresses != NULL) {
                o->addresses[0] = o->names[0] = '\0';
                for (size_t i = 0; i < addresses->n_addresses; i++)
                        snprintf(o->addresses + strlen(o->addresses), sizeof o->addresses - strlen(o->addresses), "%s=%s ", addresses->addresses[i]->addr,
                                 addresses->addresses[i]->app);
                for (size_t i = 0; i < addresses->n_names; i++)
                        snprintf(o->names + strlen(o->names), sizeof o->names - strlen(o->names), "%s ", addresses->names[i]);
                return;
        }
        snprintf(o->host_id, sizeof o->host_id, "%s", ((const Cteleport__V1__TunnelsDown *)msg)->host_id);
        snprintf(o->role, sizeof o->role, "%s", ((const Cteleport__V1__TunnelsDown *)msg)->role);
        o->count++;
}

static void on_orders_done(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err);
}

static void given_locked_host(struct testbed *w, const char *id)
{
        Cteleport__V1__LockTarget target = CTELEPORT__V1__LOCK_TARGET__INIT;
        uint64_t before = directory_locks_written(w->a.directory);

        target.server_id = pb_text(id);
        given_lock(w, target);
        AWAIT(w, directory_locks_written(w->a.directory) > before);
        tunnels_recheck(&w->a); /* as the watch of the listener does */
        AWAIT(w, !w->a.is_rechecking_tunnels);
}

/* A proxy that reports its tunnels. */
static struct rpc_client *given_proxy(struct testbed *w, struct orders *o)
{
        static const struct rpc_client_events events = { .on_message = on_order, .on_done = on_orders_done };
        struct rpc_client *proxy = connect_as(w, CALLER_PROXY, "33333333-3333-4333-8333-333333333333", "");
        struct rpc_client_call *call = rpc_client_call(proxy,
                                                       (struct rpc_client_call_options){ .path = "/cteleport.v1.DialService/Tunnels",
                                                                                         .response = &cteleport__v1__tunnels_down__descriptor },
                                                       &events, o);

        o->call = call;
        AWAIT(w, w->a.tunnels != NULL);
        return proxy;
}

static void a_locked_node_loses_its_tunnels_with_its_connections(void **state)
{
        struct testbed *w = *state;
        struct orders o = { 0 };
        struct rpc_client *proxy = given_proxy(w, &o);

        given_node(w, WEB_2, "web-2", "prod");
        given_locked_host(w, WEB_2); /* without connections: at once */
        AWAIT(w, o.count == 1);
        assert_string_equal(o.host_id, WEB_2);
        for (int i = 0; i < 2; i++) { /* with the last connection, or at the deadline */
                assert_done(sessions_enter_node(w->a.sessions, STR(CONNECTION_1), kind_find("node"), STR(WEB_1), STR("alice")));
                given_locked_host(w, WEB_1);
                run_a_while(&w->a.loop);
                assert_int_equal(o.count, 1 + i);
                if (i == 0)
                        sessions_leave_node(w->a.sessions, STR(CONNECTION_1));
                loop_advance(&w->a.loop, &w->clock, MILLISECONDS(i == 0 ? 1 : TIMEOUT_LOCKED_TUNNEL));
                AWAIT(w, o.count == 2 + i);
                assert_string_equal(o.host_id, WEB_1);
        }
        sessions_leave_node(w->a.sessions, STR(CONNECTION_1));
        assert_null(w->a.locked_hosts);
        rpc_client_close(proxy);
        AWAIT(w, w->a.callers == NULL);
}

static bool leads_to(struct testbed *w, const struct orders *o, const char *expected)
{
        loop_advance(&w->a.loop, &w->clock, MILLISECONDS(PACE_APP_ADDRESSES));
        return strcmp(o->addresses, expected) == 0;
}

static void an_address_leads_to_one_application_or_none(void **state)
{
        struct testbed *w = *state;
        struct orders o = { 0 };
        char *warnings[APP_WARNINGS];
        AUTO_PTR(arena) arena = arena_new(APP_ADDRESSES_ARENA);

        given_app_host_at(w, APPS_1, "grafana", "http://a:1", "prod", "g.example.org");
        run_a_while(&w->a.loop);
        struct rpc_client *proxy = given_proxy(w, &o);
        AWAIT(w, leads_to(w, &o, "g.example.org=grafana ")); /* at the begin of the stream */
        given_app_host_at(w, APPS_2, "grafana", "http://a:1", "prod", "g2.example.org"); /* a host gives no address to the application of another */
        AWAIT(w, leads_to(w, &o, ""));
        assert_int_equal(app_warnings(&w->a, arena, warnings), 1);
        given_app_host_at(w, APPS_1, "grafana", "http://a:1", "prod", "g2.example.org");
        AWAIT(w, leads_to(w, &o, "g2.example.org=grafana "));
        assert_int_equal(app_warnings(&w->a, arena, warnings), 0);
        given_app_host_at(w, APPS_1, "grafana", "http://a:1", "prod", "g.example.org");
        given_app_host_at(w, APPS_2, "evil", "http://a:1", "prod", "g.example.org");
        AWAIT(w, leads_to(w, &o, "g.example.org= "));
        assert_int_equal(app_warnings(&w->a, arena, warnings), 1);
        given_app_host_at(w, APPS_2, "grafana", "http://b:1", "prod", "g.example.org");
        AWAIT(w, leads_to(w, &o, "g.example.org=grafana "));
        assert_int_equal(app_warnings(&w->a, arena, warnings), 1); /* of the URIs */
        given_app_host_at(w, APPS_1, "grafana", "http://b:1", "prod", "");
        AWAIT(w, leads_to(w, &o, ""));
        given_app_host_at(w, APPS_2, "grafana", "http://b:1", "prod", "");
        AWAIT(w, app_warnings(&w->a, arena, warnings) == 0);
        rpc_client_close(proxy);
        AWAIT(w, w->a.callers == NULL);
}

static bool are_offered(struct testbed *w, const struct orders *o, const char *expected)
{
        loop_advance(&w->a.loop, &w->clock, MILLISECONDS(PACE_APP_ADDRESSES));
        return strcmp(o->names, expected) == 0;
}

static void proxies_know_the_names_of_offered_applications(void **state)
{
        struct testbed *w = *state;
        struct orders o = { 0 };

        given_app_host_at(w, APPS_1, "wiki", "http://a:1", "prod", "");
        run_a_while(&w->a.loop);
        struct rpc_client *proxy = given_proxy(w, &o);
        AWAIT(w, are_offered(w, &o, "wiki "));
        given_app_host_at(w, APPS_2, "grafana", "http://a:1", "prod", "");
        AWAIT(w, are_offered(w, &o, "grafana wiki "));
        given_app_host_at(w, APPS_2, "wiki", "http://a:1", "prod", "");
        AWAIT(w, are_offered(w, &o, "wiki "));
        given_app_host_at(w, APPS_1, "mail", "http://a:1", "prod", ""); /* the other host still offers it */
        AWAIT(w, are_offered(w, &o, "mail wiki "));
        rpc_client_close(proxy);
        AWAIT(w, w->a.callers == NULL);
}

/* Numbers of reads of the store that fail next, and the last one that has. */
static struct {
        int gets, scans;
        void (*got)(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err);
        void (*scanned)(void *ctx, struct error *err);
        void *ctx;
} failing;

static struct error *store_error(void)
{
        return error_new(ERROR_UNAVAILABLE, "the store does not answer");
}

static void fail_get(void *unused UNUSED)
{
        failing.got(failing.ctx, NULL, 0, store_error());
}

static void fail_scan(void *unused UNUSED)
{
        failing.scanned(failing.ctx, store_error());
}

typedef void host_done(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err);
void __real_host_get(struct store *s, struct str host_id, host_done *done, void *ctx);
void __wrap_host_get(struct store *s, struct str host_id, host_done *done, void *ctx);

/* Replaces host_get() (--wrap in meson.build). */
void __wrap_host_get(struct store *s, struct str host_id, host_done *done, void *ctx)
{
        if (failing.gets == 0) {
                __real_host_get(s, host_id, done, ctx);
                return;
        }
        failing.gets--;
        failing.got = done;
        failing.ctx = ctx;
        loop_defer(store_loop(s), fail_get, NULL);
}

typedef struct error *scan_each(void *ctx, const struct state_record *record);
typedef void scan_done(void *ctx, struct error *err);
void __real_state_scan(struct store *s, const struct state_kind *kind, const bool *is_stopped, scan_each *each, scan_done *done, void *ctx);
void __wrap_state_scan(struct store *s, const struct state_kind *kind, const bool *is_stopped, scan_each *each, scan_done *done, void *ctx);

/* Replaces state_scan() in the same way. */
void __wrap_state_scan(struct store *s, const struct state_kind *kind, const bool *is_stopped, scan_each *each, scan_done *done, void *ctx)
{
        if (failing.scans == 0) {
                __real_state_scan(s, kind, is_stopped, each, done, ctx);
                return;
        }
        failing.scans--;
        failing.scanned = done;
        failing.ctx = ctx;
        loop_defer(store_loop(s), fail_scan, NULL);
}

static void a_locked_node_loses_its_tunnels_after_errors_of_the_store(void **state)
{
        struct testbed *w = *state;
        struct orders o = { 0 };
        struct rpc_client *proxy = given_proxy(w, &o);

        assert_done(sessions_enter_node(w->a.sessions, STR(CONNECTION_1), kind_find("node"), STR(WEB_1), STR("alice")));
        failing.scans = 1;
        given_locked_host(w, WEB_1);
        assert_int_equal(failing.scans, 0);
        assert_null(w->a.locked_hosts);
        loop_advance(&w->a.loop, &w->clock, MILLISECONDS(TIMEOUT_LOCKED_TUNNEL)); /* all hosts are read again */
        AWAIT(w, w->a.locked_hosts != NULL);
        failing.gets = 1;
        loop_advance(&w->a.loop, &w->clock, MILLISECONDS(TIMEOUT_LOCKED_TUNNEL));
        AWAIT(w, failing.gets == 0);
        run_a_while(&w->a.loop);
        assert_int_equal(o.count, 0);
        loop_advance(&w->a.loop, &w->clock, MILLISECONDS(TIMEOUT_LOCKED_TUNNEL)); /* the host is read again */
        AWAIT(w, o.count == 1);
        assert_string_equal(o.host_id, WEB_1);
        assert_null(w->a.locked_hosts);
        given_locked_host(w, WEB_1);
        failing.gets = 1;
        loop_advance(&w->a.loop, &w->clock, MILLISECONDS(TIMEOUT_LOCKED_TUNNEL));
        AWAIT(w, failing.gets == 0);
        tunnels_forget_locked(&w->a); /* before the answer */
        run_a_while(&w->a.loop);
        assert_null(w->a.locked_hosts);
        sessions_leave_node(w->a.sessions, STR(CONNECTION_1));
        rpc_client_close(proxy);
        AWAIT(w, w->a.callers == NULL);
}

/* A host with these system roles, "Node" or "App" or both. */
static void given_host_of(struct testbed *w, const char *id, char **roles, size_t count)
{
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;
        AUTO_MEM char *at = mem_printf("/hosts/%s", id);

        host.host_id = pb_text(id);
        host.hostname = pb_text("both");
        host.system_roles = roles;
        host.n_system_roles = count;
        put_message(w, at, &host.base);
}

/* A proxy reports that a host has opened a tunnel, or that its last one has closed; role NULL: as an older proxy does. */
static void report_tunnel(struct orders *o, const char *host_id, const char *role, bool is_closed)
{
        Cteleport__V1__TunnelsUp up = CTELEPORT__V1__TUNNELS_UP__INIT;
        char *ids[] = { pb_text(host_id) }, *roles[] = { pb_text(role == NULL ? "" : role) };

        if (is_closed) {
                up.closed_host_ids = ids;
                up.n_closed_host_ids = 1;
                up.closed_roles = roles;
                up.n_closed_roles = role != NULL;
        } else {
                up.host_ids = ids;
                up.n_host_ids = 1;
                up.roles = roles;
                up.n_roles = role != NULL;
        }
        rpc_client_send(o->call, &up.base);
}

static bool reaches(const struct testbed *w, const char *role)
{
        return tunnels_reach(&w->a, STR(BOTH), str_of(role));
}

static void a_host_is_reached_in_each_role_by_its_own_tunnel(void **state)
{
        struct testbed *w = *state;
        struct orders o = { 0 };
        struct rpc_client *proxy = given_proxy(w, &o);
        char *roles[] = { pb_text("Node"), pb_text("App") };

        given_host_of(w, BOTH, roles, 2);
        report_tunnel(&o, BOTH, "App", false);
        AWAIT(w, reaches(w, "App"));
        assert_false(reaches(w, "Node"));
        report_tunnel(&o, BOTH, NULL, false);
        AWAIT(w, reaches(w, "Node"));
        assert_true(reaches(w, "App"));
        assert_false(reaches(w, "Proxy") || reaches(w, "Db") || reaches(w, ""));
        report_tunnel(&o, BOTH, NULL, true);
        AWAIT(w, !reaches(w, "Node"));
        assert_true(reaches(w, "App"));
        report_tunnel(&o, BOTH, "App", true);
        AWAIT(w, !reaches(w, "App"));
        assert_int_equal(w->a.tunnels == NULL, false);
        assert_int_equal(o.count, 0);
        rpc_client_close(proxy);
        AWAIT(w, w->a.callers == NULL);
}

/* It joined for one role: the tunnel of the other one ends, and only that. */
static void a_tunnel_in_a_role_that_the_host_lacks_is_ended(void **state)
{
        struct testbed *w = *state;
        struct orders o = { 0 };
        struct rpc_client *proxy = given_proxy(w, &o);
        char *roles[] = { pb_text("App") };

        given_host_of(w, BOTH, roles, 1);
        report_tunnel(&o, BOTH, "App", false);
        report_tunnel(&o, BOTH, "Node", false);
        AWAIT(w, o.count == 1);
        assert_string_equal(o.host_id, BOTH);
        assert_string_equal(o.role, "Node");
        assert_true(reaches(w, "App"));
        assert_false(reaches(w, "Node"));
        report_tunnel(&o, BOTH, "Proxy", false); /* no role of tunnels: ignored */
        report_tunnel(&o, BOTH, "Nothing", false);
        report_tunnel(&o, "../x", "App", false);
        run_a_while(&w->a.loop);
        assert_int_equal(o.count, 1);
        rpc_client_close(proxy);
        AWAIT(w, w->a.callers == NULL);
}

/* A host joined again, for other roles: its connections to proxies in the roles that it has lost end. */
static void a_host_loses_the_tunnels_of_lost_roles(void **state)
{
        struct testbed *w = *state;
        struct orders o = { 0 };
        struct rpc_client *proxy = given_proxy(w, &o);
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;
        char *roles[] = { pb_text("Node"), pb_text("Proxy") };

        host.host_id = pb_text(BOTH);
        host.system_roles = roles;
        host.n_system_roles = ARRAY_LEN(roles);
        callers_drop_lost_roles(&w->a, &host);
        AWAIT(w, o.count > 0);
        assert_string_equal(o.role, "App");
        run_a_while(&w->a.loop);
        assert_int_equal(o.count, 1);
        rpc_client_close(proxy);
        AWAIT(w, w->a.callers == NULL);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, testbed_open, testbed_close)
        const struct CMUnitTest tests[] = {
                ROW(a_locked_node_loses_its_tunnels_with_its_connections),
                ROW(an_address_leads_to_one_application_or_none),
                ROW(proxies_know_the_names_of_offered_applications),
                ROW(a_locked_node_loses_its_tunnels_after_errors_of_the_store),
                ROW(a_host_is_reached_in_each_role_by_its_own_tunnel),
                ROW(a_tunnel_in_a_role_that_the_host_lacks_is_ended),
                ROW(a_host_loses_the_tunnels_of_lost_roles),
        };
#undef ROW
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
