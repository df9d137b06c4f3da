/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/schema.h"

#include "base/bug.h"
#include "base/clock.h"
#include "base/text.h"
#include "common.pb-c.h"
#include "role.pb-c.h"
#include "schema/node.h"
#include "schema/schema_internal.h"

/* ---- functions for both languages ----------------------------------------------------------------- */

static bool has_value(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
        static const char zeros[8];
        const void *at = field_at(msg, field);

        if (field->label == PROTOBUF_C_LABEL_REPEATED)
                return *(const size_t *)field_quantifier(msg, field) > 0;
        if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
                return *(const uint32_t *)field_quantifier(msg, field) == field->id;
        if (field->type == PROTOBUF_C_TYPE_MESSAGE)
                return *(ProtobufCMessage *const *)at != NULL;
        if (field->type == PROTOBUF_C_TYPE_STRING) {
                const char *text = *(char *const *)at;

                if (field->label == PROTOBUF_C_LABEL_NONE)
                        return text != NULL && *text != '\0';
                return text != NULL && text != field->default_value;
        }
        if (field->label == PROTOBUF_C_LABEL_OPTIONAL)
                return *(const protobuf_c_boolean *)field_quantifier(msg, field);
        return memcmp(at, zeros, schema_value_size(field)) != 0;
}

static bool is_empty(const ProtobufCMessage *msg)
{
        for (unsigned i = 0; i < msg->descriptor->n_fields; i++)
                if (has_value(msg, &msg->descriptor->fields[i]))
                        return false;
        return true;
}

static bool is_of_form(const ProtobufCFieldDescriptor *field, enum schema_form form)
{
        return field->type == PROTOBUF_C_TYPE_MESSAGE && schema_form(field->descriptor) == form;
}

static struct str entry_key(const ProtobufCMessage *entry)
{
        return str_of(*(char *const *)field_at(entry, &entry->descriptor->fields[ENTRY_KEY]));
}

/* Writes all units; duration_put() rounds for readability. */
static void put_duration(struct buf *out, const Cteleport__V1__Duration *d)
{
        int64_t most = INT64_MAX / 1000000000;
        int64_t seconds = d->seconds < 0 ? 0 : d->seconds > most ? most : d->seconds;
        int32_t nanos = d->nanos < 0 || d->nanos > 999999999 ? 0 : d->nanos;

        if (seconds > 0 || nanos == 0)
                duration_put(out, SECONDS(seconds));
        if (nanos >= 1000000)
                buf_printf(out, "%dms", nanos / 1000000);
        if (nanos / 1000 % 1000 > 0)
                buf_printf(out, "%dus", nanos / 1000 % 1000);
        if (nanos % 1000 > 0)
                buf_printf(out, "%dns", nanos % 1000);
}

/* Writes numbers and booleans, which are the same in YAML and JSON. False: the value is text, written to `text`. */
static bool put_number(struct buf *out, const ProtobufCFieldDescriptor *field, const void *at, struct buf *text)
{
        switch (field->type) {
        case PROTOBUF_C_TYPE_BOOL:
                buf_put_c(out, *(const protobuf_c_boolean *)at ? "true" : "false");
                return true;
        case PROTOBUF_C_TYPE_INT32:
                buf_printf(out, "%d", *(const int32_t *)at);
                return true;
        case PROTOBUF_C_TYPE_UINT32:
                buf_printf(out, "%u", *(const uint32_t *)at);
                return true;
        case PROTOBUF_C_TYPE_INT64:
                buf_printf(out, "%lld", *(const long long *)at);
                return true;
        case PROTOBUF_C_TYPE_UINT64:
                buf_printf(out, "%llu", *(const unsigned long long *)at);
                return true;
        case PROTOBUF_C_TYPE_ENUM: {
                const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)at);

                buf_put_c(text, v == NULL ? "" : v->name);
                return false;
        }
        case PROTOBUF_C_TYPE_STRING:
                buf_put_c(text, *(char *const *)at == NULL ? "" : *(char *const *)at);
                return false;
        default:
                bug("field '%s' has a type that the schema does not write", field->name);
        }
}

/* Gets the text of a scalar field or special form that is a string; false: it is a number, already written to out. */
static bool take_text(struct buf *out, const ProtobufCFieldDescriptor *field, const void *at, struct buf *text)
{
        if (is_of_form(field, FORM_TIMESTAMP)) {
                const Cteleport__V1__Timestamp *t = *(Cteleport__V1__Timestamp *const *)at;

                timestamp_put(text, t->seconds, t->nanos);
                return true;
        }
        if (is_of_form(field, FORM_DURATION)) {
                put_duration(text, *(Cteleport__V1__Duration *const *)at);
                return true;
        }
        return !put_number(out, field, at, text);
}

/* ---- YAML ---------------------------------------------------------------------------------------- */

