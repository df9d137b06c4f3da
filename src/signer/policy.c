/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/pb.h"
#include "signer/policy_internal.h"

#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "services/services.h"

typedef Cteleport__Internal__V1__HostCertRequest request_message;

/* The reasons that auth gives for a certificate; "local" is a certificate of the machine of the Auth Service. */
static const struct reason_row {
        struct str name;
        bool is_join;
        bool is_local;
} reasons[] = {
        { STR_INIT("join"), .is_join = true },
        { STR_INIT("renew") },
        { STR_INIT("local"), .is_local = true },
};

static const struct str cluster_domain = STR_INIT("teleport.cluster.local");

/* The service of the role. Its row of the table of services defines the contents of its certificates. */
static struct error *role_get(struct str name, const struct service_row **ret)
{
        *ret = services_of_role(name);
        if (*ret != NULL)
                return NULL;
        AUTO_MEM char *shown = escaped(name);
        return error_new(ERROR_INVALID_ARGUMENT, "'%s' is not a role that the signer certifies", shown);
}

static struct error *check_may_join(const struct service_row *service, const struct reason_row *reason)
{
        if ((service->certificate & SERVICE_CERT_LOCAL_ONLY) && reason->is_join)
                return error_new(ERROR_PERMISSION_DENIED, "no host can join as %.*s", STR_ARG(service->role.name));
        return NULL;
}

static size_t count_roles(void)
{
        size_t count = 0;

        while (services_at(count) != NULL)
                count++;
        return count;
}

static struct error *reason_get(struct str name, const struct reason_row **ret)
{
        for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
                if (str_equal(name, reasons[i].name)) {
                        *ret = &reasons[i];
                        return NULL;
                }
        AUTO_MEM char *shown = escaped(name);
        return error_new(ERROR_INVALID_ARGUMENT, "'%s' is not a reason to certify a host", shown);
}

/* ---- names ---------------------------------------------------------------------------------------------- */

/* The names of one certificate, without duplicates. */
struct name_list {
        struct str items[LIMIT_CERT_NAMES];
        size_t count;
        bool knows_case; /* "Web" and "web" are two names, as ssh compares them */
};

static struct error *list_add(struct name_list *list, struct str name)
{
        for (size_t i = 0; i < list->count; i++)
                if (list->knows_case ? str_equal(list->items[i], name) : str_equal_nocase(list->items[i], name))
                        return NULL;
        if (list->count == ARRAY_LEN(list->items))
                return error_new(ERROR_INVALID_ARGUMENT, "more than %d names for one certificate", LIMIT_CERT_NAMES);
        list->items[list->count++] = name;
        return NULL;
}

/* The context of one request. */
struct context {
        struct arena *arena;
        const struct policy_facts *facts;
        const request_message *request;
        const struct service_row *service;
        const struct reason_row *reason;
        struct str host_id;
        struct name_list *principals; /* SSH */
        struct name_list *dns, *ips;  /* X.509 */
};

static struct str joined(struct arena *a, struct str host, struct str domain)
{
        return str_of(arena_printf(a, "%.*s.%.*s", STR_ARG(host), STR_ARG(domain)));
}

/*
 * Whether the certificate may hold this (well-formed) name. Reserved names are only for services of the
 * cluster and for the machine of the Auth Service. The ID of another host is never allowed.
 */
static bool may_be_named(const struct context *j, struct str name)
{
        AUTO(buf) id = BUF_MAX(LIMIT_NAME);

        if (name_is_under_host_id(name, j->facts->cluster, &id) && !str_equal(buf_str(&id), j->host_id))
                return false;
        return !name_is_reserved(name, j->facts->cluster) || (j->service->certificate & SERVICE_CERT_CLUSTER) || j->reason->is_local;
}

static struct error *check_wanted_name(const struct context *j, struct str name)
{
        if (!name_is_ip(name))
                TRY(name_check_host(name, "name"));
        if (may_be_named(j, name))
                return NULL;
        return error_hint(error_new(ERROR_PERMISSION_DENIED, "no certificate of role %.*s may hold the name '%.*s'",
                                    STR_ARG(j->service->role.name), STR_ARG(name)),
                          "names of the cluster itself, of this machine and of other hosts are reserved");
}

