/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the policies for hosts and for users have in common; included by policy*.c only.
 */
#ifndef SIGNER_POLICY_INTERNAL_H
#define SIGNER_POLICY_INTERNAL_H

#include "signer/policy.h"

/* From a little ago until ttl seconds, 1 to most, from now, within the CA's own life. */
struct error *policy_times(const struct policy_facts *facts, int64_t ttl, int most, struct cert_times *ret) MUST_USE;

/* Keys that are good and none of our own; an empty SSH key passes. */
struct error *policy_keys(const struct policy_facts *facts, struct str tls_public_key, struct str ssh_public_key) MUST_USE;

#endif
