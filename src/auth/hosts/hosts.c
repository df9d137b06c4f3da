/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/hosts/hosts.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "rpc/rpc.h"

enum { RECORD_ARENA = 64 * KiB, BINDING_MAX = 4 * KiB };

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

static bool is_id_of_instance(struct str host_id, struct str account, struct str arn)
{
        struct str of_account = str_split(&host_id, '-'), session = arn;

        while (str_find_char(session, '/') < session.len)
                (void)str_split(&session, '/');
        return str_equal(of_account, account) && str_contains(arn, STR(":assumed-role/")) && str_equal(session, host_id);
}

struct error *host_check_claim(const Cteleport__State__V1__Host *host, struct str host_id, struct str account, struct str arn)
{
        if (!name_is_uuid(host_id) && !is_id_of_instance(host_id, account, arn))
                return error_hint(error_for(error_new(ERROR_PERMISSION_DENIED, "the host ID %.*s is that of an EC2 instance, as which AWS does not know this host",
                                                      STR_ARG(host_id)), REASON_HOST_ID),
                                  "remove host_uuid and proc from the data_dir of this host, it gets an ID of its own");
        if (host != NULL && !host_is_attested_as(host, account, arn))
                return error_hint(error_for(error_new(ERROR_PERMISSION_DENIED, "the host ID %.*s belongs to a host with another identity",
                                                      STR_ARG(host_id)), REASON_HOST_ID),
                                  "was this machine cloned? remove host_uuid and proc from its data_dir, it gets an ID of its own");
        return NULL;
}

bool host_is_later_than(const Cteleport__State__V1__Host *host, struct cert_issue cert)
{
        return cert_issue_is_before(cert, (struct cert_issue){ host->member_since, host->member_serial_time });
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

struct error *host_read(struct arena *arena, const struct store_item *item, Cteleport__State__V1__Host **ret)
{
        ProtobufCMessage *msg = NULL;

        TRY(wire_decode(arena, &cteleport__state__v1__host__descriptor, item->value, &msg));
        Cteleport__State__V1__Host *host = (Cteleport__State__V1__Host *)msg;
        if (str_is_empty(str_of(host->host_id)) && item->key.len > HOST_PREFIX.len)
                host->host_id = (char *)(uintptr_t)str_to_c(arena, str_slice(item->key, HOST_PREFIX.len, item->key.len));
        if (str_is_empty(str_of(host->binding)) && !str_is_empty(str_of(host->aws_account))) {
                AUTO(buf) binding = BUF_MAX(BINDING_MAX);

                host_binding_iam(str_of(host->aws_account), str_of(host->aws_arn), &binding);
                host->binding = (char *)(uintptr_t)str_to_c(arena, buf_str(&binding));
        }
        *ret = host;
        return NULL;
}

void host_put(struct store_txn *t, const Cteleport__State__V1__Host *host, struct walltime expires)
{
        Cteleport__State__V1__Host stored = *host;
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY), derived = BUF_MAX(BINDING_MAX);

        host_key(str_of(host->host_id), &key);
        stored.host_id = (char *)(uintptr_t)"";
        host_binding_iam(str_of(host->aws_account), str_of(host->aws_arn), &derived);
        if (!str_is_empty(str_of(host->aws_account)) && str_equal(str_of(host->binding), buf_str(&derived)))
                stored.binding = (char *)(uintptr_t)"";
        store_txn_put_message(t, buf_str(&key), &stored.base, expires);
}

enum { BINDING_DIGEST = 16 };

void name_put(struct store_txn *t, struct str key, struct str host_id, struct str binding, struct walltime expires)
{
        Cteleport__State__V1__Name name = CTELEPORT__STATE__V1__NAME__INIT;
        AUTO_MEM char *id = str_dup(host_id);
        uint8_t digest[32];

        sha256(binding, digest);
        name.host_id = id;
        name.binding_digest = (ProtobufCBinaryData){ BINDING_DIGEST, digest };
        store_txn_put_message(t, key, &name.base, expires);
}

bool name_is_bound_to(const Cteleport__State__V1__Name *name, struct str binding)
{
        uint8_t digest[32];

        if (name->binding_digest.len == 0)
                return str_equal(str_of(name->binding), binding);
        sha256(binding, digest);
        return str_equal(str_of_bytes(name->binding_digest.data, name->binding_digest.len), str_of_bytes(digest, BINDING_DIGEST));
}

static struct error *read_record(struct arena *arena, const struct find *f, const struct store_item *item, ProtobufCMessage **ret)
{
        Cteleport__State__V1__Host *host = NULL;

        if (f->on_name != NULL)
                return wire_decode(arena, &cteleport__state__v1__name__descriptor, item->value, ret);
        TRY(host_read(arena, item, &host));
        *ret = &host->base;
        return NULL;
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
        err = read_record(arena, f, item, &msg);
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

        *f = (struct find){ .on_host = done, .ctx = ctx };
        host_key(host_id, &key);
        store_get(a->store, buf_str(&key), on_item, f);
}

void name_find(struct auth *a, struct str host_name,
               void (*done)(void *ctx, const Cteleport__State__V1__Name *name, uint64_t revision, struct error *err), void *ctx)
{
        struct find *f = NEW(struct find);
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);

        *f = (struct find){ .on_name = done, .ctx = ctx };
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
