/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixture for tests of connections to applications: hosts that offer them, users who may use them, and their sessions.
 */
#ifndef AUTH_SESSIONS_SESSION_APP_TESTING_H
#define AUTH_SESSIONS_SESSION_APP_TESTING_H

#include "access/access.h"
#include "auth/sessions/session_node_testing.h"

#define APPS_1 "33333333-3333-4333-8333-333333333331"
#define APPS_2 "33333333-3333-4333-8333-333333333332"

/* A host with one application of this name, spec and label env. */
static inline UNUSED void given_app_host_with(struct testbed *w, const char *id, const char *app_name, const char *env, Cteleport__V1__AppSpec *spec)
{
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;
        Cteleport__State__V1__Presence p = CTELEPORT__STATE__V1__PRESENCE__INIT;
        Cteleport__V1__App app = CTELEPORT__V1__APP__INIT, *apps[] = { &app };
        Cteleport__V1__Metadata metadata = CTELEPORT__V1__METADATA__INIT;
        Cteleport__V1__Metadata__LabelsEntry label = CTELEPORT__V1__METADATA__LABELS_ENTRY__INIT, *labels[] = { &label };
        char *services[] = { pb_text("App") };
        AUTO_MEM char *host_at = mem_printf("/hosts/%s", id);
        AUTO_MEM char *presence_at = mem_printf("/presence/%s", id);

        host.host_id = p.host_id = pb_text(id);
        host.hostname = p.hostname = pb_text("apps");
        host.system_roles = services;
        host.n_system_roles = 1;
        p.services = services;
        p.n_services = 1;
        p.apps = apps;
        p.n_apps = 1;
        app.metadata = &metadata;
        app.spec = spec;
        metadata.name = pb_text(app_name);
        metadata.labels = labels;
        metadata.n_labels = 1;
        label.key = pb_text("env");
        label.value = pb_text(env);
        put_message(w, host_at, &host.base);
        put_message(w, presence_at, &p.base);
}

static inline UNUSED void given_app_host_at(struct testbed *w, const char *id, const char *app_name, const char *uri, const char *env, const char *public_addr)
{
        Cteleport__V1__AppSpec spec = CTELEPORT__V1__APP_SPEC__INIT;

        spec.uri = pb_text(uri);
        spec.public_addr = pb_text(public_addr);
        given_app_host_with(w, id, app_name, env, &spec);
}

static inline UNUSED void given_app_host(struct testbed *w, const char *id, const char *app_name, const char *uri, const char *env)
{
        given_app_host_at(w, id, app_name, uri, env, "");
}

/* The role that alice has reaches the applications with this env; "": none. */
static inline UNUSED void given_app_role(struct testbed *w, const char *env)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        Cteleport__V1__Role *role = access_preset(a, STR("access"));
        Cteleport__V1__RoleConditions__AppLabelsEntry entry = CTELEPORT__V1__ROLE_CONDITIONS__APP_LABELS_ENTRY__INIT, *entries[] = { &entry };
        Cteleport__V1__Strings values = CTELEPORT__V1__STRINGS__INIT;
        char *value = pb_text(env);

        entry.key = pb_text("env");
        entry.value = &values;
        values.values = &value;
        values.n_values = 1;
        role->spec->allow->app_labels = entries;
        role->spec->allow->n_app_labels = env[0] != '\0';
        put_message(w, "/roles/access", &role->base);
}

static inline UNUSED struct dialled dial_app_except(struct testbed *w, const char *user, const char *name, const char *tried)
{
        AUTO(buf) cert = tls_cert(&w->ca, user, 3600);

        return dial_except(w, buf_str(&cert), "app", name, "", tried);
}

static inline UNUSED struct dialled dial_app(struct testbed *w, const char *name)
{
        return dial_app_except(w, "alice", name, "");
}

/* One of its tcp_ports; 0: none. */
static inline UNUSED struct dialled dial_app_port(struct testbed *w, const char *name, uint32_t port)
{
        AUTO(buf) cert = tls_cert(&w->ca, "alice", 3600);
        Cteleport__V1__DialRequest m = CTELEPORT__V1__DIAL_REQUEST__INIT;
        Cteleport__V1__AppDial app = CTELEPORT__V1__APP_DIAL__INIT;

        app.port = port;
        m.user_cert = pb_bytes(buf_str(&cert));
        m.target = pb_text(name);
        m.kind = pb_text("app");
        m.app = &app;
        m.client_addr = pb_text("198.51.100.7:5022");
        return dial_message(w, &m);
}

/* A host whose application grafana has the ports 80, and 8000 to 8010. */
static inline UNUSED void given_app_host_with_ports(struct testbed *w, const char *id)
{
        Cteleport__V1__AppPort one = CTELEPORT__V1__APP_PORT__INIT, range = CTELEPORT__V1__APP_PORT__INIT, *ports[] = { &one, &range };
        Cteleport__V1__AppSpec spec = CTELEPORT__V1__APP_SPEC__INIT;

        one.port = 80;
        range.port = 8000;
        range.end_port = 8010;
        spec.uri = pb_text("tcp://10.0.0.1");
        spec.tcp_ports = ports;
        spec.n_tcp_ports = ARRAY_LEN(ports);
        given_app_host_with(w, id, "grafana", "prod", &spec);
}

/* A Report stream of the host; the certificate is shown to it, and accepted. */
static inline UNUSED struct dialled given_app_session_at(struct testbed *w, struct node_side *n, struct str cert, uint32_t port)
{
        struct dialled d = dial_app_port(w, "grafana", port);

        assert_done(d.err);
        w->role = "App";
        report_stream(w, n, APPS_1, d.id, false);
        send_request(n, cert, "");
        assert_true(n->is_allowed);
        assert_string_equal(n->app, "grafana");
        accepted(n, cert, "");
        started(n, SESSION_1, "app", "");
        AWAIT_ACK(n, 2);
        assert_non_null(n->call);
        return d;
}

static inline UNUSED struct dialled given_app_session(struct testbed *w, struct node_side *n, struct str cert)
{
        return given_app_session_at(w, n, cert, 0);
}

#endif
