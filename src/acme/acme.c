/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACME client process: orders a certificate for the hosts of proxy_service.public_addr, gives it to the proxy, and
 * renews it; likewise one for each name of an application for which the proxy's clients ask (apps.h), after it has that of the proxy. It is
 * the only process that has the account key; the proxy gets certificates with their keys, and the certificates of challenges, over their link.
 *
 * One order is in progress at a time. That of the proxy's own certificate comes before those of applications.
 */
#include <stdlib.h>

#include "acme/apps.h"
#include "acme/names.h"
#include "acme/order.h"
#include "acme/state.h"
#include "api/service.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "net/http_client.h"
#include "os/file.h"
#include "os/sandbox.h"
#include "rpc/link.h"
#include "rpc/pb.h"

enum { ROOTS_MAX = 4 * MiB, WAIT_HOURS = 10 * 365 * 24 };

struct acme {
        struct loop loop;
        struct service *service;
        const Cteleport__V1__AcmeConfig *config;
        struct acme_names names;
        struct acme_state state;
        struct buf roots; /* content of SSL_CERT_FILE; empty: the system's */
        struct http_client *http;
        struct link *proxy; /* NULL: not connected */
        struct timer *relink;
        struct acme_apps *apps;
        struct acme_order *order; /* NULL: none is in progress */
        struct acme_app *app;     /* whose order it is; NULL: it is that of the proxy's own certificate */
        struct str app_name;      /* its name */
        struct timer *next;       /* the next order, or a look at the time of the renewal */
        struct walltime due;      /* the next order, by the clock */
        struct instant rest;      /* and not before this time, which setting the clock does not change */
        struct backoff pause;     /* after failed orders */
        bool has_failed;          /* the last order */
        bool is_stopping;
};

static void wait_for_due(struct acme *a);
static void order_next_app(struct acme *a);

static struct acme_now now_of(const struct acme *a)
{
        return (struct acme_now){ loop_wall(&a->loop), loop_now(&a->loop) };
}

/* ---- the proxy ------------------------------------------------------------------------------------------ */

static void put_pair(Cteleport__Internal__V1__HttpsKeyPair *msg, struct acme_pair pair)
{
        cteleport__internal__v1__https_key_pair__init(msg);
        msg->cert_pem = pb_bytes(pair.cert_pem);
        msg->key_pem = pb_bytes(pair.key_pem);
}

static void request(struct acme *a, uint16_t verb, struct str name, struct acme_pair pair,
                    void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err))
{
        Cteleport__Internal__V1__AcmeCertificate msg = CTELEPORT__INTERNAL__V1__ACME_CERTIFICATE__INIT;
        Cteleport__Internal__V1__HttpsKeyPair pair_msg;
        AUTO_MEM char *text = str_dup(name);

        put_pair(&pair_msg, pair);
        msg.name = text;
        msg.pair = &pair_msg;
        link_request(a->proxy, verb, &msg.base, &cteleport__internal__v1__acme_taken__descriptor, MILLISECONDS(TIMEOUT_RPC), done, a);
}

static void on_certificate_taken(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        (void)ctx;
        (void)answer;
        if (err != NULL && !error_is_for(err, REASON_SIBLING)) /* a new proxy process gets it with its link */
                log_error("The proxy does not use the certificate", LOG_ERR(err));
        error_free(err);
}

/* Without a certificate the proxy learns that there is none yet. */
static void give_certificate(struct acme *a)
{
        if (a->proxy != NULL)
                request(a, CTELEPORT__INTERNAL__V1__ACME_VERB__ACME_CERTIFICATE, STR(""), acme_state_pair(&a->state), on_certificate_taken);
}

/* An order ends only while it waits for the CA, or by the answer that arrives here. */
static void on_challenge_taken(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct acme *a = ctx;

        (void)answer;
        if (a->order == NULL)
                error_free(err);
        else
                acme_order_installed(a->order, err);
}

