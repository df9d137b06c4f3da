/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/methods.h"

#include <stddef.h>

#include "access/access.h"
#include "api.pb-c.h"
#include "auth/admin/admin.h"
#include "auth/admin/resources.h"
#include "auth/core/caller.h"
#include "auth/hosts/host_service.h"
#include "auth/users/invites.h"
#include "auth/join/service.h"
#include "auth/users/login_service.h"
#include "auth/core/passes.h"
#include "auth/hosts/presence.h"
#include "auth/sessions/app_tokens.h"
#include "auth/sessions/record_service.h"
#include "auth/sessions/sessions.h"
#include "auth/hosts/tunnels_service.h"
#include "auth/web/app_cors.h"
#include "auth/web/app_sessions.h"
#include "auth/web/web_service.h"
#include "auth/web/web_sessions.h"
#include "base/limits.h"
#include "join/legacy.h"
#include "web.pb-c.h"

/* A method of the AdminService: after the handler come the kind and the verbs for which a user needs a rule. */
#define ADMIN(name, type, handler, ...)                                                                                \
        {                                                                                                              \
                { "/cteleport.v1.AdminService/" name, &cteleport__v1__##type##__descriptor, LIMIT_RPC, false, handler, \
                  NULL },                                                                                              \
                        CALLER_ADMIN | CALLER_USER, __VA_ARGS__                                                        \
        }

/* The same for what only the administrator on this machine may do. */
#define LOCAL(name, type, handler)                                                                                     \
        {                                                                                                              \
                { "/cteleport.v1.AdminService/" name, &cteleport__v1__##type##__descriptor, LIMIT_RPC, false, handler, \
                  NULL },                                                                                              \
                        CALLER_ADMIN                                                                                   \
        }

/* The same for List, Get, Put and Delete of resources; subject: the kind in auth/admin/resources.h. */
#define RESOURCE(name, type, handler, subject, ...)                                                                    \
        {                                                                                                              \
                { "/cteleport.v1.AdminService/" name, &cteleport__v1__##type##__descriptor, LIMIT_RPC, false, handler, \
                  NULL },                                                                                              \
                        CALLER_ADMIN | CALLER_USER, __VA_ARGS__, .resource = &admin_##subject##_kind                   \
        }

/* A method that a Proxy Service calls on behalf of a user. */
#define LOGIN(name, type, handler)                                                                                     \
        {                                                                                                              \
                { "/cteleport.v1.LoginService/" name, &cteleport__v1__##type##__descriptor, LIMIT_RPC_JOIN, false,     \
                  handler, NULL },                                                                                     \
                        CALLER_PROXY                                                                                   \
        }

