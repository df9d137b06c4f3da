/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tctl/session.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/config_file.h"
#include "net/socket.h"
#include "os/file.h"
#include "resource/config.h"
#include "rpc/rpc.h"

const struct flag session_flags[] = {
        { "config", 'c', FLAG_TEXT, .value = "FILE", .env = "TELEPORT_CONFIG_FILE",
          .help = "Configuration of the Auth Service; " CONFIG_FILE_DEFAULT " if it exists" },
        { "config-string", .kind = FLAG_TEXT, .value = "BASE64", .env = "TELEPORT_CONFIG", .is_hidden = true,
          .help = "A whole configuration file, in base64" },
        { "debug", 'd', FLAG_SWITCH, .help = "Show where tctl connects to" },
        { NULL },
};

/* ---- configuration ------------------------------------------------------------------------------- */

struct error *session_open(struct session *s, const struct flags *given)
{
        const char *data_dir = CONFIG_DATA_DIR, *path = NULL;

        s->arena = arena_new(LIMIT_TCTL_ARENA);
        struct error *err = config_file_find(s->arena, given, &path, &s->config);
        if (err != NULL)
                return err->code == ERROR_PERMISSION_DENIED ? error_hint(err, "run tctl as root") : err;
        if (s->config->teleport == NULL) {
                s->config->teleport = arena_alloc(s->arena, sizeof *s->config->teleport);
                cteleport__v1__teleport_config__init(s->config->teleport);
        }
        if (s->config->teleport->data_dir != NULL && s->config->teleport->data_dir[0] != '\0')
                data_dir = s->config->teleport->data_dir;
        s->socket_path = arena_printf(s->arena, "%s/auth.sock", data_dir);
        if (flags_switch(given, "debug"))
                fprintf(stderr, "connecting to %s\n", s->socket_path);
        return NULL;
}

void session_release(struct session *s)
{
        rpc_client_close(s->client);
        if (s->has_loop) {
                loop_run(&s->loop); /* until everything is closed */
                loop_release(&s->loop);
        }
        arena_free(s->arena);
        *s = (struct session){ 0 };
}

/* ---- connecting ---------------------------------------------------------------------------------- */

static struct error *cannot_connect(const struct session *s, struct error *cause)
{
        struct error *err = error_wrap(cause, "Cannot connect to the auth server");

        if (!config_service_enabled(s->config, "auth"))
                return error_hint(err, "the configuration of this host has no Auth Service; run tctl where it runs");
        if (err->code == ERROR_PERMISSION_DENIED)
                return error_hint(err, "run tctl as root, or as the owner of %s", s->socket_path);
        return error_hint(err, "is the Auth Service running on this host, with the configuration that tctl reads (-c)");
}

static struct error *connect_unix(const char *path, int *ret_fd)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct str text = str_of(path);
        AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (text.len >= sizeof address.sun_path)
                return error_new(ERROR_INVALID_ARGUMENT, "%s is longer than the %zu bytes a socket's path may have", path,
                                 sizeof address.sun_path - 1);
        memcpy(address.sun_path, text.ptr, text.len);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
                return error_errno(errno, "%s", path);
        *ret_fd = fd;
        fd = -1;
        return NULL;
}

static void on_closed(void *ctx, struct error *err)
{
        struct session *s = ctx;

        error_free(err); /* the call that was under way tells */
        rpc_client_close(s->client);
        s->client = NULL;
}

static struct error *connect_once(struct session *s)
{
        int fd = -1;

        if (s->client != NULL)
                return NULL;
        if (!s->has_loop)
                TRY(loop_init(&s->loop, NULL));
        s->has_loop = true;
        struct error *err = connect_unix(s->socket_path, &fd);
        if (err != NULL)
                return cannot_connect(s, err);
        s->client = rpc_client_new(&s->loop, socket_stream(&s->loop, fd), "auth", on_closed, s);
        return NULL;
}

