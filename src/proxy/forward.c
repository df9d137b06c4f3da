/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/forward.h"

#include <stdio.h>
#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "join.pb-c.h"
#include "join/legacy.h"
#include "proxy/proxy.h"
#include "rpc/pb.h"

/*
 * A host sends three or four messages in a join. MESSAGES_MAX also limits the memory of one join, even if auth is
 * slow: LIMIT_RPC_JOIN for each message.
 */
enum { MESSAGES_MAX = 8 };

/* Number of the field that the proxy completes: client_init of JoinRequest, in the older service the token request. */
enum { COMPLETED_FIELD = 1 };

/* One forwarded call. Freed when the call to auth is done and the call of the host is finished or gone. */
struct forward {
        struct proxy *proxy;
        struct rpc_call *down;       /* from the host; NULL once finished or gone */
        struct rpc_client_call *up;  /* to auth; NULL once done */
        /* Forwards a message of the host to auth; refuses messages with fields that a host must not set. */
        struct error *(*pass)(struct forward *f, const ProtobufCMessage *msg);
        struct admitted admitted;    /* counted by its source (SOURCE_JOINS), in proxy->joins */
        size_t messages;
        struct timer *penalty;
        struct error *verdict;       /* is sent after the penalty */
        char peer[ADDRESS_TEXT_MAX];
        char version[VERSION_TEXT_MAX]; /* of the client */
};

static void forward_free(struct forward *f)
{
        if (f->down != NULL || f->up != NULL)
                return;
        admission_leave(&f->admitted);
        timer_free(f->penalty);
        error_free(f->verdict);
        free(f);
}

static void finish(struct forward *f, struct error *err)
{
        struct rpc_call *down = f->down;
        f->down = NULL;
        if (down != NULL)
                rpc_call_finish(down, err);
        else
                error_free(err);
        if (f->up != NULL)
                rpc_client_cancel(f->up);
        forward_free(f);
}

/* ---- refusals -------------------------------------------------------------------------------------- */

static void on_penalty_over(void *ctx)
{
        struct forward *f = ctx;
        struct error *verdict = f->verdict;
        f->verdict = NULL;
        finish(f, verdict);
}

/* Delays the refusal if its source is refused often; successful joins are not delayed. Only the first verdict counts. */
static void refuse(struct forward *f, struct error *err)
{
        if (f->verdict != NULL) {
                error_free(err);
                return;
        }
        struct duration wait = sources_failed(&f->proxy->sources, f->peer, loop_now(&f->proxy->loop));
        if (f->down == NULL || wait.ns == 0) {
                finish(f, err);
                return;
        }
        f->verdict = err;
        f->penalty = timer_new(&f->proxy->loop, on_penalty_over, f);
        timer_start(f->penalty, wait);
}

/* ---- from auth to the host ------------------------------------------------------------------------- */

/* Answers are forwarded unchanged: the host verifies them, independent of the sender. */
static void on_up_bytes(void *ctx, struct str message)
{
        struct forward *f = ctx;
        if (f->down != NULL)
                rpc_call_send_bytes(f->down, message);
}

static void on_up_done(void *ctx, struct error *err)
{
        struct forward *f = ctx;
        f->up = NULL;
        if (f->down == NULL) {
                error_free(err);
                forward_free(f);
        } else if (f->verdict != NULL || (err != NULL && sources_is_refusal(err))) {
                refuse(f, err);
        } else {
                finish(f, err);
        }
}

static const struct rpc_client_events up_events = { .on_bytes = on_up_bytes, .on_done = on_up_done };

/* ---- from the host to auth ------------------------------------------------------------------------- */

/* The bytes are valid as long as the connection of the host. */
static ProtobufCBinaryData channel_binding_of(const struct forward *f)
{
        struct forward_peer *peer = rpc_call_caller(f->down);
        return (ProtobufCBinaryData){ peer->has_channel_binding ? sizeof peer->channel_binding : 0, peer->channel_binding };
}

static struct error *spoofed(void)
{
        return error_new(ERROR_INVALID_ARGUMENT, "a joining host may not set fields of a proxy");
}

/* P1: the proxy sets the fields that only it knows, and refuses a message in which the host set them. */
static struct error *pass_join(struct forward *f, const ProtobufCMessage *msg)
{
        Teleport__Join__V1__JoinRequest request = *(const Teleport__Join__V1__JoinRequest *)msg;
        if (request.payload_case != TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_CLIENT_INIT) {
                rpc_client_send(f->up, &request.base);
                return NULL;
        }
        Teleport__Join__V1__ClientInit init = *request.client_init;
        if (init.forwarded_by_proxy || init.proxy_supplied_parameters != NULL)
                return spoofed();
        Teleport__Join__V1__ClientInit__ProxySuppliedParameters supplied =
                TELEPORT__JOIN__V1__CLIENT_INIT__PROXY_SUPPLIED_PARAMETERS__INIT;
        supplied.remote_addr = pb_text(rpc_call_peer(f->down));
        supplied.client_version = f->version;
        supplied.channel_binding = channel_binding_of(f);
        init.forwarded_by_proxy = true;
        init.proxy_supplied_parameters = &supplied;
        request.client_init = &init;
        rpc_client_send(f->up, &request.base);
        return NULL;
}

