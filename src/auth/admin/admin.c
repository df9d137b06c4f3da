/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/admin/admin.h"

#include <stdlib.h>

#include "api.pb-c.h"
#include "auth/admin/request.h"
#include "auth/users/decision.h"
#include "auth/users/directory.h"
#include "auth/hosts/hosts.h"
#include "auth/hosts/nodes.h"
#include "auth/hosts/presence.h"
#include "auth/hosts/servers.h"
#include "auth/sessions/session_decision.h"
#include "auth/sessions/sessions.h"
#include "auth/hosts/tunnels_service.h"
#include "base/bug.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "pki/cert.h"
#include "rpc/pb.h"
#include "rpc/wire.h"

/* ---- the life of a request ------------------------------------------------------------------------------ */

void admin_init(struct auth *a)
{
        a->requests.total = LIMIT_REQUESTS_MEMORY;
        a->requests.share = LIMIT_REQUESTS_MEMORY_IDENTITY;
        a->urgent_requests.total = a->urgent_requests.share = LIMIT_REQUESTS_MEMORY_RESERVE;
}

static void admin_free(struct admin_request *q)
{
        if (q->charged > 0)
                budget_give(q->memory, q->charged);
        budget_drop(q->memory);
        buf_release(&q->who);
        arena_free(q->arena);
        free(q);
}

static void release_work(void *ctx)
{
        struct admin_request *q = ctx;

        q->work.release(q->work.ctx);
        admin_free(q);
}

static void on_gone(void *ctx)
{
        struct admin_request *q = ctx;

        q->call = NULL;
        job_cancel(q->work.job, release_work);
}

static void do_work(void *ctx)
{
        const struct admin_request *q = ctx;

        q->work.work(q->work.ctx);
}

static void on_worked(void *ctx)
{
        struct admin_request *q = ctx;

        q->work.job = NULL;
        q->work.done(q->work.ctx);
}

/* ---- what requests hold while they wait ------------------------------------------------------------------------ */

struct error *admin_charge(struct admin_request *q)
{
        size_t now = sizeof *q + q->who.len + arena_reserved(q->arena);

        if (q->memory == NULL || now <= q->charged)
                return NULL;
        if (!budget_take(q->memory, now - q->charged))
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "too many requests are under way"), "try again in a few seconds");
        q->charged = now;
        return NULL;
}

/* Who is shut out, or should be, must not keep that from being done by asking for other things in a loop. */
static bool is_urgent(const char *path)
{
        const char *slash = strrchr(path, '/');
        struct str name = str_of(slash == NULL ? path : slash + 1);

        return str_starts_with(name, STR("Delete")) || str_contains(name, STR("Lock"));
}

static struct error *charge_to(struct admin_request *q, struct budget *b, const struct caller *caller)
{
        budget_drop(q->memory);
        q->memory = b->total == 0 ? NULL : budget_hold(b, str_of(caller->identity == NULL ? caller->role : caller->identity));
        return admin_charge(q);
}

void admin_work(struct admin_request *q, void (*work)(void *ctx), void (*done)(void *ctx), void (*release)(void *ctx), void *ctx)
{
        struct error *err = admin_charge(q);

        if (err != NULL) {
                release(ctx);
                admin_fail(q, err);
                return;
        }
        q->work = (struct admin_work){ NULL, work, done, release, ctx };
        q->work.job = loop_job(&q->auth->loop, do_work, on_worked, q);
        if (q->call == NULL) /* gone already */
                job_cancel(q->work.job, release_work);
}

static const struct rpc_call_events call_events = { .on_gone = on_gone };

struct admin_request *admin_begin(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct caller *caller = rpc_call_caller(call);
        struct admin_request *q = NEW(struct admin_request);
        ProtobufCMessage *copy = NULL;

        q->auth = caller->auth;
        q->call = call;
        q->arena = arena_new(ADMIN_ARENA);
        q->who = BUF_MAX(1 * KiB);
        q->user = arena_str(q->arena, str_of(caller->user));
        caller_describe(caller, &q->who);
        /* It was read once, into an arena of LIMIT_RPC_MEMORY_FACTOR times LIMIT_RPC: this one is larger. */
        struct error *err = wire_copy(q->arena, first, &copy);
        if (err != NULL)
                bug("a message that was read once cannot be read again: %s", err->what);
        q->message = copy;
        err = charge_to(q, &q->auth->requests, caller);
        if (err != NULL && is_urgent(rpc_call_method(call)->path)) {
                error_free(err);
                err = charge_to(q, &q->auth->urgent_requests, caller);
        }
        if (err != NULL) {
                rpc_call_finish(call, err);
                admin_free(q);
                return NULL;
        }
        rpc_call_listen(call, &call_events, q);
        return q;
}

