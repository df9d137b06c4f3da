/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/schema.h"

#include "base/bug.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "common.pb-c.h"
#include "role.pb-c.h"
#include "schema/node.h"
#include "schema/schema_internal.h"

/* The current position, for messages: "spec.allow[2].aws_account". */
struct path {
        const struct path *up;
        const char *name; /* NULL: an element of a list */
        size_t index;     /* from 1 */
};

struct loader {
        struct arena *arena;
        const char *file;
        const ProtobufCMessageDescriptor *root;
        bool takes_any_text; /* a number or boolean is accepted as text, as Teleport reads teleport.yaml */
        struct error **mistakes; /* chain of the mistakes found: all mistakes of a file are reported in one run */
        struct buf *ignored; /* paths of ignored keys, separated by ", " */
};

static struct error *load_message(const struct loader *l, const struct path *path, const struct node *n,
                                  const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret);

/* ---- errors -------------------------------------------------------------------------------------- */

static void put_path(struct buf *out, const struct path *path)
{
        if (path == NULL)
                return;
        put_path(out, path->up);
        if (path->name == NULL)
                buf_printf(out, "[%zu]", path->index);
        else
                buf_printf(out, "%s%s", path->up == NULL ? "" : ".", path->name);
}

/* "FILE:LINE:COLUMN: PATH must be WANTED". */
static struct error *wrong_value(const struct loader *l, const struct path *path, const struct node *n,
                                 const char *wanted)
{
        AUTO(buf) where = BUF_MAX(4 * KiB);
        AUTO_MEM char *shown = escaped(n->text);

        put_path(&where, path);
        const char *name = path == NULL ? "the document" : buf_c(&where);
        if (n->kind == NODE_SCALAR && n->text.len > 0)
                return node_error(l->file, n, "%s must be %s, not '%s'", name, wanted, shown);
        return node_error(l->file, n, "%s must be %s%s", name, wanted,
                          n->kind == NODE_LIST      ? ", not a list"
                          : n->kind == NODE_MAPPING ? ", not a mapping"
                                                    : "");
}

/* The path of a message below `type` that has the key, such as "teleport.log"; false when there is none. */
static bool put_home_of(struct buf *out, const ProtobufCMessageDescriptor *type, struct str key, unsigned depth)
{
        enum { DEPTH_MAX = 4 }; /* the search goes no deeper */

        for (unsigned i = 0; depth < DEPTH_MAX && i < type->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &type->fields[i];

                if (field->type != PROTOBUF_C_TYPE_MESSAGE || schema_form(field->descriptor) != FORM_MESSAGE)
                        continue;
                const ProtobufCMessageDescriptor *below = field->descriptor;
                size_t before = out->len;
                buf_printf(out, "%s%s", before > 0 ? "." : "", field->name);
                for (unsigned j = 0; j < below->n_fields; j++)
                        if (str_equal(key, str_of(below->fields[j].name)))
                                return true;
                if (put_home_of(out, below, key, depth + 1))
                        return true;
                out->len = before;
        }
        return false;
}

/* Stores an error of the input, perhaps a chain, and returns NULL so that parsing continues; returns any other error. */
static struct error *note_mistake(const struct loader *l, struct error *err)
{
        if (err != NULL && err->code != ERROR_INVALID_ARGUMENT)
                return err;
        *l->mistakes = error_also(*l->mistakes, err);
        return NULL;
}

/* The stored mistakes as one error; NULL if there are none. */
static struct error *take_mistakes(const struct loader *l)
{
        struct error *mistakes = *l->mistakes;

        *l->mistakes = NULL;
        return error_join(mistakes, l->file);
}

static void note_ignored(const struct loader *l, const struct path *path, struct str key)
{
        AUTO(buf) where = BUF_MAX(4 * KiB);
        AUTO_MEM char *shown = escaped(key);

        if (l->ignored == NULL)
                return;
        put_path(&where, path);
        buf_printf(l->ignored, "%s%s%s%s", l->ignored->len > 0 ? ", " : "", buf_c(&where), path == NULL ? "" : ".", shown);
}

