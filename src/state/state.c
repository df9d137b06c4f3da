/* SPDX-License-Identifier: Apache-2.0 */
#include "state/state.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "resource.pb-c.h"
#include "rpc/pb.h"
#include "rpc/wire.h"
#include "state/state_internal.h"

/* ---- keys ---------------------------------------------------------------------------------------------- */

/* The key of a record; "", which is an invalid key, if the ID is too long. */
static struct str put_key(const struct state_kind *kind, struct str id, struct buf *out)
{
        buf_put(out, kind->prefix);
        buf_put(out, id);
        AUTO_PTR(error) err = buf_finish(out, "a key of the store");
        return err == NULL ? buf_str(out) : STR("");
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static struct error *unreadable(const struct state_kind *kind, struct error *why)
{
        return error_because(error_new(ERROR_DATA_LOSS, "a stored %s cannot be read", kind->name), why);
}

struct error *state_read(struct arena *a, const struct state_kind *kind, const struct state_record *r, ProtobufCMessage **ret)
{
        if (r->kind != kind)
                bug("a stored %s is read as a %s", r->kind->name, kind->name);
        struct error *err = wire_decode(a, kind->type, r->value, ret);

        return err == NULL ? NULL : unreadable(kind, err);
}

static Cteleport__V1__Metadata *metadata_of(const ProtobufCMessage *resource)
{
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(resource->descriptor, "metadata");

        if (field == NULL)
                bug("%s is no resource", resource->descriptor->name);
        return *(Cteleport__V1__Metadata *const *)(const void *)((const char *)resource + field->offset);
}

struct error *state_read_resource(struct arena *a, const struct state_kind *kind, const struct state_record *r, ProtobufCMessage **ret)
{
        TRY(state_read(a, kind, r, ret));
        Cteleport__V1__Metadata *metadata = metadata_of(*ret);

        if (metadata == NULL)
                return unreadable(kind, error_new(ERROR_DATA_LOSS, "it has no metadata"));
        metadata->revision = pb_text(arena_printf(a, "%llu", (unsigned long long)r->revision));
        return NULL;
}

struct error *state_read_named(struct arena *a, const struct state_kind *kind, const struct state_record *r, ProtobufCMessage **ret)
{
        TRY(state_read_resource(a, kind, r, ret));
        if (!str_equal(str_of(metadata_of(*ret)->name), r->id))
                return error_new(ERROR_DATA_LOSS, "a stored %s has another name than its key", kind->name);
        return NULL;
}

void state_log_unreadable(const struct state_record *r, struct error *err)
{
        if (err == NULL)
                return;
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);
        log_error("A stored record cannot be read, and is left out", LOG_STR("key", put_key(r->kind, r->id, &key)), LOG_ERR(err));
        error_free(err);
}

struct get {
        const struct state_kind *kind;
        void (*done)(void *ctx, const struct state_record *record, struct error *err);
        void *ctx;
};

static void on_item(void *ctx, const struct store_item *item, struct error *err)
{
        struct get *g = ctx;

        if (err == NULL && item != NULL) {
                const struct state_record record = state_record_of(g->kind, item);

                g->done(g->ctx, &record, NULL);
        } else {
                g->done(g->ctx, NULL, err);
        }
        free(g);
}

void state_get(struct store *s, const struct state_kind *kind, struct str id,
               void (*done)(void *ctx, const struct state_record *record, struct error *err), void *ctx)
{
        struct get *g = NEW(struct get);
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);

        *g = (struct get){ kind, done, ctx };
        store_get(s, put_key(kind, id, &key), on_item, g);
}

struct list {
        const struct state_kind *kind;
        void (*done)(void *ctx, const struct state_page *page, struct error *err);
        void *ctx;
};

static void on_page(void *ctx, const struct store_page *page, struct error *err)
{
        struct list *l = ctx;

        if (err == NULL) {
                AUTO_MEM struct state_record *records = mem_array(page->count + 1, sizeof *records);

                for (size_t i = 0; i < page->count; i++)
                        records[i] = state_record_of(l->kind, &page->items[i]);
                l->done(l->ctx, &(struct state_page){ records, page->count, page->is_last, page->revision }, NULL);
        } else {
                l->done(l->ctx, NULL, err);
        }
        free(l);
}

void state_list(struct store *s, const struct state_kind *kind, struct str after, size_t limit,
                void (*done)(void *ctx, const struct state_page *page, struct error *err), void *ctx)
{
        struct list *l = NEW(struct list);
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);

        *l = (struct list){ kind, done, ctx };
        if (!str_is_empty(after)) { /* truncated to the longest key, which does not change the keys after it */
                buf_put(&key, kind->prefix);
                buf_put(&key, str_slice(after, 0, LIMIT_STORE_KEY - kind->prefix.len));
        }
        store_range(s, kind->prefix, buf_str(&key), limit, on_page, l);
}

/* ---- scans --------------------------------------------------------------------------------------------- */

struct scan {
        struct store *store;
        const struct state_kind *kind;
        const bool *is_stopped;
        struct error *(*each)(void *ctx, const struct state_record *record);
        void (*done)(void *ctx, struct error *err);
        void *ctx;
};

static void on_scanned(void *ctx, const struct state_page *page, struct error *err)
{
        struct scan *s = ctx;

        for (size_t i = 0; err == NULL && i < page->count; i++) {
                if (s->is_stopped != NULL && *s->is_stopped)
                        break;
                state_log_unreadable(&page->records[i], s->each(s->ctx, &page->records[i]));
        }
        if (err == NULL && s->is_stopped != NULL && *s->is_stopped)
                err = error_new(ERROR_CANCELLED, "the service is stopping");
        if (err == NULL && !page->is_last && page->count > 0) {
                state_list(s->store, s->kind, page->records[page->count - 1].id, LIMIT_STORE_RANGE, on_scanned, s);
                return;
        }
        s->done(s->ctx, err);
        free(s);
}

void state_scan(struct store *s, const struct state_kind *kind, const bool *is_stopped,
                struct error *(*each)(void *ctx, const struct state_record *record), void (*done)(void *ctx, struct error *err),
                void *ctx)
{
        struct scan *scan = NEW(struct scan);

        *scan = (struct scan){ s, kind, is_stopped, each, done, ctx };
        state_list(s, kind, STR(""), LIMIT_STORE_RANGE, on_scanned, scan);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

void state_require(struct store_txn *t, const struct state_kind *kind, struct str id, uint64_t revision)
{
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);

        store_txn_require(t, put_key(kind, id, &key), revision);
}

void state_put(struct store_txn *t, const struct state_kind *kind, struct str id, const ProtobufCMessage *message, struct walltime expires)
{
        if (message->descriptor != kind->type)
                bug("a %s is stored as a %s", message->descriptor->name, kind->name);
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);
        size_t size = protobuf_c_message_get_packed_size(message);
        AUTO_MEM uint8_t *bytes = mem_alloc(size);

        protobuf_c_message_pack(message, bytes);
        store_txn_put(t, put_key(kind, id, &key), str_of_bytes(bytes, size), expires);
}

void state_put_text(struct store_txn *t, const struct state_kind *kind, struct str id, struct str text, struct walltime expires)
{
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);

        store_txn_put(t, put_key(kind, id, &key), text, expires);
}

void state_put_brief(struct store_txn *t, const struct state_kind *kind, struct str id, struct str text)
{
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);

        store_txn_put_brief(t, put_key(kind, id, &key), text);
}

void state_delete(struct store_txn *t, const struct state_kind *kind, struct str id)
{
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);

        store_txn_delete(t, put_key(kind, id, &key));
}
