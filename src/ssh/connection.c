/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   incoming ── sshd requested ──▶ STARTING ── socket received ──▶ OPEN ── one side closed, or ordered to end ─────▶ ENDING
 *                                     └──────── sshd did not start ─────────────────────────────────────────────────▶ │
 *      freed ◀─ all is acknowledged, or deadline expired ── REPORTING ◀── sshd and its programs ended ────────────────┘
 */
#include <stdlib.h>

#include "agent/idle_watch.h"
#include "agent/report_stream.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/names.h"
#include "base/text.h"
#include "loop/conversation.h"
#include "net/socket.h"
#include "pki/cert.h"
#include "pki/login_permit.h"
#include "rpc/pb.h"
#include "ssh/helper_policy.h"
#include "ssh/ssh_service.h"
#include "ssh/sshd_log.h"
#include "tunnel/tunnel_memory.h"

enum connection_state { STARTING, OPEN, ENDING, REPORTING };

static const struct conversation_state states[] = {
        [STARTING] = { "starting", MILLISECONDS(TIMEOUT_SSHD_START), TO(OPEN) | TO(ENDING) },
        /* No deadline: a session may last as long as its user likes. */
        [OPEN] = { "open", SECONDS(0), TO(ENDING) },
        /* sshd and its programs end within seconds, or the supervisor kills them. The deadline is for messages that were lost. */
        [ENDING] = { "ending", MILLISECONDS(TIMEOUT_SSH_ENDING), TO(REPORTING) },
        [REPORTING] = { "reporting", MILLISECONDS(TIMEOUT_REPORT_LAST), 0 },
};

enum { DECISION_ARENA_MAX = 128 * KiB };

/* A query of sshd about a certificate. */
struct query {
        struct query *next;
        struct arena *arena;
        struct str certificate, login, nonce;
        uint64_t serial;
        void (*done)(void *ctx, const Cteleport__V1__ReportDecision *decision, struct error *err); /* NULL: answered */
        void *ctx;
        struct timer *deadline;
        struct error *err; /* the query was not sent; reported when the deadline expires, at once */
        Cteleport__V1__ReportDecision *decision; /* unpacked; NULL: no decision yet */
};

struct connection {
        struct ssh_service *service;
        char *id, *client_addr, *user;
        struct conversation at;
        struct report_stream *report_stream;

        struct tunnel_incoming *poll; /* until it is accepted or refused */
        struct stream *log;         /* sshd's standard error; NULL: not received yet, or at its end */
        struct sshd_log log_state;
        struct splice *splice;      /* NULL: not started yet, or ended */
        struct tunnel_memory memory; /* of the splice */
        bool has_sshd;              /* requested, and its end was not reported */
        uint64_t bytes_to_client, bytes_from_client;

        struct query *queries;
        size_t query_count;
        const struct query *accepted; /* the query whose decision sshd has applied */

        struct helper **helpers;
        size_t helper_count, helper_room;
        uint64_t sessions_started;  /* number that sshd has started, according to its log */
        uint64_t sessions_reported; /* number whose programs have reported, possibly before the line of the log */
        struct timer *unreported;   /* running: more sessions were started than have reported */
        struct idle_watch idle;
        struct timer *closing; /* running: the next step of closing is pending */
        enum { KEEP_SPLICE, CUT_SPLICE } close_step;
        char *reason;           /* why this process ends it; NULL: it ended by itself */
        bool is_free_due, is_abandoned; /* is_abandoned: the process is ending */
};

/* ---- release --------------------------------------------------------------------------------------------- */

static void query_free(struct query *q)
{
        timer_free(q->deadline);
        error_free(q->err);
        if (q->decision != NULL)
                cteleport__v1__report_decision__free_unpacked(q->decision, NULL);
        arena_free(q->arena);
        free(q);
}

