/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/admin/request.h"

#include <stdlib.h>
#include <string.h>

#include "auth/admin/admin.h"
#include "auth/users/directory.h"
#include "base/bug.h"
#include "base/mem.h"
#include "rpc/wire.h"

/* ---- the life of a request ------------------------------------------------------------------------------ */

void admin_init(struct auth *a)
{
        a->requests.total = LIMIT_REQUESTS_MEMORY;
        a->requests.share = LIMIT_REQUESTS_MEMORY_IDENTITY;
        a->urgent_requests.total = a->urgent_requests.share = LIMIT_REQUESTS_MEMORY_RESERVE;
}

static void admin_free(struct admin_request *q)
{
        if (q->charged > 0)
                budget_unreserve(q->memory, q->charged);
        budget_drop(q->memory);
        buf_release(&q->caller);
        arena_free(q->arena);
        free(q);
}

static void release_work(void *ctx)
{
        struct admin_request *q = ctx;

        q->work.release(q->work.ctx);
        admin_free(q);
}

static void on_gone(void *ctx)
{
        struct admin_request *q = ctx;

        q->call = NULL;
        job_cancel(q->work.job, release_work);
}

static void do_work(void *ctx)
{
        const struct admin_request *q = ctx;

        q->work.work(q->work.ctx);
}

static void on_worked(void *ctx)
{
        struct admin_request *q = ctx;

        q->work.job = NULL;
        q->work.done(q->work.ctx);
}

/* ---- memory of pending requests -------------------------------------------------------------------------------- */

struct error *admin_charge(struct admin_request *q)
{
        size_t now = sizeof *q + q->caller.len + arena_reserved(q->arena);

        if (q->memory == NULL || now <= q->charged)
                return NULL;
        if (!budget_reserve(q->memory, now - q->charged))
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "too many requests are running"), "try again in a few seconds");
        q->charged = now;
        return NULL;
}

/* Deletions and locks have a budget of their own: a user who is to be locked cannot block them by other requests. */
static bool is_urgent(const char *path)
{
        const char *slash = strrchr(path, '/');
        struct str name = str_of(slash == NULL ? path : slash + 1);

        return str_starts_with(name, STR("Delete")) || str_contains(name, STR("Lock"));
}

static struct error *charge_to(struct admin_request *q, struct budget *b, const struct caller *caller)
{
        budget_drop(q->memory);
        q->memory = b->total == 0 ? NULL : budget_hold(b, str_of(caller->identity == NULL ? caller->role : caller->identity));
        return admin_charge(q);
}

void admin_work(struct admin_request *q, void (*work)(void *ctx), void (*done)(void *ctx), void (*release)(void *ctx), void *ctx)
{
        struct error *err = admin_charge(q);

        if (err != NULL) {
                release(ctx);
                admin_fail(q, err);
                return;
        }
        q->work = (struct admin_work){ NULL, work, done, release, ctx };
        q->work.job = loop_job(&q->auth->loop, do_work, on_worked, q);
        if (q->call == NULL) /* the caller has gone already */
                job_cancel(q->work.job, release_work);
}

static const struct rpc_call_events call_events = { .on_gone = on_gone };

struct admin_request *admin_begin(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct caller *caller = rpc_call_caller(call);
        struct admin_request *q = NEW(struct admin_request);
        ProtobufCMessage *copy = NULL;

        q->auth = caller->auth;
        q->call = call;
        q->arena = arena_new(ADMIN_ARENA);
        q->caller = BUF_MAX(1 * KiB);
        q->user = arena_str(q->arena, str_of(caller->user));
        caller_describe(caller, &q->caller);
        /* The message was decoded into an arena of LIMIT_RPC_MEMORY_FACTOR times LIMIT_RPC, so it fits into this larger one. */
        struct error *err = wire_copy(q->arena, first, &copy);
        if (err != NULL)
                bug("a message that was read once cannot be read again: %s", err->what);
        q->message = copy;
        err = charge_to(q, &q->auth->requests, caller);
        if (err != NULL && is_urgent(rpc_call_method(call)->path)) {
                error_free(err);
                err = charge_to(q, &q->auth->urgent_requests, caller);
        }
        if (err != NULL) {
                rpc_call_finish(call, err);
                admin_free(q);
                return NULL;
        }
        rpc_call_listen(call, &call_events, q);
        return q;
}

struct error *admin_user(const struct admin_request *q, struct access_user *ret)
{
        return directory_access_user(q->auth->directory, q->user, q->arena, ret);
}

void admin_reply(struct admin_request *q, const ProtobufCMessage *answer)
{
        struct error *err = arena_check(q->arena, "the answer");

        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        if (q->call != NULL)
                rpc_call_reply(q->call, answer);
        admin_free(q);
}

void admin_fail(struct admin_request *q, struct error *err)
{
        if (q->call != NULL)
                rpc_call_finish(q->call, err);
        else
                error_free(err);
        admin_free(q);
}
