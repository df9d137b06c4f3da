/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/sibling.h"

#include "base/limits.h"
#include "base/mem.h"
#include "internal.pb-c.h"
#include "loop/loop.h"
#include "rpc/link.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"
#include "services/services.h"

enum { QUERY_MAX = 4 * KiB, HAVE_MAX = 128, NAMES_MAX = LIMIT_APPS * 256 };

/* A request that stays open until there is newer data than the client has. */
struct query {
        bool is_open;
        uint32_t id;
        char have[HAVE_MAX]; /* serial or revision of the client's data */
};

struct sibling {
        struct loop *loop;
        struct sibling_events events;
        struct link_service *link; /* NULL: not connected */
        struct query identity, proxies, apps;
        struct arena *names_arena; /* of the names; NULL: none */
        char **names;
        size_t name_count;
        char host_id[HAVE_MAX]; /* under which it has tunnels */
        size_t tunnels;
        struct sibling *other; /* the next one of the same service, owned; NULL: none */
};

static size_t put_list(const struct str *list, size_t count, ProtobufCBinaryData *ret)
{
        for (size_t i = 0; i < count; i++)
                ret[i] = pb_bytes(list[i]);
        return count;
}

/* Users connect to an SSH Service by SSH, and to other services by TLS with their certificates. */
static bool ends_tls_of_users(struct str role)
{
        const struct service_row *row = services_of_role(role);

        return row != NULL && (row->certificate & SERVICE_CERT_SSH) == 0;
}

/* Sends the parts for TLS only: the SSH host key is for sshd, and is never sent to a process that is exposed to the network. */
static void answer_identity(struct sibling *n)
{
        const struct host_identity *id = n->events.identity;
        ProtobufCBinaryData tls_cas[HOST_CAS_MAX], tls_user_cas[HOST_CAS_MAX];
        AUTO_PTR(arena) a = arena_new(8 * KiB);

        Cteleport__Internal__V1__Identity msg = CTELEPORT__INTERNAL__V1__IDENTITY__INIT;
        msg.role = pb_text(str_to_c(a, id->role));
        msg.host_id = pb_text(str_to_c(a, id->host_id));
        msg.cluster = pb_text(str_to_c(a, id->cluster));
        msg.serial = pb_text(str_to_c(a, id->serial));
        msg.key_pem = pb_bytes(secret_str(&id->tls_key_pem));
        msg.tls_cert = pb_bytes(id->certs.tls_cert);
        msg.n_tls_ca_certs = put_list(id->certs.tls_ca_certs, id->certs.tls_ca_count, tls_cas);
        msg.tls_ca_certs = tls_cas;
        if (ends_tls_of_users(id->role)) {
                msg.n_tls_user_ca_certs = put_list(id->certs.tls_user_ca_certs, id->certs.tls_user_ca_count, tls_user_cas);
                msg.tls_user_ca_certs = tls_user_cas;
        }
        msg.not_after = walltime_unix(id->times.not_after);
        msg.auth_addr = pb_text(n->events.auth_addr);

        n->identity.is_open = false;
        link_service_answer(n->link, n->identity.id, &msg.base);
}

static void check_one(struct sibling *n)
{
        if (n->link == NULL)
                return;
        const struct host_identity *id = n->events.identity;
        if (n->identity.is_open && !host_identity_is_empty(id) && *n->events.is_in_place &&
            !str_equal(id->serial, str_of(n->identity.have)))
                answer_identity(n);
        const Cteleport__Internal__V1__Apps *apps = n->apps.is_open ? app_table_for(n->events.apps, n->apps.have) : NULL;
        if (apps != NULL) {
                n->apps.is_open = false;
                link_service_answer(n->link, n->apps.id, &apps->base);
        }
        if (!n->proxies.is_open)
                return;
        const Cteleport__Internal__V1__Proxies *list = proxy_list_message(n->events.proxies);
        if (strcmp(list->revision, n->proxies.have) != 0) {
                n->proxies.is_open = false;
                link_service_answer(n->link, n->proxies.id, &list->base);
        }
}

void sibling_check(struct sibling *n)
{
        for (; n != NULL; n = n->other)
                check_one(n);
}

size_t sibling_tunnels(const struct sibling *n, struct str host_id)
{
        size_t most = 0;

        for (; n != NULL; n = n->other)
                if (n->tunnels > most && str_equal(str_of(n->host_id), host_id))
                        most = n->tunnels;
        return most;
}

size_t sibling_names(const struct sibling *n, char ***ret)
{
        *ret = n == NULL ? NULL : n->names;
        return n == NULL ? 0 : n->name_count;
}

static struct error *open_query(struct sibling *n, struct query *q, uint32_t id, const char *have)
{
        if (strlen(have) >= HAVE_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "a serial number is longer than %d bytes", HAVE_MAX - 1);
        if (q->is_open)
                link_service_refuse(n->link, q->id, error_new(ERROR_ABORTED, "a newer request replaces this one"));
        q->is_open = true;
        q->id = id;
        memcpy(q->have, have, strlen(have) + 1);
        return NULL;
}

static struct error *take_identity_query(struct sibling *n, struct arena *a, uint32_t id, struct str body)
{
        ProtobufCMessage *msg;

