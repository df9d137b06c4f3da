/* SPDX-License-Identifier: Apache-2.0 */
/* Joins the cluster, and connects to it with the identity. */
#include "instance/instance.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "join/method.h"
#include "net/socket.h"
#include "os/fdpass.h"

/* The texts for which operators of such agents search the log. */
static const char *const events_of_attempt[] = {
        [ROUTE_PROXY_WEB] = "Attempting registration via proxy server.",
        [ROUTE_PROXY_CLUSTER] = "Attempting registration via proxy server.",
        [ROUTE_AUTH] = "Attempting registration with auth server.",
};
static const char *const events_of_success[] = {
        [ROUTE_PROXY_WEB] = "Successfully registered via proxy server.",
        [ROUTE_PROXY_CLUSTER] = "Successfully registered via proxy server.",
        [ROUTE_AUTH] = "Successfully registered with auth server.",
};

static void try_way(struct instance *i);

/* ---- the helper of the join method ------------------------------------------------------------------------ */

/* The helper of the configured join method; NULL: the method has none. */
static const struct join_helper *helper_of(const struct instance *i)
{
        const struct join_method *method = join_method_find(str_of(i->join_options.method));

        return method == NULL ? NULL : method->helper;
}

void member_drop_helper(struct instance *i)
{
        if (i->join_options.helper != NULL)
                helper_of(i)->client_free(i->join_options.helper);
        i->join_options.helper = NULL;
}

/* Requests a helper for one join from the supervisor. The helper starts while this process connects. */
static void request_helper(struct instance *i)
{
        const struct join_helper *helper = helper_of(i);

        if (helper == NULL || (i->join_options.helper != NULL && !helper->client_is_used(i->join_options.helper)))
                return;
        member_drop_helper(i);
        i->join_options.helper = helper->client_new(&i->loop);
        service_send(i->service, &(struct child_message){ .kind = CHILD_SENT_AWS_SIGN, .number = ++i->helper_number });
}

void member_connect_helper(struct instance *i, int64_t number, int fd, const char *why)
{
        if (i->join_options.helper == NULL || number != i->helper_number) {
                fd_close_at(&fd); /* for a join that has ended */
                return;
        }
        if (fd >= 0)
                helper_of(i)->client_connect(i->join_options.helper, fd);
        else
                helper_of(i)->client_fail(i->join_options.helper, error_new(ERROR_UNAVAILABLE, "%s", why));
}

/* ---- joining --------------------------------------------------------------------------------------- */

static void forget_join(struct instance *i)
{
        error_free(i->join_err);
        i->join_err = NULL;
        member_drop_helper(i);
        instance_hang_up(i);
}

/* Collects the errors of all ways. The first one stays in front, because it belongs to the most likely way. */
static void add_join_error(struct instance *i, struct error *err)
{
        if (i->join_err == NULL) {
                i->join_err = err;
                return;
        }
        struct error *last = i->join_err;
        while (last->cause != NULL)
                last = last->cause;
        last->cause = err;
}

static void join_failed(struct instance *i, struct error *err)
{
        add_join_error(i, err);
        struct error *whole = i->join_err;
        i->join_err = NULL;
        i->is_identity_suspect = false; /* the next attempt uses the old identity again, if there is one */
        member_drop_helper(i);
        instance_failed(i, whole);
}

/* Tries the next way, because this connection did not lead to the cluster and its failure decides nothing about the join. */
static void next_way(struct instance *i, struct error *err)
{
        instance_hang_up(i);
        if (i->way + 1 == i->way_count) {
                join_failed(i, err);
                return;
        }
        add_join_error(i, err);
        member_drop_helper(i); /* it may be near its timeout; the next established connection requests another */
        i->way++;
        try_way(i);
}

/*
 * Whether the join may succeed by another way. An error without a known reason may come from any device between this host and
 * the cluster, whatever its code is. Decisions of the cluster, and faults of this host, are the same by every way.
 */