static const char *nearest_key(const ProtobufCMessageDescriptor *type, struct str key)
{
        size_t typos = key.len / 3 + 1;
        struct nearest nearest = nearest_to(key, typos < 3 ? typos : 2); /* a word with more typos is another key */

        for (unsigned i = 0; i < type->n_fields; i++)
                nearest_offer(&nearest, type->fields[i].name);
        return nearest.word;
}

/* "token_name and method". */
static void put_keys_of(struct buf *out, const ProtobufCMessageDescriptor *type)
{
        for (unsigned i = 0; i < type->n_fields; i++)
                buf_printf(out, "%s%s", i == 0 ? "" : i + 1 < type->n_fields ? ", " : " and ", type->fields[i].name);
}

static struct error *unknown_key(const struct loader *l, const struct path *path, const struct node_item *item,
                                 const ProtobufCMessageDescriptor *type)
{
        AUTO(buf) where = BUF_MAX(4 * KiB);
        AUTO(buf) home = BUF_MAX(4 * KiB);
        AUTO(buf) keys = BUF_MAX(4 * KiB);
        const struct node *key = item->key;
        AUTO_MEM char *shown = escaped(key->text);
        const char *nearest = nearest_key(type, key->text);

        put_path(&where, path);
        if (key_is_foreign(type, key->text))
                return foreign_key_hint(node_error(l->file, key,
                                                   "'%s%s%s' is a key of Teleport that this release does not have, and its "
                                                   "value would change something",
                                                   buf_c(&where), path == NULL ? "" : ".", shown),
                                        type, key->text, item->value);
        struct error *err = path == NULL ? node_error(l->file, key, "unknown key '%s' at the top level", shown)
                                         : node_error(l->file, key, "unknown key '%s' in %s", shown, buf_c(&where));
        if (put_home_of(&home, l->root, key->text, 0))
                return error_hint(err, "'%s' belongs in %s; check the indentation", shown, buf_c(&home));
        if (nearest != NULL)
                return error_hint(err, "did you mean '%s'", nearest);
        if (path == NULL)
                return err;
        put_keys_of(&keys, type);
        return error_hint(err, "the keys here are %s", buf_c(&keys));
}

/* ---- scalars ------------------------------------------------------------------------------------- */

static struct error *out_of_memory(const struct loader *l, const struct node *n)
{
        return error_wrap(error_new(ERROR_RESOURCE_EXHAUSTED, "the document needs too much memory"), "%s:%d:%d",
                          l->file, n->line, n->column);
}

static struct error *load_string(const struct loader *l, const struct path *path, const struct node *n, char **ret)
{
        if (n->is_plain && !l->takes_any_text && text_means_another_type(n->text))
                return error_hint(wrong_value(l, path, n, "text"), "put it in quotes to make it a text");
        if (str_find_char(n->text, '\0') < n->text.len)
                return wrong_value(l, path, n, "text without NUL characters");
        const char *copy = str_to_c(l->arena, n->text);
        if (copy == NULL)
                return out_of_memory(l, n);
        *ret = unconst(copy);
        return NULL;
}

static struct error *load_int(const struct loader *l, const struct path *path, const struct node *n, int64_t min,
                              int64_t max, int64_t *ret)
{
        struct error *err = parse_int(n->text, min, max, "it", ret);

        if (err == NULL && n->is_plain)
                return NULL;
        error_free(err);
        return wrong_value(l, path, n, "a whole number in range");
}

static struct error *load_enum(const struct loader *l, const struct path *path, const struct node *n,
                               const ProtobufCEnumDescriptor *type, int32_t *ret)
{
        for (unsigned i = 0; i < type->n_values; i++)
                if (str_equal_nocase(n->text, str_of(type->values[i].name))) {
                        *ret = type->values[i].value;
                        return NULL;
                }
        return wrong_value(l, path, n, "one of the names the reference lists");
}

