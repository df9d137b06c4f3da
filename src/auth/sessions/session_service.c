/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Report: one stream for each connection of a user to a host, by SSH or to an application.
 *
 *      LOADING ── begin: its record and sessions are read ──▶ READY ── closed ──▶ gone
 *                                                              │ ▲
 *                         request ─▶ decision, sent at once    │ │ messages wait while a transaction is
 *                             others ─▶ one transaction ─▶ ack ┘ │ under way, then go together into the next
 *                             accepted, start ─▶ decision first ─┘
 *
 * The state before a transaction is kept until the transaction is committed. A transaction that fails changes
 * nothing: the stream ends, and the node repeats the unacknowledged messages on its next stream.
 */
#include <stdlib.h>

#include "auth/core/caller.h"
#include "auth/hosts/hosts.h"
#include "auth/sessions/kinds.h"
#include "auth/sessions/session_decision.h"
#include "auth/sessions/session_events.h"
#include "auth/sessions/sessions_internal.h"
#include "auth/core/unstored.h"
#include "base/bug.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "pki/login_permit.h"
#include "rpc/pb.h"
#include "rpc/wire.h"
#include "services/services.h"
#include "state/session.h"

enum state { LOADING, READY, DONE };

enum { SESSION_ID_MAX = 37 }; /* with its NUL */

struct report_stream {
        struct sessions *all;
        struct auth *auth;
        struct rpc_call *call; /* NULL: the stream has ended, or it closes a lost connection for no node */
        char *id;              /* of the connection; NULL before begin */
        char *host_id, *role;  /* of the caller */
        const struct resource_kind *kind; /* of the resource; NULL until the record is loaded */
        enum state state;
        bool is_registered;    /* in all->reporting */
        bool is_known;         /* the connection exists and belongs to this node */
        bool is_resumed, is_given_up;
        const char *end_reason; /* when is_given_up; static */
        struct connection now, next; /* the committed state; the state after the current transaction */
        size_t loading;        /* index of the session that is read next */
        struct unstored_queue waiting; /* messages that are not in a transaction yet */
        struct answer *accepted; /* NULL: not decided yet; its memory is in accepted_arena */
        bool is_refused;         /* auth refused the login that sshd accepted */
        struct arena *accepted_arena;
        unsigned permitted;    /* LOGIN_PERMIT_* that the answers to sshd have granted so far */
        enum { UNDECIDED, MAY_START, MAY_NOT_START } start; /* decision on the first start in waiting */
        char refused[SESSION_ID_MAX]; /* ID of the session that was refused last */
        unsigned requests;         /* number of decisions requested so far */
        unsigned pending;      /* operations whose callback is due */
        bool is_writing, is_deciding;
        bool is_rechecking, recheck_again;
        bool is_terminated;    /* the node was ordered to end the connection */
        struct session_repeats repeats;
};

static void pump(struct report_stream *t);
static void recheck(struct report_stream *t);

/* ---- end of the stream ------------------------------------------------------------------------------------- */

static void unregister_stream(struct report_stream *t)
{
        if (t->is_registered)
                map_remove(&t->all->reporting, str_of(t->id));
        t->is_registered = false;
}

static void free_if_idle(struct report_stream *t)
{
        struct sessions *all = t->all;

        if (t->call != NULL || t->pending > 0)
                return;
        unregister_stream(t);
        unstored_release(&t->waiting);
        connection_release(&t->now);
        connection_release(&t->next);
        arena_free(t->accepted_arena);
        free(t->host_id);
        free(t->role);
        free(t->id);
        free(t);
        sessions_leave(all);
}

static void detach(struct report_stream *t)
{
        bool is_left_open = t->is_known && t->state != DONE && !t->now.is_over;

        session_repeats_end(&t->repeats);
        t->call = NULL;
        if (t->state == READY)
                log_info("The report stream of a connection ended", LOG_C("connection_id", t->id), LOG_C("host_id", t->host_id));
        t->state = DONE;
        if (is_left_open && !t->is_writing)
                sessions_note_lost(t->all, str_of(t->id));
        if (!t->is_writing)
                unregister_stream(t);
        free_if_idle(t);
}

/* A lost connection that could not be closed is tried again later, unless its record is gone. */
static void give_up_later(struct report_stream *t, struct error *err)
{
        if (err != NULL && err->code != ERROR_NOT_FOUND && t->state != DONE) {
                log_warn("A lost connection cannot be closed", LOG_C("connection_id", t->id), LOG_ERR(err));
                sessions_note_lost(t->all, str_of(t->id));
        }
        error_free(err);
        t->state = DONE;
        free_if_idle(t);
}

