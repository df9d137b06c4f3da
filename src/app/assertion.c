/* SPDX-License-Identifier: Apache-2.0 */
#include "app/assertion.h"

#include <stdlib.h>

#include "agent/agent.h"
#include "api.pb-c.h"
#include "base/bug.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"

struct assertion {
        struct agent *agent;
        char *connection_id, *claims, *token; /* token NULL: none yet */
        struct instant requested, renew_at, ends; /* requested: the running request, or the last one */
        bool is_requesting, is_freed;
        void (*done)(void *ctx, struct error *err); /* NULL: nobody waits */
        void *ctx;
};

struct assertion *assertion_new(struct agent *agent, const char *connection_id, const char *claims)
{
        struct assertion *a = NEW(struct assertion);

        *a = (struct assertion){ .agent = agent, .connection_id = str_dup(str_of(connection_id)), .claims = str_dup(str_of(claims)) };
        return a;
}

static void destroy(struct assertion *a)
{
        free(a->connection_id);
        free(a->claims);
        free(a->token);
        free(a);
}

void assertion_cancel(struct assertion *a)
{
        a->done = NULL;
}

void assertion_free(struct assertion *a)
{
        if (a == NULL)
                return;
        a->is_freed = true;
        assertion_cancel(a);
        if (!a->is_requesting) /* else the answer destroys it */
                destroy(a);
}

static struct instant now_of(const struct assertion *a)
{
        return loop_now(agent_loop(a->agent));
}

struct str assertion_token(const struct assertion *a)
{
        return a->token != NULL && now_of(a).ns < a->ends.ns ? str_of(a->token) : STR("");
}

/* The value becomes a field of HTTP: it has the characters of the compact form only (RFC 7515 section 7.1). */
static bool is_compact(struct str token)
{
        for (size_t i = 0; i < token.len; i++)
                if (!char_is_alnum(token.ptr[i]) && token.ptr[i] != '-' && token.ptr[i] != '_' && token.ptr[i] != '.')
                        return false;
        return token.len > 0 && token.len <= LIMIT_APP_TOKEN;
}

static struct error *keep(struct assertion *a, const Cteleport__V1__SignAppTokenResponse *answer)
{
        struct str token = str_of(answer->token);

        if (!is_compact(token) || answer->valid_seconds <= 0 || answer->valid_seconds > LIMIT_APP_TOKEN_SECONDS)
                return error_new(ERROR_INTERNAL, "the Auth Service sent a token that cannot be used");
        free(a->token);
        a->token = str_dup(token);
        a->ends = instant_add(a->requested, SECONDS(answer->valid_seconds));
        a->renew_at = instant_add(a->requested, MILLISECONDS(answer->valid_seconds * 500));
        return NULL;
}

static void finish(struct assertion *a, struct error *err)
{
        void (*done)(void *ctx, struct error *err) = a->done;

        a->is_requesting = false;
        if (a->is_freed) {
                error_free(err);
                destroy(a);
                return;
        }
        a->done = NULL;
        if (done != NULL) {
                done(a->ctx, err); /* may free it */
                return;
        }
        if (err != NULL)
                log_warn("The token for an application cannot be renewed yet", LOG_C("connection", a->connection_id), LOG_ERR(err));
        error_free(err);
}

static void on_answer(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct assertion *a = ctx;

        if (err == NULL && !a->is_freed)
                err = keep(a, (const Cteleport__V1__SignAppTokenResponse *)answer);
        finish(a, err);
}

static void on_client(void *ctx, struct rpc_client *client, struct error *err)
{
        struct assertion *a = ctx;
        Cteleport__V1__SignAppTokenRequest m = CTELEPORT__V1__SIGN_APP_TOKEN_REQUEST__INIT;

        if (err != NULL || a->is_freed) {
                finish(a, err);
                return;
        }
        m.connection_id = a->connection_id;
        m.claims = a->claims;
        rpc_client_unary(client,
                         (struct rpc_client_call_options){ .path = "/cteleport.v1.AppTokenService/Sign",
                                                           .response = &cteleport__v1__sign_app_token_response__descriptor,
                                                           .within = MILLISECONDS(TIMEOUT_RPC) },
                         &m.base, on_answer, a);
}

static void request(struct assertion *a)
{
        if (a->is_requesting)
                return;
        a->is_requesting = true;
        a->requested = now_of(a);
        agent_request_auth(a->agent, on_client, a);
}

bool assertion_await(struct assertion *a, void (*done)(void *ctx, struct error *err), void *ctx)
{
        bool is_there = !str_is_empty(assertion_token(a));

        if (!is_there) {
                if (a->done != NULL)
                        bug("a second wait for the token of a connection");
                a->done = done;
                a->ctx = ctx;
        }
        if (!is_there || now_of(a).ns >= a->renew_at.ns)
                request(a);
        return is_there;
}
