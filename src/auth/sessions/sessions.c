/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of connections: connections with a report stream and lost connections, whose node is silent. It handles the events
 * that concern all connections: changes of users, roles and locks, removed hosts, the start and the end of the Auth Service.
 */
#include <stdlib.h>

#include "auth/hosts/tunnels_service.h"
#include "auth/sessions/kinds.h"
#include "auth/sessions/session_events.h"
#include "auth/sessions/sessions_internal.h"
#include "auth/web/web_sessions.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "state/host.h"
#include "state/state_watch.h"

/* A connection without a report stream. */
struct lost {
        struct instant since;
};

static void free_if_idle(struct sessions *s)
{
        if (!s->is_closing || s->pending > 0)
                return;
        map_release(&s->reporting);
        map_release(&s->lost);
        free(s);
}

void sessions_leave(struct sessions *s)
{
        s->pending--;
        free_if_idle(s);
}

bool session_has_report_stream(const struct sessions *s, struct str connection_id)
{
        return map_get(&s->reporting, connection_id) != NULL;
}

/* ---- connections by host and user ------------------------------------------------------------------------------------------ */

/* The host, the kind and the user of a connection, for the shares. */
struct counted {
        const struct resource_kind *kind;
        char *host_id, *user;
};

/* The connections to one host. */
struct host_shares {
        struct shares of_kind[KIND_COUNT];
};

static struct shares *host_shares_of(struct sessions *s, const struct resource_kind *kind, struct str host_id)
{
        struct host_shares *load = map_get(&s->shares_by_host, host_id);

        if (load == NULL) {
                load = NEW(struct host_shares);
                *load = (struct host_shares){ 0 };
                map_put(&s->shares_by_host, host_id, load);
        }
        load->of_kind[kind_index(kind)].limits = kind->limits;
        return &load->of_kind[kind_index(kind)];
}

static void host_shares_free(struct host_shares *load)
{
        for (size_t i = 0; i < KIND_COUNT; i++)
                shares_release(&load->of_kind[i]);
        free(load);
}

static void host_shares_forget_if_empty(struct sessions *s, struct str host_id)
{
        struct host_shares *load = map_get(&s->shares_by_host, host_id);
        size_t total = 0;

        for (size_t i = 0; load != NULL && i < KIND_COUNT; i++)
                total += load->of_kind[i].total;
        if (load == NULL || total > 0)
                return;
        map_remove(&s->shares_by_host, host_id);
        host_shares_free(load);
        tunnels_note_unused(s->auth, host_id);
}

bool sessions_has_connections(const struct sessions *s, struct str host_id)
{
        return s != NULL && map_get(&s->shares_by_host, host_id) != NULL;
}

static void count_connection(struct sessions *s, struct str connection_id, const struct resource_kind *kind, struct str host_id, struct str user)
{
        if (map_get(&s->open, connection_id) != NULL)
                return;
        struct counted *counted = NEW(struct counted);
        *counted = (struct counted){ kind, str_dup(host_id), str_dup(user) };
        map_put(&s->open, connection_id, counted);
        metric_set_at(METRIC_CONNECTIONS, 0, (int64_t)s->open.count);
        shares_add(host_shares_of(s, kind, host_id), user);
}

void sessions_leave_node(struct sessions *s, struct str connection_id)
{
        struct counted *counted = map_remove(&s->open, connection_id);

        if (counted == NULL)
                return;
        metric_set_at(METRIC_CONNECTIONS, 0, (int64_t)s->open.count);
        shares_remove(host_shares_of(s, counted->kind, str_of(counted->host_id)), str_of(counted->user));
        host_shares_forget_if_empty(s, str_of(counted->host_id));
        free(counted->host_id);
        free(counted->user);
        free(counted);
}

struct error *sessions_enter_node(struct sessions *s, struct str connection_id, const struct resource_kind *kind, struct str host_id, struct str user)
{
        const struct shares *load = host_shares_of(s, kind, host_id);
        size_t count = shares_count(load, user);
        bool has_room = shares_have_room(load, user);

