/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dial: a proxy requests a connection for a user whose certificate was proven to it.
 *
 *      certificate ─▶ target ─▶ the host with that ID, or the hosts with that name
 *                                   └─▶ user, locks, roles ─▶ /connections/<id> ─▶ answer
 *
 * Several nodes of one name are ambiguous. Several hosts that offer an application are alternatives: the first one that the user
 * may use is taken, and a proxy that cannot reach it requests the connection again without it.
 *
 * This decision keeps users without permission away from nodes. The login itself is decided later: the node requests a second
 * decision, on the certificate that the client shows to sshd.
 */
#include <stdlib.h>

#include "api.pb-c.h"
#include "auth/core/caller.h"
#include "auth/hosts/hosts.h"
#include "auth/hosts/tunnels_service.h"
#include "auth/sessions/kinds.h"
#include "auth/sessions/session_events.h"
#include "auth/web/web_sessions.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "rpc/pb.h"
#include "services/services.h"

/*
 * Between two answers of the store a dial holds only names (LIMIT_DIAL_ARENA). A decision also needs the parsed certificate and
 * the user's roles and logins; their memory (STEP_ARENA) is freed before the next answer of the store.
 */
enum { STEP_ARENA = CERT_READ_ARENA + LIMIT_STORE_VALUE };
_Static_assert((int)LIMIT_DIAL_ARENA >= LIMIT_DIAL_CANDIDATES * 3 * (LIMIT_NAME + 32) + (9 + LIMIT_DIAL_TRIES) * LIMIT_NAME, "the names that a dial keeps have room");

struct dial {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the proxy is gone */
        struct arena *arena;
        const struct resource_kind *kind;
        struct kind_fields fields;
        struct str user, target, client_addr, serial;
        struct str candidates[LIMIT_DIAL_CANDIDATES];
        size_t candidate_count, last_examined;
        char *tried[LIMIT_DIAL_TRIES]; /* hosts that the proxy could not reach; in the arena */
        size_t tried_count;
        /* A host that the user may enter; without one, the host of the refusal that is reported. */
        struct str host_id, hostname;
        size_t found;
        struct error *refusal; /* of the first host that the user sees and may not enter */
        struct error *hidden_error; /* of the first host that the user does not see; for the audit log only, the answer is NOT_FOUND */
        bool is_counted;       /* in auth->dials, for the user */
        char connection_id[AUDIT_UID_LEN + 1];
};

static void dial_free(struct dial *d)
{
        if (d->is_counted)
                shares_remove(&d->auth->dials, d->user);
        error_free(d->refusal);
        error_free(d->hidden_error);
        arena_free(d->arena);
        free(d);
}

static void on_gone(void *ctx)
{
        struct dial *d = ctx;

        d->call = NULL; /* an answer of the store is under way */
}

static const struct rpc_call_events call_events = { .on_gone = on_gone };

static void finish(struct dial *d, struct error *err)
{
        if (d->call != NULL)
                rpc_call_finish(d->call, err);
        else
                error_free(err);
        dial_free(d);
}

/* Whether the error refuses the user: other errors, such as faults of the cluster, are not audited. */
static bool is_refusal(const struct error *err)
{
        return err->code == ERROR_PERMISSION_DENIED || err->code == ERROR_UNAUTHENTICATED;
}

static struct str kind_name(const struct dial *d)
{
        return d->kind == NULL ? STR("") : str_of(d->kind->name);
}

static void report_refusal(struct dial *d, const struct error *err)
{
        const struct rejection r = { .user = d->user, .fields = d->fields, .host_id = d->host_id,
                                     .hostname = !str_is_empty(d->hostname) || !str_is_empty(d->fields.app.name) ? d->hostname : d->target, .client_addr = d->client_addr,
                                     .serial = d->serial, .why = err };

        if (session_audit_rejected(d->auth, &r))
                log_warn("Connection refused", LOG_STR("kind", kind_name(d)), LOG_STR("user", d->user), LOG_STR("login", d->fields.node.login), LOG_STR("target", d->target),
                         LOG_STR("remote_addr", d->client_addr), LOG_ERR(err));
}

