/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions shared by the policies for hosts and for users. Private to policy*.c.
 */
#ifndef SIGNER_POLICY_INTERNAL_H
#define SIGNER_POLICY_INTERNAL_H

#include "signer/policy.h"

/* Sets the validity: from shortly before now until ttl seconds (1 to most) from now, within the validity of the CA. */
struct error *policy_times(const struct policy_facts *facts, int64_t ttl, int most, struct cert_times *ret) MUST_USE;

/* Checks that the keys are acceptable and not those of a CA of the cluster; the SSH key may be empty. */
struct error *policy_keys(const struct policy_facts *facts, struct str tls_public_key, struct str ssh_public_key) MUST_USE;

/* Checks the name of a user: it must not be mistaken for that of a host. */
struct error *policy_user_name(struct str user) MUST_USE;

/* A list of the names, whose texts are borrowed; each must pass is_good, and duplicates are refused. */
struct error *policy_names(struct arena *a, char *const *names, size_t count, size_t most, bool (*is_good)(struct str s), const char *what,
                           const struct str **ret) MUST_USE;

#endif
