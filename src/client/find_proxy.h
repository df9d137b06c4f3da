/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At which port a proxy listens, when nobody said.
 */
#ifndef CLIENT_FIND_PROXY_H
#define CLIENT_FIND_PROXY_H

#include "base/arena.h"
#include "base/error.h"

/*
 * "host:port" for "host" or "host:port". Without a port 3080 is tried and, TIMEOUT_CONNECT_NEXT later, 443
 * beside it; the first that shakes hands as a proxy wins. Blocks. The result lives in the arena.
 */
struct error *find_proxy(struct arena *a, const char *address, bool is_insecure, const char **ret) MUST_USE;

#endif