static void put_yaml_fields(struct buf *out, const ProtobufCMessage *msg, int indent, bool is_begun);

/* Written plain if no parser could take it for another type; otherwise in double quotes, escaped as in JSON. */
static void put_yaml_text(struct buf *out, struct str s)
{
        bool is_plain = s.len > 0 && (char_is_alpha(s.ptr[0]) || s.ptr[0] == '/') && !text_means_another_type(s) &&
                        s.ptr[s.len - 1] != ':';

        for (size_t i = 0; is_plain && i < s.len; i++)
                is_plain = char_is_alnum(s.ptr[i]) || (s.ptr[i] != '\0' && strchr("._-/:+=@*", s.ptr[i]) != NULL);
        if (is_plain)
                buf_put(out, s);
        else
                json_put_string(out, s);
}

static void put_indent(struct buf *out, int indent)
{
        buf_printf(out, "%*s", indent, "");
}

static void put_yaml_scalar(struct buf *out, const ProtobufCFieldDescriptor *field, const void *at)
{
        AUTO(buf) text = BUF_MAX(out->max);

        if (take_text(out, field, at, &text))
                put_yaml_text(out, buf_str(&text));
}

/* A single text is written after the key, several as a list below it. Both messages of FORM_STRINGS have this layout. */
static void put_yaml_strings(struct buf *out, const Cteleport__V1__Strings *s, int indent)
{
        bool is_single = s->n_values == 1 && !schema_is_always_list(s->base.descriptor);

        if (is_single) {
                buf_put_char(out, ' ');
                put_yaml_text(out, str_of(s->values[0]));
        } else if (s->n_values == 0) {
                buf_put_c(out, " []");
        }
        for (size_t i = 0; !is_single && i < s->n_values; i++) {
                buf_put_char(out, '\n');
                put_indent(out, indent);
                buf_put_c(out, "- ");
                put_yaml_text(out, str_of(s->values[i]));
        }
        buf_put_char(out, '\n');
}

/* Writes the value after a key and its colon, with the newline; not for lists and mappings. */
static void put_yaml_value(struct buf *out, const ProtobufCFieldDescriptor *field, const void *at, int indent)
{
        if (is_of_form(field, FORM_STRINGS)) {
                put_yaml_strings(out, *(Cteleport__V1__Strings *const *)at, indent);
                return;
        }
        if (is_of_form(field, FORM_MESSAGE)) {
                const ProtobufCMessage *below = *(ProtobufCMessage *const *)at;

                buf_put_char(out, is_empty(below) ? ' ' : '\n');
                put_yaml_fields(out, below, indent + 2, false);
                return;
        }
        buf_put_char(out, ' ');
        put_yaml_scalar(out, field, at);
        buf_put_char(out, '\n');
}

static void put_yaml_map(struct buf *out, const ProtobufCFieldDescriptor *field, ProtobufCMessage *const *entries,
                         size_t count, int indent)
{
        const ProtobufCMessageDescriptor *type = field->descriptor;

        buf_put_char(out, '\n');
        for (size_t i = 0; i < count; i++) {
                put_indent(out, indent + 2);
                put_yaml_text(out, entry_key(entries[i]));
                buf_put_char(out, ':');
                put_yaml_value(out, &type->fields[ENTRY_VALUE], field_at(entries[i], &type->fields[ENTRY_VALUE]), indent + 2);
        }
}

static void put_yaml_list(struct buf *out, const ProtobufCFieldDescriptor *field, const char *values, size_t count,
                          int indent)
{
        size_t size = schema_value_size(field);

        buf_put_char(out, '\n');
        for (size_t i = 0; i < count; i++) {
                put_indent(out, indent);
                buf_put_c(out, "- ");
                if (is_of_form(field, FORM_MESSAGE)) {
                        put_yaml_fields(out, *(ProtobufCMessage *const *)(const void *)(values + i * size), indent + 2,
                                        true);
                } else {
                        put_yaml_scalar(out, field, values + i * size);
                        buf_put_char(out, '\n');
                }
        }
}

static void put_yaml_field(struct buf *out, const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field,
                           int indent)
{
        const void *at = field_at(msg, field);

        buf_printf(out, "%s:", field->name);
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
                size_t count = *(const size_t *)field_quantifier(msg, field);

                if (is_of_form(field, FORM_ENTRY))
                        put_yaml_map(out, field, *(ProtobufCMessage **const *)at, count, indent);
                else
                        put_yaml_list(out, field, *(char *const *)at, count, indent);
        } else {
                put_yaml_value(out, field, at, indent);
        }
}

