/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties: a record with any content is one line of JSON within the limit, without control
 * characters, and the fields of every event have our values.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "audit/audit.h"
#include "base/bug.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each byte of a script is an operation; its value is a slice of the input. */
static void add_field(struct audit_record *r, uint8_t op, struct str value, unsigned *open)
{
        switch (op % 7) {
        case 0:
                audit_str(r, "text", value);
                break;
        case 1:
                audit_int(r, "number", (int64_t)value.len);
                break;
        case 2:
                audit_strs(r, "list", (struct str[]){ value, STR("x"), value }, 3);
                break;
        case 3:
                if (*open < 8) {
                        audit_open(r, "object");
                        ++*open;
                }
                break;
        case 4:
                if (*open > 0) {
                        audit_close(r);
                        --*open;
                }
                break;
        case 5:
                audit_text(r, "command", value);
                break;
        default:
                audit_bool(r, "flag", op > 128);
        }
}

static void check(bool holds, const char *what)
{
        if (!holds)
                bug("an audit line %s", what);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str input = str_of_bytes(data, size);
        struct audit_record r;
        unsigned open = 0;

        audit_begin(&r, &audit_instance_join, (struct walltime){ 0 }, str_slice(input, 0, 300));
        for (size_t i = 0; i < size && i < 200; i++)
                add_field(&r, data[i], str_slice(input, i, data[i] * 4u), &open);
        struct str text = audit_record_text(&r);
        check(text.len <= LIMIT_AUDIT_RECORD, "passes its limit");
        check(str_find_char(text, '\n') == text.len - 1, "does not end where it should");
        for (size_t i = 0; i + 1 < text.len; i++)
                check((uint8_t)text.ptr[i] >= 0x20 && text.ptr[i] != 0x7f, "has control characters");
        json_t *json = json_loadb(text.ptr, text.len, JSON_ALLOW_NUL, NULL);
        check(json != NULL, "is not JSON");
        check(strcmp(json_string_value(json_object_get(json, "uid")), r.uid) == 0, "has another uid");
        check(strcmp(json_string_value(json_object_get(json, "event")), "instance.join") == 0, "has another event");
        check(json_is_true(json_object_get(json, "success")), "lacks its outcome");
        json_decref(json);
        audit_record_release(&r);
        return 0;
}
