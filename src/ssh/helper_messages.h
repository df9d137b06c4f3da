/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the SSH Service to a program that sshd started: frames of proto/session.proto. Nothing is sent to a stream that is NULL. */
#ifndef SSH_HELPER_MESSAGES_H
#define SSH_HELPER_MESSAGES_H

#include "api.pb-c.h"
#include "net/stream.h"
#include "session.pb-c.h"

void helper_send(struct stream *s, const Cteleport__Session__V1__HelperDown *down);
/* Refuses a program. is_unknown: it could not be identified as a program started by sshd. */
void helper_send_refusal(struct stream *s, const char *why, bool is_unknown);
void helper_send_end(struct stream *s, const char *why);
/* Reports that the session continues and is no longer recorded. */
void helper_send_unrecorded(struct stream *s, const char *why);
/* Sends the signed permit unchanged; ssh-authorize knows further restrictions of this node from its own arguments. */
void helper_send_permit(struct stream *s, const Cteleport__V1__ReportDecision *decision);
void helper_send_approval(struct stream *s, Cteleport__Session__V1__Approval *approval);
/* Reports to the cluster that a session did not begin. */
struct connection;
void helper_report_rejected(struct connection *c, const char *why);

#endif
