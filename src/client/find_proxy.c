/* SPDX-License-Identifier: Apache-2.0 */
#include "client/find_proxy.h"

#include "base/interop.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "client/client.h"
#include "loop/loop.h"
#include "net/socket.h"

enum { PORT_PROXY = 3080, PORT_HTTPS = 443 };

/* At most this much of an answer is read; Teleport's are about 2 KiB. */
enum { PING_ANSWER_MAX = 32 * KiB };

struct search;

struct candidate {
        struct search *search;
        const char *address;
        struct client_dial *dial; /* while it is under way */
        struct stream *tls;       /* while the request is pending */
        struct timer *deadline;
        struct buf answer;
};

struct search {
        struct loop loop;
        struct timer *next;
        struct candidate candidates[2]; /* the likelier first */
        size_t count, begun;
        bool is_insecure;
        const char *found;
        struct error *refusal; /* the answer is from a server of Teleport itself */
        struct error *err;     /* of the first candidate, which is reported */
};

static void begin_next(void *ctx);

/* ---- the request to identify the server ---------------------------------------------------------------------- */

static void hang_up(struct candidate *c)
{
        stream_close(c->tls); /* a NULL stream is ignored */
        c->tls = NULL;
        timer_free(c->deadline);
        c->deadline = NULL;
}

/* The body of an answer; "" while the headers are incomplete. */
static struct str body_of(struct str answer)
{
        while (!str_is_empty(answer) && !str_starts_with(answer, STR("\r\n\r\n")))
                answer = str_slice(answer, 1, answer.len);
        return str_slice(answer, 4, answer.len);
}

/* A server answered, so the other attempts end. */
static void decide(struct candidate *c)
{
        struct search *s = c->search;

        hang_up(c);
        if (s->found != NULL)
                return;
        s->found = c->address;
        if (interop_is_teleport_answer(body_of(buf_str(&c->answer))))
                s->refusal = interop_refuse_server(c->address);
        timer_stop(s->next);
        s->begun = s->count;
        for (size_t i = 0; i < s->count; i++) {
                if (s->candidates[i].dial != NULL)
                        client_dial_cancel(s->candidates[i].dial);
                hang_up(&s->candidates[i]);
        }
}

static void on_read(void *ctx, struct str bytes)
{
        struct candidate *c = ctx;

        buf_put(&c->answer, str_slice(bytes, 0, c->answer.max - c->answer.len));
        if (c->answer.len == c->answer.max)
                decide(c);
}

static void on_end(void *ctx, struct error *err)
{
        error_free(err);
        decide(ctx);
}

static void on_late(void *ctx)
{
        decide(ctx);
}

static const struct stream_events events = { .on_read = on_read, .on_end = on_end };

static void send_request(struct candidate *c, struct stream *tls)
{
        AUTO(buf) request = BUF_MAX(2 * KiB);

        c->tls = tls;
        c->answer = BUF_MAX(PING_ANSWER_MAX);
        c->deadline = timer_new(&c->search->loop, on_late, c);
        timer_start(c->deadline, MILLISECONDS(TIMEOUT_HTTP1));
        /* HTTP/1.0, so that the body comes in one piece (RFC 9112 section 6.1). */
        buf_printf(&request, "GET /webapi/ping HTTP/1.0\r\nHost: %s\r\n\r\n", c->address);
        stream_listen(tls, &events, c);
        stream_write(tls, buf_str(&request));
        stream_read(tls, true);
}

/* ---- the search ---------------------------------------------------------------------------------------------- */

static void on_dialled(void *ctx, struct stream *tls, struct error *err)
{
        struct candidate *c = ctx;
        struct search *s = c->search;

        c->dial = NULL;
        if (s->found != NULL) {
                stream_close(tls);
                error_free(err);
                return;
        }
        if (err == NULL) {
                send_request(c, tls);
                return;
        }
        if (s->err == NULL)
                s->err = err;
        else
                error_free(err);
        begin_next(s);
}

static void begin_next(void *ctx)
{
        struct search *s = ctx;

        if (s->begun == s->count)
                return;
        struct candidate *c = &s->candidates[s->begun++];
        c->dial = client_dial_page(&s->loop, c->address, s->is_insecure, on_dialled, c);
        if (s->begun < s->count)
                timer_start(s->next, MILLISECONDS(TIMEOUT_CONNECT_NEXT));
        else
                timer_stop(s->next);
}

static void add(struct search *s, struct arena *a, struct str host, int port)
{
        AUTO_MEM char *address = address_join(host, port);

        s->candidates[s->count++] = (struct candidate){ .search = s, .address = str_to_c(a, str_of(address)) };
}

static struct error *run(struct search *s)
{
        TRY(loop_init(&s->loop, NULL));
        s->next = timer_new(&s->loop, begin_next, s);
        begin_next(s);
        loop_run(&s->loop);
        timer_free(s->next);
        for (size_t i = 0; i < s->count; i++)
                buf_release(&s->candidates[i].answer);
        loop_release(&s->loop);
        return NULL;
}

/* Whether no server answers. Other failures (no HTTP, a refused certificate) are reported in more detail by the login. */
static bool is_nobody_there(const struct error *err)
{
        return err->code == ERROR_UNAVAILABLE || err->code == ERROR_DEADLINE_EXCEEDED;
}

struct error *find_proxy(struct arena *a, const char *address, bool is_insecure, const char **ret)
{
        struct search s = { .is_insecure = is_insecure };
        struct str host;
        int port;

        TRY(address_split(str_of(address), 0, &host, &port));
        add(&s, a, host, port != 0 ? port : PORT_PROXY);
        if (port == 0)
                add(&s, a, host, PORT_HTTPS);
        TRY(run(&s));
        if (s.found == NULL && port != 0 && !is_nobody_there(s.err)) {
                error_free(s.err);
                s.err = NULL;
                s.found = s.candidates[0].address;
        }
        if (s.found == NULL)
                return s.err;
        error_free(s.err);
        if (s.refusal != NULL)
                return error_for(s.refusal, REASON_ANSWER);
        *ret = s.found;
        return NULL;
}
