/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Presence of hosts: one stream per agent, a heartbeat at the pace of the server, a record that expires without it.
 *
 * Two live agents with one host ID (a cloned image) are found when the second says hello: the first is
 * pinged, and if it answers, both get a notice.
 *
 * Agents get the list of Proxy Services after the welcome, and whenever it changes.
 *
 * Of hosts that are reached through tunnels only auth->presence_held_max keep their streams. The others poll: they send
 * a hello, get the pending messages, are welcomed when the record is written, hang up, and poll again before the record
 * expires. So ten thousand agents need neither as many connections through one proxy nor the memory of as many here.
 */
#ifndef AUTH_HOSTS_PRESENCE_H
#define AUTH_HOSTS_PRESENCE_H

#include "auth/core/auth.h"
#include "rpc/rpc.h"
#include "state/presence.h"

void presence_serve(struct rpc_call *call, const ProtobufCMessage *first);

/* HostService/Leave: ends the agent's presence and removes its record, if it is this agent's. */
void presence_leave(struct rpc_call *call, const ProtobufCMessage *first);

/* Whether the agent of this record is connected now, or polls in time. */
bool presence_is_connected(const struct auth *a, const Cteleport__State__V1__Presence *record);

/* "online", "unreachable", "offline" or "locked": NodeSpec.state in resource.proto. */
const char *presence_state(const struct auth *a, const Cteleport__State__V1__Presence *record);

/*
 * Whether the agent is as connected as it can be: online, or unreachable in a cluster whose proxies do not say where agents
 * reach them (proxy_service.public_addr), so that this one has no tunnel to lose.
 */
bool presence_is_whole(const struct auth *a, const Cteleport__State__V1__Presence *record);

/* Ends the presence of a host; its agent says hello again, and is checked anew. */
void presence_end_host(struct auth *a, struct str host_id, const char *reason);

/* Tells every connected agent which proxies there are. ctx: the struct auth. */
void presence_report_proxies(void *ctx);

#endif
