/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/web/web_sessions.h"

#include <stdlib.h>

#include "auth/core/outbox.h"
#include "auth/users/directory.h"
#include "base/log.h"
#include "base/mem.h"
#include "state/state_watch.h"
#include "state/web_session.h"

enum { RECORD_ARENA = 4 * LIMIT_STORE_VALUE };

struct entry {
        char *id, *user, *remote_addr, *user_agent;
        char *parent, *app; /* of the session of an application; "": a login */
        int64_t created, expires, last_used, noted; /* noted: the stored time of the last use */
};

struct web_sessions {
        struct auth *auth;
        struct state_watch *watch;
        struct map by_id; /* struct entry, owned */
        void (*ready)(void *ctx, struct error *err);
        void *ready_ctx;
        void (*ended)(void *ctx); /* NULL: nobody watches */
        void *ended_ctx;
};

static void entry_free(struct entry *e)
{
        if (e == NULL)
                return;
        free(e->id);
        free(e->user);
        free(e->remote_addr);
        free(e->user_agent);
        free(e->parent);
        free(e->app);
        free(e);
}

/* ---- following the store ---------------------------------------------------------------------------------- */

static struct error *on_found(void *ctx, const struct state_record *record)
{
        struct web_sessions *w = ctx;
        AUTO_PTR(arena) arena = arena_new(RECORD_ARENA);
        Cteleport__State__V1__WebSession *s = NULL;
        struct entry *e;

        TRY(web_session_read(arena, record, &s));
        e = NEW(struct entry);
        *e = (struct entry){ .id = str_dup(record->id), .user = str_dup(str_of(s->user)), .remote_addr = str_dup(str_of(s->remote_addr)),
                             .user_agent = str_dup(str_of(s->user_agent)),
                             .parent = str_dup(str_of(s->parent)), .app = str_dup(str_of(s->app)), .created = s->created, .expires = s->expires,
                             .last_used = s->created, .noted = s->created };
        entry_free(map_put(&w->by_id, record->id, e));
        return NULL;
}

/* A session whose record cannot be read has ended: its certificate is refused. */
static void on_change(void *ctx, const struct state_record *record, bool is_deleted)
{
        struct web_sessions *w = ctx;

        if (!is_deleted) {
                state_log_unreadable(record, on_found(ctx, record));
                return;
        }
        entry_free(map_remove(&w->by_id, record->id));
        if (w->ended != NULL)
                w->ended(w->ended_ctx);
}

void web_sessions_watch(struct web_sessions *w, void (*ended)(void *ctx), void *ctx)
{
        if (w == NULL)
                return;
        w->ended = ended;
        w->ended_ctx = ctx;
}

static void each_id(void *ctx, void (*fn)(void *fn_ctx, struct str id), void *fn_ctx)
{
        state_each_key(&((struct web_sessions *)ctx)->by_id, fn, fn_ctx);
}

static const struct state_watch_events watch_events = { .changed = on_change, .found = on_found, .each_id = each_id };

static struct error *on_use(void *ctx, const struct state_record *record)
{
        struct web_sessions *w = ctx;
        struct entry *e = map_get(&w->by_id, record->id);
        int64_t used;

        TRY(web_session_use_read(record, &used));
        if (e != NULL)
                e->last_used = e->noted = used;
        return NULL;
}

static void on_uses(void *ctx, struct error *err)
{
        struct web_sessions *w = ctx;

        w->ready(w->ready_ctx, err);
}

static void on_sessions(void *ctx, struct error *err)
{
        struct web_sessions *w = ctx;

        if (err != NULL)
                w->ready(w->ready_ctx, err);
        else
                state_scan(w->auth->store, &web_session_use_kind, &w->auth->is_stopping, on_use, on_uses, w);
}

struct web_sessions *web_sessions_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void *ctx)
{
        struct web_sessions *w = NEW(struct web_sessions);

        *w = (struct web_sessions){ .auth = a, .ready = ready, .ready_ctx = ctx };
        w->watch = state_copy_new(a->store, &web_session_kind, &a->is_stopping, &watch_events, on_sessions, w);
        return w;
}

void web_sessions_stop(struct web_sessions *w)
{
        if (w == NULL)
                return;
        state_watch_free(w->watch);
        w->watch = NULL;
}

