/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/neighbour.h"

#include "base/mem.h"
#include "internal.pb-c.h"
#include "loop/loop.h"
#include "rpc/link.h"
#include "rpc/rpc.h"

enum { QUESTION_MAX = 4 * KiB, SERIAL_MAX = 128 };

struct neighbour {
        struct loop *loop;
        const char *role;
        const struct host_identity *identity;
        const char *auth_addr;
        struct link_service *link; /* NULL: the other end is gone */
        bool is_waiting;           /* a question is open */
        uint32_t question;
        char have_serial[SERIAL_MAX];
};

static ProtobufCBinaryData bytes_of(struct str s)
{
        return (ProtobufCBinaryData){ s.len, (uint8_t *)(uintptr_t)s.ptr };
}

static void answer(struct neighbour *n)
{
        const struct host_identity *id = n->identity;
        ProtobufCBinaryData tls_cas[HOST_CAS_MAX], ssh_cas[HOST_CAS_MAX];
        AUTO_PTR(arena) a = arena_new(8 * KiB);

        Cteleport__Internal__V1__Identity msg = CTELEPORT__INTERNAL__V1__IDENTITY__INIT;
        msg.role = (char *)(uintptr_t)str_to_c(a, id->role);
        msg.host_id = (char *)(uintptr_t)str_to_c(a, id->host_id);
        msg.cluster = (char *)(uintptr_t)str_to_c(a, id->cluster);
        msg.serial = (char *)(uintptr_t)str_to_c(a, id->serial);
        msg.key_pem = bytes_of(secret_str(&id->tls_key_pem));
        msg.tls_cert = bytes_of(id->certs.tls_cert);
        for (size_t i = 0; i < id->certs.tls_ca_count; i++)
                tls_cas[i] = bytes_of(id->certs.tls_ca_certs[i]);
        msg.n_tls_ca_certs = id->certs.tls_ca_count;
        msg.tls_ca_certs = tls_cas;
        msg.ssh_key_pem = bytes_of(secret_str(&id->ssh_key_pem));
        msg.ssh_cert = bytes_of(id->certs.ssh_cert);
        for (size_t i = 0; i < id->certs.ssh_ca_count; i++)
                ssh_cas[i] = bytes_of(id->certs.ssh_ca_keys[i]);
        msg.n_ssh_ca_keys = id->certs.ssh_ca_count;
        msg.ssh_ca_keys = ssh_cas;
        msg.not_after = walltime_unix(id->times.not_after);
        msg.auth_addr = (char *)(uintptr_t)n->auth_addr;

        n->is_waiting = false;
        link_service_answer(n->link, n->question, &msg.base);
}

void neighbour_news(struct neighbour *n)
{
        if (n == NULL || n->link == NULL || !n->is_waiting || host_identity_is_empty(n->identity))
                return;
        if (!str_equal(n->identity->serial, str_of(n->have_serial)))
                answer(n);
}

static void on_asked(void *ctx, uint32_t id, uint16_t verb, struct str body)
{
        struct neighbour *n = ctx;
        AUTO_PTR(arena) a = arena_new(QUESTION_MAX);
        ProtobufCMessage *msg = NULL;
        struct error *err = NULL;

        if (verb != CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_IDENTITY)
                err = error_new(ERROR_UNIMPLEMENTED, "unknown verb %u", verb);
        if (err == NULL)
                err = wire_decode(a, &cteleport__internal__v1__identity_request__descriptor, body, &msg);
        const Cteleport__Internal__V1__IdentityRequest *q = (const Cteleport__Internal__V1__IdentityRequest *)msg;
        if (err == NULL && !str_equal(str_of(q->role), str_of(n->role)))
                err = error_new(ERROR_PERMISSION_DENIED, "this neighbour gets the identity of role %s only", n->role);
        if (err == NULL && strlen(q->have_serial) >= SERIAL_MAX)
                err = error_new(ERROR_INVALID_ARGUMENT, "a serial number is longer than %d bytes", SERIAL_MAX - 1);
        if (err != NULL) {
                link_service_refuse(n->link, id, err);
                return;
        }
        if (n->is_waiting)
                link_service_refuse(n->link, n->question, error_new(ERROR_ABORTED, "asked again"));
        n->is_waiting = true;
        n->question = id;
        memcpy(n->have_serial, q->have_serial, strlen(q->have_serial) + 1);
        neighbour_news(n);
}

static void on_ended(void *ctx)
{
        struct neighbour *n = ctx;
        link_service_free(n->link);
        n->link = NULL;
        n->is_waiting = false;
}

struct neighbour *neighbour_new(struct loop *l, int fd, const char *role, const struct host_identity *identity,
                                const char *auth_addr)
{
        struct neighbour *n = NEW(struct neighbour);
        *n = (struct neighbour){ .loop = l, .role = role, .identity = identity, .auth_addr = auth_addr };
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
