/* SPDX-License-Identifier: Apache-2.0 */
#include "client/find_proxy.h"

#include "base/limits.h"
#include "base/mem.h"
#include "client/client.h"
#include "loop/loop.h"
#include "net/socket.h"

enum { PORT_PROXY = 3080, PORT_HTTPS = 443 };

struct search;

struct candidate {
        struct search *search;
        const char *address;
        struct client_dial *dial; /* while it is under way */
};

struct search {
        struct loop loop;
        struct timer *next;
        struct candidate candidates[2]; /* the likelier first */
        size_t begun;
        bool is_insecure;
        const char *found;
        struct error *err; /* of the first candidate, which is the one to be told */
};

static void begin_next(void *ctx);

static void on_dialled(void *ctx, struct stream *tls, struct error *err)
{
        struct candidate *c = ctx;
        struct search *s = c->search;

        c->dial = NULL;
        stream_close(tls); /* NULL is silent */
        if (err == NULL && s->found == NULL) {
                s->found = c->address;
                timer_stop(s->next);
                s->begun = ARRAY_LEN(s->candidates);
                for (size_t i = 0; i < ARRAY_LEN(s->candidates); i++)
                        if (s->candidates[i].dial != NULL)
                                client_dial_cancel(s->candidates[i].dial);
        }
        if (s->err == NULL || s->err->code == ERROR_CANCELLED) {
                error_free(s->err);
                s->err = err;
        } else {
                error_free(err);
        }
        if (s->found == NULL)
                begin_next(s);
}

static void begin_next(void *ctx)
{
        struct search *s = ctx;

        if (s->begun == ARRAY_LEN(s->candidates))
                return;
        struct candidate *c = &s->candidates[s->begun++];
        c->dial = client_dial_proxy(&s->loop, c->address, s->is_insecure, on_dialled, c);
        if (s->begun < ARRAY_LEN(s->candidates))
                timer_start(s->next, MILLISECONDS(TIMEOUT_CONNECT_NEXT));
        else
                timer_stop(s->next);
}

static const char *with_port(struct arena *a, struct str host, int port)
{
        bool is_v6 = str_find_char(host, ':') != host.len;

        return arena_printf(a, is_v6 ? "[%.*s]:%d" : "%.*s:%d", STR_ARG(host), port);
}

struct error *find_proxy(struct arena *a, const char *address, bool is_insecure, const char **ret)
{
        struct search s = { .is_insecure = is_insecure };
        struct str host;
        int port;

        TRY(address_split(str_of(address), 0, &host, &port));
        if (port != 0) {
                *ret = with_port(a, host, port);
                return NULL;
        }
        s.candidates[0] = (struct candidate){ .search = &s, .address = with_port(a, host, PORT_PROXY) };
        s.candidates[1] = (struct candidate){ .search = &s, .address = with_port(a, host, PORT_HTTPS) };
        TRY(loop_init(&s.loop, NULL));
        s.next = timer_new(&s.loop, begin_next, &s);
        begin_next(&s);
        loop_run(&s.loop);
        timer_free(s.next);
        loop_release(&s.loop);
        if (s.found == NULL)
                return s.err;
        error_free(s.err);
        *ret = s.found;
        return NULL;
}