static void finish(struct report_stream *t, struct error *err)
{
        struct rpc_call *call = t->call;

        if (call == NULL) {
                give_up_later(t, err);
                return;
        }
        if (err != NULL)
                log_warn("The report stream of a connection was refused", LOG_C("connection_id", t->id == NULL ? "" : t->id),
                         LOG_C("host_id", t->host_id), LOG_ERR(err));
        t->call = NULL; /* the call is finished before the state of the stream is released */
        rpc_call_finish(call, err);
        detach(t);
}

static void on_gone(void *ctx)
{
        detach(ctx);
}

/* ---- messages to the node ---------------------------------------------------------------------------------- */

static void send_ack(struct report_stream *t, uint64_t seq)
{
        Cteleport__V1__ReportDown down = CTELEPORT__V1__REPORT_DOWN__INIT;
        Cteleport__V1__ReportAck ack = CTELEPORT__V1__REPORT_ACK__INIT;

        ack.seq = seq;
        down.payload_case = CTELEPORT__V1__REPORT_DOWN__PAYLOAD_ACK;
        down.ack = &ack;
        if (t->call != NULL)
                rpc_call_send(t->call, &down.base);
}

static void terminate(struct report_stream *t, const char *reason)
{
        Cteleport__V1__ReportDown down = CTELEPORT__V1__REPORT_DOWN__INIT;
        Cteleport__V1__ReportTerminate order = CTELEPORT__V1__REPORT_TERMINATE__INIT;

        if (t->call == NULL || t->is_terminated)
                return;
        t->is_terminated = true;
        log_info("A connection is ended by the cluster", LOG_C("connection_id", t->id), LOG_C("user", t->now.record->user),
                 LOG_C("login", t->now.record->login), LOG_C("node_name", t->now.record->hostname), LOG_C("reason", reason));
        order.reason = pb_text(reason);
        down.payload_case = CTELEPORT__V1__REPORT_DOWN__PAYLOAD_TERMINATE;
        down.terminate = &order;
        rpc_call_send(t->call, &down.base);
}

/* ---- sshd requests a decision ----------------------------------------------------------------------------------- */

static void audit_refusal(struct report_stream *t, const struct answer *answer)
{
        const Cteleport__State__V1__Connection *m = t->now.record;

        bool is_reported = session_audit_rejected(t->auth, &(struct rejection){ .user = str_of(m->user), .fields = answer->fields, .host_id = str_of(m->host_id),
                                                              .hostname = str_of(m->hostname), .client_addr = str_of(m->client_addr),
                                                              .connection_id = str_of(m->connection_id), .serial = answer->serial,
                                                              .why = answer->refusal });
        if (is_reported)
                log_warn("A user of a connection was refused", LOG_C("kind", t->kind->name), LOG_C("user", m->user), LOG_STR("login", answer->fields.node.login), LOG_C("node_name", m->hostname),
                 LOG_C("remote_addr", m->client_addr), LOG_ERR(answer->refusal));
}

/* A request to decide on one certificate that a client showed to sshd. */
struct requested {
        struct report_stream *report_stream;
        char *login;
        bool has_nonce; /* sshd also wants a signed permit */
        uint8_t nonce[LOGIN_PERMIT_NONCE];
        size_t len;
        uint8_t certificate[];
};

/* Fills d with the answer and sends it. */
static void send_decision(struct report_stream *t, const struct answer *answer, Cteleport__V1__ReportDecision *d)
{
        Cteleport__V1__ReportDown down = CTELEPORT__V1__REPORT_DOWN__INIT;
        AUTO(session_decision_parts) parts = { 0 };

        session_decision_fill(answer, directory_user(t->auth->directory, str_of(t->now.record->user), NULL), t->now.record->user, d, &parts);
        down.payload_case = CTELEPORT__V1__REPORT_DOWN__PAYLOAD_DECISION;
        down.decision = d;
        rpc_call_send(t->call, &down.base);
}

