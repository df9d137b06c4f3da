/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests at a port of the user's machine (`tsh proxy app`), which every web page in the user's browser can reach. A page cannot read the responses, for they are
 * of another origin, unless its own name resolves to 127.0.0.1 (DNS rebinding): then the request's Host is that name. So only names that an attacker's DNS does
 * not decide on are permitted.
 */
#ifndef APP_LOCAL_HOST_H
#define APP_LOCAL_HOST_H

#include "base/str.h"
#include "config.pb-c.h"

/*
 * Whether the Host of a request, "host[:port]", is an address, localhost or a name below it, or a name of the application itself: of its public_addr, of its uri
 * (`target`: "host:port"), or of rewrite.redirect. So is an empty one, which no browser sends. Any port is permitted.
 */
bool local_host_is_safe(const Cteleport__V1__AppConfig *app, struct str target, struct str host);

#endif
