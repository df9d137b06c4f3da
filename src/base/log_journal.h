/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of systemd's journal in its native protocol: one datagram of fields, each "NAME\n", the length of the value as 64 bits
 * little-endian, the value, "\n". (The other form, "NAME=value\n", is not used: a value with a line feed would add fields.)
 */
#ifndef BASE_LOG_JOURNAL_H
#define BASE_LOG_JOURNAL_H

#include "base/buf.h"

enum {
        JOURNAL_ENTRY_MAX = 32 * KiB, /* an entry that is longer is not sent; a datagram may have 200 KiB */
        JOURNAL_NAME_MAX = 64,        /* of journald; a longer name, or another character than A-Z, 0-9 and _, drops the field */
};

/* Appends a field; name is a literal. */
void journal_put_field(struct buf *entry, const char *name, struct str value);

/* Appends the field of a key of a log line: "token_name" is TELEPORT_TOKEN_NAME. The key is shortened, other characters become _. */
void journal_put_key(struct buf *entry, const char *key, struct str value);

#endif
