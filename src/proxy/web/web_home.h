/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start page of a user who is logged in: the nodes and applications that the user may reach. The Auth Service leaves out the others.
 */
#ifndef PROXY_WEB_WEB_HOME_H
#define PROXY_WEB_WEB_HOME_H

#include "net/http_server.h"

/*
 * GET /web, with the parameters q (words, all of which a row must have in its name, labels or description), label ("key=value") and
 * page (from 1).
 */
void web_home_open(void *ctx, struct http_exchange *x);

#endif
