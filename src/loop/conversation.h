/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State machine of a conversation: named states from a table, each with a deadline and its permitted successors, so
 * that every wait has an end and unexpected messages are detected.
 */
#ifndef LOOP_CONVERSATION_H
#define LOOP_CONVERSATION_H

#include "loop/loop.h"

/* A row of the table; index is the state. after.ns == 0: no deadline of its own. */
struct conversation_state {
        const char *name;
        struct duration after;
        unsigned successors; /* TO(a) | TO(b) */
};

#define TO(state) (1u << (state))

struct conversation {
        const struct conversation_state *table;
        unsigned state;
        struct timer *deadline;
        void (*expired)(void *ctx); /* the state's deadline passed; called from the loop */
        void *ctx;
};

/* Starts in state `first`. */
void conversation_init(struct conversation *c, struct loop *l, const struct conversation_state *table,
                       unsigned first, void (*expired)(void *ctx), void *ctx);

/* Enters a state and restarts the deadline. A transition that is not in the table is a bug and ends the process. */
void conversation_enter(struct conversation *c, unsigned state);

const char *conversation_state_name(const struct conversation *c);

/* Stops the deadline; may be called again. */
void conversation_release(struct conversation *c);

#endif
