/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sftp-server(8) tells on its standard error with `-e -l VERBOSE`, a line for each request, taken apart for the audit.
 *
 * File names come from the user and OpenSSH writes them between quotes that it does not escape, nor newlines. So a name
 * may look like the rest of its line, or like a line: nothing here is proof against the account of the session, but no
 * operation goes unreported. A line that begins like one and does not end like one is reported with the part that was read.
 */
#ifndef SESSION_SFTP_LOG_H
#define SESSION_SFTP_LOG_H

#include "base/buf.h"
#include "base/str.h"

enum {
        SFTP_LINE_MAX = 8 * KiB, /* OpenSSH cuts its own at 1 KiB, before it escapes them */
        SFTP_PATH_MAX = 2 * KiB, /* as it is reported */
};

enum sftp_line_kind {
        SFTP_LINE_FOREIGN,   /* not a line of the log that we know: for the user */
        SFTP_LINE_NOTE,      /* of the log, and of no interest */
        SFTP_LINE_OPERATION,
        SFTP_LINE_STATUS,    /* the request reported last has failed */
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
