/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixture for tests of session_service.c: a proxy that dials, and a node that reports a connection.
 */
#ifndef AUTH_SESSIONS_SESSION_NODE_TESTING_H
#define AUTH_SESSIONS_SESSION_NODE_TESTING_H

#include "auth/sessions/session_testing.h"
#include "rpc/pb.h"

#define SESSION_1 "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaa1"
#define SESSION_2 "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaa2"

/* ---- Dial ---------------------------------------------------------------------------------------------------- */

struct dialled {
        char id[64], host_id[64], service[32], resource[64];
        bool has_alternatives;
        struct error *err;
        bool is_done;
};

static inline UNUSED void on_dialled(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct dialled *d = ctx;
        const Cteleport__V1__DialResponse *m = (const Cteleport__V1__DialResponse *)answer;

        if (m != NULL) {
                snprintf(d->id, sizeof d->id, "%s", m->connection_id);
                snprintf(d->host_id, sizeof d->host_id, "%s", m->host_id);
                snprintf(d->service, sizeof d->service, "%s", m->service);
                snprintf(d->resource, sizeof d->resource, "%s", m->resource);
                d->has_alternatives = m->has_alternatives;
        }
        d->err = err;
        d->is_done = true;
}

static inline UNUSED struct dialled dial_message(struct testbed *w, const Cteleport__V1__DialRequest *m)
{
        struct rpc_client *proxy = connect_as(w, CALLER_PROXY, WEB_2, "");
        struct dialled d = { 0 };

        rpc_client_unary(proxy, (struct rpc_client_call_options){ .path = "/cteleport.v1.DialService/Dial",
                                                                  .response = &cteleport__v1__dial_response__descriptor },
                         &m->base, on_dialled, &d);
        AWAIT(w, d.is_done);
        rpc_client_close(proxy);
        AWAIT(w, w->a.callers == NULL);
        return d;
}

/* tried: ID of a host that the proxy could not reach; "": none. */
static inline UNUSED struct dialled dial_except(struct testbed *w, struct str cert, const char *kind, const char *target, const char *login,
                                                const char *tried)
{
        char *tried_host = pb_text(tried);
        Cteleport__V1__DialRequest m = CTELEPORT__V1__DIAL_REQUEST__INIT;
        Cteleport__V1__NodeLogin node = CTELEPORT__V1__NODE_LOGIN__INIT;

        m.user_cert = pb_bytes(cert);
        m.target = pb_text(target);
        m.kind = pb_text(kind);
        node.login = pb_text(login);
        m.node = &node;
        m.tried_hosts = &tried_host;
        m.n_tried_hosts = tried[0] != '\0';
        m.client_addr = pb_text("198.51.100.7:5022");
        return dial_message(w, &m);
}

static inline UNUSED struct dialled dial_kind(struct testbed *w, struct str cert, const char *kind, const char *target, const char *login)
{
        return dial_except(w, cert, kind, target, login, "");
}

static inline UNUSED struct dialled dial_with(struct testbed *w, struct str cert, const char *target, const char *login)
{
        return dial_kind(w, cert, "node", target, login);
}

static inline UNUSED struct dialled dial(struct testbed *w, const char *user, const char *target, const char *login)
{
        AUTO(buf) cert = tls_cert(&w->ca, user, 3600);

        return dial_with(w, buf_str(&cert), target, login);
}

/* ---- Report ---------------------------------------------------------------------------------------------------- */

struct node_side {
        struct testbed *w;
        struct rpc_client *client;
        struct rpc_client_call *call; /* NULL: done */
        struct error *err;
        uint64_t acked, acked_at_end, seq; /* acked_at_end: value when the order to end was received */
        bool is_older; /* acts as a release that does not wait for decisions on sessions */
        int decisions;
        bool is_allowed, permits_pty, permits_port_forwarding;
        char reason[256], terminated[256], record[32], app[64];
        char session_id[64]; /* that the last decision is about; empty: a certificate */
        bool decides_sessions;
        uint32_t port; /* of the last decision about an application */
};

static inline UNUSED void on_down(void *ctx, const ProtobufCMessage *msg)
{
        struct node_side *n = ctx;
        const Cteleport__V1__ReportDown *m = (const Cteleport__V1__ReportDown *)msg;

        switch (m->payload_case) {
        case CTELEPORT__V1__REPORT_DOWN__PAYLOAD_DECISION:
                n->decisions++;
                n->is_allowed = m->decision->is_allowed;
                n->decides_sessions |= m->decision->decides_sessions;
                snprintf(n->session_id, sizeof n->session_id, "%s", m->decision->session_id);
                const Cteleport__V1__NodePermits none = CTELEPORT__V1__NODE_PERMITS__INIT, *node = m->decision->node == NULL ? &none : m->decision->node;

                snprintf(n->app, sizeof n->app, "%s", m->decision->app == NULL ? "" : m->decision->app->name);
                n->port = m->decision->app == NULL ? 0 : m->decision->app->port;
                n->permits_pty = node->pty;
                n->permits_port_forwarding = node->port_forwarding;
                snprintf(n->reason, sizeof n->reason, "%s", m->decision->reason);
                snprintf(n->record, sizeof n->record, "%s", node->record);
                break;
        case CTELEPORT__V1__REPORT_DOWN__PAYLOAD_ACK:
                assert_true(m->ack->seq >= n->acked);
                n->acked = m->ack->seq;
                break;
        default:
                snprintf(n->terminated, sizeof n->terminated, "%s", m->terminate->reason);
                n->acked_at_end = n->acked;
        }
}

