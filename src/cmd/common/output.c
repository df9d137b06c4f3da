/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/common/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "schema/schema.h"

const char *const output_formats[] = { "text", "json", "yaml", NULL };

static bool is_format(const struct flags *given, const char *format)
{
        const char *requested = flags_text(given, "format");

        return requested != NULL && strcmp(requested, format) == 0;
}

bool output_is_text(const struct flags *given)
{
        return is_format(given, "text");
}

void output_put_list(struct buf *out, const struct flags *given, ProtobufCMessage *const *msgs, size_t count)
{
        const ProtobufCMessage *const *borrowed = (const ProtobufCMessage *const *)msgs;

        if (is_format(given, "json")) {
                schema_put_json_list(out, borrowed, count, SCHEMA_JSON_INDENT);
                buf_put_char(out, '\n');
        } else {
                schema_put_yaml_list(out, borrowed, count);
        }
}

void output_put_one(struct buf *out, const struct flags *given, const ProtobufCMessage *msg)
{
        if (is_format(given, "json")) {
                schema_put_json(out, msg, SCHEMA_JSON_INDENT);
                buf_put_char(out, '\n');
        } else {
                schema_put_yaml(out, msg);
        }
}

struct error *output_flush(struct buf *out)
{
        TRY(buf_finish(out, "the output"));
        if ((out->len != 0 && fwrite(out->ptr, 1, out->len, stdout) != out->len) || fflush(stdout) != 0)
                return error_errno(errno, "cannot write the output");
        return NULL;
}

static int compare_labels(const void *a, const void *b)
{
        const Cteleport__V1__Metadata__LabelsEntry *const *x = a, *const *y = b;

        return strcmp((*x)->key, (*y)->key);
}

void output_put_labels(struct buf *out, const Cteleport__V1__Metadata *metadata, bool is_verbose)
{
        size_t count = metadata == NULL ? 0 : metadata->n_labels;
        AUTO_MEM Cteleport__V1__Metadata__LabelsEntry **sorted = mem_array(count, sizeof *sorted);
        bool is_first = true;

        if (count == 0)
                return;
        memcpy(sorted, metadata->labels, count * sizeof *sorted);
        qsort(sorted, count, sizeof *sorted, compare_labels);
        for (size_t i = 0; i < count; i++) {
                if (!is_verbose && str_starts_with(str_of(sorted[i]->key), STR("teleport.dev/")))
                        continue;
                buf_printf(out, "%s%s=%s", is_first ? "" : ",", sorted[i]->key, sorted[i]->value);
                is_first = false;
        }
}

void output_put_words(struct buf *out, char *const *words, size_t count, const char *separator)
{
        for (size_t i = 0; i < count; i++)
                buf_printf(out, "%s%s", i == 0 ? "" : separator, words[i]);
}

void output_put_time(struct buf *out, const Cteleport__V1__Timestamp *t)
{
        if (t == NULL)
                buf_put_c(out, "never");
        else
                timestamp_put(out, t->seconds, 0);
}
