/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tctl/kinds.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "cmd/tctl/nodes_shared.h"
#include "cmd/tctl/users_shared.h"
#include "cmd/tctl/tokens_shared.h"
#include "resource/access_role.h"
#include "resource/app.h"
#include "resource/lock.h"
#include "join/token_check.h"
#include "resource/user.h"
#include "rpc/pb.h"

/* ---- finding -------------------------------------------------------------------------------------- */

static struct error *find_one(struct session *s, const char *method, const char *name,
                              const ProtobufCMessageDescriptor *type, ProtobufCMessage ***ret, size_t *ret_count)
{
        *ret = arena_alloc(s->arena, sizeof **ret);
        *ret_count = 1;
        return session_request_name(s, method, name, type, *ret);
}

static struct error *find_tokens(struct session *s, const char *name, bool with_secrets, ProtobufCMessage ***ret,
                                 size_t *ret_count)
{
        if (name != NULL) /* the caller gave the name, so it is not masked */
                return find_one(s, "GetToken", name, &cteleport__v1__token__descriptor, ret, ret_count);
        TRY(tokens_list(s, (Cteleport__V1__Token ***)ret, ret_count));
        if (!with_secrets)
                tokens_mask(s->arena, (Cteleport__V1__Token **)*ret, *ret_count);
        return NULL;
}

static struct error *not_found(const char *kind, const char *name)
{
        AUTO_MEM char *shown = escaped(str_of(name));

        return error_hint(error_new(ERROR_NOT_FOUND, "%s \"%s\" is not found", kind, shown), "list them all: tctl get %ss",
                          kind);
}

static bool is_named(const Cteleport__V1__Metadata *metadata, const char *hostname, const char *name)
{
        return name == NULL || name_is_same(str_of(hostname), str_of(name), STR("")) ||
               (metadata != NULL && name_is_same(str_of(metadata->name), str_of(name), STR("")));
}

static struct error *find_nodes(struct session *s, const char *name, bool with_secrets, ProtobufCMessage ***ret,
                                size_t *ret_count)
{
        Cteleport__V1__Node **nodes = NULL;
        size_t count = 0, kept = 0;

        (void)with_secrets;
        TRY(nodes_list(s, &nodes, &count));
        for (size_t i = 0; i < count; i++)
                if (is_named(nodes[i]->metadata, nodes[i]->spec->hostname, name))
                        nodes[kept++] = nodes[i];
        *ret = (ProtobufCMessage **)nodes;
        *ret_count = kept;
        return name != NULL && kept == 0 ? not_found("node", name) : NULL;
}

static struct error *find_instances(struct session *s, const char *name, bool with_secrets, ProtobufCMessage ***ret,
                                    size_t *ret_count)
{
        Cteleport__V1__Instance **instances = NULL;
        size_t count = 0, kept = 0;

        (void)with_secrets;
        TRY(instances_list(s, &instances, &count));
        for (size_t i = 0; i < count; i++)
                if (is_named(instances[i]->metadata, instances[i]->spec->hostname, name))
                        instances[kept++] = instances[i];
        *ret = (ProtobufCMessage **)instances;
        *ret_count = kept;
        return name != NULL && kept == 0 ? not_found("instance", name) : NULL;
}

static struct error *find_roles(struct session *s, const char *name, bool with_secrets, ProtobufCMessage ***ret,
                                size_t *ret_count)
{
        (void)with_secrets;
        if (name != NULL)
                return find_one(s, "GetRole", name, &cteleport__v1__role__descriptor, ret, ret_count);
        return session_list(s, "ListRoles", &cteleport__v1__list_roles_response__descriptor, ret, ret_count);
}

static struct error *find_users(struct session *s, const char *name, bool with_secrets, ProtobufCMessage ***ret,
                                size_t *ret_count)
{
        (void)with_secrets;
        if (name != NULL)
                return find_one(s, "GetUser", name, &cteleport__v1__user__descriptor, ret, ret_count);
        return users_list(s, (Cteleport__V1__User ***)ret, ret_count);
}

static struct error *find_locks(struct session *s, const char *name, bool with_secrets, ProtobufCMessage ***ret,
                                size_t *ret_count)
{
        (void)with_secrets;
        if (name != NULL)
                return find_one(s, "GetLock", name, &cteleport__v1__lock__descriptor, ret, ret_count);
        return session_list(s, "ListLocks", &cteleport__v1__list_locks_response__descriptor, ret, ret_count);
}

