/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/caller.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "base/mem.h"
#include "rpc/rpc.h"

void caller_describe(const struct caller *c, struct buf *out)
{
        if (c->groups & CALLER_ADMIN)
                buf_printf(out, "admin (uid %u)", c->uid);
        else if (c->groups & (CALLER_HOST | CALLER_PROXY))
                buf_printf(out, "%s %s", c->role, c->host_id);
        else
                buf_put_c(out, "stranger");
}

struct caller *caller_new(struct auth *a, unsigned groups, struct str host_id, struct str role, const char *peer)
{
        struct caller *c = NEW(struct caller);

        c->auth = a;
        c->since = loop_now(&a->loop);
        c->groups = groups | CALLER_STRANGER;
        c->host_id = str_dup(host_id);
        c->role = str_dup(role);
        snprintf(c->peer, sizeof c->peer, "%s", peer);
        c->next = a->callers;
        c->at = &a->callers;
        if (c->next != NULL)
                c->next->at = &c->next;
        a->callers = c;
        return c;
}

void caller_free(struct caller *c)
{
        if (c == NULL)
                return;
        *c->at = c->next;
        if (c->next != NULL)
                c->next->at = c->at;
        free(c->host_id);
        free(c->role);
        free(c);
}

void callers_drop_host(struct auth *a, struct str host_id)
{
        for (struct caller *c = a->callers; c != NULL; c = c->next)
                if (c->conn != NULL && c->host_id[0] != '\0' && str_equal(str_of(c->host_id), host_id))
                        rpc_server_close(c->conn);
}
