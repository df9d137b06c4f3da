/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/hosts.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "rpc/rpc.h"

enum { RECORD_ARENA = 64 * KiB };

void host_key(struct str host_id, struct buf *out)
{
        buf_put(out, HOST_PREFIX);
        buf_put(out, host_id);
}

void name_key(struct str host_name, struct str cluster, struct buf *out)
{
        buf_put(out, NAME_PREFIX);
        name_put_canonical(out, host_name, cluster);
}

void presence_key(struct str host_id, struct buf *out)
{
        buf_put(out, PRESENCE_PREFIX);
        buf_put(out, host_id);
}

void host_binding_iam(struct str account, struct str arn, struct buf *out)
{
        struct str stable = arn;
        struct str assumed = STR(":assumed-role/");
        size_t resource = 0;

        /* The sixth field of an ARN begins behind the fifth colon. */
        for (int colons = 0; colons < 5 && resource < arn.len; resource++)
                if (arn.ptr[resource] == ':')
                        colons++;
        if (resource > 0 && str_starts_with(str_slice(arn, resource - 1, arn.len), assumed)) {
                struct str role = str_slice(arn, resource - 1 + assumed.len, arn.len);

                stable = str_slice(arn, 0, resource - 1 + assumed.len + str_find_char(role, '/'));
        }
        buf_put_c(out, "iam:");
        buf_put(out, account);
        buf_put_char(out, ':');
        buf_put(out, stable);
}

void host_binding_token(struct str token_name, struct buf *out)
{
        uint8_t digest[32];

        sha256(token_name, digest);
        buf_put_c(out, "token:");
        hex_encode(out, str_of_bytes(digest, sizeof digest));
}

bool host_is_attested_as(const Cteleport__State__V1__Host *host, struct str account, struct str arn)
{
        return str_equal(str_of(host->join_method), STR("iam")) && !str_is_empty(account) && !str_is_empty(arn) &&
               str_equal(str_of(host->aws_account), account) && str_equal(str_of(host->aws_arn), arn);
}

bool host_has_role(const Cteleport__State__V1__Host *host, struct str role)
{
        if (str_equal(role, STR("Instance")))
                return true;
        for (size_t i = 0; i < host->n_system_roles; i++)
                if (str_equal(str_of(host->system_roles[i]), role))
                        return true;
        return false;
}

struct find {
        const ProtobufCMessageDescriptor *type;
        void (*on_host)(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err);
        void (*on_name)(void *ctx, const Cteleport__State__V1__Name *name, uint64_t revision, struct error *err);
        void *ctx;
};

static void find_finish(struct find *f, const ProtobufCMessage *msg, uint64_t revision, struct error *err)
{
        if (f->on_host != NULL)
                f->on_host(f->ctx, (const Cteleport__State__V1__Host *)msg, revision, err);
        else
                f->on_name(f->ctx, (const Cteleport__State__V1__Name *)msg, revision, err);
        free(f);
}

static void on_item(void *ctx, const struct store_item *item, struct error *err)
{
        struct find *f = ctx;
        ProtobufCMessage *msg = NULL;

        if (err != NULL || item == NULL) {
                find_finish(f, NULL, 0, err);
                return;
        }
        AUTO_PTR(arena) arena = arena_new(RECORD_ARENA);
        err = wire_decode(arena, f->type, item->value, &msg);
        if (err != NULL)
                err = error_because(error_new(ERROR_DATA_LOSS, "a stored host record cannot be read"), err);
        find_finish(f, err == NULL ? msg : NULL, item->revision, err);
}

void record_skip(struct str key, struct error *err)
{
        if (err == NULL)
                return;
        log_error("A stored record cannot be read, and is left out", LOG_STR("key", key), LOG_ERR(err));
        error_free(err);
}

void host_find(struct auth *a, struct str host_id,
               void (*done)(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err), void *ctx)
{
        struct find *f = NEW(struct find);
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);

        *f = (struct find){ .type = &cteleport__state__v1__host__descriptor, .on_host = done, .ctx = ctx };
        host_key(host_id, &key);
        store_get(a->store, buf_str(&key), on_item, f);
}

void name_find(struct auth *a, struct str host_name,
               void (*done)(void *ctx, const Cteleport__State__V1__Name *name, uint64_t revision, struct error *err), void *ctx)
{
        struct find *f = NEW(struct find);
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);

        *f = (struct find){ .type = &cteleport__state__v1__name__descriptor, .on_name = done, .ctx = ctx };
        name_key(host_name, a->cluster, &key);
        store_get(a->store, buf_str(&key), on_item, f);
}

struct error *message_copy(struct arena *arena, const ProtobufCMessage *msg, ProtobufCMessage **ret)
{
        size_t size = protobuf_c_message_get_packed_size(msg);
        AUTO_MEM uint8_t *bytes = mem_alloc(size);

        protobuf_c_message_pack(msg, bytes);
        return wire_decode(arena, msg->descriptor, str_of_bytes(bytes, size), ret);
}

void store_txn_put_message(struct store_txn *t, struct str key, const ProtobufCMessage *msg, struct walltime expires)
{
        size_t size = protobuf_c_message_get_packed_size(msg);
        AUTO_MEM uint8_t *bytes = mem_alloc(size);

        protobuf_c_message_pack(msg, bytes);
        store_txn_put(t, key, str_of_bytes(bytes, size), expires);
}
