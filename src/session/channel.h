/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connection of a program started by sshd to the SSH Service of this machine. It uses no event loop: the owner polls
 * the descriptor. Reads happen only on request, and every wait has a timeout.
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
        struct arena *arena; /* of the last returned message */
};

/*
 * Connects to the abstract socket `name`. PERMISSION_DENIED when a user other than `server` listens there, as any user
 * may bind a free abstract name.
 */
struct error *channel_open(struct channel *c, const char *name, uid_t server) MUST_USE;
void channel_release(struct channel *c);

/* Queues a message; channel_write() sends it. */
void channel_put(struct channel *c, const helper_up *up);

/* The number of queued bytes that the kernel has not accepted yet. */
static inline size_t channel_backlog(const struct channel *c)
{
        return c->out.len;
}

/* Sends as much as the kernel accepts. UNAVAILABLE: the other end has closed the connection. */
struct error *channel_write(struct channel *c) MUST_USE;

/* Sends all queued bytes, waiting for `within` at most; DEADLINE_EXCEEDED. */
struct error *channel_flush(struct channel *c, struct duration within) MUST_USE;

/* Reads the available bytes; UNAVAILABLE when the other end has closed the connection. */
struct error *channel_read(struct channel *c) MUST_USE;

/* Returns the next received message, valid until the next call; *ret is NULL when none is complete. */
struct error *channel_next(struct channel *c, const helper_down **ret) MUST_USE;

/*
 * One iteration of a poll loop: sends as much as the kernel accepts, reads if poll(2) has reported the descriptor as
 * readable, and passes every complete message to handle_message, in order. The first call should be without events, to
 * handle messages that were read together with the last answer.
 */
struct error *channel_turn(struct channel *c, short events, void (*handle_message)(void *ctx, const helper_down *down),
                           void *ctx) MUST_USE;

/* Sends what is queued, then waits for one message. DEADLINE_EXCEEDED, UNAVAILABLE. */
struct error *channel_await(struct channel *c, struct duration within, const helper_down **ret) MUST_USE;

#endif
