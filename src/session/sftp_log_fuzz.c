/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks that for any line of sftp-server a report is text within its limits, without control characters, and that each
 * line that begins like an operation is reported.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "base/text.h"
#include "session/sftp_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void insist(bool holds, const char *what)
{
        if (!holds)
                bug("a file operation %s", what);
}

static void check_text(const struct buf *b)
{
        struct str s = buf_str(b);

        insist(!b->overflowed && s.len <= SFTP_PATH_MAX + 16, "passes its limit");
        insist(text_is_utf8(s), "is not text");
        for (size_t i = 0; i < s.len; i++)
                insist((uint8_t)s.ptr[i] >= 0x20 && s.ptr[i] != 0x7f, "has control characters");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str rest = str_slice(str_of_bytes(data, size), 0, SFTP_LINE_MAX);

        while (rest.len > 0) {
                struct str line = str_split(&rest, '\n');
                struct sftp_operation op;
                const char *status = NULL;
                enum sftp_line_kind kind = sftp_log_line(line, &op, &status);

                insist(kind == SFTP_LINE_OPERATION || !str_starts_with(line, STR("remove name \"")), "goes unreported");
                insist((kind == SFTP_LINE_STATUS) == (status != NULL), "has no status");
                if (kind != SFTP_LINE_OPERATION)
                        continue;
                check_text(&op.path);
                check_text(&op.target);
                check_text(&op.flags);
                sftp_operation_release(&op);
        }
        return 0;
}
