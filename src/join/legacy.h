/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Name and messages of the older join service's RPC, for its client, server and forwarder. The service has one join
 * method, with its own messages.
 */
#ifndef JOIN_LEGACY_H
#define JOIN_LEGACY_H

#include "join_legacy.pb-c.h"

#define JOIN_LEGACY_PATH "/proto.JoinService/RegisterUsingIAMMethod"
#define JOIN_LEGACY_REQUEST (&proto__register_using_iammethod_request__descriptor)
#define JOIN_LEGACY_RESPONSE (&proto__register_using_iammethod_response__descriptor)

#endif
