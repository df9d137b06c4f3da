/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At which port a proxy listens, when nobody said, and whether it is one of ours.
 */
#ifndef CLIENT_FIND_PROXY_H
#define CLIENT_FIND_PROXY_H

#include "base/arena.h"
#include "base/error.h"

/*
 * "host:port" for "host" or "host:port". Without a port 3080 is tried and, TIMEOUT_CONNECT_NEXT later, 443
 * beside it; the first that answers wins. Blocks. The result lives in the arena.
 *
 * FAILED_PRECONDITION when GET /webapi/ping there is answered by a proxy of Teleport itself (base/interop.h): before anybody
 * types a password. Whoever answers that with anything else, or not at all, is no reason to stop: the login will say.
 */
struct error *find_proxy(struct arena *a, const char *address, bool is_insecure, const char **ret) MUST_USE;

#endif