static inline UNUSED void on_done(void *ctx, struct error *err)
{
        struct node_side *n = ctx;

        n->call = NULL;
        n->err = err;
}

static const struct rpc_client_events report_events = { on_down, on_done };

static inline UNUSED void send_message(struct node_side *n, Cteleport__V1__ReportUp up)
{
        if (up.payload_case != CTELEPORT__V1__REPORT_UP__PAYLOAD_BEGIN && up.payload_case != CTELEPORT__V1__REPORT_UP__PAYLOAD_REQUEST)
                up.seq = ++n->seq;
        if (n->call != NULL)
                rpc_client_send(n->call, &up.base);
}

#define SEND(n, CASE, field, type, ...)                                                                                 \
        do {                                                                                                           \
                Cteleport__V1__##type body_ = __VA_ARGS__;                                                             \
                Cteleport__V1__ReportUp up_ = CTELEPORT__V1__REPORT_UP__INIT;                                          \
                up_.payload_case = CTELEPORT__V1__REPORT_UP__PAYLOAD_##CASE;                                           \
                up_.field = &body_;                                                                                    \
                send_message(n, up_);                                                                                           \
        } while (0)
#define TEXT(literal) pb_text(literal)

static inline UNUSED void report_stream(struct testbed *w, struct node_side *n, const char *host, const char *connection, bool is_resumed)
{
        uint64_t seq = n->seq;

        *n = (struct node_side){ .w = w, .seq = seq };
        n->client = connect_as(w, CALLER_NODE, host, "");
        n->call = rpc_client_call(n->client, (struct rpc_client_call_options){ .path = "/cteleport.v1.SessionService/Report",
                                                                               .response = &cteleport__v1__report_down__descriptor },
                                  &report_events, n);
        Cteleport__V1__ReportBegin m = CTELEPORT__V1__REPORT_BEGIN__INIT;
        m.connection_id = TEXT(connection);
        m.is_resumed = is_resumed;
        SEND(n, BEGIN, begin, ReportBegin, m);
}

/* Breaks the stream, whatever its state. */
static inline UNUSED void leave(struct node_side *n)
{
        rpc_client_close(n->client);
        AWAIT(n->w, n->w->a.callers == NULL && n->call == NULL);
        error_free(n->err);
        n->err = NULL;
}

static inline UNUSED void send_request(struct node_side *n, struct str cert, const char *login)
{
        Cteleport__V1__ReportRequest m = CTELEPORT__V1__REPORT_REQUEST__INIT;
        Cteleport__V1__NodeLogin node = CTELEPORT__V1__NODE_LOGIN__INIT;
        int before = n->decisions;

        m.certificate = pb_bytes(cert);
        node.login = TEXT(login);
        m.node = &node;
        SEND(n, REQUEST, request, ReportRequest, m);
        AWAIT(n->w, n->decisions > before || n->call == NULL);
}

static inline UNUSED void accepted(struct node_side *n, struct str cert, const char *login)
{
        Cteleport__V1__ReportAccepted m = CTELEPORT__V1__REPORT_ACCEPTED__INIT;
        Cteleport__V1__NodeLogin node = CTELEPORT__V1__NODE_LOGIN__INIT;

        m.certificate = pb_bytes(cert);
        node.login = TEXT(login);
        m.node = &node;
        SEND(n, ACCEPTED, accepted, ReportAccepted, m);
}

static inline UNUSED void started(struct node_side *n, const char *id, const char *kind, const char *command)
{
        Cteleport__V1__ReportStart m = CTELEPORT__V1__REPORT_START__INIT;

        m.session_id = TEXT(id);
        m.kind = TEXT(kind);
        m.command = TEXT(command);
        m.has_pty = m.is_recorded = strcmp(kind, "shell") == 0;
        m.columns = 80;
        m.rows = 24;
        m.term = TEXT("xterm");
        m.wants_decision = !n->is_older;
        SEND(n, START, start, ReportStart, m);
}

static inline UNUSED void exited(struct node_side *n, const char *id, int code)
{
        Cteleport__V1__ReportExit m = CTELEPORT__V1__REPORT_EXIT__INIT;

        m.session_id = TEXT(id);
        m.code = code;
        SEND(n, EXIT, exit, ReportExit, m);
}

static inline UNUSED void over(struct node_side *n)
{
        Cteleport__V1__ReportClosed m = CTELEPORT__V1__REPORT_CLOSED__INIT;

        m.bytes_to_client = 4000;
        m.bytes_from_client = 300;
        SEND(n, CLOSED, closed, ReportClosed, m);
}

#define AWAIT_ACK(n, number) AWAIT((n)->w, (n)->acked == (number) || (n)->call == NULL)

/* Logs alice in to web-1 as root and starts her shell. */
static inline UNUSED struct dialled given_shell(struct testbed *w, struct node_side *n)
{
        struct dialled d = dial(w, "alice", "web-1", "root");
        AUTO(buf) cert = ssh_cert(&w->ca, "alice", "root", 3600);

        assert_done(d.err);
        report_stream(w, n, WEB_1, d.id, false);
        send_request(n, buf_str(&cert), "root");
        assert_true(n->is_allowed);
        accepted(n, buf_str(&cert), "root");
        started(n, SESSION_1, "shell", "");
        AWAIT_ACK(n, 2);
        assert_non_null(n->call);
        return d;
}

/* Ends the connection; the cluster accepts this without an error. */
static inline UNUSED void end_in_order(struct testbed *w, struct node_side *n)
{
        over(n);
        AWAIT(w, n->call == NULL);
        assert_done(n->err);
        n->err = NULL;
        leave(n);
}

#endif
