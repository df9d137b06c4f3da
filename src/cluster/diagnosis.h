/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a connection to the cluster with their results, for `debug connect`. The connection itself is made by the code of
 * agents and clients, which reports its steps to a watch (net/watch.h): the errors are theirs, word for word.
 */
#ifndef CLUSTER_DIAGNOSIS_H
#define CLUSTER_DIAGNOSIS_H

#include <stdbool.h>

#include "base/error.h"
#include "net/watch.h"

enum diagnosis_step {
        DIAGNOSIS_CONFIGURATION,
        DIAGNOSIS_EGRESS, /* the HTTP proxy of the environment; its own address and TLS, too */
        DIAGNOSIS_DNS,
        DIAGNOSIS_TCP,
        DIAGNOSIS_TLS,
        DIAGNOSIS_ALPN,
        DIAGNOSIS_UPGRADE,
        DIAGNOSIS_INNER_TLS,
        DIAGNOSIS_PAGE,  /* of users: /webapi/ping */
        DIAGNOSIS_JOIN,  /* of hosts: the join service */
        DIAGNOSIS_AUTH,
        DIAGNOSIS_CLOCK,
        DIAGNOSIS_LOGIN, /* of users: the connection with the certificate of their login */
        DIAGNOSIS_STEPS,
};

enum diagnosis_state {
        DIAGNOSIS_NOT_REACHED,
        DIAGNOSIS_RUNNING,
        DIAGNOSIS_PASSED,
        DIAGNOSIS_NOT_NEEDED,
        DIAGNOSIS_WARNED, /* passed, but err is to be read */
        DIAGNOSIS_FAILED,
};

struct diagnosis_row {
        enum diagnosis_state state;
        char *detail;      /* NULL: none */
        struct error *err; /* of a failure or warning */
};

/* A zeroed struct is empty. */
struct diagnosis {
        char *address; /* host:port; NULL until it is known */
        struct diagnosis_row rows[DIAGNOSIS_STEPS];
        bool has_egress; /* there is an HTTP proxy: what is below TLS leads to it */
        unsigned handshakes; /* begun with the server at the address; the second one is with a load balancer */
        const char *outer_proof; /* how TLS with a load balancer is verified; a constant; to be set before the connection */
        struct watch watch;
        void (*changed)(void *ctx); /* called when a step has begun or settled; NULL: nobody waits for it */
        void *ctx;
};

void diagnosis_release(struct diagnosis *d);

/* "TLS" for users, "tls" for programs. */
const char *diagnosis_title(enum diagnosis_step step);
const char *diagnosis_key(enum diagnosis_step step);

void diagnosis_begin(struct diagnosis *d, enum diagnosis_step step);
void diagnosis_pass(struct diagnosis *d, enum diagnosis_step step, const char *format, ...) PRINTF_LIKE(3, 4);
void diagnosis_skip(struct diagnosis *d, enum diagnosis_step step, const char *format, ...) PRINTF_LIKE(3, 4);
/* Marks a step that has passed; err (owned) is the reason. The first warning of a step stays. */
void diagnosis_warn(struct diagnosis *d, enum diagnosis_step step, struct error *err);

/*
 * The walk ends with err (owned): at the step that runs; if none runs, at the innermost TLS, whose certificate was refused after
 * the handshake, and without TLS at the configuration. Steps behind it are not reached.
 */
void diagnosis_fail(struct diagnosis *d, struct error *err);

/*
 * Whether the result of a step stays as it is, unless the host tries another way of a join: it has passed, or is not needed, and the
 * walk has come to a step from which it is not repeated.
 */
bool diagnosis_is_settled(const struct diagnosis *d, enum diagnosis_step step);

/* The step that has failed, or DIAGNOSIS_STEPS. */
enum diagnosis_step diagnosis_failed_at(const struct diagnosis *d);

/* Adds TELEPORT_TLS_ROUTING_CONN_UPGRADE to the configuration, if it decides for the address; that and the configuration are known. */
void diagnosis_add_setting(struct diagnosis *d);

/* For the connection: via is the address of the HTTP proxy, "" without one. Valid as long as d. */
const struct watch *diagnosis_watch(struct diagnosis *d, const char *via);

/* The connection is made; describes how the server was verified, directly or inside a connection upgrade. */
void diagnosis_connected(struct diagnosis *d, const char *direct_proof, const char *inner_proof);

/* The inner proof if the host CA was learned (cluster/proxy_dial.h) over HTTPS that was verified. */
#define DIAGNOSIS_LEARNED_CA "verified by the host CA, which was read from /webapi/auth/export over the HTTPS above"

#endif