/* ---- asking -------------------------------------------------------------------------------------- */

struct question {
        struct session *session;
        ProtobufCMessage *answer;
        struct error *err;
};

/* Copies what is only lent until this returns. */
static struct error *keep(struct session *s, const ProtobufCMessage *answer, ProtobufCMessage **ret)
{
        size_t size = protobuf_c_message_get_packed_size(answer);
        AUTO_MEM uint8_t *bytes = mem_alloc(size);

        protobuf_c_message_pack(answer, bytes);
        return wire_decode(s->arena, answer->descriptor, str_of_bytes(bytes, size), ret);
}

static void on_answer(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct question *q = ctx;

        q->err = err == NULL ? keep(q->session, answer, &q->answer) : err;
        loop_stop(&q->session->loop);
}

struct error *session_ask(struct session *s, const char *method, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *answer_type, ProtobufCMessage **ret)
{
        struct question q = { .session = s };
        struct rpc_client_call_options options = {
                .path = arena_printf(s->arena, "/cteleport.v1.AdminService/%s", method),
                .response = answer_type,
                .response_max = LIMIT_RPC,
                .within = MILLISECONDS(TIMEOUT_RPC),
        };

        TRY(connect_once(s));
        rpc_client_unary(s->client, options, request, on_answer, &q);
        loop_run(&s->loop);
        if (q.err != NULL)
                return q.err->code == ERROR_UNAVAILABLE ? cannot_connect(s, q.err) : q.err;
        *ret = q.answer;
        return NULL;
}

struct error *session_ask_name(struct session *s, const char *method, const char *name,
                               const ProtobufCMessageDescriptor *answer_type, ProtobufCMessage **ret)
{
        Cteleport__V1__NameRequest request = CTELEPORT__V1__NAME_REQUEST__INIT;
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;

        if (name == NULL)
                return session_ask(s, method, &empty.base, answer_type, ret);
        request.name = (char *)(uintptr_t)name;
        return session_ask(s, method, &request.base, answer_type, ret);
}

struct list {
        ProtobufCMessage **messages;
        size_t count, room;
};

static void list_add(struct session *s, struct list *l, ProtobufCMessage *const *messages, size_t count)
{
        if (l->count + count > l->room) {
                ProtobufCMessage **old = l->messages;

                l->room = 2 * (l->count + count) + 16;
                l->messages = arena_alloc(s->arena, l->room * sizeof *l->messages);
                if (l->count > 0)
                        memcpy(l->messages, old, l->count * sizeof *old);
        }
        if (count > 0)
                memcpy(l->messages + l->count, messages, count * sizeof *messages);
        l->count += count;
}

struct error *session_list(struct session *s, const char *method, const ProtobufCMessageDescriptor *page_type,
                           ProtobufCMessage ***ret, size_t *ret_count)
{
        enum { ITEMS, NEXT };
        Cteleport__V1__ListRequest request = CTELEPORT__V1__LIST_REQUEST__INIT;
        const ProtobufCFieldDescriptor *fields = page_type->fields;
        struct list all = { 0 };

        do {
                ProtobufCMessage *page = NULL;

                TRY(session_ask(s, method, &request.base, page_type, &page));
                const char *at = (const char *)page;
                list_add(s, &all, *(ProtobufCMessage *const *const *)(const void *)(at + fields[ITEMS].offset),
                         *(const size_t *)(const void *)(at + fields[ITEMS].quantifier_offset));
                char *next = *(char *const *)(const void *)(at + fields[NEXT].offset);
                if (strcmp(next, request.after) <= 0 && next[0] != '\0')
                        return error_new(ERROR_DATA_LOSS, "the Auth Service sends the same page again and again");
                request.after = next;
        } while (request.after[0] != '\0');
        if (all.messages == NULL)
                all.messages = arena_alloc(s->arena, sizeof *all.messages);
        *ret = all.messages;
        *ret_count = all.count;
        return NULL;
}