static void on_no_proxy(void *ctx)
{
        on_challenge_taken(ctx, NULL, error_for(error_new(ERROR_UNAVAILABLE, "the proxy process has ended"), REASON_SIBLING));
}

static void on_install(void *ctx, struct str name, struct acme_pair pair)
{
        struct acme *a = ctx;

        if (a->proxy == NULL)
                loop_defer(&a->loop, on_no_proxy, a);
        else
                request(a, CTELEPORT__INTERNAL__V1__ACME_VERB__ACME_CHALLENGE, name, pair, on_challenge_taken);
}

/* ---- names of applications, at the proxy ------------------------------------------------------------------ */

static void count_apps(const struct acme *a)
{
        size_t valid, failed;

        acme_apps_count(a->apps, &valid, &failed);
        metric_set(METRIC_ACME_APPS, "valid", "", (int64_t)valid);
        metric_set(METRIC_ACME_APPS, "failed", "", (int64_t)failed);
}

static void send_app(struct acme *a, Cteleport__Internal__V1__AcmeApp *msg, void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err))
{
        if (a->proxy != NULL)
                link_request(a->proxy, CTELEPORT__INTERNAL__V1__ACME_VERB__ACME_APP, &msg->base, &cteleport__internal__v1__acme_taken__descriptor,
                             MILLISECONDS(TIMEOUT_RPC), done, a);
}

static void give_app(struct acme *a, struct acme_app *app, void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err))
{
        Cteleport__Internal__V1__AcmeApp msg = CTELEPORT__INTERNAL__V1__ACME_APP__INIT;
        Cteleport__Internal__V1__HttpsKeyPair pair;

        put_pair(&pair, acme_apps_pair(app));
        msg.name = app->name;
        msg.pair = &pair;
        msg.renew_at = walltime_unix(app->renew_at);
        msg.not_after = walltime_unix(app->times.not_after);
        app->is_given = true;
        send_app(a, &msg, done);
}

/* There is no new certificate; the proxy asks again after the pause. */
static void send_pause(struct acme *a, struct str name, struct duration pause)
{
        Cteleport__Internal__V1__AcmeApp msg = CTELEPORT__INTERNAL__V1__ACME_APP__INIT;
        AUTO_MEM char *text = str_dup(name);

        msg.name = text;
        msg.pause_seconds = (uint32_t)(pause.ns / SECONDS(1).ns);
        send_app(a, &msg, on_certificate_taken);
}

static void on_app_retried(void *ctx, struct acme_app *app)
{
        send_pause(ctx, str_of(app->name), SECONDS(0));
}

static void on_app_gone(void *ctx, struct acme_app *app)
{
        Cteleport__Internal__V1__AcmeApp msg = CTELEPORT__INTERNAL__V1__ACME_APP__INIT;

        log_info("An expired certificate of an application is removed", LOG_C("name", app->name));
        msg.name = app->name;
        msg.is_gone = true;
        send_app(ctx, &msg, on_certificate_taken);
}

static bool is_own(const struct acme *a, struct str name)
{
        for (size_t i = 0; i < a->names.count; i++)
                if (str_equal_nocase(a->names.list[i], name))
                        return true;
        return false;
}

/* The proxy decides which names are those of applications; the pace, and what a name may be, is decided here. */
static void want(struct acme *a, struct str name)
{
        struct duration pause;
        struct acme_app *app;
        const char *why;

        if (!acme_apps_is_name(name) || is_own(a, name))
                return;
        if (a->state.pem.len == 0) { /* the proxy's own certificate comes first */
                send_pause(a, name, MILLISECONDS(PACE_ACME_POLL_MAX));
                return;
        }
        switch (acme_apps_want(a->apps, name, now_of(a), &app, &pause, &why)) {
        case ACME_APPS_KEPT:
                give_app(a, app, on_certificate_taken);
                break;
        case ACME_APPS_LATER:
                if (why != NULL)
                        log_warn("No certificate is ordered for the name of an application now", LOG_STR("name", name), LOG_C("reason", why),
                                 LOG_C("hint", "for many applications use https_keypairs with a certificate for all names below the proxy's"));
                send_pause(a, name, pause);
                break;
        case ACME_APPS_ORDERED:
                break;
        }
}

