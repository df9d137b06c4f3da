/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/admin/resources.h"

#include <string.h>

#include "api.pb-c.h"
#include "auth/core/methods.h"
#include "base/bug.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "rpc/pb.h"
#include "rpc/wire.h"

const struct admin_kind *const admin_kinds[] = { &admin_token_kind, &admin_node_kind, &admin_instance_kind, &admin_app_kind, &admin_app_server_kind,
                                                       &admin_user_kind,  &admin_role_kind, &admin_lock_kind, NULL };

/* ---- fields of messages -------------------------------------------------------------------------------- */

static const void *field_of(const ProtobufCMessage *message, const char *name)
{
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);

        return field == NULL ? NULL : (const char *)message + field->offset;
}

static bool flag_of(const ProtobufCMessage *message, const char *name)
{
        const protobuf_c_boolean *flag = field_of(message, name);

        return flag != NULL && *flag;
}

Cteleport__V1__Metadata *resource_metadata(const ProtobufCMessage *resource)
{
        Cteleport__V1__Metadata *const *metadata = field_of(resource, "metadata");

        if (metadata == NULL)
                bug("%s is no resource", resource->descriptor->name);
        return *metadata;
}

/* The resource in the request of a Put. */
static ProtobufCMessage *resource_of(const ProtobufCMessage *request)
{
        const ProtobufCFieldDescriptor *field = &request->descriptor->fields[0];

        if (field->type != PROTOBUF_C_TYPE_MESSAGE || field->label == PROTOBUF_C_LABEL_REPEATED)
                bug("%s carries no resource", request->descriptor->name);
        return *(ProtobufCMessage *const *)(const void *)((const char *)request + field->offset);
}

static const struct admin_kind *kind_of(const struct rpc_call *call)
{
        const struct guarded_method *method = (const struct guarded_method *)(const void *)rpc_call_method(call);

        if (method->resource == NULL)
                bug("%s is about no kind of resource", method->method.path);
        return method->resource;
}

/* ---- errors -------------------------------------------------------------------------------------------- */

struct error *resource_not_found(const struct admin_kind *kind, struct str name)
{
        AUTO_MEM char *shown = escaped(name);

        return error_hint(error_new(ERROR_NOT_FOUND, "%s \"%s\" is not found", kind->name, shown), "`%s` lists them", kind->listed_by);
}

static struct error *already_exists(const struct change *c)
{
        AUTO_MEM char *shown = escaped(c->name);

        if (c->kind->has_secret_name)
                return error_hint(error_new(ERROR_ALREADY_EXISTS, "a %s with this name already exists", c->kind->name), "take another name");
        return error_hint(error_new(ERROR_ALREADY_EXISTS, "%s \"%s\" already exists", c->kind->name, shown),
                          "use another name, or overwrite it: tctl create -f");
}

static struct error *changed_meanwhile(const struct change *c)
{
        return error_hint(error_new(ERROR_ABORTED, "the %s was changed by another user meanwhile", c->kind->name),
                          "read it again and repeat the change");
}

/* Replaces the error of a commit by one that names the resource. */
static struct error *name_resource(const struct change *c, struct error *err)
{
        if (err == NULL || err->code != ERROR_ABORTED)
                return err;
        return error_because(c->must_be_new ? already_exists(c) : changed_meanwhile(c), err);
}

/* ---- the stored resource ------------------------------------------------------------------------------- */

/* Continues a request after the lookup of the resource. */
typedef void step(struct admin_request *q, struct change *c);

struct lookup {
        struct admin_request *request;
        struct change *change;
        step *next;
};

static void looked_up(struct lookup *l, struct error *err)
{
        struct admin_request *q = l->request;

        if (err == NULL)
                err = admin_check_waited_for(q);
        if (err != NULL)
                admin_fail(q, err);
        else
                l->next(q, l->change);
}

static void on_record(void *ctx, const struct state_record *record, struct error *err)
{
        struct lookup *l = ctx;
        struct change *c = l->change;
        ProtobufCMessage *present = NULL;

        if (err == NULL && record != NULL) {
                struct error *unreadable = c->kind->show(l->request, record, &present);

                c->revision = record->revision;
                c->present = present;
                c->is_there = present != NULL || unreadable != NULL;
                state_log_unreadable(record, unreadable);
        }
        looked_up(l, err);
}

/* Copies the resource of the directory, which must not change and may be freed while the request waits. */
static struct error *copy_known(struct admin_request *q, struct change *c)
{
        const ProtobufCMessage *known = c->kind->find(q, c->name, &c->revision);
        ProtobufCMessage *copy = NULL;

        c->is_there = known != NULL || c->revision != 0;
        if (known != NULL)
                TRY(wire_copy(q->arena, known, &copy));
        c->present = copy;
        return NULL;
}