static void answer_request(struct report_stream *t, const struct requested *q, const struct answer *answer)
{
        Cteleport__V1__ReportDecision d = CTELEPORT__V1__REPORT_DECISION__INIT;
        AUTO(buf) signature = BUF_MAX(KiB);
        const struct login_permit permit = {
                .connection_id = str_of(t->now.record->connection_id),
                .host_id = str_of(t->now.record->host_id),
                .login = str_of(q->login),
                .certificate = str_of_bytes(q->certificate, q->len),
                .nonce = str_of_bytes(q->nonce, sizeof q->nonce),
                .permits = session_permits(answer),
        };

        d.certificate = pb_bytes(str_of_bytes(q->certificate, q->len));
        d.decides_sessions = true;
        if (answer->refusal == NULL) {
                t->permitted |= session_permits(answer);
                if (q->has_nonce)
                        session_decision_sign(t->auth, &permit, &d, &signature);
        }
        send_decision(t, answer, &d);
}

static void on_request_decided(void *ctx, const struct answer *answer)
{
        struct requested *q = ctx;
        struct report_stream *t = q->report_stream;

        t->pending--;
        if (t->call != NULL) {
                if (answer->refusal != NULL)
                        audit_refusal(t, answer);
                answer_request(t, q, answer);
        }
        free(q->login);
        free(q);
        free_if_idle(t);
}

static struct query query_of(const struct report_stream *t, struct kind_fields fields, ProtobufCBinaryData certificate)
{
        return (struct query){
                .kind = t->kind,
                .fields = fields,
                .user = str_of(t->now.record->user),
                .host_id = str_of(t->now.record->host_id),
                .certificate = pb_str(certificate),
        };
}

/* The fields of the kind: name and port of the resource are those of the Dial, whatever the host sends. */
static struct kind_fields fields_of(const struct report_stream *t, const Cteleport__V1__NodeLogin *node)
{
        if (t->now.record->resource[0] != '\0')
                return (struct kind_fields){ .app.name = str_of(t->now.record->resource), .app.port = t->now.record->resource_port };
        return kind_fields_of(node);
}

/* The same from the record of the connection. */
static struct kind_fields known_fields(const struct report_stream *t)
{
        return fields_of(t, &(Cteleport__V1__NodeLogin){ .login = t->now.record->login });
}

static struct error *send_request(struct report_stream *t, const Cteleport__V1__ReportRequest *m)
{
        if (++t->requests > LIMIT_REPORT_REQUESTS)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "more than %d certificates on one connection", LIMIT_REPORT_REQUESTS);
        if (m->certificate.len == 0)
                return error_new(ERROR_INVALID_ARGUMENT, "a question without a certificate");
        if (m->nonce.len != 0 && m->nonce.len != LOGIN_PERMIT_NONCE)
                return error_new(ERROR_INVALID_ARGUMENT, "the nonce of a question has %d bytes", LOGIN_PERMIT_NONCE);
        struct requested *q = mem_alloc(sizeof *q + m->certificate.len);
        q->report_stream = t;
        q->login = str_dup(kind_fields_of(m->node).node.login);
        q->has_nonce = m->nonce.len == sizeof q->nonce;
        if (q->has_nonce)
                memcpy(q->nonce, m->nonce.data, sizeof q->nonce);
        q->len = m->certificate.len;
        memcpy(q->certificate, m->certificate.data, m->certificate.len);
        t->pending++;
        struct query query = query_of(t, fields_of(t, m->node), m->certificate);
        decide(t->auth, &query, on_request_decided, q);
        return NULL;
}

/* ---- sshd has accepted ------------------------------------------------------------------------------------------- */

/* Copies the answer and the texts that it borrows: they are needed until the message has been applied. */
static void keep_answer(struct report_stream *t, const struct answer *answer)
{
        struct arena *arena = arena_new(2 * LIMIT_STORE_VALUE);
        struct answer *kept = arena_alloc(arena, sizeof *kept);
        const struct kind_resource *resource = &answer->resource;
        struct access_label *labels = arena_alloc(arena, (resource->label_count + 1) * sizeof *labels);

        *kept = *answer;
        kept->refusal = NULL;
        kept->user = arena_str(arena, answer->user);
        kept->serial = arena_str(arena, answer->serial);
        kept->fields = kind_fields_copy(arena, &answer->fields);
        kept->hostname = arena_str(arena, answer->hostname);
        for (size_t i = 0; i < resource->label_count; i++)
                labels[i] = (struct access_label){ arena_str(arena, resource->labels[i].key), arena_str(arena, resource->labels[i].value) };
        kept->resource = (struct kind_resource){ .uri = arena_str(arena, resource->uri), .public_addr = arena_str(arena, resource->public_addr), .labels = labels,
                                                 .label_count = resource->label_count };
        kept->roles = arena_alloc(arena, (answer->role_count + 1) * sizeof *kept->roles);
        for (size_t i = 0; i < answer->role_count; i++)
                kept->roles[i] = arena_str(arena, answer->roles[i]);
        kept->permits = t->permitted | session_permits(answer);
        t->accepted = kept;
        t->accepted_arena = arena;
}