static void refuse(struct dial *d, struct error *err)
{
        if (is_refusal(err))
                report_refusal(d, err);
        finish(d, err);
}

/* ---- the answer --------------------------------------------------------------------------------------------- */

/* Names the other proxies that can relay the connection. */
static void name_peers(const struct dial *d, Cteleport__V1__DialResponse *response, struct tunnels_peers *peers)
{
        const struct caller *caller = rpc_call_caller(d->call);

        tunnels_find_peers(d->auth, d->host_id, kind_service(d->kind)->role.name, str_of(caller->host_id), peers);
        response->peers = peers->list;
        response->n_peers = peers->count;
        response->is_peering = d->auth->agent_connections > 0;
}

/* Whether further hosts may offer the resource; they have not been examined. */
static bool has_alternatives(const struct dial *d)
{
        return d->kind->ambiguous == NULL && d->last_examined < d->candidate_count && d->tried_count + 1 < LIMIT_DIAL_TRIES;
}

static void on_written(void *ctx, uint64_t revision, struct error *err)
{
        struct dial *d = ctx;
        Cteleport__V1__DialResponse response = CTELEPORT__V1__DIAL_RESPONSE__INIT;
        struct tunnels_peers peers;

        (void)revision;
        if (err != NULL) {
                if (d->auth->sessions != NULL)
                        sessions_leave_node(d->auth->sessions, str_of(d->connection_id));
                finish(d, error_wrap(err, "the connection could not be written down"));
                return;
        }
        log_info("Connection on its way", LOG_STR("kind", kind_name(d)), LOG_C("connection_id", d->connection_id), LOG_STR("user", d->user), LOG_STR("login", d->fields.node.login),
                 LOG_STR("app", d->fields.app.name),
                 LOG_STR("node_name", d->hostname), LOG_STR("remote_addr", d->client_addr));
        response.connection_id = d->connection_id;
        response.host_id = pb_text(d->host_id.ptr);
        response.hostname = pb_text(d->hostname.ptr);
        response.user = pb_text(d->user.ptr);
        response.service = pb_text(kind_service(d->kind)->name);
        response.resource = pb_text(d->fields.app.name.ptr);
        response.has_alternatives = has_alternatives(d);
        if (d->call != NULL)
                name_peers(d, &response, &peers);
        if (d->call != NULL)
                rpc_call_reply(d->call, &response.base);
        dial_free(d);
}

static void write_connection(struct dial *d)
{
        Cteleport__State__V1__Connection c = CTELEPORT__STATE__V1__CONNECTION__INIT;
        struct walltime now = loop_wall(&d->auth->loop);
        AUTO(buf) id = BUF_MAX(sizeof d->connection_id);

        random_uuid(&id);
        memcpy(d->connection_id, buf_c(&id), AUDIT_UID_LEN + 1);
        struct error *err = session_check_new(d->auth, d->user, d->host_id);
        if (err == NULL)
                err = sessions_enter_node(d->auth->sessions, str_of(d->connection_id), d->kind, d->host_id, d->user);
        if (err != NULL) {
                log_warn("Connection refused", LOG_STR("kind", kind_name(d)), LOG_STR("user", d->user), LOG_STR("login", d->fields.node.login), LOG_STR("node_name", d->hostname),
                         LOG_STR("remote_addr", d->client_addr), LOG_ERR(err));
                finish(d, err);
                return;
        }
        struct store_txn *t = store_txn_new(d->auth->store);
        c.connection_id = d->connection_id;
        c.kind = pb_text(d->kind->name);
        c.resource = pb_text(d->fields.app.name.ptr);
        c.resource_port = d->fields.app.port;
        c.host_id = pb_text(d->host_id.ptr);
        c.hostname = pb_text(d->hostname.ptr);
        c.user = pb_text(d->user.ptr);
        c.client_addr = pb_text(d->client_addr.ptr);
        c.dialled = now.ns / 1000000;
        host_require(t, d->host_id, STORE_ANY);
        state_put(t, &connection_kind, str_of(d->connection_id), &c.base, walltime_add(now, MILLISECONDS(TIMEOUT_DIALLED)));
        store_txn_commit(t, on_written, d);
}

