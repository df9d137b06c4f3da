/* SPDX-License-Identifier: Apache-2.0 */
#include "join/client.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "join.pb-c.h"
#include "join/binding.h"
#include "join/legacy_client.h"
#include "join/method.h"
#include "loop/conversation.h"
#include "rpc/pb.h"

enum { PUBLIC_KEY_MAX = 4 * KiB };

enum state {
        START,
        AWAIT_INIT,
        AWAIT_CHALLENGE,
        AWAIT_PROOF,
        AWAIT_RESULT,
        AWAIT_LEGACY_CHALLENGE,
        AWAIT_LEGACY_CERTS,
        AWAIT_END,
};

/* The server ends a join after a minute, so no step waits longer than that. */
static const struct conversation_state states[] = {
        [START] = { "start", SECONDS(0), TO(AWAIT_INIT) | TO(AWAIT_LEGACY_CHALLENGE) | TO(AWAIT_END) },
        [AWAIT_INIT] = { "await init", MILLISECONDS(TIMEOUT_RPC),
                         TO(AWAIT_CHALLENGE) | TO(AWAIT_RESULT) | TO(AWAIT_LEGACY_CHALLENGE) | TO(AWAIT_END) },
        [AWAIT_CHALLENGE] = { "await challenge", MILLISECONDS(TIMEOUT_RPC), TO(AWAIT_PROOF) | TO(AWAIT_END) },
        [AWAIT_PROOF] = { "await proof", MILLISECONDS(TIMEOUT_JOIN), TO(AWAIT_RESULT) | TO(AWAIT_LEGACY_CERTS) | TO(AWAIT_END) },
        /* A challenge of another round may arrive instead of the result. */
        [AWAIT_RESULT] = { "await result", MILLISECONDS(TIMEOUT_JOIN), TO(AWAIT_PROOF) | TO(AWAIT_END) },
        [AWAIT_LEGACY_CHALLENGE] = { "await legacy challenge", MILLISECONDS(TIMEOUT_RPC), TO(AWAIT_PROOF) | TO(AWAIT_END) },
        [AWAIT_LEGACY_CERTS] = { "await legacy certificates", MILLISECONDS(TIMEOUT_JOIN), TO(AWAIT_END) },
        /* The outcome is decided, by a result or by giving up; only the end of the stream is awaited. */
        [AWAIT_END] = { "await end", MILLISECONDS(TIMEOUT_JOIN_CLOSE), 0 },
};

struct join_client {
        struct loop *loop;
        struct rpc_client *client;
        const struct join_client_options *options;
        void (*done)(void *ctx, struct join_outcome *o, struct error *err);
        void *ctx;

        struct conversation at;
        struct rpc_client_call *call;    /* open until its on_done */
        const struct join_method *method; /* the method of the token; NULL before the server has sent it */
        struct join_prover prover;
        char binding[JOIN_BINDING_SIZE + 1];
        bool is_proving;                 /* the method answers a challenge */
        unsigned rounds;                 /* number of challenges received */
        bool is_legacy;
        bool is_decided;                 /* outcome or err is final; the stream and the method are ending */
        struct host_keys keys;
        bool has_proof;                  /* a proof was sent */
        uint8_t proof[JOIN_PROOF_SIZE];
        struct buf legacy_host_id;       /* host ID sent to the older service; empty with the newer service */
        struct join_outcome outcome;
        struct error *err;
};

void join_outcome_log(const struct join_outcome *o)
{
        if (o->evidence != NULL)
                o->method->log_evidence(o->evidence);
}

void join_outcome_release(struct join_outcome *o)
{
        host_identity_release(&o->identity);
        if (o->evidence != NULL)
                o->method->release_evidence(o->evidence);
        *o = (struct join_outcome){ 0 };
}