static void drop_answer(struct report_stream *t)
{
        arena_free(t->accepted_arena);
        t->accepted_arena = NULL;
        t->accepted = NULL;
        t->is_refused = false;
}

/* On a refusal of a login that sshd has accepted, the node ends the connection, and no session is recorded for the user. */
static void on_accept_decided(void *ctx, const struct answer *answer)
{
        struct report_stream *t = ctx;

        t->pending--;
        t->is_deciding = false;
        if (t->call == NULL) {
                free_if_idle(t);
        } else if (answer->refusal == NULL) {
                keep_answer(t, answer);
                pump(t);
        } else if (answer->refusal->code == ERROR_UNAVAILABLE) {
                finish(t, error_copy(answer->refusal));
        } else {
                audit_refusal(t, answer);
                terminate(t, answer->refusal->what);
                t->is_refused = true;
                pump(t);
        }
}

static void decide_accepted(struct report_stream *t, const Cteleport__V1__ReportAccepted *m)
{
        struct query query = query_of(t, fields_of(t, m->node), m->certificate);

        if (m->certificate.len == 0) {
                finish(t, error_new(ERROR_INVALID_ARGUMENT, "a login without a certificate"));
                return;
        }
        t->is_deciding = true;
        t->pending++;
        decide(t->auth, &query, on_accept_decided, t);
}

/* ---- a session begins ------------------------------------------------------------------------------------------------- */

/*
 * A session that is about to begin. A connection stays open for further sessions, and its user's rights may change meanwhile:
 * each session is decided by the state at its beginning. The node starts the session only after the answer.
 */
struct beginning {
        struct report_stream *report_stream;
        char session_id[SESSION_ID_MAX];
        struct session_options options;
        bool wants_decision; /* false: an older node, which checks the options itself and handles only the order to end */
        bool is_open;        /* its start is stored: the node repeats the request because it did not get the answer */
};

/*
 * The record that an earlier release wrote does not have the permits of sshd. The permits become those that the roles give at the
 * first check by this release: no session gets more, and a permit that is lost later ends the connection, as for any other.
 */
static void learn_permits(struct report_stream *t, const struct answer *answer)
{
        Cteleport__State__V1__Connection *records[] = { t->now.record, t->next.record };

        if (answer->refusal != NULL || t->now.record->has_permits || t->now.record->permits != 0)
                return;
        for (size_t i = 0; i < ARRAY_LEN(records); i++) {
                if (records[i] == NULL)
                        continue;
                records[i]->permits = session_permits_of_roles(answer);
                records[i]->has_permits = true;
        }
}

static void answer_start(struct report_stream *t, const struct beginning *b, struct answer *answer)
{
        Cteleport__V1__ReportDecision d = CTELEPORT__V1__REPORT_DECISION__INIT;

        d.session_id = pb_text(b->session_id);
        if (answer->refusal != NULL)
                audit_refusal(t, answer);
        learn_permits(t, answer);
        session_keep_permits(t->now.record->permits, answer);
        t->start = answer->refusal == NULL ? MAY_START : MAY_NOT_START;
        if (answer->refusal != NULL && !b->is_open) /* else the session is stored, and its end will be recorded */
                snprintf(t->refused, sizeof t->refused, "%s", b->session_id);
        send_decision(t, answer, &d);
}