/* ---- the target ------------------------------------------------------------------------------------------------- */

static struct error *no_such_resource(const struct dial *d)
{
        return error_hint(error_new(ERROR_NOT_FOUND, "there is no %s '%.*s', or it is offline", d->kind->name, STR_ARG(d->target)), "%s",
                          d->kind->missing_hint);
}

static void decide_target(struct dial *d)
{
        struct error *err = arena_check(d->arena, "the question for a connection");

        if (err != NULL) {
                finish(d, err);
        } else if (d->found == 1) {
                write_connection(d);
        } else if (d->found > 1) {
                d->host_id = d->hostname = STR("");
                finish(d, error_hint(error_new(ERROR_FAILED_PRECONDITION, "%s", d->kind->ambiguous), "%s", d->kind->ambiguous_hint));
        } else if (d->tried_count > 0) { /* the proxy, or the client, has the reason of those; the list may be the client's word, which hides no refusal */
                const struct error *why = d->refusal != NULL ? d->refusal : d->hidden_error;

                if (why != NULL && is_refusal(why))
                        report_refusal(d, why);
                finish(d, no_such_resource(d));
        } else if (d->refusal != NULL) {
                err = d->refusal;
                d->refusal = NULL;
                refuse(d, err);
        } else {
                if (d->hidden_error != NULL)
                        report_refusal(d, d->hidden_error);
                finish(d, no_such_resource(d));
        }
}

static void check_next(struct dial *d);

/* *ret_is_seen: the user sees the node, so that a refusal may name it. */
static struct error *check_node(struct dial *d, const struct node *node, bool *ret_is_seen)
{
        AUTO_PTR(arena) step = arena_new(STEP_ARENA);
        struct access_user user = { 0 };
        struct access_session may;

        *ret_is_seen = true;
        if (d->auth->is_stopping)
                return error_new(ERROR_UNAVAILABLE, "the Auth Service is stopping");
        struct error *err = d->kind->check(d->auth->directory, d->user, &d->fields, node, step, &user, &may);
        *ret_is_seen = d->kind->is_seen(&user, node, &d->fields);
        return err == NULL ? arena_check(step, "the decision on a connection") : err;
}

/* Stores the first error and frees later ones. */
static void keep(struct error **first, struct error *err)
{
        if (*first == NULL)
                *first = err;
        else
                error_free(err);
}

static void on_node(void *ctx, const struct node *node, struct error *err)
{
        struct dial *d = ctx;

        if (err != NULL || d->call == NULL) {
                finish(d, err);
                return;
        }
        if (node != NULL && d->kind->is_offered(node, &d->fields)) {
                bool is_seen;

                err = check_node(d, node, &is_seen);
                bool is_first = d->refusal == NULL && (is_seen || d->hidden_error == NULL);
                if (err == NULL || (d->found == 0 && is_first)) {
                        d->host_id = arena_str(d->arena, node->host_id);
                        d->hostname = arena_str(d->arena, node->hostname);
                }
                if (err == NULL)
                        d->found++;
                else
                        keep(is_seen ? &d->refusal : &d->hidden_error, err);
        }
        check_next(d);
}

static void check_next(struct dial *d)
{
        bool is_enough = d->kind->ambiguous == NULL && d->found > 0;

        if (is_enough || d->last_examined == d->candidate_count)
                decide_target(d);
        else
                node_find(d->auth, d->candidates[d->last_examined++], on_node, d);
}

static bool was_tried(const struct dial *d, struct str host_id)
{
        for (size_t i = 0; i < d->tried_count; i++)
                if (str_equal(str_of(d->tried[i]), host_id))
                        return true;
        return false;
}

static void find_candidates(struct dial *d)
{
        struct str ids[LIMIT_DIAL_CANDIDATES];
        size_t count = d->kind->find(sessions_nodes(d->auth->sessions), d->target, ids);

        for (size_t i = 0; i < count; i++)
                if (!was_tried(d, ids[i]))
                        d->candidates[d->candidate_count++] = arena_str(d->arena, ids[i]);
        /* An unknown name causes a lookup too, so that the time of the answer does not show whether a host exists. */
        if (d->candidate_count == 0)
                d->candidates[d->candidate_count++] = STR("00000000-0000-0000-0000-000000000000");
}

