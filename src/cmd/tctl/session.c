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
        { "auth-server", 0, FLAG_TEXT, .value = "ADDR", .env = "TELEPORT_AUTH_SERVER",
          .help = "Go through this proxy, as who logged in to it with tsh" },
        { "identity", 'i', FLAG_TEXT, .value = "FILE", .env = "TELEPORT_IDENTITY_FILE", .is_hidden = true,
          .help = "Not supported: identity files" },
        { "debug", 'd', FLAG_SWITCH, .help = "Show where tctl connects to" },
        { NULL },
};

/* ---- who asks ------------------------------------------------------------------------------------- */

static struct error *open_profile(struct session *s, const char *proxy)
{
        struct error *err = profile_load(&s->profile, proxy, NULL);

        if (err == NULL)
                err = profile_check_times(&s->profile, clock_wall(clock_system()));
        if (err != NULL && proxy != NULL && err->code == ERROR_NOT_FOUND) {
                AUTO_MEM char *shown = escaped(str_of(proxy));

                return error_hint(error_wrap(err, "--auth-server=%s", shown), "tsh login --proxy=%s --user=NAME", shown);
        }
        if (err != NULL)
                return err;
        s->socket_path = NULL;
        s->proxy = s->profile.web_addr;
        return NULL;
}

/* Nobody has logged in here: what keeps from being the administrator of this host's own Auth Service, if there is one. */
static struct error *nobody(const struct session *s, bool has_auth, struct error *not_logged_in)
{
        if (not_logged_in->code != ERROR_NOT_FOUND)
                return not_logged_in;
        error_free(not_logged_in);
        if (has_auth && access(s->socket_path, R_OK | W_OK) != 0 && errno == EACCES)
                return error_hint(error_errno(EACCES, "Cannot connect to the auth server: %s", s->socket_path),
                                  "run tctl as root, or log in first: tsh login --proxy=HOST --user=NAME");
        return error_hint(error_new(ERROR_UNAUTHENTICATED, "no Auth Service runs on this host, and nobody is logged in"),
                          "log in first: tsh login --proxy=HOST --user=NAME; or run tctl where the Auth Service runs");
}

/* What is named must be right; the default file may belong to root, and is none of a logged in person's business. */
static struct error *read_config(struct session *s, const struct flags *given, bool *ret_is_named, bool *ret_is_there)
{
        const char *data_dir = CONFIG_DATA_DIR, *path = NULL;
        bool is_named = flags_text(given, "config") != NULL || flags_text(given, "config-string") != NULL;
        struct error *err = config_file_find(s->arena, given, &path, &s->config);

        if (err != NULL && (is_named || err->code != ERROR_PERMISSION_DENIED))
                return err->code == ERROR_PERMISSION_DENIED ? error_hint(err, "run tctl as root") : err;
        if (err != NULL)
                s->config = config_file_empty(s->arena);
        error_free(err);
        if (s->config->teleport == NULL) {
                s->config->teleport = arena_alloc(s->arena, sizeof *s->config->teleport);
                cteleport__v1__teleport_config__init(s->config->teleport);
        }
        if (s->config->teleport->data_dir != NULL && s->config->teleport->data_dir[0] != '\0')
                data_dir = s->config->teleport->data_dir;
        s->socket_path = arena_printf(s->arena, "%s/auth.sock", data_dir);
        *ret_is_named = is_named;
        *ret_is_there = path != NULL && config_service_enabled(s->config, "auth") && access(data_dir, R_OK | X_OK) == 0;
        return NULL;
}

static struct error *choose(struct session *s, const struct flags *given)
{
        const char *proxy = flags_text(given, "auth-server");
        bool is_named = false, is_there = false;

        if (flags_text(given, "identity") != NULL)
                return error_hint(error_new(ERROR_UNIMPLEMENTED, "identity files are not supported"),
                                  "log in with tsh login, or run tctl where the Auth Service runs");
        TRY(read_config(s, given, &is_named, &is_there));
        if (proxy != NULL && proxy[0] != '\0')
                return open_profile(s, proxy);
        bool has_auth = config_service_enabled(s->config, "auth");
        if (is_there || (is_named && has_auth) || access(s->socket_path, R_OK | W_OK) == 0)
                return NULL;
        struct error *err = open_profile(s, NULL);
        return err == NULL ? NULL : nobody(s, has_auth, err);
}

struct error *session_open(struct session *s, const struct flags *given)
{
        s->arena = arena_new(LIMIT_TCTL_ARENA);
        TRY(choose(s, given));
        if (!flags_switch(given, "debug"))
                return NULL;
        if (s->socket_path != NULL)
                fprintf(stderr, "connecting to %s\n", s->socket_path);
        else
                fprintf(stderr, "connecting through %s as %s\n", s->proxy, s->profile.user);
        return NULL;
}

void session_release(struct session *s)
{
        rpc_client_close(s->client);
        if (s->has_loop) {
                loop_run(&s->loop); /* until everything is closed */
                loop_release(&s->loop);
        }
        profile_release(&s->profile);
        arena_free(s->arena);
        *s = (struct session){ 0 };
}

/* ---- connecting ---------------------------------------------------------------------------------- */

static struct error *cannot_connect(const struct session *s, struct error *cause)
{
        struct error *err = error_wrap(cause, "Cannot connect to the auth server");

        if (s->socket_path == NULL)
                return err->hint != NULL ? err : error_hint(err, "is %s the proxy, and can it be reached from here", s->proxy);
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

static struct error *connect_local(struct session *s)
{
        int fd = -1;

        TRY(connect_unix(s->socket_path, &fd));
        s->client = rpc_client_new(&s->loop, socket_stream(&s->loop, fd), "auth", on_closed, s);
        return NULL;
}

static void on_dialled(void *ctx, struct stream *tls, struct error *err)
{
        struct session *s = ctx;

        s->dial_error = err;
        if (err == NULL)
                s->client = rpc_client_new(&s->loop, tls, "auth", on_closed, s);
        loop_stop(&s->loop);
}

static struct error *connect_through_proxy(struct session *s)
{
        struct client_dial *dial = client_dial_auth(&s->loop, &s->profile, on_dialled, s);

        (void)dial; /* ends by itself */
        loop_run(&s->loop);
        struct error *err = s->dial_error;
        s->dial_error = NULL;
        return err;
}

static struct error *connect_once(struct session *s)
{
        if (s->client != NULL)
                return NULL;
        if (!s->has_loop)
                TRY(loop_init(&s->loop, NULL));
        s->has_loop = true;
        struct error *err = s->socket_path != NULL ? connect_local(s) : connect_through_proxy(s);
        return err == NULL ? NULL : cannot_connect(s, err);
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
