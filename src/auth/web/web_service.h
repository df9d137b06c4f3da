/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The methods of the service Web for sessions that exist (proto/web.proto). CreateWebSession is a login
 * (auth/users/login_service.h).
 */
#ifndef AUTH_WEB_WEB_SERVICE_H
#define AUTH_WEB_WEB_SERVICE_H

#include "rpc/rpc.h"

void web_session_get_open(struct rpc_call *call, const ProtobufCMessage *first);
void web_session_list_open(struct rpc_call *call, const ProtobufCMessage *first);
void web_session_delete_open(struct rpc_call *call, const ProtobufCMessage *first);
void auth_failure_report_open(struct rpc_call *call, const ProtobufCMessage *first);

void app_session_get_open(struct rpc_call *call, const ProtobufCMessage *first);
void app_session_delete_open(struct rpc_call *call, const ProtobufCMessage *first);

#endif