static bool is_connection_error(const struct error *err)
{
        if (error_is_for(err, REASON_CONNECTION))
                return true;
        return !error_is_decision(err) && !error_is_for(err, REASON_AWS) && !error_is_for(err, REASON_ANSWER);
}

static void on_joined(void *ctx, struct join_outcome *o, struct error *err);

static void start_legacy_role(struct instance *i)
{
        for (; i->legacy_slot < SLOT_COUNT; i->legacy_slot++) {
                if (i->slots[i->legacy_slot].is_wanted)
                        break;
        }
        if (i->legacy_slot == SLOT_COUNT) {
                member_drop_helper(i);
                instance_hang_up(i);
                member_connect(i);
                return;
        }
        i->join_options.legacy_role = i->slots[i->legacy_slot].role;
        request_helper(i);
        i->join = join_client_start(&i->loop, i->join_rpc, &i->join_options, on_joined, i);
}

static void finish_join(struct instance *i, enum slot_index slot, struct join_outcome *o)
{
        join_outcome_log(o);
        instance_report_skew(i, o->clock_skew);
        instance_take_identity(i, slot, &o->identity);
        free(i->slots[slot].revision_asked); /* certificates of a join have no revision of the CAs: in a rotation they are requested again */
        i->slots[slot].revision_asked = NULL;
        if (slot == SLOT_INSTANCE) {
                log_info(events_of_success[i->ways[i->way].route], LOG_C("server", i->ways[i->way].address),
                         LOG_STR("host_id", i->slots[slot].identity.host_id),
                         LOG_STR("cluster", i->slots[slot].identity.cluster));
                i->has_joined = true;
        } else {
                identity_store_note_proof(i, &i->slots[slot].identity); /* the Auth Service has the proof of the last join only */
        }
        if (o->was_legacy) {
                free(i->own_host_id);
                i->own_host_id = NULL; /* the host has its final ID */
                i->join_options.legacy_host_id = i->status.host_id;
                i->legacy_slot = slot + 1u;
                start_legacy_role(i);
                return;
        }
        forget_join(i);
        member_connect(i);
}

static void legacy_role_refused(struct instance *i, struct error *err)
{
        struct slot *s = &i->slots[i->legacy_slot];
        log_error("Can not join the cluster in one of its roles", LOG_C("role", s->role), LOG_ERR(err));
        free(s->refusal);
        s->refusal = str_dup(str_of(err->what));
        error_free(err);
        i->legacy_slot++;
        start_legacy_role(i);
}

/* An ID that the cluster refuses to this host is not requested again. */
static void join_refused(struct instance *i, struct error *err)
{
        if (error_is_for(err, REASON_HOST_ID)) {
                free(i->own_host_id);
                i->own_host_id = NULL;
        }
        join_failed(i, err);
}

static void on_joined(void *ctx, struct join_outcome *o, struct error *err)
{
        struct instance *i = ctx;
        i->join = NULL;
        if (i->is_stopping) {
                error_free(err);
                return;
        }
        if (err == NULL)
                finish_join(i, i->join_options.legacy_role == NULL ? SLOT_INSTANCE : (enum slot_index)i->legacy_slot, o);
        else if (i->join_options.legacy_role != NULL)
                legacy_role_refused(i, err);
        else if (is_connection_error(err))
                next_way(i, err);
        else
                join_refused(i, err);
}