static void look_up(struct admin_request *q, struct change *c, step *next)
{
        struct lookup *l = arena_alloc(q->arena, sizeof *l);
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);

        *l = (struct lookup){ q, c, next };
        if (c->kind->find != NULL) {
                looked_up(l, copy_known(q, c));
                return;
        }
        c->kind->put_id(c->name, &id);
        state_get(q->auth->store, c->kind->state, buf_str(&id), on_record, l);
}

static struct error *unreadable(const struct change *c)
{
        return error_hint(error_new(ERROR_DATA_LOSS, "the stored %s cannot be read", c->kind->name), "write it again, or remove it");
}

/* Finds a resource of teleport.yaml. Compares all names, in constant time, as a name may be a secret. */
static const ProtobufCMessage *find_configured(struct admin_request *q, const struct admin_kind *kind, struct str name)
{
        const ProtobufCMessage *hit = NULL;
        ProtobufCMessage **list = NULL;
        size_t count = kind->list_configured == NULL ? 0 : kind->list_configured(q, &list);

        for (size_t i = 0; i < count; i++)
                if (secret_equal(str_of(resource_metadata(list[i])->name), name))
                        hit = list[i];
        return hit;
}

/* ---- List ---------------------------------------------------------------------------------------------- */

enum {
        PAGE_ITEMS = 500,
        PAGE_SIZE = LIMIT_UNREAD_OUTPUT / 2, /* bytes of an answer; only its last message may exceed this */
};

static bool listing_is_full(const struct listing *l)
{
        return l->size >= PAGE_SIZE;
}

bool listing_add(struct admin_request *q, struct listing *l, ProtobufCMessage *message)
{
        if (listing_is_full(l))
                return false;
        listing_add_more(q, l, message);
        return true;
}

void listing_add_more(struct admin_request *q, struct listing *l, ProtobufCMessage *message)
{
        if (l->count == l->room) {
                ProtobufCMessage **old = l->messages;

                l->room = l->room == 0 ? PAGE_ITEMS : l->room * 2;
                l->messages = arena_alloc(q->arena, l->room * sizeof *l->messages);
                if (l->count > 0)
                        memcpy(l->messages, old, l->count * sizeof *old);
        }
        l->messages[l->count++] = message;
        l->size += protobuf_c_message_get_packed_size(message);
}

void listing_reply(struct admin_request *q, struct listing *l)
{
        enum { ITEMS, NEXT };

        if (l->page == NULL) {
                admin_reply(q, l->messages[0]);
                return;
        }
        const ProtobufCFieldDescriptor *fields = l->page->fields;
        ProtobufCMessage *page = arena_alloc(q->arena, l->page->sizeof_message);
        char *at = (char *)page;

        if (fields[ITEMS].label != PROTOBUF_C_LABEL_REPEATED || fields[ITEMS].type != PROTOBUF_C_TYPE_MESSAGE ||
            fields[NEXT].label == PROTOBUF_C_LABEL_REPEATED || fields[NEXT].type != PROTOBUF_C_TYPE_STRING)
                bug("%s is no page of a listing", l->page->name);
        protobuf_c_message_init(l->page, page);
        *(ProtobufCMessage ***)(void *)(at + fields[ITEMS].offset) = l->messages;
        *(size_t *)(void *)(at + fields[ITEMS].quantifier_offset) = l->count;
        *(char **)(void *)(at + fields[NEXT].offset) = l->next;
        admin_reply(q, page);
}

static void listing_complete(struct admin_request *q, struct listing *l)
{
        if (l->kind->complete != NULL)
                l->kind->complete(q, l);
        else
                listing_reply(q, l);
}

static void on_page(void *ctx, const struct state_page *page, struct error *err)
{
        struct admin_request *q = ctx;
        struct listing *l = q->state;
        struct str last = { 0 };
        size_t seen = 0;

        for (; err == NULL && seen < page->count; seen++) {
                const struct state_record *record = &page->records[seen];
                ProtobufCMessage *message = NULL;

                if (l->kind->show_all != NULL && listing_is_full(l))
                        break;
                state_log_unreadable(record, l->kind->show_all != NULL ? l->kind->show_all(q, record, l) : l->kind->show(q, record, &message));
                if (message != NULL && !listing_add(q, l, message))
                        break;
                last = page->records[seen].id;
        }
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        l->next = pb_text("");
        if ((seen < page->count || !page->is_last) && last.len > 0)
                l->next = pb_text(arena_str(q->arena, last).ptr);
        listing_complete(q, l);
}