/* Ends the conversation when no callback of the stream or of the method is due. */
static void settle(struct join_client *j)
{
        if (!j->is_decided || j->call != NULL || j->is_proving)
                return;
        conversation_release(&j->at);
        if (j->err != NULL && !j->is_legacy && j->options->kept_keys != NULL && j->keys.tls.handle != NULL) {
                *j->options->kept_keys = j->keys;
                j->keys = (struct host_keys){ 0 };
        }
        host_keys_release(&j->keys);
        buf_release(&j->legacy_host_id);
        if (j->err != NULL)
                j->done(j->ctx, NULL, j->err);
        else
                j->done(j->ctx, &j->outcome, NULL);
        join_outcome_release(&j->outcome);
        free(j);
}

/* Sets the outcome, unless it is set already, and cancels the stream and the method. */
static void decide(struct join_client *j, struct error *err)
{
        if (j->is_decided) {
                error_free(err);
        } else {
                j->is_decided = true;
                j->err = err;
        }
        if (j->call != NULL)
                rpc_client_cancel(j->call);
        if (j->is_proving)
                j->method->cancel(&j->prover);
}

/* Sends the reason to the server, for its audit log, and waits for the end of the stream. */
static void give_up(struct join_client *j, Teleport__Join__V1__GivingUp__Reason reason, struct error *err)
{
        if (j->is_legacy || j->call == NULL) {
                decide(j, err);
                return;
        }
        Teleport__Join__V1__GivingUp giving_up = TELEPORT__JOIN__V1__GIVING_UP__INIT;
        Teleport__Join__V1__JoinRequest request = TELEPORT__JOIN__V1__JOIN_REQUEST__INIT;
        giving_up.reason = reason;
        giving_up.msg = err->what;
        err = error_for_default(err, REASON_REFUSED); /* this host refused: joining through another server would not help */
        request.payload_case = TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_GIVING_UP;
        request.giving_up = &giving_up;
        rpc_client_send(j->call, &request.base);
        rpc_client_half_close(j->call);
        j->is_decided = true;
        j->err = err;
        conversation_enter(&j->at, AWAIT_END);
}

static void on_expired(void *ctx)
{
        struct join_client *j = ctx;
        struct error *err = error_new(ERROR_DEADLINE_EXCEEDED, "the join got no answer in time (%s)",
                                      conversation_state_name(&j->at));
        if (j->at.state == AWAIT_PROOF && !j->is_decided)
                give_up(j, TELEPORT__JOIN__V1__GIVING_UP__REASON__REASON_CHALLENGE_SOLUTION_FAILED, j->method->not_proven(err));
        else
                decide(j, error_for(err, REASON_CONNECTION));
        if (j->is_proving)
                j->method->cancel(&j->prover);
        settle(j);
}

/* C1: the name of the token and the role. */
static void send_client_init(struct join_client *j)
{
        Teleport__Join__V1__ClientInit init = TELEPORT__JOIN__V1__CLIENT_INIT__INIT;
        Teleport__Join__V1__JoinRequest request = TELEPORT__JOIN__V1__JOIN_REQUEST__INIT;
        init.join_method = (char *)j->options->method;
        init.token_name = (char *)j->options->token_name;
        init.system_role = (char *)"Instance";
        request.payload_case = TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_CLIENT_INIT;
        request.client_init = &init;
        rpc_client_send(j->call, &request.base);
}

/* C2: the public keys and names of this host, in the message of the method. */
static struct error *send_params(struct join_client *j)
{
        AUTO_PTR(arena) arena = arena_new(PUBLIC_KEY_MAX);
        AUTO(buf) tls = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO(buf) ssh = BUF_MAX(PUBLIC_KEY_MAX);
        struct host_keys *kept = j->options->kept_keys;
        if (kept != NULL && kept->tls.handle != NULL) {
                j->keys = *kept;
                *kept = (struct host_keys){ 0 };
        } else {
                TRY(host_keys_generate(&j->keys));
        }
        TRY(key_public_der(&j->keys.tls, &tls));
        TRY(key_public_ssh(&j->keys.ssh, &ssh));

