/* SPDX-License-Identifier: Apache-2.0 */
/* kind: app, which administrators write, and kind: app_server, which the presence of hosts shows. */
#include "api.pb-c.h"
#include "auth/admin/resources.h"
#include "auth/hosts/app_addresses.h"
#include "auth/hosts/app_catalog.h"
#include "auth/hosts/nodes.h"
#include "auth/hosts/presence.h"
#include "auth/sessions/sessions.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/names.h"
#include "resource/app.h"
#include "rpc/pb.h"
#include "state/app.h"

/* ---- app_server ------------------------------------------------------------------------------------------ */

/* The user of the request; read once per page, which is built in one turn of the loop. */
struct app_listing {
        struct access_user user;
        bool is_known;
};

static struct error *sees(struct admin_request *q, struct app_listing *l, const Cteleport__V1__App *app, bool *ret)
{
        *ret = true;
        if (str_is_empty(q->user))
                return NULL;
        if (!l->is_known)
                TRY(admin_user(q, &l->user));
        l->is_known = true;
        struct node_app shown = node_app_of(q->arena, app);
        *ret = access_sees(&l->user, ROLE_APP_LABELS, shown.labels, shown.label_count);
        return NULL;
}

static Cteleport__V1__AppServer *server_of(struct admin_request *q, const Cteleport__State__V1__Presence *p, Cteleport__V1__App *app)
{
        Cteleport__V1__AppServer *server = arena_alloc(q->arena, sizeof *server);
        Cteleport__V1__AppServerSpec *spec = arena_alloc(q->arena, sizeof *spec);

        cteleport__v1__app_server__init(server);
        cteleport__v1__app_server_spec__init(spec);
        server->kind = pb_text("app_server");
        server->version = pb_text("v3");
        server->metadata = app->metadata;
        server->spec = spec;
        spec->version = p->version;
        spec->hostname = p->hostname;
        spec->host_id = p->host_id;
        spec->app = app;
        spec->state = pb_text(presence_state(q->auth, p, "app"));
        for (size_t i = 0; i < p->n_hidden_apps; i++)
                spec->hides_resource = spec->hides_resource || strcmp(p->hidden_apps[i], app->metadata->name) == 0;
        return server;
}

static struct error *show_all(struct admin_request *q, const struct state_record *record, struct listing *l)
{
        Cteleport__State__V1__Presence *p = NULL;

        TRY(presence_read(q->arena, record, &p));
        for (size_t i = 0; i < p->n_apps; i++) {
                bool is_shown = false;

                TRY(sees(q, l->ctx, p->apps[i], &is_shown));
                if (is_shown)
                        listing_add_more(q, l, &server_of(q, p, p->apps[i])->base);
        }
        return NULL;
}

static bool begin_list(struct admin_request *q, struct listing *l)
{
        l->ctx = arena_alloc(q->arena, sizeof(struct app_listing));
        return false;
}

/* ---- removing one that an offline host has announced */

struct app_server_removal {
        struct str host_id, app;
        const char *hostname;
};

static struct error *not_announced(const struct admin_request *q)
{
        return resource_not_found(&admin_app_server_kind, admin_name(q));
}

static struct error *is_announced_again(const struct app_server_removal *r)
{
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the host %s is connected and announces the application \"%.*s\" again", r->hostname, STR_ARG(r->app)),
                          "remove the application from teleport.yaml there and run teleport reload, or the resource: tctl rm app/%.*s; to remove the host: tctl rm node/%.*s",
                          STR_ARG(r->app), STR_ARG(r->host_id));
}

static void on_server_removed(void *ctx, uint64_t revision, struct error *err)
{
        struct admin_request *q = ctx;
        const struct app_server_removal *r = q->state;
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;

        (void)revision;
        if (err != NULL) {
                admin_fail(q, err->code == ERROR_ABORTED ? error_because(is_announced_again(r), err) : err);
                return;
        }
        log_info("An application of an offline host was removed", LOG_STR("app", r->app), LOG_STR("host_id", r->host_id), LOG_STR("by", buf_str(&q->caller)));
        admin_reply(q, &empty.base);
}

/* Its other applications stay, until the time that the host has announced them for. */
static void commit_removal(struct admin_request *q, const struct state_record *record, const Cteleport__State__V1__Presence *p)
{
        const struct app_server_removal *r = q->state;
        struct audit_record event = { 0 };
        struct walltime expires = walltime_add((struct walltime){ p->last_heartbeat * 1000000 }, q->auth->heartbeat_ttl);
        struct store_txn *t = store_txn_new(q->auth->store);

        state_require(t, &presence_kind, r->host_id, record->revision);
        state_put(t, &presence_kind, r->host_id, &p->base, expires);
        auth_audit_begin(q->auth, &event, &audit_app_server_delete);
        audit_str(&event, "user", buf_str(&q->caller));
        audit_str(&event, "name", r->app);
        audit_str(&event, "host_id", r->host_id);
        audit_str(&event, "node_name", str_of(r->hostname));
        outbox_add(q->auth->outbox, t, &event); /* a host announces itself between two of them */
        store_txn_commit(t, on_server_removed, q);
}

static bool drop_app(Cteleport__State__V1__Presence *p, struct str name)
{
        size_t kept = 0, count = p->n_apps;

        for (size_t i = 0; i < count; i++)
                if (!str_equal(str_of(p->apps[i]->metadata->name), name))
                        p->apps[kept++] = p->apps[i];
        p->n_apps = kept;
        return kept < count;
}

