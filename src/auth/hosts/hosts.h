/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host may claim and do, by its record (state/host.h).
 */
#ifndef AUTH_HOSTS_HOSTS_H
#define AUTH_HOSTS_HOSTS_H

#include "auth/core/auth.h"
#include "pki/cert.h"
#include "state/host.h"
#include "state/name.h"

/*
 * Whether this very identity took the host ID: the account and the whole ARN with its session, which on EC2 is the
 * instance. Another instance of the same role is another host.
 */
bool host_is_attested_as(const Cteleport__State__V1__Host *host, struct str account, struct str arn);

/*
 * Whether this identity may take a host ID; host: who has it, or NULL. That is who took it before, and for an ID of EC2's form,
 * "ACCOUNT-i-INSTANCE", which says what machine it is, the account and the session that AWS gives to this instance.
 */
struct error *host_check_claim(const Cteleport__State__V1__Host *host, struct str host_id, struct str account, struct str arn) MUST_USE;

/*
 * Whether a certificate is of an earlier holder of the host's ID: the older service lets a host pick its ID, one that was
 * removed too.
 */
bool host_is_later_than(const Cteleport__State__V1__Host *host, struct cert_issue cert);

/* Whether the host has joined with the role; Instance is every host's. */
bool host_has_role(const Cteleport__State__V1__Host *host, struct str role);

#endif
