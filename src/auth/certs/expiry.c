/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/certs/expiry.h"

#include <stdlib.h>

#include "auth/core/caller.h"
#include "auth/hosts/tunnels_service.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/cert_watch.h"
#include "pki/cert_check.h"
#include "rpc/pb.h"

enum { CAS = 2 };

struct expiry {
        struct auth *auth;
        struct cert_watch *watch; /* of the host CA and the user CA */
};

static const Cteleport__Internal__V1__Authority *authority_at(const struct auth *a, size_t i)
{
        return i == 0 ? a->authorities.host : a->authorities.user;
}

/* Of the CA that signs; an old one that a rotation replaces may expire. */
static bool times_of(const struct auth *a, size_t i, struct cert_times *ret)
{
        AUTO_PTR(error) err = cert_validity(pb_str(authority_at(a, i)->tls_certs[0]), ret);

        return err == NULL;
}

static bool times_of_ca(void *ctx, size_t n, struct cert_times *ret)
{
        const struct expiry *e = ctx;

        return times_of(e->auth, n, ret);
}

static void on_mark_passed(void *ctx, size_t n, int mark, struct cert_times times)
{
        const struct expiry *e = ctx;
        AUTO(buf) end = BUF_MAX(256);

        if (mark == CERT_END_FAR)
                return;
        cert_end_put(&end, times, loop_wall(&e->auth->loop));
        log_warn("A CA of the cluster is near its end", LOG_C("type", authority_at(e->auth, n)->type), LOG_C("end", buf_c(&end)),
                 LOG_C("hint", "replace it: tctl auth rotate"));
}

struct expiry *expiry_new(struct auth *a)
{
        struct expiry *e = NEW(struct expiry);

        *e = (struct expiry){ .auth = a };
        e->watch = cert_watch_new(&a->loop, (struct cert_watch_options){ .count = CAS, .times = times_of_ca, .passed = on_mark_passed, .ctx = e });
        return e;
}

void expiry_free(struct expiry *e)
{
        if (e == NULL)
                return;
        cert_watch_free(e->watch);
        free(e);
}

struct warnings {
        const struct auth *auth;
        struct arena *arena;
        char **list;
        size_t count;
};

static void add_warning(struct warnings *w, const char *what, const char *whose, struct cert_times times, const char *remedy)
{
        AUTO(buf) end = BUF_MAX(256);

        if (w->count == EXPIRY_WARNINGS || cert_end_mark(times, loop_wall(&w->auth->loop)) == CERT_END_FAR)
                return;
        cert_end_put(&end, times, loop_wall(&w->auth->loop));
        w->list[w->count++] = pb_text(arena_printf(w->arena, "%s%s %s: %s", what, whose, buf_c(&end), remedy));
}

static void add_web(void *ctx, const char *proxy, struct cert_times times)
{
        add_warning(ctx, "the web certificate of proxy ", proxy, times, "replace its files, and let it load them by SIGHUP");
}

size_t expiry_count_hosts(const struct auth *a)
{
        struct walltime soon = walltime_add(loop_wall(&a->loop), (struct duration){ a->host_cert_ttl.ns / 4 });
        size_t count = 0;

        for (const struct caller *c = a->callers; c != NULL; c = c->next)
                count += str_equal(str_of(c->role), STR("Instance")) && c->cert_not_after.ns != 0 && c->cert_not_after.ns <= soon.ns;
        return count;
}

/* Without their names, as not everybody may see every host. */
static void add_hosts(struct warnings *w)
{
        size_t count = expiry_count_hosts(w->auth);

        if (count > 0 && w->count < EXPIRY_WARNINGS)
                w->list[w->count++] = pb_text(arena_printf(w->arena, "%zu connected %s not renewed %s: `tctl inventory ls -v` shows when each ends, `teleport status` there why",
                                                           count, count == 1 ? "host has" : "hosts have", count == 1 ? "its certificate" : "their certificates"));
}

size_t expiry_warnings(const struct auth *a, struct arena *arena, char *ret[EXPIRY_WARNINGS])
{
        struct warnings w = { .auth = a, .arena = arena, .list = ret };

        for (size_t i = 0; i < CAS; i++) {
                struct cert_times times;

                if (times_of(a, i, &times))
                        add_warning(&w, i == 0 ? "the host CA" : "the user CA", "", times,
                                    i == 0 ? "tctl auth rotate --type=host" : "tctl auth rotate --type=user");
        }
        tunnels_each_web_end(a, add_web, &w);
        add_hosts(&w);
        return w.count;
}