static struct error *remove_from(struct admin_request *q, const struct state_record *record)
{
        struct app_server_removal *r = q->state;
        Cteleport__State__V1__Presence *p = NULL;

        if (record == NULL)
                return not_announced(q);
        TRY(presence_read(q->arena, record, &p));
        r->hostname = p->hostname;
        if (!drop_app(p, r->app))
                return not_announced(q);
        if (presence_is_connected(q->auth, p))
                return is_announced_again(r);
        TRY(admin_check_waited_for(q));
        commit_removal(q, record, p);
        return NULL;
}

static void on_presence(void *ctx, const struct state_record *record, struct error *err)
{
        struct admin_request *q = ctx;

        if (err == NULL)
                err = remove_from(q, record);
        if (err != NULL)
                admin_fail(q, err);
}

static void remove_app_server(struct admin_request *q)
{
        struct app_server_removal *r = arena_alloc(q->arena, sizeof *r);

        r->app = admin_name(q);
        r->host_id = str_split(&r->app, '/');
        q->state = r;
        if (name_is_host_id(r->host_id))
                state_get(q->auth->store, &presence_kind, r->host_id, on_presence, q);
        else
                admin_fail(q, not_announced(q));
}

const struct admin_kind admin_app_server_kind = {
        .name = "app_server",
        .listed_by = "tctl apps ls",
        .state = &presence_kind,
        .page = &cteleport__v1__list_app_servers_response__descriptor,
        .show_all = show_all,
        .begin_list = begin_list,
        .remove = remove_app_server,
};

/* ---- app ------------------------------------------------------------------------------------------------- */

static struct error *show_app(struct admin_request *q, const struct state_record *record, ProtobufCMessage **ret)
{
        return app_read(q->arena, record, (Cteleport__V1__App **)ret);
}

static void put_id(struct str name, struct buf *out)
{
        buf_put(out, name);
}

static struct error *check(struct admin_request *q, struct change *c)
{
        return app_check((Cteleport__V1__App *)c->resource, q->arena);
}

/* Hosts that offer an application of this name before there is the resource have it in teleport.yaml. */
static void warn_of_files(struct admin_request *q, struct change *c)
{
        struct str ids[LIMIT_DIAL_CANDIDATES];
        size_t count = nodes_offering_app(sessions_nodes(q->auth->sessions), c->name, ids);

        if (count > 0)
                change_warn(c, arena_printf(q->arena, "%zu host%s offer%s an application of this name in teleport.yaml and not this one; users get to any of them: tctl get app_server/%.*s",
                                            count, count == 1 ? "" : "s", count == 1 ? "s" : "", STR_ARG(c->name)));
}

static void warn_of_address(struct admin_request *q, struct change *c)
{
        const Cteleport__V1__App *app = (const Cteleport__V1__App *)c->resource;
        const char *other = app_addresses_other(q->auth, app, q->arena);

        if (other != NULL)
                change_warn(c, arena_printf(q->arena, "the application '%s' of a host's teleport.yaml has the public_addr '%s', too; it leads to this resource now", other,
                                            app->spec->public_addr));
}

static struct error *check_write(struct admin_request *q, struct change *c)
{
        if (!c->is_there && app_catalog_count(q->auth->apps) >= LIMIT_APP_RESOURCES)
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "the cluster has %d applications, and no room for others", LIMIT_APP_RESOURCES),
                                  "remove some: tctl rm app/NAME");
        TRY(app_addresses_check(q->auth, (const Cteleport__V1__App *)c->resource));
        warn_of_address(q, c);
        if (!c->is_there)
                warn_of_files(q, c);
        return NULL;
}

/* A name that only files of hosts have is not unknown. */
static struct error *missing(struct admin_request *q, const struct change *c)
{
        struct str ids[LIMIT_DIAL_CANDIDATES];

        if (nodes_offering_app(sessions_nodes(q->auth->sessions), c->name, ids) == 0)
                return resource_not_found(c->kind, c->name);
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the application '%.*s' is none of tctl create: hosts have it in teleport.yaml", STR_ARG(c->name)),
                          "remove it there, and run teleport reload; tctl get app_server/%.*s names the hosts", STR_ARG(c->name));
}

static void put_audit(const struct change *c, const ProtobufCMessage *resource, struct audit_record *r)
{
        const Cteleport__V1__App *app = (const Cteleport__V1__App *)resource;
        const Cteleport__V1__Metadata *m = app->metadata;

        (void)c;
        audit_str(r, "app_uri", str_of(app->spec->uri));
        if (app->spec->public_addr[0] != '\0')
                audit_str(r, "app_public_addr", str_of(app->spec->public_addr));
        audit_open(r, "app_labels");
        for (size_t i = 0; i < m->n_labels; i++)
                audit_str(r, m->labels[i]->key, str_of(m->labels[i]->value));
        audit_close(r);
}

const struct admin_kind admin_app_kind = {
        .name = "app",
        .listed_by = "tctl get apps",
        .state = &app_kind,
        .page = &cteleport__v1__list_apps_response__descriptor,
        .show = show_app,
        .put_id = put_id,
        .put = &cteleport__v1__put_app_request__descriptor,
        .check = check,
        .check_write = check_write,
        .missing = missing,
        .account = ACCOUNT_ADMIN,
        .created = &audit_app_create,
        .updated = &audit_app_update,
        .deleted = &audit_app_delete,
        .put_audit = put_audit,
};
