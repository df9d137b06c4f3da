/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/hosts/presence_internal.h"

#include <stdlib.h>

#include "auth/core/caller.h"
#include "auth/hosts/app_catalog.h"
#include "auth/users/directory.h"
#include "auth/hosts/hosts.h"
#include "auth/hosts/proxies.h"
#include "auth/hosts/servers.h"
#include "auth/hosts/tunnels_service.h"
#include "base/log.h"
#include "base/mem.h"
#include "pki/key.h"
#include "rpc/pb.h"

/* PRESENCE_ARENA: what the decoder has for a message: each that is received can be copied. */
enum { PRESENCE_ARENA = LIMIT_RPC_MEMORY_FACTOR * LIMIT_RPC_JOIN + LIMIT_RPC_MEMORY_BASE, APPS_ARENA = 2 * (LIMIT_APPS + 8) * (int)sizeof(void *) + LIMIT_LABEL_COMMANDS * KiB + KiB, KNOWN_ARENA = 4 * LIMIT_STORE_VALUE, PROXIES_ARENA = 4 * MiB, SKEW_WORTH_REPORTING_MS = 5000 };

void presence_send(struct presence *p, Cteleport__V1__PresenceDown *down)
{
        if (p->call != NULL)
                rpc_call_send(p->call, &down->base);
}

void presence_notice(struct presence *p, const char *kind, const char *text)
{
        Cteleport__V1__PresenceDown down = CTELEPORT__V1__PRESENCE_DOWN__INIT;
        Cteleport__V1__PresenceDown__Notice notice = CTELEPORT__V1__PRESENCE_DOWN__NOTICE__INIT;

        notice.kind = pb_text(kind);
        notice.text = pb_text(text);
        down.payload_case = CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_NOTICE;
        down.notice = &notice;
        presence_send(p, &down);
}

/* A host polls after half of heartbeat_ttl. It counts as gone if its poll is late by half of that interval. */
static bool is_polling(const struct auth *a, const Cteleport__State__V1__Presence *record)
{
        int64_t age = loop_wall(&a->loop).ns / 1000000 - record->last_heartbeat;

        return record->is_poll && age <= duration_ms(a->heartbeat_ttl) / 4 * 3;
}

bool presence_is_connected(const struct auth *a, const Cteleport__State__V1__Presence *record)
{
        return map_get(&a->live, str_of(record->host_id)) != NULL || is_polling(a, record);
}

static bool is_locked(const struct auth *a, const Cteleport__State__V1__Presence *record)
{
        bool has_roles = record->n_system_roles > 0;
        const Cteleport__State__V1__Host host = {
                .host_id = record->host_id,
                .hostname = record->hostname,
                .join_method = record->join_method,
                .aws_account = record->aws_account,
                .aws_arn = record->aws_arn,
                .system_roles = has_roles ? record->system_roles : record->services,
                .n_system_roles = has_roles ? record->n_system_roles : record->n_services,
        };
        AUTO_PTR(error) err = directory_check_host(a->directory, &host);

        return err != NULL;
}

/* Whether the service of the host that offers `kind`, or if that is NULL each that users connect to, can be reached. The proxies report tunnels. */
static bool is_reached(const struct auth *a, const Cteleport__State__V1__Presence *record, const char *kind)
{
        for (size_t i = 0; record->use_tunnel && i < record->n_services; i++) {
                const struct service_row *service = services_of_role(str_of(record->services[i]));

                if (service == NULL || service->kind == NULL || (kind != NULL && strcmp(service->kind, kind) != 0))
                        continue;
                if (!tunnels_reach(a, str_of(record->host_id), service->role.name))
                        return false;
        }
        return true;
}

const char *presence_state(const struct auth *a, const Cteleport__State__V1__Presence *record, const char *kind)
{
        if (is_locked(a, record))
                return "locked";
        if (!presence_is_connected(a, record))
                return "offline";
        return is_reached(a, record, kind) ? "online" : "unreachable";
}

bool presence_is_whole(const struct auth *a, const Cteleport__State__V1__Presence *record)
{
        AUTO_PTR(arena) arena = arena_new(PROXIES_ARENA);
        const char *state = presence_state(a, record, NULL);

        if (strcmp(state, "unreachable") == 0)
                return record->knows_no_proxy && str_is_empty(proxies_public_addr(a->proxies, arena));
        return strcmp(state, "online") == 0;
}