static void connection_free(struct connection *c)
{
        map_remove(&c->service->connections, str_of(c->id));
        metric_set_at(METRIC_SSH_CONNECTIONS, 0, (int64_t)c->service->connections.count);
        report_stream_free(c->report_stream);
        stream_close(c->log);
        while (c->queries != NULL) {
                struct query *q = c->queries;

                c->queries = q->next;
                query_free(q);
        }
        conversation_release(&c->at);
        timer_free(c->closing);
        timer_free(c->unreported);
        idle_watch_release(&c->idle);
        free(c->helpers);
        free(c->reason);
        if (c->user[0] != '\0')
                shares_remove(&c->service->user_connections, str_of(c->user));
        free(c->user);
        free(c->client_addr);
        free(c->id);
        free(c);
}

static void on_free_turn(void *ctx)
{
        struct connection *c = ctx;
        struct ssh_service *s = c->service;

        connection_free(c);
        loop_trim_later(&s->loop);
        ssh_connection_gone(s);
}

/* Frees the connection in a later turn of the loop, because a caller up the stack may still use it. */
static void free_soon(struct connection *c)
{
        if (c->is_free_due)
                return;
        c->is_free_due = true;
        loop_defer(&c->service->loop, on_free_turn, c);
}

static void answer_query(struct query *q, const Cteleport__V1__ReportDecision *decision, struct error *err)
{
        void (*done)(void *ctx, const Cteleport__V1__ReportDecision *d, struct error *e) = q->done;

        q->done = NULL;
        timer_stop(q->deadline);
        if (done != NULL)
                done(q->ctx, decision, err);
        else
                error_free(err);
}

/* Enters REPORTING when no part is left that could add to the report. */
static void end_if_quiet(struct connection *c)
{
        if (c->at.state != ENDING || c->has_sshd || c->splice != NULL || c->helper_count > 0 || c->log != NULL)
                return;
        timer_stop(c->closing);
        conversation_enter(&c->at, REPORTING);
        log_debug("An SSH connection has ended", LOG_C("connection", c->id), LOG_C("reason", c->reason == NULL ? "" : c->reason));
        report_stream_close(c->report_stream, c->bytes_to_client, c->bytes_from_client, c->reason);
}

static void stop_sshd(struct connection *c);

/* Gives up parts that did not end in time, so that the cluster learns of the end and the connection no longer counts as open. */
static void abandon(struct connection *c)
{
        log_warn("An SSH connection does not end and is given up", LOG_C("connection", c->id), LOG_INT("sshd", c->has_sshd),
                 LOG_INT("programs", (int64_t)c->helper_count), LOG_INT("open", c->splice != NULL), LOG_INT("log", c->log != NULL));
        stop_sshd(c);
        c->has_sshd = false;
        while (c->helper_count > 0)
                helper_abandon(c->helpers[0]);
        stream_close(c->log);
        c->log = NULL;
        if (c->splice != NULL)
                splice_cancel(c->splice); /* on_spliced continues */
        end_if_quiet(c);
}

static void on_expired(void *ctx)
{
        struct connection *c = ctx;

        if (c->at.state == STARTING)
                connection_end(c, error_new(ERROR_DEADLINE_EXCEEDED, "sshd did not start in time on this host"));
        else if (c->at.state == ENDING)
                abandon(c);
        else
                free_soon(c);
}

/* ---- ending ------------------------------------------------------------------------------------------------- */

static void stop_sshd(struct connection *c)
{
        if (c->has_sshd)
                service_send(c->service->service, &(struct child_message){ .kind = CHILD_SENT_SSHD_STOP, .name = c->id });
}

static void end_helpers(struct connection *c, const char *text)
{
        size_t count = c->helper_count;
        struct helper **all = mem_array(count, sizeof(*all));

        for (size_t i = 0; i < count; i++)
                all[i] = c->helpers[i]; /* helper_end may remove a helper from the list */
        for (size_t i = 0; i < count; i++)
                helper_end(all[i], str_of(text));
        free(all);
}

