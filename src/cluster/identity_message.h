/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host identity on its way between two processes of one machine: from the instance, which keeps it, to the
 * service that shows it (Identity in proto/internal.proto), and out of the answer of the cluster.
 */
#ifndef CLUSTER_IDENTITY_MESSAGE_H
#define CLUSTER_IDENTITY_MESSAGE_H

#include "api.pb-c.h"
#include "internal.pb-c.h"
#include "join/host_identity.h"

/* Verified as host_identity_make does, for that role. */
struct error *identity_of_message(const Cteleport__Internal__V1__Identity *msg, const char *role,
                                  struct host_identity *ret) MUST_USE;

/* The user CA in the cluster's answer, added to the certificates of it; borrowed. RESOURCE_EXHAUSTED for too many. */
struct error *identity_add_user_cas(struct host_certificates *certs, const Cteleport__V1__HostCertsResponse *answer) MUST_USE;

#endif