static struct error *pass_legacy(struct forward *f, const ProtobufCMessage *msg)
{
        Proto__RegisterUsingIAMMethodRequest request = *(const Proto__RegisterUsingIAMMethodRequest *)msg;
        Proto__RegisterUsingTokenRequest token;
        if (request.register_using_token_request != NULL) {
                token = *request.register_using_token_request;
                token.remoteaddr = pb_text(rpc_call_peer(f->down));
                token.channel_binding = channel_binding_of(f);
                request.register_using_token_request = &token;
        }
        rpc_client_send(f->up, &request.base);
        return NULL;
}

/* Counts a message. false: it is refused, or the call to auth has ended. */
static bool may_pass(struct forward *f)
{
        if (f->up == NULL || f->verdict != NULL)
                return false;
        if (++f->messages <= MESSAGES_MAX)
                return true;
        refuse(f, error_new(ERROR_INVALID_ARGUMENT, "a join has no more than %d messages", MESSAGES_MAX));
        return false;
}

static void on_down_message(void *ctx, const ProtobufCMessage *msg)
{
        struct forward *f = ctx;
        if (!may_pass(f))
                return;
        struct error *err = f->pass(f, msg);
        if (err != NULL)
                refuse(f, err);
}

/*
 * A message that has one known field only, and not the field that the proxy completes, is forwarded undecoded: auth checks it.
 * All others are decoded here.
 */
static bool on_down_bytes(void *ctx, struct str message)
{
        struct forward *f = ctx;
        unsigned field = wire_only_field(message);
        if (field == COMPLETED_FIELD || protobuf_c_message_descriptor_get_field(rpc_call_method(f->down)->request, field) == NULL)
                return false;
        if (may_pass(f))
                rpc_client_send_bytes(f->up, message);
        return true;
}

static void on_down_half_close(void *ctx)
{
        struct forward *f = ctx;
        if (f->up != NULL)
                rpc_client_half_close(f->up);
}

static void on_down_gone(void *ctx)
{
        struct forward *f = ctx;
        f->down = NULL;
        if (f->penalty != NULL)
                timer_stop(f->penalty);
        if (f->up != NULL)
                rpc_client_cancel(f->up);
        forward_free(f);
}

static const struct rpc_call_events down_events = {
        .on_message = on_down_message, .on_half_close = on_down_half_close, .on_gone = on_down_gone, .on_bytes = on_down_bytes,
};

static void end_for_another(void *ctx, struct admitted *a)
{
        (void)ctx;
        finish(CONTAINER_OF(a, struct forward, admitted),
               error_hint(error_for(error_new(ERROR_RESOURCE_EXHAUSTED, "too many joins are running, and this one was ended in favour of another"), REASON_REFUSED),
                          "the host tries again by itself"));
}

/* Logins are counted with joins, but are never ended for others: they are short. */
static bool may_end(void *ctx, const struct admitted *a)
{
        (void)ctx;
        return !a->is_fixed;
}

static bool count_request(struct proxy *p, struct admitted *a, const char *peer)
{
        p->joins.loop = &p->loop;
        p->joins.sources = &p->sources;
        p->joins.counter = SOURCE_JOINS;
        p->joins.end = end_for_another;
        p->joins.may_end = may_end;
        return admission_enter(&p->joins, a, peer) == ADMISSION_GRANTED;
}

static void open_stream(struct rpc_call *call, const char *path, const ProtobufCMessageDescriptor *response,
                        struct error *(*pass)(struct forward *f, const ProtobufCMessage *msg))
{
        const struct forward_peer *peer = rpc_call_caller(call);
        struct rpc_client *auth = upstream_client(peer->proxy->upstream);
        if (auth == NULL) {
                rpc_call_finish(call, upstream_absence(peer->proxy->upstream));
                return;
        }
        struct forward *f = NEW(struct forward);
        *f = (struct forward){ .proxy = peer->proxy, .down = call, .pass = pass };
        snprintf(f->peer, sizeof f->peer, "%s", rpc_call_peer(call));
        if (!count_request(peer->proxy, &f->admitted, f->peer)) {
                free(f);
                rpc_call_finish(call, error_hint(error_for(error_new(ERROR_RESOURCE_EXHAUSTED, "too many joins are running"), REASON_REFUSED),
                                                 "the host tries again by itself"));
                return;
        }
        version_text(f->version, rpc_call_metadata(call, "version"));
        f->up = rpc_client_call(auth,
                                (struct rpc_client_call_options){
                                        .path = path,
                                        .response = response,
                                        .response_max = LIMIT_RPC_JOIN,
                                        .within = MILLISECONDS(TIMEOUT_JOIN),
                                        .client_version = f->version,
                                },
                                &up_events, f);
        rpc_call_listen(call, &down_events, f);
}