void admin_list_resources(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct admin_kind *kind = kind_of(call);
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        const Cteleport__V1__ListRequest *m = (const Cteleport__V1__ListRequest *)q->message;
        struct listing *l = arena_alloc(q->arena, sizeof *l);
        size_t limit = m->limit == 0 || m->limit > PAGE_ITEMS ? PAGE_ITEMS : m->limit;
        ProtobufCMessage **configured = NULL;

        *l = (struct listing){ .kind = kind, .page = kind->page };
        q->state = l;
        if (kind->begin_list != NULL && kind->begin_list(q, l))
                return;
        size_t count = kind->list_configured == NULL || m->after[0] != '\0' ? 0 : kind->list_configured(q, &configured);
        for (size_t i = 0; i < count; i++) /* at most LIMIT_STATIC_TOKENS, which fit on a page */
                (void)listing_add(q, l, configured[i]);
        state_list(q->auth->store, kind->state, str_of(m->after), limit, on_page, q);
}

/* ---- Get ----------------------------------------------------------------------------------------------- */

static void reply_one(struct admin_request *q, const struct admin_kind *kind, const ProtobufCMessage *resource)
{
        struct listing *l = arena_alloc(q->arena, sizeof *l);

        *l = (struct listing){ .kind = kind };
        listing_add(q, l, (ProtobufCMessage *)(uintptr_t)resource);
        listing_complete(q, l);
}

static void get_present(struct admin_request *q, struct change *c)
{
        if (!c->is_there)
                admin_fail(q, resource_not_found(c->kind, c->name));
        else if (c->present == NULL)
                admin_fail(q, unreadable(c));
        else
                reply_one(q, c->kind, c->present);
}

static struct change *change_new(struct admin_request *q, const struct admin_kind *kind)
{
        struct change *c = arena_alloc(q->arena, sizeof *c);

        *c = (struct change){ .kind = kind, .if_revision = "" };
        return c;
}

void admin_get_resource(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct admin_kind *kind = kind_of(call);
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        const ProtobufCMessage *configured = find_configured(q, kind, admin_name(q));
        struct change *c = change_new(q, kind);

        c->name = admin_name(q);
        if (configured != NULL)
                reply_one(q, kind, configured);
        else
                look_up(q, c, get_present);
}

/* ---- changes ------------------------------------------------------------------------------------------- */

/* Puts the name for the audit log and the log; a secret name is masked. */
static void put_shown_name(const struct change *c, const ProtobufCMessage *resource, struct buf *out)
{
        if (c->kind->put_shown_name != NULL && resource != NULL)
                c->kind->put_shown_name(resource, out);
        else
                buf_put(out, c->kind->has_secret_name ? STR("***") : c->name);
}

static void begin_audit(struct admin_request *q, const struct change *c, const struct audit_kind *event, const ProtobufCMessage *resource,
                        struct audit_record *r)
{
        AUTO(buf) shown = BUF_MAX(4 * KiB);

        put_shown_name(c, resource, &shown);
        auth_audit_begin(q->auth, r, event);
        audit_str(r, "user", buf_str(&q->caller));
        audit_str(r, "name", buf_str(&shown));
        if (c->kind->put_audit != NULL && resource != NULL)
                c->kind->put_audit(c, resource, r);
}

static void log_change(const struct admin_request *q, const struct change *c, const char *what, const ProtobufCMessage *resource)
{
        AUTO(buf) shown = BUF_MAX(4 * KiB);

        put_shown_name(c, resource, &shown);
        log_info(what, LOG_C("kind", c->kind->name), LOG_STR("name", buf_str(&shown)), LOG_STR("by", buf_str(&q->caller)));
}

void change_warn(struct change *c, const char *text)
{
        if (c->warnings.count == TOKEN_WARNINGS_MAX)
                bug("a %s has more than %d warnings", c->kind->name, TOKEN_WARNINGS_MAX);
        c->warnings.texts[c->warnings.count++] = text;
}

/* If is_conditional, the transaction requires that the record has not changed since it was read. */
static struct store_txn *begin_txn(struct admin_request *q, struct change *c, bool is_conditional, struct str id)
{
        struct store_txn *t = store_txn_new(q->auth->store);

        if (is_conditional)
                state_require(t, c->kind->state, id, c->revision);
        q->state = c;
        return t;
}

static struct str id_of(struct admin_request *q, const struct change *c)
{
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);

        if (c->kind->put_id == NULL)
                return c->name;
        c->kind->put_id(c->name, &id);
        return arena_str(q->arena, buf_str(&id));
}

/* ---- Put ----------------------------------------------------------------------------------------------- */

static void on_put(void *ctx, uint64_t revision, struct error *err)
{
        struct admin_request *q = ctx;
        struct change *c = q->state;
        Cteleport__V1__PutResponse response = CTELEPORT__V1__PUT_RESPONSE__INIT;

        (void)revision;
        err = name_resource(c, err);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        log_change(q, c, "Resource written", c->resource);
        response.was_there = c->is_there;
        response.name = pb_text(arena_str(q->arena, c->name).ptr);
        response.n_warnings = c->warnings.count;
        response.warnings = pb_texts(c->warnings.texts);
        admin_reply(q, &response.base);
}

