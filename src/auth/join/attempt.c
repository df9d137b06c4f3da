/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/join/attempt.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/join/attempt_internal.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/sources.h"
#include "pki/key.h"

/*
 * The steps of an attempt, in order. attempt_request.c has those up to the parameters of the host, attempt_proof.c those of the
 * proof, attempt_decision.c the later ones. The function that ends a step has its name: attempt_init(), attempt_params() or
 * attempt_proof() for a step that waits for a message of the host, else a callback (on_find_token(), on_verify_proof() …).
 *
 * The whole attempt may take TIMEOUT_JOIN. The timeout of each step prevents that one step uses all of it.
 */
static const struct conversation_state steps[] = {
        [AWAIT_INIT] = { "await init", SECONDS(60), TO(FIND_TOKEN) | TO(DONE) | TO(FAILING) },
        [FIND_TOKEN] = { "find token", SECONDS(15), TO(AWAIT_PARAMS) | TO(FIND_RECORDS) | TO(FAILING) },
        [AWAIT_PARAMS] = { "await params", SECONDS(60), TO(AWAIT_PROOF) | TO(FIND_RECORDS) | TO(FAILING) },
        [AWAIT_PROOF] = { "await proof", SECONDS(60), TO(VERIFY_PROOF) | TO(AWAIT_PROOF) | TO(FIND_RECORDS) | TO(FAILING) },
        [VERIFY_PROOF] = { "verify proof", SECONDS(50), TO(AWAIT_PROOF) | TO(FIND_RECORDS) | TO(FAILING) },
        [FIND_RECORDS] = { "find records", SECONDS(15), TO(SIGN) | TO(COMMIT) | TO(FAILING) },
        [SIGN] = { "sign", SECONDS(10), TO(COMMIT) | TO(FAILING) },
        [COMMIT] = { "commit", SECONDS(15), TO(FIND_TOKEN) | TO(DONE) | TO(FAILING) },
        [FAILING] = { "failing", { 0 }, TO(DONE) },
        [DONE] = { "done", { 0 }, 0 },
};

const char *attempt_step_name(const struct attempt *at)
{
        if (at->at.state == VERIFY_PROOF && at->method->server_step != NULL)
                return at->method->server_step;
        return conversation_state_name(&at->at);
}

/* ---- end of the attempt ------------------------------------------------------------------------- */

static void free_now(struct attempt *at)
{
        token_found_release(&at->token);
        conversation_release(&at->at);
        timer_free(at->deadline);
        timer_free(at->penalty);
        error_free(at->failure);
        arena_free(at->arena);
        free(at);
}

static void on_failing(void *ctx)
{
        struct attempt *at = ctx;

        at->is_waiting = false;
        if (at->is_released) {
                free_now(at);
                return;
        }
        struct error *err = at->failure;
        at->failure = NULL;
        conversation_enter(&at->at, DONE);
        at->events->on_done(at->ctx, NULL, err);
}

void attempt_fail(struct attempt *at, const char *check, struct error *err)
{
        admission_leave(&at->admitted);
        if (err->code != ERROR_UNAVAILABLE && err->code != ERROR_DEADLINE_EXCEEDED)
                err = error_for_default(err, REASON_REFUSED);
        attempt_report_refusal(at, check, err);
        timer_stop(at->deadline);
        conversation_enter(&at->at, FAILING);
        AUTO_MEM char *hint = err->hint == NULL ? NULL : str_dup(str_of(err->hint));
        at->failure = error_hint(err, "%s%s(request %s)", hint == NULL ? "" : hint, hint == NULL ? "" : " ", at->request_id);
        at->is_waiting = true;
        struct duration wait = { 0 };
        /* Proxies count the refusals that they forward. Only auth knows of a verification without an answer, and counts it. */
        if ((!at->is_forwarded && sources_is_refusal(at->failure)) || at->verifier.found.is_process_silent)
                wait = sources_failed(at->auth->sources, at->peer, loop_now(&at->auth->loop));
        if (wait.ns == 0) {
                loop_defer(&at->auth->loop, on_failing, at);
                return;
        }
        at->penalty = timer_new(&at->auth->loop, on_failing, at);
        timer_start(at->penalty, wait);
}

void attempt_end_for_another(struct attempt *at)
{
        attempt_fail(at, "load", error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "too many joins are running, and this one was ended in favour of another"),
                                    "the agent tries again by itself"));
}

bool attempt_admit(struct attempt *at)
{
        struct error *err = attempt_enter(at);

        if (err != NULL)
                attempt_fail(at, "load", err);
        return err == NULL;
}