static void on_close_step(void *ctx)
{
        struct connection *c = ctx;

        if (c->close_step == CUT_SPLICE && c->splice != NULL) {
                splice_cancel(c->splice); /* sshd sees its connection close */
                c->close_step = KEEP_SPLICE;
                timer_start(c->closing, MILLISECONDS(TIMEOUT_SSH_LINGER));
                return;
        }
        stop_sshd(c);
        end_helpers(c, "the connection has ended");
}

static void begin_to_end(struct connection *c)
{
        conversation_enter(&c->at, ENDING);
        timer_stop(c->unreported);
        idle_watch_stop(&c->idle);
        for (struct query *q = c->queries; q != NULL; q = q->next)
                answer_query(q, NULL, error_new(ERROR_CANCELLED, "the connection has ended"));
}

void connection_end(struct connection *c, struct error *err)
{
        AUTO_MEM char *text = NULL;

        if (c->at.state >= ENDING) {
                error_free(err);
                return;
        }
        c->reason = str_dup(str_of(err->what));
        text = str_dup(str_of(err->what));
        begin_to_end(c);
        if (c->poll != NULL) {
                struct tunnel_incoming *v = c->poll;

                c->poll = NULL;
                tunnel_refuse(v, err);
        } else {
                error_free(err);
        }
        c->close_step = CUT_SPLICE;
        timer_start(c->closing, MILLISECONDS(c->splice == NULL ? 1 : TIMEOUT_SSH_CLOSE));
        end_helpers(c, text);
        end_if_quiet(c);
}

static void on_spliced(void *ctx, uint64_t from_client, uint64_t to_client)
{
        struct connection *c = ctx;

        c->splice = NULL;
        tunnel_memory_close(&c->memory);
        if (c->is_abandoned) {
                connection_free(c);
                return;
        }
        c->bytes_from_client = from_client;
        c->bytes_to_client = to_client;
        if (c->at.state == OPEN) {
                begin_to_end(c);
                timer_start(c->closing, MILLISECONDS(TIMEOUT_SSH_LINGER));
        }
        end_if_quiet(c);
}

/* ---- decisions of the cluster ---------------------------------------------------------------------------------- */

static Cteleport__V1__ReportDecision *copy_decision(const Cteleport__V1__ReportDecision *decision)
{
        size_t len = cteleport__v1__report_decision__get_packed_size(decision);
        AUTO_MEM char *bytes = mem_alloc(len + 1);

        cteleport__v1__report_decision__pack(decision, (uint8_t *)bytes);
        return cteleport__v1__report_decision__unpack(NULL, len, (const uint8_t *)bytes);
}

static bool is_about(const struct query *q, const Cteleport__V1__ReportDecision *decision)
{
        return str_equal(q->certificate, pb_str(decision->certificate));
}

/* A session that has ended meanwhile needs no decision. */
static void decide_session(struct connection *c, const Cteleport__V1__ReportDecision *decision)
{
        for (size_t i = 0; i < c->helper_count; i++)
                if (helper_decided(c->helpers[i], decision))
                        return;
}

/* ---- idle connections ----------------------------------------------------------------------------------------------- */

static uint64_t traffic(void *ctx)
{
        const struct connection *c = ctx;

        return c->splice == NULL ? 0 : splice_bytes(c->splice);
}

static void on_idle(void *ctx, struct error *err)
{
        connection_end(ctx, err);
}

/* For commands, file copies and forwards. A terminal session enforces its own idle timeout, which expires first. */
static const struct idle_watch_events idle_events = { .traffic = traffic, .expired = on_idle };