        if (has_room)
                count_connection(s, connection_id, kind, host_id, user);
        else
                host_shares_forget_if_empty(s, host_id);
        if (has_room)
                return NULL;
        if (count >= kind->limits.each)
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "you have %zu connections to this %s, as many as one user may have",
                                            count, kind->place),
                                  "close some of them");
        return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "this %s has no more room for connections", kind->place),
                          "try again later, or close some of yours");
}

/* A kind that this release does not know counts as a node: no connection of it begins here. */
static void count_record(struct sessions *s, const Cteleport__State__V1__Connection *record)
{
        const struct resource_kind *kind = kind_of_record(record->kind);

        count_connection(s, str_of(record->connection_id), kind == NULL ? kind_find("node") : kind, str_of(record->host_id), str_of(record->user));
}

static void on_connection_changed(void *ctx, const struct state_record *record, bool is_deleted)
{
        struct sessions *s = ctx;
        struct connection c = { 0 };

        if (is_deleted) {
                sessions_leave_node(s, record->id);
                return;
        }
        AUTO_PTR(error) err = connection_load(&c, record);
        if (err == NULL)
                count_record(s, c.record);
        connection_release(&c);
}

static void free_counted(void *ctx, struct str key, void *value)
{
        struct counted *counted = value;

        (void)ctx;
        (void)key;
        free(counted->host_id);
        free(counted->user);
        free(counted);
}

static void free_host_shares(void *ctx, struct str key, void *value)
{
        (void)ctx;
        (void)key;
        host_shares_free(value);
}

/* ---- lost connections ---------------------------------------------------------------------------------------------------- */

void session_give_up(struct sessions *s, struct str connection_id)
{
        if (s != NULL && !s->is_closing && !session_has_report_stream(s, connection_id))
                report_stream_give_up(s, connection_id, "its node lost the connection");
}

void sessions_note_lost(struct sessions *s, struct str id)
{
        if (s->is_closing)
                return;
        struct lost *lost = NEW(struct lost);
        lost->since = loop_now(&s->auth->loop);
        free(map_put(&s->lost, id, lost));
        if (!timer_is_running(s->timeout))
                timer_start(s->timeout, MILLISECONDS(TIMEOUT_CONNECTION_LOST));
}

void sessions_forget_lost(struct sessions *s, struct str id)
{
        free(map_remove(&s->lost, id));
}

static void check_lost(void *ctx, struct str key, void *value)
{
        struct sessions *s = ctx;
        struct lost *lost = value;

        if (instant_since(loop_now(&s->auth->loop), lost->since).ns < MILLISECONDS(TIMEOUT_CONNECTION_LOST).ns)
                return;
        AUTO_MEM char *id = str_dup(key); /* report_stream_give_up() frees the entry and its key */
        if (!session_has_report_stream(s, str_of(id)))
                report_stream_give_up(s, str_of(id), "its node has been silent for too long");
}

/* Checks again after a tenth of the timeout, so that a lost connection is closed at most that much late. */
static void on_timeout(void *ctx)
{
        struct sessions *s = ctx;

        map_each(&s->lost, check_lost, s);
        if (s->lost.count > 0)
                timer_start(s->timeout, MILLISECONDS(TIMEOUT_CONNECTION_LOST / 10));
}

/* ---- events for all connections -------------------------------------------------------------------------------------------- */

static void recheck_one(void *ctx, struct str key, void *value)
{
        (void)ctx;
        (void)key;
        report_stream_recheck(value);
}

static void recheck_all(void *ctx)
{
        struct sessions *s = ctx;

        map_each(&s->reporting, recheck_one, s);
}

void sessions_recheck_later(struct sessions *s)
{
        if (!s->is_closing)
                timer_start(s->recheck, MILLISECONDS(PACE_ACCESS_RECHECK));
}

/* Connections with its certificate end. A timer, so that the ends of many sessions at once are one check. */
static void on_web_session_ended(void *ctx)
{
        struct sessions *s = ctx;

        timer_start(s->recheck, MILLISECONDS(1));
}

struct removed_host {
        struct str id;
};

