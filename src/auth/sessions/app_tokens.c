/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/sessions/app_tokens.h"

#include <stdlib.h>

#include "api.pb-c.h"
#include "auth/core/auth.h"
#include "auth/core/caller.h"
#include "auth/sessions/sessions.h"
#include "auth/users/decision.h"
#include "base/mem.h"
#include "services/services.h"

void app_token_keys_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *caller = rpc_call_caller(call);
        const Cteleport__Internal__V1__Authority *jwt = caller->auth->authorities.jwt;
        Cteleport__V1__AppTokenKeys response = CTELEPORT__V1__APP_TOKEN_KEYS__INIT;

        (void)first;
        if (jwt->n_jwt_keys == 0) {
                rpc_call_finish(call, error_hint(error_new(ERROR_UNAVAILABLE, "there is no CA for tokens of applications yet"),
                                               "the log of the Auth Service's start has the reason"));
                return;
        }
        response.keys = jwt->jwt_keys;
        response.n_keys = jwt->n_jwt_keys;
        rpc_call_reply(call, &response.base);
}

/* ---- signing ---------------------------------------------------------------------------------------------------- */

/* The signer answers in a few milliseconds; after this time it counts as hanging. */
#define SIGNER_TIMEOUT SECONDS(5)

enum { SIGNING_ARENA = 4 * LIMIT_STORE_VALUE };

struct signing {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the host is gone */
        struct arena *arena;
        struct str host_id;    /* of the caller */
        bool with_roles, with_traits; /* claims that the application gets */
        const Cteleport__State__V1__Connection *connection;
};

static void finish(struct signing *s, struct error *err)
{
        if (s->call != NULL)
                rpc_call_finish(s->call, err);
        else
                error_free(err);
        arena_free(s->arena);
        free(s);
}

static void on_gone(void *ctx)
{
        struct signing *s = ctx;

        s->call = NULL; /* an answer of the store or the signer is under way */
}

static const struct rpc_call_events call_events = { .on_gone = on_gone };

static void on_token(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct signing *s = ctx;
        const Cteleport__Internal__V1__AppToken *token = (const Cteleport__Internal__V1__AppToken *)answer;
        Cteleport__V1__SignAppTokenResponse response = CTELEPORT__V1__SIGN_APP_TOKEN_RESPONSE__INIT;

        if (err != NULL || s->call == NULL) {
                finish(s, err);
                return;
        }
        response.token = token->token;
        response.valid_seconds = token->not_after - walltime_unix(loop_wall(&s->auth->loop));
        rpc_call_reply(s->call, &response.base);
        s->call = NULL;
        finish(s, NULL);
}

static void put_roles(Cteleport__Internal__V1__AppTokenRequest *m, struct arena *arena, const struct access_user *user)
{
        m->roles = arena_alloc(arena, (user->role_count + 1) * sizeof *m->roles);
        for (size_t i = 0; i < user->role_count; i++)
                m->roles[m->n_roles++] = user->roles[i]->metadata->name;
}

static void put_traits(Cteleport__Internal__V1__AppTokenRequest *m, struct arena *arena, const Cteleport__V1__User *user)
{
        const Cteleport__V1__UserSpec *spec = user->spec;

        if (spec == NULL)
                return;
        m->traits = arena_alloc(arena, (spec->n_traits + 1) * sizeof *m->traits);
        for (size_t i = 0; i < spec->n_traits; i++) {
                Cteleport__Internal__V1__AppTokenTrait *trait = arena_alloc(arena, sizeof *trait);

                cteleport__internal__v1__app_token_trait__init(trait);
                trait->name = spec->traits[i]->key;
                if (spec->traits[i]->value != NULL) {
                        trait->values = spec->traits[i]->value->values;
                        trait->n_values = spec->traits[i]->value->n_values;
                }
                m->traits[m->n_traits++] = trait;
        }
}

/* The user may use the application at this moment. */
static struct error *request_token(struct signing *s, const struct node *host)
{
        Cteleport__Internal__V1__AppTokenRequest m = CTELEPORT__INTERNAL__V1__APP_TOKEN_REQUEST__INIT;
        const Cteleport__State__V1__Connection *c = s->connection;
        struct access_session may;
        struct access_user user;

