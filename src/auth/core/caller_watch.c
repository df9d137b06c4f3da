/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/caller_watch.h"

#include <stdlib.h>

#include "auth/core/auth.h"
#include "auth/core/caller.h"
#include "auth/hosts/tunnels_service.h"
#include "auth/users/directory.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/rpc.h"

struct caller_watch {
        struct auth *auth;
        struct directory_watch *directory;
        struct timer *locked_nodes;   /* until the connections of locked nodes are closed */
        uint64_t locks_written;       /* as of the last check of tunnels */
        struct timer *expiry; /* until the next certificate of a connection expires, or sooner */
        struct walltime next_expiry;
};

/* ---- expired certificates -------------------------------------------------------------------------------- */

/* The wall clock may be set: the timer runs for PACE_EXPIRY_CHECK at most, then the expiry is checked again. */
void caller_watch_expiry(struct caller_watch *w, struct walltime end)
{
        struct duration wait = walltime_since(end, loop_wall(&w->auth->loop));

        if (timer_is_running(w->expiry) && end.ns >= w->next_expiry.ns)
                return;
        w->next_expiry = end;
        if (wait.ns > MILLISECONDS(PACE_EXPIRY_CHECK).ns)
                wait = MILLISECONDS(PACE_EXPIRY_CHECK);
        timer_start(w->expiry, wait.ns < MILLISECONDS(1).ns ? MILLISECONDS(1) : wait);
}

/* Closes connections whose certificate has expired. A client with a newer certificate connects again. */
static void on_expiry(void *ctx)
{
        struct caller_watch *w = ctx;
        struct walltime now = loop_wall(&w->auth->loop), next = { 0 };

        for (struct caller *c = w->auth->callers; c != NULL; c = c->next) {
                if (c->conn == NULL || c->cert_not_after.ns == 0)
                        continue;
                if (c->cert_not_after.ns > now.ns) {
                        if (next.ns == 0 || c->cert_not_after.ns < next.ns)
                                next = c->cert_not_after;
                        continue;
                }
                log_info("The certificate that opened a connection has ended, the connection is closed", LOG_C("host_id", c->host_id),
                         LOG_C("user", c->user), LOG_C("role", c->role), LOG_C("remote_addr", c->peer));
                rpc_server_close(c->conn);
                c->cert_not_after.ns = 0; /* do not close it twice */
        }
        if (next.ns != 0)
                caller_watch_expiry(w, next);
}

/* ---- users without permission --------------------------------------------------------------------------------------- */

static void on_locked_nodes(void *ctx)
{
        bool has_nodes;

        callers_drop_refused(((struct caller_watch *)ctx)->auth, true, &has_nodes);
}

static void on_directory_changed(void *ctx)
{
        struct caller_watch *w = ctx;
        bool has_nodes = false;

        callers_drop_refused(w->auth, false, &has_nodes);
        if (has_nodes && !timer_is_running(w->locked_nodes))
                timer_start(w->locked_nodes, MILLISECONDS(PACE_LOCKED_NODE));
        if (w->locks_written == directory_locks_written(w->auth->directory))
                return;
        w->locks_written = directory_locks_written(w->auth->directory);
        tunnels_recheck(w->auth);
}

/* ---- new and free ----------------------------------------------------------------------------------------- */

struct caller_watch *caller_watch_new(struct auth *a)
{
        struct caller_watch *w = NEW(struct caller_watch);

        w->auth = a;
        w->expiry = timer_new(&a->loop, on_expiry, w);
        w->locks_written = directory_locks_written(a->directory);
        w->locked_nodes = timer_new(&a->loop, on_locked_nodes, w);
        w->directory = directory_watch(a->directory, on_directory_changed, w);
        return w;
}

void caller_watch_free(struct caller_watch *w)
{
        if (w == NULL)
                return;
        directory_unwatch(w->directory);
        timer_free(w->locked_nodes);
        tunnels_forget_locked(w->auth);
        timer_free(w->expiry);
        free(w);
}
