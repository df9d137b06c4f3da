/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of applications in browsers: a user who has logged in in a browser opens an application.
 *
 *     application ─▶ the hosts that offer it ─▶ one that the user may see ─▶ certificate ─▶ /web_sessions/<ID> ─▶ answer
 *
 * The certificate is good for that application only, and void once the session or the login has ended. Whether the user may use the
 * application is decided at each connection, as for tsh: a session gives no right.
 */
#ifndef AUTH_WEB_APP_SESSIONS_H
#define AUTH_WEB_APP_SESSIONS_H

#include "rpc/rpc.h"

/* FindApp: NOT_FOUND also if the user may not see it. */
void app_find_open(struct rpc_call *call, const ProtobufCMessage *first);
void app_session_create_open(struct rpc_call *call, const ProtobufCMessage *first);

#endif
