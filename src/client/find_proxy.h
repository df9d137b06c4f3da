/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the port of a proxy that was given without one, and whether it is a proxy of this project.
 */
#ifndef CLIENT_FIND_PROXY_H
#define CLIENT_FIND_PROXY_H

#include "base/arena.h"
#include "base/error.h"

/*
 * "host:port" for "host" or "host:port". Without a port 3080 is tried and, TIMEOUT_CONNECT_NEXT later, 443 beside it;
 * the first that answers is used. Blocks. The result lives in the arena.
 *
 * FAILED_PRECONDITION, with REASON_ANSWER, when a proxy of Teleport itself answers GET /webapi/ping (base/interop.h), so that the user types no
 * password. Any other answer, or none, is no error here: the login reports it.
 */
struct error *find_proxy(struct arena *a, const char *address, bool is_insecure, const char **ret) MUST_USE;

#endif
