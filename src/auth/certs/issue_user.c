/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/certs/issue_user.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "rpc/pb.h"

enum { REQUEST_ARENA = 64 * KiB };

/* The signer answers in less than a millisecond; after this time it counts as hanging. */
#define SIGNER_TIMEOUT SECONDS(5)

struct pending {
        void (*done)(void *ctx, const Cteleport__Internal__V1__UserCerts *certs, struct error *err);
        void *ctx;
        const struct loop *loop;
        struct instant began;
};

static void on_certs(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct pending *request = ctx;

        metric_observe_at(METRIC_GENERATE_SECONDS, 0, instant_since(loop_now(request->loop), request->began));
        request->done(request->ctx, (const Cteleport__Internal__V1__UserCerts *)answer, err);
        free(request);
}

static char *text_to_c(struct arena *arena, struct str s)
{
        return pb_text(arena_str(arena, s).ptr); /* arena_str ends in NUL; names hold none */
}

static char **texts_to_c(struct arena *arena, const struct str *texts, size_t count)
{
        char **list = arena_alloc(arena, (count + 1) * sizeof *list);

        for (size_t i = 0; i < count; i++)
                list[i] = text_to_c(arena, texts[i]);
        return list;
}

void issue_user(struct auth *a, const struct issue_user_request *request,
                void (*done)(void *ctx, const Cteleport__Internal__V1__UserCerts *certs, struct error *err), void *ctx)
{
        Cteleport__Internal__V1__UserCertRequest m = CTELEPORT__INTERNAL__V1__USER_CERT_REQUEST__INIT;
        AUTO_PTR(arena) arena = arena_new(REQUEST_ARENA);
        struct pending *pending = NEW(struct pending);

        pending->done = done;
        pending->ctx = ctx;
        pending->loop = &a->loop;
        pending->began = loop_now(&a->loop);
        metric_count(METRIC_GENERATE_REQUESTS, "", "");
        m.user = text_to_c(arena, request->user);
        m.roles = texts_to_c(arena, request->roles, request->role_count);
        m.n_roles = request->role_count;
        m.logins = texts_to_c(arena, request->logins, request->login_count);
        m.n_logins = request->login_count;
        m.tls_public_key = pb_bytes(request->tls_public_key);
        m.ssh_public_key = pb_bytes(request->ssh_public_key);
        m.ttl_seconds = request->ttl.ns / SECONDS(1).ns;
        m.permit_port_forwarding = request->permit_port_forwarding;
        m.permit_agent_forwarding = request->permit_agent_forwarding;
        m.web_session = text_to_c(arena, request->web_session);
        m.app = text_to_c(arena, request->app);
        m.app_secret = text_to_c(arena, request->app_secret);
        m.reason = pb_text(request->reason);
        auth_request(a, a->signer, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_USER, &m.base,
                 &cteleport__internal__v1__user_certs__descriptor, SIGNER_TIMEOUT, on_certs, pending);
}
