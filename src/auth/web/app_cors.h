/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cors of an application, for a proxy that answers a browser before there is a session. A proxy learns only this without a user, and
 * only if all hosts that offer the application have the same setting: one host alone cannot open the others to pages of other sites.
 */
#ifndef AUTH_WEB_APP_CORS_H
#define AUTH_WEB_APP_CORS_H

#include "rpc/rpc.h"

/* GetAppCors: without allowed_origins if nothing is allowed, or there is no such application. */
void app_cors_open(struct rpc_call *call, const ProtobufCMessage *first);

#endif
