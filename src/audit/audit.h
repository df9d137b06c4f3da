/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log: Teleport's event names and codes, JSON lines in data_dir/log/events.log, durable
 * before success is reported to the caller.
 */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

struct loop;
struct map;

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
extern const struct audit_kind audit_log_expire;           /* files of the audit log were removed, as configured */
extern const struct audit_kind audit_recordings_expire;    /* the same for recordings */
extern const struct audit_kind audit_ca_rotate;

extern const struct audit_kind audit_user_login;                  /* user.login           T1000I */
extern const struct audit_kind audit_user_login_failed;           /* user.login           T1000W */
extern const struct audit_kind audit_web_session_end;             /* a login in a browser was ended before its time */
extern const struct audit_kind audit_app_session_end_early;       /* the session of an application, the same */
extern const struct audit_kind audit_auth_failed;                 /* auth                 T3007W */
extern const struct audit_kind audit_user_create;                 /* user.create          T1002I */
extern const struct audit_kind audit_user_update;                 /* user.update          T1003I */
extern const struct audit_kind audit_user_delete;                 /* user.delete          T1004I */
extern const struct audit_kind audit_user_password_change;        /* user.password_change T1005I */
extern const struct audit_kind audit_mfa_add;                     /* mfa.add              T1006I */
extern const struct audit_kind audit_reset_password_token_create; /* reset_password_token.create T6000I; invites too */
extern const struct audit_kind audit_role_create;                 /* role.created         T9000I */
extern const struct audit_kind audit_role_update;                 /* role.updated         T9002I */
extern const struct audit_kind audit_role_delete;                 /* role.deleted         T9001I */
extern const struct audit_kind audit_lock_create;                 /* lock.created         TLK00I */
extern const struct audit_kind audit_lock_delete;                 /* lock.deleted         TLK01I */

extern const struct audit_kind audit_app_create;                  /* app.create           TAP03I */
extern const struct audit_kind audit_app_server_delete;           /* what an offline host has announced was removed */
extern const struct audit_kind audit_app_update;                  /* app.update           TAP04I */
extern const struct audit_kind audit_app_delete;                  /* app.delete           TAP05I */

extern const struct audit_kind audit_session_rejected;         /* session.rejected T1006W */
extern const struct audit_kind audit_session_start;            /* session.start    T2000I */
extern const struct audit_kind audit_session_leave;            /* session.leave    T2003I */
extern const struct audit_kind audit_session_end;              /* session.end      T2004I */
extern const struct audit_kind audit_session_upload;           /* session.upload   T2005I */
extern const struct audit_kind audit_session_data;             /* session.data     T2006I */
extern const struct audit_kind audit_session_connect;          /* session.connect  T2010I */
extern const struct audit_kind audit_app_session_chunk;        /* app.session.chunk T2008I */
extern const struct audit_kind audit_app_session_start;        /* app.session.start T2007I */
extern const struct audit_kind audit_app_session_end;          /* app.session.end  T2011I */
extern const struct audit_kind audit_session_recording_access; /* session.recording.access T2012I */
extern const struct audit_kind audit_session_recording_lost;   /* a recording that could not be stored or was altered */
extern const struct audit_kind audit_backup;                   /* a copy of the store was given out */
extern const struct audit_kind audit_resize;                   /* resize            T2002I */
extern const struct audit_kind audit_exec;                     /* exec              T3002I */
extern const struct audit_kind audit_exec_failed;              /* exec              T3002E */
extern const struct audit_kind audit_port;                     /* port              T3003I */
extern const struct audit_kind audit_port_failed;              /* port              T3003E */
extern const struct audit_kind audit_client_disconnect;        /* client.disconnect T3006I */

/*
 * The event of a file operation: "open", "rename" … (sftp, TS0nnI), "upload", "download" (scp); other
 * operations: sftp without a code of its own.
 */
const struct audit_kind *audit_file_kind(struct str action, bool is_failure);

enum { AUDIT_UID_LEN = 36 }; /* a UUID */

