/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/users/directory.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "resource/lock.h"
#include "resource/user.h"
#include "state/lock.h"
#include "state/role.h"
#include "state/state_watch.h"
#include "state/user.h"

/* A stored resource has at most LIMIT_STORE_VALUE bytes; decoded it needs a few times that. */
enum { RECORD_ARENA = 4 * LIMIT_STORE_VALUE, PRESET_ARENA = 64 * KiB };

/* The current version of one resource. */
struct record {
        struct arena *arena;
        const ProtobufCMessage *message;
        uint64_t revision;
};

enum section_kind { USERS, ROLES, LOCKS, SECTIONS };

static const struct state_kind *const section_kinds[SECTIONS] = { [USERS] = &user_kind, [ROLES] = &role_kind, [LOCKS] = &lock_kind };

struct section {
        struct directory *directory;
        const struct state_kind *kind;
        struct state_watch *watch;
        struct map records; /* name -> struct record, owned */
        struct map unreadable; /* name -> revision of a record that cannot be read */
};

struct directory_watch {
        struct directory *directory;
        struct directory_watch *next, **at;
        void (*changed)(void *ctx);
        void *ctx;
};

struct directory {
        struct auth *auth;
        struct section sections[SECTIONS];
        size_t loading; /* index of the section that is being read */
        void (*ready)(void *ctx, struct error *err); /* NULL after its call */
        void *ready_ctx;
        struct directory_watch *watches, *next_watch; /* next_watch: the next one to call, during report() */
        uint64_t locks_written;
        bool is_reporting; /* report() is deferred */
        bool is_closed;  /* report() will free the directory */
};

/* ---- records ------------------------------------------------------------------------------------------- */

static void record_free(struct record *r)
{
        if (r == NULL)
                return;
        arena_free(r->arena);
        free(r);
}

static struct error *section_take(struct section *s, const struct state_record *stored)
{
        struct record *r = NEW(struct record);
        ProtobufCMessage *message = NULL;

        r->arena = arena_new(RECORD_ARENA);
        r->revision = stored->revision;
        struct error *err = state_read_named(r->arena, s->kind, stored, &message);
        if (err != NULL) {
                record_free(r);
                return err;
        }
        r->message = message;
        record_free(map_put(&s->records, stored->id, r));
        return NULL;
}

/*
 * A user or role that cannot be decoded grants nothing. For a lock that cannot be decoded, the last version that could be
 * decoded stays in force, if there is one; the log reports it at each start.
 */
static void take_or_skip(struct section *s, const struct state_record *stored)
{
        struct error *err = section_take(s, stored);

        if (s->kind == &lock_kind)
                s->directory->locks_written++;
        if (err == NULL) {
                map_remove(&s->unreadable, stored->id);
                return;
        }
        if (s->kind != &lock_kind)
                record_free(map_remove(&s->records, stored->id));
        map_put(&s->unreadable, stored->id, (void *)(uintptr_t)stored->revision);
        state_log_unreadable(stored, err);
}

static struct error *take_found(void *ctx, const struct state_record *stored)
{
        take_or_skip(ctx, stored);
        return NULL;
}

static const struct record *find(const struct directory *d, enum section_kind kind, struct str name)
{
        return map_get(&d->sections[kind].records, name);
}

static void free_record(void *ctx, struct str key, void *value)
{
        (void)ctx;
        (void)key;
        record_free(value);
}

static void directory_free(struct directory *d)
{
        for (size_t i = 0; i < SECTIONS; i++) {
                map_each(&d->sections[i].records, free_record, NULL);
                map_release(&d->sections[i].records);
                map_release(&d->sections[i].unreadable);
        }
        free(d);
}

/* ---- reports of changes ------------------------------------------------------------------------------------ */

static void report(void *ctx)
{
        struct directory *d = ctx;

        d->is_reporting = false;
        if (d->is_closed) {
                directory_free(d);
                return;
        }
        for (struct directory_watch *w = d->watches; w != NULL; w = d->next_watch) {
                d->next_watch = w->next;
                w->changed(w->ctx);
        }
        d->next_watch = NULL;
}

/* Changes within one turn of the loop are reported once. */
static void report_soon(struct directory *d)
{
        if (d->is_reporting)
                return;
        d->is_reporting = true;
        loop_defer(&d->auth->loop, report, d);
}

struct directory_watch *directory_watch(struct directory *d, void (*changed)(void *ctx), void *ctx)
{
        struct directory_watch *w = NEW(struct directory_watch);

