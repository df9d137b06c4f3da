/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tctl/fake_auth.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api.pb-c.h"
#include "base/bug.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "rpc/rpc.h"

enum { KEPT_MAX = 32, REQUEST_MAX = 1 * MiB };

/* Its state: resources of all kinds. It serves one connection after another. */
struct fake {
        struct loop loop;
        struct kept {
                ProtobufCMessage *msg;
                unsigned revision;
        } kept[KEPT_MAX];
        size_t count;
        unsigned revisions;
};

static Cteleport__V1__Metadata *metadata_of(const ProtobufCMessage *msg)
{
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(msg->descriptor, "metadata");

        return *(Cteleport__V1__Metadata *const *)(const void *)((const char *)msg + field->offset);
}

static struct kept *find(struct fake *f, const ProtobufCMessageDescriptor *type, const char *name)
{
        for (size_t i = 0; i < f->count; i++)
                if (f->kept[i].msg->descriptor == type && strcmp(metadata_of(f->kept[i].msg)->name, name) == 0)
                        return &f->kept[i];
        return NULL;
}

/* The name of a kind: "token" for cteleport.v1.Token. */
static char *kind_name(const ProtobufCMessageDescriptor *type)
{
        char *name = str_dup(str_of(type->short_name));

        name[0] = char_lower(name[0]);
        return name;
}

static struct error *not_found(const ProtobufCMessageDescriptor *type, const char *name)
{
        AUTO_MEM char *kind = kind_name(type);

        return error_hint(error_new(ERROR_NOT_FOUND, "%s \"%s\" is not found", kind, name), "look at the list");
}

/* Stores or checks a resource; NULL on success. */
static struct error *put(struct fake *f, const ProtobufCMessage *msg, bool must_be_new, const char *if_revision, bool check_only,
                         bool *ret_was_there)
{
        struct kept *kept = find(f, msg->descriptor, metadata_of(msg)->name);
        AUTO_MEM char *revision = mem_printf("%u", kept == NULL ? 0 : kept->revision);
        AUTO_MEM char *kind = kind_name(msg->descriptor);

        *ret_was_there = kept != NULL;
        if (kept != NULL && must_be_new)
                return error_new(ERROR_ALREADY_EXISTS, "a %s with this name already exists", kind);
        if (if_revision[0] != '\0' && strcmp(if_revision, revision) != 0)
                return error_new(ERROR_ABORTED, "the %s was changed by another user meanwhile", kind);
        if (check_only)
                return NULL;
        if (kept == NULL)
                kept = &f->kept[f->count++];
        size_t size = protobuf_c_message_get_packed_size(msg);
        AUTO_MEM uint8_t *bytes = mem_alloc(size);
        protobuf_c_message_pack(msg, bytes);
        kept->msg = protobuf_c_message_unpack(msg->descriptor, NULL, size, bytes);
        kept->revision = ++f->revisions;
        return NULL;
}

static void get(struct rpc_call *call, const ProtobufCMessage *first, const ProtobufCMessageDescriptor *type)
{
        const char *name = ((const Cteleport__V1__NameRequest *)first)->name;
        struct kept *kept = find(rpc_call_caller(call), type, name);

        if (kept == NULL) {
                rpc_call_finish(call, not_found(type, name));
                return;
        }
        Cteleport__V1__Metadata *metadata = metadata_of(kept->msg);
        char *before = metadata->revision;
        AUTO_MEM char *revision = mem_printf("%u", kept->revision);
        metadata->revision = revision;
        rpc_call_reply(call, kept->msg);
        metadata->revision = before;
}

static void delete(struct rpc_call *call, const ProtobufCMessage *first, const ProtobufCMessageDescriptor *type)
{
        struct fake *f = rpc_call_caller(call);
        const char *name = ((const Cteleport__V1__NameRequest *)first)->name;
        struct kept *kept = find(f, type, name);
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;

        if (kept == NULL) {
                rpc_call_finish(call, not_found(type, name));
                return;
        }
        *kept = f->kept[--f->count];
        rpc_call_reply(call, &empty.base);
}

