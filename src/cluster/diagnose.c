/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/diagnose.h"

#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "join.pb-c.h"
#include "loop/loop.h"
#include "rpc/rpc.h"

/* ---- the services behind the connection ----------------------------------------------------------------------- */

struct check {
        struct loop *loop;
        struct diagnosis *d;
        struct rpc_client *client;
        bool is_host;
        struct error *join_failure; /* until it is known whether auth answers */
        void (*done)(void *ctx);
        void *ctx;
};

static void on_checked(void *ctx)
{
        struct check *c = ctx;

        rpc_client_close(c->client);
        error_free(c->join_failure);
        c->done(c->ctx);
        free(c);
}

static void on_closed(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err); /* the call that runs reports it */
}

/* theirs: the clock of the Auth Service, received now. Beyond the limit the proof of a join fails; users have none. */
static void check_clock(struct check *c, struct walltime theirs)
{
        int64_t ms = duration_ms(walltime_since(theirs, loop_wall(c->loop))), size = ms < 0 ? -ms : ms;
        const char *side = ms < 0 ? "ahead of" : "behind";

        diagnosis_begin(c->d, DIAGNOSIS_CLOCK);
        if (size <= LIMIT_CLOCK_WARN_SECONDS * 1000) {
                diagnosis_pass(c->d, DIAGNOSIS_CLOCK, "%lld ms %s the cluster's", (long long)size, side);
                return;
        }
        struct error *err = error_hint(error_new(ERROR_FAILED_PRECONDITION, "the clock of this host is %lld seconds %s the cluster's",
                                                 (long long)(size / 1000), side),
                                       "set the clock of this host, for instance with chrony: %s",
                                       c->is_host ? "proofs of an AWS identity are only good for some minutes" : "certificates have a time at which they begin and end");
        if (c->is_host && size > LIMIT_CLOCK_SKEW_SECONDS * 1000)
                diagnosis_fail(c->d, err);
        else
                diagnosis_warn(c->d, DIAGNOSIS_CLOCK, err);
}

static void auth_answered(struct check *c, const Cteleport__V1__PingResponse *answer)
{
        AUTO_MEM char *cluster = escaped(str_of(answer->cluster));
        AUTO_MEM char *version = escaped(str_of(answer->version));

        if (c->join_failure != NULL) {
                diagnosis_fail(c->d, c->join_failure);
                c->join_failure = NULL;
                return;
        }
        diagnosis_pass(c->d, DIAGNOSIS_AUTH, "the Auth Service of cluster %s answers, version %s", cluster, version);
        /* Seconds beyond any calendar would overflow nanoseconds. */
        if (answer->now == NULL || answer->now->seconds <= 0 || answer->now->seconds >= INT32_MAX * (int64_t)4) {
                diagnosis_skip(c->d, DIAGNOSIS_CLOCK, "the cluster did not send its time");
                return;
        }
        struct walltime theirs = walltime_add(walltime_of_unix(answer->now->seconds), (struct duration){ answer->now->nanos });
        check_clock(c, theirs);
}

/* A proxy without a connection to auth serves joins nevertheless: the failure is that of auth. Any other belongs to the join service. */
static void auth_failed(struct check *c, struct error *err)
{
        if (c->join_failure != NULL && !error_is_for(c->join_failure, REASON_NO_AUTH)) {
                diagnosis_fail(c->d, c->join_failure);
                c->join_failure = NULL;
                error_free(err);
                return;
        }
        if (c->join_failure != NULL)
                diagnosis_pass(c->d, DIAGNOSIS_JOIN, "the proxy serves it, and forwards joins to auth");
        diagnosis_begin(c->d, DIAGNOSIS_AUTH);
        diagnosis_fail(c->d, err);
}

static void on_ping(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct check *c = ctx;

        if (err == NULL)
                auth_answered(c, (const Cteleport__V1__PingResponse *)answer);
        else
                auth_failed(c, err);
        loop_defer(c->loop, on_checked, c);
}