        TRY(wire_decode(a, &cteleport__internal__v1__identity_request__descriptor, body, &msg));
        const Cteleport__Internal__V1__IdentityRequest *q = (const Cteleport__Internal__V1__IdentityRequest *)msg;
        if (!str_equal(str_of(q->role), str_of(n->events.role)))
                return error_new(ERROR_PERMISSION_DENIED, "this service gets the identity of role %s only",
                                 n->events.role);
        return open_query(n, &n->identity, id, q->have_serial);
}

static struct error *take_proxies_query(struct sibling *n, struct arena *a, uint32_t id, struct str body)
{
        ProtobufCMessage *msg;

        if (n->events.proxies == NULL)
                return error_new(ERROR_PERMISSION_DENIED, "this service does not get the list of proxies");
        TRY(wire_decode(a, &cteleport__internal__v1__proxies_request__descriptor, body, &msg));
        const Cteleport__Internal__V1__ProxiesRequest *q = (const Cteleport__Internal__V1__ProxiesRequest *)msg;
        return open_query(n, &n->proxies, id, q->have_revision);
}

static struct error *take_tunnels(struct sibling *n, struct arena *a, uint32_t id, struct str body)
{
        Cteleport__Internal__V1__TunnelsNoted noted = CTELEPORT__INTERNAL__V1__TUNNELS_NOTED__INIT;
        ProtobufCMessage *msg;

        if (n->events.on_tunnels == NULL)
                return error_new(ERROR_PERMISSION_DENIED, "this process keeps no tunnels");
        TRY(wire_decode(a, &cteleport__internal__v1__tunnels_report__descriptor, body, &msg));
        const Cteleport__Internal__V1__TunnelsReport *report = (const Cteleport__Internal__V1__TunnelsReport *)msg;
        if (strlen(report->host_id) >= HAVE_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "a host ID is longer than %d bytes", HAVE_MAX - 1);
        memcpy(n->host_id, report->host_id, strlen(report->host_id) + 1);
        n->tunnels = report->count;
        n->events.on_tunnels(n->events.ctx);
        link_service_answer(n->link, id, &noted.base);
        return NULL;
}

static struct error *take_apps_query(struct sibling *n, uint32_t id, struct str body)
{
        struct arena *a;
        ProtobufCMessage *msg;

        if (n->events.apps == NULL)
                return error_new(ERROR_PERMISSION_DENIED, "this process offers no applications");
        a = arena_new(NAMES_MAX);
        struct error *err = wire_decode(a, &cteleport__internal__v1__apps_request__descriptor, body, &msg);
        if (err == NULL && ((const Cteleport__Internal__V1__AppsRequest *)msg)->n_names > LIMIT_APPS)
                err = error_new(ERROR_INVALID_ARGUMENT, "the process offers more than %d applications", LIMIT_APPS);
        if (err != NULL) {
                arena_free(a);
                return err;
        }
        const Cteleport__Internal__V1__AppsRequest *q = (const Cteleport__Internal__V1__AppsRequest *)msg;
        arena_free(n->names_arena);
        n->names_arena = a;
        n->names = q->names;
        n->name_count = q->n_names;
        TRY(open_query(n, &n->apps, id, q->have_revision));
        n->events.on_names(n->events.ctx);
        return NULL;
}

static void on_requested(void *ctx, uint32_t id, uint16_t verb, struct str body)
{
        struct sibling *n = ctx;
        AUTO_PTR(arena) a = arena_new(QUERY_MAX);
        struct error *err;

        if (verb == CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_IDENTITY)
                err = take_identity_query(n, a, id, body);
        else if (verb == CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_PROXIES)
                err = take_proxies_query(n, a, id, body);
        else if (verb == CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_TUNNELS)
                err = take_tunnels(n, a, id, body);
        else if (verb == CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_APPS)
                err = take_apps_query(n, id, body);
        else
                err = error_new(ERROR_UNIMPLEMENTED, "unknown verb %u", verb);
        if (err != NULL)
                link_service_refuse(n->link, id, err);
        else
                sibling_check(n);
}

static void on_ended(void *ctx)
{
        struct sibling *n = ctx;
        link_service_free(n->link);
        n->link = NULL;
        n->identity.is_open = n->proxies.is_open = n->apps.is_open = false;
        n->tunnels = 0;
        if (n->events.on_tunnels != NULL)
                n->events.on_tunnels(n->events.ctx);
}

static void free_one(struct sibling *n)
{
        if (n->link != NULL)
                link_service_free(n->link);
        arena_free(n->names_arena);
        free(n);
}

/* Frees those whose process has ended, and the oldest if there are more than the supervisor lets live. */
static void free_ended(struct sibling **at)
{
        for (size_t count = 0; *at != NULL;) {
                struct sibling *n = *at;

                if (n->link != NULL && count++ < LIMIT_FORMER_PROCESSES) {
                        at = &n->other;
                } else {
                        *at = n->other;
                        free_one(n);
                }
        }
}

struct sibling *sibling_new(struct loop *l, int fd, struct sibling_events events, struct sibling *others)
{
        struct sibling *n = NEW(struct sibling);
        free_ended(&others);
        *n = (struct sibling){ .loop = l, .events = events, .other = others };
        n->link = link_service_new(l, fd, on_requested, on_ended, n);
        return n;
}

void sibling_free(struct sibling *n)
{
        for (struct sibling *other; n != NULL; n = other) {
                other = n->other;
                free_one(n);
        }
}