static void poll_wanted(struct acme *a);

/* With an error the link has ended, or the proxy is of an earlier release: on_link() polls again. */
static void on_wanted(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct acme *a = ctx;
        const Cteleport__Internal__V1__AcmeWanted *wanted = (const Cteleport__Internal__V1__AcmeWanted *)answer;

        error_free(err);
        if (wanted == NULL || a->is_stopping || a->proxy == NULL)
                return;
        poll_wanted(a);
        for (size_t i = 0; i < wanted->n_names; i++)
                want(a, str_of(wanted->names[i]));
        order_next_app(a);
}

/* Without a deadline, in practice: an answer that came after one would be lost. */
static void poll_wanted(struct acme *a)
{
        const Cteleport__Internal__V1__AcmeWantedRequest msg = CTELEPORT__INTERNAL__V1__ACME_WANTED_REQUEST__INIT;

        link_request(a->proxy, CTELEPORT__INTERNAL__V1__ACME_VERB__ACME_WANTED, &msg.base, &cteleport__internal__v1__acme_wanted__descriptor, HOURS(WAIT_HOURS),
                     on_wanted, a);
}

static void give_next(struct acme *a);

static void on_app_given(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct acme *a = ctx;
        bool is_over = err != NULL && (err->code == ERROR_CANCELLED || error_is_for(err, REASON_SIBLING));

        on_certificate_taken(a, answer, err);
        if (!is_over && !a->is_stopping && a->proxy != NULL)
                give_next(a);
}

/* One after another, as a link holds a bounded number of bytes. The proxy opens its port when it has the certificate of its own, the last one. */
static void give_next(struct acme *a)
{
        struct acme_app *app = acme_apps_not_given(a->apps);

        if (app != NULL) {
                give_app(a, app, on_app_given);
                return;
        }
        give_certificate(a);
        poll_wanted(a);
        order_next_app(a);
}

/* ---- the link --------------------------------------------------------------------------------------------- */

static void on_proxy_lost(void *ctx)
{
        struct acme *a = ctx;

        link_close(a->proxy);
        a->proxy = NULL;
        if (!a->is_stopping)
                timer_start(a->relink, MILLISECONDS(PACE_RELINK));
}

static void on_relink(void *ctx)
{
        struct acme *a = ctx;

        service_relink(a->service, "proxy");
        timer_start(a->relink, MILLISECONDS(PACE_RELINK));
}

/* Sends the certificate to each new proxy process, and continues with an order that waited for one. */
static void on_link(void *ctx, const char *name, int fd)
{
        struct acme *a = ctx;

        (void)name;
        timer_stop(a->relink);
        if (a->proxy != NULL)
                link_close(a->proxy);
        a->proxy = link_new(&a->loop, fd, on_proxy_lost, a);
        acme_apps_forget_given(a->apps);
        give_next(a);
        if (a->order == NULL)
                wait_for_due(a);
        else
                acme_order_proxy_lost(a->order);
}

/* ---- orders --------------------------------------------------------------------------------------------- */

static struct duration time_left(const struct acme *a)
{
        struct duration of_clock = walltime_since(a->due, loop_wall(&a->loop));
        struct duration of_rest = instant_since(a->rest, loop_now(&a->loop));

        return of_clock.ns > of_rest.ns ? of_clock : of_rest;
}

/* Timers measure time, renewals depend on the clock, which may be set: the clock is read at least every PACE_ACME_CHECK. */
static void wait_for_due(struct acme *a)
{
        struct duration left = time_left(a);

        if (left.ns > MILLISECONDS(PACE_ACME_CHECK).ns)
                left = MILLISECONDS(PACE_ACME_CHECK);
        timer_start(a->next, left.ns < MILLISECONDS(1).ns ? MILLISECONDS(1) : left);
}