/* is_begun: the cursor is at the position of the first key. */
static void put_yaml_fields(struct buf *out, const ProtobufCMessage *msg, int indent, bool is_begun)
{
        if (is_empty(msg))
                buf_put_c(out, "{}\n");
        for (unsigned i = 0; i < msg->descriptor->n_fields; i++) {
                if (!has_value(msg, &msg->descriptor->fields[i]))
                        continue;
                if (!is_begun)
                        put_indent(out, indent);
                is_begun = false;
                put_yaml_field(out, msg, &msg->descriptor->fields[i], indent);
        }
}

void schema_put_yaml(struct buf *out, const ProtobufCMessage *msg)
{
        put_yaml_fields(out, msg, 0, false);
}

void schema_put_yaml_list(struct buf *out, const ProtobufCMessage *const *msgs, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                if (i > 0)
                        buf_put_c(out, "---\n");
                schema_put_yaml(out, msgs[i]);
        }
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

static void put_json_message(struct buf *out, const ProtobufCMessage *msg, int indent, int level);
static void put_json_repeated(struct buf *out, const ProtobufCFieldDescriptor *field, const char *values, size_t count,
                              int indent, int level);

static void put_json_break(struct buf *out, int indent, int level)
{
        if (indent > 0) {
                buf_put_char(out, '\n');
                put_indent(out, indent * level);
        }
}

static void put_json_strings(struct buf *out, const Cteleport__V1__Strings *s, int indent, int level)
{
        if (s->n_values == 1 && !schema_is_always_list(s->base.descriptor))
                json_put_string(out, str_of(s->values[0]));
        else
                put_json_repeated(out, &s->base.descriptor->fields[0], (const char *)s->values, s->n_values, indent, level);
}

static void put_json_value(struct buf *out, const ProtobufCFieldDescriptor *field, const void *at, int indent, int level)
{
        AUTO(buf) text = BUF_MAX(out->max);

        if (is_of_form(field, FORM_STRINGS))
                put_json_strings(out, *(Cteleport__V1__Strings *const *)at, indent, level);
        else if (is_of_form(field, FORM_MESSAGE))
                put_json_message(out, *(ProtobufCMessage *const *)at, indent, level);
        else if (take_text(out, field, at, &text))
                json_put_string(out, buf_str(&text));
}

static void put_json_key(struct buf *out, struct str key, int indent)
{
        json_put_string(out, key);
        buf_put_c(out, indent > 0 ? ": " : ":");
}

static void put_json_repeated(struct buf *out, const ProtobufCFieldDescriptor *field, const char *values, size_t count,
                              int indent, int level)
{
        bool is_map = is_of_form(field, FORM_ENTRY);
        size_t size = schema_value_size(field);

        buf_put_char(out, is_map ? '{' : '[');
        for (size_t i = 0; i < count; i++) {
                const void *at = values + i * size;

                if (i > 0)
                        buf_put_char(out, ',');
                put_json_break(out, indent, level + 1);
                if (is_map) {
                        const ProtobufCMessage *entry = *(ProtobufCMessage *const *)at;
                        const ProtobufCFieldDescriptor *value = &entry->descriptor->fields[ENTRY_VALUE];

                        put_json_key(out, entry_key(entry), indent);
                        put_json_value(out, value, field_at(entry, value), indent, level + 1);
                } else {
                        put_json_value(out, field, at, indent, level + 1);
                }
        }
        put_json_break(out, indent, level);
        buf_put_char(out, is_map ? '}' : ']');
}

static void put_json_message(struct buf *out, const ProtobufCMessage *msg, int indent, int level)
{
        bool is_first = true;

        buf_put_char(out, '{');
        for (unsigned i = 0; i < msg->descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[i];
                const void *at = field_at(msg, field);

                if (!has_value(msg, field))
                        continue;
                if (!is_first)
                        buf_put_char(out, ',');
                is_first = false;
                put_json_break(out, indent, level + 1);
                put_json_key(out, str_of(field->name), indent);
                if (field->label == PROTOBUF_C_LABEL_REPEATED)
                        put_json_repeated(out, field, *(char *const *)at,
                                          *(const size_t *)field_quantifier(msg, field), indent, level + 1);
                else
                        put_json_value(out, field, at, indent, level + 1);
        }
        if (!is_first)
                put_json_break(out, indent, level);
        buf_put_char(out, '}');
}

void schema_put_json(struct buf *out, const ProtobufCMessage *msg, int indent)
{
        put_json_message(out, msg, indent, 0);
}

void schema_put_json_list(struct buf *out, const ProtobufCMessage *const *msgs, size_t count, int indent)
{
        buf_put_char(out, '[');
        for (size_t i = 0; i < count; i++) {
                if (i > 0)
                        buf_put_char(out, ',');
                put_json_break(out, indent, 1);
                put_json_message(out, msgs[i], indent, 1);
        }
        if (count > 0)
                put_json_break(out, indent, 0);
        buf_put_char(out, ']');
}
