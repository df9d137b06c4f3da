/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RPC of the older join service, for those that call, serve or forward it. It has one join method, in its own message forms.
 */
#ifndef JOIN_LEGACY_H
#define JOIN_LEGACY_H

#include "join_legacy.pb-c.h"

#define JOIN_LEGACY_PATH "/proto.JoinService/RegisterUsingIAMMethod"
#define JOIN_LEGACY_REQUEST (&proto__register_using_iammethod_request__descriptor)
#define JOIN_LEGACY_RESPONSE (&proto__register_using_iammethod_response__descriptor)

#endif
