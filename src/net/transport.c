/* SPDX-License-Identifier: Apache-2.0 */
#include "net/transport.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "net/socket.h"

struct transport {
        struct loop *loop;
        struct transport_target target;
        void (*done)(void *ctx, struct stream *s, struct error *err);
        void *ctx;
        /* the current step */
        struct dial *dial;
        struct http_tunnel *tunnel;
};

static void finish(struct transport *t, struct stream *s, struct error *err)
{
        t->done(t->ctx, s, err);
        free(t);
}

static bool is_direct(const struct transport *t)
{
        return t->target.via->address[0] == '\0';
}

static void on_tunnel(void *ctx, struct stream *tunnel, struct error *err)
{
        struct transport *t = ctx;

        t->tunnel = NULL;
        finish(t, tunnel, err);
}

static void on_dialled(void *ctx, int fd, struct error *err)
{
        struct transport *t = ctx;

        t->dial = NULL;
        if (err != NULL) {
                if (!is_direct(t) && err->code != ERROR_CANCELLED)
                        err = error_wrap(err, "the HTTP proxy at %s does not answer", t->target.via->address);
                finish(t, NULL, err);
                return;
        }
        struct stream *tcp = socket_stream(t->loop, fd);
        if (is_direct(t))
                finish(t, tcp, NULL);
        else
                t->tunnel = http_tunnel_start(t->loop, tcp, t->target.via, str_of(t->target.address), MILLISECONDS(TIMEOUT_CONNECT),
                                              on_tunnel, t);
}

struct transport *transport_start(struct loop *l, const struct transport_target *target,
                                  void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx)
{
        struct transport *t = NEW(struct transport);

        *t = (struct transport){ .loop = l, .target = *target, .done = done, .ctx = ctx };
        const char *first = is_direct(t) ? target->address : target->via->address;
        t->dial = dial_start(l, str_of(first), MILLISECONDS(TIMEOUT_CONNECT), on_dialled, t);
        return t;
}

void transport_cancel(struct transport *t)
{
        if (t->dial != NULL)
                dial_cancel(t->dial);
        else
                http_tunnel_cancel(t->tunnel);
}