static struct error *find_apps(struct session *s, const char *name, bool with_secrets, ProtobufCMessage ***ret, size_t *ret_count)
{
        (void)with_secrets;
        if (name != NULL)
                return find_one(s, "GetApp", name, &cteleport__v1__app__descriptor, ret, ret_count);
        return session_list(s, "ListApps", &cteleport__v1__list_apps_response__descriptor, ret, ret_count);
}

/* "NAME" of the application, or "HOST/NAME" with the name or the ID of the host. */
static bool is_app_server(const Cteleport__V1__AppServer *server, const char *name)
{
        struct str rest = str_of(name), host = str_split(&rest, '/');

        if (name == NULL || str_equal(str_of(name), str_of(server->metadata->name)))
                return true;
        return str_equal(rest, str_of(server->metadata->name)) &&
               (name_is_same(str_of(server->spec->hostname), host, STR("")) || name_is_same(str_of(server->spec->host_id), host, STR("")));
}

static struct error *find_app_servers(struct session *s, const char *name, bool with_secrets, ProtobufCMessage ***ret, size_t *ret_count)
{
        Cteleport__V1__AppServer **servers = NULL;
        size_t count = 0, kept = 0;

        (void)with_secrets;
        TRY(app_servers_list(s, &servers, &count));
        for (size_t i = 0; i < count; i++)
                if (is_app_server(servers[i], name))
                        servers[kept++] = servers[i];
        *ret = (ProtobufCMessage **)servers;
        *ret_count = kept;
        return name != NULL && kept == 0 ? not_found("app_server", name) : NULL;
}

/* ---- removing ------------------------------------------------------------------------------------- */

static struct error *remove_app_server(struct session *s, const Cteleport__V1__AppServer *server)
{
        ProtobufCMessage *answer = NULL;
        const char *name = arena_printf(s->arena, "%s/%s", server->spec->host_id, server->metadata->name);

        TRY(session_request_name(s, "DeleteAppServer", name, &cteleport__v1__empty__descriptor, &answer));
        AUTO_MEM char *host = escaped(str_of(server->spec->hostname)), *app = escaped(str_of(server->metadata->name));
        printf("app_server \"%s/%s\" has been deleted\n", host, app);
        return NULL;
}

enum { HOSTS_NAMED = 10, HOSTS_TEXT = 16 * KiB };

/* Goes on after one whose host is connected, and fails with the reason in the end. */
static struct error *remove_app_servers(struct session *s, ProtobufCMessage **msgs, size_t count)
{
        struct error *last = NULL;
        AUTO(buf) hosts = BUF_MAX(HOSTS_TEXT);
        size_t kept = 0;

        for (size_t i = 0; i < count; i++) {
                const Cteleport__V1__AppServer *server = (const Cteleport__V1__AppServer *)msgs[i];
                struct error *err = remove_app_server(s, server);

                if (err == NULL)
                        continue;
                error_free(last);
                last = err;
                if (err->code != ERROR_FAILED_PRECONDITION)
                        return err;
                AUTO_MEM char *host = escaped(str_of(server->spec->hostname));
                if (kept++ < HOSTS_NAMED)
                        buf_printf(&hosts, "%s%s", kept == 1 ? "" : ", ", host);
        }
        if (kept < 2)
                return last;
        error_free(last);
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "%zu hosts are connected and announce the application again: %s%s", kept, buf_c(&hosts),
                                    kept > HOSTS_NAMED ? ", …" : ""),
                          "remove the application from teleport.yaml there and run teleport reload, or the resource: tctl rm app/NAME; to remove a host: tctl rm node/<ID>");
}

/* ---- tables --------------------------------------------------------------------------------------- */

static void put_tokens(struct buf *out, ProtobufCMessage *const *msgs, size_t count, bool is_verbose)
{
        (void)is_verbose;
        tokens_put_table(out, (Cteleport__V1__Token *const *)msgs, count, clock_wall(clock_system()));
}

static void put_nodes(struct buf *out, ProtobufCMessage *const *msgs, size_t count, bool is_verbose)
{
        nodes_put_table(out, (Cteleport__V1__Node *const *)msgs, count, is_verbose);
}

static void put_instances(struct buf *out, ProtobufCMessage *const *msgs, size_t count, bool is_verbose)
{
        instances_put_table(out, (Cteleport__V1__Instance *const *)msgs, count, is_verbose);
}

static void put_roles(struct buf *out, ProtobufCMessage *const *msgs, size_t count, bool is_verbose)
{
        roles_put_table(out, (Cteleport__V1__Role *const *)msgs, count, is_verbose);
}

