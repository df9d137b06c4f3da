/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/app_status.h"

#include "base/text.h"

void app_status_put(struct buf *out, const char *refusal)
{
        struct str text = refusal == NULL ? STR("") : str_slice(str_of(refusal), 0, APP_REFUSAL_MAX);

        while (text.len > 0 && !text_is_utf8(text)) /* the cut was inside of a character */
                text.len--;
        if (refusal != NULL && text.len == 0)
                text = STR("refused");
        buf_put_u8(out, (uint8_t)text.len);
        buf_put(out, text);
}

void app_status_parse(struct str bytes, size_t *ret_used, struct str *ret_refusal)
{
        size_t len = bytes.len == 0 ? 0 : (unsigned char)bytes.ptr[0];

        *ret_used = 0;
        *ret_refusal = (struct str){ NULL, 0 };
        if (bytes.len < 1 + len)
                return;
        *ret_used = 1 + len;
        if (len > 0)
                *ret_refusal = str_slice(bytes, 1, len);
}
