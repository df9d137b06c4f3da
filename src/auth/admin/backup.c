/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/admin/backup.h"

#include <stdlib.h>

#include "auth/admin/admin.h"
#include "auth/admin/request.h"
#include "base/log.h"
#include "base/mem.h"
#include "pki/key.h"
#include "rpc/pb.h"

struct backup {
        struct auth *auth;
        uint64_t id; /* random: a client whose copy was ended does not read another one */
        struct store_snapshot info;
        struct timer *timer;
};

static void forget(struct auth *a)
{
        struct backup *b = a->backup;

        a->backup = NULL;
        timer_free(b->timer);
        free(b);
}

void backup_end(struct auth *a)
{
        if (a->backup == NULL)
                return;
        forget(a);
        store_snapshot_end(a->store);
}

static void on_timeout(void *ctx)
{
        struct auth *a = ctx;

        log_warn("A backup ended: its client requests nothing any more");
        backup_end(a);
}

static void wait_for_client(struct backup *b)
{
        timer_start(b->timer, MILLISECONDS(TIMEOUT_BACKUP));
}

/* ---- the first request ------------------------------------------------------------------------------------- */

static void reply(struct admin_request *q, const struct backup *b, struct str data)
{
        Cteleport__V1__BackupPart part = CTELEPORT__V1__BACKUP_PART__INIT;

        part.id = b->id;
        part.size = b->info.size;
        part.revision = b->info.revision;
        part.format = (uint32_t)b->info.format;
        part.cluster = pb_text(q->auth->cluster.ptr);
        part.data = pb_bytes(data);
        admin_reply(q, &part.base);
}

static void on_begun(void *ctx, const struct store_snapshot *info, struct error *err)
{
        struct admin_request *q = ctx;
        struct auth *a = q->auth;

        if (err == NULL && a->is_stopping)
                err = error_new(ERROR_UNAVAILABLE, "the Auth Service is stopping");
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        if (a->backup != NULL)
                forget(a); /* of another request, which began meanwhile; the store's copy is the one of this request now */
        a->backup = NEW(struct backup);
        *a->backup = (struct backup){ .auth = a, .info = *info, .timer = timer_new(&a->loop, on_timeout, a) };
        random_bytes(&a->backup->id, sizeof a->backup->id);
        wait_for_client(a->backup);
        reply(q, a->backup, STR(""));
}

/* The event is durable before anything is given out. */
static void on_audited(void *ctx, struct error *err)
{
        struct admin_request *q = ctx;

        if (err == NULL)
                err = admin_check_waited_for(q);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        log_info("A backup begins", LOG_STR("user", buf_str(&q->caller)));
        backup_end(q->auth);
        store_snapshot_begin(q->auth->store, on_begun, q);
}

static void begin(struct admin_request *q)
{
        struct audit_record record = { 0 };

        auth_audit_begin(q->auth, &record, &audit_backup);
        audit_str(&record, "user", buf_str(&q->caller));
        audit_write(q->auth->audit, &record, on_audited, q);
}

/* ---- parts --------------------------------------------------------------------------------------------------- */

static const Cteleport__V1__BackupRequest *request_of(const struct admin_request *q)
{
        return (const Cteleport__V1__BackupRequest *)q->message;
}

/* The copy that the request reads; NULL: it has ended. */
static struct backup *backup_of(const struct admin_request *q)
{
        struct backup *b = q->auth->backup;

        return b != NULL && b->id == request_of(q)->id ? b : NULL;
}

static struct error *has_ended(void)
{
        return error_hint(error_new(ERROR_ABORTED, "this backup has ended: another one began, or nothing was requested for %d seconds",
                                    TIMEOUT_BACKUP / 1000),
                          "begin again");
}

static void on_part(void *ctx, struct str bytes, struct error *err)
{
        struct admin_request *q = ctx;
        struct backup *b = backup_of(q);

        if (err == NULL && b == NULL)
                err = has_ended();
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        bool is_last = request_of(q)->offset + bytes.len >= b->info.size;
        struct auth *a = q->auth;
        wait_for_client(b);
        reply(q, b, bytes);
        if (is_last)
                backup_end(a);
}

void admin_backup(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        if (request_of(q)->id == 0)
                begin(q);
        else if (backup_of(q) == NULL)
                admin_fail(q, has_ended());
        else
                store_snapshot_read(q->auth->store, request_of(q)->offset, LIMIT_BACKUP_PART, on_part, q);
}
