/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages for administrators: the overview of the cluster, the audit log, and why a token refuses a host. They show what the methods of tctl return for this user:
 * a part that no role of the user allows says so.
 */
#ifndef PROXY_WEB_WEB_ADMIN_H
#define PROXY_WEB_WEB_ADMIN_H

#include "net/http_server.h"

void web_cluster_open(void *ctx, struct http_exchange *x); /* GET /web/cluster */
/* GET /web/audit, with the parameters user, type, hours (of the past, 24 without it), after (the next page). */
void web_audit_open(void *ctx, struct http_exchange *x);
/* GET /web/explain, with the parameters token, account, arn, role: what `tctl tokens explain` shows. */
void web_explain_open(void *ctx, struct http_exchange *x);

#endif