/* If sshd has already accepted a login, a later decision that denies it ends the connection. */
static void on_decision(void *ctx, const Cteleport__V1__ReportDecision *decision)
{
        struct connection *c = ctx;

        if (decision->session_id[0] != '\0') {
                decide_session(c, decision);
                return;
        }
        for (struct query *q = c->queries; q != NULL; q = q->next) {
                if (!is_about(q, decision) || (q->done == NULL && q != c->accepted))
                        continue;
                if (q->decision != NULL)
                        cteleport__v1__report_decision__free_unpacked(q->decision, NULL);
                q->decision = copy_decision(decision);
                answer_query(q, q->decision, NULL);
                if (q == c->accepted && decision->is_allowed && c->at.state == OPEN)
                        idle_watch_change(&c->idle, decision->idle_timeout_ms);
                if (q == c->accepted && !decision->is_allowed) {
                        AUTO_MEM char *reason = escaped(str_of(decision->reason));
                        connection_end(c, error_new(ERROR_PERMISSION_DENIED, "%s", reason));
                }
                return;
        }
}

static void on_terminate(void *ctx, struct str reason)
{
        struct connection *c = ctx;
        AUTO_MEM char *shown = escaped(reason);

        log_info("The cluster ends an SSH connection", LOG_C("connection", c->id), LOG_STR("reason", reason));
        connection_end(c, error_new(ERROR_PERMISSION_DENIED, "%s", shown));
}

static void on_refused(void *ctx, struct error *err)
{
        struct connection *c = ctx;

        log_warn("The events of an SSH connection cannot be reported to the cluster, it is ended", LOG_C("connection", c->id), LOG_ERR(err));
        if (c->at.state == REPORTING) {
                error_free(err);
                free_soon(c);
                return;
        }
        connection_end(c, err);
}

static void on_finished(void *ctx)
{
        free_soon(ctx);
}

static const struct report_events report_events = {
        .on_decision = on_decision, .on_terminate = on_terminate, .on_refused = on_refused, .on_finished = on_finished,
};

/* ---- queries of ssh-authorize ----------------------------------------------------------------------------------- */

static void on_query_deadline(void *ctx)
{
        struct query *q = ctx;
        struct error *err = q->err;

        q->err = NULL;
        if (err == NULL)
                err = error_new(ERROR_UNAVAILABLE, "the cluster did not decide in time whether this login is allowed");
        answer_query(q, NULL, err);
}

static struct error *read_query(struct query *q, struct str certificate, struct str login, struct str nonce)
{
        struct ssh_cert_info info;

        if (certificate.len > CERT_MAX || !name_is_login(login) || nonce.len != LOGIN_PERMIT_NONCE)
                return error_new(ERROR_INVALID_ARGUMENT, "sshd's query has an invalid certificate or account");
        TRY(ssh_cert_read(q->arena, certificate, &info));
        q->serial = info.serial;
        q->certificate = arena_str(q->arena, certificate);
        q->login = arena_str(q->arena, login);
        q->nonce = arena_str(q->arena, nonce);
        return NULL;
}

static void request_decision(struct connection *c, const struct query *q)
{
        Cteleport__V1__ReportRequest request = CTELEPORT__V1__REPORT_REQUEST__INIT;
        Cteleport__V1__NodeLogin node = CTELEPORT__V1__NODE_LOGIN__INIT;

        request.certificate = pb_bytes(q->certificate);
        request.nonce = pb_bytes(q->nonce);
        node.login = pb_text(q->login.ptr); /* texts in an arena end in NUL */
        request.node = &node;
        report_stream_request(c->report_stream, &request);
}

void connection_request(struct connection *c, struct str certificate, struct str login, struct str nonce,
                    void (*done)(void *ctx, const Cteleport__V1__ReportDecision *decision, struct error *err), void *ctx)
{
        struct query *q = NEW(struct query);

        *q = (struct query){ .arena = arena_new(DECISION_ARENA_MAX), .done = done, .ctx = ctx };
        struct error *err = read_query(q, certificate, login, nonce);
        if (err == NULL && c->at.state != OPEN)
                err = error_new(ERROR_CANCELLED, "the connection has ended");
        if (err == NULL && c->query_count >= LIMIT_SSH_QUERIES)
                err = error_new(ERROR_RESOURCE_EXHAUSTED, "this connection has offered %d certificates", LIMIT_SSH_QUERIES);
        q->deadline = timer_new(&c->service->loop, on_query_deadline, q);
        q->next = c->queries;
        c->queries = q;
        c->query_count++;
        if (err != NULL) { /* reported in a later turn of the loop, like every other answer */
                q->err = err;
                timer_start(q->deadline, MILLISECONDS(1));
                return;
        }
        timer_start(q->deadline, MILLISECONDS(TIMEOUT_REPORT_REQUEST));
        request_decision(c, q);
}

