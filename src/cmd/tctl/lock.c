/* SPDX-License-Identifier: Apache-2.0 */
/* tctl lock: ends the live sessions of a user, role, login or host, and refuses new ones. */
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/kinds.h"
#include "cmd/tctl/users_shared.h"
#include "resource/lock.h"
#include "rpc/pb.h"

const struct flag lock_flags[] = {
        { "user", 0, FLAG_TEXT, .value = "NAME", .help = "Lock this user" },
        { "role", 0, FLAG_TEXT, .value = "NAME", .help = "Lock all users with this role; Node or Proxy: the hosts of this role" },
        { "login", 0, FLAG_TEXT, .value = "NAME", .help = "Lock this account on all nodes" },
        { "node", 0, FLAG_TEXT, .value = "NAME", .help = "Lock the node of this host name or host ID" },
        { "server-id", 0, FLAG_TEXT, .value = "ID", .help = "Lock the host of this ID" },
        { "join-arn", 0, FLAG_TEXT, .value = "ARN", .help = "Lock the hosts that joined with this AWS identity (* and ? allowed)" },
        { "aws-account", 0, FLAG_TEXT, .value = "NUMBER", .help = "Lock the hosts that joined from this AWS account" },
        { "message", 0, FLAG_TEXT, .value = "TEXT", .help = "Message for the users that it affects" },
        { "expires", 0, FLAG_TEXT, .value = "TIME", .help = "Time when it ends (RFC 3339); default: never" },
        { "ttl", 0, FLAG_TEXT, .value = "DURATION", .help = "Lifetime, instead of --expires" },
        { NULL },
};

static struct error *take_target(const struct flags *given, Cteleport__V1__LockTarget *target)
{
        const struct {
                const char *flag;
                char **field;
        } rows[] = {
                { "user", &target->user }, { "role", &target->role },           { "login", &target->login },
                { "node", &target->node }, { "server-id", &target->server_id }, { "join-arn", &target->join_arn },
                { "aws-account", &target->aws_account },
        };
        size_t count = 0;

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                *rows[i].field = pb_text(flags_text(given, rows[i].flag));
                if (*rows[i].field != NULL)
                        count++;
        }
        if (count == 1)
                return NULL;
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, count == 0 ? "nothing to lock is named" : "a lock has one target only"),
                          "give exactly one of --user, --role, --login, --node, --server-id, --join-arn and --aws-account");
}

/* Parses the end of the lock; *ret_seconds 0: the lock never expires. */
static struct error *take_end(const struct flags *given, struct walltime now, int64_t *ret_seconds)
{
        const char *expires = flags_text(given, "expires"), *ttl = flags_text(given, "ttl");
        struct walltime end = { 0 };
        struct duration span = { 0 };

        *ret_seconds = 0;
        if (expires != NULL && ttl != NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--expires and --ttl are both given"), "give one of them");
        if (expires == NULL && ttl == NULL)
                return NULL;
        if (expires != NULL) {
                struct error *err = walltime_parse_rfc3339(str_of(expires), &end);

                if (err != NULL)
                        return error_hint(error_wrap(err, "--expires"), "write it like 2026-01-31T23:59:59Z");
        } else {
                TRY(flags_parse_duration("ttl", ttl, &span));
                if (span.ns > HOURS(10 * 366 * 24).ns)
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--ttl is longer than ten years"),
                                          "a lock without --ttl does not end");
                end = walltime_add(now, span);
        }
        if (end.ns <= now.ns)
                return error_new(ERROR_INVALID_ARGUMENT, "the lock would have ended already");
        *ret_seconds = walltime_unix(end);
        return NULL;
}

struct error *lock_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        Cteleport__V1__Lock lock = CTELEPORT__V1__LOCK__INIT;
        Cteleport__V1__LockSpec spec = CTELEPORT__V1__LOCK_SPEC__INIT;
        Cteleport__V1__LockTarget target = CTELEPORT__V1__LOCK_TARGET__INIT;
        Cteleport__V1__Timestamp expires = CTELEPORT__V1__TIMESTAMP__INIT;
        bool was_there = false;

        (void)ctx;
        TRY(take_target(given, &target));
        TRY(take_end(given, clock_wall(clock_system()), &expires.seconds));
        TRY(session_open(&s, given));
        lock.spec = &spec;
        spec.target = &target;
        spec.message = pb_text(flags_text(given, "message"));
        spec.expires = expires.seconds == 0 ? NULL : &expires;
        lock_name(&lock, s.arena);
        TRY(lock_check(&lock));
        TRY(kind_write(&s, kind_of(&lock.base), &lock.base, (struct kind_put){ .must_be_new = true }, &was_there));
        printf("Created a lock with name \"%s\".\n", lock.metadata->name);
        return NULL;
}
