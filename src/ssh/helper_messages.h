/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the SSH Service to a program that sshd started: frames of proto/session.proto. Nothing is sent to a stream that is NULL. */
#ifndef SSH_HELPER_MESSAGES_H
#define SSH_HELPER_MESSAGES_H

#include "api.pb-c.h"
#include "net/stream.h"
#include "session.pb-c.h"

void helper_send(struct stream *s, const Cteleport__Session__V1__HelperDown *down);
/* is_unknown: it is no program of sshd's, as far as is known. */
void helper_send_refusal(struct stream *s, const char *why, bool is_unknown);
void helper_send_end(struct stream *s, const char *why);
/* It goes on, and nothing is recorded from here on. */
void helper_send_unrecorded(struct stream *s, const char *why);
/* As it was signed: what this node forbids on top, ssh-authorize knows from its own arguments. */
void helper_send_permit(struct stream *s, const Cteleport__V1__ReportDecision *decision);
void helper_send_go(struct stream *s, Cteleport__Session__V1__Go *go);
/* To the cluster: a session did not begin. */
struct connection;
void helper_report_rejected(struct connection *c, const char *why);

#endif
