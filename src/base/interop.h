/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Meeting programs of Teleport itself. The names of commands, files and the messages of a join are the same, all else
 * is not: what they ask for is recognised by its name, and both sides say in one sentence whom they have met and what
 * to do. What their protocol looks like: docs/protocols/join.md, "Teleport's own programs".
 */
#ifndef BASE_INTEROP_H
#define BASE_INTEROP_H

#include "base/error.h"
#include "base/str.h"

/* Field and value in the answers of /webapi/find and /webapi/ping by which our programs know a cluster of ours. */
#define INTEROP_MARK "\"implementation\":\"cteleport\""

/* The error that a program of Teleport's gets from a cluster of ours. */
#define INTEROP_CLIENT_WHAT "this is a cluster of cteleport, and the agents, tsh and tctl of Teleport itself do not work with it"
#define INTEROP_CLIENT_HINT "use the teleport, tsh and tctl of cteleport, or OpenSSH as 'tsh config' sets it up"

/* Whether a gRPC method ("/proto.AuthService/Ping") is one of Teleport's own services. */
bool interop_is_grpc_path(struct str path);

/* Whether the path of an HTTP request is one that programs of Teleport's ask for. */
bool interop_is_http_path(struct str path);

/* Whether Teleport's clients speak SSH (agents: their tunnel) inside TLS that names this protocol (ALPN). */
bool interop_is_ssh_alpn(struct str protocol);

/* UNIMPLEMENTED, with the two sentences above. */
struct error *interop_refuse_client(void) MUST_USE;

/* FAILED_PRECONDITION: what one of our programs says that has met a server of Teleport's. `seen` ends the sentence. */
struct error *interop_refuse_server(const char *seen) MUST_USE;

/* In place of `why` (owned), which says how a certificate of Teleport's differs from ours. Same code; why is the cause. */
struct error *interop_refuse_certificate(struct error *why) MUST_USE;

/*
 * Whether the answer of /webapi/ping is that of a proxy of Teleport's: it says a server_version and has no mark. The
 * answers that our proxies gave before there was a mark are known by their form.
 */
bool interop_is_teleport_answer(struct str body);

#endif
