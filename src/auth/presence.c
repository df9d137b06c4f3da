/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/presence.h"

#include <stdlib.h>

#include "api.pb-c.h"
#include "auth/caller.h"
#include "auth/hosts.h"
#include "auth/proxies.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "pki/key.h"
#include "resource/address.h"

enum { PRESENCE_ARENA = 128 * KiB, PROXIES_ARENA = 4 * MiB, SKEW_WORTH_SAYING_MS = 5000, SERVICES_MAX = 8, LABELS_MAX = 100, ADDRS_MAX = 20 };

/* How long the first of two agents with one ID has to prove that it lives. */
#define RIVAL_PATIENCE SECONDS(5)

struct presence {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the stream is gone, an answer of the store is under way */
        struct arena *arena;   /* of `record` */
        Cteleport__State__V1__Presence *record; /* NULL before the host's record was found */
        const Cteleport__V1__PresenceUp__Hello *hello; /* in arena */
        struct arena *commands; /* of the labels that came after the hello; NULL: none did */
        struct str nonce; /* of the agent's process */
        bool is_finding;
        bool is_writing, is_dirty; /* a write is under way; something changed since */
        /* Those with the same host ID: the next younger and the next elder. auth->live has the youngest. */
        struct presence *above, *below;
        char ping[40]; /* not empty while we wait whether this one still lives, now that one is above it */
        struct timer *ping_deadline;
};

static void send_down(struct presence *p, Cteleport__V1__PresenceDown *down)
{
        if (p->call != NULL)
                rpc_call_send(p->call, &down->base);
}

static void send_notice(struct presence *p, const char *kind, const char *text)
{
        Cteleport__V1__PresenceDown down = CTELEPORT__V1__PRESENCE_DOWN__INIT;
        Cteleport__V1__PresenceDown__Notice notice = CTELEPORT__V1__PRESENCE_DOWN__NOTICE__INIT;

        notice.kind = (char *)(uintptr_t)kind;
        notice.text = (char *)(uintptr_t)text;
        down.payload_case = CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_NOTICE;
        down.notice = &notice;
        send_down(p, &down);
}

bool presence_is_live(const struct auth *a, struct str host_id)
{
        return map_get(&a->live, host_id) != NULL;
}

/* ---- ends -------------------------------------------------------------------------------------------- */

static void free_if_idle(struct presence *p)
{
        if (p->call != NULL || p->is_finding || p->is_writing)
                return;
        timer_free(p->ping_deadline);
        arena_free(p->commands);
        arena_free(p->arena);
        free(p);
}

static void leave_place(struct presence *p)
{
        struct str host_id = str_of(p->record->host_id);

        if (p->above != NULL)
                p->above->below = p->below;
        else if (p->below != NULL)
                map_put(&p->auth->live, host_id, p->below);
        else
                map_remove(&p->auth->live, host_id);
        if (p->below != NULL)
                p->below->above = p->above;
        p->above = p->below = NULL;
        log_info("Agent disconnected", LOG_C("node_name", p->record->hostname), LOG_STR("host_id", host_id));
}

static void detach(struct presence *p)
{
        p->call = NULL;
        timer_free(p->ping_deadline);
        p->ping_deadline = NULL;
        if (p->record != NULL)
                leave_place(p);
        free_if_idle(p);
}

static void finish(struct presence *p, struct error *err)
{
        if (p->call == NULL) {
                error_free(err);
                return;
        }
        struct rpc_call *call = p->call;
        detach(p);
        rpc_call_finish(call, err);
}

static void on_gone(void *ctx)
{
        detach(ctx);
}

/* ---- the record ----------------------------------------------------------------------------------------- */

static struct error *unknown_host(void)
{
        return error_new(ERROR_UNAUTHENTICATED, "this host is not known to the cluster any more");
}

static void write_record(struct presence *p);

static void on_written(void *ctx, uint64_t revision, struct error *err)
{
        struct presence *p = ctx;

        (void)revision;
        p->is_writing = false;
        bool is_removed = err != NULL && err->code == ERROR_ABORTED;
        if (err != NULL && !is_removed)
                log_warn("A heartbeat could not be recorded", LOG_C("host_id", p->record->host_id), LOG_ERR(err));
        error_free(err);
        if (is_removed && p->call != NULL)
                finish(p, unknown_host());
        else if (p->is_dirty && p->call != NULL)
                write_record(p);
        else
                free_if_idle(p);
}