/* ---- sshd's log ---------------------------------------------------------------------------------------------------- */

/* sshd sends two queries: one before the client proves the key of a certificate, and one after. The last decision counts. */
static const struct query *find_allowed(const struct connection *c, const struct sshd_log_event *e)
{
        for (const struct query *q = c->queries; q != NULL; q = q->next)
                if (q->decision != NULL && q->serial == e->serial && str_equal(q->login, e->login))
                        return q->decision->is_allowed ? q : NULL;
        return NULL;
}

static void report_accepted(struct connection *c, const struct query *q)
{
        Cteleport__V1__ReportAccepted accepted = CTELEPORT__V1__REPORT_ACCEPTED__INIT;
        Cteleport__V1__NodeLogin node = CTELEPORT__V1__NODE_LOGIN__INIT;

        accepted.certificate = pb_bytes(q->certificate);
        node.login = pb_text(q->login.ptr);
        accepted.node = &node;
        report_stream_accepted(c->report_stream, &accepted);
}

static void take_accepted(struct connection *c, const struct sshd_log_event *e)
{
        const struct query *q = find_allowed(c, e);

        if (q == NULL) {
                connection_end(c, error_new(ERROR_INTERNAL, "sshd accepted a login that the cluster did not allow"));
                return;
        }
        c->accepted = q;
        idle_watch_start(&c->idle, q->decision->idle_timeout_ms);
        report_accepted(c, q);
        log_info("A user has logged in", LOG_C("connection", c->id), LOG_C("user", q->decision->user),
                 LOG_STR("login", q->login), LOG_C("from", c->client_addr));
}

/* Whether the cluster itself refused this login, so that it needs no report. */
static bool was_refused_by_cluster(const struct connection *c, const struct sshd_log_event *e)
{
        for (const struct query *q = c->queries; q != NULL; q = q->next)
                if (q->decision != NULL && q->serial == e->serial && str_equal(q->login, e->login))
                        return !q->decision->is_allowed;
        return false;
}

static void report_rejected(struct connection *c, const struct sshd_log_event *e)
{
        Cteleport__V1__ReportRejected rejected = CTELEPORT__V1__REPORT_REJECTED__INIT;
        Cteleport__V1__NodeLogin node = CTELEPORT__V1__NODE_LOGIN__INIT;
        Cteleport__V1__ReportUp up = CTELEPORT__V1__REPORT_UP__INIT;
        AUTO_MEM char *login = escaped(e->login), *reason = escaped(e->reason), *key_id = escaped(e->key_id);
        AUTO_MEM char *ca = escaped(e->ca);
        AUTO_MEM char *serial = e->key_id.len == 0 ? str_dup(STR("")) : mem_printf("%llu", (unsigned long long)e->serial);

        node.login = login;
        rejected.node = &node;
        rejected.reason = reason;
        rejected.key_id = key_id;
        rejected.serial = serial;
        rejected.ca_fingerprint = ca;
        up.payload_case = CTELEPORT__V1__REPORT_UP__PAYLOAD_REJECTED;
        up.rejected = &rejected;
        report_stream_send(c->report_stream, &up, NULL, NULL);
        log_info("sshd refused a login", LOG_C("connection", c->id), LOG_STR("login", e->login), LOG_STR("reason", e->reason));
}

