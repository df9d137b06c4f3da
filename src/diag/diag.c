/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that answers at teleport.diag_addr: /healthz, /readyz and /metrics, by HTTP/1.1 and without authentication. It runs
 * only if that address is set. It holds no secret and no file, and reads the numbers of the other processes from memory: no
 * request reaches another process.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/service.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "diag/exposition.h"
#include "diag/health.h"
#include "net/http_server.h"
#include "net/socket.h"
#include "os/sandbox.h"

struct diag {
        struct loop loop;
        struct service *service;
        struct figures figures;
        struct health_machine health;
        struct listener *listener; /* NULL: stopped */
        struct timer *check;
        struct connection *oldest, *newest;
        size_t connection_count;
};

/* A connection, also for the time in which it is closed gracefully: all of them are counted until their socket is closed. */
struct connection {
        struct diag *diag;
        struct http_server *http;  /* NULL: closed */
        int fd;                    /* a second descriptor of the socket, to end it at once */
        struct timer *linger;      /* of the graceful close */
        struct connection *older, *newer;
        bool is_dropped; /* not listed any more; on_closed() frees it */
};

/* ---- answers ------------------------------------------------------------------------------------------- */

static void respond(struct http_exchange *x, int status, const char *content_type, struct buf *body)
{
        http_respond(x, (struct http_response){ .status = status, .content_type = content_type, .body = buf_str(body) });
}

static void open_healthz(void *ctx, struct http_exchange *x)
{
        AUTO(buf) body = BUF_MAX(64);

        (void)ctx;
        buf_put_c(&body, "{\"status\":\"ok\"}\n");
        respond(x, 200, "application/json", &body);
}

static void open_readyz(void *ctx, struct http_exchange *x)
{
        struct diag *d = ((struct connection *)ctx)->diag;
        AUTO(buf) body = BUF_MAX(4 * KiB);

        health_check(&d->health, &d->figures, loop_now(&d->loop));
        health_put_json(&d->health, &d->figures, loop_now(&d->loop), &body);
        respond(x, health_status(d->health.state), "application/json", &body);
}

static void open_metrics(void *ctx, struct http_exchange *x)
{
        struct diag *d = ((struct connection *)ctx)->diag;
        AUTO(buf) body = BUF_MAX(LIMIT_DIAG_ANSWER);

        health_check(&d->health, &d->figures, loop_now(&d->loop));
        exposition_put(&d->figures, &d->health, loop_now(&d->loop), &body);
        respond(x, 200, EXPOSITION_CONTENT_TYPE, &body);
}

static const struct http_route routes[] = {
        { .method = "GET", .path = "/healthz", .open = open_healthz },
        { .method = "GET", .path = "/readyz", .open = open_readyz },
        { .method = "GET", .path = "/metrics", .open = open_metrics },
};

static void refuse(void *ctx, struct http_exchange *x, int status, const struct error *err)
{
        AUTO(buf) body = BUF_MAX(4 * KiB);

        (void)ctx;
        buf_printf(&body, "%s\n", err->what);
        respond(x, status, "text/plain; charset=utf-8", &body);
}

/* ---- connections --------------------------------------------------------------------------------------- */

static void unlist(struct connection *c)
{
        struct diag *d = c->diag;

        *(c->older == NULL ? &d->oldest : &c->older->newer) = c->newer;
        *(c->newer == NULL ? &d->newest : &c->newer->older) = c->older;
        d->connection_count--;
}

/* Closes the socket now. Answers that wait in it are dropped: otherwise each client that does not read would keep some. */
static void drop(struct connection *c)
{
        unlist(c);
        c->is_dropped = true;
        shutdown(c->fd, SHUT_RDWR);
        close(c->fd);
        timer_free(c->linger);
        if (c->http != NULL)
                http_server_close(c->http);
        else
                free(c);
}

static void on_lingered(void *ctx)
{
        drop(ctx);
}

static void on_closed(void *ctx)
{
        struct connection *c = ctx;

        c->http = NULL;
        if (c->is_dropped)
                free(c);
        else
                timer_start(c->linger, MILLISECONDS(TIMEOUT_LINGER));
}

/* Beyond the limit the oldest connection ends for the new one: clients that hold connections do not keep others out. */
static void on_accepted(void *ctx, int fd, const char *peer)
{
        struct diag *d = ctx;
        int second = fcntl(fd, F_DUPFD_CLOEXEC, 0);

        (void)peer;
        if (second < 0) {
                close(fd);
                return;
        }
        if (d->connection_count >= LIMIT_DIAG_CONNECTIONS)
                drop(d->oldest);
        struct connection *c = NEW(struct connection);
        *c = (struct connection){ .diag = d, .fd = second, .linger = timer_new(&d->loop, on_lingered, c), .older = d->newest };
        *(c->older == NULL ? &d->oldest : &c->older->newer) = c;
        d->newest = c;
        d->connection_count++;
        c->http = http_serve(socket_stream(&d->loop, fd), (struct http_server_options){
                .loop = &d->loop, .routes = routes, .route_count = ARRAY_LEN(routes), .refuse = refuse, .on_closed = on_closed, .ctx = c,
        });
}

/* ---- start and stop ------------------------------------------------------------------------------------ */

static void on_check(void *ctx)
{
        struct diag *d = ctx;

        health_check(&d->health, &d->figures, loop_now(&d->loop));
        timer_start(d->check, MILLISECONDS(PACE_HEALTH_CHECK));
}

static void on_stop(void *ctx)
{
        struct diag *d = ctx;

        timer_stop(d->check);
        if (d->listener != NULL)
                listener_close(d->listener);
        d->listener = NULL;
        while (d->oldest != NULL)
                drop(d->oldest);
}

static const struct service_events service_events = { .on_stop = on_stop };

static struct error *set_up(struct diag *d)
{
        TRY(loop_init(&d->loop, NULL));
        TRY(figures_map(&d->figures, d->service));
        TRY(sandbox_become_unprivileged(&d->service->row->user));
        TRY(sandbox_enter(d->service->row->sandbox, (struct sandbox_paths){ 0 }));
        log_debug("sandbox", LOG_C("has", sandbox_describe()));
        TRY(service_control(d->service, &d->loop, &service_events, d));
        health_init(&d->health);
        d->check = timer_new(&d->loop, on_check, d);
        on_check(d);
        d->listener = listener_new(&d->loop, service_take_fd(d->service, "listen"), on_accepted, d);
        return NULL;
}

int diag_main(struct service *service)
{
        static struct diag the_diag;
        struct diag *d = &the_diag;

        d->service = service;
        struct error *err = set_up(d);
        if (err != NULL) {
                service_fatal(service, err);
                return 1;
        }
        service_ready(service);
        loop_run(&d->loop);
        timer_free(d->check);
        service_end(service);
        loop_release(&d->loop);
        return 0;
}