        TRY(decision_check_app(s->auth->directory, str_of(c->user), str_of(c->resource), host, s->arena, &user, &may));
        m.user = c->user;
        m.uri = c->resource_uri;
        m.not_after = c->cert_ends;
        if (s->with_roles)
                put_roles(&m, s->arena, &user);
        if (s->with_traits)
                put_traits(&m, s->arena, directory_user(s->auth->directory, str_of(c->user), NULL));
        auth_request(s->auth, s->auth->signer, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_APP_TOKEN, &m.base,
                     &cteleport__internal__v1__app_token__descriptor, SIGNER_TIMEOUT, on_token, s);
        return NULL;
}

static void on_host(void *ctx, const struct node *host, struct error *err)
{
        struct signing *s = ctx;

        if (err == NULL && s->auth->is_stopping)
                err = error_new(ERROR_UNAVAILABLE, "the Auth Service is stopping");
        else if (err == NULL && host == NULL)
                err = error_new(ERROR_UNAVAILABLE, "this host does not announce itself to the cluster now");
        if (err == NULL)
                err = request_token(s, host);
        if (err != NULL)
                finish(s, err);
}

static struct error *take_connection(struct signing *s, const struct state_record *record)
{
        Cteleport__State__V1__Connection *c;

        if (record == NULL)
                return error_new(ERROR_NOT_FOUND, "the cluster does not know this connection");
        TRY(connection_read(s->arena, record, &c));
        if (!str_equal(str_of(c->host_id), s->host_id))
                return error_new(ERROR_PERMISSION_DENIED, "the connection was not made to this host");
        if (strcmp(c->kind, "app") != 0)
                return error_new(ERROR_PERMISSION_DENIED, "the connection is not one of an application");
        if (!c->is_accepted || !session_has_report_stream(s->auth->sessions, str_of(c->connection_id)))
                return error_new(ERROR_FAILED_PRECONDITION, "no user is logged in on the connection");
        TRY(host_pace_take(&s->auth->app_tokens_connection, str_of(c->connection_id), loop_now(&s->auth->loop)));
        s->connection = c;
        return NULL;
}

static void on_connection(void *ctx, const struct state_record *record, struct error *err)
{
        struct signing *s = ctx;

        if (err == NULL)
                err = take_connection(s, record);
        if (err != NULL)
                finish(s, err);
        else
                node_find(s->auth, s->host_id, on_host, s);
}

/* An unknown value, of a later release, gives no claims. */
static void set_claims(struct signing *s, struct str claims)
{
        bool has_all = str_is_empty(claims) || str_equal(claims, STR("roles-and-traits"));

        s->with_roles = has_all || str_equal(claims, STR("roles"));
        s->with_traits = has_all || str_equal(claims, STR("traits"));
}

void app_token_sign_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *caller = rpc_call_caller(call);
        const Cteleport__V1__SignAppTokenRequest *request = (const Cteleport__V1__SignAppTokenRequest *)first;
        struct str id = str_of(request->connection_id);

        if (caller->role[0] != '\0' && !services_offers(str_of(caller->role), "app")) { /* a link on this machine has no certificate */
                rpc_call_finish(call, error_new(ERROR_PERMISSION_DENIED, "only an Application Service requests tokens for applications"));
                return;
        }
        if (!name_is_session(id)) {
                rpc_call_finish(call, error_new(ERROR_INVALID_ARGUMENT, "a connection without a proper name"));
                return;
        }
        struct error *err = host_pace_take(&caller->auth->app_tokens, str_of(caller->host_id), loop_now(&caller->auth->loop));
        if (err != NULL) {
                rpc_call_finish(call, err);
                return;
        }
        struct signing *s = NEW(struct signing);
        *s = (struct signing){ .auth = caller->auth, .call = call, .arena = arena_new(SIGNING_ARENA) };
        s->host_id = arena_str(s->arena, str_of(caller->host_id));
        set_claims(s, str_of(request->claims));
        rpc_call_listen(call, &call_events, s);
        state_get(s->auth->store, &connection_kind, id, on_connection, s);
}
