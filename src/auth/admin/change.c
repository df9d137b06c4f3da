/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/admin/change.h"

#include "api.pb-c.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "rpc/pb.h"

struct error *change_not_found(const char *kind, struct str name)
{
        AUTO_MEM char *shown = escaped(name);

        return error_hint(error_new(ERROR_NOT_FOUND, "%s \"%s\" is not found", kind, shown), "`tctl get %ss` shows what there is", kind);
}

static struct error *already_exists(const struct change *c)
{
        AUTO_MEM char *shown = escaped(c->name);

        return error_hint(error_new(ERROR_ALREADY_EXISTS, "%s \"%s\" already exists", c->state->name, shown), "take another name, or overwrite it: tctl create -f");
}

static struct error *changed_meanwhile(const struct change *c)
{
        return error_hint(error_new(ERROR_ABORTED, "the %s was changed by another user meanwhile", c->state->name),
                          "look at it again and repeat the change");
}

struct error *change_check(const struct change *c, const char *if_revision)
{
        int64_t revision = 0;

        if (c->must_be_new && c->present != 0)
                return already_exists(c);
        if (str_is_empty(str_of(if_revision)))
                return NULL;
        TRY(parse_int(str_of(if_revision), 1, INT64_MAX, "revision", &revision));
        return (uint64_t)revision == c->present ? NULL : changed_meanwhile(c);
}

struct store_txn *change_begin(struct admin_request *q, struct change *c)
{
        struct store_txn *t = store_txn_new(q->auth->store);

        state_require(t, c->state, c->name, c->present);
        q->state = c;
        return t;
}

void change_audit(struct admin_request *q, const struct change *c, const struct audit_kind *kind, struct audit_record *r)
{
        auth_audit_begin(q->auth, r, kind);
        audit_str(r, "user", buf_str(&q->who));
        audit_str(r, "name", c->name);
}

/* What the commit says, in words of the resource. */
static struct error *in_words(const struct change *c, struct error *err)
{
        if (err == NULL || err->code != ERROR_ABORTED)
                return err;
        return error_because(c->must_be_new ? already_exists(c) : changed_meanwhile(c), err);
}

static void on_put(void *ctx, uint64_t revision, struct error *err)
{
        struct admin_request *q = ctx;
        struct change *c = q->state;
        Cteleport__V1__PutResponse response = CTELEPORT__V1__PUT_RESPONSE__INIT;

        (void)revision;
        err = in_words(c, err);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        log_info("Resource written", LOG_C("kind", c->state->name), LOG_STR("name", c->name), LOG_STR("by", buf_str(&q->who)));
        response.was_there = c->present != 0;
        response.name = pb_text(arena_str(q->arena, c->name).ptr);
        response.n_warnings = c->warnings.count;
        response.warnings = pb_texts(c->warnings.texts); /* protobuf-c's structs have no const */
        admin_reply(q, &response.base);
}

void change_put(struct admin_request *q, struct change *c, struct store_txn *t, ProtobufCMessage *message, Cteleport__V1__Metadata *metadata,
                struct walltime expires, struct audit_record *r)
{
        /* The revision is the store's to give; kept inside the value it would be a lie. */
        metadata->revision = pb_text("");
        state_put(t, c->state, c->name, message, expires);
        audit_account_add(q->auth, c->account, buf_str(&q->who), t, r);
        store_txn_commit(t, on_put, q);
}

static void on_deleted(void *ctx, uint64_t revision, struct error *err)
{
        struct admin_request *q = ctx;
        struct change *c = q->state;
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;

        (void)revision;
        err = in_words(c, err);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        log_info("Resource removed", LOG_C("kind", c->state->name), LOG_STR("name", c->name), LOG_STR("by", buf_str(&q->who)));
        admin_reply(q, &empty.base);
}

void change_delete(struct admin_request *q, struct change *c, struct store_txn *t, struct audit_record *r)
{
        state_delete(t, c->state, c->name);
        outbox_add(q->auth->outbox, t, r);
        store_txn_commit(t, on_deleted, q);
}