static void free_entry(void *ctx, struct str key, void *value)
{
        (void)ctx;
        (void)key;
        entry_free(value);
}

void web_sessions_close(struct web_sessions *w)
{
        if (w == NULL)
                return;
        web_sessions_stop(w);
        map_each(&w->by_id, free_entry, NULL);
        map_release(&w->by_id);
        free(w);
}

/* ---- queries -------------------------------------------------------------------------------------------------- */

static const struct entry *find(const struct web_sessions *w, struct str id)
{
        const struct entry *e = w == NULL ? NULL : map_get(&w->by_id, id);

        /* the store reports an expiry a moment later */
        if (e == NULL || walltime_unix(loop_wall(&w->auth->loop)) >= e->expires)
                return NULL;
        return e->parent[0] == '\0' || find(w, str_of(e->parent)) != NULL ? e : NULL;
}

struct error *web_sessions_check(const struct web_sessions *w, struct str id, struct str user)
{
        const struct entry *e;

        if (str_is_empty(id))
                return NULL;
        e = find(w, id);
        if (e != NULL && str_equal(str_of(e->user), user))
                return NULL;
        return error_hint(error_for(error_new(ERROR_UNAUTHENTICATED, "this login in the browser has ended"), REASON_IDENTITY), "log in again");
}

static struct web_session_info info_of(const struct entry *e)
{
        return (struct web_session_info){ .id = str_of(e->id), .user = str_of(e->user), .remote_addr = str_of(e->remote_addr),
                                          .user_agent = str_of(e->user_agent), .app = str_of(e->app), .created = e->created, .expires = e->expires,
                                          .last_used = e->last_used };
}

bool web_sessions_find(const struct web_sessions *w, struct str id, struct web_session_info *ret)
{
        const struct entry *e = find(w, id);

        if (e != NULL)
                *ret = info_of(e);
        return e != NULL;
}

struct collection {
        const struct web_sessions *sessions;
        struct str user;
        struct web_session_info *list;
        size_t count, room;
        bool is_app; /* those of applications, otherwise logins */
};

static void collect(void *ctx, struct str key, void *value)
{
        struct collection *c = ctx;
        const struct entry *e = value;

        if ((e->app[0] != '\0') != c->is_app || !str_equal(str_of(e->user), c->user) || find(c->sessions, key) == NULL || c->count == c->room)
                return;
        AUTO_PTR(error) err = directory_check_issued(c->sessions->auth->directory, c->user, walltime_of_unix(e->created));
        if (err == NULL)
                c->list[c->count++] = info_of(e);
}

static int by_age(const void *a, const void *b)
{
        const struct web_session_info *one = a, *other = b;

        if (one->created != other->created)
                return one->created < other->created ? 1 : -1;
        return str_compare(one->id, other->id);
}

static size_t sessions_of(struct web_sessions *w, struct str user, bool is_app, struct web_session_info *list, size_t room)
{
        struct collection c = { .sessions = w, .user = user, .list = list, .room = room, .is_app = is_app };

        map_each(&w->by_id, collect, &c);
        qsort(list, c.count, sizeof *list, by_age);
        return c.count;
}

size_t web_sessions_of(struct web_sessions *w, struct str user, struct web_session_info *list, size_t room)
{
        return sessions_of(w, user, false, list, room);
}

/* ---- changes -------------------------------------------------------------------------------------------------- */

static void on_noted(void *ctx, uint64_t revision, struct error *err)
{
        (void)ctx;
        (void)revision;
        if (err != NULL && err->code != ERROR_ABORTED) /* ABORTED: the session has ended meanwhile */
                log_warn("The time of a web session's use was not stored", LOG_ERR(err));
        error_free(err);
}

void web_sessions_use(struct web_sessions *w, struct str id)
{
        struct entry *e = w == NULL || str_is_empty(id) ? NULL : map_get(&w->by_id, id);
        int64_t now = w == NULL ? 0 : walltime_unix(loop_wall(&w->auth->loop));

        if (e == NULL || w->auth->is_stopping)
                return;
        e->last_used = now;
        if (now - e->noted < PACE_WEB_SESSION_USE / 1000)
                return;
        e->noted = now;
        struct store_txn *t = store_txn_new(w->auth->store);
        state_require(t, &web_session_kind, id, STORE_ANY);
        web_session_use_put(t, id, now, e->expires);
        store_txn_commit(t, on_noted, NULL);
}