/* The next order is due now, or after a pause. */
static void order_after(struct acme *a, struct duration pause)
{
        a->due = loop_wall(&a->loop);
        a->rest = instant_add(loop_now(&a->loop), pause);
        wait_for_due(a);
}

static void plan_renewal(struct acme *a)
{
        uint32_t random;

        metric_set(METRIC_CERTIFICATE_END, "web", "", walltime_unix(a->state.times.not_after));
        random_bytes(&random, sizeof random);
        a->due = acme_renewal_time(a->state.times, random);
        wait_for_due(a);
}

/* With a clock that is months ahead, a new certificate is due for renewal at once: it is renewed after a third of its validity then. */
static void plan_first_renewal(struct acme *a)
{
        a->rest = instant_add(loop_now(&a->loop), acme_renewal_rest(a->state.times));
        plan_renewal(a);
        if (a->due.ns <= loop_wall(&a->loop).ns)
                log_warn("The new certificate is old by the clock of this machine, which may be wrong: check it");
}

static void put_names(const struct acme *a, struct buf *out)
{
        for (size_t i = 0; i < a->names.count; i++)
                buf_printf(out, "%s%.*s", i == 0 ? "" : ", ", STR_ARG(a->names.list[i]));
}

static void take_certificate(struct acme *a, struct acme_pair pair)
{
        AUTO(buf) names = BUF_MAX(8 * KiB);
        AUTO(buf) end = BUF_MAX(64);
        struct error *err = acme_state_keep(&a->state, pair);

        if (err != NULL) {
                log_error("The certificate could not be stored; it is used until the next start", LOG_ERR(err));
                error_free(err);
        }
        put_names(a, &names);
        walltime_put_rfc3339(&end, a->state.times.not_after);
        log_info("The CA has issued a certificate", LOG_STR("names", buf_str(&names)), LOG_STR("until", buf_str(&end)));
        backoff_reset(&a->pause);
        a->has_failed = false;
        give_certificate(a);
        plan_first_renewal(a);
}

static void on_failed(struct acme *a, struct error *err, struct duration asked)
{
        struct duration pause = backoff_next(&a->pause);
        AUTO(buf) when = BUF_MAX(64);

        if (asked.ns > pause.ns)
                pause = asked;
        /* The proxy was started again. If it ends during each order, the CA counts failed orders all the same. */
        if (error_is_for(err, REASON_SIBLING) && !a->has_failed)
                pause = MILLISECONDS(PACE_ACME_POLL_MAX);
        a->has_failed = true;
        walltime_put_rfc3339(&when, walltime_add(loop_wall(&a->loop), pause));
        log_error(a->state.pem.len == 0 ? "There is no certificate yet; the proxy shows a self-signed one" :
                                          "The certificate could not be renewed; the old one stays in use",
                  LOG_ERR(err), LOG_STR("again", buf_str(&when)));
        error_free(err);
        order_after(a, pause);
}

static void on_warning(void *ctx, struct error *err)
{
        (void)ctx;
        log_warn("The certificate is ordered without a change of the account's e-mail address", LOG_ERR(err));
        error_free(err);
}

/* ---- orders of applications ------------------------------------------------------------------------------- */

static void take_app(struct acme *a, struct acme_app *app, struct acme_pair pair)
{
        AUTO(buf) end = BUF_MAX(64);
        uint32_t random;

        random_bytes(&random, sizeof random);
        struct error *err = acme_apps_keep(a->apps, app, pair, random, now_of(a));
        if (err != NULL)
                log_error("The certificate of an application could not be stored; it is used until the next start", LOG_C("name", app->name), LOG_ERR(err));
        error_free(err);
        walltime_put_rfc3339(&end, app->times.not_after);
        log_info("The CA has issued a certificate of an application", LOG_C("name", app->name), LOG_STR("until", buf_str(&end)));
        give_app(a, app, on_certificate_taken);
}

