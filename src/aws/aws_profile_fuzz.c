/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property: a parsed file, serialized and parsed again, gives the same result; CRLF line
 * ends change nothing; and an error about a file stays within the limits.
 */
#include "aws/profile_file_internal.h"
#include "base/bug.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The value with its further lines indented, as continuation lines. */
static void put_value(struct buf *out, struct str value)
{
        for (size_t i = 0; i < value.len; i++) {
                buf_put_char(out, value.ptr[i]);
                if (value.ptr[i] == '\n')
                        buf_put_char(out, ' ');
        }
}

/* In the config file, characters with a special meaning are quoted. */
static void put_name(struct buf *out, struct str name, enum profile_file file)
{
        for (size_t i = 0; i < name.len; i++) {
                char c = name.ptr[i];
                bool is_special = file == PROFILE_FILE_CONFIG && (c == ' ' || c == ']' || c == '\'' || c == '"');

                if (is_special)
                        buf_printf(out, "%c%c%c", c == '"' ? '\'' : '"', c, c == '"' ? '\'' : '"');
                else
                        buf_put_char(out, c);
        }
}

static void put_set(struct buf *out, const struct profile_set *s, enum profile_file file)
{
        static const char *const prefixes[] = { "profile ", "sso-session ", "services " };

        for (size_t i = 0; i < s->count; i++) {
                const struct profile_section *p = s->sections[i];

                buf_printf(out, "[%s", file == PROFILE_FILE_CONFIG ? prefixes[p->kind] : "");
                put_name(out, str_of(p->name), file);
                buf_put_c(out, "]\n");
                for (size_t k = 0; k < p->count; k++) {
                        buf_printf(out, "%s=", p->properties[k].name);
                        put_value(out, buf_str(&p->properties[k].value));
                        buf_put_char(out, '\n');
                }
        }
}

static bool read_set(struct profile_set *s, enum profile_file file, struct str text)
{
        AUTO_PTR(error) err = profile_set_add(s, file, "file", text);

        return err == NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size == 0 || size > 64 * KiB)
                return 0;
        enum profile_file file = data[0] & 1 ? PROFILE_FILE_CREDENTIALS : PROFILE_FILE_CONFIG;
        struct str text = str_of_bytes(data + 1, size - 1);
        AUTO(profile_set) first = { 0 };
        AUTO(profile_set) second = { 0 };
        AUTO(profile_set) third = { 0 };
        AUTO(buf) once = BUF_MAX(LIMIT_AWS_FILE);
        AUTO(buf) twice = BUF_MAX(LIMIT_AWS_FILE);
        AUTO(buf) with_cr = BUF_MAX(LIMIT_AWS_FILE);

        if (!read_set(&first, file, text))
                return 0;
        put_set(&once, &first, file);
        if (!read_set(&second, file, buf_str(&once)))
                bug("a file of ours is not understood");
        put_set(&twice, &second, file);
        if (!str_equal(buf_str(&once), buf_str(&twice)))
                bug("a file is understood differently the second time");

        buf_clear(&twice);
        for (size_t i = 0; i < once.len; i++) {
                if (once.ptr[i] == '\n')
                        buf_put_char(&with_cr, '\r');
                buf_put_char(&with_cr, once.ptr[i]);
        }
        if (!read_set(&third, file, buf_str(&with_cr)))
                bug("CRLF is not understood");
        put_set(&twice, &third, file);
        if (!str_equal(buf_str(&once), buf_str(&twice)))
                bug("CRLF changes the meaning");
        return 0;
}