static void check_auth(struct check *c)
{
        Cteleport__V1__Empty nothing = CTELEPORT__V1__EMPTY__INIT;

        if (c->join_failure == NULL)
                diagnosis_begin(c->d, DIAGNOSIS_AUTH);
        rpc_client_unary(c->client,
                         (struct rpc_client_call_options){
                                 .path = "/cteleport.v1.PingService/Ping",
                                 .response = &cteleport__v1__ping_response__descriptor,
                                 .within = MILLISECONDS(TIMEOUT_RPC),
                         },
                         &nothing.base, on_ping, c);
}

static void on_join_message(void *ctx, const ProtobufCMessage *msg)
{
        (void)ctx;
        (void)msg;
}

static void on_join_done(void *ctx, struct error *err)
{
        struct check *c = ctx;

        c->join_failure = err;
        if (err == NULL)
                diagnosis_pass(c->d, DIAGNOSIS_JOIN, "teleport.join.v1.JoinService answers");
        check_auth(c);
}

static const struct rpc_client_events join_events = { .on_message = on_join_message, .on_done = on_join_done };

/* A join that ends before its first message is none: the Auth Service answers, and records nothing (docs/protocols/join.md). */
static void check_join(struct check *c)
{
        diagnosis_begin(c->d, DIAGNOSIS_JOIN);
        struct rpc_client_call *call = rpc_client_call(c->client,
                                                       (struct rpc_client_call_options){
                                                               .path = "/teleport.join.v1.JoinService/Join",
                                                               .response = &teleport__join__v1__join_response__descriptor,
                                                               .response_max = LIMIT_RPC_JOIN,
                                                               .within = MILLISECONDS(TIMEOUT_RPC),
                                                       },
                                                       &join_events, c);
        rpc_client_half_close(call);
}

void diagnose_services(struct loop *l, struct stream *tls, bool is_host, struct diagnosis *d, void (*done)(void *ctx), void *ctx)
{
        struct check *c = NEW(struct check);

        *c = (struct check){ .loop = l, .d = d, .is_host = is_host, .done = done, .ctx = ctx };
        c->client = rpc_client_new(l, tls, "teleport.cluster.local", on_closed, c);
        if (is_host)
                check_join(c);
        else
                check_auth(c);
}

/* ---- the ways of a join ------------------------------------------------------------------------------------------ */

struct diagnose {
        struct loop *loop;
        const struct diagnose_options *options;
        struct diagnosis *d;
        struct connect_way ways[CONNECT_WAYS_MAX];
        size_t count, at;
        struct diagnosis first; /* the results of the first way, once it has failed */
        struct connect *connect;
        void (*done)(void *ctx);
        void *ctx;
};

static void finish(void *ctx)
{
        struct diagnose *g = ctx;

        g->done(g->ctx);
        diagnosis_release(&g->first);
        free(g);
}

static void try_way(struct diagnose *g);

static const char *text_of_proof(enum connect_proof proof)
{
        switch (proof) {
        case PROOF_SYSTEM:
                return "verified by the CAs of the system";
        case PROOF_CA_FILE:
                return "verified by ca.cert of the data directory";
        case PROOF_STORED:
                return "verified by the CA of this host's identity";
        case PROOF_PIN:
                return "verified by ca_pin";
        case PROOF_FIRST_USE:
        case PROOF_INSECURE:
                break;
        }
        return "not verified";
}

/* HTTPS with a load balancer, as connect.c verifies it. */
static const char *text_of_outer(const struct diagnose *g, const struct connect_way *way)
{
        bool has_ca_file = !str_is_empty(g->options->trust->ca_file_pem);

        if (g->options->trust->is_insecure)
                return "not verified";
        if (way->route == ROUTE_PROXY_WEB && way->proof == PROOF_CA_FILE)
                return "verified by ca.cert of the data directory";
        return has_ca_file && way->route != ROUTE_PROXY_WEB ? "verified by the CAs of the system, or ca.cert of the data directory" : "verified by the CAs of the system";
}

/* Inside an upgrade a web certificate proves the load balancer alone. */
static const char *text_of_inner(const struct connect_way *way)
{
        bool is_learned = way->route == ROUTE_PROXY_WEB && (way->proof == PROOF_SYSTEM || way->proof == PROOF_CA_FILE);

        return is_learned ? DIAGNOSIS_LEARNED_CA : text_of_proof(way->proof);
}