static void report_port(struct connection *c, const struct sshd_log_event *e)
{
        const Cteleport__V1__SSHConfig *config = c->service->ssh_config;
        const Cteleport__V1__ReportDecision *decision = connection_decision(c);
        bool is_off_here = config->has_port_forwarding && !config->port_forwarding;
        Cteleport__V1__ReportPort port = CTELEPORT__V1__REPORT_PORT__INIT;
        Cteleport__V1__ReportUp up = CTELEPORT__V1__REPORT_UP__INIT;
        AUTO_MEM char *host = escaped(e->host);
        AUTO_MEM char *address = address_join(str_of(host), e->port);

        if (decision == NULL)
                return; /* sshd forwards nothing before it has accepted a login */
        port.address = address;
        port.direction = pb_text(e->kind == SSHD_LOG_FORWARD_LOCAL ? "local" : "remote");
        port.is_denied = is_off_here || !helper_permits(decision)->port_forwarding;
        up.payload_case = CTELEPORT__V1__REPORT_UP__PAYLOAD_PORT;
        up.port = &port;
        report_stream_send(c->report_stream, &up, NULL, NULL);
}

/* ---- sessions without a report ----------------------------------------------------------------------------------- */

/* The session runs without a recorder: sshd was made to start another program, or the session program was stopped. */
static void on_unreported(void *ctx)
{
        struct connection *c = ctx;

        log_error("sshd started a session that did not report, its connection is ended", LOG_C("connection", c->id));
        connection_end(c, error_new(ERROR_INTERNAL, "sshd started a session that did not report to the recorder"));
}

static void watch_sessions(struct connection *c)
{
        timer_stop(c->unreported);
        if (c->sessions_started > c->sessions_reported)
                timer_start(c->unreported, MILLISECONDS(TIMEOUT_SESSION_REPORT + TIMEOUT_SESSION_REPORT_EACH * (int64_t)c->service->connections.count));
}

void connection_session_reported(struct connection *c)
{
        c->sessions_reported++;
        watch_sessions(c);
}

static void on_log_line(void *ctx, struct str packet)
{
        struct connection *c = ctx;
        struct sshd_log_event e;

        log_debug("sshd", LOG_C("connection", c->id), LOG_STR("text", str_trim(packet)));
        sshd_log_read(&c->log_state, packet, &e);
        if (e.kind == SSHD_LOG_ACCEPTED && c->accepted == NULL)
                take_accepted(c, &e);
        else if (e.kind == SSHD_LOG_REFUSED && c->accepted == NULL && !was_refused_by_cluster(c, &e))
                report_rejected(c, &e);
        else if (e.kind == SSHD_LOG_FORWARD_LOCAL || e.kind == SSHD_LOG_FORWARD_REMOTE)
                report_port(c, &e);
        else if (e.kind == SSHD_LOG_SESSION && c->at.state < ENDING) {
                c->sessions_started++;
                if (!timer_is_running(c->unreported))
                        watch_sessions(c);
        }
}

static void on_log_end(void *ctx, struct error *err)
{
        struct connection *c = ctx;

        error_free(err);
        stream_close(c->log);
        c->log = NULL;
        end_if_quiet(c);
}

static const struct stream_events log_events = { .on_read = on_log_line, .on_end = on_log_end };

/* ---- messages of the supervisor ----------------------------------------------------------------------------------- */

static void take_log(struct connection *c, int fd)
{
        if (c->log != NULL || fd < 0) {
                fd_close_at(&fd);
                return;
        }
        c->log = socket_stream(&c->service->loop, fd);
        stream_listen(c->log, &log_events, c);
        stream_read(c->log, true);
}

