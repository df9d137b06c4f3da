/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "auth/join/attempt.h"
#include "auth/core/caller.h"
#include "auth/hosts/hosts.h"
#include "auth/certs/issue.h"
#include "auth/join/service.h"
#include "base/mem.h"
#include "base/reader.h"
#include "base/text.h"
#include "join_legacy.pb-c.h"
#include "pki/cert.h"
#include "rpc/pb.h"

/*
 * The older join service, which has one join method. The server sends the challenge first. The client sends one message with all
 * its fields, the keys as text: PEM and authorized_keys lines.
 */
struct legacy {
        struct rpc_call *call;
        struct auth *auth;
        struct attempt *attempt;
        const Proto__RegisterUsingIAMMethodRequest *request; /* in the call's arena */
};

static void legacy_free(struct legacy *l)
{
        attempt_release(l->attempt);
        free(l);
}

static void on_token(void *ctx, const struct join_method *method)
{
        struct legacy *l = ctx;
        const Proto__RegisterUsingTokenRequest *r = l->request->register_using_token_request;
        struct attempt_params p = {
                .host_name = str_of(r->nodename),
                .tls_public_key = pb_str(r->publictlskey),
                .ssh_public_key = pb_str(r->publicsshkey),
                .is_legacy_form = true,
                .principals = r->additionalprincipals,
                .principal_count = r->n_additionalprincipals,
                .dns_names = r->dnsnames,
                .dns_name_count = r->n_dnsnames,
                .method = method->name,
        };

        attempt_params(l->attempt, &p);
        if (!attempt_awaits_proof(l->attempt))
                return;
        Teleport__Join__V1__IAMChallengeSolution iam = TELEPORT__JOIN__V1__IAMCHALLENGE_SOLUTION__INIT;
        Teleport__Join__V1__ChallengeSolution solution = TELEPORT__JOIN__V1__CHALLENGE_SOLUTION__INIT;
        iam.sts_identity_request = l->request->sts_identity_request;
        solution.payload_case = TELEPORT__JOIN__V1__CHALLENGE_SOLUTION__PAYLOAD_IAM_CHALLENGE_SOLUTION;
        solution.iam_challenge_solution = &iam;
        attempt_proof(l->attempt, &solution);
}

static void on_challenge(void *ctx, Teleport__Join__V1__Challenge *challenge)
{
        struct legacy *l = ctx;
        Proto__RegisterUsingIAMMethodResponse response = PROTO__REGISTER_USING_IAMMETHOD_RESPONSE__INIT;

        response.challenge = challenge->iam_challenge->challenge;
        rpc_call_send(l->call, &response.base);
}

static ProtobufCBinaryData keep(struct arena *arena, const struct buf *b)
{
        struct str copy = arena_str(arena, buf_str(b));

        return pb_bytes(copy);
}

static ProtobufCBinaryData pem_of(struct arena *arena, ProtobufCBinaryData der)
{
        AUTO(buf) pem = BUF_MAX(64 * KiB);

        cert_der_to_pem(pb_str(der), &pem);
        return keep(arena, &pem);
}

/* "algorithm base64": the algorithm is the first string of the wire form (RFC 4253 section 6.6). */
static ProtobufCBinaryData line_of(struct arena *arena, ProtobufCBinaryData wire)
{
        AUTO(buf) line = BUF_MAX(64 * KiB);
        struct reader r = reader_over(pb_str(wire));

        buf_put(&line, reader_ssh_string(&r, 64));
        buf_put_char(&line, ' ');
        base64_encode(&line, pb_str(wire));
        buf_put_char(&line, '\n');
        return keep(arena, &line);
}

static void send_certs(struct legacy *l, const struct attempt_result *result)
{
        Proto__RegisterUsingIAMMethodResponse response = PROTO__REGISTER_USING_IAMMETHOD_RESPONSE__INIT;
        Proto__Certs certs = PROTO__CERTS__INIT;
        Teleport__Join__V1__Certificates all;
        struct arena *arena = rpc_call_arena(l->call);

        issue_fill_certificates(l->auth, result->certs, arena, &all);
        issue_keep_issuer(&all);
        certs.tls = pem_of(arena, all.tls_cert);
        if (all.ssh_cert.len > 0) /* only role Node has one */
                certs.ssh = line_of(arena, all.ssh_cert);
        certs.tlscacerts = arena_alloc(arena, all.n_tls_ca_certs * sizeof *certs.tlscacerts);
        for (size_t i = 0; i < all.n_tls_ca_certs; i++)
                certs.tlscacerts[certs.n_tlscacerts++] = pem_of(arena, all.tls_ca_certs[i]);
        certs.sshcacerts = arena_alloc(arena, all.n_ssh_ca_keys * sizeof *certs.sshcacerts);
        for (size_t i = 0; i < all.n_ssh_ca_keys; i++)
                certs.sshcacerts[certs.n_sshcacerts++] = line_of(arena, all.ssh_ca_keys[i]);
        response.certs = &certs;
        rpc_call_send(l->call, &response.base);
}

static void on_done(void *ctx, const struct attempt_result *result, struct error *err)
{
        struct legacy *l = ctx;

        if (err == NULL)
                send_certs(l, result);
        rpc_call_finish(l->call, err);
        legacy_free(l);
}

static const struct attempt_events attempt_events = { on_token, on_challenge, on_done };

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct legacy *l = ctx;
        const struct caller *caller = rpc_call_caller(l->call);
        ProtobufCMessage *copy = NULL;
        struct error *err = l->request == NULL ? wire_copy(rpc_call_arena(l->call), msg, &copy) : NULL;

        error_free(err);
        if (copy == NULL || ((Proto__RegisterUsingIAMMethodRequest *)copy)->register_using_token_request == NULL) {
                attempt_unexpected(l->attempt, "a second message, or one without a request");
                return;
        }
        l->request = (const Proto__RegisterUsingIAMMethodRequest *)copy;
        const Proto__RegisterUsingTokenRequest *r = l->request->register_using_token_request;
        /* RemoteAddr is used only if the caller is a Proxy Service. */
        if (caller->groups & CALLER_PROXY)
                attempt_forwarded(l->attempt, str_of(r->remoteaddr), rpc_call_metadata(l->call, "version"),
                                  pb_str(r->channel_binding));
        if (str_is_empty(str_of(r->hostid)))
                attempt_unexpected(l->attempt, "a request without a host ID");
        else
                attempt_init(l->attempt, str_of(r->token), str_of(r->role), STR("iam"), str_of(r->hostid));
}

static void on_half_close(void *ctx)
{
        struct legacy *l = ctx;

        if (l->request == NULL)
                attempt_unexpected(l->attempt, "the end of the stream");
}

static void on_gone(void *ctx)
{
        legacy_free(ctx);
}

static const struct rpc_call_events call_events = { on_message, on_half_close, on_gone };

void join_legacy_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct caller *caller = rpc_call_caller(call);
        struct legacy *l = NEW(struct legacy);

        (void)first;
        l->call = call;
        l->auth = caller->auth;
        l->attempt = attempt_new(caller, rpc_call_metadata(call, "version"), &attempt_events, l);
        rpc_call_listen(call, &call_events, l);
        attempt_offer(l->attempt, join_method_find(STR("iam")));
}