/* The error of a further way, as a cause of the first. */
static void add_cause(struct error *first, struct error *err)
{
        struct error *last = first;

        for (; last->cause != NULL && strcmp(last->what, err->what) != 0; last = last->cause)
                ;
        if (strcmp(last->what, err->what) == 0)
                error_free(err); /* ways that differ in the proof alone fail with the same words before TLS */
        else
                last->cause = err;
}

static void way_failed(struct diagnose *g, struct error *err)
{
        bool is_last = g->at + 1 == g->count || error_is_for(err, REASON_PIN);

        if (g->at == 0) {
                diagnosis_fail(g->d, err);
                if (is_last) {
                        loop_defer(g->loop, finish, g);
                        return;
                }
                g->first = *g->d;
                *g->d = (struct diagnosis){ .changed = g->first.changed, .ctx = g->first.ctx };
        } else {
                add_cause(g->first.rows[diagnosis_failed_at(&g->first)].err, err);
        }
        if (!is_last) {
                g->at++;
                try_way(g);
                return;
        }
        diagnosis_release(g->d);
        *g->d = g->first;
        g->first = (struct diagnosis){ 0 };
        loop_defer(g->loop, finish, g);
}

/* Another way has succeeded: the configuration, and the address, were with the first. */
static void keep_first(struct diagnose *g)
{
        if (g->at == 0)
                return;
        g->d->address = g->first.address;
        g->d->rows[DIAGNOSIS_CONFIGURATION] = g->first.rows[DIAGNOSIS_CONFIGURATION];
        g->first.address = NULL;
        g->first.rows[DIAGNOSIS_CONFIGURATION] = (struct diagnosis_row){ 0 };
}

static void on_connected(void *ctx, struct stream *tls, struct error *err)
{
        struct diagnose *g = ctx;
        const struct connect_way *way = &g->ways[g->at];

        g->connect = NULL;
        if (err != NULL) {
                way_failed(g, err);
                return;
        }
        keep_first(g);
        diagnosis_connected(g->d, text_of_proof(way->proof), text_of_inner(way));
        if (way->proof == PROOF_FIRST_USE)
                diagnosis_warn(g->d, DIAGNOSIS_TLS,
                               error_hint(error_new(ERROR_UNAUTHENTICATED, "the cluster has not proven itself: neither ca_pin nor ca.cert is configured"),
                                          "set teleport.ca_pin to the pin that 'tctl status' prints"));
        diagnose_services(g->loop, tls, true, g->d, finish, g);
}

static void try_way(struct diagnose *g)
{
        const struct connect_way *way = &g->ways[g->at];

        g->connect = connect_start(g->loop, way, g->options->trust, on_connected, g);
        g->d->outer_proof = text_of_outer(g, way);
        connect_watch(g->connect, diagnosis_watch(g->d, way->via.address));
}

/* Whether the address is valid, and the environment names an HTTP proxy that cannot be used. */
static bool is_of_egress(const struct diagnose_options *options)
{
        struct str host, address = str_is_empty(options->proxy_server) ? options->auth_server : options->proxy_server;
        struct http_proxy via;
        int port;
        AUTO_PTR(error) wrong_address = address_split(address, 0, &host, &port);
        AUTO_PTR(error) wrong_proxy = wrong_address != NULL ? NULL : http_proxy_of_environment(host, port, &via);

        return wrong_proxy != NULL;
}

void diagnose_start(struct loop *l, const struct diagnose_options *options, struct diagnosis *d, void (*done)(void *ctx), void *ctx)
{
        struct diagnose *g = NEW(struct diagnose);

        *g = (struct diagnose){ .loop = l, .options = options, .d = d, .done = done, .ctx = ctx };
        struct error *err = connect_ways_to_join(options->proxy_server, options->auth_server, options->trust, g->ways, &g->count);
        if (err != NULL) {
                if (is_of_egress(options))
                        diagnosis_begin(d, DIAGNOSIS_EGRESS);
                diagnosis_fail(d, err);
                loop_defer(l, finish, g);
                return;
        }
        d->address = str_dup(str_of(g->ways[0].address));
        if (g->ways[0].is_proxy)
                diagnosis_add_setting(d);
        try_way(g);
}