/* ---- end of the stream ------------------------------------------------------------------------------- */

static void free_if_idle(struct presence *p)
{
        if (p->call != NULL || p->is_finding || p->is_writing)
                return;
        timer_free(p->ping_deadline);
        timer_free(p->write_pace);
        free(p->apps_warning);
        arena_free(p->commands);
        arena_free(p->arena);
        free(p);
}

static void detach(struct presence *p)
{
        p->call = NULL;
        timer_free(p->ping_deadline);
        p->ping_deadline = NULL;
        timer_free(p->write_pace); /* what is not written yet is a second old, and the host is gone */
        p->write_pace = NULL;
        app_selection_free(p->apps);
        p->apps = NULL;
        p->auth->presence_held -= p->is_held;
        p->is_held = false;
        if (p->is_here) {
                duplicates_leave(p);
                if (presence_announces_proxy(p->hello))
                        proxies_note_connected(p->auth->proxies);
                if (!p->is_poll)
                        log_info("Agent disconnected", LOG_C("node_name", p->record->hostname), LOG_C("host_id", p->record->host_id));
        }
        free_if_idle(p);
}

void presence_finish(struct presence *p, struct error *err)
{
        if (p->call == NULL) {
                error_free(err);
                return;
        }
        struct rpc_call *call = p->call;
        detach(p);
        rpc_call_finish(call, err);
}

void presence_end_host(struct auth *a, struct str host_id, const char *reason)
{
        for (struct presence *p; (p = map_get(&a->live, host_id)) != NULL;)
                presence_finish(p, error_new(ERROR_UNAVAILABLE, "%s", reason));
}

static void on_gone(void *ctx)
{
        detach(ctx);
}

/* ---- the record ----------------------------------------------------------------------------------------- */

static struct error *unknown_host(void)
{
        return error_for(error_new(ERROR_UNAUTHENTICATED, "the cluster no longer knows this host"), REASON_IDENTITY);
}

static void on_written(void *ctx, uint64_t revision, struct error *err)
{
        struct presence *p = ctx;

        (void)revision;
        p->is_writing = false;
        p->is_written = true;
        bool is_removed = err != NULL && err->code == ERROR_ABORTED;
        if (err != NULL && !is_removed)
                log_warn("A heartbeat could not be recorded", LOG_C("host_id", p->record->host_id), LOG_ERR(err));
        error_free(err);
        if (is_removed && p->call != NULL)
                presence_finish(p, unknown_host());
        else if (p->is_dirty && p->call != NULL)
                presence_write(p);
        else if (p->call != NULL)
                presence_settle(p);
        else
                free_if_idle(p);
}

static void on_write_pace(void *ctx)
{
        presence_write(ctx);
}

/* Whether a write is due now; else the timer calls presence_write() when it is. A host that sends without a pause causes one write a second. */
static bool may_write(struct presence *p)
{
        const int64_t price = MILLISECONDS(PACE_PRESENCE_WRITE).ns;
        struct instant now = loop_now(&p->auth->loop);
        int64_t begin = p->writes_until.ns > now.ns ? p->writes_until.ns : now.ns;
        int64_t late = begin - now.ns - price * (LIMIT_PRESENCE_WRITES_BURST - 1);

        if (late <= 0) {
                p->writes_until.ns = begin + price;
                return true;
        }
        if (p->write_pace == NULL)
                p->write_pace = timer_new(&p->auth->loop, on_write_pace, p);
        if (!timer_is_running(p->write_pace))
                timer_start(p->write_pace, (struct duration){ late });
        return false;
}

void presence_write(struct presence *p)
{
        AUTO_PTR(arena) arena = arena_new(APPS_ARENA);
        struct store_txn *t;

        p->is_dirty = true;
        if (p->is_writing || !may_write(p))
                return;
        p->is_dirty = false;
        p->is_writing = true;
        t = store_txn_new(p->auth->store);
        /* A late heartbeat must not store the presence of a host that was removed. */
        host_require(t, str_of(p->record->host_id), STORE_ANY);
        presence_put_apps(p, arena);
        state_put(t, &presence_kind, str_of(p->record->host_id), &p->record->base, walltime_add(loop_wall(&p->auth->loop), p->auth->heartbeat_ttl));
        store_txn_commit(t, on_written, p);
}