static void take_stream(struct connection *c, int fd)
{
        if (c->at.state != STARTING || c->poll == NULL || fd < 0) {
                fd_close_at(&fd); /* sshd sees its connection close, and ends */
                return;
        }
        struct error *err = tunnel_memory_open(&c->memory, &c->service->memory, STR(""));
        if (err != NULL) {
                fd_close_at(&fd);
                connection_end(c, err);
                return;
        }
        struct stream *client = tunnel_accept(c->poll);
        c->poll = NULL;
        conversation_enter(&c->at, OPEN);
        struct stream *sshd = socket_stream(&c->service->loop, fd);
        socket_stream_limit_reads(sshd, STREAM_WRITE_BEST);
        c->splice = tunnel_splice(&c->memory, &c->service->loop, client, sshd, on_spliced, c);
}

static void take_end(struct connection *c, const char *how)
{
        AUTO_MEM char *shown = escaped(str_of(how));

        c->has_sshd = false;
        if (c->at.state == STARTING)
                connection_end(c, error_hint(error_new(ERROR_UNAVAILABLE, "sshd did not start on this host: %s", shown),
                                             "the log of teleport on that host has details"));
        if (c->at.state == OPEN) { /* its last bytes are in transit; the client closes after it has read them */
                begin_to_end(c);
                c->close_step = CUT_SPLICE;
                timer_start(c->closing, MILLISECONDS(TIMEOUT_SSH_DRAIN));
        }
        end_if_quiet(c);
}

void connection_on_sshd(struct ssh_service *s, const Cteleport__Internal__V1__SshControl *report, int fd)
{
        struct connection *c = connection_find(s, str_of(report->connection_id));

        if (c == NULL)
                fd_close_at(&fd);
        else if (report->kind == CTELEPORT__INTERNAL__V1__SSH_CONTROL__KIND__SSHD_STREAM)
                take_stream(c, fd);
        else if (report->kind == CTELEPORT__INTERNAL__V1__SSH_CONTROL__KIND__SSHD_LOG)
                take_log(c, fd);
        else
                take_end(c, report->text);
}

/* ---- the beginning ------------------------------------------------------------------------------------------------ */

static void start_sshd(struct connection *c)
{
        c->has_sshd = true;
        service_send(c->service->service, &(struct child_message){ .kind = CHILD_SENT_SSHD_START, .name = c->id });
}

static struct error *check_request(struct ssh_service *s, const struct tunnel_request *request)
{
        if (!lifecycle_accepts(&s->life))
                return error_new(ERROR_UNAVAILABLE, "the SSH Service of this host is stopping");
        if (!name_is_uuid(request->connection_id) || request->client_addr.len > LIMIT_NAME)
                return error_new(ERROR_INVALID_ARGUMENT, "the proxy's request cannot be understood");
        if (!str_equal(request->host_id, ssh_identity(s)->host_id))
                return error_new(ERROR_NOT_FOUND, "this is another host");
        if (connection_find(s, request->connection_id) != NULL)
                return error_new(ERROR_ALREADY_EXISTS, "there is a connection of this ID already");
        if (s->connections.count >= LIMIT_SSH_CONNECTIONS)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "this host has %d SSH connections, which is its limit",
                                 LIMIT_SSH_CONNECTIONS);
        /* The Auth Service has checked the limits as well, but a connection that it counts as ended may still exist here. */
        s->user_connections.limits = (struct share_limits){ LIMIT_SSH_CONNECTIONS, LIMIT_SSH_CONNECTIONS_USER, LIMIT_SSH_CONNECTIONS_RESERVE,
                                                  LIMIT_SSH_CONNECTIONS_RESERVED };
        if (!str_is_empty(request->user) && !shares_have_room(&s->user_connections, request->user))
                return error_new(ERROR_RESOURCE_EXHAUSTED, "this host has %zu SSH connections, %zu of them yours: there is no room for one more",
                                 s->connections.count, shares_count(&s->user_connections, request->user));
        return NULL;
}