void change_write(struct admin_request *q, struct change *c)
{
        const struct admin_kind *kind = c->kind;
        bool is_conditional = !kind->is_last_write_kept || c->must_be_new || c->if_revision[0] != '\0';
        struct str id = id_of(q, c);
        struct store_txn *t = begin_txn(q, c, is_conditional, id);
        struct audit_record record = { 0 };

        if (kind->require != NULL)
                kind->require(c, t);
        resource_metadata(c->resource)->revision = pb_text(""); /* the record in the store has the revision */
        state_put(t, kind->state, id, c->resource, kind->expires == NULL ? (struct walltime){ 0 } : kind->expires(c->resource));
        begin_audit(q, c, c->is_there ? kind->updated : kind->created, c->resource, &record);
        audit_account_add(q->auth, kind->account, buf_str(&q->caller), t, &record);
        store_txn_commit(t, on_put, q);
}

static struct error *check_conditions(const struct change *c)
{
        int64_t revision = 0;

        if (c->must_be_new && c->is_there)
                return already_exists(c);
        if (c->if_revision[0] == '\0')
                return NULL;
        TRY(parse_int(str_of(c->if_revision), 1, INT64_MAX, "revision", &revision));
        return (uint64_t)revision == c->revision ? NULL : changed_meanwhile(c);
}

static void put_over_present(struct admin_request *q, struct change *c)
{
        struct error *err = check_conditions(c);

        if (err == NULL && c->kind->check_write != NULL)
                err = c->kind->check_write(q, c);
        if (err != NULL)
                admin_fail(q, err);
        else if (c->kind->prepare != NULL)
                c->kind->prepare(q, c);
        else
                change_write(q, c);
}

static struct error *begin_put(struct admin_request *q, struct change *c)
{
        const char *const *if_revision = field_of(q->message, "if_revision");
        int64_t revision;

        c->resource = resource_of(q->message);
        if (c->resource == NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "no %s was given", c->kind->name);
        c->must_be_new = flag_of(q->message, "must_be_new");
        c->if_revision = *if_revision;
        TRY(c->kind->check(q, c));
        c->name = str_of(resource_metadata(c->resource)->name);
        if (find_configured(q, c->kind, c->name) != NULL)
                return error_new(ERROR_ALREADY_EXISTS, "a %s with this name is defined in %s of teleport.yaml", c->kind->name, c->kind->configured_in);
        if (c->if_revision[0] != '\0')
                TRY(parse_int(str_of(c->if_revision), 1, INT64_MAX, "revision", &revision));
        return NULL;
}

void admin_put_resource(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct admin_kind *kind = kind_of(call);
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        struct change *c = change_new(q, kind);
        Cteleport__V1__PutResponse nothing = CTELEPORT__V1__PUT_RESPONSE__INIT;
        struct error *err = begin_put(q, c);

        if (err != NULL)
                admin_fail(q, err);
        else if (flag_of(q->message, "check_only"))
                admin_reply(q, &nothing.base);
        else
                look_up(q, c, put_over_present);
}

/* ---- Delete -------------------------------------------------------------------------------------------- */

static void on_deleted(void *ctx, uint64_t revision, struct error *err)
{
        struct admin_request *q = ctx;
        struct change *c = q->state;
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;

        (void)revision;
        err = name_resource(c, err);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        log_change(q, c, "Resource removed", c->present);
        admin_reply(q, &empty.base);
}

static void delete_present(struct admin_request *q, struct change *c)
{
        struct str id = id_of(q, c);
        struct audit_record record = { 0 };
        struct error *err = c->is_there ? NULL : c->kind->missing != NULL ? c->kind->missing(q, c) : resource_not_found(c->kind, c->name);

        if (err == NULL && c->kind->check_delete != NULL)
                err = c->kind->check_delete(q, c);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        struct store_txn *t = begin_txn(q, c, true, id);
        state_delete(t, c->kind->state, id);
        if (c->kind->delete_more != NULL)
                c->kind->delete_more(c, t);
        begin_audit(q, c, c->kind->deleted, c->present, &record);
        outbox_add(q->auth->outbox, t, &record); /* the write has charged for it */
        store_txn_commit(t, on_deleted, q);
}

static struct error *is_configured(const struct admin_kind *kind)
{
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "a static %s cannot be removed", kind->name),
                          "remove it from %s in teleport.yaml and restart the Auth Service", kind->configured_in);
}

void admin_delete_resource(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct admin_kind *kind = kind_of(call);
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        struct change *c = change_new(q, kind);

        c->name = admin_name(q);
        if (kind->remove != NULL)
                kind->remove(q);
        else if (find_configured(q, kind, c->name) != NULL)
                admin_fail(q, is_configured(kind));
        else
                look_up(q, c, delete_present);
}