        Teleport__Join__V1__PublicKeys keys = TELEPORT__JOIN__V1__PUBLIC_KEYS__INIT;
        keys.public_tls_key = (ProtobufCBinaryData){ tls.len, (uint8_t *)tls.ptr };
        keys.public_ssh_key = (ProtobufCBinaryData){ ssh.len, (uint8_t *)ssh.ptr };
        Teleport__Join__V1__HostParams host = TELEPORT__JOIN__V1__HOST_PARAMS__INIT;
        host.public_keys = &keys;
        host.host_name = (char *)j->options->host_name;
        host.n_additional_principals = join_count_names(j->options->principals);
        host.additional_principals = (char **)j->options->principals;
        host.n_dns_names = join_count_names(j->options->dns_names);
        host.dns_names = (char **)j->options->dns_names;
        Teleport__Join__V1__ClientParams params = TELEPORT__JOIN__V1__CLIENT_PARAMS__INIT;
        params.payload_case = TELEPORT__JOIN__V1__CLIENT_PARAMS__PAYLOAD_HOST_PARAMS;
        params.host_params = &host;

        Teleport__Join__V1__JoinRequest request = TELEPORT__JOIN__V1__JOIN_REQUEST__INIT;
        j->method->put_params(&request, &params, arena);
        rpc_client_send(j->call, &request.base);
        return NULL;
}

static const struct join_prover_ops prover_ops;

static void set_method(struct join_client *j, const struct join_method *method)
{
        j->method = j->outcome.method = method;
        j->prover = (struct join_prover){ .ops = &prover_ops, .helper = j->options->helper };
}

/* S1: the method of the token. */
static void accept_init(struct join_client *j, const Teleport__Join__V1__ServerInit *init)
{
        const struct join_method *method = join_method_find(str_of(init->join_method));
        if (method == NULL) {
                AUTO_MEM char *shown = escaped(str_of(init->join_method));
                give_up(j, TELEPORT__JOIN__V1__GIVING_UP__REASON__REASON_UNSUPPORTED_JOIN_METHOD,
                        error_new(ERROR_UNIMPLEMENTED, "the token is of method '%s', which this release does not have",
                                  shown));
                return;
        }
        /* A host that is configured for one method never falls back to another, such as from a proof to a secret. */
        if (j->options->method != NULL && !str_equal(str_of(method->name), str_of(j->options->method))) {
                give_up(j, TELEPORT__JOIN__V1__GIVING_UP__REASON__REASON_UNSUPPORTED_JOIN_METHOD,
                        error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                             "the token is of method '%s', but this host is configured for '%s'",
                                             method->name, j->options->method),
                                   "set teleport.join_params.method to the method of the token"));
                return;
        }
        set_method(j, method);
        struct error *err = send_params(j);
        if (err != NULL) {
                give_up(j, TELEPORT__JOIN__V1__GIVING_UP__REASON__REASON_UNSPECIFIED, err);
                return;
        }
        conversation_enter(&j->at, method->rounds > 0 ? AWAIT_CHALLENGE : AWAIT_RESULT);
}

/* Binds the proof to this connection, these keys and these names. */
static struct error *bind_proof(const struct join_client *j, char ret[JOIN_BINDING_SIZE + 1])
{
        AUTO(buf) tls = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO(buf) ssh = BUF_MAX(PUBLIC_KEY_MAX);
        const struct join_client_options *o = j->options;
        TRY(key_public_der(&j->keys.tls, &tls));
        TRY(key_public_ssh(&j->keys.ssh, &ssh));
        join_binding_digest(&(struct join_binding){
                                    .channel = o->channel_binding,
                                    .token_name = str_of(o->token_name),
                                    .role = str_of(o->legacy_role == NULL ? "Instance" : o->legacy_role),
                                    .host_id = buf_str(&j->legacy_host_id),
                                    .host_name = str_of(o->host_name),
                                    .tls_public_key = buf_str(&tls),
                                    .ssh_public_key = buf_str(&ssh),
                                    .principals = o->principals,
                                    .principal_count = join_count_names(o->principals),
                                    .dns_names = o->dns_names,
                                    .dns_name_count = join_count_names(o->dns_names),
                            },
                            ret);
        return NULL;
}