static void on_app_failed(struct acme *a, struct acme_app *app, struct error *err, struct duration asked)
{
        struct duration pause = acme_apps_failed(app, asked, error_is_for(err, REASON_SIBLING), now_of(a));
        AUTO(buf) when = BUF_MAX(64);

        walltime_put_rfc3339(&when, walltime_add(loop_wall(&a->loop), pause));
        log_error(app->pem.len == 0 ? "There is no certificate yet for the name of an application; clients get another one" :
                                      "The certificate of an application could not be renewed; the old one stays in use",
                  LOG_C("name", app->name), LOG_ERR(err), LOG_STR("not_before", buf_str(&when)));
        error_free(err);
        send_pause(a, str_of(app->name), pause);
}

/* An order of the proxy's own certificate may have become due meanwhile. */
static void on_app_done(struct acme *a, struct acme_pair pair, struct error *err, struct duration asked)
{
        struct acme_app *app = a->app;

        a->app = NULL;
        if (err != NULL)
                on_app_failed(a, app, err, asked);
        else
                take_app(a, app, pair);
        count_apps(a);
        wait_for_due(a);
}

static void on_done(void *ctx, struct acme_pair pair, struct error *err, struct duration asked)
{
        struct acme *a = ctx;

        a->order = NULL;
        if (a->proxy != NULL) /* the challenge is over */
                request(a, CTELEPORT__INTERNAL__V1__ACME_VERB__ACME_CHALLENGE, STR(""), (struct acme_pair){ 0 }, on_certificate_taken);
        if (a->is_stopping)
                error_free(err);
        else if (a->app != NULL)
                on_app_done(a, pair, err, asked);
        else if (err != NULL)
                on_failed(a, err, asked);
        else
                take_certificate(a, pair);
        if (!a->is_stopping)
                order_next_app(a);
}

static void start_order(struct acme *a, const struct str *names, size_t count, int timeout)
{
        const struct acme_order_options options = {
                .loop = &a->loop, .http = a->http, .directory = a->config->uri, .email = a->config->email, .account = &a->state.account,
                .names = names, .count = count, .within = MILLISECONDS(timeout), .install = on_install, .warn = on_warning, .done = on_done, .ctx = a,
        };

        a->order = acme_order_start(&options);
}

static void order_now(struct acme *a)
{
        if (a->proxy == NULL) /* on_link() continues */
                return;
        log_info(a->state.pem.len == 0 ? "A certificate is ordered" : "The certificate is renewed", LOG_C("ca", a->config->uri));
        start_order(a, a->names.list, a->names.count, TIMEOUT_ACME_ORDER);
}

/* Unless there is another order, or one of the proxy's own certificate is due. */
static void order_next_app(struct acme *a)
{
        if (a->order != NULL || a->proxy == NULL || time_left(a).ns <= 0)
                return;
        a->app = acme_apps_next(a->apps);
        if (a->app == NULL)
                return;
        a->app_name = str_of(a->app->name);
        log_info(a->app->pem.len == 0 ? "A certificate of an application is ordered" : "The certificate of an application is renewed", LOG_C("name", a->app->name),
                 LOG_C("ca", a->config->uri));
        start_order(a, &a->app_name, 1, TIMEOUT_ACME_APP_ORDER);
}

static void on_next(void *ctx)
{
        struct acme *a = ctx;

        if (a->order != NULL || a->is_stopping)
                return;
        acme_apps_sweep(a->apps, now_of(a), on_app_gone, a);
        count_apps(a);
        if (time_left(a).ns > 0)
                wait_for_due(a);
        else
                order_now(a);
}

/* The operator may have removed the reason of a failure. */
static void on_reload(void *ctx)
{
        struct acme *a = ctx;

        if (a->is_stopping)
                return;
        acme_apps_retry(a->apps, on_app_retried, a);
        if (a->has_failed && a->order == NULL)
                order_after(a, SECONDS(0));
}

/* ---- start and stop --------------------------------------------------------------------------------------- */

