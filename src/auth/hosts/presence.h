/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Presence of hosts: one stream per agent, heartbeats at an interval that the server sets, and a record that expires
 * without heartbeats.
 *
 * Two live agents with one host ID (a cloned image) are detected when the second sends its hello: the first is pinged,
 * and if it answers, both get a notice.
 *
 * Agents get the list of Proxy Services after the welcome, and whenever it changes.
 *
 * Of hosts that are reached through tunnels only auth->presence_held_max keep their streams. The others poll: they send
 * a hello, receive the pending messages and, once the record is written, the welcome, close the stream, and poll again
 * before the record expires. So ten thousand agents do not need ten thousand connections and their memory.
 */
#ifndef AUTH_HOSTS_PRESENCE_H
#define AUTH_HOSTS_PRESENCE_H

#include "auth/core/auth.h"
#include "rpc/rpc.h"
#include "state/presence.h"

void presence_serve(struct rpc_call *call, const ProtobufCMessage *first);

/* HostService/Leave: ends the agent's presence and removes its record, if it is this agent's. */
void presence_leave(struct rpc_call *call, const ProtobufCMessage *first);

/* Whether the agent of this record is connected now or polls on schedule. */
bool presence_is_connected(const struct auth *a, const Cteleport__State__V1__Presence *record);

/*
 * "online", "unreachable", "offline" or "locked": NodeSpec.state in resource.proto. It is unreachable if the service that offers `kind`
 * has no tunnel; kind NULL: if one of its services has none.
 */
const char *presence_state(const struct auth *a, const Cteleport__State__V1__Presence *record, const char *kind);

/*
 * Whether the agent is fully connected: online, or "unreachable" in a cluster whose proxies have no address for agents
 * (proxy_service.public_addr), where agents have no tunnels.
 */
bool presence_is_whole(const struct auth *a, const Cteleport__State__V1__Presence *record);

/* Ends the presence stream of a host; its agent sends a new hello and is checked again. */
void presence_end_host(struct auth *a, struct str host_id, const char *reason);

/* Sends the list of proxies to every connected agent. ctx: the struct auth. */
void presence_report_proxies(void *ctx);

/* Sends the revision of the CAs to every connected agent, which then requests certificates of it. */
void presence_report_authorities(struct auth *a);

#endif