static void on_join_connected(void *ctx, struct stream *tls, struct error *err)
{
        struct instance *i = ctx;
        i->connect = NULL;
        if (i->is_stopping) {
                stream_close(tls);
                error_free(err);
                return;
        }
        if (err != NULL) {
                if (error_is_for(err, REASON_PIN))
                        join_failed(i, err);
                else
                        next_way(i, err);
                return;
        }
        const struct connect_way *way = &i->ways[i->way];
        bool is_retry = i->reported[true] != NULL; /* logged once, not at every attempt of a lasting failure */
        if (way->proof == PROOF_FIRST_USE && !is_retry)
                log_warn("Joining a cluster that has not proven itself: neither ca_pin nor ca.cert is configured",
                         LOG_C("server", way->address),
                         LOG_C("hint", "set teleport.ca_pin to the pin that 'tctl status' prints"));
        if (way->proof == PROOF_INSECURE && !is_retry)
                log_warn("Joining a cluster without verifying its certificate (--insecure)",
                         LOG_C("server", way->address));
        conversation_enter(&i->at, INSTANCE_JOIN);
        request_helper(i);
        i->join_options.trust = connect_way_trust(way);
        i->join_options.is_auth = way->route == ROUTE_AUTH && way->proof == PROOF_PIN;
        bool is_bound = tls_channel_binding(tls, i->channel_binding);
        i->join_options.channel_binding = str_of_bytes(i->channel_binding, is_bound ? sizeof i->channel_binding : 0);
        i->join_rpc = rpc_client_new(&i->loop, tls, "teleport.cluster.local", instance_on_rpc_closed, i);
        i->join = join_client_start(&i->loop, i->join_rpc, &i->join_options, on_joined, i);
}

static void try_way(struct instance *i)
{
        const struct connect_way *way = &i->ways[i->way];
        if (i->at.state != INSTANCE_CONNECT_TO_JOIN)
                conversation_enter(&i->at, INSTANCE_CONNECT_TO_JOIN);
        if (i->reported[true] == NULL)
                log_info(events_of_attempt[way->route], LOG_C("server", way->address));
        status_set_server(&i->status, way->address);
        i->connect = connect_start(&i->loop, way, &i->trust, on_join_connected, i);
}

/* The host ID for the older join service, the same for all attempts. */
static const char *own_host_id(struct instance *i)
{
        AUTO(buf) id = BUF_MAX(64);

        if (i->own_host_id == NULL) {
                random_uuid(&id);
                i->own_host_id = buf_take(&id);
        }
        return i->own_host_id;
}

void member_join(struct instance *i)
{
        status_set_state(&i->status, STATUS_JOINING);
        conversation_enter(&i->at, INSTANCE_CONNECT_TO_JOIN);
        i->join_options.token_name = i->own->token;
        i->join_options.legacy_role = NULL;
        i->join_options.legacy_host_id = own_host_id(i);
        if (i->own->token[0] == '\0') {
                join_failed(i, error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                                    "this host has no identity and no token to join with"),
                                          "set teleport.join_params.token_name and .method in the configuration file"));
                return;
        }
        struct error *err = connect_ways_to_join(i->proxy_server, i->auth_server, &i->trust, i->ways, &i->way_count);
        if (err != NULL) {
                join_failed(i, err);
                return;
        }
        if (i->reported[true] == NULL)
                log_info("Joining the cluster with a secure token.", LOG_C("method", i->join_options.method));
        i->way = 0;
        if (i->reported[true] == NULL) /* starts no process for nothing while the cluster cannot be reached */
                request_helper(i);
        try_way(i);
}

/* ---- connecting with an identity ------------------------------------------------------------------- */

static void on_client(void *ctx, struct rpc_client *client, struct error *err)
{
        struct instance *i = ctx;
        (void)client;
        if (i->is_stopping)
                error_free(err);
        else if (err != NULL)
                instance_failed(i, err);
        else
                certify_begin(i);
}

void member_connect(struct instance *i)
{
        instance_show_state(i);
        conversation_enter(&i->at, INSTANCE_CONNECT);
        i->must_reconnect = false;
        struct error *err = connect_way_of_member(i->proxy_server, i->auth_server, &i->ways[0]);
        if (err != NULL) {
                instance_failed(i, err);
                return;
        }
        status_set_server(&i->status, i->ways[0].address);
        auth_client_use_identity(i->auth, i->trust.stored, i->proxy_server, i->auth_server);
        auth_client_request(i->auth, on_client, i);
}