struct error *admin_user(const struct admin_request *q, struct access_user *ret)
{
        return directory_access_user(q->auth->directory, q->user, q->arena, ret);
}

void admin_reply(struct admin_request *q, const ProtobufCMessage *answer)
{
        struct error *err = arena_check(q->arena, "the answer");

        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        if (q->call != NULL)
                rpc_call_reply(q->call, answer);
        admin_free(q);
}

void admin_fail(struct admin_request *q, struct error *err)
{
        if (q->call != NULL)
                rpc_call_finish(q->call, err);
        else
                error_free(err);
        admin_free(q);
}

/* ---- listings ---------------------------------------------------------------------------------------------- */

enum {
        PAGE_ITEMS = 500,
        PAGE_SIZE = LIMIT_UNREAD_OUTPUT / 2, /* bytes of an answer, whose last message may reach beyond */
};

bool listing_add(struct admin_request *q, struct listing *l, ProtobufCMessage *message)
{
        if (l->size >= PAGE_SIZE)
                return false;
        if (l->count == l->room) {
                ProtobufCMessage **old = l->messages;

                l->room = l->room == 0 ? PAGE_ITEMS : l->room * 2;
                l->messages = arena_alloc(q->arena, l->room * sizeof *l->messages);
                if (l->count > 0)
                        memcpy(l->messages, old, l->count * sizeof *old);
        }
        l->messages[l->count++] = message;
        l->size += protobuf_c_message_get_packed_size(message);
        return true;
}

void listing_reply(struct admin_request *q, struct listing *l)
{
        enum { ITEMS, NEXT };
        const ProtobufCFieldDescriptor *fields = l->page->fields;
        ProtobufCMessage *page = arena_alloc(q->arena, l->page->sizeof_message);
        char *at = (char *)page;

        if (fields[ITEMS].label != PROTOBUF_C_LABEL_REPEATED || fields[ITEMS].type != PROTOBUF_C_TYPE_MESSAGE ||
            fields[NEXT].label == PROTOBUF_C_LABEL_REPEATED || fields[NEXT].type != PROTOBUF_C_TYPE_STRING)
                bug("%s is no page of a listing", l->page->name);
        protobuf_c_message_init(l->page, page);
        *(ProtobufCMessage ***)(void *)(at + fields[ITEMS].offset) = l->messages;
        *(size_t *)(void *)(at + fields[ITEMS].quantifier_offset) = l->count;
        *(char **)(void *)(at + fields[NEXT].offset) = l->next;
        admin_reply(q, page);
}

static void on_page(void *ctx, const struct state_page *page, struct error *err)
{
        struct admin_request *q = ctx;
        struct listing *l = q->state;
        struct str last = { 0 };
        size_t seen = 0;

        for (; err == NULL && seen < page->count; seen++) {
                ProtobufCMessage *message = NULL;

                state_log_unreadable(&page->records[seen], l->show(q, &page->records[seen], &message));
                if (message != NULL && !listing_add(q, l, message))
                        break;
                last = page->records[seen].id;
        }
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        l->next = pb_text("");
        if ((seen < page->count || !page->is_last) && last.len > 0)
                l->next = pb_text(arena_str(q->arena, last).ptr);
        if (l->reply != NULL)
                l->reply(q, l);
        else
                listing_reply(q, l);
}

void admin_list(struct admin_request *q, struct listing l)
{
        if (q == NULL)
                return;
        const Cteleport__V1__ListRequest *m = (const Cteleport__V1__ListRequest *)q->message;
        struct listing *kept = arena_alloc(q->arena, sizeof *kept);
        size_t limit = m->limit == 0 || m->limit > PAGE_ITEMS ? PAGE_ITEMS : m->limit;

        *kept = l;
        q->state = kept;
        state_list(q->auth->store, l.kind, str_of(m->after), limit, on_page, q);
}