static void on_start_decided(void *ctx, const struct answer *given)
{
        struct beginning *b = ctx;
        struct report_stream *t = b->report_stream;
        struct answer answer = *given;
        AUTO_PTR(error) forbidden = NULL;

        t->pending--;
        t->is_deciding = false;
        if (t->call == NULL) {
                free_if_idle(t);
        } else if (answer.refusal != NULL && answer.refusal->code == ERROR_UNAVAILABLE) {
                finish(t, error_copy(answer.refusal));
        } else {
                /* An expired certificate does not end running sessions: it only prevents further ones until a new login. */
                bool is_only_expired = answer.refusal != NULL && answer.refusal->code == ERROR_UNAUTHENTICATED && b->wants_decision;
                bool is_over = t->is_terminated || (answer.refusal != NULL && !is_only_expired);

                if (answer.refusal == NULL && t->is_terminated)
                        forbidden = error_new(ERROR_PERMISSION_DENIED, "the cluster has ended this connection");
                else if (answer.refusal == NULL && b->wants_decision)
                        forbidden = session_check_options(&b->options, &answer);
                if (forbidden != NULL)
                        answer.refusal = forbidden;
                answer_start(t, b, &answer);
                if (is_over)
                        terminate(t, answer.refusal->what);
                pump(t);
        }
        free(b);
}

/* Called only after a login was accepted: a start before that is an error, and is not decided. */
static void decide_start(struct report_stream *t, const Cteleport__V1__ReportStart *m)
{
        if (!name_is_session(str_of(m->session_id))) {
                finish(t, error_new(ERROR_INVALID_ARGUMENT, "a session without a proper name or kind"));
                return;
        }
        struct beginning *b = NEW(struct beginning);
        struct query query = query_of(t, known_fields(t), (ProtobufCBinaryData){ 0 });

        *b = (struct beginning){ .report_stream = t, .options = { strcmp(m->kind, "sftp") == 0 || strcmp(m->kind, "scp") == 0, m->has_pty, m->is_recorded },
                                 .wants_decision = m->wants_decision, .is_open = connection_has_session(&t->now, m->session_id) };
        snprintf(b->session_id, sizeof b->session_id, "%s", m->session_id);
        query.known = t->now.record;
        query.is_beginning = true;
        t->is_deciding = true;
        t->pending++;
        decide(t->auth, &query, on_start_decided, b);
}

/* ---- messages into transactions --------------------------------------------------------------------------------------- */

static void on_committed(void *ctx, uint64_t revision, struct error *err)
{
        struct report_stream *t = ctx;

        (void)revision;
        t->pending--;
        t->is_writing = false;
        bool has_come_in = false;
        if (err == NULL) {
                has_come_in = !connection_is_accepted(&t->now) && connection_is_accepted(&t->next);
                connection_release(&t->now);
                t->now = t->next;
                t->next = (struct connection){ 0 };
                send_ack(t, t->now.record->last_seq);
        } else {
                connection_release(&t->next);
        }
        if (t->call != NULL && (err != NULL || t->now.is_over)) {
                if (err == NULL) {
                        t->state = DONE;
                        event_budget_forget(&t->auth->connection_events, str_of(t->id));
                }
                finish(t, err == NULL ? NULL : error_wrap(err, "the events of the connection could not be stored"));
                return;
        }
        if (t->call == NULL) {
                if (t->id != NULL && !t->now.is_over && t->now.record != NULL)
                        sessions_note_lost(t->all, str_of(t->id));
                error_free(err);
                free_if_idle(t);
                return;
        }
        AUTO_PTR(error) beyond = t->now.record == NULL ? NULL : session_check_open(t->auth, str_of(t->id), str_of(t->now.record->user), str_of(t->now.record->host_id));
        if (beyond != NULL)
                terminate(t, beyond->what);
        if (has_come_in)
                recheck(t); /* users, roles or locks may have changed between the decision and the commit */
        pump(t);
}

static void commit(struct report_stream *t, struct store_txn *txn)
{
        connection_put(&t->next, txn);
        t->is_writing = true;
        t->pending++;
        store_txn_commit(txn, on_committed, t);
}

static bool must_be_decided(const struct report_stream *t, bool is_accepted, bool is_start)
{
        return (is_accepted && t->accepted == NULL && !t->is_refused) || (is_start && t->start == UNDECIDED);
}

/*
 * Whether a message is to be acknowledged and not recorded: a refused start, its end (which an older node still reports), a
 * repeated start that is stored already, or a refused login.
 */
static bool is_of_nothing(const struct report_stream *t, const Cteleport__V1__ReportUp *up)
{
        if (up->payload_case == CTELEPORT__V1__REPORT_UP__PAYLOAD_START)
                return t->start == MAY_NOT_START || (up->start->is_repeated && connection_has_session(&t->next, up->start->session_id));
        if (up->payload_case == CTELEPORT__V1__REPORT_UP__PAYLOAD_EXIT)
                return t->refused[0] != '\0' && strcmp(up->exit->session_id, t->refused) == 0;
        return up->payload_case == CTELEPORT__V1__REPORT_UP__PAYLOAD_ACCEPTED && t->is_refused;
}

