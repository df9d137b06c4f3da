/* SPDX-License-Identifier: Apache-2.0 */
#include "session/refusal.h"

#include "base/reader.h"

/* draft-ietf-secsh-filexfer-02, section 3 and 7 */
enum { FXP_INIT = 1, FXP_VERSION = 2, FXP_LSTAT = 7, FXP_STAT = 17, FXP_STATUS = 101, FXP_ATTRS = 105 };
enum { FX_PERMISSION_DENIED = 3, ATTR_PERMISSIONS = 4, MODE_FILE = 0100000, MODE_DIRECTORY = 0040000 };
enum { VERSION = 3, REQUEST_MAX = 256 * 1024 }; /* the limit of OpenSSH's server */

static void put_version(struct buf *out)
{
        buf_put_u32(out, 5);
        buf_put_u8(out, FXP_VERSION);
        buf_put_u32(out, VERSION);
}

static void put_attributes(struct buf *out, uint32_t id, uint32_t mode)
{
        buf_put_u32(out, 13);
        buf_put_u8(out, FXP_ATTRS);
        buf_put_u32(out, id);
        buf_put_u32(out, ATTR_PERMISSIONS);
        buf_put_u32(out, mode);
}

static void put_status(struct buf *out, uint32_t id, struct str sentence)
{
        buf_put_u32(out, (uint32_t)(17 + sentence.len));
        buf_put_u8(out, FXP_STATUS);
        buf_put_u32(out, id);
        buf_put_u32(out, FX_PERMISSION_DENIED);
        buf_put_ssh_string(out, sentence);
        buf_put_ssh_string(out, STR("")); /* the language */
}

/* The header is complete: answers its request, and drops the rest of it. */
static struct error *take_head(struct sftp_refusal *r, struct buf *answer)
{
        struct reader head = reader_over(str_of_bytes(r->head, r->head_len));
        uint32_t len = reader_u32(&head), type = reader_u8(&head), id = reader_u32(&head);

        TRY(reader_finish(&head, "the head of a request"));
        if (len < SFTP_REFUSAL_HEAD - sizeof len || len > REQUEST_MAX || (type == FXP_INIT) == r->has_begun)
                return error_new(ERROR_INVALID_ARGUMENT, "the client does not speak SFTP");
        r->left = len - (SFTP_REFUSAL_HEAD - (uint32_t)sizeof len);
        r->head_len = 0;
        r->has_begun = true;
        r->is_reading |= type == FXP_LSTAT;
        if (type == FXP_INIT)
                put_version(answer);
        else if (type == FXP_LSTAT || type == FXP_STAT)
                put_attributes(answer, id, r->is_reading ? MODE_FILE : MODE_DIRECTORY);
        else
                put_status(answer, id, r->sentence);
        return buf_finish(answer, "the answer");
}

struct error *sftp_refusal_feed(struct sftp_refusal *r, struct str bytes, size_t *ret_len, struct buf *answer)
{
        size_t dropped = bytes.len < r->left ? bytes.len : r->left, at = dropped;

        r->left -= (uint32_t)dropped;
        while (r->left == 0 && at < bytes.len && r->head_len < sizeof r->head)
                r->head[r->head_len++] = (uint8_t)bytes.ptr[at++];
        *ret_len = at;
        return r->head_len < sizeof r->head ? NULL : take_head(r, answer);
}
