/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_acme.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/secret.h"
#include "proxy/acme_link.h"
#include "proxy/proxy.h"
#include "rpc/pb.h"

/* What is known about a name. */
struct app_cert {
        struct secret cert_pem, key_pem; /* empty: no certificate */
        struct walltime renew_at, not_after; /* of the certificate */
        struct instant rest;     /* not wanted before */
        bool is_wanted;          /* and the ACME client has not answered yet */
        bool is_reported;            /* the ACME client knows that */
        struct app_acme_wait *first;
        char name[APP_CERT_NAME_MAX + 1];
};

struct app_acme {
        struct proxy *proxy;
        struct map by_name; /* name -> struct app_cert, owned; at most LIMIT_ACME_APP_NAMES */
        size_t waits;       /* handshakes that wait */
        bool is_served;     /* the ACME client has asked for names: it answers */
};

/* ---- the table ------------------------------------------------------------------------------------------- */

static void cert_free(struct app_cert *c)
{
        secret_release(&c->cert_pem);
        secret_release(&c->key_pem);
        free(c);
}

static struct app_cert *add(struct app_acme *m, struct str name)
{
        struct app_cert *c = NEW(struct app_cert);

        snprintf(c->name, sizeof c->name, "%.*s", STR_ARG(name));
        map_put(&m->by_name, name, c);
        return c;
}

/* Forgets a name of which nothing needs to be known any more. */
static void drop_if_idle(void *ctx, struct str name, void *value)
{
        struct app_acme *m = ctx;
        struct app_cert *c = value;

        if (c->cert_pem.len > 0 || c->is_wanted || c->first != NULL || c->rest.ns > loop_now(&m->proxy->loop).ns)
                return;
        (void)map_remove(&m->by_name, name);
        cert_free(c);
}

/* NULL: there are too many. */
static struct app_cert *get_or_add(struct app_acme *m, struct str name)
{
        struct app_cert *c = map_get(&m->by_name, name);

        if (c != NULL)
                return c;
        if (m->by_name.count >= LIMIT_ACME_APP_NAMES)
                map_each(&m->by_name, drop_if_idle, m);
        return m->by_name.count >= LIMIT_ACME_APP_NAMES ? NULL : add(m, name);
}

/* ---- names for the ACME client --------------------------------------------------------------------------- */

struct report {
        char *names[ACME_WANTED_MAX];
        size_t count;
};

static void add_unreported(void *ctx, struct str name, void *value)
{
        struct report *t = ctx;
        struct app_cert *c = value;

        (void)name;
        if (!c->is_wanted || c->is_reported || t->count == ACME_WANTED_MAX)
                return;
        c->is_reported = true;
        t->names[t->count++] = c->name;
}

/* What does not fit, or comes while the client has not asked, is reported when it asks. */
static void report(struct app_acme *m)
{
        struct report t = { .count = 0 };

        if (!acme_link_is_asked(m->proxy->acme))
                return;
        map_each(&m->by_name, add_unreported, &t);
        if (t.count > 0)
                acme_link_want(m->proxy->acme, t.names, t.count);
}

static void forget_reported(void *ctx, struct str name, void *value)
{
        struct app_cert *c = value;

        (void)ctx;
        (void)name;
        c->is_reported = false;
}

void app_acme_asked(struct app_acme *m, bool is_first)
{
        m->is_served = true;
        if (is_first) /* a new process of the ACME client */
                map_each(&m->by_name, forget_reported, NULL);
        report(m);
}

/* ---- handshakes that wait -------------------------------------------------------------------------------- */

void app_acme_leave(struct app_acme_wait *w)
{
        if (w->of == NULL)
                return;
        *w->at = w->next;
        if (w->next != NULL)
                w->next->at = w->at;
        w->of->waits--;
        timer_free(w->deadline);
        *w = (struct app_acme_wait){ .over = w->over, .ctx = w->ctx };
}

static void end_wait(void *ctx)
{
        struct app_acme_wait *w = ctx;

        app_acme_leave(w);
        w->over(w->ctx);
}

static void end_waits(struct app_cert *c)
{
        c->is_wanted = false;
        while (c->first != NULL)
                end_wait(c->first);
}

static void wait_for(struct app_acme *m, struct app_cert *c, struct app_acme_wait *w)
{
        w->of = m;
        w->next = c->first;
        w->at = &c->first;
        if (w->next != NULL)
                w->next->at = &w->next;
        c->first = w;
        m->waits++;
        w->deadline = timer_new(&m->proxy->loop, end_wait, w);
        timer_start(w->deadline, MILLISECONDS(TIMEOUT_ACME_APP_WAIT));
}