/* now: time of the host's clock, received at the time `at` of this machine. */
static void take_clock(struct presence *p, const Cteleport__V1__Timestamp *now, struct walltime at)
{
        int64_t ours = at.ns / 1000000;

        p->record->last_heartbeat = ours;
        /* Values outside of this range would overflow and are ignored. */
        if (now != NULL && now->seconds > 0 && now->seconds < INT32_MAX * (int64_t)4)
                p->record->clock_skew_ms = now->seconds * 1000 + now->nanos / 1000000 - ours;
}

/* ---- hello ------------------------------------------------------------------------------------------------------ */

/*
 * The first interval of a polling host is random, so that hosts that began or were delayed at the same time are spread over
 * the interval. Later intervals are constant.
 */
static struct duration next_heartbeat(const struct presence *p)
{
        struct duration pace = { p->auth->heartbeat_ttl.ns / 2 };
        uint16_t dice;

        if (!p->is_poll || p->is_regular)
                return pace;
        random_bytes(&dice, sizeof dice);
        return (struct duration){ pace.ns / 8 + pace.ns / 8 * 7 / UINT16_MAX * dice };
}

static void welcome(struct presence *p)
{
        Cteleport__V1__PresenceDown down = CTELEPORT__V1__PRESENCE_DOWN__INIT;
        Cteleport__V1__PresenceDown__Welcome w = CTELEPORT__V1__PRESENCE_DOWN__WELCOME__INIT;
        Cteleport__V1__Timestamp now = CTELEPORT__V1__TIMESTAMP__INIT;
        struct walltime wall = loop_wall(&p->auth->loop);

        now.seconds = walltime_unix(wall);
        now.nanos = (int32_t)(wall.ns - now.seconds * 1000000000);
        w.heartbeat_ms = duration_ms(next_heartbeat(p));
        w.now = &now;
        w.cluster = pb_text(p->auth->cluster.ptr);
        w.is_poll = p->is_poll;
        down.payload_case = CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_WELCOME;
        down.welcome = &w;
        presence_send(p, &down);
}

static void report_proxies(struct presence *p)
{
        AUTO_PTR(arena) arena = arena_new(PROXIES_ARENA);
        Cteleport__V1__PresenceDown down = CTELEPORT__V1__PRESENCE_DOWN__INIT;
        Cteleport__V1__PresenceDown__Proxies proxies;

        proxies_list(p->auth->proxies, arena, &proxies);
        down.payload_case = CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_PROXIES;
        down.proxies = &proxies;
        presence_send(p, &down);
}

static void report_polled(void *ctx, struct str host_id, void *value)
{
        (void)ctx;
        (void)host_id;
        for (struct presence *p = value; p != NULL; p = p->below)
                report_proxies(p);
}

void presence_report_proxies(void *ctx)
{
        struct auth *a = ctx;

        map_each(&a->live, report_polled, NULL);
}

static void report_authorities(struct presence *p)
{
        Cteleport__V1__PresenceDown down = CTELEPORT__V1__PRESENCE_DOWN__INIT;
        Cteleport__V1__PresenceDown__Authorities authorities = CTELEPORT__V1__PRESENCE_DOWN__AUTHORITIES__INIT;

        authorities.revision = pb_text(p->auth->authorities.revision);
        down.payload_case = CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_AUTHORITIES;
        down.authorities = &authorities;
        presence_send(p, &down);
}

static void report_authorities_to(void *ctx, struct str host_id, void *value)
{
        (void)ctx;
        (void)host_id;
        for (struct presence *p = value; p != NULL; p = p->below)
                report_authorities(p);
}

void presence_report_authorities(struct auth *a)
{
        map_each(&a->live, report_authorities_to, NULL);
}

static void warn_of_skew(struct presence *p)
{
        int64_t ms = p->record->clock_skew_ms;

        if (ms > -SKEW_WORTH_REPORTING_MS && ms < SKEW_WORTH_REPORTING_MS)
                return;
        AUTO_MEM char *text = mem_printf("the clock of this host is %lld seconds %s the Auth Service's: timedatectl status",
                                         (long long)((ms < 0 ? -ms : ms) / 1000), ms < 0 ? "behind" : "ahead of");
        presence_notice(p, "clock_skew", text);
        log_warn("The clock of a host is off", LOG_C("node_name", p->record->hostname), LOG_C("host_id", p->record->host_id),
                 LOG_INT("clock_skew_ms", ms));
}