static struct error *load_timestamp(const struct loader *l, const struct path *path, const struct node *n,
                                    Cteleport__V1__Timestamp *ret)
{
        AUTO_PTR(error) err = timestamp_parse(n->text, &ret->seconds, &ret->nanos);

        return err == NULL ? NULL : wrong_value(l, path, n, "a date and time like 2026-01-31T23:59:59Z");
}

static struct error *load_duration(const struct loader *l, const struct path *path, const struct node *n,
                                   Cteleport__V1__Duration *ret)
{
        bool is_idle = path != NULL && path->name != NULL && strcmp(path->name, "client_idle_timeout") == 0;
        struct duration d = { 0 };
        AUTO_PTR(error) err = is_idle && str_equal(n->text, STR("never")) ? NULL : duration_parse(n->text, &d);

        if (err != NULL)
                return wrong_value(l, path, n, "a duration like 1h30m, 10s or 500ms");
        ret->seconds = d.ns / 1000000000;
        ret->nanos = (int32_t)(d.ns % 1000000000);
        return NULL;
}

/* ---- fields -------------------------------------------------------------------------------------- */

static struct error *load_value(const struct loader *l, const struct path *path, const struct node *n,
                                const ProtobufCFieldDescriptor *field, void *at)
{
        int64_t number = 0;
        bool truth = false;

        if (field->type == PROTOBUF_C_TYPE_MESSAGE)
                return load_message(l, path, n, field->descriptor, at);
        if (n->kind != NODE_SCALAR)
                return wrong_value(l, path, n, "a single value");
        switch (field->type) {
        case PROTOBUF_C_TYPE_STRING:
                return load_string(l, path, n, at);
        case PROTOBUF_C_TYPE_BOOL:
                if (!text_as_bool(n->text, &truth))
                        return wrong_value(l, path, n, "yes or no");
                *(protobuf_c_boolean *)at = truth;
                return NULL;
        case PROTOBUF_C_TYPE_INT32:
                TRY(load_int(l, path, n, INT32_MIN, INT32_MAX, &number));
                *(int32_t *)at = (int32_t)number;
                return NULL;
        case PROTOBUF_C_TYPE_UINT32:
                TRY(load_int(l, path, n, 0, UINT32_MAX, &number));
                *(uint32_t *)at = (uint32_t)number;
                return NULL;
        case PROTOBUF_C_TYPE_INT64:
                return load_int(l, path, n, INT64_MIN, INT64_MAX, at);
        case PROTOBUF_C_TYPE_UINT64:
                TRY(load_int(l, path, n, 0, INT64_MAX, &number));
                *(uint64_t *)at = (uint64_t)number;
                return NULL;
        case PROTOBUF_C_TYPE_ENUM:
                return load_enum(l, path, n, field->descriptor, at);
        default:
                bug("field '%s' has a type that the schema does not read", field->name);
        }
}

static struct error *new_message(const struct loader *l, const struct node *n, const ProtobufCMessageDescriptor *type,
                                 ProtobufCMessage **ret)
{
        ProtobufCMessage *msg = arena_try_alloc(l->arena, type->sizeof_message);

        if (msg == NULL)
                return out_of_memory(l, n);
        protobuf_c_message_init(type, msg);
        *ret = msg;
        return NULL;
}

/*
 * Loads one pair of a mapping as an entry message. An empty value is an empty text. Keys and
 * values are loaded as written: in labels, `n: 12` means the texts "n" and "12".
 */