static void write_record(struct presence *p)
{
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);
        AUTO(buf) host = BUF_MAX(LIMIT_STORE_KEY);
        struct store_txn *t;

        p->is_dirty = true;
        if (p->is_writing)
                return;
        p->is_dirty = false;
        p->is_writing = true;
        presence_key(str_of(p->record->host_id), &key);
        t = store_txn_new(p->auth->store);
        /* A heartbeat that was under way when its host was removed must not bring it back. */
        host_key(str_of(p->record->host_id), &host);
        store_txn_require(t, buf_str(&host), STORE_ANY);
        store_txn_put_message(t, buf_str(&key), &p->record->base, walltime_add(loop_wall(&p->auth->loop), p->auth->heartbeat_ttl));
        store_txn_commit(t, on_written, p);
}

static void take_clock(struct presence *p, const Cteleport__V1__Timestamp *now)
{
        int64_t ours = loop_wall(&p->auth->loop).ns / 1000000;

        p->record->last_heartbeat = ours;
        /* Seconds beyond any calendar would overflow; such a clock says nothing. */
        if (now != NULL && now->seconds > 0 && now->seconds < INT32_MAX * (int64_t)4)
                p->record->clock_skew_ms = now->seconds * 1000 + now->nanos / 1000000 - ours;
}

/* ---- two agents with one ID --------------------------------------------------------------------------------- */

static void tell_both(struct presence *elder, struct presence *younger)
{
        struct audit_record record = { 0 };
        AUTO_MEM char *text = mem_printf(
                "two live agents have the host ID %s: one at %s, one at %s; this happens when a machine is cloned: stop one, remove "
                "host_uuid and proc from its data_dir and start it again, it gets an ID of its own",
                elder->record->host_id, elder->record->remote_addr, younger->record->remote_addr);

        log_warn("Two live agents have one host ID", LOG_C("host_id", elder->record->host_id),
                 LOG_C("first", elder->record->remote_addr), LOG_C("second", younger->record->remote_addr),
                 LOG_C("first_name", elder->record->hostname), LOG_C("second_name", younger->record->hostname));
        auth_audit_begin(elder->auth, &record, &audit_host_duplicate);
        audit_str(&record, "host_id", str_of(elder->record->host_id));
        audit_str(&record, "first_addr", str_of(elder->record->remote_addr));
        audit_str(&record, "second_addr", str_of(younger->record->remote_addr));
        audit_write(elder->auth->audit, &record, NULL, NULL);
        send_notice(elder, "duplicate_host_id", text);
        send_notice(younger, "duplicate_host_id", text);
}

static void on_pong(struct presence *p, struct str nonce)
{
        if (p->ping[0] == '\0' || !str_equal(nonce, str_of(p->ping)))
                return;
        p->ping[0] = '\0';
        timer_stop(p->ping_deadline);
        if (p->above != NULL)
                tell_both(p, p->above);
}

static void on_no_pong(void *ctx)
{
        finish(ctx, error_new(ERROR_UNAVAILABLE, "this agent did not answer when another with its host ID connected"));
}

static void challenge(struct presence *elder)
{
        Cteleport__V1__PresenceDown down = CTELEPORT__V1__PRESENCE_DOWN__INIT;
        Cteleport__V1__PresenceDown__Ping ping = CTELEPORT__V1__PRESENCE_DOWN__PING__INIT;
        AUTO(buf) nonce = BUF_MAX(40);

        random_uuid(&nonce);
        memcpy(elder->ping, buf_c(&nonce), nonce.len + 1);
        if (elder->ping_deadline == NULL)
                elder->ping_deadline = timer_new(&elder->auth->loop, on_no_pong, elder);
        timer_start(elder->ping_deadline, RIVAL_PATIENCE);
        ping.nonce = elder->ping;
        down.payload_case = CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_PING;
        down.ping = &ping;
        send_down(elder, &down);
}

static void take_place(struct presence *p)
{
        struct map *live = &p->auth->live;
        struct str host_id = str_of(p->record->host_id);

        for (struct presence *q = map_get(live, host_id), *next; q != NULL; q = next) {
                next = q->below;
                if (str_equal(q->nonce, p->nonce))
                        finish(q, error_new(ERROR_ABORTED, "this agent connected again"));
        }
        p->below = map_get(live, host_id);
        if (p->below != NULL) {
                p->below->above = p;
                challenge(p->below);
        }
        map_put(live, host_id, p);
}

/* ---- hello ------------------------------------------------------------------------------------------------------ */

static void welcome(struct presence *p)
{
        Cteleport__V1__PresenceDown down = CTELEPORT__V1__PRESENCE_DOWN__INIT;
        Cteleport__V1__PresenceDown__Welcome w = CTELEPORT__V1__PRESENCE_DOWN__WELCOME__INIT;
        Cteleport__V1__Timestamp now = CTELEPORT__V1__TIMESTAMP__INIT;
        struct walltime wall = loop_wall(&p->auth->loop);

        now.seconds = walltime_unix(wall);
        now.nanos = (int32_t)(wall.ns - now.seconds * 1000000000);
        w.heartbeat_ms = duration_ms(p->auth->heartbeat_ttl) / 2;
        w.now = &now;
        w.cluster = (char *)(uintptr_t)p->auth->cluster.ptr;
        down.payload_case = CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_WELCOME;
        down.welcome = &w;
        send_down(p, &down);
}

