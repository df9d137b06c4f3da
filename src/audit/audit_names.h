/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of the files of the audit log in its directory:
 *
 *      events.log                               is being written
 *      events.log-20260131-235959               renamed by the Auth Service at that time (UTC)
 *      events.log-20260131-235959-2             the second one of that second
 *      events.log-20260131-235959.gz            the same, compressed
 *      events.log.1, events.log-20260131.gz …   renamed by logrotate or by hand
 *      events.packing                           a compressed file that is being written
 */
#ifndef AUDIT_AUDIT_NAMES_H
#define AUDIT_AUDIT_NAMES_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"

#define AUDIT_LIVE_NAME "events.log"
#define AUDIT_PACKING_NAME "events.packing"

enum {
        AUDIT_NAME_MAX = 64,
        AUDIT_NAMES_PER_SECOND = 1000, /* files that can be renamed within one second */
};

/* A name that the Auth Service has made. */
struct audit_name {
        struct walltime at; /* when it was renamed, or of a later event in it, while the clock was behind */
        int number;         /* 1: the first of that second */
        bool is_packed;
};

/* False: the name was not made by audit_name_put(). */
bool audit_name_parse(struct str name, struct audit_name *ret);
void audit_name_put(struct buf *out, const struct audit_name *name);

/* Whether a file with this name belongs to the log, so that a search reads it: events.log, or renamed, compressed by gzip or not. */
bool audit_name_is_log(struct str name);
/* Whether the name ends as that of a compressed file, by any program. */
bool audit_name_is_packed(struct str name);

/*
 * The time at the start of a line as audit_begin() writes it, {"time":"2026-01-31T23:59:59.123Z", as text; these texts sort like the
 * times. Empty: not a line of the audit log.
 */
enum { AUDIT_TIME_LEN = 24 };
struct str audit_line_time(struct str line);

#endif