static struct error *load_entry(const struct loader *strict, const struct path *path, const struct node_item *item,
                                const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret)
{
        ProtobufCMessage *entry = NULL;
        struct loader any = *strict;
        const struct loader *l = &any;

        any.takes_any_text = true;
        TRY(new_message(l, item->key, type, &entry));
        TRY(load_value(l, path, item->key, &type->fields[ENTRY_KEY], field_at(entry, &type->fields[ENTRY_KEY])));
        AUTO_MEM char *shown = escaped(item->key->text);
        struct path below = { path, shown, 0 };
        struct node empty = { .line = item->key->line, .column = item->key->column };
        bool is_text = type->fields[ENTRY_VALUE].type != PROTOBUF_C_TYPE_MESSAGE;
        TRY(load_value(l, &below, is_text && node_is_null(item->value) ? &empty : item->value, &type->fields[ENTRY_VALUE],
                       field_at(entry, &type->fields[ENTRY_VALUE])));
        *ret = entry;
        return NULL;
}

static struct error *load_elements(const struct loader *l, const struct path *path, const struct node *n,
                                   const ProtobufCFieldDescriptor *field, char *at)
{
        bool is_map = field->type == PROTOBUF_C_TYPE_MESSAGE && schema_form(field->descriptor) == FORM_ENTRY;
        size_t size = schema_value_size(field), index = 0;

        for (const struct node_item *item = n->items; item != NULL; item = item->next, index++) {
                struct path below = { path, NULL, index + 1 };

                if (is_map)
                        TRY(note_mistake(l, load_entry(l, path, item, field->descriptor, (void *)(at + index * size))));
                else if (node_is_null(item->value) && field->type != PROTOBUF_C_TYPE_MESSAGE)
                        TRY(note_mistake(l, wrong_value(l, &below, item->value, "given")));
                else
                        TRY(note_mistake(l, load_value(l, &below, item->value, field, at + index * size)));
        }
        return NULL;
}

static struct error *load_repeated(const struct loader *l, const struct path *path, const struct node *n,
                                   const ProtobufCFieldDescriptor *field, ProtobufCMessage *msg)
{
        bool is_map = field->type == PROTOBUF_C_TYPE_MESSAGE && schema_form(field->descriptor) == FORM_ENTRY;
        struct node_item only = { NULL, (struct node *)(uintptr_t)n, NULL };
        struct node list_of_one = { .kind = NODE_LIST, .line = n->line, .column = n->column, .items = &only };
        size_t count = 0;

        if (node_is_null(n))
                return NULL;
        if (is_map && n->kind != NODE_MAPPING)
                return wrong_value(l, path, n, "a mapping of keys to values");
        if (!is_map && n->kind == NODE_SCALAR && field->type != PROTOBUF_C_TYPE_MESSAGE)
                n = &list_of_one;
        if (!is_map && n->kind != NODE_LIST)
                return wrong_value(l, path, n, "a list");
        for (const struct node_item *item = n->items; item != NULL; item = item->next)
                count++;
        if (count == 0)
                return NULL;
        char *values = arena_try_alloc(l->arena, count * schema_value_size(field));
        if (values == NULL)
                return out_of_memory(l, n);
        TRY(load_elements(l, path, n, field, values));
        *(void **)field_at(msg, field) = values;
        *(size_t *)field_quantifier(msg, field) = count;
        return NULL;
}