static bool is_due(const struct app_acme *m, const struct app_cert *c)
{
        bool is_renewal = c->cert_pem.len > 0;

        return c->rest.ns <= loop_now(&m->proxy->loop).ns && (!is_renewal || c->renew_at.ns <= loop_wall(&m->proxy->loop).ns);
}

bool app_acme_wait(struct app_acme *m, struct str server_name, struct app_acme_wait *w)
{
        const Cteleport__V1__ProxyConfig *config = m == NULL ? NULL : proxy_config(m->proxy);
        char name[APP_CERT_NAME_MAX + 1];

        if (config == NULL || !m->is_served ||
            !app_addresses_may_certify(&m->proxy->app_addresses, server_name, config->public_addr, config->n_public_addr, name))
                return false;
        struct app_cert *c = get_or_add(m, str_of(name));
        if (c == NULL)
                return false;
        if (!c->is_wanted && is_due(m, c)) {
                c->is_wanted = true;
                c->is_reported = false;
                report(m);
        }
        bool is_valid = c->cert_pem.len > 0 && c->not_after.ns > loop_wall(&m->proxy->loop).ns;
        if (is_valid || !c->is_wanted || m->waits >= LIMIT_ACME_APP_WAITS)
                return false;
        wait_for(m, c, w);
        return true;
}

/* ---- certificates ---------------------------------------------------------------------------------------- */

static struct error *show_one(const struct app_cert *c, struct tls_context *tls)
{
        return tls_context_add(tls, c->name, (struct tls_identity){ .cert_chain_pem = secret_str(&c->cert_pem), .key_pem = secret_str(&c->key_pem) });
}

struct showing {
        struct tls_context *tls;
        struct error *err;
};

static void show(void *ctx, struct str name, void *value)
{
        struct showing *s = ctx;
        const struct app_cert *c = value;

        (void)name;
        if (c->cert_pem.len > 0 && s->err == NULL)
                s->err = show_one(c, s->tls);
}

struct error *app_acme_show(struct app_acme *m, struct tls_context *tls)
{
        struct showing s = { .tls = tls };

        if (m != NULL)
                map_each(&m->by_name, show, &s);
        return s.err;
}

static struct error *take_pair(struct app_acme *m, struct app_cert *c, const Cteleport__Internal__V1__AcmeApp *msg)
{
        struct tls_identity pair = { .cert_chain_pem = pb_str(msg->pair->cert_pem), .key_pem = pb_str(msg->pair->key_pem) };

        if (m->proxy->tls_apps != NULL) /* it is made with all of them otherwise */
                TRY(tls_context_add(m->proxy->tls_apps, c->name, pair));
        secret_release(&c->cert_pem);
        secret_release(&c->key_pem);
        c->cert_pem = secret_of(pair.cert_chain_pem);
        c->key_pem = secret_of(pair.key_pem);
        c->renew_at = walltime_of_unix(msg->renew_at);
        c->not_after = walltime_of_unix(msg->not_after);
        c->rest = (struct instant){ 0 };
        log_debug("An application has a certificate of ACME", LOG_C("name", c->name));
        return NULL;
}

/* It stays in the context until that is made anew, and has expired. */
static void forget(struct app_cert *c)
{
        secret_release(&c->cert_pem);
        secret_release(&c->key_pem);
}

struct error *app_acme_take(struct app_acme *m, const Cteleport__Internal__V1__AcmeApp *msg)
{
        struct str name = str_of(msg->name);
        struct error *err = NULL;

        if (!name_is_host(name) || name.len > APP_CERT_NAME_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "a certificate for a name that is no application's");
        struct app_cert *c = get_or_add(m, name);
        if (c == NULL)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "there are certificates for too many names");
        if (msg->pair != NULL && msg->pair->cert_pem.len > 0)
                err = take_pair(m, c, msg);
        else if (msg->is_gone)
                forget(c);
        else
                c->rest = instant_add(loop_now(&m->proxy->loop), SECONDS(msg->pause_seconds));
        end_waits(c);
        return err;
}

static void free_one(void *ctx, struct str name, void *value)
{
        (void)ctx;
        (void)name;
        cert_free(value);
}

void app_acme_free(struct app_acme *m)
{
        if (m == NULL)
                return;
        map_each(&m->by_name, free_one, NULL);
        map_release(&m->by_name);
        free(m);
}

struct app_acme *app_acme_new(struct proxy *p)
{
        struct app_acme *m = NEW(struct app_acme);

        *m = (struct app_acme){ .proxy = p };
        return m;
}