        *w = (struct directory_watch){ .directory = d, .next = d->watches, .at = &d->watches, .changed = changed, .ctx = ctx };
        if (w->next != NULL)
                w->next->at = &w->next;
        d->watches = w;
        return w;
}

void directory_unwatch(struct directory_watch *w)
{
        if (w == NULL)
                return;
        if (w->directory->next_watch == w)
                w->directory->next_watch = w->next;
        *w->at = w->next;
        if (w->next != NULL)
                w->next->at = w->at;
        free(w);
}

/* ---- following the store -------------------------------------------------------------------------------------- */

static void on_change(void *ctx, const struct state_record *stored, bool is_deleted)
{
        struct section *s = ctx;

        if (is_deleted) {
                record_free(map_remove(&s->records, stored->id));
                map_remove(&s->unreadable, stored->id);
        } else {
                take_or_skip(s, stored);
        }
        report_soon(s->directory);
}

static void finish(struct directory *d, struct error *err)
{
        void (*ready)(void *ctx, struct error *err) = d->ready;

        d->ready = NULL;
        ready(d->ready_ctx, err);
}

static void on_presets(void *ctx, uint64_t revision, struct error *err)
{
        (void)revision;
        finish(ctx, err);
}

/* Stores the preset roles that do not exist yet. */
static void write_presets(struct directory *d)
{
        AUTO_PTR(arena) arena = arena_new(PRESET_ARENA);
        struct store_txn *t = store_txn_new(d->auth->store);

        for (size_t i = 0; access_preset_names[i] != NULL; i++) {
                if (find(d, ROLES, str_of(access_preset_names[i])) != NULL || map_get(&d->sections[ROLES].unreadable, str_of(access_preset_names[i])) != NULL)
                        continue;
                state_put(t, &role_kind, str_of(access_preset_names[i]), &access_preset(arena, str_of(access_preset_names[i]))->base,
                          (struct walltime){ 0 });
        }
        store_txn_commit(t, on_presets, d);
}

static void read_next(struct directory *d);

static void on_section(void *ctx, struct error *err)
{
        struct directory *d = ((struct section *)ctx)->directory;

        d->loading++;
        if (err != NULL)
                finish(d, err);
        else if (d->loading == SECTIONS)
                write_presets(d);
        else
                read_next(d);
}

static void each_name(void *ctx, void (*fn)(void *fn_ctx, struct str id), void *fn_ctx)
{
        struct section *s = ctx;

        state_each_key(&s->records, fn, fn_ctx);
        state_each_key(&s->unreadable, fn, fn_ctx);
}

static const struct state_watch_events section_events = { .changed = on_change, .found = take_found, .each_id = each_name };

static void read_next(struct directory *d)
{
        struct section *s = &d->sections[d->loading];

        s->watch = state_copy_new(d->auth->store, s->kind, &d->auth->is_stopping, &section_events, on_section, s);
}

struct directory *directory_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void *ctx)
{
        struct directory *d = NEW(struct directory);

        d->auth = a;
        d->ready = ready;
        d->ready_ctx = ctx;
        for (size_t i = 0; i < SECTIONS; i++) {
                struct section *s = &d->sections[i];

                s->directory = d;
                s->kind = section_kinds[i];
        }
        read_next(d);
        return d;
}

void directory_stop(struct directory *d)
{
        if (d == NULL)
                return;
        for (size_t i = 0; i < SECTIONS; i++) {
                state_watch_free(d->sections[i].watch);
                d->sections[i].watch = NULL;
        }
}

void directory_close(struct directory *d)
{
        if (d == NULL)
                return;
        directory_stop(d);
        while (d->watches != NULL)
                directory_unwatch(d->watches);
        d->is_closed = true;
        if (!d->is_reporting)
                directory_free(d);
}

/* ---- queries ----------------------------------------------------------------------------------------------------- */

static const ProtobufCMessage *look_up(const struct directory *d, enum section_kind kind, struct str name, uint64_t *ret_revision)
{
        const struct record *r = find(d, kind, name);

        if (r == NULL) { /* its revision allows to replace or delete a record that cannot be decoded */
                if (ret_revision != NULL)
                        *ret_revision = (uint64_t)(uintptr_t)map_get(&d->sections[kind].unreadable, name);
                return NULL;
        }
        if (ret_revision != NULL)
                *ret_revision = r->revision;
        return r->message;
}

