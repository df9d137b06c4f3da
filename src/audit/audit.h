/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log: Teleport's event names and codes, JSON lines in data_dir/log/events.log, durable
 * before success is told to anyone.
 */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

struct loop;

/* A kind of event: a row in audit_events.c. */
struct audit_kind {
        const char *event; /* "instance.join" */
        const char *code;  /* "TJ002I" */
};
extern const struct audit_kind audit_instance_join;        /* instance.join   TJ002I */
extern const struct audit_kind audit_instance_join_failed; /* instance.join   TJ002E */
extern const struct audit_kind audit_token_create;         /* join_token.create TJT00I */
extern const struct audit_kind audit_token_delete;         /* join_token.delete */
extern const struct audit_kind audit_cert_create;          /* cert.create     TC000I */
extern const struct audit_kind audit_node_delete;
extern const struct audit_kind audit_host_duplicate;       /* two live agents with one host ID */
extern const struct audit_kind audit_cluster_init;

/* One event being written down: fields in the order they are added. time, uid, event, code, cluster_name come first. */
struct audit_record {
        struct buf json;
        unsigned depth;
};
void audit_begin(struct audit_record *r, const struct audit_kind *kind, struct walltime at, struct str cluster);
void audit_str(struct audit_record *r, const char *key, struct str value);      /* clipped, escaped by JSON */
void audit_int(struct audit_record *r, const char *key, int64_t value);
void audit_bool(struct audit_record *r, const char *key, bool value);
void audit_strs(struct audit_record *r, const char *key, const struct str *values, size_t count);
void audit_open(struct audit_record *r, const char *key); /* a nested object */
void audit_close(struct audit_record *r);
void audit_error(struct audit_record *r, const struct error *err); /* success:false, error:what, and causes */
void audit_record_release(struct audit_record *r);

/*
 * The writer: appends records to dir/events.log, many per fdatasync. A torn last line from a crash is
 * ended and kept apart at the next open.
 */
struct audit_log;
struct error *audit_log_open(struct loop *l, const char *dir, struct audit_log **ret) MUST_USE;
/* Takes the record; done once from the loop when it is durable, or with an error (disk full): then refuse. done may be NULL. */
void audit_write(struct audit_log *log, struct audit_record *r, void (*done)(void *ctx, struct error *err), void *ctx);
void audit_log_close(struct audit_log *log, void (*closed)(void *ctx), void *ctx);

#endif
