/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Detects programs of Teleport itself, which share names of commands, files and join messages with this project but are
 * not compatible. Their requests are recognised by name, and both sides report in one sentence that the peer is of the
 * other product and what to do. Their protocol: docs/protocols/join.md, "Teleport's own programs".
 */
#ifndef BASE_INTEROP_H
#define BASE_INTEROP_H

#include "base/error.h"
#include "base/str.h"

/* Field and value in the answers of /webapi/find and /webapi/ping by which our programs recognise a cluster of this project. */
#define INTEROP_MARK "\"implementation\":\"cteleport\""

/* The error that a program of Teleport gets from a cluster of this project. */
#define INTEROP_CLIENT_WHAT "this is a cluster of cteleport, and the agents, tsh and tctl of Teleport itself do not work with it"
#define INTEROP_CLIENT_HINT "use the teleport, tsh and tctl of cteleport, or OpenSSH as 'tsh config' sets it up"

/* Whether a gRPC method ("/proto.AuthService/Ping") is one of Teleport's own services. */
bool interop_is_grpc_path(struct str path);

/* Whether the path of an HTTP request is one that Teleport's programs request. */
bool interop_is_http_path(struct str path);

/* Whether Teleport's clients speak SSH (agents: their tunnel) inside TLS that names this protocol (ALPN). */
bool interop_is_ssh_alpn(struct str protocol);

/* UNIMPLEMENTED, with the two sentences above. */
struct error *interop_refuse_client(void) MUST_USE;

/* FAILED_PRECONDITION: the error of our programs when the server is Teleport's. `seen` is appended to the sentence. */
struct error *interop_refuse_server(const char *seen) MUST_USE;

/*
 * Replaces `why` (owned), the error about a certificate of Teleport, by an error that explains it. Same code; why
 * becomes the cause.
 */
struct error *interop_refuse_certificate(struct error *why) MUST_USE;

/*
 * Whether the answer of /webapi/ping is from a proxy of Teleport: it has a server_version and no mark. Answers of our
 * proxies before the mark existed are recognised by their form.
 */
bool interop_is_teleport_answer(struct str body);

#endif