/* ---- status ------------------------------------------------------------------------------------------------ */

static Cteleport__V1__AuthorityStatus *describe_authority(struct arena *arena, const Cteleport__Internal__V1__Authority *authority)
{
        Cteleport__V1__AuthorityStatus *status = arena_alloc(arena, sizeof *status);
        size_t count = authority->n_ssh_keys + authority->n_tls_certs;

        cteleport__v1__authority_status__init(status);
        status->type = authority->type;
        status->rotation = pb_text("never updated");
        status->keys = arena_alloc(arena, count * sizeof *status->keys);
        for (size_t i = 0; i < count; i++) {
                Cteleport__V1__AuthorityKey *key = arena_alloc(arena, sizeof *key);
                bool is_ssh = i < authority->n_ssh_keys;
                size_t position = is_ssh ? i : i - authority->n_ssh_keys;

                cteleport__v1__authority_key__init(key);
                key->protocol = pb_text(is_ssh ? "SSH" : "TLS");
                key->status = pb_text(position == 0 ? "active" : "trusted");
                key->algorithm = pb_text(is_ssh ? "Ed25519" : "ECDSA P-256");
                key->storage = pb_text("software");
                status->keys[status->n_keys++] = key;
        }
        return status;
}

void admin_cluster_status(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        const struct authorities *cas = &q->auth->authorities;
        Cteleport__V1__ClusterStatusResponse response = CTELEPORT__V1__CLUSTER_STATUS_RESPONSE__INIT;

        response.cluster = pb_text(q->auth->cluster.ptr);
        response.version = pb_text(CTELEPORT_VERSION);
        response.ca_pins = arena_alloc(q->arena, cas->host->n_tls_certs * sizeof *response.ca_pins);
        for (size_t i = 0; i < cas->host->n_tls_certs; i++) {
                AUTO(buf) pin = BUF_MAX(128);
                struct error *err = ca_pin_of_cert(pb_str(cas->host->tls_certs[i]), &pin);

                if (err != NULL) {
                        admin_fail(q, err);
                        return;
                }
                response.ca_pins[response.n_ca_pins++] = pb_text(arena_str(q->arena, buf_str(&pin)).ptr);
        }
        response.authorities = arena_alloc(q->arena, cas->all->n_authorities * sizeof *response.authorities);
        for (size_t i = 0; i < cas->all->n_authorities; i++)
                response.authorities[response.n_authorities++] = describe_authority(q->arena, cas->all->authorities[i]);
        admin_reply(q, &response.base);
}

/* ---- nodes and instances --------------------------------------------------------------------------------------- */

static Cteleport__V1__Timestamp *timestamp(struct arena *arena, int64_t ms)
{
        Cteleport__V1__Timestamp *t = arena_alloc(arena, sizeof *t);

        cteleport__v1__timestamp__init(t);
        t->seconds = ms / 1000;
        t->nanos = (int32_t)(ms % 1000) * 1000000;
        return t;
}

static Cteleport__V1__Metadata *metadata_of(struct admin_request *q, const Cteleport__State__V1__Presence *p)
{
        Cteleport__V1__Metadata *m = arena_alloc(q->arena, sizeof *m);

        cteleport__v1__metadata__init(m);
        m->name = p->host_id;
        m->expires = timestamp(q->arena, p->last_heartbeat + duration_ms(q->auth->heartbeat_ttl));
        m->labels = arena_alloc(q->arena, (p->n_labels + 1) * sizeof *m->labels);
        for (size_t i = 0; i < p->n_labels; i++) {
                Cteleport__V1__Metadata__LabelsEntry *label = arena_alloc(q->arena, sizeof *label);

                cteleport__v1__metadata__labels_entry__init(label);
                label->key = p->labels[i]->key;
                label->value = p->labels[i]->value;
                m->labels[m->n_labels++] = label;
        }
        return m;
}

static bool serves(const Cteleport__State__V1__Presence *p, const char *service)
{
        for (size_t i = 0; i < p->n_services; i++)
                if (strcmp(p->services[i], service) == 0)
                        return true;
        return false;
}

