/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_journal.h"

void journal_put_field(struct buf *entry, const char *name, struct str value)
{
        char length[8];

        for (size_t i = 0; i < sizeof(length); i++)
                length[i] = (char)((uint64_t)value.len >> (8 * i));
        buf_put_c(entry, name);
        buf_put_char(entry, '\n');
        buf_put(entry, str_of_bytes(length, sizeof(length)));
        buf_put(entry, value);
        buf_put_char(entry, '\n');
}

void journal_put_key(struct buf *entry, const char *key, struct str value)
{
        AUTO(buf) name = BUF_MAX(JOURNAL_NAME_MAX); /* what is longer is cut */

        buf_put_c(&name, "TELEPORT_");
        for (; *key != '\0'; key++)
                buf_put_char(&name, *key >= 'a' && *key <= 'z' ? (char)(*key - 'a' + 'A') : char_is_alnum(*key) ? *key : '_');
        journal_put_field(entry, buf_c(&name), value);
}
