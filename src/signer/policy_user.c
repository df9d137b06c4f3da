/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "rpc/pb.h"
#include "signer/policy_internal.h"

typedef Cteleport__Internal__V1__UserCertRequest request_message;

/* The reasons that auth gives for a certificate. */
static const struct str reasons[] = { STR_INIT("login"), STR_INIT("web"), STR_INIT("app") };

static struct error *check_reason(struct str reason)
{
        for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
                if (str_equal(reason, reasons[i]))
                        return NULL;
        AUTO_MEM char *shown = escaped(reason);
        return error_new(ERROR_INVALID_ARGUMENT, "'%s' is not a reason to certify a user", shown);
}

/* Whether the name has the form of a host in certificates and logs: "<host id>" or "<host id>.<cluster>". */
static bool is_like_a_host(struct str user)
{
        return name_is_host_id(str_slice(user, 0, str_find_char(user, '.')));
}

struct error *policy_user_name(struct str user)
{
        if (name_is_user(user) && !is_like_a_host(user))
                return NULL;
        AUTO_MEM char *shown = escaped(user);
        return error_new(ERROR_INVALID_ARGUMENT, "'%s' is not a user that the signer certifies", shown);
}

struct error *policy_names(struct arena *a, char *const *names, size_t count, size_t most, bool (*is_good)(struct str s), const char *what,
                           const struct str **ret)
{
        if (count > most)
                return error_new(ERROR_INVALID_ARGUMENT, "%zu %ss in one request; it may have %zu", count, what, most);
        struct str *list = arena_alloc(a, count * sizeof *list);
        for (size_t i = 0; i < count; i++) {
                AUTO_MEM char *shown = escaped(str_of(names[i]));

                list[i] = str_of(names[i]);
                if (!is_good(list[i]))
                        return error_new(ERROR_INVALID_ARGUMENT, "'%s' is not a %s that the signer certifies", shown, what);
                for (size_t k = 0; k < i; k++)
                        if (str_equal(list[k], list[i]))
                                return error_new(ERROR_INVALID_ARGUMENT, "the %s '%s' comes twice", what, shown);
        }
        *ret = list;
        return NULL;
}

static struct error *take_logins(struct arena *a, const request_message *r, struct user_order *order)
{
        AUTO(buf) uuid = BUF_MAX(64);

        TRY(policy_names(a, r->logins, r->n_logins, LIMIT_CERT_NAMES, name_is_login, "login", &order->x509.logins));
        order->x509.login_count = r->n_logins;
        order->ssh.principals = order->x509.logins;
        order->ssh.principal_count = order->x509.login_count;
        if (r->n_logins > 0)
                return NULL;
        struct str *placeholder = arena_alloc(a, sizeof *placeholder);
        random_uuid(&uuid);
        *placeholder = str_of(arena_printf(a, "%.*s%.*s", STR_ARG(SSH_NOLOGIN_PREFIX), STR_ARG(buf_str(&uuid))));
        order->ssh.principals = placeholder;
        order->ssh.principal_count = 1;
        return NULL;
}

/* The certificate of a web session is one of X.509, and as short as the session; that of an application ends with its login's. */
static struct error *check_web_session(const struct user_order *order, int64_t ttl_seconds)
{
        if (!web_session_is_id(order->x509.web_session))
                return error_new(ERROR_INVALID_ARGUMENT, "the certificate of a web session needs its ID");
        if (!str_is_empty(order->ssh_public_key))
                return error_new(ERROR_INVALID_ARGUMENT, "a web session has no SSH certificate");
        if (str_is_empty(order->x509.app) && ttl_seconds > LIMIT_WEB_SESSION_SECONDS)
                return error_new(ERROR_INVALID_ARGUMENT, "a web session of %lld s; it may last %d", (long long)ttl_seconds, LIMIT_WEB_SESSION_SECONDS);
        if (!str_is_empty(order->x509.app) && !name_is_app(order->x509.app))
                return error_new(ERROR_INVALID_ARGUMENT, "the certificate is for an application whose name is none");
        if (!str_is_empty(order->x509.app_secret) && (str_is_empty(order->x509.app) || !app_secret_is_one(order->x509.app_secret)))
                return error_new(ERROR_INVALID_ARGUMENT, "only the session of an application has a secret, of %d digits", APP_SECRET_LEN);
        return NULL;
}

struct error *policy_check_user(struct arena *a, const struct policy_facts *facts, const request_message *request,
                                struct user_order *ret)
{
        struct user_order order = {
                .x509.user = str_of(request->user),
                .x509.cluster = facts->cluster,
                .tls_public_key = pb_str(request->tls_public_key),
                .ssh_public_key = pb_str(request->ssh_public_key),
        };

        TRY(check_reason(str_of(request->reason)));
        TRY(policy_user_name(order.x509.user));
        TRY(policy_names(a, request->roles, request->n_roles, LIMIT_USER_ROLES, name_is_token, "role", &order.x509.roles));
        if (request->n_roles == 0)
                return error_new(ERROR_INVALID_ARGUMENT, "a user without roles, who may do nothing");
        order.x509.role_count = request->n_roles;
        TRY(take_logins(a, request, &order));
        TRY(policy_times(facts, request->ttl_seconds, LIMIT_USER_CERT_SECONDS, &order.times));
        order.x509.web_session = str_of(request->web_session);
        order.x509.app = str_of(request->app);
        order.x509.app_secret = str_of(request->app_secret);
        if (!str_is_empty(order.x509.web_session))
                TRY(check_web_session(&order, request->ttl_seconds));
        else if (!str_is_empty(order.x509.app) || !str_is_empty(order.x509.app_secret))
                return error_new(ERROR_INVALID_ARGUMENT, "the certificate for an application belongs to no session");
        else if (str_is_empty(order.ssh_public_key))
                return error_new(ERROR_INVALID_ARGUMENT, "a user's certificates need an SSH key too");
        TRY(policy_keys(facts, order.tls_public_key, order.ssh_public_key));

        order.ssh.user = order.x509.user;
        order.ssh.roles = order.x509.roles;
        order.ssh.role_count = order.x509.role_count;
        order.ssh.permit_pty = true;
        order.ssh.permit_port_forwarding = request->permit_port_forwarding;
        order.ssh.permit_agent_forwarding = request->permit_agent_forwarding;
        *ret = order;
        return NULL;
}