/* Command labels by their names; texts are borrowed from the record. */
static void put_command_labels(struct arena *a, Cteleport__V1__NodeSpec *spec, const Cteleport__State__V1__Presence *p)
{
        spec->cmd_labels = arena_alloc(a, (p->n_commands + 1) * sizeof *spec->cmd_labels);
        for (size_t i = 0; i < p->n_commands; i++) {
                Cteleport__V1__NodeSpec__CmdLabelsEntry *entry = arena_alloc(a, sizeof *entry);
                Cteleport__V1__CommandLabelState *state = arena_alloc(a, sizeof *state);

                cteleport__v1__node_spec__cmd_labels_entry__init(entry);
                cteleport__v1__command_label_state__init(state);
                state->period = p->commands[i]->period;
                state->command = p->commands[i]->command;
                state->n_command = p->commands[i]->n_command;
                state->result = p->commands[i]->result;
                entry->key = p->commands[i]->name;
                entry->value = state;
                spec->cmd_labels[spec->n_cmd_labels++] = entry;
        }
}

static Cteleport__V1__Node *node_of(struct admin_request *q, const Cteleport__State__V1__Presence *p)
{
        Cteleport__V1__Node *node = arena_alloc(q->arena, sizeof *node);
        Cteleport__V1__NodeSpec *spec = arena_alloc(q->arena, sizeof *spec);

        cteleport__v1__node__init(node);
        cteleport__v1__node_spec__init(spec);
        node->kind = pb_text("node");
        node->version = pb_text("v2");
        node->metadata = metadata_of(q, p);
        node->spec = spec;
        spec->addr = p->addr;
        spec->public_addrs = p->public_addrs;
        spec->n_public_addrs = p->n_public_addrs;
        spec->hostname = p->hostname;
        spec->use_tunnel = p->use_tunnel || str_is_empty(str_of(p->addr));
        spec->version = p->version;
        spec->join_method = p->join_method;
        spec->aws_account = p->aws_account;
        spec->aws_arn = p->aws_arn;
        spec->services = p->services;
        spec->n_services = p->n_services;
        spec->last_heartbeat = timestamp(q->arena, p->last_heartbeat);
        spec->state = pb_text(presence_state(q->auth, p));
        put_command_labels(q->arena, spec, p);
        return node;
}

/* Nodes as one who asks may see them. */
struct node_listing {
        struct access_user user;
        bool is_known; /* user: read once for the page, which is built in one turn */
};

static struct error *sees(struct admin_request *q, struct node_listing *l, const Cteleport__State__V1__Presence *p, bool *ret)
{
        *ret = true;
        if (str_is_empty(q->user))
                return NULL;
        if (!l->is_known)
                TRY(admin_user(q, &l->user));
        l->is_known = true;
        struct node node = node_of_presence(q->arena, p);
        *ret = access_sees_node(&l->user, node.labels, node.label_count);
        return NULL;
}

static struct error *show_node(struct admin_request *q, const struct state_record *record, ProtobufCMessage **ret)
{
        Cteleport__State__V1__Presence *p = NULL;
        struct listing *l = q->state;
        bool is_shown = false;

        TRY(presence_read(q->arena, record, &p));
        if (serves(p, "Node"))
                TRY(sees(q, l->ctx, p, &is_shown));
        if (is_shown)
                *ret = &node_of(q, p)->base;
        return NULL;
}

/* ---- nodes by name: what Dial would find */

struct node_search {
        struct listing page;
        struct str ids[LIMIT_DIAL_CANDIDATES];
        size_t count, looked_at;
        const char *copy_refusal; /* of the last that was found */
};

static void check_next(struct admin_request *q);

/* As dial_service.c decides: an ambiguous name is ambiguous for both. */
static struct error *show_if_reached(struct admin_request *q, struct node_search *s, const struct state_record *record)
{
        const Cteleport__V1__ListRequest *m = (const Cteleport__V1__ListRequest *)q->message;
        Cteleport__State__V1__Presence *p = NULL;
        struct access_user user = { 0 };
        struct access_session may;

