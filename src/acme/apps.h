/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of applications for which clients have asked: which of them have a certificate, which get one next, and when another order is
 * permitted. It orders nothing itself.
 *
 *   want ─┬─ has a certificate that is not due for renewal ─► KEPT
 *         ├─ its last order failed, or too many were made ──► LATER
 *         └─ else ─► ORDERED: in the queue ─► acme_apps_next() ─┬─► acme_apps_keep()
 *                                                               └─► acme_apps_failed()
 *
 * Each name has a certificate of its own, so that a name that leads elsewhere fails alone. A certificate is renewed when a client asks for
 * its name after its renewal is due: an application that is gone, or that nobody uses, costs no order, and its certificate expires.
 *
 *   data_dir/acme/<CA>/apps/<name>.pem   its key, then the chain
 */
#ifndef ACME_APPS_H
#define ACME_APPS_H

#include "acme/pair.h"
#include "base/clock.h"
#include "base/limits.h"
#include "loop/loop.h"

struct acme_app {
        char *name;
        struct secret pem;        /* empty: no certificate */
        struct cert_times times;  /* of the certificate */
        struct walltime renew_at; /* of the certificate, by the clock */
        struct walltime first_at; /* when the first one was issued */
        struct instant rest;      /* not ordered before */
        struct backoff pause;     /* after failed orders */
        bool has_failed;          /* the last order */
        bool is_queued, is_ordered;
        bool is_given;            /* for the owner: the proxy has the certificate */
        struct acme_app *next;    /* in the queue */
};

struct acme_apps;

/* The times of a call: of the clock, and of the time that passes whatever the clock says. */
struct acme_now {
        struct walltime wall;
        struct instant instant;
};

/*
 * Reads the certificates of the directory, which need not exist. Those that cannot be read are left out, those that expired more than
 * TIMEOUT_ACME_APP_KEPT ago are removed. Errors: of the directory.
 */
struct error *acme_apps_open(const char *dir, struct acme_now now, struct acme_apps **ret) MUST_USE;
void acme_apps_close(struct acme_apps *s); /* NULL is silent */

/* Whether a certificate may be ordered for the text: a host name in lower case with several labels, no IP address, of at most LIMIT_ACME_APP_NAME bytes. */
bool acme_apps_is_name(struct str name);

enum acme_apps_answer { ACME_APPS_ORDERED, ACME_APPS_KEPT, ACME_APPS_LATER };

/*
 * A client has asked for a name that acme_apps_is_name() accepts.
 *
 * ret_app    KEPT: the application, with its certificate
 * ret_pause  LATER: the time after which it may be wanted again
 * ret_why    LATER: the reason, if it is worth a line of the log; otherwise NULL
 */
enum acme_apps_answer acme_apps_want(struct acme_apps *s, struct str name, struct acme_now now, struct acme_app **ret_app, struct duration *ret_pause,
                                     const char **ret_why);

/* Takes the name that is to be ordered next from the queue; NULL: there is none. keep or failed follows. */
struct acme_app *acme_apps_next(struct acme_apps *s);

/* The order of acme_apps_next() has ended with a certificate, which is used even if it cannot be stored: errors of files. */
struct error *acme_apps_keep(struct acme_apps *s, struct acme_app *app, struct acme_pair pair, uint32_t random, struct acme_now now) MUST_USE;

/*
 * It has failed. Returns the time after which it may be wanted again: a pause that grows, or `asked` if that is longer; is_short: the reason
 * is none of the name, and a first failure counts little.
 */
struct duration acme_apps_failed(struct acme_app *app, struct duration asked, bool is_short, struct acme_now now);

/* All failures may be tried again at once; calls each() for them. */
void acme_apps_retry(struct acme_apps *s, void (*each)(void *ctx, struct acme_app *app), void *ctx);

/* Removes the certificates that expired more than TIMEOUT_ACME_APP_KEPT ago; calls gone() for each before. */
void acme_apps_sweep(struct acme_apps *s, struct acme_now now, void (*gone)(void *ctx, struct acme_app *app), void *ctx);

/* An application with a certificate that is not given; NULL: all are given, until acme_apps_forget_given(). */
struct acme_app *acme_apps_not_given(struct acme_apps *s);
void acme_apps_forget_given(struct acme_apps *s);

/* The certificate; PEM of both, borrowed (acme_state_pair()). */
struct acme_pair acme_apps_pair(const struct acme_app *app);

/* The number of names with a certificate, and of those whose last order failed. */
void acme_apps_count(struct acme_apps *s, size_t *ret_valid, size_t *ret_failed);

#endif