/* C3: the proof. */
static struct error *send_solution(struct join_client *j, Teleport__Join__V1__ChallengeSolution *solution, struct str proof)
{
        sha256(proof, j->proof);
        j->has_proof = true;
        if (j->is_legacy)
                return legacy_send_request(j->call, j->options, buf_str(&j->legacy_host_id), &j->keys, proof);
        Teleport__Join__V1__JoinRequest request = TELEPORT__JOIN__V1__JOIN_REQUEST__INIT;
        request.payload_case = TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_SOLUTION;
        request.solution = solution;
        rpc_client_send(j->call, &request.base);
        return NULL;
}

static struct join_client *client_of(struct join_prover *p)
{
        return CONTAINER_OF(p, struct join_client, prover);
}

static void on_proof_failed(struct join_prover *p, struct error *err)
{
        struct join_client *j = client_of(p);

        j->is_proving = false;
        if (j->is_decided)
                error_free(err);
        else
                give_up(j, TELEPORT__JOIN__V1__GIVING_UP__REASON__REASON_CHALLENGE_SOLUTION_FAILED, j->method->not_proven(err));
        settle(j);
}

static void on_proof(struct join_prover *p, Teleport__Join__V1__ChallengeSolution *solution, struct str proof, void *evidence)
{
        struct join_client *j = client_of(p);

        if (j->outcome.evidence != NULL) /* of the previous round */
                j->method->release_evidence(j->outcome.evidence);
        j->outcome.evidence = evidence;
        struct error *err = j->is_decided ? NULL : send_solution(j, solution, proof);
        if (j->is_decided || err != NULL) {
                on_proof_failed(p, err);
                return;
        }
        j->is_proving = false;
        conversation_enter(&j->at, j->is_legacy ? AWAIT_LEGACY_CERTS : AWAIT_RESULT);
}

static const struct join_prover_ops prover_ops = { .solve = on_proof, .give_up = on_proof_failed };

static struct error *prove(struct join_client *j, const Teleport__Join__V1__Challenge *challenge)
{
        TRY(bind_proof(j, j->binding));
        j->prover.binding = str_of(j->binding);
        TRY(j->method->prove(&j->prover, challenge));
        j->is_proving = true;
        return NULL;
}

/* S2: the challenge of a round. */
static void accept_challenge(struct join_client *j, const Teleport__Join__V1__Challenge *challenge)
{
        struct error *err = prove(j, challenge);
        j->rounds++;
        if (err != NULL)
                give_up(j, TELEPORT__JOIN__V1__GIVING_UP__REASON__REASON_CHALLENGE_SOLUTION_FAILED, err);
        else
                conversation_enter(&j->at, AWAIT_PROOF);
}

static bool is_next_challenge(const struct join_client *j, const Teleport__Join__V1__JoinResponse *r)
{
        return (j->at.state == AWAIT_CHALLENGE || j->at.state == AWAIT_RESULT) && j->rounds < j->method->rounds &&
               r->payload_case == TELEPORT__JOIN__V1__JOIN_RESPONSE__PAYLOAD_CHALLENGE &&
               join_method_has_challenge(j->method, r->challenge);
}

static void refuse_answer(struct join_client *j, struct error *err)
{
        decide(j, error_for(error_wrap(err, "the cluster's answer to the join is invalid"), REASON_ANSWER));
}

