/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations shared by schema_load.c and schema_emit.c. Private to these. */
#ifndef SCHEMA_INTERNAL_H
#define SCHEMA_INTERNAL_H

#include "schema/schema.h"

/* The special forms of message types. */
enum schema_form {
        FORM_MESSAGE,
        FORM_TIMESTAMP,
        FORM_DURATION,
        FORM_STRINGS, /* one text or a list of them */
        FORM_ENTRY,   /* of a mapping */
};
enum schema_form schema_form(const ProtobufCMessageDescriptor *type);

/* A message of FORM_STRINGS that is printed as a list even if it holds one text. */
bool schema_is_always_list(const ProtobufCMessageDescriptor *type);

/* Fields of an entry. */
enum { ENTRY_KEY, ENTRY_VALUE };

/* The address of a field's value, or of its quantifier (has_x, n_x), in a message. */
static inline void *field_at(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
        return (char *)(uintptr_t)msg + field->offset;
}
static inline void *field_quantifier(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
        return (char *)(uintptr_t)msg + field->quantifier_offset;
}

/* Bytes of one value of the field's type. */
size_t schema_value_size(const ProtobufCFieldDescriptor *field);

/*
 * Conversion of times from and to text. A time may be beyond the range of struct walltime: in old guides tokens expire
 * in the year 3000.
 */
struct error *timestamp_parse(struct str text, int64_t *ret_seconds, int32_t *ret_nanos) MUST_USE;

struct node;

/* Whether Teleport has this key of the message and this product does not. */
bool key_is_foreign(const ProtobufCMessageDescriptor *type, struct str key);

/* Adds a hint why such a key is refused and what to do; for a mapping, the value that has an effect. Returns err. */
struct error *foreign_key_hint(struct error *err, const ProtobufCMessageDescriptor *type, struct str key, const struct node *value) MUST_USE;

/*
 * Whether such a key with this value has no effect: it is empty or off, it is the fixed behaviour of this product, or
 * Teleport prints it but does not read it.
 */
bool foreign_key_has_no_effect(const ProtobufCMessageDescriptor *type, struct str key, const struct node *value);

/* Whether text fields of this message, the root of a document, and of its sub-messages accept every scalar. */
bool schema_takes_any_text(const ProtobufCMessageDescriptor *root);

/* Whether a section has `enabled: no`. */
bool node_is_off(const struct node *section);

#endif