static void end_on_host(void *ctx, struct str key, void *value)
{
        const struct removed_host *host = ctx;

        (void)key;
        report_stream_end_on(value, host->id);
}

static void on_host_changed(void *ctx, const struct state_record *record, bool is_deleted)
{
        struct sessions *s = ctx;
        struct removed_host host = { record->id };

        if (is_deleted)
                map_each(&s->reporting, end_on_host, &host);
}

static void each_host(void *ctx, void (*fn)(void *fn_ctx, struct str id), void *fn_ctx)
{
        state_each_key(&((struct sessions *)ctx)->shares_by_host, fn, fn_ctx);
}

static const struct state_watch_events host_events = { .changed = on_host_changed, .each_id = each_host };

/* ---- open and close -------------------------------------------------------------------------------------------------------- */

static void report_ready(struct sessions *s, struct error *err)
{
        void (*ready)(void *ctx, struct error *err) = s->ready;

        s->ready = NULL;
        if (s->is_closing)
                error_free(err);
        else
                ready(s->ready_ctx, err);
        sessions_leave(s);
}

/* Whether a connection has a report stream or is in the list of lost connections. */
static bool is_followed(const struct sessions *s, struct str connection_id)
{
        return session_has_report_stream(s, connection_id) || map_get(&s->lost, connection_id) != NULL;
}

static struct error *note_connection(void *ctx, const struct state_record *record)
{
        struct sessions *s = ctx;
        struct connection c = { 0 };
        struct error *err = connection_load(&c, record);

        if (err == NULL)
                count_record(s, c.record);
        if (err == NULL && c.record->is_begun && !is_followed(s, str_of(c.record->connection_id)))
                sessions_note_lost(s, str_of(c.record->connection_id));
        connection_release(&c);
        return err;
}

static void each_connection(void *ctx, void (*fn)(void *fn_ctx, struct str id), void *fn_ctx)
{
        state_each_key(&((struct sessions *)ctx)->open, fn, fn_ctx);
}

static const struct state_watch_events connection_events = { .changed = on_connection_changed, .found = note_connection, .each_id = each_connection };

static void on_connections(void *ctx, struct error *err)
{
        report_ready(ctx, err);
}

static void on_nodes(void *ctx, struct error *err)
{
        struct sessions *s = ctx;

        if (err != NULL)
                report_ready(s, err);
        else
                s->connections = state_copy_new(s->auth->store, &connection_kind, &s->is_closing, &connection_events, on_connections, s);
}

struct sessions *sessions_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void *ctx)
{
        struct sessions *s = NEW(struct sessions);

        s->auth = a;
        s->ready = ready;
        s->ready_ctx = ctx;
        s->pending = 1;
        s->timeout = timer_new(&a->loop, on_timeout, s);
        s->recheck = timer_new(&a->loop, recheck_all, s);
        s->users = directory_watch(a->directory, recheck_all, s);
        web_sessions_watch(a->web_sessions, on_web_session_ended, s);
        s->hosts = state_watch_new(a->store, &host_kind, &host_events, s);
        s->nodes = nodes_open(a, on_nodes, s);
        return s;
}

static void free_lost(void *ctx, struct str key, void *value)
{
        (void)ctx;
        (void)key;
        free(value);
}

void sessions_close(struct sessions *s)
{
        if (s == NULL)
                return;
        s->is_closing = true;
        timer_free(s->timeout);
        timer_free(s->recheck);
        s->recheck = s->timeout = NULL;
        directory_unwatch(s->users);
        web_sessions_watch(s->auth->web_sessions, NULL, NULL);
        state_watch_free(s->hosts);
        state_watch_free(s->connections);
        nodes_close(s->nodes);
        map_each(&s->lost, free_lost, NULL);
        map_release(&s->lost);
        map_each(&s->open, free_counted, NULL);
        map_release(&s->open);
        map_each(&s->shares_by_host, free_host_shares, NULL);
        map_release(&s->shares_by_host);
        free_if_idle(s);
}

const struct nodes *sessions_nodes(const struct sessions *s)
{
        return s->nodes;
}
