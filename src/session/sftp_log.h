/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser of the log of sftp-server(8) with `-e -l VERBOSE`: one line on its standard error for each request, converted
 * to audit events.
 *
 * File names come from the user, and OpenSSH writes them in quotes without escaping quotes and newlines. So a name may
 * imitate the rest of its line, or a whole line: the events are not proof against the session's account, but no
 * operation is unreported. A line with a valid beginning and an invalid end is reported with the part that was parsed.
 */
#ifndef SESSION_SFTP_LOG_H
#define SESSION_SFTP_LOG_H

#include "base/buf.h"
#include "base/str.h"

enum {
        SFTP_LINE_MAX = 8 * KiB, /* OpenSSH cuts lines at 1 KiB, before escaping */
        SFTP_PATH_MAX = 2 * KiB, /* in reports */
};

enum sftp_line_kind {
        SFTP_LINE_FOREIGN,   /* not a known log line: forwarded to the user */
        SFTP_LINE_NOTE,      /* a log line that is ignored */
        SFTP_LINE_OPERATION,
        SFTP_LINE_STATUS,    /* the last reported request has failed */
};

struct sftp_operation {
        const char *action;      /* "open", "rename" …: static; see ReportFile in api.proto */
        struct buf path, target; /* escaped for reading */
        struct buf flags;        /* "READ", "mode 0644" … */
        uint64_t bytes_read, bytes_written;
};

void sftp_operation_release(struct sftp_operation *op);

/* Reads one line without its end. *ret is filled (owned) for an operation, *ret_status (static) for a status. */
enum sftp_line_kind sftp_log_line(struct str line, struct sftp_operation *ret, const char **ret_status);

#endif
