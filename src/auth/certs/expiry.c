/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/certs/expiry.h"

#include <stdlib.h>

#include "auth/hosts/tunnels_service.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "pki/cert_check.h"
#include "pki/cert_end.h"
#include "rpc/pb.h"

enum { CAS = 2 };

struct expiry {
        struct auth *auth;
        struct timer *check;
        int marks[CAS]; /* that were logged, of the host CA and the user CA */
};

static const Cteleport__Internal__V1__Authority *authority_at(const struct auth *a, size_t i)
{
        return i == 0 ? a->authorities.host : a->authorities.user;
}

/* The CA that signs; an old one that a rotation replaces may expire. */
static int mark_of(const struct auth *a, size_t i, struct cert_times *ret)
{
        AUTO_PTR(error) err = cert_validity(pb_str(authority_at(a, i)->tls_certs[0]), ret);

        return err == NULL ? cert_end_mark(*ret, loop_wall(&a->loop)) : CERT_END_FAR;
}

static void on_check(void *ctx)
{
        struct expiry *e = ctx;

        for (size_t i = 0; i < CAS; i++) {
                struct cert_times times;
                AUTO(buf) end = BUF_MAX(256);
                int mark = mark_of(e->auth, i, &times);

                if (mark != CERT_END_FAR && mark != e->marks[i]) {
                        cert_end_put(&end, times, loop_wall(&e->auth->loop));
                        log_warn("A CA of the cluster is near its end", LOG_C("type", authority_at(e->auth, i)->type), LOG_C("end", buf_c(&end)),
                                 LOG_C("hint", "replace it: tctl auth rotate"));
                }
                e->marks[i] = mark;
        }
        timer_start(e->check, MILLISECONDS(PACE_CERT_END_CHECK));
}

struct expiry *expiry_new(struct auth *a)
{
        struct expiry *e = NEW(struct expiry);

        *e = (struct expiry){ .auth = a, .marks = { CERT_END_FAR, CERT_END_FAR } };
        e->check = timer_new(&a->loop, on_check, e);
        on_check(e);
        return e;
}

void expiry_free(struct expiry *e)
{
        if (e == NULL)
                return;
        timer_free(e->check);
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

size_t expiry_warnings(const struct auth *a, struct arena *arena, char *ret[EXPIRY_WARNINGS])
{
        struct warnings w = { .auth = a, .arena = arena, .list = ret };

        for (size_t i = 0; i < CAS; i++) {
                struct cert_times times;

                if (mark_of(a, i, &times) != CERT_END_FAR)
                        add_warning(&w, i == 0 ? "the host CA" : "the user CA", "", times,
                                    i == 0 ? "tctl auth rotate --type=host" : "tctl auth rotate --type=user");
        }
        tunnels_each_web_end(a, add_web, &w);
        return w.count;
}
