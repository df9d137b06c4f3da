/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/neighbour.h"

#include "base/mem.h"
#include "internal.pb-c.h"
#include "loop/loop.h"
#include "rpc/link.h"
#include "rpc/rpc.h"

enum { QUESTION_MAX = 4 * KiB, HAVE_MAX = 128 };

/* A question that is open until there is something newer than the asker has. */
struct question {
        bool is_open;
        uint32_t id;
        char have[HAVE_MAX]; /* a serial, a revision */
};

struct neighbour {
        struct loop *loop;
        struct neighbour_news news;
        struct link_service *link; /* NULL: the other end is gone */
        struct question identity, proxies;
};

static ProtobufCBinaryData bytes_of(struct str s)
{
        return (ProtobufCBinaryData){ s.len, (uint8_t *)(uintptr_t)s.ptr };
}

static size_t put_list(const struct str *list, size_t count, ProtobufCBinaryData *ret)
{
        for (size_t i = 0; i < count; i++)
                ret[i] = bytes_of(list[i]);
        return count;
}

/* For TLS only: the SSH host key and what belongs to it are sshd's, and never leave for a process that meets the network. */
static void answer_identity(struct neighbour *n)
{
        const struct host_identity *id = n->news.identity;
        ProtobufCBinaryData tls_cas[HOST_CAS_MAX], tls_user_cas[HOST_CAS_MAX];
        AUTO_PTR(arena) a = arena_new(8 * KiB);

        Cteleport__Internal__V1__Identity msg = CTELEPORT__INTERNAL__V1__IDENTITY__INIT;
        msg.role = (char *)(uintptr_t)str_to_c(a, id->role);
        msg.host_id = (char *)(uintptr_t)str_to_c(a, id->host_id);
        msg.cluster = (char *)(uintptr_t)str_to_c(a, id->cluster);
        msg.serial = (char *)(uintptr_t)str_to_c(a, id->serial);
        msg.key_pem = bytes_of(secret_str(&id->tls_key_pem));
        msg.tls_cert = bytes_of(id->certs.tls_cert);
        msg.n_tls_ca_certs = put_list(id->certs.tls_ca_certs, id->certs.tls_ca_count, tls_cas);
        msg.tls_ca_certs = tls_cas;
        if (str_equal(id->role, STR("Proxy"))) {
                msg.n_tls_user_ca_certs = put_list(id->certs.tls_user_ca_certs, id->certs.tls_user_ca_count, tls_user_cas);
                msg.tls_user_ca_certs = tls_user_cas;
        }
        msg.not_after = walltime_unix(id->times.not_after);
        msg.auth_addr = (char *)(uintptr_t)n->news.auth_addr;

        n->identity.is_open = false;
        link_service_answer(n->link, n->identity.id, &msg.base);
}

void neighbour_look(struct neighbour *n)
{
        if (n == NULL || n->link == NULL)
                return;
        const struct host_identity *id = n->news.identity;
        if (n->identity.is_open && !host_identity_is_empty(id) && *n->news.is_in_place &&
            !str_equal(id->serial, str_of(n->identity.have)))
                answer_identity(n);
        if (!n->proxies.is_open)
                return;
        const Cteleport__Internal__V1__Proxies *list = proxy_list_message(n->news.proxies);
        if (strcmp(list->revision, n->proxies.have) != 0) {
                n->proxies.is_open = false;
                link_service_answer(n->link, n->proxies.id, &list->base);
        }
}

static struct error *open_question(struct neighbour *n, struct question *q, uint32_t id, const char *have)
{
        if (strlen(have) >= HAVE_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "a serial number is longer than %d bytes", HAVE_MAX - 1);
        if (q->is_open)
                link_service_refuse(n->link, q->id, error_new(ERROR_ABORTED, "asked again"));
        q->is_open = true;
        q->id = id;
        memcpy(q->have, have, strlen(have) + 1);
        return NULL;
}

static struct error *take_identity_question(struct neighbour *n, struct arena *a, uint32_t id, struct str body)
{
        ProtobufCMessage *msg;

        TRY(wire_decode(a, &cteleport__internal__v1__identity_request__descriptor, body, &msg));
        const Cteleport__Internal__V1__IdentityRequest *q = (const Cteleport__Internal__V1__IdentityRequest *)msg;
        if (!str_equal(str_of(q->role), str_of(n->news.role)))
                return error_new(ERROR_PERMISSION_DENIED, "this service gets the identity of role %s only",
                                 n->news.role);
        return open_question(n, &n->identity, id, q->have_serial);
}

static struct error *take_proxies_question(struct neighbour *n, struct arena *a, uint32_t id, struct str body)
{
        ProtobufCMessage *msg;

        if (n->news.proxies == NULL)
                return error_new(ERROR_PERMISSION_DENIED, "this service does not get the list of proxies");
        TRY(wire_decode(a, &cteleport__internal__v1__proxies_request__descriptor, body, &msg));
        const Cteleport__Internal__V1__ProxiesRequest *q = (const Cteleport__Internal__V1__ProxiesRequest *)msg;
        return open_question(n, &n->proxies, id, q->have_revision);
}

static struct error *take_tunnels(struct neighbour *n, struct arena *a, uint32_t id, struct str body)
{
        Cteleport__Internal__V1__TunnelsNoted noted = CTELEPORT__INTERNAL__V1__TUNNELS_NOTED__INIT;
        ProtobufCMessage *msg;

        if (n->news.on_tunnels == NULL)
                return error_new(ERROR_PERMISSION_DENIED, "this process keeps no tunnels");
        TRY(wire_decode(a, &cteleport__internal__v1__tunnels_report__descriptor, body, &msg));
        const Cteleport__Internal__V1__TunnelsReport *report = (const Cteleport__Internal__V1__TunnelsReport *)msg;
        n->news.on_tunnels(n->news.ctx, str_of(report->host_id), report->count);
        link_service_answer(n->link, id, &noted.base);
        return NULL;
}

static void on_asked(void *ctx, uint32_t id, uint16_t verb, struct str body)
{
        struct neighbour *n = ctx;
        AUTO_PTR(arena) a = arena_new(QUESTION_MAX);
        struct error *err;

        if (verb == CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_IDENTITY)
                err = take_identity_question(n, a, id, body);
        else if (verb == CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_PROXIES)
                err = take_proxies_question(n, a, id, body);
        else if (verb == CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_TUNNELS)
                err = take_tunnels(n, a, id, body);
        else
                err = error_new(ERROR_UNIMPLEMENTED, "unknown verb %u", verb);
        if (err != NULL)
                link_service_refuse(n->link, id, err);
        else
                neighbour_look(n);
}

static void on_ended(void *ctx)
{
        struct neighbour *n = ctx;
        link_service_free(n->link);
        n->link = NULL;
        n->identity.is_open = n->proxies.is_open = false;
        if (n->news.on_tunnels != NULL)
                n->news.on_tunnels(n->news.ctx, STR(""), 0);
}

struct neighbour *neighbour_new(struct loop *l, int fd, struct neighbour_news news)
{
        struct neighbour *n = NEW(struct neighbour);
        *n = (struct neighbour){ .loop = l, .news = news };
        n->link = link_service_new(l, fd, on_asked, on_ended, n);
        return n;
}

void neighbour_free(struct neighbour *n)
{
        if (n == NULL)
                return;
        if (n->link != NULL)
                link_service_free(n->link);
        free(n);
}
