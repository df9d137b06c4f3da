/* SPDX-License-Identifier: Apache-2.0 */
#include "acme/apps.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acme/state.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/names.h"
#include "os/file.h"

static const struct str suffix = STR_INIT(".pem");

struct acme_apps {
        char *dir;
        struct map by_name; /* name -> struct acme_app, owned; at most LIMIT_ACME_APPS */
        struct acme_app *queue;
        unsigned orders;         /* that are permitted now */
        struct instant refilled; /* when the last one was permitted */
};

/* ---- the table ------------------------------------------------------------------------------------------- */

static void app_free(struct acme_app *app)
{
        secret_release(&app->pem);
        free(app->name);
        free(app);
}

static struct acme_app *add(struct acme_apps *s, struct str name)
{
        struct acme_app *app = NEW(struct acme_app);

        *app = (struct acme_app){ .name = str_dup(name), .pause = { .first = MILLISECONDS(PACE_ACME_RETRY_FIRST), .most = MILLISECONDS(PACE_ACME_RETRY_MAX) } };
        map_put(&s->by_name, name, app);
        return app;
}

static void drop(struct acme_apps *s, struct acme_app *app)
{
        (void)map_remove(&s->by_name, str_of(app->name));
        app_free(app);
}

static void find_idle(void *ctx, struct str name, void *value)
{
        struct acme_app **oldest = ctx, *app = value;

        (void)name;
        if (app->pem.len == 0 && !app->is_queued && !app->is_ordered && (*oldest == NULL || app->rest.ns < (*oldest)->rest.ns))
                *oldest = app;
}

/* Makes room for one more: a name that has only failed is forgotten, the one that may be ordered again first. */
static bool make_room(struct acme_apps *s)
{
        struct acme_app *idle = NULL;

        if (s->by_name.count < LIMIT_ACME_APPS)
                return true;
        map_each(&s->by_name, find_idle, &idle);
        if (idle != NULL)
                drop(s, idle);
        return idle != NULL;
}

bool acme_apps_is_name(struct str name)
{
        for (size_t i = 0; i < name.len; i++)
                if (name.ptr[i] != char_lower(name.ptr[i]))
                        return false;
        return name.len <= LIMIT_ACME_APP_NAME && name_is_host(name) && !name_is_ip(name) && str_find_char(name, '.') < name.len;
}

static char *path_of(const struct acme_apps *s, const char *name)
{
        return mem_printf("%s/%s%s", s->dir, name, suffix.ptr);
}

static bool is_long_expired(const struct acme_app *app, struct walltime now)
{
        return app->pem.len > 0 && walltime_since(now, app->times.not_after).ns > MILLISECONDS(TIMEOUT_ACME_APP_KEPT).ns;
}

static void remove_file(const struct acme_apps *s, const char *name)
{
        AUTO_MEM char *path = path_of(s, name);

        (void)!unlink(path); /* it is found again at the next start */
}

/* ---- start and end --------------------------------------------------------------------------------------- */

static void read_one(struct acme_apps *s, const char *file, struct acme_now now)
{
        struct str name = str_of(file);

        if (!str_ends_with(name, suffix))
                return;
        name = str_slice(name, 0, name.len - suffix.len);
        if (!acme_apps_is_name(name) || s->by_name.count >= LIMIT_ACME_APPS)
                return;
        struct acme_app *app = add(s, name);
        AUTO_MEM char *path = path_of(s, app->name);
        AUTO_PTR(error) err = acme_pair_read(path, &name, 1, &app->pem, &app->times);
        if (err != NULL) {
                drop(s, app);
        } else if (is_long_expired(app, now.wall)) {
                remove_file(s, app->name);
                drop(s, app);
        } else {
                app->first_at = app->times.not_before;
                app->renew_at = acme_renewal_time(app->times, 0);
        }
}

struct error *acme_apps_open(const char *dir, struct acme_now now, struct acme_apps **ret)
{
        struct acme_apps *s = NEW(struct acme_apps);
        DIR *all = opendir(dir);
        const struct dirent *entry;