/* Whether the field is the only member of its oneof, which then only marks the field as present. */
static bool is_only_member(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field)
{
        for (unsigned i = 0; i < type->n_fields; i++)
                if (&type->fields[i] != field && (type->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
                    type->fields[i].quantifier_offset == field->quantifier_offset)
                        return false;
        return true;
}

/*
 * Fields in which an empty value differs from a missing key: a rule with an empty ARN would admit every identity, and a
 * token with an empty expiry would never expire. field NULL: all fields of the message.
 */
static bool must_have_value(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field)
{
        static const struct {
                const char *message, *field;
        } rows[] = {
                { "cteleport.v1.TokenRule", NULL },
                { "cteleport.v1.LockTarget", NULL },
                { "cteleport.v1.RoleRule", "where" },
                { "cteleport.v1.Metadata", "expires" },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (strcmp(type->name, rows[i].message) == 0 && (rows[i].field == NULL || strcmp(field->name, rows[i].field) == 0))
                        return true;
        return false;
}

/* Whether the value is null, an empty text, blanks or an empty list. */
static bool has_no_value(const struct node *n)
{
        return n->kind == NODE_SCALAR ? node_is_null(n) || str_trim(n->text).len == 0 : n->items == NULL;
}

static struct error *load_field(const struct loader *l, const struct path *path, const struct node *n,
                                const ProtobufCFieldDescriptor *field, ProtobufCMessage *msg)
{
        bool is_section = field->type == PROTOBUF_C_TYPE_MESSAGE && schema_form(field->descriptor) == FORM_MESSAGE;

        bool is_oneof = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;

        if (is_oneof && !is_only_member(msg->descriptor, field))
                bug("field '%s' is a choice, which the schema does not read", field->name);
        if (must_have_value(msg->descriptor, field) && has_no_value(n)) {
                AUTO(buf) where = BUF_MAX(4 * KiB);

                put_path(&where, path);
                return error_hint(node_error(l->file, n, "%s has no value", buf_c(&where)), "give it a value, or leave the key out");
        }
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
                return load_repeated(l, path, n, field, msg);
        if (node_is_null(n) && !is_section)
                return NULL;
        TRY(load_value(l, path, n, field, field_at(msg, field)));
        if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type != PROTOBUF_C_TYPE_MESSAGE &&
            field->type != PROTOBUF_C_TYPE_STRING)
                *(protobuf_c_boolean *)field_quantifier(msg, field) = true;
        if (is_oneof)
                *(uint32_t *)field_quantifier(msg, field) = field->id;
        return NULL;
}

static struct error *load_fields(const struct loader *l, const struct path *path, const struct node *n,
                                 ProtobufCMessage *msg)
{
        const ProtobufCMessageDescriptor *type = msg->descriptor;
        bool is_off = node_is_off(n);

        for (const struct node_item *item = n->items; item != NULL; item = item->next) {
                const ProtobufCFieldDescriptor *field = NULL;

                for (unsigned i = 0; i < type->n_fields && field == NULL; i++)
                        if (str_equal(item->key->text, str_of(type->fields[i].name)))
                                field = &type->fields[i];
                if (field == NULL && (key_is_foreign(type, item->key->text) &&
                                      (is_off || foreign_key_has_no_effect(type, item->key->text, item->value)))) {
                        note_ignored(l, path, item->key->text);
                        continue;
                }
                if (field == NULL) {
                        TRY(note_mistake(l, unknown_key(l, path, item, type)));
                        continue;
                }
                struct path below = { path, field->name, 0 };
                TRY(note_mistake(l, load_field(l, &below, item->value, field, msg)));
        }
        return NULL;
}

static struct error *load_message(const struct loader *l, const struct path *path, const struct node *n,
                                  const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret)
{
        enum schema_form form = schema_form(type);
        ProtobufCMessage *msg = NULL;

        TRY(new_message(l, n, type, &msg));
        *ret = msg;
        if (form == FORM_STRINGS && n->kind == NODE_MAPPING)
                return wrong_value(l, path, n, "text or a list of texts");
        if (form == FORM_STRINGS)
                return load_repeated(l, path, n, &type->fields[0], msg);
        if (form != FORM_MESSAGE && n->kind != NODE_SCALAR)
                return wrong_value(l, path, n, "a single value");
        if (form == FORM_TIMESTAMP)
                return load_timestamp(l, path, n, (Cteleport__V1__Timestamp *)msg);
        if (form == FORM_DURATION)
                return load_duration(l, path, n, (Cteleport__V1__Duration *)msg);
        if (node_is_null(n))
                return NULL;
        if (n->kind == NODE_SCALAR && type == &cteleport__v1__user_name__descriptor) /* the form that earlier releases printed */
                return load_field(l, path, n, &type->fields[0], msg);
        if (n->kind != NODE_MAPPING)
                return wrong_value(l, path, n, "a mapping of keys to values");
        return load_fields(l, path, n, msg);
}

/* ---- documents ----------------------------------------------------------------------------------- */

/* Moves the list of ignored keys to the caller. */
static void put_notes(const struct loader *l, struct schema_notes *notes)
{
        if (notes != NULL)
                notes->ignored = arena_str(l->arena, buf_str(l->ignored)).ptr;
}

struct error *schema_load_yaml(struct arena *a, const char *file, struct str text,
                               const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret)
{
        return schema_load_yaml_noting(a, file, text, type, NULL, ret);
}

struct error *schema_load_yaml_noting(struct arena *a, const char *file, struct str text,
                                      const ProtobufCMessageDescriptor *type, struct schema_notes *notes,
                                      ProtobufCMessage **ret)
{
        AUTO_PTR(arena) nodes = arena_new(NODE_ARENA_CAP);
        AUTO_PTR(error) mistakes = NULL;
        AUTO(buf) ignored = BUF_MAX(LIMIT_YAML_FILE);
        struct loader l = { a, file, type, schema_takes_any_text(type), &mistakes, &ignored };
        struct node nothing = { .line = 1, .column = 1, .is_plain = true };
        struct node_item *documents = NULL;
        struct error *repeated = NULL;
        const struct node *only = NULL;
        ProtobufCMessage *msg = NULL;

        TRY(node_parse_noting(nodes, file, text, &documents, &repeated));
        TRY(note_mistake(&l, repeated));
        for (const struct node_item *d = documents; d != NULL; d = d->next) {
                if (node_is_null(d->value)) /* the file ends with a line `---` */
                        continue;
                if (only != NULL)
                        return node_error(file, d->value, "a second document begins here, but one is expected");
                only = d->value;
        }
        TRY(load_message(&l, NULL, only == NULL ? &nothing : only, type, &msg));
        TRY(take_mistakes(&l));
        put_notes(&l, notes);
        *ret = msg;
        return NULL;
}

struct loaded {
        ProtobufCMessage *msg;
        const struct node *node;
        struct loaded *next;
};

static const ProtobufCMessageDescriptor *type_of_kind(const struct schema_kind *kinds, struct str name)
{
        for (; kinds->name != NULL; kinds++)
                if (str_equal(name, str_of(kinds->name)))
                        return kinds->type;
        return NULL;
}

static struct error *unknown_kind(const struct loader *l, const struct node *kind, const struct schema_kind *kinds)
{
        struct nearest nearest = nearest_to(kind->text, 2);
        AUTO_MEM char *shown = escaped(kind->text);
        struct error *err = node_error(l->file, kind, "creating resources of type \"%s\" is not supported", shown);
        AUTO(buf) list = BUF_MAX(4 * KiB);

        for (; kinds->name != NULL; kinds++) {
                if (kinds->type == NULL && str_equal(kind->text, str_of(kinds->name)))
                        return error_hint(err, "%s", kinds->refusal);
                if (kinds->type == NULL)
                        continue;
                bool is_last = kinds[1].name == NULL || kinds[1].type == NULL;
                buf_printf(&list, "%s%s", list.len == 0 ? "" : is_last ? " and " : ", ", kinds->name);
                nearest_offer(&nearest, kinds->name);
        }
        if (nearest.word != NULL)
                return error_hint(err, "did you mean '%s'", nearest.word);
        return error_hint(err, "the types are %s", buf_c(&list));
}

static struct error *load_resource(struct loader *l, const struct node *n, const struct schema_kind *kinds,
                                   ProtobufCMessage **ret)
{
        if (n->kind != NODE_MAPPING)
                return wrong_value(l, NULL, n, "a resource: a mapping with kind, version, metadata and spec");
        const struct node *kind = node_member(n, STR("kind"));
        if (kind == NULL || kind->kind != NODE_SCALAR || kind->text.len == 0)
                return error_hint(node_error(l->file, n, "the resource has no kind"),
                                  "begin it with a line like: kind: token");
        l->root = type_of_kind(kinds, kind->text);
        if (l->root == NULL)
                return unknown_kind(l, kind, kinds);
        return load_message(l, NULL, n, l->root, ret);
}

/* Loads a document. A list is loaded element by element: `tctl get --format=json` prints one. */
static struct error *load_document(struct loader *l, const struct node *n, const struct schema_kind *kinds,
                                   struct arena *scratch, struct loaded ***end)
{
        struct node_item only = { NULL, (struct node *)(uintptr_t)n, NULL };

        if (node_is_null(n))
                return NULL;
        for (const struct node_item *i = n->kind == NODE_LIST ? n->items : &only; i != NULL; i = i->next) {
                struct loaded *loaded = arena_alloc(scratch, sizeof *loaded);

                TRY(note_mistake(l, load_resource(l, i->value, kinds, &loaded->msg)));
                loaded->node = i->value;
                **end = loaded;
                *end = &loaded->next;
        }
        return NULL;
}

/* The node at a path such as "spec.roles[2]"; if the path does not exist completely, its last existing node. */
static const struct node *node_at(const struct node *n, struct str path)
{
        while (path.len > 0) {
                const struct node *below = NULL;
                size_t dot = str_find_char(path, '.'), bracket = str_find_char(path, '[');
                size_t end = dot < bracket ? dot : bracket;

                if (path.ptr[0] == '[') {
                        struct str number = str_slice(path, 1, str_find_char(path, ']') - 1);
                        int64_t index = 0;
                        AUTO_PTR(error) err = parse_int(number, 1, INT64_MAX, "index", &index);
                        const struct node_item *item = err == NULL && n->kind == NODE_LIST ? n->items : NULL;

                        while (item != NULL && --index > 0)
                                item = item->next;
                        below = item == NULL ? NULL : item->value;
                        end = number.len + 2;
                } else if (n->kind == NODE_MAPPING) {
                        below = node_member(n, str_slice(path, 0, end));
                }
                if (below == NULL)
                        return n;
                n = below;
                path = str_slice(path, end + (end < path.len && path.ptr[end] == '.'), path.len);
        }
        return n;
}

/* Prefixes an error of a check of the message with the position in the file. */
static struct error *placed(struct error *err, const char *file, const struct node *document)
{
        for (struct error *e = err; e != NULL; e = e->also) {
                const struct node *n = node_at(document, str_of(e->field));

                e = error_wrap(e, "%s:%d:%d", file, n->line, n->column);
        }
        return err;
}

struct error *schema_load_stream(struct arena *a, const char *file, struct str text, const struct schema_kind *kinds,
                                 struct schema_notes *notes, schema_each *each, void *ctx)
{
        AUTO_PTR(arena) nodes = arena_new(NODE_ARENA_CAP);
        AUTO_PTR(arena) scratch = arena_new(NODE_ARENA_CAP);
        AUTO_PTR(error) mistakes = NULL;
        AUTO(buf) ignored = BUF_MAX(LIMIT_YAML_FILE);
        struct loader l = { a, file, NULL, false, &mistakes, &ignored };
        struct node_item *documents = NULL;
        struct error *repeated = NULL;
        struct loaded *all = NULL, **end = &all;

        TRY(node_parse_noting(nodes, file, text, &documents, &repeated));
        TRY(note_mistake(&l, repeated));
        for (const struct node_item *d = documents; d != NULL; d = d->next)
                TRY(load_document(&l, d->value, kinds, scratch, &end));
        TRY(take_mistakes(&l));
        put_notes(&l, notes);
        for (const struct loaded *loaded = all; loaded != NULL; loaded = loaded->next)
                TRY(note_mistake(&l, placed(each(ctx, loaded->msg, loaded->node->line), file, loaded->node)));
        return take_mistakes(&l);
}