static void tell_proxies(struct presence *p)
{
        AUTO_PTR(arena) arena = arena_new(PROXIES_ARENA);
        Cteleport__V1__PresenceDown down = CTELEPORT__V1__PRESENCE_DOWN__INIT;
        Cteleport__V1__PresenceDown__Proxies proxies;

        proxies_list(p->auth->proxies, arena, &proxies);
        down.payload_case = CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_PROXIES;
        down.proxies = &proxies;
        send_down(p, &down);
}

static void tell_visited(void *ctx, struct str host_id, void *value)
{
        (void)ctx;
        (void)host_id;
        for (struct presence *p = value; p != NULL; p = p->below)
                tell_proxies(p);
}

void presence_tell_proxies(void *ctx)
{
        struct auth *a = ctx;

        map_each(&a->live, tell_visited, NULL);
}

static void warn_of_skew(struct presence *p)
{
        int64_t ms = p->record->clock_skew_ms;

        if (ms > -SKEW_WORTH_SAYING_MS && ms < SKEW_WORTH_SAYING_MS)
                return;
        AUTO_MEM char *text = mem_printf("the clock of this host is %lld seconds %s the Auth Service's: timedatectl status",
                                         (long long)((ms < 0 ? -ms : ms) / 1000), ms < 0 ? "behind" : "ahead of");
        send_notice(p, "clock_skew", text);
        log_warn("The clock of a host is off", LOG_C("node_name", p->record->hostname), LOG_C("host_id", p->record->host_id),
                 LOG_INT("clock_skew_ms", ms));
}

static struct error *check_commands(Cteleport__V1__CommandLabel *const *commands, size_t count)
{
        if (count > LABELS_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "this host announces more than %d labels of commands", LABELS_MAX);
        for (size_t i = 0; i < count; i++)
                if (commands[i]->name[0] == '\0' || strlen(commands[i]->name) > LIMIT_LABEL_KEY)
                        return error_new(ERROR_INVALID_ARGUMENT, "a label of a command has no name, or one of more than %d characters",
                                         LIMIT_LABEL_KEY);
        return NULL;
}

static struct error *check_hello(const Cteleport__V1__PresenceUp__Hello *hello, const Cteleport__State__V1__Host *host)
{
        if (hello->n_services > SERVICES_MAX || hello->n_labels > LABELS_MAX || hello->n_public_addrs > ADDRS_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "this host announces too many services, labels or addresses");
        TRY(check_commands(hello->commands, hello->n_commands));
        for (size_t i = 0; i < hello->n_services; i++) {
                bool allowed = false;

                for (size_t j = 0; j < host->n_system_roles; j++)
                        allowed = allowed || str_equal(str_of(hello->services[i]), str_of(host->system_roles[j]));
                if (!allowed) {
                        AUTO_MEM char *shown = escaped(str_of(hello->services[i]));

                        return error_new(ERROR_PERMISSION_DENIED, "this host did not join with role '%s'", shown);
                }
        }
        return NULL;
}

static bool announces_proxy(const Cteleport__V1__PresenceUp__Hello *hello)
{
        for (size_t i = 0; i < hello->n_services; i++)
                if (strcmp(hello->services[i], "Proxy") == 0)
                        return true;
        return false;
}

/* Where its proxy is reached, whole; "" when it does not say, or not in a way that can be dialled. */
static char *announced_proxy(struct presence *p, const Cteleport__V1__PresenceUp__Hello *hello)
{
        const char *whole = "";

        if (announces_proxy(hello) && hello->proxy_addr[0] != '\0')
                error_free(address_normalize(p->arena, str_of(hello->proxy_addr), WEB_PORT, "proxy_addr", &whole));
        return (char *)(uintptr_t)whole;
}