/* ---- the request -------------------------------------------------------------------------------------------------- */

/* Reasons that refuse the user on every node are reported whether the node exists or not. */
static struct error *check_user(struct dial *d, struct str name, struct arena *step)
{
        struct access_user user = { 0 };

        return decision_check_anywhere(d->auth->directory, name, d->fields.node.login, step, &user);
}

/* The texts of *ret_cert are in `step`. */
static struct error *check_request(struct dial *d, const Cteleport__V1__DialRequest *m, struct arena *step, struct cert_info *ret_cert)
{
        struct kind_fields fields;
        struct str target;

        if (d->kind == NULL)
                return kind_unknown(m->kind);
        TRY(d->kind->read(m, &target, &fields));
        d->fields = kind_fields_copy(d->arena, &fields);
        if (m->n_tried_hosts > LIMIT_DIAL_TRIES)
                return error_new(ERROR_INVALID_ARGUMENT, "the proxy has tried more than %d hosts", LIMIT_DIAL_TRIES);
        for (size_t i = 0; i < m->n_tried_hosts; i++)
                d->tried[d->tried_count++] = pb_text(arena_str(d->arena, str_slice(str_of(m->tried_hosts[i]), 0, LIMIT_NAME)).ptr);
        TRY(client_addr_check(m->client_addr));
        if (m->user_cert.len > CERT_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the certificate is too large");
        TRY(user_cert_check(&d->auth->authorities, d->auth->cluster, pb_str(m->user_cert),
                            loop_wall(&d->auth->loop), step, ret_cert));
        TRY(directory_check_issued(d->auth->directory, ret_cert->common_name, ret_cert->times.not_before));
        TRY(web_sessions_check(d->auth->web_sessions, ret_cert->web_session, ret_cert->common_name));
        TRY(decision_check_cert_app(ret_cert, d->kind, &d->fields));
        TRY(check_user(d, ret_cert->common_name, step));
        return arena_check(step, "the question for a connection");
}

void dial_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__DialRequest *m = (const Cteleport__V1__DialRequest *)first;
        const struct caller *caller = rpc_call_caller(call);
        struct auth *a = caller->auth;

        if (a->dials.total >= LIMIT_DIALS) {
                rpc_call_finish(call, error_hint(error_new(ERROR_UNAVAILABLE, "too many connections are being made at once"), "try again"));
                return;
        }
        AUTO_PTR(arena) step = arena_new(STEP_ARENA);
        struct cert_info cert = { 0 };
        struct dial *d = NEW(struct dial);
        d->auth = a;
        d->call = call;
        d->arena = arena_new(LIMIT_DIAL_ARENA);
        d->kind = kind_find(m->kind);
        d->target = arena_str(d->arena, str_slice(str_of(m->target), 0, LIMIT_NAME));
        d->fields.node.login = arena_str(d->arena, str_slice(kind_fields_of(m->node).node.login, 0, LIMIT_NAME));
        d->client_addr = arena_str(d->arena, str_slice(str_of(m->client_addr), 0, ADDRESS_TEXT_MAX - 1));
        rpc_call_listen(call, &call_events, d);
        struct error *err = check_request(d, m, step, &cert);
        d->user = arena_str(d->arena, cert.common_name);
        d->serial = arena_str(d->arena, cert.serial_hex);
        if (err != NULL) {
                refuse(d, err);
                return;
        }
        a->dials.limits = (struct share_limits){ LIMIT_DIALS, LIMIT_DIALS_USER, LIMIT_DIALS_RESERVE, LIMIT_DIALS_RESERVED };
        if (!shares_have_room(&a->dials, d->user)) {
                finish(d, error_hint(error_new(ERROR_UNAVAILABLE, "too many connections are being made at once"), "try again"));
                return;
        }
        err = audit_check_room(a, ROOM_FOR_NEW);
        if (err != NULL) {
                finish(d, err);
                return;
        }
        shares_add(&a->dials, d->user);
        d->is_counted = true;
        find_candidates(d);
        check_next(d);
}