static void decide_first(struct report_stream *t, const Cteleport__V1__ReportUp *up)
{
        if (up->payload_case == CTELEPORT__V1__REPORT_UP__PAYLOAD_ACCEPTED)
                decide_accepted(t, up->accepted);
        else
                decide_start(t, up->start);
}

/* *ret_count: the number of messages in the transaction; 0 when the first message waits for a decision. */
static struct error *fill_batch(struct report_stream *t, struct store_txn *txn, size_t *ret_count)
{
        for (*ret_count = 0; t->waiting.first != NULL && *ret_count < LIMIT_REPORT_BATCH && !t->next.is_over;) {
                const struct unstored_message *w = t->waiting.first;
                ProtobufCMessage *msg = NULL;

                TRY(wire_decode(t->next.arena, &cteleport__v1__report_up__descriptor, str_of_bytes(w->bytes, w->len), &msg));
                const Cteleport__V1__ReportUp *up = (const Cteleport__V1__ReportUp *)msg;
                if (up->payload_case == CTELEPORT__V1__REPORT_UP__PAYLOAD_REQUEST) {
                        TRY(send_request(t, up->request));
                        unstored_drop_first(&t->waiting);
                        continue;
                }
                if (up->seq > t->next.record->last_seq + 1)
                        return error_new(ERROR_INVALID_ARGUMENT, "a message is missing before number %llu", (unsigned long long)up->seq);
                if (up->seq == t->next.record->last_seq + 1) {
                        bool is_accepted = up->payload_case == CTELEPORT__V1__REPORT_UP__PAYLOAD_ACCEPTED;
                        bool is_start = up->payload_case == CTELEPORT__V1__REPORT_UP__PAYLOAD_START && connection_is_accepted(&t->next);

                        if (must_be_decided(t, is_accepted, is_start)) {
                                if (*ret_count == 0)
                                        decide_first(t, up);
                                return NULL; /* decided after the commit of the messages before it, if there are any */
                        }
                        TRY(session_check_reported(t->auth, str_of(t->id), str_of(t->next.record->user), str_of(t->next.record->host_id)));
                        bool is_left_out = connection_is_accepted(&t->next) && session_repeats_leave_out(&t->repeats, up);
                        if (!is_left_out && !is_of_nothing(t, up))
                                TRY(connection_record_report(t->auth, &t->next, txn, up, t->accepted));
                        if (is_start)
                                t->start = UNDECIDED;
                        size_t cost = is_left_out ? 0 : w->len + LIMIT_EVENT_COST;
                        session_charge(t->auth, str_of(t->id), str_of(t->next.record->user), str_of(t->next.record->host_id), cost);
                        if (is_accepted)
                                drop_answer(t);
                        t->next.record->last_seq = up->seq;
                        (*ret_count)++;
                } /* else the message was stored from an earlier stream */
                unstored_drop_first(&t->waiting);
        }
        return NULL;
}

static void pump(struct report_stream *t)
{
        size_t count = 0;

        if (t->state != READY || t->call == NULL || t->is_writing || t->is_deciding || t->waiting.first == NULL)
                return;
        struct store_txn *txn = store_txn_new(t->auth->store);
        struct error *err = connection_copy(&t->now, &t->next);
        t->pending++; /* an error in fill_batch() must not free t */
        if (err == NULL)
                err = fill_batch(t, txn, &count);
        t->pending--;
        if (err == NULL && count > 0) {
                commit(t, txn);
                return;
        }
        store_txn_cancel(txn);
        connection_release(&t->next);
        if (err != NULL)
                finish(t, err);
        else if (t->call == NULL)
                free_if_idle(t);
}

/* ---- begin of the stream ---------------------------------------------------------------------------------------------- */

static void load_next(struct report_stream *t);

static void become_ready(struct report_stream *t)
{
        if (t->is_given_up) {
                struct store_txn *txn = store_txn_new(t->auth->store);
                struct error *err = connection_copy(&t->now, &t->next);

                if (err != NULL) {
                        store_txn_cancel(txn);
                        finish(t, err);
                        return;
                }
                connection_record_end(t->auth, &t->next, txn, str_of(t->end_reason));
                commit(t, txn);
                return;
        }
        t->state = READY;
        log_info("The report stream of a connection is open", LOG_C("connection_id", t->id), LOG_C("user", t->now.record->user),
                 LOG_C("node_name", t->now.record->hostname), LOG_C("remote_addr", t->now.record->client_addr));
        if (t->now.record->last_seq > 0)
                send_ack(t, t->now.record->last_seq);
        if (connection_is_accepted(&t->now))
                recheck(t); /* users, roles or locks may have changed while there was no stream */
        pump(t);
}

