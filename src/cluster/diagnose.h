/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `teleport debug connect`: connects as a host that joins does, by the same ways, and checks that the services behind the
 * connection answer. Nothing is joined or changed.
 */
#ifndef CLUSTER_DIAGNOSE_H
#define CLUSTER_DIAGNOSE_H

#include "cluster/connect.h"
#include "cluster/diagnosis.h"

/*
 * Walks to the cluster, and writes the results from DIAGNOSIS_EGRESS on to d. If all ways fail, the results are those of the first,
 * which is the likeliest. done is called once, from the loop; everything is borrowed until then.
 */
struct diagnose_options {
        struct str proxy_server, auth_server; /* one is empty */
        const struct connect_trust *trust;
};
void diagnose_start(struct loop *l, const struct diagnose_options *options, struct diagnosis *d, void (*done)(void *ctx), void *ctx);

/*
 * Checks the services at the other end of `tls` (owned), which speaks gRPC: the join service, if is_host, the Auth Service, the
 * clock. done as above.
 */
void diagnose_services(struct loop *l, struct stream *tls, bool is_host, struct diagnosis *d, void (*done)(void *ctx), void *ctx);

#endif
