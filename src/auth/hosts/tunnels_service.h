/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DialService/Tunnels: which hosts may have a tunnel. A proxy reports the hosts that have opened a tunnel, with the role of its
 * certificate (Node, App), and receives, immediately or later, the IDs of hosts that may not have one: the host was removed, has
 * lost the role, or is locked. A change is sent to every proxy. Reported hosts count as reachable in this role as long as the
 * proxy's stream is open. A proxy
 * also reports the keys of its web certificates here (auth/hosts/servers.h); and where other proxies reach it, and which
 * of them it is connected to: those are answered as nodes are, by role Proxy.
 */
#ifndef AUTH_HOSTS_TUNNELS_SERVICE_H
#define AUTH_HOSTS_TUNNELS_SERVICE_H

#include "api.pb-c.h"
#include "auth/core/auth.h"
#include "base/limits.h"
#include "pki/cert.h"
#include "rpc/rpc.h"

struct tunnels_stream;
struct locate;

void tunnels_open(struct rpc_call *call, const ProtobufCMessage *first);

/* DialService/Locate: answers when a proxy that relays has the tunnel of the host in the role, after TIMEOUT_TUNNEL_AWAITED without one. */
void locate_open(struct rpc_call *call, const ProtobufCMessage *first);

/* The proxies that have a tunnel of the host in a role and can relay to it, at most LIMIT_DIAL_PEERS. */
struct tunnels_peers {
        Cteleport__V1__PeerProxy rows[LIMIT_DIAL_PEERS], *list[LIMIT_DIAL_PEERS];
        size_t count;
};
/* Without the proxy `except`. The texts are valid in this turn of the loop. None unless proxies relay to each other. */
void tunnels_find_peers(const struct auth *a, struct str host_id, struct str role, struct str except, struct tunnels_peers *ret);

/* Sends every proxy the addresses of applications (auth/hosts/app_addresses.h). */
void tunnels_send_addresses(struct auth *a, Cteleport__V1__AppAddresses *addresses);

/* Whether some proxy has a tunnel to this host in the role, "Node" or "App". */
bool tunnels_reach(const struct auth *a, struct str host_id, struct str role);

/*
 * Orders every proxy to disconnect this host in a role: "Node", "App", its tunnels; "Proxy", its connections as a proxy; "", all. A proxy of
 * an older release, without roles in this message, ends the tunnels for any of them: nodes connect again.
 */
void tunnels_refuse(struct auth *a, struct str host_id, const char *role, const char *reason);

/*
 * The same in all roles for connections by certificates issued before `before`, unless that is zero. A proxy of an
 * older release closes all.
 */
void tunnels_refuse_earlier(struct auth *a, struct str host_id, struct cert_issue before, const char *reason);

/*
 * Checks every host after a change of locks, and has the proxies end the tunnels of locked ones: at once, or, if a host has
 * open connections, when these have ended, so that their users get the reason; after TIMEOUT_LOCKED_TUNNEL at the latest.
 * After an error of the store it tries again.
 */
void tunnels_recheck(struct auth *a);

/* A host has no open connection any more: its tunnels end if it is locked. */
void tunnels_note_unused(struct auth *a, struct str host_id);

/* The life of the web certificate that ends first, of each connected proxy that has reported it; by host ID. */
void tunnels_each_web_end(const struct auth *a, void (*each)(void *ctx, const char *proxy, struct cert_times times), void *ctx);

/* Forgets the locked hosts with open connections; to be called before the loop ends. */
void tunnels_forget_locked(struct auth *a);

#endif
