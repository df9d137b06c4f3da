/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node itself has to say of a session that wants to begin; the rest is the cluster's to decide.
 */
#ifndef SSH_HELPER_POLICY_H
#define SSH_HELPER_POLICY_H

#include "api.pb-c.h"
#include "config.pb-c.h"
#include "session.pb-c.h"

/* What the decision permits on this node; of one without, nothing. */
const Cteleport__V1__NodePermits *helper_permits(const Cteleport__V1__ReportDecision *d);

/* The kind as one of ours, static; NULL: there is no such kind. */
const char *helper_kind(const char *kind);

/*
 * Why the session may not begin, static or of the decision, which is the one that sshd has acted on; NULL: it may. sshd has enforced the certificate's options
 * already. What the roles' options say of a session the cluster decides when it begins, where it is of a release that does.
 */
const char *helper_objection(const Cteleport__V1__SSHConfig *config, const Cteleport__Session__V1__Start *start, const char *kind,
                             const Cteleport__V1__ReportDecision *d);

#endif