/* A method for web sessions; callers: a Proxy Service, or the user. */
#define WEB(name, type, handler, callers)                                                                              \
        {                                                                                                              \
                { "/cteleport.v1.Web/" name, &cteleport__v1__##type##__descriptor, LIMIT_RPC_JOIN, false, handler, NULL }, \
                        callers                                                                                        \
        }

/* Open to every user who is logged in. */
#define NO_RULE NULL, 0

#define VIEW (ACCESS_LIST | ACCESS_READ)
#define WRITE (ACCESS_CREATE | ACCESS_UPDATE)

const struct guarded_method auth_methods[] = {
        { { "/teleport.join.v1.JoinService/Join", &teleport__join__v1__join_request__descriptor, LIMIT_RPC_JOIN, true,
            join_service_open, NULL },
          CALLER_UNAUTHENTICATED },
        { { "/proto.JoinService/RegisterUsingIAMMethod", JOIN_LEGACY_REQUEST,
            LIMIT_RPC_JOIN, true, join_legacy_open, NULL },
          CALLER_UNAUTHENTICATED },
        { { "/cteleport.v1.PingService/Ping", &cteleport__v1__empty__descriptor, LIMIT_RPC_JOIN, false, ping_open, NULL },
          CALLER_UNAUTHENTICATED },
        { { "/cteleport.v1.HostService/GenerateHostCerts", &cteleport__v1__host_certs_request__descriptor, LIMIT_RPC_JOIN,
            false, host_certs_open, NULL },
          CALLER_HOST },
        { { "/cteleport.v1.HostService/Presence", &cteleport__v1__presence_up__descriptor, LIMIT_RPC_JOIN, true,
            presence_serve, NULL },
          CALLER_HOST },
        { { "/cteleport.v1.HostService/Leave", &cteleport__v1__leave_request__descriptor, LIMIT_RPC_JOIN, false, presence_leave, NULL },
          CALLER_HOST },
        { { "/cteleport.v1.DialService/Dial", &cteleport__v1__dial_request__descriptor, LIMIT_RPC_JOIN, false, dial_open, NULL },
          CALLER_PROXY },
        { { "/cteleport.v1.DialService/Tunnels", &cteleport__v1__tunnels_up__descriptor, LIMIT_RPC_JOIN, true, tunnels_open, NULL },
          CALLER_PROXY },
        { { "/cteleport.v1.DialService/Locate", &cteleport__v1__locate_request__descriptor, LIMIT_RPC_JOIN, false, locate_open, NULL },
          CALLER_PROXY },
        { { "/cteleport.v1.PassService/Announce", &cteleport__v1__pass_request__descriptor, LIMIT_RPC_JOIN, false, pass_announce_open, NULL },
          CALLER_PROXY },
        { { "/cteleport.v1.SessionService/Report", &cteleport__v1__report_up__descriptor, LIMIT_REPORT, true, session_report, NULL },
          CALLER_NODE },
        { { "/cteleport.v1.SessionService/Record", &cteleport__v1__record_up__descriptor, LIMIT_RECORD_CHUNK + KiB, true, record_serve,
            NULL },
          CALLER_NODE },
        { { "/cteleport.v1.AppTokenService/Keys", &cteleport__v1__empty__descriptor, LIMIT_RPC_JOIN, false, app_token_keys_open, NULL },
          CALLER_PROXY },
        { { "/cteleport.v1.AppTokenService/Sign", &cteleport__v1__sign_app_token_request__descriptor, LIMIT_RPC_JOIN, false, app_token_sign_open,
            NULL },
          CALLER_NODE },
        LOGIN("Login", login_request, login_open),
        LOGIN("OpenInvite", open_invite_request, invite_open),
        LOGIN("AcceptInvite", accept_invite_request, invite_accept),
        WEB("CreateWebSession", create_web_session_request, login_web_open, CALLER_PROXY),
        WEB("GetWebSession", get_web_session_request, web_session_get_open, CALLER_PROXY),
        WEB("ListWebSessions", list_web_sessions_request, web_session_list_open, CALLER_USER),
        WEB("DeleteWebSession", delete_web_session_request, web_session_delete_open, CALLER_USER),
        WEB("FindApp", find_app_request, app_find_open, CALLER_USER),
        WEB("CreateAppSession", create_app_session_request, app_session_create_open, CALLER_USER),
        WEB("GetAppSession", get_web_session_request, app_session_get_open, CALLER_PROXY),
        WEB("GetAppCors", find_app_request, app_cors_open, CALLER_PROXY),
        WEB("DeleteAppSession", delete_app_session_request, app_session_delete_open, CALLER_PROXY | CALLER_USER),
        WEB("ReportAuthFailure", report_auth_failure_request, auth_failure_report_open, CALLER_PROXY),
        ADMIN("ClusterStatus", empty, admin_cluster_status, NO_RULE),
        ADMIN("CreateCrl", create_crl_request, admin_create_crl, "cert_authority", ACCESS_READ),
        ADMIN("RotateAuthority", rotate_request, admin_rotate_authority, "cert_authority", WRITE),
        RESOURCE("ListTokens", list_request, admin_list_resources, token, "token", VIEW),
        RESOURCE("GetToken", name_request, admin_get_resource, token, "token", ACCESS_READ),
        RESOURCE("PutToken", put_token_request, admin_put_resource, token, "token", WRITE),
        RESOURCE("DeleteToken", name_request, admin_delete_resource, token, "token", ACCESS_DELETE),
        ADMIN("ExplainToken", explain_token_request, admin_explain_token, "token", ACCESS_READ),
        RESOURCE("ListNodes", list_request, admin_list_resources, node, NO_RULE), /* lists only the nodes that the user sees */
        RESOURCE("DeleteNode", name_request, admin_delete_resource, node, "node", ACCESS_DELETE),
        RESOURCE("ListAppServers", list_request, admin_list_resources, app_server, NO_RULE), /* lists only the applications that the user sees */
        RESOURCE("DeleteAppServer", name_request, admin_delete_resource, app_server, "app_server", ACCESS_DELETE),
        RESOURCE("ListApps", list_request, admin_list_resources, app, "app", VIEW),
        RESOURCE("GetApp", name_request, admin_get_resource, app, "app", ACCESS_READ),
        RESOURCE("PutApp", put_app_request, admin_put_resource, app, "app", WRITE),
        RESOURCE("DeleteApp", name_request, admin_delete_resource, app, "app", ACCESS_DELETE),
        RESOURCE("ListInstances", list_request, admin_list_resources, instance, "instance", VIEW),
        RESOURCE("ListUsers", list_request, admin_list_resources, user, "user", VIEW),
        RESOURCE("GetUser", name_request, admin_get_resource, user, "user", ACCESS_READ),
        RESOURCE("PutUser", put_user_request, admin_put_resource, user, "user", WRITE),
        RESOURCE("DeleteUser", name_request, admin_delete_resource, user, "user", ACCESS_DELETE),
        ADMIN("CreateInvite", create_invite_request, admin_create_invite, "user", WRITE),
        RESOURCE("ListRoles", list_request, admin_list_resources, role, "role", VIEW),
        RESOURCE("GetRole", name_request, admin_get_resource, role, "role", ACCESS_READ),
        RESOURCE("PutRole", put_role_request, admin_put_resource, role, "role", WRITE),
        RESOURCE("DeleteRole", name_request, admin_delete_resource, role, "role", ACCESS_DELETE),
        RESOURCE("ListLocks", list_request, admin_list_resources, lock, "lock", VIEW),
        RESOURCE("GetLock", name_request, admin_get_resource, lock, "lock", ACCESS_READ),
        RESOURCE("PutLock", put_lock_request, admin_put_resource, lock, "lock", WRITE),
        RESOURCE("DeleteLock", name_request, admin_delete_resource, lock, "lock", ACCESS_DELETE),
        ADMIN("SearchEvents", search_events_request, admin_search_events, "event", VIEW),
        ADMIN("ListRecordings", list_request, admin_list_recordings, "session", ACCESS_LIST, .serves_owners = true),
        ADMIN("GetRecording", get_recording_request, admin_get_recording, "session", ACCESS_READ, .serves_owners = true),
        LOCAL("Backup", backup_request, admin_backup),
};

const size_t auth_method_count = ARRAY_LEN(auth_methods);

const struct rpc_method *const *auth_method_list(void)
{
        static const struct rpc_method *list[ARRAY_LEN(auth_methods) + 1];

        for (size_t i = 0; i < ARRAY_LEN(auth_methods); i++)
                list[i] = &auth_methods[i].method;
        return list;
}

static struct error *lacks_rule(const struct caller *c, const struct guarded_method *row)
{
        AUTO(buf) verbs = BUF_MAX(128);

        for (unsigned verb = ACCESS_LIST; verb <= ACCESS_DELETE; verb <<= 1)
                if (row->verbs & verb)
                        buf_printf(&verbs, "%s%s", verbs.len > 0 ? ", " : "", access_verb_name(verb));
        return error_hint(error_new(ERROR_PERMISSION_DENIED, "access denied: no role of user %s allows to %s %s", c->user, buf_c(&verbs), row->kind),
                          "`tsh status` shows your roles; an administrator can assign others to you");
}

/* The user's roles, locks and certificate expiry are checked at each call: they may have changed since the last call. */
static struct error *guard_user(const struct caller *c, const struct guarded_method *row)
{
        AUTO_PTR(arena) arena = arena_new(USER_ARENA);
        struct access_user p;

        if (c->app[0] != '\0')
                return error_new(ERROR_PERMISSION_DENIED, "the certificate is good for the application '%s' only", c->app);
        TRY(caller_user(c, arena, &p));
        web_sessions_use(c->auth->web_sessions, str_of(c->web_session));
        if (row->kind == NULL)
                return NULL;
        enum access_reach reach = access_may(&p, row->kind, row->verbs);
        if (reach == ACCESS_ALL || (reach == ACCESS_OWN && row->serves_owners))
                return NULL;
        return lacks_rule(c, row);
}

struct error *auth_guard(void *caller, const struct rpc_method *method)
{
        const struct caller *c = caller;
        const struct guarded_method *row = (const struct guarded_method *)(const void *)method;

        if (c->host != NULL && row->method.open != ping_open)
                TRY(caller_check_host(c)); /* a locked host may call Ping only, and no other method that is open to all */
        if (row->open_to & c->groups & ~(unsigned)CALLER_USER)
                return NULL;
        if (row->open_to & c->groups)
                return guard_user(c, row);
        if (c->groups & CALLER_USER)
                return error_new(ERROR_PERMISSION_DENIED, "this method is not open to users");
        if (c->is_forgotten)
                return error_hint(error_for(error_new(ERROR_UNAUTHENTICATED, "the cluster no longer knows this host"), REASON_IDENTITY),
                                  "it joins again by itself if its token still allows it");
        if (c->has_lost_role)
                return error_hint(error_for(error_new(ERROR_PERMISSION_DENIED, "this host does not have the role of its certificate any more"),
                                            REASON_IDENTITY),
                                  "add the role to spec.roles of the join token and let the host join again");
        if (c->groups == CALLER_UNAUTHENTICATED)
                return error_hint(error_for(error_new(ERROR_UNAUTHENTICATED, "this method needs a certificate of this cluster"), REASON_IDENTITY),
                                  "without one, only joining is served; users log in at the proxy's address: tsh login --proxy=HOST[:PORT]");
        return error_new(ERROR_PERMISSION_DENIED, "this method is not open to %s %s", c->role, c->host_id);
}