        TRY(presence_read(q->arena, record, &p));
        if (!serves(p, "Node"))
                return NULL;
        struct node node = node_of_presence(q->arena, p);
        if (!str_is_empty(q->user)) {
                AUTO_PTR(error) refusal = decision_check(q->auth->directory, q->user, str_of(m->login), &node, q->arena, &user, &may);

                if (refusal != NULL)
                        return NULL;
        }
        listing_add(q, &s->page, &node_of(q, p)->base);
        bool is_requested = !str_is_empty(q->user) && m->login[0] != '\0';
        if (is_requested && !may.file_copy)
                s->copy_refusal = SESSION_NO_COPY;
        else if (is_requested && p->has_no_file_copy)
                s->copy_refusal = "copying files is not allowed: ssh_file_copy of this node forbids it";
        else
                s->copy_refusal = NULL;
        return NULL;
}

static void reply_found(struct admin_request *q, const struct node_search *s)
{
        Cteleport__V1__ListNodesResponse *page = arena_alloc(q->arena, sizeof *page);

        cteleport__v1__list_nodes_response__init(page);
        page->nodes = (Cteleport__V1__Node **)(void *)s->page.messages;
        page->n_nodes = s->page.count;
        if (s->page.count == 1 && s->copy_refusal != NULL)
                page->copy_refusal = pb_text(s->copy_refusal);
        admin_reply(q, &page->base);
}

static void on_found(void *ctx, const struct state_record *record, struct error *err)
{
        struct admin_request *q = ctx;

        if (err == NULL && record != NULL)
                err = show_if_reached(q, q->state, record);
        if (err == NULL)
                err = admin_check_waited_for(q);
        if (err != NULL)
                admin_fail(q, err);
        else
                check_next(q);
}

static void check_next(struct admin_request *q)
{
        struct node_search *s = q->state;

        if (s->looked_at == s->count) {
                reply_found(q, s);
                return;
        }
        state_get(q->auth->store, &presence_kind, s->ids[s->looked_at++], on_found, q);
}

static void find_nodes(struct admin_request *q, struct str name)
{
        struct node_search *s = arena_alloc(q->arena, sizeof *s);

        *s = (struct node_search){ 0 };
        s->count = nodes_dialled(sessions_nodes(q->auth->sessions), name, s->ids);
        for (size_t i = 0; i < s->count; i++)
                s->ids[i] = arena_str(q->arena, s->ids[i]);
        q->state = s;
        check_next(q);
}

void admin_list_nodes(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        const char *node = ((const Cteleport__V1__ListRequest *)q->message)->node;

        if (node[0] != '\0') {
                find_nodes(q, str_of(node));
                return;
        }
        admin_list(q, (struct listing){ &presence_kind, show_node, &cteleport__v1__list_nodes_response__descriptor,
                                        .ctx = arena_alloc(q->arena, sizeof(struct node_listing)) });
}

static Cteleport__V1__Instance *instance_of(struct admin_request *q, const Cteleport__State__V1__Presence *p)
{
        Cteleport__V1__Instance *instance = arena_alloc(q->arena, sizeof *instance);
        Cteleport__V1__InstanceSpec *spec = arena_alloc(q->arena, sizeof *spec);

        cteleport__v1__instance__init(instance);
        cteleport__v1__instance_spec__init(spec);
        instance->kind = pb_text("instance");
        instance->version = pb_text("v1");
        instance->metadata = metadata_of(q, p);
        instance->spec = spec;
        spec->hostname = p->hostname;
        spec->version = p->version;
        spec->services = p->services;
        spec->n_services = p->n_services;
        spec->join_method = p->join_method;
        spec->token_name = p->token_name;
        spec->aws_account = p->aws_account;
        spec->aws_arn = p->aws_arn;
        spec->remote_addr = p->remote_addr;
        spec->joined = timestamp(q->arena, p->joined * 1000);
        spec->last_heartbeat = timestamp(q->arena, p->last_heartbeat);
        if (p->cert_not_after > 0)
                spec->cert_expires = timestamp(q->arena, p->cert_not_after * 1000);
        spec->state = pb_text(presence_state(q->auth, p));
        spec->is_connected = presence_is_whole(q->auth, p);
        spec->clock_skew_ms = p->clock_skew_ms;
        return instance;
}

static struct error *show_instance(struct admin_request *q, const struct state_record *record, ProtobufCMessage **ret)
{
        Cteleport__State__V1__Presence *p = NULL;

        TRY(presence_read(q->arena, record, &p));
        *ret = &instance_of(q, p)->base;
        return NULL;
}