/* Adds a name as given, in lower case, in canonical form, and in canonical form with the domain of the cluster. */
static struct error *add_spellings(const struct context *j, struct name_list *list, struct str name)
{
        AUTO(buf) lower = BUF_MAX(2 * LIMIT_NAME), canonical = BUF_MAX(2 * LIMIT_NAME);

        for (size_t i = 0; i < name.len; i++)
                buf_put_char(&lower, char_lower(name.ptr[i]));
        name_put_canonical(&canonical, name, j->facts->cluster);
        TRY(list_add(list, joined(j->arena, buf_str(&canonical), j->facts->cluster)));
        TRY(list_add(list, arena_str(j->arena, buf_str(&canonical))));
        TRY(list_add(list, arena_str(j->arena, buf_str(&lower))));
        return list_add(list, name);
}

/*
 * Adds the names that follow from the identity of the host. Only these become SSH principals: a host ID has one owner,
 * and auth knows the one owner of a name. Requested names are for TLS only.
 */
static struct error *add_implied_names(const struct context *j, struct str node_name)
{
        TRY(add_spellings(j, j->dns, j->host_id));
        TRY(add_spellings(j, j->principals, j->host_id));
        if (str_is_empty(node_name) || !may_be_named(j, node_name))
                return NULL;
        return add_spellings(j, j->principals, node_name);
}

static struct error *add_wanted_names(const struct context *j)
{
        const request_message *r = j->request;

        for (size_t i = 0; i < r->n_principals; i++) {
                struct str name = str_of(r->principals[i]);

                TRY(check_wanted_name(j, name));
                TRY(list_add(name_is_ip(name) ? j->ips : j->dns, name));
        }
        for (size_t i = 0; i < r->n_dns_names && (j->service->certificate & SERVICE_CERT_DNS_NAMES); i++) {
                struct str name = str_of(r->dns_names[i]);

                TRY(check_wanted_name(j, name));
                TRY(list_add(name_is_ip(name) ? j->ips : j->dns, name));
        }
        return NULL;
}

/* Adds the names under which services of the cluster reach this one: exact names, where Teleport uses a wildcard. */
static struct error *add_cluster_names(const struct context *j)
{
        AUTO(buf) hex = BUF_MAX(2 * LIMIT_NAME);

        if (!(j->service->certificate & SERVICE_CERT_CLUSTER))
                return NULL;
        hex_encode(&hex, j->facts->cluster);
        struct str internal = joined(j->arena, buf_str(&hex), cluster_domain);
        TRY(list_add(j->dns, cluster_domain));
        /* A name that is too long for a certificate is omitted: no client can request it either. */
        return name_is_host(internal) ? list_add(j->dns, internal) : NULL;
}

/* ---- other fields --------------------------------------------------------------------------------------- */

static struct error *check_host(const struct context *j, struct str node_name)
{
        if (!name_is_host_id(j->host_id)) {
                AUTO_MEM char *shown = escaped(j->host_id);
                return error_new(ERROR_INVALID_ARGUMENT, "'%s' is not a host ID", shown);
        }
        if (!str_is_empty(node_name))
                TRY(name_check_host(node_name, "node name"));
        return check_may_join(j->service, j->reason);
}

static struct error *check_system_roles(const struct context *j, struct policy_order *order)
{
        const request_message *r = j->request;

        if (r->n_system_roles == 0)
                return NULL;
        if (!(j->service->certificate & SERVICE_CERT_SYSTEM_ROLES))
                return error_new(ERROR_INVALID_ARGUMENT, "a certificate of role %.*s lists no other roles",
                                 STR_ARG(j->service->role.name));
        if (r->n_system_roles > count_roles())
                return error_new(ERROR_INVALID_ARGUMENT, "%zu system roles; there are not so many", r->n_system_roles);
        struct str *list = arena_alloc(j->arena, r->n_system_roles * sizeof(*list));
        for (size_t i = 0; i < r->n_system_roles; i++) {
                const struct service_row *service;

                TRY(role_get(str_of(r->system_roles[i]), &service));
                TRY(check_may_join(service, j->reason));
                for (size_t k = 0; k < i; k++)
                        if (str_equal(list[k], service->role.name))
                                return error_new(ERROR_INVALID_ARGUMENT, "the system role %.*s comes twice",
                                                 STR_ARG(service->role.name));
                list[i] = service->role.name;
        }
        order->x509.system_roles = list;
        order->x509.system_role_count = r->n_system_roles;
        return NULL;
}

