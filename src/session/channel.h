/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way from a program that sshd started to the SSH Service of this machine. No loop: the owner polls the
 * descriptor. Nothing is read ahead of what the owner asks for, and nothing waits without an end.
 */
#ifndef SESSION_CHANNEL_H
#define SESSION_CHANNEL_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "session.pb-c.h"

typedef Cteleport__Session__V1__HelperUp helper_up;
typedef Cteleport__Session__V1__HelperDown helper_down;

struct channel {
        int fd; /* non-blocking; -1 when it is closed or lost */
        struct buf in, out;
        struct arena *arena; /* of the message given last */
};

/*
 * Connects to the abstract socket `name`. PERMISSION_DENIED when another user than `server` listens there: a name that is
 * free may be taken by anybody.
 */
struct error *channel_open(struct channel *c, const char *name, uid_t server) MUST_USE;
void channel_release(struct channel *c);

/* Queues a message; channel_write sends. */
void channel_put(struct channel *c, const helper_up *up);

/* Bytes queued and not yet taken by the kernel. */
static inline size_t channel_backlog(const struct channel *c)
{
        return c->out.len;
}

/* Sends what the kernel takes. UNAVAILABLE: the other end is gone, nothing can be sent any more. */
struct error *channel_write(struct channel *c) MUST_USE;

/* Sends everything, waiting for `within` at most; DEADLINE_EXCEEDED. */
struct error *channel_flush(struct channel *c, struct duration within) MUST_USE;

/* Reads what there is; UNAVAILABLE when the other end is gone. */
struct error *channel_read(struct channel *c) MUST_USE;

/* The next message of those read, valid until the next call; *ret NULL when none is whole. */
struct error *channel_next(struct channel *c, const helper_down **ret) MUST_USE;

/*
 * One turn of a conversation: sends what the kernel takes, reads when poll(2) said of the descriptor that it can be
 * read, and gives every whole message to handle_message, those that came earlier first; so begin with a turn without events,
 * for what was read together with the last answer.
 */
struct error *channel_turn(struct channel *c, short events, void (*handle_message)(void *ctx, const helper_down *down),
                           void *ctx) MUST_USE;

/* Sends what is queued, then waits for one message. DEADLINE_EXCEEDED, UNAVAILABLE. */
struct error *channel_await(struct channel *c, struct duration within, const helper_down **ret) MUST_USE;

#endif
