/* SPDX-License-Identifier: Apache-2.0 */
/* The overview of the cluster: what the methods of tctl return for this user. A part that no role of the user allows says so. */
#ifndef PROXY_WEB_WEB_CLUSTER_H
#define PROXY_WEB_WEB_CLUSTER_H

#include "net/http_server.h"

void web_cluster_open(void *ctx, struct http_exchange *x); /* GET /web/cluster */

#endif
