/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of a beginning session that the node itself makes; all others are made by the cluster.
 */
#ifndef SSH_HELPER_POLICY_H
#define SSH_HELPER_POLICY_H

#include "api.pb-c.h"
#include "config.pb-c.h"
#include "session.pb-c.h"

/* The permissions of the decision on this node; none if the decision has none. */
const Cteleport__V1__NodePermits *helper_permits(const Cteleport__V1__ReportDecision *d);

/* The kind as a static text; NULL: unknown kind. */
const char *helper_kind(const char *kind);

/*
 * The reason why the session may not begin, static or from the decision by which sshd accepted the login; NULL: it may.
 * sshd has already enforced the certificate's options. Clusters of recent releases decide by the options of the roles
 * when a session begins.
 */
const char *helper_refusal_text(const Cteleport__V1__SSHConfig *config, const Cteleport__Session__V1__Start *start, const char *kind,
                             const Cteleport__V1__ReportDecision *d);

#endif