bool attempt_resume(struct attempt *at)
{
        at->is_waiting = false;
        if (!at->is_released && !at->is_expired && at->out_of_turn == NULL)
                return true;
        if (at->is_released)
                free_now(at);
        else if (at->out_of_turn != NULL)
                attempt_fail(at, "order", error_new(ERROR_INVALID_ARGUMENT, "%s was not expected (at: %s)", at->out_of_turn,
                                            attempt_step_name(at)));
        else
                attempt_fail(at, "deadline", error_hint(error_new(ERROR_DEADLINE_EXCEEDED, "joining took longer than %d seconds (it was at: %s)",
                                                          TIMEOUT_JOIN / 1000, attempt_step_name(at)),
                                                "the agent tries again by itself"));
        return false;
}

static void on_deadline(void *ctx)
{
        struct attempt *at = ctx;

        if (at->at.state == FAILING || at->at.state == DONE)
                return;
        at->is_expired = true;
        if (!at->is_waiting)
                attempt_resume(at);
}

void attempt_release(struct attempt *at)
{
        if (at == NULL)
                return;
        if (at->at.state != DONE && at->at.state != FAILING) {
                AUTO_PTR(error) err = error_new(ERROR_CANCELLED, "the joining host disconnected (step: %s)",
                                                attempt_step_name(at));

                attempt_report_refusal(at, "aborted", err);
        }
        admission_leave(&at->admitted);
        at->is_released = true;
        if (!at->is_waiting)
                free_now(at);
        else
                timer_stop(at->deadline);
}

/* ---- beginning ------------------------------------------------------------------------------------ */

struct attempt *attempt_new(const struct caller *caller, struct str client_version, const struct attempt_events *events, void *ctx)
{
        struct auth *a = caller->auth;
        struct attempt *at = NEW(struct attempt);
        uint8_t id[8];
        AUTO(buf) hex = BUF_MAX(32);

        at->auth = a;
        at->events = events;
        at->ctx = ctx;
        at->arena = arena_new(ATTEMPT_ARENA);
        snprintf(at->peer, sizeof at->peer, "%s", caller->peer);
        at->channel_binding = arena_str(at->arena, str_of_bytes(caller->channel_binding, sizeof caller->channel_binding));
        at->client_version = arena_str(at->arena, str_slice(client_version, 0, 64));
        random_bytes(id, sizeof id);
        hex_encode(&hex, str_of_bytes(id, sizeof id));
        snprintf(at->request_id, sizeof at->request_id, "%s", buf_c(&hex));
        at->started = loop_now(&a->loop);
        attempt_proof_init(at);
        conversation_init(&at->at, &a->loop, steps, AWAIT_INIT, on_deadline, at);
        at->deadline = timer_new(&a->loop, on_deadline, at);
        timer_start(at->deadline, MILLISECONDS(TIMEOUT_JOIN));
        if ((caller->groups & CALLER_PROXY) == 0) /* a forwarded join is counted later, for the address of its host */
                (void)attempt_admit(at);
        return at;
}

void attempt_forwarded(struct attempt *at, struct str remote_addr, struct str client_version, struct str channel_binding)
{
        static const uint8_t none[TLS_CHANNEL_BINDING_SIZE]; /* zeros: the binding of no connection */
        AUTO_MEM char *addr = escaped(str_slice(remote_addr, 0, ADDRESS_TEXT_MAX - 1));

        if (at->at.state != AWAIT_INIT)
                return; /* the peer is counted already and must not change */
        at->is_forwarded = true;
        if (channel_binding.len != sizeof none)
                channel_binding = str_of_bytes(none, sizeof none);
        at->channel_binding = arena_str(at->arena, channel_binding);
        at->has_bad_peer = strlen(addr) >= sizeof at->peer || remote_addr.len >= ADDRESS_TEXT_MAX;
        snprintf(at->peer, sizeof at->peer, "%s", at->has_bad_peer ? "?" : addr);
        at->client_version = arena_str(at->arena, str_slice(client_version, 0, 64));
}

/* ---- unexpected messages ------------------------------------------------------------------------------ */

void attempt_unexpected(struct attempt *at, const char *what)
{
        if (at->at.state == FAILING || at->at.state == DONE)
                return;
        /* While an answer is due, the message is only noted; attempt_resume() then fails the attempt. */
        if (at->is_waiting) {
                at->out_of_turn = what;
                return;
        }
        attempt_fail(at, "order", error_new(ERROR_INVALID_ARGUMENT, "%s was not expected (expected: %s)", what,
                                    attempt_step_name(at)));
}

bool attempt_withdraw(struct attempt *at)
{
        if (at->at.state != AWAIT_INIT || at->is_waiting)
                return false;
        timer_stop(at->deadline);
        conversation_enter(&at->at, DONE);
        return true;
}

void attempt_give_up(struct attempt *at, const char *reason, struct str message)
{
        AUTO_MEM char *shown = escaped(message);

        if (at->is_waiting || at->at.state == AWAIT_INIT || at->at.state == DONE) {
                attempt_unexpected(at, "GivingUp");
                return;
        }
        attempt_fail(at, "client", error_new(ERROR_ABORTED, "the joining host gave up (%s): %s", reason, shown));
}
