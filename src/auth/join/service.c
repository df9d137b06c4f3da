/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/join/service.h"

#include <stdlib.h>

#include "auth/join/attempt.h"
#include "auth/core/caller.h"
#include "auth/certs/issue.h"
#include "base/mem.h"
#include "base/text.h"
#include "rpc/pb.h"

struct join {
        struct rpc_call *call;
        struct auth *auth;
        struct attempt *attempt;
};

static void join_free(struct join *j)
{
        attempt_release(j->attempt);
        free(j);
}

/* ---- messages to the client ---------------------------------------------------------------- */

/* S1: the method of the token. */
static void on_token(void *ctx, const struct join_method *method)
{
        struct join *j = ctx;
        Teleport__Join__V1__JoinResponse response = TELEPORT__JOIN__V1__JOIN_RESPONSE__INIT;
        Teleport__Join__V1__ServerInit init = TELEPORT__JOIN__V1__SERVER_INIT__INIT;

        init.join_method = pb_text(method->name);
        init.signature_algorithm_suite = pb_text("balanced-v1");
        response.payload_case = TELEPORT__JOIN__V1__JOIN_RESPONSE__PAYLOAD_INIT;
        response.init = &init;
        rpc_call_send(j->call, &response.base);
}

/* S2: the challenge of a round. */
static void on_challenge(void *ctx, Teleport__Join__V1__Challenge *challenge)
{
        struct join *j = ctx;
        Teleport__Join__V1__JoinResponse response = TELEPORT__JOIN__V1__JOIN_RESPONSE__INIT;

        response.payload_case = TELEPORT__JOIN__V1__JOIN_RESPONSE__PAYLOAD_CHALLENGE;
        response.challenge = challenge;
        rpc_call_send(j->call, &response.base);
}

/* S4: the certificates. */
static void send_result(struct join *j, const struct attempt_result *result)
{
        Teleport__Join__V1__JoinResponse response = TELEPORT__JOIN__V1__JOIN_RESPONSE__INIT;
        Teleport__Join__V1__Result body = TELEPORT__JOIN__V1__RESULT__INIT;
        Teleport__Join__V1__HostResult host = TELEPORT__JOIN__V1__HOST_RESULT__INIT;
        Teleport__Join__V1__Certificates certificates;

        issue_fill_certificates(j->auth, result->certs, rpc_call_arena(j->call), &certificates);
        issue_keep_issuer(&certificates);
        host.certificates = &certificates;
        host.host_id = pb_text(result->host_id.ptr);
        body.payload_case = TELEPORT__JOIN__V1__RESULT__PAYLOAD_HOST_RESULT;
        body.host_result = &host;
        response.payload_case = TELEPORT__JOIN__V1__JOIN_RESPONSE__PAYLOAD_RESULT;
        response.result = &body;
        rpc_call_send(j->call, &response.base);
}

static void on_done(void *ctx, const struct attempt_result *result, struct error *err)
{
        struct join *j = ctx;

        if (err == NULL)
                send_result(j, result);
        rpc_call_finish(j->call, err);
        join_free(j);
}

static const struct attempt_events attempt_events = { on_token, on_challenge, on_done };

/* ---- messages from the client --------------------------------------------------------------------- */

static void on_client_init(struct join *j, const Teleport__Join__V1__ClientInit *init)
{
        const struct caller *caller = rpc_call_caller(j->call);
        bool sends_forwarded = init->forwarded_by_proxy || init->proxy_supplied_parameters != NULL;

        /* A proxy always forwards for a joining host, and only a proxy may: its identity is never that of the joining host. */
        if (sends_forwarded && !(caller->groups & CALLER_PROXY)) {
                attempt_unexpected(j->attempt, "a claim to be a Proxy Service");
                return;
        }
        if (sends_forwarded && init->proxy_supplied_parameters != NULL)
                attempt_forwarded(j->attempt, str_of(init->proxy_supplied_parameters->remote_addr),
                                  str_of(init->proxy_supplied_parameters->client_version),
                                  str_of_bytes(init->proxy_supplied_parameters->channel_binding.data,
                                               init->proxy_supplied_parameters->channel_binding.len));
        attempt_init(j->attempt, str_of(init->token_name), str_of(init->system_role), str_of(init->join_method), (struct str){ 0 });
}

static void on_host_params(struct join *j, const Teleport__Join__V1__ClientParams *params, const struct join_method *method)
{
        const Teleport__Join__V1__HostParams *host =
                params != NULL && params->payload_case == TELEPORT__JOIN__V1__CLIENT_PARAMS__PAYLOAD_HOST_PARAMS ? params->host_params : NULL;

        if (host == NULL || host->public_keys == NULL) {
                attempt_unexpected(j->attempt, "a message without the host's parameters");
                return;
        }
        struct attempt_params p = {
                .host_name = str_of(host->host_name),
                .tls_public_key = pb_str(host->public_keys->public_tls_key),
                .ssh_public_key = pb_str(host->public_keys->public_ssh_key),
                .principals = host->additional_principals,
                .principal_count = host->n_additional_principals,
                .dns_names = host->dns_names,
                .dns_name_count = host->n_dns_names,
                .method = method->name,
        };
        attempt_params(j->attempt, &p);
}

/* C2: the parameters, in the message of a method, which must be the method of the token. */
static void on_params(struct join *j, const Teleport__Join__V1__JoinRequest *request)
{
        const struct join_method *method = attempt_method(j->attempt);
        const Teleport__Join__V1__ClientParams *params = method == NULL ? NULL : method->params_of(request);

        if (params == NULL)
                method = join_method_of_params(request, &params);
        if (method == NULL)
                attempt_unexpected(j->attempt, "a message of a join method that this release does not support");
        else
                on_host_params(j, params, method);
}

static void on_giving_up(struct join *j, const Teleport__Join__V1__GivingUp *giving_up)
{
        static const char *const reasons[] = { "unspecified", "unsupported join method", "unsupported message", "challenge not solved" };
        size_t reason = (size_t)giving_up->reason < ARRAY_LEN(reasons) ? (size_t)giving_up->reason : 0;

        attempt_give_up(j->attempt, reasons[reason], str_of(giving_up->msg));
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct join *j = ctx;
        const Teleport__Join__V1__JoinRequest *request = (const Teleport__Join__V1__JoinRequest *)msg;

        switch (request->payload_case) {
        case TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_CLIENT_INIT:
                on_client_init(j, request->client_init);
                break;
        case TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_SOLUTION:
                attempt_proof(j->attempt, request->solution);
                break;
        case TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_GIVING_UP:
                on_giving_up(j, request->giving_up);
                break;
        default:
                on_params(j, request);
        }
}

static void on_half_close(void *ctx)
{
        struct join *j = ctx;

        if (attempt_withdraw(j->attempt)) { /* a client that only tests whether joins are served: `teleport debug connect` */
                rpc_call_finish(j->call, NULL);
                join_free(j);
        } else if (attempt_awaits_message(j->attempt))
                attempt_unexpected(j->attempt, "the end of the stream");
}

static void on_gone(void *ctx)
{
        join_free(ctx);
}

static const struct rpc_call_events call_events = { on_message, on_half_close, on_gone };

void join_service_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct caller *caller = rpc_call_caller(call);
        struct join *j = NEW(struct join);

        (void)first;
        j->call = call;
        j->auth = caller->auth;
        j->attempt = attempt_new(caller, rpc_call_metadata(call, "version"), &attempt_events, j);
        rpc_call_listen(call, &call_events, j);
}
