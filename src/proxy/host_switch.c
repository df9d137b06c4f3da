/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/host_switch.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/secret.h"
#include "loop/loop.h"
#include "net/tls.h"
#include "proxy/apps/app_choice.h"
#include "proxy/proxy.h"

/* One that has, or had, the connection. */
struct server {
        struct host_switch *owner;
        struct web *web;
        struct app_gateway *gateway;
};

struct host_switch {
        struct host_switch_options options;
        struct loop *loop;
        struct stream *stream;  /* NULL: a server has it, or it is closed */
        struct timer *timer;
        struct buf input;       /* of the next request */
        size_t scanned;
        struct server *current; /* has the connection */
        size_t servers;         /* that have not ended */
        unsigned deferred;      /* calls that are due */
        size_t requests;        /* served by web */
        bool is_draining;
};

/* ---- life ----------------------------------------------------------------------------------------------------- */

static void free_when_ended(struct host_switch *h)
{
        if (h->stream != NULL || h->servers > 0 || h->deferred > 0)
                return;
        h->options.web.on_closed(h->options.web.ctx);
        timer_free(h->timer);
        free(h);
}

/* The bytes may hold a password. */
static void forget_input(struct host_switch *h)
{
        if (h->input.ptr != NULL)
                wipe(h->input.ptr, h->input.len);
        buf_release(&h->input);
        h->scanned = 0;
}

static void on_deferred_end(void *ctx)
{
        struct host_switch *h = ctx;

        h->deferred--;
        free_when_ended(h);
}

/* Closes a connection that waits for a request. */
static void end(struct host_switch *h)
{
        timer_stop(h->timer);
        forget_input(h);
        stream_close(h->stream);
        h->stream = NULL;
        h->deferred++;
        loop_defer(h->loop, on_deferred_end, h);
}

/* A gateway that has not got the bytes of its request yet would take the connection for idle: on_delivered() drains it. */
static void drain_current(struct host_switch *h)
{
        if (h->current != NULL && h->current->web != NULL)
                web_drain(h->current->web);
        else if (h->current != NULL && h->deferred == 0)
                app_gateway_drain(h->current->gateway);
}

static void on_delivered(void *ctx)
{
        struct host_switch *h = ctx;

        h->deferred--;
        if (h->is_draining)
                drain_current(h);
        free_when_ended(h);
}

void host_switch_drain(struct host_switch *h)
{
        h->is_draining = true;
        if (h->stream != NULL && h->input.len == 0)
                end(h);
        else
                drain_current(h);
}

void host_switch_close(struct host_switch *h)
{
        if (h->stream != NULL)
                end(h);
        else if (h->current != NULL && h->current->web != NULL)
                web_close(h->current->web);
        else if (h->current != NULL)
                app_gateway_close(h->current->gateway);
}

/* ---- servers --------------------------------------------------------------------------------------------------- */

static void await_request(struct host_switch *h, struct stream *s);

static void on_server_closed(void *ctx)
{
        struct server *v = ctx;
        struct host_switch *h = v->owner;

        if (h->current == v)
                h->current = NULL;
        free(v);
        h->servers--;
        free_when_ended(h);
}

static void on_given_back(void *ctx, struct stream *s)
{
        struct server *v = ctx;

        v->owner->current = NULL;
        await_request(v->owner, s);
}

static struct webapi_facts facts_of(void *ctx)
{
        const struct host_switch *h = ((const struct server *)ctx)->owner;

        return h->options.web.facts(h->options.web.ctx);
}

static bool is_of_app(void *ctx, struct str host)
{
        const struct host_switch *h = ((const struct server *)ctx)->owner;

        return h->options.web.is_of_app(h->options.web.ctx, host);
}

static void on_upgraded(void *ctx, struct stream *s, const char *client)
{
        const struct host_switch *h = ((const struct server *)ctx)->owner;

        h->options.web.on_upgraded(h->options.web.ctx, s, client);
}

static struct error *on_user(void *ctx, struct str user, const char *client)
{
        const struct host_switch *h = ((const struct server *)ctx)->owner;

        return h->options.app.on_user(h->options.app.ctx, user, client);
}

static void serve_page(struct host_switch *h, struct server *v, struct stream *s)
{
        struct web_options options = h->options.web;

        options.facts = facts_of;
        options.is_of_app = is_of_app;
        options.on_upgraded = options.on_upgraded == NULL ? NULL : on_upgraded;
        options.on_next = on_given_back;
        options.requests = h->requests++;
        options.on_closed = on_server_closed;
        options.ctx = v;
        v->web = web_serve(s, &options);
}

static void serve_app(struct host_switch *h, struct server *v, struct stream *s, const char *app)
{
        struct app_gateway_options options = h->options.app;

        options.app = app;
        options.on_user = on_user;
        options.on_foreign = on_given_back;
        options.on_closed = on_server_closed;
        options.ctx = v;
        v->gateway = app_gateway_start(s, &options);
        h->deferred++;
        loop_defer(h->loop, on_delivered, h);
}

/* ---- the choice ------------------------------------------------------------------------------------------------- */

/* Gives the connection, with what has arrived, to the server of its next request. app NULL: web. */
static void serve(struct host_switch *h, const char *app)
{
        struct server *v = NEW(struct server);
        struct stream *s = stream_with_prefix(h->loop, h->stream, buf_str(&h->input));

        v->owner = h;
        h->stream = NULL;
        h->current = v;
        h->servers++;
        timer_stop(h->timer);
        forget_input(h);
        if (app == NULL)
                serve_page(h, v, s);
        else
                serve_app(h, v, s, app);
        if (h->is_draining)
                drain_current(h);
}

static void on_read(void *ctx, struct str bytes)
{
        struct host_switch *h = ctx;
        const struct web_options *web = &h->options.web;
        struct app_choice choice;

        if (h->input.len == 0)
                timer_start(h->timer, MILLISECONDS(TIMEOUT_HTTP1));
        h->input.max = LIMIT_HTTP_HEAD + 2 * LOOP_BUFFER; /* a server may have read as much ahead */
        buf_put(&h->input, bytes);
        app_choose(h->options.proxy, buf_str(&h->input), &h->scanned, &choice);
        if (!choice.is_made)
                return;
        h->options.is_balancer = h->options.is_balancer || (choice.is_forwarded && ingress_forwards(web->ingress, web->peer));
        serve(h, choice.is_app ? choice.app : NULL); /* web answers a malformed head, and no request for the host of an application */
}

static void on_end(void *ctx, struct error *err)
{
        error_free(err); /* the peer has disconnected */
        end(ctx);
}

static void on_timeout(void *ctx)
{
        end(ctx);
}

static const struct stream_events events = { .on_read = on_read, .on_end = on_end };

static void await_request(struct host_switch *h, struct stream *s)
{
        h->stream = s; /* while draining, only if it begins with a request */
        stream_listen(s, &events, h);
        timer_start(h->timer, MILLISECONDS(h->options.is_balancer ? TIMEOUT_HTTP1_IDLE_BALANCER : TIMEOUT_HTTP1_IDLE));
        stream_read(s, true);
}

struct host_switch *host_switch_start(struct stream *s, const struct host_switch_options *options)
{
        struct host_switch *h = NEW(struct host_switch);

        h->options = *options;
        h->loop = &options->proxy->loop;
        h->timer = timer_new(h->loop, on_timeout, h);
        await_request(h, s);
        timer_start(h->timer, MILLISECONDS(TIMEOUT_HTTP1)); /* for the first request */
        return h;
}