void connection_begin(struct ssh_service *s, struct tunnel_incoming *v, const struct tunnel_request *request)
{
        struct error *err = check_request(s, request);

        if (err != NULL) {
                tunnel_refuse(v, err);
                return;
        }
        struct connection *c = NEW(struct connection);
        *c = (struct connection){
                .service = s,
                .id = str_dup(request->connection_id),
                .client_addr = escaped(request->client_addr),
                .user = str_dup(request->user),
                .poll = v,
        };
        map_put(&s->connections, request->connection_id, c);
        metric_set_at(METRIC_SSH_CONNECTIONS, 0, (int64_t)s->connections.count);
        if (!str_is_empty(request->user))
                shares_add(&s->user_connections, request->user);
        conversation_init(&c->at, &s->loop, states, STARTING, on_expired, c);
        c->closing = timer_new(&s->loop, on_close_step, c);
        c->unreported = timer_new(&s->loop, on_unreported, c);
        idle_watch_init(&c->idle, &s->loop, MILLISECONDS(TIMEOUT_SSH_IDLE_GRACE), &idle_events, c);
        c->report_stream = report_stream_new(s->agent, str_of(c->id), str_of(c->client_addr), &report_events, c);
        start_sshd(c);
}

struct client_search {
        const struct tunnel_incoming *poll;
        struct connection *found;
};

static void find_client(void *ctx, struct str id, void *value)
{
        struct client_search *search = ctx;
        struct connection *c = value;

        (void)id;
        if (c->poll == search->poll)
                search->found = c;
}

void connection_client_gone(struct ssh_service *s, struct tunnel_incoming *v)
{
        struct client_search search = { .poll = v };

        map_each(&s->connections, find_client, &search);
        if (search.found == NULL)
                return;
        search.found->poll = NULL;
        connection_end(search.found, error_new(ERROR_CANCELLED, "the user closed the connection before sshd had started"));
}

/* ---- functions for other modules ------------------------------------------------------------------------------------- */

struct connection *connection_find(struct ssh_service *s, struct str connection_id)
{
        return map_get(&s->connections, connection_id);
}

struct str connection_client_addr(const struct connection *c)
{
        return str_of(c->client_addr);
}

const char *connection_why_ending(const struct connection *c)
{
        if (c->at.state < ENDING)
                return NULL;
        return c->reason == NULL ? "the connection has ended" : c->reason;
}

const Cteleport__V1__ReportDecision *connection_decision(const struct connection *c)
{
        return c->accepted == NULL ? NULL : c->accepted->decision;
}

void connection_report(struct connection *c, const Cteleport__V1__ReportUp *up,
                     void (*acknowledged)(void *ctx, struct error *err), void *ctx)
{
        report_stream_send(c->report_stream, up, acknowledged, ctx);
}

void connection_add_helper(struct connection *c, struct helper *h)
{
        if (c->helper_count == c->helper_room) {
                c->helper_room = c->helper_room == 0 ? 4 : 2 * c->helper_room;
                c->helpers = mem_resize(c->helpers, c->helper_room, sizeof(struct helper *));
        }
        c->helpers[c->helper_count++] = h;
}

void connection_remove_helper(struct connection *c, struct helper *h)
{
        for (size_t i = 0; i < c->helper_count; i++) {
                if (c->helpers[i] != h)
                        continue;
                c->helpers[i] = c->helpers[--c->helper_count];
                break;
        }
        end_if_quiet(c);
}

static void end_one(void *ctx, struct str id, void *value)
{
        (void)id;
        connection_end(value, error_new(ERROR_UNAVAILABLE, "%s", (const char *)ctx));
}

void connections_end(struct ssh_service *s, const char *why)
{
        map_each(&s->connections, end_one, (void *)(uintptr_t)why);
}

static void free_one(void *ctx, struct str id, void *value)
{
        struct connection *c = value;

        (void)ctx;
        (void)id;
        c->is_abandoned = true;
        if (c->splice != NULL)
                splice_cancel(c->splice); /* on_spliced frees it */
        else if (!c->is_free_due)
                connection_free(c);
}

void connections_free(struct ssh_service *s)
{
        map_each(&s->connections, free_one, NULL);
}