/* C4, for both services: verifies the certificates of S4 before any of them is used. */
static void accept_certificates(struct join_client *j, struct host_certificates *certs, struct str host_id)
{
        const char *role = j->options->legacy_role == NULL ? "Instance" : j->options->legacy_role;
        if (j->options->pins.count > 0 && !j->options->is_auth)
                host_certificates_drop_ssh(certs); /* unverified, from a proxy: auth provides them next */
        struct error *err = host_identity_make(&j->outcome.identity, &j->keys, certs,
                                               (struct host_expectation){ .role = str_of(role), .host_id = host_id,
                                                                          .pins = j->options->pins });
        struct walltime now = loop_wall(j->loop);
        if (err == NULL) {
                j->outcome.clock_skew = host_clock_skew(j->outcome.identity.times, now);
                err = host_identity_check_times(&j->outcome.identity, now);
                if (err != NULL)
                        err = error_hint(error_wrap(err, "this host's clock is %lld seconds ahead of the cluster's",
                                                    (long long)(-duration_ms(j->outcome.clock_skew) / 1000)),
                                         "set the clock of this host, for instance with chrony");
        }
        if (err != NULL) {
                refuse_answer(j, err);
                return;
        }
        j->outcome.identity.has_join_proof = j->has_proof;
        memcpy(j->outcome.identity.join_proof, j->proof, sizeof j->proof);
        j->outcome.was_legacy = j->is_legacy;
        j->is_decided = true;
        rpc_client_half_close(j->call);
        conversation_enter(&j->at, AWAIT_END);
}

struct error *host_certificates_of(struct host_certificates *ret, const Teleport__Join__V1__Certificates *c)
{
        if (c == NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "the answer holds no certificates");
        if (c->n_tls_ca_certs > HOST_CAS_MAX || c->n_ssh_ca_keys > HOST_CAS_MAX)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the cluster sent more than %d CAs", HOST_CAS_MAX);
        *ret = (struct host_certificates){
                .tls_cert = pb_str(c->tls_cert),
                .ssh_cert = pb_str(c->ssh_cert),
                .tls_ca_count = c->n_tls_ca_certs,
                .ssh_ca_count = c->n_ssh_ca_keys,
        };
        for (size_t i = 0; i < c->n_tls_ca_certs; i++)
                ret->tls_ca_certs[i] = pb_str(c->tls_ca_certs[i]);
        for (size_t i = 0; i < c->n_ssh_ca_keys; i++)
                ret->ssh_ca_keys[i] = pb_str(c->ssh_ca_keys[i]);
        return NULL;
}

static void accept_result(struct join_client *j, const Teleport__Join__V1__Result *result)
{
        struct host_certificates certs;
        if (result->payload_case != TELEPORT__JOIN__V1__RESULT__PAYLOAD_HOST_RESULT) {
                refuse_answer(j, error_new(ERROR_INTERNAL, "it holds no host result"));
                return;
        }
        struct error *err = host_certificates_of(&certs, result->host_result->certificates);
        if (err != NULL)
                refuse_answer(j, err);
        else
                accept_certificates(j, &certs, str_of(result->host_result->host_id));
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct join_client *j = ctx;
        const Teleport__Join__V1__JoinResponse *r = (const Teleport__Join__V1__JoinResponse *)msg;
        if (j->is_decided)
                return;
        if (j->at.state == AWAIT_INIT && r->payload_case == TELEPORT__JOIN__V1__JOIN_RESPONSE__PAYLOAD_INIT)
                accept_init(j, r->init);
        else if (is_next_challenge(j, r))
                accept_challenge(j, r->challenge);
        else if (j->at.state == AWAIT_RESULT &&
                 r->payload_case == TELEPORT__JOIN__V1__JOIN_RESPONSE__PAYLOAD_RESULT)
                accept_result(j, r->result);
        else
                give_up(j, TELEPORT__JOIN__V1__GIVING_UP__REASON__REASON_UNSUPPORTED_MESSAGE_TYPE,
                        error_for(error_new(ERROR_INTERNAL, "the cluster sent an unexpected message (%s)",
                                            conversation_state_name(&j->at)), REASON_ANSWER));
}

static void on_legacy_message(void *ctx, const ProtobufCMessage *msg)
{
        struct join_client *j = ctx;
        AUTO_PTR(arena) arena = arena_new(LIMIT_RPC_JOIN);
        const Teleport__Join__V1__Challenge *challenge = legacy_read_challenge(arena, msg);
        struct host_certificates certs;
        bool has_certs = false;
        if (j->is_decided)
                return;
        if (j->at.state == AWAIT_LEGACY_CHALLENGE && challenge != NULL) {
                struct error *err = host_keys_generate(&j->keys);
                if (err != NULL)
                        decide(j, err);
                else
                        accept_challenge(j, challenge);
                return;
        }
        struct error *err = j->at.state == AWAIT_LEGACY_CERTS ? legacy_read_certs(arena, msg, &certs, &has_certs) : NULL;
        if (err != NULL)
                refuse_answer(j, err);
        else if (has_certs)
                accept_certificates(j, &certs, str_of(j->options->legacy_host_id));
        else
                decide(j, error_for(error_new(ERROR_INTERNAL, "the cluster sent an unexpected message (%s)",
                                              conversation_state_name(&j->at)), REASON_ANSWER));
}

