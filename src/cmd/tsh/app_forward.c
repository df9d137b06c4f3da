/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tsh/app_forward.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "client/app_dial.h"
#include "cmd/tsh/printed_errors.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "os/fdpass.h"

struct app_forward {
        struct loop loop;
        const struct profile *profile; /* names it; its certificates may be outdated */
        const char *app;
        uint32_t port;
        struct app_hosts *hosts;
        struct listener *listener; /* NULL: a signal has come */
        struct signal_watch *interrupt, *terminate;
        struct printed_errors printed;
        size_t open;
};

struct forwarded {
        struct app_forward *all;
        struct profile profile; /* until the application's bytes follow */
        int fd;                 /* until then */
};

/* ---- the end ---------------------------------------------------------------------------------------------- */

static void end_if_idle(struct app_forward *f)
{
        if (f->listener == NULL && f->open == 0)
                loop_stop(&f->loop);
}

/* The first one ends the listener, the second one everything. */
static void on_signal(void *ctx, int signum)
{
        struct app_forward *f = ctx;

        (void)signum;
        if (f->listener == NULL) {
                loop_stop(&f->loop);
                return;
        }
        listener_close(f->listener);
        f->listener = NULL;
        if (f->open > 0)
                fprintf(stderr, "No more connections are accepted. Waiting for the end of %zu open ones; a second signal ends them.\n", f->open);
        end_if_idle(f);
}

static void connection_free(struct forwarded *c)
{
        struct app_forward *f = c->all;

        fd_close_at(&c->fd);
        profile_release(&c->profile);
        free(c);
        f->open--;
        end_if_idle(f);
}

/* ---- connections ------------------------------------------------------------------------------------------ */

static void on_spliced(void *ctx, uint64_t to_app, uint64_t from_app)
{
        (void)to_app, (void)from_app;
        connection_free(ctx);
}

static void refuse(struct forwarded *c, struct error *err)
{
        if (printed_errors_note(&c->all->printed, err, loop_now(&c->all->loop)))
                error_print(err);
        error_free(err);
        connection_free(c);
}

static void on_connected(void *ctx, struct stream *app, struct error *err)
{
        struct forwarded *c = ctx;
        struct app_forward *f = c->all;

        if (err != NULL) {
                refuse(c, err);
                return;
        }
        struct splice *splice = splice_start(&f->loop, socket_stream(&f->loop, c->fd), app, LIMIT_APP_FORWARD_WINDOW, on_spliced, c);
        (void)splice; /* ends with its streams */
        c->fd = -1;
        profile_release(&c->profile);
}

static struct error *begin(struct forwarded *c)
{
        struct app_forward *f = c->all;

        if (f->open > LIMIT_APP_FORWARDED)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "there are %d connections to the application already: a further one is closed", LIMIT_APP_FORWARDED);
        struct error *err = profile_load(&c->profile, f->profile->proxy_host, f->profile->user);
        if (err != NULL && err->code == ERROR_NOT_FOUND) /* the file that has the address of the proxy may be gone, too */
                return error_hint(err, "tsh login --proxy=%s --user=%s", f->profile->web_addr, f->profile->user);
        TRY(err);
        TRY(profile_check_times(&c->profile, loop_wall(&f->loop)));
        app_dial_start(&f->loop, &c->profile, f->app, f->port, f->hosts, on_connected, c);
        return NULL;
}

static void on_accepted(void *ctx, int fd, const char *peer)
{
        struct app_forward *f = ctx;
        struct forwarded *c = NEW(struct forwarded);

        (void)peer;
        *c = (struct forwarded){ .all = f, .fd = fd };
        f->open++;
        struct error *err = begin(c);
        if (err != NULL)
                refuse(c, err);
}

/* ---- all of it -------------------------------------------------------------------------------------------- */

struct error *app_forward_run(const struct profile *p, const char *app, uint32_t port, int fd, const char *const *ids, size_t count)
{
        static struct app_forward f; /* what is open outlives the caller */

        TRY(loop_init(&f.loop, NULL));
        f.profile = p;
        f.app = app;
        f.port = port;
        f.hosts = app_hosts_new(&f.loop, app);
        app_hosts_keep(f.hosts, ids, count);
        f.interrupt = signal_watch_new(&f.loop, SIGINT, on_signal, &f);
        f.terminate = signal_watch_new(&f.loop, SIGTERM, on_signal, &f);
        f.listener = listener_new(&f.loop, fd, on_accepted, &f);
        loop_run(&f.loop);
        if (f.open > 0)
                return NULL;
        signal_watch_free(f.interrupt);
        signal_watch_free(f.terminate);
        app_hosts_free(f.hosts);
        printed_errors_release(&f.printed);
        loop_run(&f.loop); /* until the connections are closed */
        loop_release(&f.loop);
        return NULL;
}