static void open_join(struct rpc_call *call, const ProtobufCMessage *first)
{
        (void)first;
        open_stream(call, "/teleport.join.v1.JoinService/Join", &teleport__join__v1__join_response__descriptor, pass_join);
}

static void open_legacy(struct rpc_call *call, const ProtobufCMessage *first)
{
        (void)first;
        open_stream(call, JOIN_LEGACY_PATH, JOIN_LEGACY_RESPONSE, pass_legacy);
}

/* ---- unary calls ------------------------------------------------------------------------------------- */

struct unary {
        struct proxy *proxy;
        struct rpc_call *down;       /* NULL: the client is gone */
        struct admitted admitted;    /* logins only */
        char peer[ADDRESS_TEXT_MAX];
};

static void on_unary_gone(void *ctx)
{
        struct unary *u = ctx;
        u->down = NULL;
}

static void on_unary_answer(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct unary *u = ctx;
        if (u->admitted.admission != NULL && err == NULL)
                sources_note_authenticated(&u->proxy->sources, u->peer);
        admission_leave(&u->admitted);
        if (u->down == NULL)
                error_free(err);
        else if (err != NULL)
                rpc_call_finish(u->down, err);
        else
                rpc_call_reply(u->down, answer);
        free(u);
}

static const struct rpc_call_events unary_events = { .on_gone = on_unary_gone };

static void pass_unary(struct rpc_call *call, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
                       bool is_counted)
{
        const struct forward_peer *peer = rpc_call_caller(call);
        struct rpc_client *auth = upstream_client(peer->proxy->upstream);
        if (auth == NULL) {
                rpc_call_finish(call, upstream_absence(peer->proxy->upstream));
                return;
        }
        struct unary *u = NEW(struct unary);
        *u = (struct unary){ .down = call, .proxy = peer->proxy };
        snprintf(u->peer, sizeof u->peer, "%s", rpc_call_peer(call));
        if (is_counted && !count_request(peer->proxy, &u->admitted, u->peer)) {
                free(u);
                rpc_call_finish(call, error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "too many logins are running"),
                                                 "try again in a few seconds"));
                return;
        }
        u->admitted.is_fixed = true;
        rpc_call_listen(call, &unary_events, u);
        rpc_client_unary(auth,
                         (struct rpc_client_call_options){
                                 .path = rpc_call_method(call)->path,
                                 .response = response,
                                 .within = MILLISECONDS(TIMEOUT_RPC),
                         },
                         request, on_unary_answer, u);
}

static void open_ping(struct rpc_call *call, const ProtobufCMessage *first)
{
        pass_unary(call, first, &cteleport__v1__ping_response__descriptor, false);
}

/* Sets the address of the user as the proxy sees it; a value in the request is overwritten. */
static void open_login(struct rpc_call *call, const ProtobufCMessage *first)
{
        Cteleport__V1__LoginRequest request = *(const Cteleport__V1__LoginRequest *)first;
        request.remote_addr = pb_text(rpc_call_peer(call));
        pass_unary(call, &request.base, &cteleport__v1__login_response__descriptor, true);
}

/* ---- the table ------------------------------------------------------------------------------------- */

static const struct rpc_method method_join = {
        .path = "/teleport.join.v1.JoinService/Join",
        .request = &teleport__join__v1__join_request__descriptor,
        .request_max = LIMIT_RPC_JOIN,
        .is_client_stream = true,
        .open = open_join,
};
static const struct rpc_method method_legacy = {
        .path = JOIN_LEGACY_PATH,
        .request = JOIN_LEGACY_REQUEST,
        .request_max = LIMIT_RPC_JOIN,
        .is_client_stream = true,
        .open = open_legacy,
};
static const struct rpc_method method_login = {
        .path = "/cteleport.v1.LoginService/Login",
        .request = &cteleport__v1__login_request__descriptor,
        .request_max = LIMIT_RPC_JOIN,
        .open = open_login,
};
static const struct rpc_method method_ping = {
        .path = "/cteleport.v1.PingService/Ping",
        .request = &cteleport__v1__empty__descriptor,
        .request_max = LIMIT_RPC_JOIN,
        .open = open_ping,
};

const struct rpc_method *const forward_methods[] = { &method_join, &method_legacy, &method_login, &method_ping, NULL };

struct error *forward_guard(void *caller, const struct rpc_method *method)
{
        (void)caller;
        (void)method;
        return NULL;
}