static void on_stop(void *ctx)
{
        struct acme *a = ctx;

        a->is_stopping = true;
        timer_stop(a->relink);
        timer_stop(a->next);
        if (a->proxy != NULL)
                link_close(a->proxy); /* ends a pending request */
        a->proxy = NULL;
        if (a->order != NULL)
                acme_order_cancel(a->order);
}

static const struct service_events service_events = { .on_stop = on_stop, .on_reload = on_reload, .on_link = on_link };

/* As SSL_CERT_FILE is commonly read: it replaces the system's roots. The user of this process may not be able to read it later. */
static struct error *read_roots(struct acme *a)
{
        const char *file = getenv("SSL_CERT_FILE");

        a->roots = BUF_MAX(ROOTS_MAX);
        if (file == NULL || file[0] == '\0')
                return NULL;
        struct error *err = file_read(file, &a->roots);
        return err == NULL ? NULL : error_wrap(err, "SSL_CERT_FILE");
}

/* Makes data_dir/acme the working directory, owned by the user of this process. */
static struct error *take_dir(const struct acme *a)
{
        AUTO_MEM char *dir = mem_printf("%s/acme", a->service->boot->data_dir);

        TRY(sandbox_take_dir(&a->service->row->user, dir));
        struct error *err = sandbox_become_unprivileged(&a->service->row->user);
        if (err == NULL)
                err = dir_make(".", 0700); /* it exists: checks that only this user can access it */
        return err == NULL ? NULL : error_wrap(err, "%s", dir);
}

static struct error *enter_sandbox(struct acme *a)
{
        static const char *const write[] = { ".", NULL };

        TRY(read_roots(a));
        TRY(http_client_load()); /* its libraries cannot be opened later */
        TRY(take_dir(a));
        TRY(sandbox_enter(a->service->row->sandbox, (struct sandbox_paths){ .write = write }));
        log_debug("sandbox", LOG_C("has", sandbox_describe()));
        return NULL;
}

static struct error *set_up(struct acme *a)
{
        a->config = a->service->boot->config->proxy_service->acme;
        acme_names_collect(a->service->boot->config->proxy_service, &a->names);
        TRY(loop_init(&a->loop, NULL));
        TRY(enter_sandbox(a));
        struct error *err = acme_state_load(".", a->config->uri, a->names.list, a->names.count, loop_wall(&a->loop), &a->state);
        if (err != NULL)
                return error_wrap(err, "%s/acme", a->service->boot->data_dir);
        AUTO_MEM char *apps = mem_printf("%s/apps", a->state.dir);
        TRY(acme_apps_open(apps, now_of(a), &a->apps));
        count_apps(a);
        a->http = http_client_new(&a->loop, (struct http_client_options){ .ca_pem = buf_str(&a->roots), .keep = 1 });
        a->pause = (struct backoff){ .first = MILLISECONDS(PACE_ACME_RETRY_FIRST), .most = MILLISECONDS(PACE_ACME_RETRY_MAX) };
        a->relink = timer_new(&a->loop, on_relink, a);
        a->next = timer_new(&a->loop, on_next, a);
        TRY(service_control(a->service, &a->loop, &service_events, a));
        if (a->state.pem.len > 0)
                plan_renewal(a);
        int fd = service_take_fd(a->service, "proxy");
        if (fd >= 0)
                on_link(a, "proxy", fd);
        return NULL;
}

int acme_main(struct service *service)
{
        static struct acme the_acme;
        struct acme *a = &the_acme;

        a->service = service;
        struct error *err = set_up(a);
        if (err != NULL) {
                service_fatal(service, err);
                return 1;
        }
        service_ready(service);
        loop_run(&a->loop);
        timer_free(a->relink);
        timer_free(a->next);
        http_client_free(a->http);
        acme_apps_close(a->apps);
        acme_state_release(&a->state);
        buf_release(&a->roots);
        service_end(service);
        loop_release(&a->loop);
        return 0;
}
