/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/methods.h"

#include <stddef.h>

#include "api.pb-c.h"
#include "auth/admin.h"
#include "auth/caller.h"
#include "auth/host_service.h"
#include "auth/join_service.h"
#include "auth/presence.h"
#include "base/limits.h"
#include "join_legacy.pb-c.h"

#define ADMIN(name, type, handler)                                                                                     \
        {                                                                                                              \
                { "/cteleport.v1.AdminService/" name, &cteleport__v1__##type##__descriptor, LIMIT_RPC, false, handler, \
                  NULL },                                                                                              \
                        CALLER_ADMIN                                                                                   \
        }

const struct guarded_method auth_methods[] = {
        { { "/teleport.join.v1.JoinService/Join", &teleport__join__v1__join_request__descriptor, LIMIT_RPC_JOIN, true,
            join_service_open, NULL },
          CALLER_STRANGER },
        { { "/proto.JoinService/RegisterUsingIAMMethod", &proto__register_using_iammethod_request__descriptor,
            LIMIT_RPC_JOIN, true, join_legacy_open, NULL },
          CALLER_STRANGER },
        { { "/cteleport.v1.PingService/Ping", &cteleport__v1__empty__descriptor, LIMIT_RPC_JOIN, false, ping_open, NULL },
          CALLER_STRANGER },
        { { "/cteleport.v1.HostService/GenerateHostCerts", &cteleport__v1__host_certs_request__descriptor, LIMIT_RPC_JOIN,
            false, host_certs_open, NULL },
          CALLER_HOST },
        { { "/cteleport.v1.HostService/Presence", &cteleport__v1__presence_up__descriptor, LIMIT_RPC_JOIN, true,
            presence_serve, NULL },
          CALLER_HOST },
        ADMIN("ClusterStatus", empty, admin_cluster_status),
        ADMIN("ListTokens", list_request, admin_list_tokens),
        ADMIN("GetToken", name_request, admin_get_token),
        ADMIN("PutToken", put_token_request, admin_put_token),
        ADMIN("DeleteToken", name_request, admin_delete_token),
        ADMIN("ExplainToken", explain_token_request, admin_explain_token),
        ADMIN("ListNodes", list_request, admin_list_nodes),
        ADMIN("DeleteNode", name_request, admin_delete_node),
        ADMIN("ListInstances", list_request, admin_list_instances),
};

const size_t auth_method_count = ARRAY_LEN(auth_methods);

const struct rpc_method *const *auth_method_list(void)
{
        static const struct rpc_method *list[ARRAY_LEN(auth_methods) + 1];

        for (size_t i = 0; i < ARRAY_LEN(auth_methods); i++)
                list[i] = &auth_methods[i].method;
        return list;
}

struct error *auth_guard(void *caller, const struct rpc_method *method)
{
        const struct caller *c = caller;
        const struct guarded_method *row = (const struct guarded_method *)(const void *)method;

        if (row->open_to & c->groups)
                return NULL;
        if (c->is_forgotten)
                return error_hint(error_new(ERROR_UNAUTHENTICATED, "this host is not known to the cluster any more"),
                                  "it joins again by itself if its token still allows it");
        if (c->groups == CALLER_STRANGER)
                return error_hint(error_new(ERROR_UNAUTHENTICATED, "this method needs a certificate of this cluster"),
                                  "without one, only joining is served");
        return error_new(ERROR_PERMISSION_DENIED, "this method is not open to %s %s", c->role, c->host_id);
}
