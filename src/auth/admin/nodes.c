/* SPDX-License-Identifier: Apache-2.0 */
#include "api.pb-c.h"
#include "auth/admin/resources.h"
#include "auth/hosts/hosts.h"
#include "auth/hosts/nodes.h"
#include "auth/hosts/presence.h"
#include "auth/hosts/servers.h"
#include "auth/hosts/tunnels_service.h"
#include "auth/sessions/session_decision.h"
#include "auth/sessions/sessions.h"
#include "auth/users/decision.h"
#include "auth/users/directory.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "rpc/pb.h"

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

/* Puts the labels of commands by name; their texts are borrowed from the record. */
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
        spec->state = pb_text(presence_state(q->auth, p, "node"));
        put_command_labels(q->arena, spec, p);
        return node;
}

/* The state of a listing of the nodes that the user may see. */
struct node_listing {
        struct access_user user;
        bool is_known; /* user is set: read once per page, which is built in one turn of the loop */
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
        *ret = access_sees(&l->user, ROLE_NODE_LABELS, node.labels, node.label_count);
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

/* ---- nodes by name: those that Dial would find */

struct node_search {
        struct listing page;
        struct str ids[LIMIT_DIAL_CANDIDATES];
        size_t count, looked_at;
        const char *copy_refusal; /* of the last node found */
};

static void check_next(struct admin_request *q);

/* The same decision as in dial_service.c, so that a name is ambiguous in both cases or in neither. */
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

static bool begin_list(struct admin_request *q, struct listing *l)
{
        const char *node = ((const Cteleport__V1__ListRequest *)q->message)->node;

        l->ctx = arena_alloc(q->arena, sizeof(struct node_listing));
        if (node[0] == '\0')
                return false;
        find_nodes(q, str_of(node));
        return true;
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
        spec->state = pb_text(presence_state(q->auth, p, NULL));
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

const struct admin_kind admin_instance_kind = {
        .name = "instance",
        .listed_by = "tctl inventory ls",
        .state = &presence_kind,
        .page = &cteleport__v1__list_instances_response__descriptor,
        .show = show_instance,
};

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
        log_info("Node removed", LOG_C("host_id", host_id), LOG_STR("by", buf_str(&q->caller)));
        callers_drop_host(q->auth, str_of(host_id));
        tunnels_refuse(q->auth, str_of(host_id), "", "this host was removed from the cluster");
        admin_reply(q, &empty.base);
}

/* The state of a deletion while the name of the node is looked up. */
struct pending_deletion {
        struct str host_name;
        uint64_t revision;
};

/* The name is deleted too, unless it belongs to another host of the group by now. */
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
        audit_str(&record, "user", buf_str(&q->caller));
        audit_str(&record, "host_id", str_of(host_id));
        audit_str(&record, "node_name", pending_deletion->host_name);
        outbox_add(q->auth->outbox, t, &record); /* the join has charged for it */
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

static void remove_node(struct admin_request *q)
{
        Cteleport__V1__NameRequest *request = (Cteleport__V1__NameRequest *)(uintptr_t)q->message; /* the copy of this request */
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

const struct admin_kind admin_node_kind = {
        .name = "node",
        .listed_by = "tctl nodes ls",
        .state = &presence_kind,
        .page = &cteleport__v1__list_nodes_response__descriptor,
        .show = show_node,
        .begin_list = begin_list,
        .remove = remove_node,
};