/* A page of one resource; "a" is the position after the first. NULL: the kind has no resources. */
static ProtobufCMessage *page(struct fake *f, const ProtobufCMessage *first, const ProtobufCMessageDescriptor *type, char next[2])
{
        const char *after = ((const Cteleport__V1__ListRequest *)first)->after;
        size_t wanted = after[0] == '\0' ? 0 : (size_t)(after[0] - 'a') + 1, seen = 0;
        ProtobufCMessage *found = NULL;

        next[0] = next[1] = '\0';
        for (size_t i = 0; i < f->count; i++) {
                if (f->kept[i].msg->descriptor != type)
                        continue;
                if (seen == wanted)
                        found = f->kept[i].msg;
                else if (seen == wanted + 1)
                        next[0] = (char)('a' + wanted);
                seen++;
        }
        return found;
}

/* Common part of the four kinds that users write. */
#define KIND(Kind, kind, KIND_, plural, Plural)                                                                           \
        static void get_##kind(struct rpc_call *call, const ProtobufCMessage *first)                                      \
        {                                                                                                                 \
                get(call, first, &cteleport__v1__##kind##__descriptor);                                                   \
        }                                                                                                                 \
        static void delete_##kind(struct rpc_call *call, const ProtobufCMessage *first)                                   \
        {                                                                                                                 \
                delete(call, first, &cteleport__v1__##kind##__descriptor);                                                \
        }                                                                                                                 \
        static void list_##plural(struct rpc_call *call, const ProtobufCMessage *first)                                   \
        {                                                                                                                 \
                Cteleport__V1__List##Plural##Response response = CTELEPORT__V1__LIST_##KIND_##S_RESPONSE__INIT;            \
                char next[2];                                                                                             \
                Cteleport__V1__##Kind *found =                                                                            \
                        (Cteleport__V1__##Kind *)page(rpc_call_caller(call), first, &cteleport__v1__##kind##__descriptor, next); \
                response.plural = &found;                                                                                 \
                response.n_##plural = found != NULL;                                                                      \
                response.next = next;                                                                                     \
                rpc_call_reply(call, &response.base);                                                                     \
        }
KIND(Token, token, TOKEN, tokens, Tokens)
KIND(User, user, USER, users, Users)
KIND(Role, role, ROLE, roles, Roles)
KIND(Lock, lock, LOCK, locks, Locks)
KIND(App, app, APP, apps, Apps)

static void put_token(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__PutTokenRequest *request = (const Cteleport__V1__PutTokenRequest *)first;
        Cteleport__V1__PutResponse response = CTELEPORT__V1__PUT_RESPONSE__INIT;
        char *warnings[] = { (char[]){ "mind the \x1b[31mgap" } };
        bool was_there = false;
        struct error *err = put(rpc_call_caller(call), &request->token->base, request->must_be_new, request->if_revision,
                                request->check_only, &was_there);

        if (err != NULL) {
                rpc_call_finish(call, err);
                return;
        }
        response.was_there = was_there;
        if (strcmp(request->token->metadata->name, "warned") == 0) {
                response.warnings = warnings;
                response.n_warnings = 1;
        }
        rpc_call_reply(call, &response.base);
}

static void answer_put(struct rpc_call *call, const ProtobufCMessage *msg, bool must_be_new, const char *if_revision)
{
        Cteleport__V1__PutResponse response = CTELEPORT__V1__PUT_RESPONSE__INIT;
        bool was_there = false;
        struct error *err = put(rpc_call_caller(call), msg, must_be_new, if_revision, false, &was_there);

        response.was_there = was_there;
        if (err != NULL)
                rpc_call_finish(call, err);
        else
                rpc_call_reply(call, &response.base);
}

static void put_user(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__PutUserRequest *request = (const Cteleport__V1__PutUserRequest *)first;

        answer_put(call, &request->user->base, request->must_be_new, request->if_revision);
}

static void put_role(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__PutRoleRequest *request = (const Cteleport__V1__PutRoleRequest *)first;

        answer_put(call, &request->role->base, request->must_be_new, request->if_revision);
}

static void put_lock(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__PutLockRequest *request = (const Cteleport__V1__PutLockRequest *)first;

        answer_put(call, &request->lock->base, request->must_be_new, request->if_revision);
}

static void put_app(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__PutAppRequest *request = (const Cteleport__V1__PutAppRequest *)first;

        answer_put(call, &request->app->base, request->must_be_new, request->if_revision);
}

#define TEXT(literal) ((char[]){ literal })

static void cluster_status(struct rpc_call *call, const ProtobufCMessage *first)
{
        Cteleport__V1__ClusterStatusResponse response = CTELEPORT__V1__CLUSTER_STATUS_RESPONSE__INIT;
        Cteleport__V1__AuthorityStatus host = CTELEPORT__V1__AUTHORITY_STATUS__INIT;
        Cteleport__V1__AuthorityKey key = CTELEPORT__V1__AUTHORITY_KEY__INIT;

        (void)first;
        key.protocol = TEXT("SSH");
        key.status = TEXT("active");
        key.algorithm = TEXT("Ed25519");
        key.storage = TEXT("software");
        host.type = TEXT("host");
        host.rotation = TEXT("never updated");
        host.keys = (Cteleport__V1__AuthorityKey *[]){ &key };
        host.n_keys = 1;
        response.cluster = TEXT("example.com");
        response.version = TEXT("16.1.0");
        response.ca_pins = (char *[]){ TEXT("sha256:aabb") };
        response.n_ca_pins = 1;
        response.authorities = (Cteleport__V1__AuthorityStatus *[]){ &host };
        response.n_authorities = 1;
        rpc_call_reply(call, &response.base);
}

static void list_nodes(struct rpc_call *call, const ProtobufCMessage *first)
{
        Cteleport__V1__ListNodesResponse response = CTELEPORT__V1__LIST_NODES_RESPONSE__INIT;
        Cteleport__V1__Metadata__LabelsEntry env = CTELEPORT__V1__METADATA__LABELS_ENTRY__INIT;
        Cteleport__V1__Metadata one = CTELEPORT__V1__METADATA__INIT, two = CTELEPORT__V1__METADATA__INIT;
        Cteleport__V1__Timestamp beat = CTELEPORT__V1__TIMESTAMP__INIT;
        Cteleport__V1__NodeSpec web = CTELEPORT__V1__NODE_SPEC__INIT, db = CTELEPORT__V1__NODE_SPEC__INIT;
        Cteleport__V1__Node nodes[] = { CTELEPORT__V1__NODE__INIT, CTELEPORT__V1__NODE__INIT };

        (void)first;
        env.key = TEXT("env");
        env.value = TEXT("prod");
        one.name = TEXT("11111111-1111-4111-8111-111111111111");
        one.labels = (Cteleport__V1__Metadata__LabelsEntry *[]){ &env };
        one.n_labels = 1;
        two.name = TEXT("22222222-2222-4222-8222-222222222222");
        beat.seconds = 1800000000;
        web.hostname = TEXT("web");
        web.use_tunnel = true;
        web.version = TEXT("16.1.0");
        web.join_method = TEXT("iam");
        web.aws_account = TEXT("123456789012");
        web.aws_arn = TEXT("arn:aws:sts::123456789012:assumed-role/web/i-1");
        web.last_heartbeat = &beat;
        web.services = (char *[]){ TEXT("Node") };
        web.n_services = 1;
        db.hostname = TEXT("db\x1b[2J");
        db.addr = TEXT("10.0.0.2:3022");
        nodes[0].kind = nodes[1].kind = TEXT("node");
        nodes[0].metadata = &one;
        nodes[0].spec = &web;
        nodes[1].metadata = &two;
        nodes[1].spec = &db;
        response.nodes = (Cteleport__V1__Node *[]){ &nodes[0], &nodes[1] };
        response.n_nodes = 2;
        rpc_call_reply(call, &response.base);
}

static void list_instances(struct rpc_call *call, const ProtobufCMessage *first)
{
        Cteleport__V1__ListInstancesResponse response = CTELEPORT__V1__LIST_INSTANCES_RESPONSE__INIT;
        Cteleport__V1__Metadata metadata = CTELEPORT__V1__METADATA__INIT;
        Cteleport__V1__InstanceSpec spec = CTELEPORT__V1__INSTANCE_SPEC__INIT;
        Cteleport__V1__Instance instance = CTELEPORT__V1__INSTANCE__INIT;

        (void)first;
        metadata.name = TEXT("11111111-1111-4111-8111-111111111111");
        spec.hostname = TEXT("web");
        spec.services = (char *[]){ TEXT("Node"), TEXT("Proxy") };
        spec.n_services = 2;
        spec.version = TEXT("16.1.0");
        spec.is_connected = true;
        instance.kind = TEXT("instance");
        instance.metadata = &metadata;
        instance.spec = &spec;
        response.instances = (Cteleport__V1__Instance *[]){ &instance };
        response.n_instances = 1;
        rpc_call_reply(call, &response.base);
}

/* One host, which offers the first application that was stored. */
static void list_app_servers(struct rpc_call *call, const ProtobufCMessage *first)
{
        Cteleport__V1__ListAppServersResponse response = CTELEPORT__V1__LIST_APP_SERVERS_RESPONSE__INIT;
        Cteleport__V1__AppServerSpec spec = CTELEPORT__V1__APP_SERVER_SPEC__INIT;
        Cteleport__V1__AppServer server = CTELEPORT__V1__APP_SERVER__INIT;
        char next[2];
        Cteleport__V1__App *app = (Cteleport__V1__App *)page(rpc_call_caller(call), first, &cteleport__v1__app__descriptor, next);

        server.kind = TEXT("app_server");
        server.spec = &spec;
        spec.hostname = TEXT("web");
        spec.host_id = TEXT("11111111-1111-4111-8111-111111111111");
        spec.version = TEXT("16.1.0");
        spec.app = app;
        response.app_servers = (Cteleport__V1__AppServer *[]){ &server };
        response.n_app_servers = app != NULL;
        if (app != NULL)
                server.metadata = app->metadata;
        rpc_call_reply(call, &response.base);
}

static void explain_token(struct rpc_call *call, const ProtobufCMessage *first)
{
        Cteleport__V1__ExplainTokenResponse response = CTELEPORT__V1__EXPLAIN_TOKEN_RESPONSE__INIT;
        Cteleport__V1__RuleExplanation rule = CTELEPORT__V1__RULE_EXPLANATION__INIT;

        if (strcmp(((const Cteleport__V1__ExplainTokenRequest *)first)->token, "busy") == 0) {
                rpc_call_finish(call, error_new(ERROR_UNAVAILABLE, "the Auth Service accepts no new connections: its disk is nearly full"));
                return;
        }
        rule.index = 1;
        rule.text = TEXT("aws_account is another one");
        response.summary = TEXT("refused: no rule matches");
        response.rules = (Cteleport__V1__RuleExplanation *[]){ &rule };
        response.n_rules = 1;
        rpc_call_reply(call, &response.base);
}

static void delete_node(struct rpc_call *call, const ProtobufCMessage *first)
{
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;

        (void)first;
        rpc_call_reply(call, &empty.base);
}

static void delete_app_server(struct rpc_call *call, const ProtobufCMessage *first)
{
        const char *name = ((const Cteleport__V1__NameRequest *)first)->name;
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;

        if (strcmp(name, "11111111-1111-4111-8111-111111111111/files") == 0)
                rpc_call_reply(call, &empty.base);
        else
                rpc_call_finish(call, error_new(ERROR_NOT_FOUND, "no host announces '%s'", name));
}

static void create_invite(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__CreateInviteRequest *request = (const Cteleport__V1__CreateInviteRequest *)first;
        Cteleport__V1__CreateInviteResponse response = CTELEPORT__V1__CREATE_INVITE_RESPONSE__INIT;

        if (find(rpc_call_caller(call), &cteleport__v1__user__descriptor, request->user) == NULL) {
                rpc_call_finish(call, not_found(&cteleport__v1__user__descriptor, request->user));
                return;
        }
        response.token = TEXT("0123456789abcdef0123456789abcdef");
        response.proxy_addr = TEXT("proxy.example.com:443");
        response.ttl_seconds = request->ttl_seconds;
        rpc_call_reply(call, &response.base);
}

/* Sends two pages; for user "loop" the second one repeats without end. */
/* A join, refusals of two checks, one of them of another account, and the count of further ones. */
static void search_joins(struct rpc_call *call)
{
#define JOIN(second, code, rest) TEXT("{\"time\":\"2026-01-31T08:00:0" second ".000Z\",\"event\":\"instance.join\",\"code\":\"" code "\"," rest "}")
#define AWS(account) "\"attributes\":{\"account\":\"" account "\",\"arn\":\"arn:aws:sts::" account ":assumed-role/web/i-0\"},"
        Cteleport__V1__SearchEventsResponse response = CTELEPORT__V1__SEARCH_EVENTS_RESPONSE__INIT;

        response.events = (char *[]){
                JOIN("0", "TJ002I", "\"host_id\":\"11111111-1111-4111-8111-111111111111\",\"node_name\":\"web\",\"role\":\"Node\",\"method\":\"iam\","
                                    "\"token_name\":\"iam-token\",\"addr.remote\":\"10.0.0.2:1\"," AWS("123456789012") "\"success\":true"),
                JOIN("1", "TJ002E", "\"node_name\":\"w\\u001b[2Jeb\",\"method\":\"iam\",\"token_name\":\"iam-token\"," AWS("210987654321")
                                    "\"check\":\"allow\",\"error\":\"no rule matches\",\"causes\":[\"rule 1: account\"],\"success\":false"),
                JOIN("2", "TJ002E", "\"node_name\":\"db\",\"method\":\"token\",\"token_name\":\"***\",\"check\":\"token\",\"error\":\"no such token\","
                                    "\"success\":false"),
                JOIN("3", "TJ002E", "\"suppressed\":40,\"success\":false"),
        };
        response.n_events = 4;
        response.next = TEXT("");
        rpc_call_reply(call, &response.base);
#undef AWS
#undef JOIN
}

static void search_events(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__SearchEventsRequest *request = (const Cteleport__V1__SearchEventsRequest *)first;
        Cteleport__V1__SearchEventsResponse response = CTELEPORT__V1__SEARCH_EVENTS_RESPONSE__INIT;
        static char login[] = "{\"time\":\"2026-01-31T08:00:00.000Z\",\"uid\":\"1\",\"event\":\"user.login\",\"code\":\"T1000I\","
                              "\"user\":\"alice\",\"method\":\"local\",\"success\":true}";
        static char exec[] = "{\"time\":\"2026-01-31T08:00:01.000Z\",\"uid\":\"2\",\"event\":\"exec\",\"code\":\"T3002I\","
                             "\"user\":\"al\\u001bice\",\"login\":\"root\",\"command\":\"ls -l \\u001b[2J \\ud83d\\ude42\",\"exitCode\":0,"
                             "\"server_labels\":{\"env\":\"prod\"},\"roles\":[\"access\"]}";
        bool is_second = request->after[0] != '\0';

        if (request->n_types == 1 && strcmp(request->types[0], "instance.join") == 0) {
                search_joins(call);
                return;
        }
        response.events = (char *[]){ is_second ? exec : login };
        response.n_events = request->n_types == 0 || strcmp(request->types[0], "none") != 0;
        response.next = !is_second || (request->n_users > 0 && strcmp(request->users[0], "loop") == 0) ? TEXT("x") : TEXT("");
        rpc_call_reply(call, &response.base);
}

static void list_recordings(struct rpc_call *call, const ProtobufCMessage *first)
{
        Cteleport__V1__ListRecordingsResponse response = CTELEPORT__V1__LIST_RECORDINGS_RESPONSE__INIT;
        Cteleport__V1__Recording later = CTELEPORT__V1__RECORDING__INIT, sooner = CTELEPORT__V1__RECORDING__INIT;

        (void)first;
        later.session_id = TEXT("22222222-2222-4222-8222-222222222222");
        later.user = TEXT("alice");
        later.login = TEXT("root");
        later.hostname = TEXT("web\x1b[2J");
        later.started = 1800000060000;
        sooner.session_id = TEXT("11111111-1111-4111-8111-111111111111");
        sooner.started = 1800000000000;
        sooner.ended = 1800000090000;
        sooner.is_complete = true;
        sooner.command = TEXT("top");
        sooner.status = TEXT("short");
        later.status = TEXT("recording");
        response.recordings = (Cteleport__V1__Recording *[]){ &later, &sooner };
        response.n_recordings = 2;
        rpc_call_reply(call, &response.base);
}

#define METHOD(name, type, handler)                                                                \
        &(const struct rpc_method)                                                                 \
        {                                                                                          \
                .path = "/cteleport.v1.AdminService/" name, .request = &type, .request_max = REQUEST_MAX, .open = (handler) \
        }

static const struct rpc_method *const methods[] = {
        METHOD("ClusterStatus", cteleport__v1__empty__descriptor, cluster_status),
        METHOD("ListTokens", cteleport__v1__list_request__descriptor, list_tokens),
        METHOD("GetToken", cteleport__v1__name_request__descriptor, get_token),
        METHOD("PutToken", cteleport__v1__put_token_request__descriptor, put_token),
        METHOD("DeleteToken", cteleport__v1__name_request__descriptor, delete_token),
        METHOD("ListUsers", cteleport__v1__list_request__descriptor, list_users),
        METHOD("GetUser", cteleport__v1__name_request__descriptor, get_user),
        METHOD("PutUser", cteleport__v1__put_user_request__descriptor, put_user),
        METHOD("DeleteUser", cteleport__v1__name_request__descriptor, delete_user),
        METHOD("CreateInvite", cteleport__v1__create_invite_request__descriptor, create_invite),
        METHOD("ListRoles", cteleport__v1__list_request__descriptor, list_roles),
        METHOD("GetRole", cteleport__v1__name_request__descriptor, get_role),
        METHOD("PutRole", cteleport__v1__put_role_request__descriptor, put_role),
        METHOD("DeleteRole", cteleport__v1__name_request__descriptor, delete_role),
        METHOD("ListLocks", cteleport__v1__list_request__descriptor, list_locks),
        METHOD("GetLock", cteleport__v1__name_request__descriptor, get_lock),
        METHOD("PutLock", cteleport__v1__put_lock_request__descriptor, put_lock),
        METHOD("DeleteLock", cteleport__v1__name_request__descriptor, delete_lock),
        METHOD("ListApps", cteleport__v1__list_request__descriptor, list_apps),
        METHOD("GetApp", cteleport__v1__name_request__descriptor, get_app),
        METHOD("PutApp", cteleport__v1__put_app_request__descriptor, put_app),
        METHOD("DeleteApp", cteleport__v1__name_request__descriptor, delete_app),
        METHOD("ListAppServers", cteleport__v1__list_request__descriptor, list_app_servers),
        METHOD("SearchEvents", cteleport__v1__search_events_request__descriptor, search_events),
        METHOD("ListRecordings", cteleport__v1__list_request__descriptor, list_recordings),
        METHOD("ExplainToken", cteleport__v1__explain_token_request__descriptor, explain_token),
        METHOD("ListNodes", cteleport__v1__list_request__descriptor, list_nodes),
        METHOD("DeleteNode", cteleport__v1__name_request__descriptor, delete_node),
        METHOD("DeleteAppServer", cteleport__v1__name_request__descriptor, delete_app_server),
        METHOD("ListInstances", cteleport__v1__list_request__descriptor, list_instances),
        NULL,
};

static void on_closed(void *caller)
{
        (void)caller;
}

static void on_accepted(void *ctx, int fd, const char *peer)
{
        struct fake *f = ctx;
        struct rpc_server_options options = { .methods = methods, .caller = f, .on_closed = on_closed, .peer = peer };
        struct rpc_server_conn *conn = rpc_serve(&f->loop, socket_stream(&f->loop, fd), options);

        (void)conn; /* it exists until tctl disconnects */
}

pid_t fake_auth_start(const char *data_dir)
{
        AUTO_MEM char *path = mem_printf("%s/auth.sock", data_dir);
        int fd = -1;
        struct error *err = socket_listen_unix(path, &fd);

        if (err != NULL)
                bug("fake Auth Service: %s", err->what);
        pid_t child = fork();
        if (child != 0) {
                close(fd);
                return child;
        }
        struct fake *f = NEW(struct fake);
        err = loop_init(&f->loop, NULL);
        if (err != NULL)
                bug("fake Auth Service: %s", err->what);
        struct listener *listener = listener_new(&f->loop, fd, on_accepted, f);
        (void)listener; /* it exists until the process ends */
        loop_run(&f->loop);
        _exit(0);
}

void fake_auth_stop(pid_t pid)
{
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}