/* Whether the user has expired; the store reports the expiry a moment later. */
static bool has_ended(const struct directory *d, const Cteleport__V1__User *user)
{
        const Cteleport__V1__Timestamp *end = user->metadata->expires;

        return end != NULL && walltime_unix(loop_wall(&d->auth->loop)) >= end->seconds;
}

const Cteleport__V1__User *directory_user(const struct directory *d, struct str name, uint64_t *ret_revision)
{
        const Cteleport__V1__User *user = (const Cteleport__V1__User *)look_up(d, USERS, name, ret_revision);

        return user == NULL || has_ended(d, user) ? NULL : user;
}

const Cteleport__V1__Role *directory_role(const struct directory *d, struct str name, uint64_t *ret_revision)
{
        return (const Cteleport__V1__Role *)look_up(d, ROLES, name, ret_revision);
}

const Cteleport__V1__Lock *directory_lock(const struct directory *d, struct str name, uint64_t *ret_revision)
{
        return (const Cteleport__V1__Lock *)look_up(d, LOCKS, name, ret_revision);
}

struct each_user {
        const struct directory *directory;
        void (*each)(void *ctx, const Cteleport__V1__User *user);
        void *ctx;
};

static void opening_user(void *ctx, struct str key, void *value)
{
        const struct each_user *e = ctx;
        const Cteleport__V1__User *user = (const Cteleport__V1__User *)((const struct record *)value)->message;

        (void)key;
        if (!has_ended(e->directory, user))
                e->each(e->ctx, user);
}

void directory_each_user(const struct directory *d, void (*each)(void *ctx, const Cteleport__V1__User *user), void *ctx)
{
        struct each_user e = { d, each, ctx };

        map_each((struct map *)(uintptr_t)&d->sections[USERS].records, opening_user, &e); /* the map is not changed */
}

static struct error *missing_role(struct str user, struct str role)
{
        AUTO_MEM char *shown_user = escaped(user), *shown_role = escaped(role);

        /* A deleted role may have had deny rules: without it the rights of the user are unknown. */
        return error_hint(error_new(ERROR_PERMISSION_DENIED, "role '%s' of user '%s' does not exist any more", shown_role, shown_user),
                          "an administrator can assign other roles: tctl users update %s --set-roles=…", shown_user);
}

struct error *directory_access_user(const struct directory *d, struct str user, struct arena *a, struct access_user *ret)
{
        const Cteleport__V1__User *record = directory_user(d, user, NULL);
        struct access_user p = { 0 };

        if (record == NULL) {
                AUTO_MEM char *shown = escaped(user);

                return error_new(ERROR_NOT_FOUND, "user \"%s\" is not found", shown);
        }
        p.name = str_of(record->metadata->name);
        const Cteleport__V1__UserSpec *spec = record->spec;
        size_t role_count = spec == NULL ? 0 : spec->n_roles;
        const Cteleport__V1__Role **roles = arena_alloc(a, (role_count + 1) * sizeof *roles);
        for (size_t i = 0; i < role_count; i++) {
                roles[i] = directory_role(d, str_of(spec->roles[i]), NULL);
                if (roles[i] == NULL)
                        return missing_role(user, str_of(spec->roles[i]));
        }
        p.roles = roles;
        p.role_count = role_count;
        p.record = record;
        *ret = p;
        return NULL;
}

struct error *directory_check_issued(const struct directory *d, struct str user, struct walltime not_before)
{
        const Cteleport__V1__User *record = directory_user(d, user, NULL);
        const Cteleport__V1__CreatedBy *by = record == NULL || record->spec == NULL ? NULL : record->spec->created_by;

        if (by == NULL || by->time == NULL || walltime_unix(not_before) + LIMIT_CERT_BACKDATE_SECONDS >= by->time->seconds)
                return NULL;
        AUTO_MEM char *shown = escaped(user);
        return error_hint(error_new(ERROR_UNAUTHENTICATED, "the certificate is older than user \"%s\": it was another's of that name", shown),
                          "log in again: tsh login");
}

/* ---- locks ---------------------------------------------------------------------------------------------------------- */

struct lock_search {
        struct str cluster;
        const struct lock_subject *subject;
        struct walltime now;
        const Cteleport__V1__Lock *hit;
};

static bool is_same(const char *wanted, struct str is)
{
        return wanted != NULL && *wanted != '\0' && str_equal(str_of(wanted), is);
}