/*
 * Builder of one event: fields appear in the order in which they are added. time, uid, event, code,
 * cluster_name and ei come first, success last (true unless said otherwise). The line never passes
 * LIMIT_AUDIT_RECORD: fields that do not fit are left out and "truncated":true says so. The owner may read uid
 * and must not access other fields.
 */
struct audit_record {
        struct buf json;
        unsigned depth;   /* open objects */
        unsigned skipped; /* open objects that did not fit */
        char uid[AUDIT_UID_LEN + 1]; /* random (UUIDv4), with a NUL */
        bool is_truncated;
        bool is_failure;
        bool is_finished;
};
void audit_begin(struct audit_record *r, const struct audit_kind *kind, struct walltime at, struct str cluster);
void audit_str(struct audit_record *r, const char *key, struct str value);      /* clipped, escaped by JSON */
/* The same for commands and paths: stores as much of the beginning as fits, LIMIT_AUDIT_TEXT at most; a cut sets "truncated". */
void audit_text(struct audit_record *r, const char *key, struct str value);
void audit_int(struct audit_record *r, const char *key, int64_t value);
void audit_bool(struct audit_record *r, const char *key, bool value);           /* "success" is written at the end */
void audit_strs(struct audit_record *r, const char *key, const struct str *values, size_t count);
void audit_open(struct audit_record *r, const char *key); /* a nested object */
void audit_close(struct audit_record *r);
void audit_error(struct audit_record *r, const struct error *err); /* success:false, error:what, and causes */
/* Finishes the record and returns its line with the newline, borrowed until the release. Fields cannot be added afterwards. */
struct str audit_record_text(struct audit_record *r);
void audit_record_release(struct audit_record *r);

/*
 * The writer: appends records to dir/events.log (mode 0640), many per fdatasync. A torn last line from a
 * crash was never acknowledged: the next open moves it to dir/events.torn. When the file was moved away
 * (logrotate, audit_log_rotate()), the next record starts a new one. A failed fdatasync ends the process with a log line;
 * a full disk refuses records until there is room again.
 */
struct audit_log;
/* Opens the log and creates dir with mode 0750. Blocks. */
struct error *audit_log_open(struct loop *l, const char *dir, struct audit_log **ret) MUST_USE;
/*
 * Writes the record, which is owned from now on. done is called once from the loop: without an error when the
 * record is durable; with one (disk full), the caller must refuse the audited operation. done may be NULL.
 */
void audit_write(struct audit_log *log, struct audit_record *r, void (*done)(void *ctx, struct error *err), void *ctx);
/* The same for a line that audit_record_text() returned earlier; copied. audit_is_line() checks that `line` has this form. */
bool audit_is_line(struct str line);
void audit_append_text(struct audit_log *log, struct str line, void (*done)(void *ctx, struct error *err), void *ctx);
/*
 * The number of bytes that are not on the disk yet, LIMIT_AUDIT_WAITING at most. A line that exceeds it is
 * refused: done gets RESOURCE_EXHAUSTED; without done the line is counted, and the count logged. Callers that
 * can wait check this first.
 */
size_t audit_log_waiting(const struct audit_log *log);
/*
 * Renames events.log (audit_names.h) before a record when it would become larger than `size` bytes, or when its first event is `age` old, and
 * goes on with a new file. 0: not for this reason. A failure is logged once, and the records go on into the old file.
 * rotated(ctx) is called from the loop afterwards; it may be NULL. To be called before the first record.
 */
struct audit_rotation {
        int64_t size;
        struct duration age;
        void (*rotated)(void *ctx);
        void *ctx;
};
void audit_log_rotate(struct audit_log *log, struct audit_rotation rotation);
/* Finishes pending writes, then closes the log and calls closed. */
void audit_log_close(struct audit_log *log, void (*closed)(void *ctx), void *ctx);

/*
 * Adds to ret the uids of the events in the last LIMIT_AUDIT_TAIL bytes of events.log and of its uncompressed
 * rotated files (values are not NULL). At the start it shows which events of the outbox are in the log already;
 * these are durable then. Blocks.
 */
struct error *audit_log_uids(const struct audit_log *log, struct map *ret) MUST_USE;

#endif
