/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is alive: one stream per agent, a heartbeat at the pace we ask, a record that expires without it.
 *
 * Two live agents with one host ID (a cloned image) are found when the second says hello: the first is
 * pinged, and if it answers, both are told.
 *
 * Agents are told of the Proxy Services there are after the welcome, and whenever those change.
 */
#ifndef AUTH_PRESENCE_H
#define AUTH_PRESENCE_H

#include "auth/auth.h"
#include "rpc/rpc.h"
#include "state.pb-c.h"

void presence_serve(struct rpc_call *call, const ProtobufCMessage *first);

/* Whether an agent with this ID is connected now. */
bool presence_is_live(const struct auth *a, struct str host_id);

/* Tells every connected agent which proxies there are. ctx: the struct auth. */
void presence_tell_proxies(void *ctx);

#endif