        if (all == NULL && errno != ENOENT) {
                AUTO_MEM char *shown = path_shown(dir);

                free(s);
                return error_new(ERROR_INTERNAL, "%s cannot be read: %s", shown, strerror(errno));
        }
        *s = (struct acme_apps){ .dir = str_dup(str_of(dir)), .orders = LIMIT_ACME_APP_ORDERS, .refilled = now.instant };
        while (all != NULL && (entry = readdir(all)) != NULL)
                read_one(s, entry->d_name, now);
        if (all != NULL)
                closedir(all);
        *ret = s;
        return NULL;
}

static void free_one(void *ctx, struct str name, void *value)
{
        (void)ctx;
        (void)name;
        app_free(value);
}

void acme_apps_close(struct acme_apps *s)
{
        if (s == NULL)
                return;
        map_each(&s->by_name, free_one, NULL);
        map_release(&s->by_name);
        free(s->dir);
        free(s);
}

/* ---- the pace -------------------------------------------------------------------------------------------- */

/* Whether an order is permitted now; otherwise *ret_wait is the time to the next one. */
static bool may_order(struct acme_apps *s, struct acme_now now, struct duration *ret_wait)
{
        const struct duration each = MILLISECONDS(PACE_ACME_APP_ORDER);

        while (s->orders < LIMIT_ACME_APP_ORDERS && instant_since(now.instant, s->refilled).ns >= each.ns) {
                s->orders++;
                s->refilled = instant_add(s->refilled, each);
        }
        if (s->orders == LIMIT_ACME_APP_ORDERS)
                s->refilled = now.instant;
        *ret_wait = instant_since(instant_add(s->refilled, each), now.instant);
        return s->orders > 0;
}

struct week {
        struct walltime begin;
        size_t names;
};

static void count_new(void *ctx, struct str name, void *value)
{
        struct week *w = ctx;
        const struct acme_app *app = value;

        (void)name;
        w->names += app->pem.len == 0 ? app->is_queued || app->is_ordered : app->first_at.ns > w->begin.ns;
}

/* First certificates only: CAs permit renewals beyond. Those of earlier starts count from the begin of the certificate that is left. */
static bool is_week_full(struct acme_apps *s, struct walltime now)
{
        struct week w = { .begin = walltime_sub(now, HOURS(7 * 24)) };

        map_each(&s->by_name, count_new, &w);
        return w.names >= LIMIT_ACME_APPS_WEEK;
}

/* ---- orders ---------------------------------------------------------------------------------------------- */

static void enqueue(struct acme_apps *s, struct acme_app *app)
{
        struct acme_app **at = &s->queue;

        while (*at != NULL)
                at = &(*at)->next;
        app->is_queued = true;
        app->next = NULL;
        *at = app;
        s->orders--;
}

enum acme_apps_answer acme_apps_want(struct acme_apps *s, struct str name, struct acme_now now, struct acme_app **ret_app, struct duration *ret_pause,
                                     const char **ret_why)
{
        struct acme_app *app = map_get(&s->by_name, name);

        *ret_app = app;
        *ret_why = NULL;
        if (app != NULL && (app->is_queued || app->is_ordered))
                return ACME_APPS_ORDERED;
        if (app != NULL && app->pem.len > 0 && app->renew_at.ns > now.wall.ns && app->times.not_after.ns > now.wall.ns)
                return ACME_APPS_KEPT;
        if (app != NULL && app->rest.ns > now.instant.ns) {
                *ret_pause = instant_since(app->rest, now.instant);
                return ACME_APPS_LATER;
        }
        *ret_pause = MILLISECONDS(PACE_ACME_APP_FULL);
        if ((app == NULL || app->pem.len == 0) && is_week_full(s, now.wall)) {
                *ret_why = "the names of a week have their first certificates";
                return ACME_APPS_LATER;
        }
        if (!may_order(s, now, ret_pause)) {
                *ret_why = "too many orders follow each other";
                return ACME_APPS_LATER;
        }
        if (app == NULL && !make_room(s)) {
                *ret_pause = MILLISECONDS(PACE_ACME_APP_FULL);
                *ret_why = "the proxy has certificates for as many names as it keeps";
                return ACME_APPS_LATER;
        }
        if (app == NULL)
                app = *ret_app = add(s, name);
        enqueue(s, app);
        return ACME_APPS_ORDERED;
}

struct acme_app *acme_apps_next(struct acme_apps *s)
{
        struct acme_app *app = s->queue;

        if (app == NULL)
                return NULL;
        s->queue = app->next;
        app->next = NULL;
        app->is_queued = false;
        app->is_ordered = true;
        return app;
}