static void put_users(struct buf *out, ProtobufCMessage *const *msgs, size_t count, bool is_verbose)
{
        (void)is_verbose;
        users_put_names(out, (Cteleport__V1__User *const *)msgs, count);
}

static void put_locks(struct buf *out, ProtobufCMessage *const *msgs, size_t count, bool is_verbose)
{
        (void)is_verbose;
        locks_put_table(out, (Cteleport__V1__Lock *const *)msgs, count);
}

static void put_apps(struct buf *out, ProtobufCMessage *const *msgs, size_t count, bool is_verbose)
{
        apps_put_table(out, (Cteleport__V1__App *const *)msgs, count, is_verbose);
}

static void put_app_servers(struct buf *out, ProtobufCMessage *const *msgs, size_t count, bool is_verbose)
{
        app_servers_put_table(out, (Cteleport__V1__AppServer *const *)msgs, count, is_verbose);
}

/* ---- checking and writing ------------------------------------------------------------------------- */

static struct error *check_token(ProtobufCMessage *msg, struct arena *arena)
{
        Cteleport__V1__Token *token = (Cteleport__V1__Token *)msg;

        TRY(token_check(token, arena, NULL));
        return token_check_end(token, clock_wall(clock_system()));
}

static struct error *check_role(ProtobufCMessage *msg, struct arena *arena)
{
        return access_role_check((Cteleport__V1__Role *)msg, arena, NULL);
}

static struct error *check_user(ProtobufCMessage *msg, struct arena *arena)
{
        (void)arena;
        return user_check((Cteleport__V1__User *)msg);
}

static struct error *check_lock(ProtobufCMessage *msg, struct arena *arena)
{
        lock_name((Cteleport__V1__Lock *)msg, arena);
        return lock_check((Cteleport__V1__Lock *)msg);
}

static struct error *check_app(ProtobufCMessage *msg, struct arena *arena)
{
        return app_check((Cteleport__V1__App *)msg, arena);
}