static void open_legacy(struct join_client *j);

static bool is_in_older_service(const struct join_client *j)
{
        const struct join_method *method = j->options->method == NULL ? NULL : join_method_find(str_of(j->options->method));
        return method != NULL && method->is_in_older_service;
}

static void on_done(void *ctx, struct error *err)
{
        struct join_client *j = ctx;
        j->call = NULL;
        if (j->is_decided) {
                error_free(err);
        } else if (err == NULL) {
                decide(j, error_for(error_new(ERROR_UNAVAILABLE, "the cluster ended the join without a result (%s)",
                                              conversation_state_name(&j->at)), REASON_CONNECTION));
        } else if (err->code == ERROR_UNIMPLEMENTED && !error_is_for(err, REASON_CONNECTION) && j->at.state == AWAIT_INIT && is_in_older_service(j)) {
                error_free(err);
                open_legacy(j);
        } else {
                decide(j, err);
        }
        settle(j);
}

static const struct rpc_client_events join_events = { .on_message = on_message, .on_done = on_done };
static const struct rpc_client_events legacy_events = { .on_message = on_legacy_message, .on_done = on_done };

/* The server of the older service sends the first message, so this only opens the stream. */
static void open_legacy(struct join_client *j)
{
        j->is_legacy = true;
        if (j->options->legacy_host_id != NULL)
                buf_put_c(&j->legacy_host_id, j->options->legacy_host_id);
        else
                random_uuid(&j->legacy_host_id);
        conversation_enter(&j->at, AWAIT_LEGACY_CHALLENGE);
        set_method(j, legacy_method());
        j->call = legacy_call(j->client, &legacy_events, j);
}

static void open_join(struct join_client *j)
{
        conversation_enter(&j->at, AWAIT_INIT);
        j->call = rpc_client_call(j->client,
                                  (struct rpc_client_call_options){
                                          .path = "/teleport.join.v1.JoinService/Join",
                                          .response = &teleport__join__v1__join_response__descriptor,
                                          .response_max = LIMIT_RPC_JOIN,
                                          .within = MILLISECONDS(TIMEOUT_JOIN),
                                  },
                                  &join_events, j);
        send_client_init(j);
}

static void settle_later(void *ctx)
{
        settle(ctx);
}

struct join_client *join_client_start(struct loop *l, struct rpc_client *client,
                                      const struct join_client_options *options,
                                      void (*done)(void *ctx, struct join_outcome *o, struct error *err), void *ctx)
{
        struct join_client *j = NEW(struct join_client);
        *j = (struct join_client){
                .loop = l, .client = client, .options = options, .done = done, .ctx = ctx,
                .legacy_host_id = BUF_MAX(LIMIT_NAME),
        };
        conversation_init(&j->at, l, states, START, on_expired, j);
        if (options->trust == JOIN_TRUST_NONE) {
                /* Invariant C3: an unverified server gets no proof, since it could use it. */
                decide(j, error_new(ERROR_UNAUTHENTICATED, "the server was not verified as one of the cluster"));
                loop_defer(l, settle_later, j);
        } else if (options->legacy_role != NULL) {
                open_legacy(j);
        } else {
                open_join(j);
        }
        return j;
}

void join_client_cancel(struct join_client *j)
{
        struct error *err = error_new(ERROR_CANCELLED, "the join was cancelled");
        if (j->is_decided && j->err == NULL) {
                j->err = err; /* the stream of a received result is still closing: the result is dropped */
                err = NULL;
        }
        decide(j, err);
}
