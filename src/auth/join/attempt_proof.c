/* SPDX-License-Identifier: Apache-2.0 */
/* The steps AWAIT_PROOF and VERIFY_PROOF of an attempt, once for each round of the join method. */
#include <string.h>

#include "auth/join/attempt_internal.h"
#include "base/bug.h"
#include "base/mem.h"

static struct attempt *attempt_of(struct join_verifier *v)
{
        return CONTAINER_OF(v, struct attempt, verifier);
}

/* ---- calls of the join method --------------------------------------------------------------------------------- */

/* S2: sends the challenge of a round. The older service sends the first one before any message of the host. */
static void send_challenge(struct join_verifier *v, Teleport__Join__V1__Challenge *challenge)
{
        struct attempt *at = attempt_of(v);

        if (at->rounds++ == at->method->rounds)
                bug("a join method has more rounds than its row says");
        if (at->at.state != AWAIT_INIT)
                conversation_enter(&at->at, AWAIT_PROOF);
        at->events->on_challenge(at->ctx, challenge);
}

static void accept_proof(struct join_verifier *v)
{
        struct attempt *at = attempt_of(v);

        at->is_decided = true;
        attempt_decide(at);
}

static void refuse_proof(struct join_verifier *v, const char *check, struct error *err)
{
        attempt_fail(attempt_of(v), check, err);
}

static void on_verify_proof(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct attempt *at = ctx;

        if (attempt_resume(at))
                at->on_answer(&at->verifier, answer, err);
        else
                error_free(err);
}

/* The link to the server process of the method; NULL while that process does not run. */
static struct link *process_of(const struct attempt *at)
{
        return strcmp(at->method->server_process, "sts") == 0 ? at->auth->sts : NULL;
}

static void request_process(struct join_verifier *v, uint16_t verb, const ProtobufCMessage *query,
                            const ProtobufCMessageDescriptor *answer_type, struct duration within,
                            void (*on_answer)(struct join_verifier *v, const ProtobufCMessage *answer, struct error *err))
{
        struct attempt *at = attempt_of(v);

        conversation_enter(&at->at, VERIFY_PROOF);
        at->is_waiting = true;
        at->on_answer = on_answer;
        auth_request(at->auth, process_of(at), verb, query, answer_type, within, on_verify_proof, at);
}

static const struct join_verifier_ops verifier_ops = { send_challenge, accept_proof, refuse_proof, request_process };

/* ---- calls of the attempt ---------------------------------------------------------------------------------------- */

void attempt_proof_init(struct attempt *at)
{
        at->verifier.ops = &verifier_ops;
        at->verifier.loop = &at->auth->loop;
        at->verifier.arena = at->arena;
        at->verifier.settings = &at->auth->join_settings;
}

void attempt_offer(struct attempt *at, const struct join_method *method)
{
        if (at->at.state != AWAIT_INIT)
                return;
        at->method = at->verifier.method = method;
        method->begin(&at->verifier);
}

void attempt_begin_proof(struct attempt *at)
{
        at->verifier.binding = str_of(at->proof_binding);
        if (at->method->rounds == 0)
                accept_proof(&at->verifier);
        else if (at->rounds == 0)
                at->method->begin(&at->verifier);
        else /* the challenge was sent before */
                conversation_enter(&at->at, AWAIT_PROOF);
}

void attempt_proof(struct attempt *at, const Teleport__Join__V1__ChallengeSolution *solution)
{
        if (at->at.state != AWAIT_PROOF || at->is_waiting) {
                attempt_unexpected(at, "the answer to the challenge");
                return;
        }
        if (!join_method_has_solution(at->method, solution)) {
                attempt_unexpected(at, "an answer to another challenge");
                return;
        }
        source_of(str_of(at->peer), at->source_text);
        at->verifier.source = at->source_text;
        at->method->verify(&at->verifier, solution);
}

const struct join_method *attempt_method(const struct attempt *at)
{
        return at->method;
}

bool attempt_awaits_proof(const struct attempt *at)
{
        return at->at.state == AWAIT_PROOF;
}

bool attempt_awaits_message(const struct attempt *at)
{
        return at->at.state == AWAIT_INIT || at->at.state == AWAIT_PARAMS || at->at.state == AWAIT_PROOF ||
               (at->at.state == FIND_TOKEN && !at->is_decided);
}