/* With a clock that is months ahead, a new certificate is due for renewal at once: it is renewed after a third of its validity then. */
static void plan_renewal(struct acme_app *app, uint32_t random, struct acme_now now)
{
        app->renew_at = acme_renewal_time(app->times, random);
        app->rest = instant_add(now.instant, acme_renewal_rest(app->times));
}

struct error *acme_apps_keep(struct acme_apps *s, struct acme_app *app, struct acme_pair pair, uint32_t random, struct acme_now now)
{
        AUTO_MEM char *path = path_of(s, app->name);
        bool is_first = app->pem.len == 0;
        struct error *err = dir_make(s->dir, 0700);

        err = error_also(err, acme_pair_write(path, pair, &app->pem, &app->times));
        app->is_ordered = app->has_failed = false;
        backoff_reset(&app->pause);
        if (is_first)
                app->first_at = now.wall;
        plan_renewal(app, random, now);
        return err;
}

struct duration acme_apps_failed(struct acme_app *app, struct duration asked, bool is_short, struct acme_now now)
{
        struct duration pause = backoff_next(&app->pause);

        if (asked.ns > pause.ns)
                pause = asked;
        if (is_short && !app->has_failed)
                pause = MILLISECONDS(PACE_ACME_POLL_MAX);
        app->is_ordered = false;
        app->has_failed = true;
        app->rest = instant_add(now.instant, pause);
        return pause;
}

/* ---- all of them ----------------------------------------------------------------------------------------- */

struct each {
        struct acme_apps *apps;
        struct acme_now now;
        void (*fn)(void *ctx, struct acme_app *app);
        void *ctx;
};

static void retry_one(void *ctx, struct str name, void *value)
{
        const struct each *e = ctx;
        struct acme_app *app = value;

        (void)name;
        if (!app->has_failed || app->is_queued || app->is_ordered)
                return;
        app->rest = (struct instant){ 0 };
        e->fn(e->ctx, app);
}

void acme_apps_retry(struct acme_apps *s, void (*each)(void *ctx, struct acme_app *app), void *ctx)
{
        map_each(&s->by_name, retry_one, &(struct each){ .apps = s, .fn = each, .ctx = ctx });
}

static void sweep_one(void *ctx, struct str name, void *value)
{
        const struct each *e = ctx;
        struct acme_app *app = value;

        (void)name;
        if (app->is_queued || app->is_ordered || !is_long_expired(app, e->now.wall))
                return;
        e->fn(e->ctx, app);
        remove_file(e->apps, app->name);
        drop(e->apps, app);
}

void acme_apps_sweep(struct acme_apps *s, struct acme_now now, void (*gone)(void *ctx, struct acme_app *app), void *ctx)
{
        map_each(&s->by_name, sweep_one, &(struct each){ .apps = s, .now = now, .fn = gone, .ctx = ctx });
}

static void find_not_given(void *ctx, struct str name, void *value)
{
        struct acme_app **found = ctx, *app = value;

        (void)name;
        if (*found == NULL && app->pem.len > 0 && !app->is_given)
                *found = app;
}

struct acme_app *acme_apps_not_given(struct acme_apps *s)
{
        struct acme_app *found = NULL;

        map_each(&s->by_name, find_not_given, &found);
        return found;
}

static void forget_given(void *ctx, struct str name, void *value)
{
        struct acme_app *app = value;

        (void)ctx;
        (void)name;
        app->is_given = false;
}

void acme_apps_forget_given(struct acme_apps *s)
{
        map_each(&s->by_name, forget_given, NULL);
}

struct acme_pair acme_apps_pair(const struct acme_app *app)
{
        return (struct acme_pair){ secret_str(&app->pem), secret_str(&app->pem) };
}

struct counts {
        size_t valid, failed;
};

static void count_one(void *ctx, struct str name, void *value)
{
        struct counts *c = ctx;
        const struct acme_app *app = value;

        (void)name;
        c->valid += app->pem.len > 0;
        c->failed += app->has_failed;
}

void acme_apps_count(struct acme_apps *s, size_t *ret_valid, size_t *ret_failed)
{
        struct counts c = { 0 };

        map_each(&s->by_name, count_one, &c);
        *ret_valid = c.valid;
        *ret_failed = c.failed;
}
