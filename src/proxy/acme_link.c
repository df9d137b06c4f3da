/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/acme_link.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/names.h"
#include "loop/loop.h"
#include "rpc/link.h"
#include "rpc/pb.h"
#include "rpc/wire.h"

enum { REQUEST_ARENA = 8 * LINK_MESSAGE_MAX };

struct acme_link {
        struct loop *loop;
        struct acme_link_events events;
        struct link_service *service; /* NULL: not connected */
        struct tls_context *challenge;
        uint32_t question; /* ID of the pending request for names */
        bool is_asked;     /* there is one */
        bool was_asked;    /* by this link */
};

static void end_challenge(struct acme_link *k)
{
        tls_context_free(k->challenge);
        k->challenge = NULL;
}

/* Without a name the challenge ends. */
static struct error *take_challenge(struct acme_link *k, const Cteleport__Internal__V1__AcmeCertificate *msg)
{
        static const char *const alpn[] = { ACME_ALPN, NULL };
        AUTO_PTR(tls_context) made = NULL;
        struct str name = str_of(msg->name);

        if (str_is_empty(name)) {
                end_challenge(k);
                return NULL;
        }
        if (msg->pair == NULL || !name_is_host(name))
                return error_new(ERROR_INVALID_ARGUMENT, "a challenge without certificate, or with a name that is no host's");
        TRY(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_NONE, .alpn = alpn }, &made));
        TRY(tls_context_add(made, msg->name, (struct tls_identity){ pb_str(msg->pair->cert_pem), pb_str(msg->pair->key_pem) }));
        end_challenge(k);
        k->challenge = made;
        made = NULL;
        return NULL;
}

static struct error *take_certificate(struct acme_link *k, const Cteleport__Internal__V1__AcmeCertificate *msg)
{
        const Cteleport__Internal__V1__HttpsKeyPair *pair = msg->pair == NULL || msg->pair->cert_pem.len == 0 ? NULL : msg->pair;

        return k->events.issued(k->events.ctx, pair);
}

/* ---- names of applications ------------------------------------------------------------------------------- */

bool acme_link_is_asked(const struct acme_link *k)
{
        return k != NULL && k->is_asked;
}

void acme_link_want(struct acme_link *k, char **names, size_t count)
{
        Cteleport__Internal__V1__AcmeWanted wanted = CTELEPORT__INTERNAL__V1__ACME_WANTED__INIT;

        if (!acme_link_is_asked(k))
                return;
        k->is_asked = false;
        wanted.names = names;
        wanted.n_names = count;
        link_service_answer(k->service, k->question, &wanted.base);
}

static void take_question(struct acme_link *k, uint32_t id)
{
        bool is_first = !k->was_asked;

        acme_link_want(k, NULL, 0); /* to an earlier question */
        k->question = id;
        k->is_asked = k->was_asked = true;
        k->events.asked(k->events.ctx, is_first);
}

/* ---- requests -------------------------------------------------------------------------------------------- */

static struct error *handle(struct acme_link *k, uint16_t verb, struct str body)
{
        bool is_app = verb == CTELEPORT__INTERNAL__V1__ACME_VERB__ACME_APP;
        AUTO_PTR(arena) arena = arena_new(REQUEST_ARENA);
        ProtobufCMessage *decoded;

        TRY(wire_decode(arena, is_app ? &cteleport__internal__v1__acme_app__descriptor : &cteleport__internal__v1__acme_certificate__descriptor, body, &decoded));
        if (is_app)
                return k->events.app(k->events.ctx, (const Cteleport__Internal__V1__AcmeApp *)decoded);
        const Cteleport__Internal__V1__AcmeCertificate *msg = (const Cteleport__Internal__V1__AcmeCertificate *)decoded;
        if (verb == CTELEPORT__INTERNAL__V1__ACME_VERB__ACME_CHALLENGE)
                return take_challenge(k, msg);
        if (verb == CTELEPORT__INTERNAL__V1__ACME_VERB__ACME_CERTIFICATE)
                return take_certificate(k, msg);
        return error_new(ERROR_UNIMPLEMENTED, "a verb that is not for the proxy");
}

static void on_requested(void *ctx, uint32_t id, uint16_t verb, struct str body)
{
        const Cteleport__Internal__V1__AcmeTaken taken = CTELEPORT__INTERNAL__V1__ACME_TAKEN__INIT;
        struct acme_link *k = ctx;

        if (verb == CTELEPORT__INTERNAL__V1__ACME_VERB__ACME_WANTED) {
                take_question(k, id);
                return;
        }
        struct error *err = handle(k, verb, body);
        if (err != NULL)
                link_service_refuse(k->service, id, err);
        else
                link_service_answer(k->service, id, &taken.base);
}

void acme_link_close(struct acme_link *k)
{
        if (k == NULL)
                return;
        link_service_free(k->service);
        k->service = NULL;
        k->is_asked = k->was_asked = false;
        end_challenge(k);
}

static void on_ended(void *ctx)
{
        acme_link_close(ctx);
}

void acme_link_use(struct acme_link *k, int fd)
{
        acme_link_close(k);
        k->service = link_service_new(k->loop, fd, on_requested, on_ended, k);
}

struct tls_context *acme_link_challenge(const struct acme_link *k)
{
        return k == NULL ? NULL : k->challenge;
}

struct acme_link *acme_link_new(struct loop *l, struct acme_link_events events)
{
        struct acme_link *k = NEW(struct acme_link);

        *k = (struct acme_link){ .loop = l, .events = events };
        return k;
}

void acme_link_free(struct acme_link *k)
{
        acme_link_close(k);
        free(k);
}