void admin_list_instances(struct rpc_call *call, const ProtobufCMessage *first)
{
        admin_list(admin_begin(call, first),
                   (struct listing){ &presence_kind, show_instance, &cteleport__v1__list_instances_response__descriptor });
}

/* ---- removing a node: its record, its name, its presence, its connections ------------------------------------------ */

static void on_node_deleted(void *ctx, uint64_t revision, struct error *err)
{
        struct admin_request *q = ctx;
        const char *host_id = admin_name(q).ptr;
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;

        (void)revision;
        if (err != NULL) {
                admin_fail(q, error_wrap(err, "the node could not be removed"));
                return;
        }
        log_info("Node removed", LOG_C("host_id", host_id), LOG_STR("by", buf_str(&q->who)));
        callers_drop_host(q->auth, str_of(host_id));
        tunnels_refuse(q->auth, str_of(host_id), "this host was removed from the cluster");
        admin_reply(q, &empty.base);
}

/* What is known of the node before its name is looked up. */
struct pending_deletion {
        struct str host_name;
        uint64_t revision;
};

/* A name that has passed on to the next machine of the group is that one's. */
static void on_name(void *ctx, const Cteleport__State__V1__Name *name, uint64_t revision, struct error *err)
{
        struct admin_request *q = ctx;
        const struct pending_deletion *pending_deletion = q->state;
        const char *host_id = admin_name(q).ptr;
        struct audit_record record = { 0 };

        if (err == NULL)
                err = admin_check_waited_for(q);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        struct store_txn *t = store_txn_new(q->auth->store);
        host_require(t, str_of(host_id), pending_deletion->revision);
        host_delete(t, str_of(host_id));
        if (name != NULL && str_equal(str_of(name->host_id), str_of(host_id))) {
                name_require(t, pending_deletion->host_name, q->auth->cluster, revision);
                name_delete(t, pending_deletion->host_name, q->auth->cluster);
        }
        state_delete(t, &presence_kind, str_of(host_id));
        servers_delete(t, str_of(host_id));
        auth_audit_begin(q->auth, &record, &audit_node_delete);
        audit_str(&record, "user", buf_str(&q->who));
        audit_str(&record, "host_id", str_of(host_id));
        audit_str(&record, "node_name", pending_deletion->host_name);
        outbox_add(q->auth->outbox, t, &record); /* it was charged for by the join */
        store_txn_commit(t, on_node_deleted, q);
}

static void on_node(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct admin_request *q = ctx;
        const char *host_id = admin_name(q).ptr;
        struct pending_deletion *pending_deletion = arena_alloc(q->arena, sizeof *pending_deletion);

        if (err == NULL && host == NULL)
                err = error_hint(error_new(ERROR_NOT_FOUND, "node \"%s\" is not found", host_id), "`tctl nodes ls -v` shows the IDs");
        if (err == NULL && str_equal(str_of(host->join_method), STR("local")))
                err = error_new(ERROR_FAILED_PRECONDITION, "host %s is the one the Auth Service runs on", host_id);
        if (err == NULL)
                err = admin_check_waited_for(q);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        *pending_deletion = (struct pending_deletion){ arena_str(q->arena, str_of(host->hostname)), revision };
        q->state = pending_deletion;
        name_get(q->auth->store, pending_deletion->host_name, q->auth->cluster, on_name, q);
}

void admin_delete_node(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        Cteleport__V1__NameRequest *request = (Cteleport__V1__NameRequest *)(uintptr_t)q->message; /* our copy */
        AUTO(buf) canonical = BUF_MAX(2 * LIMIT_NAME);
        struct str host_id = admin_name(q);

        name_put_canonical(&canonical, host_id, q->auth->cluster);
        if (name_is_host_id(buf_str(&canonical))) {
                host_id = arena_str(q->arena, buf_str(&canonical));
                request->name = pb_text(host_id.ptr); /* arena texts end in NUL */
        } else {
                AUTO_MEM char *shown = escaped(host_id);

                admin_fail(q, error_hint(error_new(ERROR_NOT_FOUND, "node \"%s\" is not found", shown),
                                         "nodes are removed by ID: `tctl nodes ls -v` shows it"));
                return;
        }
        host_get(q->auth->store, host_id, on_node, q);
}
