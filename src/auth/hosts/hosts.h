/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of a host's identity and roles against its record (state/host.h).
 */
#ifndef AUTH_HOSTS_HOSTS_H
#define AUTH_HOSTS_HOSTS_H

#include "auth/core/auth.h"
#include "join/method.h"
#include "pki/cert.h"
#include "state/host.h"
#include "state/name.h"

/*
 * Whether a join is by the same host as the record: by the same method, binding and attributes. The binding alone
 * decides about a name: a machine that replaces another one of its group takes over the name. The ID is bound to the
 * attributes, such as the ARN with its session, which on EC2 is the instance: another instance of the same role is
 * another host.
 */
bool host_is_same(const Cteleport__State__V1__Host *host, const struct join_method *method, struct str binding,
                  const struct join_attributes *attributes);

/*
 * Whether a host with these attributes may take a host ID; host: the record of that ID, or NULL. It may if the record's
 * host was attested with the same attributes. An ID that is no UUID names a machine (EC2's form "ACCOUNT-i-INSTANCE"),
 * which the attributes must be of.
 */
struct error *host_check_claim(const Cteleport__State__V1__Host *host, struct str host_id, const struct join_method *method,
                               const struct join_attributes *attributes) MUST_USE;

/*
 * Whether a certificate belongs to an earlier holder of the host's ID: with the older join service a host chooses its
 * ID, which may be the ID of a removed host.
 */
bool host_is_later_than(const Cteleport__State__V1__Host *host, struct cert_issue cert);

/* Whether the host has joined with the role; Instance is every host's. */
bool host_has_role(const Cteleport__State__V1__Host *host, struct str role);

#endif