void web_sessions_add(struct web_sessions *w, struct store_txn *t, const Cteleport__State__V1__WebSession *s)
{
        struct web_session_info list[2 * LIMIT_WEB_SESSIONS_USER]; /* concurrent logins may pass the limit for a moment */
        size_t count = web_sessions_of(w, str_of(s->user), list, ARRAY_LEN(list));

        for (size_t i = LIMIT_WEB_SESSIONS_USER - 1; i < count; i++)
                web_sessions_end(w, t, list[i].id, (struct web_session_end){ "limit", str_of(s->user) });
        web_session_put(t, s);
}

void web_sessions_add_app(struct web_sessions *w, struct store_txn *t, const Cteleport__State__V1__WebSession *s)
{
        struct web_session_info list[2 * LIMIT_APP_SESSIONS_USER];
        size_t count = sessions_of(w, str_of(s->user), true, list, ARRAY_LEN(list));

        for (size_t i = LIMIT_APP_SESSIONS_USER - 1; i < count; i++)
                web_sessions_end_app(w, t, list[i].id, (struct web_session_end){ "limit", str_of(s->user) }, STR(""));
        if (s->parent[0] != '\0')
                state_require(t, &web_session_kind, str_of(s->parent), STORE_ANY); /* the login has not ended meanwhile */
        web_session_put(t, s);
}

struct ending {
        struct store_txn *txn;
        struct str parent;
};

static void end_of_parent(void *ctx, struct str key, void *value)
{
        struct ending *n = ctx;

        if (str_equal(str_of(((const struct entry *)value)->parent), n->parent))
                web_session_delete(n->txn, key);
}

/* The login was audited, and charged to its user: its end needs no budget. */
static void audit_end(struct web_sessions *w, struct store_txn *t, const struct entry *e, struct web_session_end why)
{
        struct audit_record record = { 0 };

        auth_audit_begin(w->auth, &record, &audit_web_session_end);
        audit_str(&record, "user", str_of(e->user));
        audit_str(&record, "addr.remote", str_of(e->remote_addr));
        audit_str(&record, "user_agent", str_of(e->user_agent));
        audit_str(&record, "reason", str_of(why.reason));
        audit_str(&record, "ended_by", why.by);
        outbox_add(w->auth->outbox, t, &record);
}

/* The pace of beginning sessions limits these, too. */
void web_sessions_end_app(struct web_sessions *w, struct store_txn *t, struct str id, struct web_session_end why, struct str proxy)
{
        struct audit_record record = { 0 };
        const struct entry *e = find(w, id);

        web_session_delete(t, id);
        if (e == NULL)
                return;
        auth_audit_begin(w->auth, &record, &audit_app_session_end_early);
        audit_str(&record, "user", str_of(e->user));
        audit_str(&record, "app_name", str_of(e->app));
        audit_str(&record, "addr.remote", str_of(e->remote_addr));
        audit_str(&record, "reason", str_of(why.reason));
        audit_str(&record, "ended_by", why.by);
        if (!str_is_empty(proxy))
                audit_str(&record, "server_id", proxy);
        outbox_add(w->auth->outbox, t, &record);
}

void web_sessions_end(struct web_sessions *w, struct store_txn *t, struct str id, struct web_session_end why)
{
        struct ending n = { t, id };
        const struct entry *e = find(w, id);

        web_session_delete(t, id);
        if (e != NULL) /* otherwise it has expired */
                audit_end(w, t, e, why);
        map_each(&w->by_id, end_of_parent, &n);
}

struct deletion {
        struct store_txn *txn;
        struct web_sessions *sessions;
        struct str user;
        struct web_session_end why;
};

static void delete_one(void *ctx, struct str key, void *value)
{
        struct deletion *d = ctx;
        const struct entry *e = value;

        if (e->app[0] != '\0' || !str_equal(str_of(e->user), d->user))
                return;
        web_sessions_end(d->sessions, d->txn, key, d->why);
}

void web_sessions_delete(struct web_sessions *w, struct store_txn *t, struct str user, struct web_session_end why)
{
        struct deletion d = { .txn = t, .sessions = w, .user = user, .why = why };

        if (w != NULL)
                map_each(&w->by_id, delete_one, &d);
}