/*
 * Whether the agent may hold its stream open instead of polling. An idle stream costs two descriptors of a proxy and memory of
 * auth. A host with a tunnel is reachable without it.
 */
static bool may_stay(struct presence *p)
{
        bool may_poll = p->hello->may_poll && p->hello->use_tunnel && !presence_announces_proxy(p->hello);

        if (!may_poll)
                return true;
        size_t more = p->hello->n_app_matchers > 0 ? p->auth->presence_held_apps_max : 0;
        if (p->auth->presence_held >= p->auth->presence_held_max + more)
                return false;
        p->auth->presence_held++;
        p->is_held = true;
        return true;
}

static void log_arrival(const struct presence *p)
{
        const Cteleport__State__V1__Presence *r = p->record;

        if (p->is_regular)
                log_debug("Agent polled", LOG_C("node_name", r->hostname), LOG_C("host_id", r->host_id));
        else
                log_info("Agent connected", LOG_C("node_name", r->hostname), LOG_C("host_id", r->host_id),
                         LOG_C("remote_addr", r->remote_addr), LOG_C("version", r->version));
}

static void warn_of_labels(struct presence *p)
{
        if (!p->has_reserved_labels)
                return;
        p->has_reserved_labels = false;
        presence_notice(p, "labels", "labels below teleport.dev/, teleport.internal/ and teleport.hidden/ are reserved for the cluster: those "
                                     "of this host are left out");
        log_warn("A host announces reserved labels, they are left out", LOG_C("node_name", p->record->hostname),
                 LOG_C("host_id", p->record->host_id));
}

static void warn_of_name(struct presence *p)
{
        AUTO_PTR(error) err = servers_check_name(p->auth, str_of(p->record->hostname), (struct server_claim){ .host_id = str_of(p->record->host_id) });

        if (err == NULL)
                return;
        AUTO_MEM char *text = mem_printf("%s: this host is known by its ID only until it joins with another teleport.nodename", err->what);
        presence_notice(p, "name", text);
}

static void report_update(struct presence *p)
{
        bool is_proxy = presence_announces_proxy(p->hello);

        proxies_note(p->auth->proxies, str_of(p->record->host_id), is_proxy, str_of(p->record->proxy_addr));
        if (is_proxy)
                proxies_note_connected(p->auth->proxies);
        report_proxies(p);
        presence_send_apps(p);
        warn_of_skew(p);
        warn_of_labels(p);
        warn_of_name(p);
}

/* known: the earlier presence record of the host, or NULL. */
static void let_in(struct presence *p, const Cteleport__State__V1__Presence *known)
{
        Cteleport__State__V1__Presence *r = p->record;
        bool is_back = duplicates_remember(p->arena, p->nonce, known, r);
        bool was_polling = known != NULL && is_polling(p->auth, known) && str_equal(p->nonce, str_of(known->process_nonce));

        take_clock(p, p->hello->now, p->sent_hello);
        duplicates_enter(p);
        r->is_poll = p->is_poll = !may_stay(p);
        p->is_regular = r->is_poll && was_polling;
        if (p->is_regular)
                r->since = known->since;
        log_arrival(p);
        if (strcmp(r->ca_revision, p->auth->authorities.revision) != 0)
                report_authorities(p);
        if (!p->is_poll)
                welcome(p);
        presence_select_apps(p);
        if (is_back && p->below == NULL) /* else the ping to p->below decides */
                duplicates_report_returned(p, known);
        presence_write(p);
        report_update(p);
}

void presence_settle(struct presence *p)
{
        bool is_awaiting = p->below != NULL && p->below->ping[0] != '\0';

        if (!p->is_poll || !p->is_written || p->is_writing || is_awaiting || p->call == NULL)
                return;
        welcome(p);
        presence_finish(p, NULL);
}

