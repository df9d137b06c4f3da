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

enum { TOKENS_MAX = 16, REQUEST_MAX = 1 * MiB };

/* What it remembers; it serves one connection after another. */
struct fake {
        struct loop loop;
        struct kept {
                Cteleport__V1__Token *token;
                unsigned revision;
        } tokens[TOKENS_MAX];
        size_t count;
        unsigned revisions;
};

static struct kept *find(struct fake *f, const char *name)
{
        for (size_t i = 0; i < f->count; i++)
                if (strcmp(f->tokens[i].token->metadata->name, name) == 0)
                        return &f->tokens[i];
        return NULL;
}

static struct error *not_found(const char *name)
{
        return error_hint(error_new(ERROR_NOT_FOUND, "token \"%s\" is not found", name), "look at the list");
}

static void put_token(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct fake *f = rpc_call_caller(call);
        const Cteleport__V1__PutTokenRequest *request = (const Cteleport__V1__PutTokenRequest *)first;
        Cteleport__V1__PutTokenResponse response = CTELEPORT__V1__PUT_TOKEN_RESPONSE__INIT;
        struct kept *kept = find(f, request->token->metadata->name);
        AUTO_MEM char *revision = mem_printf("%u", kept == NULL ? 0 : kept->revision);
        char *warnings[] = { (char[]){ "mind the \x1b[31mgap" } };

        if (kept != NULL && request->must_be_new) {
                rpc_call_finish(call, error_new(ERROR_ALREADY_EXISTS, "a token with this name already exists"));
                return;
        }
        if (request->if_revision[0] != '\0' && strcmp(request->if_revision, revision) != 0) {
                rpc_call_finish(call, error_new(ERROR_ABORTED, "the token was changed by somebody else meanwhile"));
                return;
        }
        response.was_there = kept != NULL;
        if (request->check_only) {
                rpc_call_reply(call, &response.base);
                return;
        }
        if (kept == NULL)
                kept = &f->tokens[f->count++];
        size_t size = protobuf_c_message_get_packed_size(&request->token->base);
        AUTO_MEM uint8_t *bytes = mem_alloc(size);
        protobuf_c_message_pack(&request->token->base, bytes);
        kept->token = cteleport__v1__token__unpack(NULL, size, bytes);
        kept->revision = ++f->revisions;
        if (strcmp(kept->token->metadata->name, "warned") == 0) {
                response.warnings = warnings;
                response.n_warnings = 1;
        }
        rpc_call_reply(call, &response.base);
}

static void get_token(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct fake *f = rpc_call_caller(call);
        const char *name = ((const Cteleport__V1__NameRequest *)first)->name;
        struct kept *kept = find(f, name);

        if (kept == NULL) {
                rpc_call_finish(call, not_found(name));
                return;
        }
        char *before = kept->token->metadata->revision;
        AUTO_MEM char *revision = mem_printf("%u", kept->revision);
        kept->token->metadata->revision = revision;
        rpc_call_reply(call, &kept->token->base);
        kept->token->metadata->revision = before;
}

static void delete_token(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct fake *f = rpc_call_caller(call);
        const char *name = ((const Cteleport__V1__NameRequest *)first)->name;
        struct kept *kept = find(f, name);
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;

        if (kept == NULL) {
                rpc_call_finish(call, not_found(name));
                return;
        }
        *kept = f->tokens[--f->count];
        rpc_call_reply(call, &empty.base);
}

static void list_tokens(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct fake *f = rpc_call_caller(call);
        Cteleport__V1__ListTokensResponse response = CTELEPORT__V1__LIST_TOKENS_RESPONSE__INIT;
        const char *after = ((const Cteleport__V1__ListRequest *)first)->after;
        size_t at = after[0] == '\0' ? 0 : (size_t)(after[0] - 'a') + 1;
        char next[] = { (char)('a' + at), '\0' };

        response.tokens = (Cteleport__V1__Token *[]){ f->tokens[at].token };
        response.n_tokens = at < f->count; /* pages of one */
        response.next = at + 1 < f->count ? next : next + 1;
        rpc_call_reply(call, &response.base);
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

static void explain_token(struct rpc_call *call, const ProtobufCMessage *first)
{
        Cteleport__V1__ExplainTokenResponse response = CTELEPORT__V1__EXPLAIN_TOKEN_RESPONSE__INIT;
        Cteleport__V1__RuleExplanation rule = CTELEPORT__V1__RULE_EXPLANATION__INIT;

        (void)first;
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
        METHOD("ExplainToken", cteleport__v1__explain_token_request__descriptor, explain_token),
        METHOD("ListNodes", cteleport__v1__list_request__descriptor, list_nodes),
        METHOD("DeleteNode", cteleport__v1__name_request__descriptor, delete_node),
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

        (void)conn; /* lives until tctl goes */
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
        (void)listener; /* until the end of the process */
        loop_run(&f->loop);
        _exit(0);
}

void fake_auth_stop(pid_t pid)
{
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}