struct error *policy_times(const struct policy_facts *facts, int64_t ttl, int most, struct cert_times *ret)
{
        if (ttl < 1 || ttl > most)
                return error_new(ERROR_INVALID_ARGUMENT, "a certificate for %lld seconds; the signer gives 1 to %d",
                                 (long long)ttl, most);
        struct cert_times times = {
                .not_before = walltime_sub(facts->now, SECONDS(LIMIT_CERT_BACKDATE_SECONDS)),
                .not_after = walltime_add(facts->now, SECONDS(ttl)),
        };
        if (times.not_before.ns < facts->ca_times.not_before.ns)
                times.not_before = facts->ca_times.not_before;
        if (times.not_after.ns > facts->ca_times.not_after.ns)
                times.not_after = facts->ca_times.not_after;
        if (facts->now.ns < facts->ca_times.not_before.ns || facts->now.ns >= facts->ca_times.not_after.ns)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                            "the clock of this machine is outside the life of the cluster's CA"),
                                  "check the machine's date");
        *ret = times;
        return NULL;
}

static struct error *refuse_own_key(const struct policy_facts *facts, const struct public_key *key)
{
        for (size_t i = 0; i < facts->own_key_count; i++)
                if (public_key_equal(key, &facts->own_keys[i]))
                        return error_new(ERROR_PERMISSION_DENIED, "this is the public key of one of the cluster's CAs");
        return NULL;
}

struct error *policy_keys(const struct policy_facts *facts, struct str tls_public_key, struct str ssh_public_key)
{
        struct public_key key;

        TRY(public_key_of_spki(tls_public_key, &key));
        TRY(refuse_own_key(facts, &key));
        if (str_is_empty(ssh_public_key))
                return NULL;
        TRY(public_key_of_ssh(ssh_public_key, &key));
        return refuse_own_key(facts, &key);
}

struct error *policy_check(struct arena *a, const struct policy_facts *facts, const request_message *request,
                           struct policy_order *ret)
{
        struct context j = {
                .arena = a,
                .facts = facts,
                .request = request,
                .host_id = str_of(request->host_id),
                .principals = arena_alloc(a, sizeof(struct name_list)),
                .dns = arena_alloc(a, sizeof(struct name_list)),
                .ips = arena_alloc(a, sizeof(struct name_list)),
        };
        struct str node_name = str_of(request->node_name);
        struct policy_order order = { 0 };

        TRY(role_get(str_of(request->role), &j.service));
        TRY(reason_get(str_of(request->reason), &j.reason));
        TRY(check_host(&j, node_name));
        TRY(check_system_roles(&j, &order));
        TRY(policy_times(facts, request->ttl_seconds, LIMIT_HOST_CERT_SECONDS, &order.times));
        order.tls_public_key = pb_str(request->tls_public_key);
        order.ssh_public_key = pb_str(request->ssh_public_key);
        TRY(policy_keys(facts, order.tls_public_key, order.ssh_public_key));
        if (!(j.service->certificate & SERVICE_CERT_SSH))
                order.ssh_public_key = STR("");
        j.principals->knows_case = true;
        TRY(add_implied_names(&j, node_name));
        TRY(add_wanted_names(&j));
        TRY(add_cluster_names(&j));
        if (j.dns->count + j.ips->count > LIMIT_CERT_NAMES)
                return error_new(ERROR_INVALID_ARGUMENT, "more than %d names for one certificate", LIMIT_CERT_NAMES);

        order.x509.common_name = joined(a, j.host_id, facts->cluster);
        order.x509.role = j.service->role.name;
        order.x509.cluster = facts->cluster;
        order.x509.dns_names = j.dns->items;
        order.x509.dns_name_count = j.dns->count;
        order.x509.ip_addresses = j.ips->items;
        order.x509.ip_address_count = j.ips->count;
        order.ssh.key_id = j.host_id;
        order.ssh.principals = j.principals->items;
        order.ssh.principal_count = j.principals->count;
        *ret = order;
        return NULL;
}