/* Called after an answer of the store. false: the stream has ended, or ends with err (owned); p may be freed. */
static bool goes_on(struct presence *p, struct error *err)
{
        p->is_finding = false;
        if (err == NULL && p->call != NULL)
                return true;
        if (p->call != NULL) {
                presence_finish(p, err);
        } else {
                error_free(err);
                free_if_idle(p);
        }
        return false;
}

static void on_known(void *ctx, const struct state_record *stored, struct error *err)
{
        struct presence *p = ctx;
        AUTO_PTR(arena) scratch = arena_new(KNOWN_ARENA);
        Cteleport__State__V1__Presence *known = NULL;

        if (!goes_on(p, err))
                return;
        if (stored != NULL) /* a record that cannot be decoded is overwritten */
                state_log_unreadable(stored, presence_read(scratch, stored, &known));
        let_in(p, known);
}

static void on_host(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct presence *p = ctx;

        (void)revision;
        if (err == NULL && host == NULL)
                err = unknown_host();
        if (err == NULL)
                err = presence_check_hello(p->hello, host);
        if (!goes_on(p, err))
                return;
        presence_fill_record(p, host);
        p->is_finding = true;
        state_get(p->auth->store, &presence_kind, str_of(p->record->host_id), on_known, p);
}

static void on_hello(struct presence *p, const Cteleport__V1__PresenceUp__Hello *hello)
{
        const struct caller *caller = rpc_call_caller(p->call);
        ProtobufCMessage *copy = NULL;

        if (p->hello != NULL) {
                presence_finish(p, error_new(ERROR_INVALID_ARGUMENT, "a second hello on one stream"));
                return;
        }
        struct error *err = host_pace_take(&p->auth->hellos, str_of(caller->host_id), loop_now(&p->auth->loop));
        if (err == NULL)
                err = wire_copy(p->arena, &hello->base, &copy);
        if (err != NULL) {
                presence_finish(p, err);
                return;
        }
        Cteleport__V1__PresenceUp__Hello *sent = (Cteleport__V1__PresenceUp__Hello *)copy;
        size_t labels = presence_keep_labels(sent->labels, sent->n_labels), commands = presence_keep_commands(sent->commands, sent->n_commands);
        p->has_reserved_labels = labels < sent->n_labels || commands < sent->n_commands;
        sent->n_labels = labels;
        sent->n_commands = commands;
        p->app_labels = sent->app_labels;
        p->app_label_count = presence_keep_app_labels(sent->app_labels, sent->n_app_labels);
        p->has_reserved_labels = p->has_reserved_labels || p->app_label_count < sent->n_app_labels;
        sent->n_app_labels = p->app_label_count;
        p->hello = sent;
        p->nonce = str_of(p->hello->process_nonce);
        p->sent_hello = loop_wall(&p->auth->loop);
        p->is_finding = true;
        host_get(p->auth->store, str_of(caller->host_id), on_host, p);
}

static void on_labels(struct presence *p, const Cteleport__V1__PresenceUp__Labels *labels)
{
        struct arena *arena = arena_new(PRESENCE_ARENA);
        ProtobufCMessage *copy = NULL;
        struct error *err = presence_check_commands(labels->commands, labels->n_commands);

        if (err == NULL)
                err = presence_check_app_labels(labels->app_labels, labels->n_app_labels);
        if (err == NULL)
                err = wire_copy(arena, &labels->base, &copy);
        if (err != NULL) {
                arena_free(arena);
                presence_finish(p, err);
                return;
        }
        arena_free(p->commands);
        p->commands = arena;
        Cteleport__V1__PresenceUp__Labels *sent = (Cteleport__V1__PresenceUp__Labels *)copy;
        p->record->commands = sent->commands;
        p->record->n_commands = presence_keep_commands(sent->commands, sent->n_commands);
        p->app_labels = sent->app_labels;
        p->app_label_count = presence_keep_app_labels(sent->app_labels, sent->n_app_labels);
        presence_write(p);
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct presence *p = ctx;
        const Cteleport__V1__PresenceUp *up = (const Cteleport__V1__PresenceUp *)msg;
        struct error *err;

        if (up->payload_case == CTELEPORT__V1__PRESENCE_UP__PAYLOAD_HELLO) {
                on_hello(p, up->hello);
        } else if (!p->is_here) {
                presence_finish(p, error_new(ERROR_INVALID_ARGUMENT, "presence begins with a hello"));
        } else if (up->payload_case == CTELEPORT__V1__PRESENCE_UP__PAYLOAD_PONG) {
                duplicates_on_pong(p, str_of(up->pong->nonce));
        } else if ((err = host_pace_take(&p->auth->presence_messages, str_of(p->record->host_id), loop_now(&p->auth->loop))) != NULL) {
                presence_finish(p, err);
        } else if (up->payload_case == CTELEPORT__V1__PRESENCE_UP__PAYLOAD_LABELS) {
                on_labels(p, up->labels);
        } else if (up->payload_case == CTELEPORT__V1__PRESENCE_UP__PAYLOAD_APPS) {
                presence_offer_apps(p, up->apps);
        } else {
                take_clock(p, up->payload_case == CTELEPORT__V1__PRESENCE_UP__PAYLOAD_HEARTBEAT ? up->heartbeat->now : NULL,
                           loop_wall(&p->auth->loop));
                presence_write(p);
        }
}