/* Compares host names or IDs, which may be spelled differently. */
static bool is_same_host(const char *wanted, struct str is, struct str cluster)
{
        return wanted != NULL && *wanted != '\0' && name_is_same(str_of(wanted), is, cluster);
}

static bool is_locked(const Cteleport__V1__LockTarget *t, const struct lock_subject *s, struct str cluster)
{
        for (size_t i = 0; i < s->role_count; i++)
                if (is_same(t->role, s->roles[i]))
                        return true;
        if (t->role != NULL && !str_is_empty(s->host_id) && str_equal_nocase(str_of(t->role), STR("Instance"))) /* of all hosts */
                return true;
        for (size_t i = 0; i < s->system_role_count; i++)
                if (t->role != NULL && str_equal_nocase(str_of(t->role), str_of(s->system_roles[i])))
                        return true;
        return is_same(t->user, s->user) || is_same(t->login, s->login) || is_same_host(t->server_id, s->host_id, cluster) ||
               is_same_host(t->node, s->host_id, cluster) || is_same_host(t->node, s->hostname, cluster) ||
               is_same(t->aws_account, s->aws_account) || lock_arn_matches(str_of(t->join_arn), s->aws_arn);
}

static bool is_attested_so(const Cteleport__V1__LockHost *host, const struct lock_subject *s)
{
        return host != NULL && is_same(host->aws_account, s->aws_account) && is_same(host->aws_arn, s->aws_arn);
}

static bool is_hit(const Cteleport__V1__LockSpec *spec, const struct lock_subject *s, struct str cluster)
{
        bool is_attested = is_attested_so(spec->host, s);

        for (size_t i = 0; i < spec->n_earlier_hosts && !is_attested; i++)
                is_attested = is_attested_so(spec->earlier_hosts[i], s);
        return is_attested || is_locked(spec->target, s, cluster);
}

static void opening_lock(void *ctx, struct str key, void *value)
{
        struct lock_search *search = ctx;
        const Cteleport__V1__Lock *lock = (const Cteleport__V1__Lock *)((const struct record *)value)->message;
        struct walltime ends = lock_ends(lock);

        (void)key;
        if (lock->spec != NULL && lock->spec->target != NULL && (ends.ns == 0 || ends.ns > search->now.ns) &&
            is_hit(lock->spec, search->subject, search->cluster))
                search->hit = lock;
}

struct error *directory_check_locks(const struct directory *d, const struct lock_subject *subject)
{
        struct lock_search search = { d->auth->cluster, subject, loop_wall(&d->auth->loop), NULL };
        AUTO(buf) target = BUF_MAX(2 * KiB);

        map_each((struct map *)(uintptr_t)&d->sections[LOCKS].records, opening_lock, &search); /* the map is not changed */
        if (search.hit == NULL)
                return NULL;
        lock_put_target(search.hit, &target);
        AUTO_MEM char *message = escaped(str_of(search.hit->spec->message));
        const char *sent = str_is_empty(str_of(search.hit->spec->message)) ? "" : message;
        struct error *err = error_new(ERROR_PERMISSION_DENIED, "%s is locked%s%s", buf_c(&target), *sent == '\0' ? "" : ": ", sent);
        return error_for(error_because(err, error_new(ERROR_PERMISSION_DENIED, "lock %s", search.hit->metadata->name)), REASON_LOCK);
}

static struct lock_subject subject_of(const Cteleport__State__V1__Host *host)
{
        return (struct lock_subject){
                .host_id = str_of(host->host_id),
                .hostname = str_of(host->hostname),
                .aws_account = str_of(host->aws_account),
                .aws_arn = str_of(host->aws_arn),
                .system_roles = host->system_roles,
                .system_role_count = host->n_system_roles,
        };
}

bool directory_would_lock(const struct directory *d, const Cteleport__V1__LockSpec *spec, const Cteleport__State__V1__Host *host)
{
        const struct lock_subject subject = subject_of(host);

        return strcmp(host->join_method, "local") != 0 && is_hit(spec, &subject, d->auth->cluster);
}

struct error *directory_check_host(const struct directory *d, const Cteleport__State__V1__Host *host)
{
        const struct lock_subject subject = subject_of(host);

        return strcmp(host->join_method, "local") == 0 ? NULL : directory_check_locks(d, &subject);
}

bool directory_has_locks(const struct directory *d)
{
        return d->sections[LOCKS].records.count > 0;
}

uint64_t directory_locks_written(const struct directory *d)
{
        return d->locks_written;
}