/* Requests that write differ only in their resource. */
#define PUT(kind, KIND, method, response)                                                                              \
        static struct error *put_##kind(struct session *s, ProtobufCMessage *msg, struct kind_put how, ProtobufCMessage **ret) \
        {                                                                                                              \
                Cteleport__V1__Put##method##Request request = CTELEPORT__V1__PUT_##KIND##_REQUEST__INIT;               \
                                                                                                                       \
                request.kind = (Cteleport__V1__##method *)msg;                                                         \
                request.must_be_new = how.must_be_new;                                                                 \
                request.if_revision = pb_text(how.if_revision == NULL ? "" : how.if_revision);             \
                return session_request(s, "Put" #method, &request.base, &cteleport__v1__##response##__descriptor, ret);    \
        }
PUT(token, TOKEN, Token, put_response)
PUT(role, ROLE, Role, put_response)
PUT(user, USER, User, put_response)
PUT(lock, LOCK, Lock, put_response)
PUT(app, APP, App, put_response)
#undef PUT

/* ---- the table ------------------------------------------------------------------------------------ */

#define HOST_WRITES "a host announces itself once it has joined the cluster: tctl tokens add --type=node"
#define APP_HOST_WRITES                                                                                                            \
        "only hosts announce app_servers; create a resource of kind app, which hosts with matching app_service.resources offer, or " \
        "write the application into app_service.apps of a host's teleport.yaml"

const struct kind kinds[] = {
        { .name = "token", .plural = "tokens", .type = &cteleport__v1__token__descriptor, .find = find_tokens, .put_table = put_tokens,
          .remove = "DeleteToken", .removed_quote = "\"", .get = "GetToken", .check = check_token, .put = put_token,
          .written = "provision_token", .written_quote = "\"", .is_always_overwritten = true },
        { .name = "node", .plural = "nodes", .type = &cteleport__v1__node__descriptor, .find = find_nodes, .put_table = put_nodes,
          .remove = "DeleteNode", .removed_quote = "", .not_written = HOST_WRITES },
        { .name = "instance", .plural = "instances", .type = &cteleport__v1__instance__descriptor, .find = find_instances,
          .put_table = put_instances, .kept_hint = "it disappears some time after its last heartbeat; to remove a host: tctl rm node/<ID>",
          .not_written = HOST_WRITES },
        { .name = "role", .plural = "roles", .type = &cteleport__v1__role__descriptor, .find = find_roles, .put_table = put_roles,
          .remove = "DeleteRole", .removed_quote = "\"", .get = "GetRole", .check = check_role, .put = put_role,
          .written = "role", .written_quote = "'" },
        { .name = "user", .plural = "users", .type = &cteleport__v1__user__descriptor, .find = find_users, .put_table = put_users,
          .remove = "DeleteUser", .removed_quote = "\"", .get = "GetUser", .check = check_user, .put = put_user,
          .written = "user", .written_quote = "\"" },
        { .name = "lock", .plural = "locks", .type = &cteleport__v1__lock__descriptor, .find = find_locks, .put_table = put_locks,
          .remove = "DeleteLock", .removed_quote = "\"", .get = "GetLock", .check = check_lock, .put = put_lock,
          .written = "lock", .written_quote = "\"" },
        { .name = "app", .plural = "apps", .type = &cteleport__v1__app__descriptor, .find = find_apps, .put_table = put_apps,
          .remove = "DeleteApp", .removed_quote = "\"", .get = "GetApp", .check = check_app, .put = put_app,
          .written = "application", .written_quote = "\"" },
        { .name = "app_server", .plural = "app_servers", .type = &cteleport__v1__app_server__descriptor, .find = find_app_servers,
          .put_table = put_app_servers, .remove = "DeleteAppServer", .remove_found = remove_app_servers, .not_written = APP_HOST_WRITES },
        { 0 },
};

const struct schema_kind kinds_written[] = {
        { "token", &cteleport__v1__token__descriptor },
        { "role", &cteleport__v1__role__descriptor },
        { "user", &cteleport__v1__user__descriptor },
        { "lock", &cteleport__v1__lock__descriptor },
        { "app", &cteleport__v1__app__descriptor },
        { "app_server", .refusal = APP_HOST_WRITES },
        { "node", .refusal = HOST_WRITES },
        { "instance", .refusal = HOST_WRITES },
        { 0 },
};

struct error *kind_find(struct str text, const struct kind **ret)
{
        AUTO_MEM char *shown = escaped(text);

        for (const struct kind *k = kinds; k->name != NULL; k++)
                if (str_equal_nocase(text, str_of(k->name)) || str_equal_nocase(text, str_of(k->plural))) {
                        *ret = k;
                        return NULL;
                }
        struct error *err = error_new(ERROR_INVALID_ARGUMENT, "there are no resources of type \"%s\"", shown);
        struct nearest nearest = nearest_to(text, 2);
        for (const struct kind *k = kinds; k->name != NULL; k++) {
                nearest_offer(&nearest, k->name);
                nearest_offer(&nearest, k->plural);
        }
        if (nearest.word != NULL)
                return error_hint(err, "did you mean '%s'", nearest.word);
        return error_hint(err, "the types are token, node, instance, role, user, lock, app and app_server");
}

const struct kind *kind_of(const ProtobufCMessage *msg)
{
        const struct kind *k = kinds;

        while (k->type != msg->descriptor)
                k++;
        return k;
}

Cteleport__V1__Metadata *kind_metadata(const ProtobufCMessage *msg)
{
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(msg->descriptor, "metadata");

        return *(Cteleport__V1__Metadata *const *)(const void *)((const char *)msg + field->offset);
}

struct error *kind_write(struct session *s, const struct kind *kind, ProtobufCMessage *msg, struct kind_put how,
                         bool *ret_was_there)
{
        ProtobufCMessage *answer = NULL;

        TRY(kind->put(s, msg, how, &answer));
        const Cteleport__V1__PutResponse *response = (Cteleport__V1__PutResponse *)answer;
        for (size_t i = 0; i < response->n_warnings; i++) {
                AUTO(buf) shown = BUF_MAX(16 * KiB);

                escape_text(&shown, str_of(response->warnings[i]), 8 * KiB);
                fprintf(stderr, "WARNING: %s\n", buf_c(&shown));
        }
        *ret_was_there = response->was_there;
        return NULL;
}

void kind_report_written(const struct kind *kind, const ProtobufCMessage *msg, bool was_there)
{
        AUTO(buf) name = BUF_MAX(4 * KiB);

        if (msg->descriptor == &cteleport__v1__token__descriptor)
                token_safe_name((const Cteleport__V1__Token *)msg, &name);
        else
                buf_put_c(&name, kind_metadata(msg)->name);
        AUTO_MEM char *shown = escaped(buf_str(&name));
        printf("%s %s%s%s has been %s\n", kind->written, kind->written_quote, shown, kind->written_quote,
               was_there ? "updated" : "created");
}