static void on_half_close(void *ctx)
{
        presence_finish(ctx, NULL);
}

static const struct rpc_call_events call_events = { on_message, on_half_close, on_gone };

void presence_serve(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *caller = rpc_call_caller(call);
        struct presence *p = NEW(struct presence);

        (void)first;
        p->auth = caller->auth;
        p->call = call;
        p->arena = arena_new(PRESENCE_ARENA);
        rpc_call_listen(call, &call_events, p);
}

/* ---- agents that stop gracefully ------------------------------------------------------------------------------------ */

struct leaving {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the agent does not wait for the answer */
        char *host_id, *nonce;
};

static void leaving_finish(struct leaving *l, struct error *err)
{
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;

        if (l->call != NULL && err == NULL)
                rpc_call_send(l->call, &empty.base);
        if (l->call != NULL)
                rpc_call_finish(l->call, err);
        else
                error_free(err);
        free(l->host_id);
        free(l->nonce);
        free(l);
}

static void on_leaver_gone(void *ctx)
{
        ((struct leaving *)ctx)->call = NULL;
}

static const struct rpc_call_events leaving_events = { .on_gone = on_leaver_gone };

static void on_left(void *ctx, uint64_t revision, struct error *err)
{
        struct leaving *l = ctx;

        (void)revision;
        if (err == NULL)
                log_info("Agent has left", LOG_C("host_id", l->host_id));
        leaving_finish(l, err);
}

static void on_leaver_found(void *ctx, const struct state_record *stored, struct error *err)
{
        struct leaving *l = ctx;
        AUTO_PTR(arena) arena = arena_new(KNOWN_ARENA);
        Cteleport__State__V1__Presence *record = NULL;

        if (err == NULL && stored != NULL)
                err = presence_read(arena, stored, &record);
        if (err == NULL && (record == NULL || strcmp(record->process_nonce, l->nonce) != 0))
                err = error_new(ERROR_NOT_FOUND, "this agent is not listed");
        if (err != NULL) {
                leaving_finish(l, err);
                return;
        }
        struct presence *other = map_get(&l->auth->live, str_of(l->host_id));
        if (other != NULL) { /* a duplicate is connected: its record replaces this one */
                presence_write(other);
                leaving_finish(l, NULL);
                return;
        }
        struct store_txn *t = store_txn_new(l->auth->store);
        state_require(t, &presence_kind, str_of(l->host_id), stored->revision);
        state_delete(t, &presence_kind, str_of(l->host_id));
        store_txn_commit(t, on_left, l);
}

void presence_leave(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *caller = rpc_call_caller(call);
        struct leaving *l = NEW(struct leaving);

        *l = (struct leaving){ .auth = caller->auth, .call = call, .host_id = str_dup(str_of(caller->host_id)),
                               .nonce = str_dup(str_of(((const Cteleport__V1__LeaveRequest *)first)->process_nonce)) };
        rpc_call_listen(call, &leaving_events, l);
        for (struct presence *p = map_get(&l->auth->live, str_of(l->host_id)), *below; p != NULL; p = below) {
                below = p->below;
                if (str_equal(p->nonce, str_of(l->nonce))) /* an open stream would store its record again */
                        presence_finish(p, NULL);
        }
        state_get(l->auth->store, &presence_kind, str_of(l->host_id), on_leaver_found, l);
}