static void on_begun(void *ctx, uint64_t revision, struct error *err)
{
        struct report_stream *t = ctx;

        (void)revision;
        t->pending--;
        t->is_writing = false;
        if (t->call == NULL) {
                if (err == NULL)
                        sessions_note_lost(t->all, str_of(t->id));
                error_free(err);
                free_if_idle(t);
        } else if (err != NULL) {
                finish(t, err);
        } else {
                become_ready(t);
        }
}

/* Marks the record as begun: from now on it stays until the connection is over. */
static void begin(struct report_stream *t)
{
        struct store_txn *txn = store_txn_new(t->auth->store);

        t->now.record->is_begun = true;
        connection_put(&t->now, txn);
        t->is_writing = true;
        t->pending++;
        store_txn_commit(txn, on_begun, t);
}

/* Called after each answer of the store; the call may have ended meanwhile. */
static void go_on_loading(struct report_stream *t, struct error *err)
{
        if (t->call == NULL && !t->is_given_up) {
                error_free(err);
                free_if_idle(t);
        } else if (err != NULL) {
                finish(t, err);
        } else {
                load_next(t);
        }
}

static void on_session(void *ctx, const struct state_record *record, struct error *err)
{
        struct report_stream *t = ctx;

        t->pending--;
        if (err == NULL && record != NULL)
                err = connection_load_session(&t->now, record);
        go_on_loading(t, err);
}

/* Loads the next open session that the record names; after the last one the stream is ready. */
static void load_next(struct report_stream *t)
{
        const Cteleport__State__V1__Connection *m = t->now.record;

        if (t->loading < m->n_sessions) {
                t->pending++;
                state_get(t->auth->store, &session_kind, str_of(m->sessions[t->loading++]), on_session, t);
        } else if (m->is_begun) {
                become_ready(t);
        } else {
                begin(t);
        }
}

/* An error here is final: the connection is not marked as lost. */
static struct error *check_begin(struct report_stream *t, const struct state_record *record)
{
        if (record == NULL)
                return error_new(ERROR_NOT_FOUND, "the cluster does not know this connection; it may have been closed after a loss");
        TRY(connection_load(&t->now, record));
        if (t->is_given_up)
                return NULL;
        t->kind = kind_of_record(t->now.record->kind);
        if (t->kind == NULL)
                return kind_unknown(t->now.record->kind);
        if (t->role[0] != '\0' && !services_offers(str_of(t->role), t->kind->name)) /* a link on this machine has no certificate */
                return error_new(ERROR_PERMISSION_DENIED, "the connection is to a resource that this service does not offer");
        if (!str_equal(str_of(t->now.record->host_id), str_of(t->host_id)))
                return error_new(ERROR_PERMISSION_DENIED, "the connection was not made to this host");
        if (t->now.record->is_begun && !t->is_resumed)
                return error_new(ERROR_FAILED_PRECONDITION, "the connection has begun already");
        t->is_known = true;
        sessions_forget_lost(t->all, str_of(t->id));
        return NULL;
}

static void on_record(void *ctx, const struct state_record *record, struct error *err)
{
        struct report_stream *t = ctx;

        t->pending--;
        if (err == NULL)
                err = check_begin(t, record);
        go_on_loading(t, err);
}

/*
 * Replaces an earlier report stream of the connection, whose TCP connection may be dead unnoticed.
 * UNAVAILABLE while the earlier stream still writes, or when it is the stream of another host.
 */
static struct error *register_stream(struct report_stream *t)
{
        struct report_stream *elder = map_get(&t->all->reporting, str_of(t->id));

        if (elder != NULL && !elder->is_writing && !elder->is_given_up && strcmp(elder->host_id, t->host_id) == 0)
                finish(elder, error_new(ERROR_ABORTED, "the connection has another report stream"));
        elder = map_get(&t->all->reporting, str_of(t->id));
        if (elder != NULL)
                return error_new(ERROR_UNAVAILABLE, "the connection has another report stream");
        map_put(&t->all->reporting, str_of(t->id), t);
        t->is_registered = true;
        return NULL;
}