/* The name is the one it joined with; only what it says of its services comes from the agent. */
static void fill_record(struct presence *p, const Cteleport__State__V1__Host *host)
{
        const Cteleport__V1__PresenceUp__Hello *hello = p->hello;
        const struct caller *caller = rpc_call_caller(p->call);
        Cteleport__State__V1__Presence *r = arena_alloc(p->arena, sizeof *r);

#define KEEP(text) ((char *)(uintptr_t)arena_str(p->arena, str_of(text)).ptr)
        cteleport__state__v1__presence__init(r);
        r->host_id = KEEP(host->host_id);
        r->hostname = KEEP(host->hostname);
        r->join_method = KEEP(host->join_method);
        r->token_name = KEEP(host->token_name);
        r->aws_account = KEEP(host->aws_account);
        r->aws_arn = KEEP(host->aws_arn);
        r->joined = host->joined;
        r->remote_addr = KEEP(caller->peer);
        r->cert_not_after = walltime_unix(caller->cert_not_after);
        r->version = hello->version;
        r->services = hello->services;
        r->n_services = hello->n_services;
        r->addr = hello->addr;
        r->public_addrs = hello->public_addrs;
        r->n_public_addrs = hello->n_public_addrs;
        r->labels = arena_alloc(p->arena, (hello->n_labels + 1) * sizeof *r->labels);
        for (size_t i = 0; i < hello->n_labels; i++) {
                Cteleport__State__V1__Presence__LabelsEntry *label = arena_alloc(p->arena, sizeof *label);

                cteleport__state__v1__presence__labels_entry__init(label);
                label->key = hello->labels[i]->key;
                label->value = hello->labels[i]->value;
                r->labels[r->n_labels++] = label;
        }
        r->commands = hello->commands;
        r->n_commands = hello->n_commands;
        r->use_tunnel = hello->use_tunnel;
        r->proxy_addr = announced_proxy(p, hello);
        r->since = loop_wall(&p->auth->loop).ns / 1000000;
#undef KEEP
        p->record = r;
}

static void on_host(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct presence *p = ctx;

        (void)revision;
        p->is_finding = false;
        if (p->call == NULL) {
                error_free(err);
                free_if_idle(p);
                return;
        }
        if (err == NULL && host == NULL)
                err = unknown_host();
        if (err == NULL)
                err = check_hello(p->hello, host);
        if (err != NULL) {
                finish(p, err);
                return;
        }
        fill_record(p, host);
        take_clock(p, p->hello->now);
        take_place(p);
        log_info("Agent connected", LOG_C("node_name", p->record->hostname), LOG_C("host_id", p->record->host_id),
                 LOG_C("remote_addr", p->record->remote_addr), LOG_C("version", p->record->version));
        write_record(p);
        welcome(p);
        proxies_note(p->auth->proxies, str_of(p->record->host_id), announces_proxy(p->hello), str_of(p->record->proxy_addr));
        tell_proxies(p);
        warn_of_skew(p);
}

static void on_hello(struct presence *p, const Cteleport__V1__PresenceUp__Hello *hello)
{
        const struct caller *caller = rpc_call_caller(p->call);
        ProtobufCMessage *copy = NULL;

        if (p->hello != NULL) {
                finish(p, error_new(ERROR_INVALID_ARGUMENT, "a second hello on one stream"));
                return;
        }
        struct error *err = message_copy(p->arena, &hello->base, &copy);
        if (err != NULL) {
                finish(p, err);
                return;
        }
        p->hello = (const Cteleport__V1__PresenceUp__Hello *)copy;
        p->nonce = str_of(p->hello->process_nonce);
        p->is_finding = true;
        host_find(p->auth, str_of(caller->host_id), on_host, p);
}

static void on_labels(struct presence *p, const Cteleport__V1__PresenceUp__Labels *labels)
{
        struct arena *arena = arena_new(PRESENCE_ARENA);
        ProtobufCMessage *copy = NULL;
        struct error *err = check_commands(labels->commands, labels->n_commands);

        if (err == NULL)
                err = message_copy(arena, &labels->base, &copy);
        if (err != NULL) {
                arena_free(arena);
                finish(p, err);
                return;
        }
        arena_free(p->commands);
        p->commands = arena;
        p->record->commands = ((const Cteleport__V1__PresenceUp__Labels *)copy)->commands;
        p->record->n_commands = ((const Cteleport__V1__PresenceUp__Labels *)copy)->n_commands;
        write_record(p);
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct presence *p = ctx;
        const Cteleport__V1__PresenceUp *up = (const Cteleport__V1__PresenceUp *)msg;

        if (up->payload_case == CTELEPORT__V1__PRESENCE_UP__PAYLOAD_HELLO) {
                on_hello(p, up->hello);
        } else if (p->record == NULL) {
                finish(p, error_new(ERROR_INVALID_ARGUMENT, "presence begins with a hello"));
        } else if (up->payload_case == CTELEPORT__V1__PRESENCE_UP__PAYLOAD_PONG) {
                on_pong(p, str_of(up->pong->nonce));
        } else if (up->payload_case == CTELEPORT__V1__PRESENCE_UP__PAYLOAD_LABELS) {
                on_labels(p, up->labels);
        } else {
                take_clock(p, up->payload_case == CTELEPORT__V1__PRESENCE_UP__PAYLOAD_HEARTBEAT ? up->heartbeat->now : NULL);
                write_record(p);
        }
}

static void on_half_close(void *ctx)
{
        finish(ctx, NULL);
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
