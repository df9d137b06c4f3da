/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/conversation.h"

#include "base/bug.h"

static void on_deadline(void *ctx)
{
        struct conversation *c = ctx;

        c->expired(c->ctx);
}

static void start_deadline(struct conversation *c)
{
        struct duration after = c->table[c->state].after;

        if (after.ns > 0)
                timer_start(c->deadline, after);
        else
                timer_stop(c->deadline);
}

void conversation_init(struct conversation *c, struct loop *l, const struct conversation_state *table, unsigned first,
                       void (*expired)(void *ctx), void *ctx)
{
        *c = (struct conversation){ .table = table, .state = first, .expired = expired, .ctx = ctx };
        c->deadline = timer_new(l, on_deadline, c);
        start_deadline(c);
}

void conversation_enter(struct conversation *c, unsigned state)
{
        if ((c->table[c->state].successors & TO(state)) == 0)
                bug("a conversation went from '%s' to '%s'", c->table[c->state].name, c->table[state].name);
        c->state = state;
        if (c->deadline != NULL)
                start_deadline(c);
}

const char *conversation_state_name(const struct conversation *c)
{
        return c->table[c->state].name;
}

void conversation_release(struct conversation *c)
{
        timer_free(c->deadline);
        c->deadline = NULL;
}