static void load(struct report_stream *t)
{
        t->pending++;
        state_get(t->auth->store, &connection_kind, str_of(t->id), on_record, t);
}

static void on_begin(struct report_stream *t, const Cteleport__V1__ReportBegin *m)
{
        struct error *err = NULL;

        if (!name_is_session(str_of(m->connection_id))) {
                finish(t, error_new(ERROR_INVALID_ARGUMENT, "a connection without a proper name"));
                return;
        }
        t->id = str_dup(str_of(m->connection_id));
        t->is_resumed = m->is_resumed;
        err = register_stream(t);
        if (err != NULL)
                finish(t, err);
        else
                load(t);
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct report_stream *t = ctx;
        const Cteleport__V1__ReportUp *up = (const Cteleport__V1__ReportUp *)msg;
        bool is_begin = up->payload_case == CTELEPORT__V1__REPORT_UP__PAYLOAD_BEGIN;

        if (is_begin != (t->id == NULL)) {
                finish(t, error_new(ERROR_INVALID_ARGUMENT, "a stream about a connection begins with its name, once"));
                return;
        }
        if (is_begin) {
                on_begin(t, up->begin);
                return;
        }
        struct error *err = unstored_push(&t->waiting, t->auth, str_of(t->host_id), msg);
        if (err != NULL) {
                finish(t, err);
                return;
        }
        pump(t);
}

static void on_half_close(void *ctx)
{
        finish(ctx, NULL);
}

static const struct rpc_call_events call_events = { on_message, on_half_close, on_gone };

static struct report_stream *report_stream_new(struct sessions *s)
{
        struct report_stream *t = NEW(struct report_stream);

        t->all = s;
        t->auth = s->auth;
        t->repeats = (struct session_repeats){ .auth = s->auth, .connection = &t->now };
        s->pending++;
        return t;
}

void session_report(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *caller = rpc_call_caller(call);
        struct report_stream *t = report_stream_new(caller->auth->sessions);

        (void)first;
        t->call = call;
        t->host_id = str_dup(str_of(caller->host_id));
        t->role = str_dup(str_of(caller->role));
        rpc_call_listen(call, &call_events, t);
}

/* ---- changes of users, roles and locks ------------------------------------------------------------------------------------- */

static void on_rechecked(void *ctx, const struct answer *answer)
{
        struct report_stream *t = ctx;

        t->pending--;
        t->is_rechecking = false;
        if (t->call != NULL)
                learn_permits(t, answer);
        const char *taken = t->call == NULL || answer->refusal != NULL ? NULL : session_permits_taken(t->now.record->permits, answer);
        if (taken != NULL)
                terminate(t, taken);
        if (t->call != NULL && answer->refusal != NULL) {
                if (answer->refusal->code != ERROR_UNAVAILABLE)
                        terminate(t, answer->refusal->what);
                else
                        sessions_recheck_later(t->all);
        }
        if (t->call == NULL)
                free_if_idle(t);
        else if (t->recheck_again)
                recheck(t);
}

static void recheck(struct report_stream *t)
{
        const Cteleport__State__V1__Connection *m = t->now.record;

        t->recheck_again = t->is_rechecking;
        if (t->is_rechecking || t->is_terminated)
                return;
        t->is_rechecking = true;
        t->pending++;
        struct query query = query_of(t, known_fields(t), (ProtobufCBinaryData){ 0 });
        query.known = m;
        decide(t->auth, &query, on_rechecked, t);
}

void report_stream_recheck(struct report_stream *t)
{
        if (t->state == READY && connection_is_accepted(&t->now))
                recheck(t);
}

void report_stream_end_on(struct report_stream *t, struct str host_id)
{
        if (t->state == READY && str_equal(str_of(t->now.record->host_id), host_id))
                terminate(t, "this node was removed from the cluster");
}

void report_stream_give_up(struct sessions *s, struct str id, const char *reason)
{
        struct report_stream *t = report_stream_new(s);

        t->id = str_dup(id);
        t->host_id = str_dup(STR(""));
        t->role = str_dup(STR(""));
        t->is_given_up = true;
        t->end_reason = reason;
        sessions_forget_lost(s, str_of(t->id));
        struct error *err = register_stream(t);
        if (err != NULL)
                bug("a connection without a stream is not free: %s", err->what);
        load(t);
}
