/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log, newest first, and why a token refuses a host. */
#ifndef PROXY_WEB_WEB_AUDIT_H
#define PROXY_WEB_WEB_AUDIT_H

#include "net/http_server.h"

/*
 * GET /web/audit, with the parameters user, type, hours (of the past, 24 without it), refused ("yes": only what was refused or has
 * failed), to (Unix milliseconds: events until then).
 */
void web_audit_open(void *ctx, struct http_exchange *x);
/* GET /web/explain, with the parameters token, account, arn, role: what `tctl tokens explain` shows. */
void web_explain_open(void *ctx, struct http_exchange *x);

#endif
