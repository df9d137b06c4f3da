/* SPDX-License-Identifier: Apache-2.0 */
#include "client/api_client.h"

#include <unistd.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/socket.h"

static struct error *open_loop(struct api_client *a)
{
        a->arena = arena_new(LIMIT_TCTL_ARENA);
        TRY(loop_init(&a->loop, NULL));
        a->has_loop = true;
        return NULL;
}

struct error *api_client_open(struct api_client *a, const struct profile *profile)
{
        *a = (struct api_client){ .profile = profile };
        return open_loop(a);
}

struct error *api_client_open_unauthenticated(struct api_client *a, const struct profile *profile)
{
        *a = (struct api_client){ .profile = profile, .is_unauthenticated = true };
        return open_loop(a);
}

struct error *api_client_open_unix(struct api_client *a, const char *socket_path)
{
        *a = (struct api_client){ .socket_path = socket_path };
        return open_loop(a);
}

struct error *api_client_open_proxy(struct api_client *a, const char *web_addr, bool is_insecure)
{
        *a = (struct api_client){ .web_addr = web_addr, .is_insecure = is_insecure };
        return open_loop(a);
}

void api_client_release(struct api_client *a)
{
        rpc_client_close(a->client);
        if (a->has_loop) {
                loop_run(&a->loop); /* until everything is closed */
                loop_release(&a->loop);
        }
        arena_free(a->arena);
        *a = (struct api_client){ 0 };
}

/* ---- connecting ---------------------------------------------------------------------------------------------- */

static void on_closed(void *ctx, struct error *err)
{
        struct api_client *a = ctx;

        error_free(err); /* the pending call reports it */
        rpc_client_close(a->client);
        a->client = NULL;
}

static struct error *connect_local(struct api_client *a)
{
        int fd = -1;

        TRY(socket_connect_unix(a->socket_path, &fd));
        a->client = rpc_client_new(&a->loop, socket_stream(&a->loop, fd), "auth", on_closed, a);
        return NULL;
}

static void on_dialled(void *ctx, struct stream *tls, struct error *err)
{
        struct api_client *a = ctx;

        a->err = err;
        if (err == NULL)
                a->client = rpc_client_new(&a->loop, tls, a->profile != NULL ? "auth" : "proxy", on_closed, a);
        loop_stop(&a->loop);
}

struct error *api_client_connect(struct api_client *a)
{
        struct client_dial *dial;

        if (a->client != NULL)
                return NULL;
        if (a->socket_path != NULL)
                return connect_local(a);
        if (a->profile != NULL && a->is_unauthenticated)
                dial = client_dial_auth_unauthenticated(&a->loop, a->profile, on_dialled, a);
        else if (a->profile != NULL)
                dial = client_dial_auth(&a->loop, a->profile, on_dialled, a);
        else
                dial = client_dial_proxy(&a->loop, a->web_addr, a->is_insecure, on_dialled, a);
        (void)dial; /* ends by itself; there is nothing to cancel */
        loop_run(&a->loop);
        struct error *err = a->err;
        a->err = NULL;
        return err;
}

/* ---- requests -------------------------------------------------------------------------------------------------- */

struct query {
        struct api_client *api_client;
        ProtobufCMessage *answer;
        struct error *err;
};

/* Copies the message, which is borrowed until this returns. */
static struct error *keep(struct api_client *a, const ProtobufCMessage *answer, ProtobufCMessage **ret)
{
        size_t size = protobuf_c_message_get_packed_size(answer);
        AUTO_MEM uint8_t *bytes = mem_alloc(size);

        protobuf_c_message_pack(answer, bytes);
        return wire_decode(a->arena, answer->descriptor, str_of_bytes(bytes, size), ret);
}

static void on_answer(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct query *q = ctx;

        q->err = err == NULL ? keep(q->api_client, answer, &q->answer) : err;
        loop_stop(&q->api_client->loop);
}

struct error *api_client_request(struct api_client *a, const char *method, const ProtobufCMessage *request,
                        const ProtobufCMessageDescriptor *answer_type, ProtobufCMessage **ret)
{
        struct query q = { .api_client = a };
        struct rpc_client_call_options options = {
                .path = method,
                .response = answer_type,
                .response_max = LIMIT_RPC,
                .within = MILLISECONDS(TIMEOUT_RPC),
        };

        TRY(api_client_connect(a));
        rpc_client_unary(a->client, options, request, on_answer, &q);
        loop_run(&a->loop);
        if (q.err != NULL)
                return client_refusal_hint(q.err, a->is_unauthenticated ? NULL : a->profile);
        *ret = q.answer;
        return NULL;
}

void api_client_forget(struct api_client *a)
{
        arena_free(a->arena);
        a->arena = arena_new(LIMIT_TCTL_ARENA);
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

struct list {
        ProtobufCMessage **messages;
        size_t count, room;
};

static void list_add(struct api_client *a, struct list *l, ProtobufCMessage *const *messages, size_t count)
{
        if (l->messages == NULL || l->count + count > l->room) {
                ProtobufCMessage **old = l->messages;

                l->room = 2 * (l->count + count) + 16;
                l->messages = arena_alloc(a->arena, l->room * sizeof *l->messages);
                if (l->count > 0)
                        memcpy(l->messages, old, l->count * sizeof *old);
        }
        if (count > 0)
                memcpy(l->messages + l->count, messages, count * sizeof *messages);
        l->count += count;
}

struct error *api_client_list(struct api_client *a, const char *method, const ProtobufCMessageDescriptor *page_type,
                         ProtobufCMessage ***ret, size_t *ret_count)
{
        enum { ITEMS, NEXT };
        Cteleport__V1__ListRequest request = CTELEPORT__V1__LIST_REQUEST__INIT;
        const ProtobufCFieldDescriptor *fields = page_type->fields;
        struct list all = { 0 };

        do {
                ProtobufCMessage *page = NULL;

                TRY(api_client_request(a, method, &request.base, page_type, &page));
                const char *at = (const char *)page;
                list_add(a, &all, *(ProtobufCMessage *const *const *)(const void *)(at + fields[ITEMS].offset),
                         *(const size_t *)(const void *)(at + fields[ITEMS].quantifier_offset));
                char *next = *(char *const *)(const void *)(at + fields[NEXT].offset);
                if (strcmp(next, request.after) <= 0 && next[0] != '\0')
                        return error_new(ERROR_DATA_LOSS, "the Auth Service sends the same page again and again");
                request.after = next;
        } while (request.after[0] != '\0');
        *ret = all.messages;
        *ret_count = all.count;
        return NULL;
}
